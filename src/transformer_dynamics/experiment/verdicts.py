"""Verdicts of a run, read back with their evidence."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import xarray as xr

from transformer_dynamics.claims import Verdict, Verdicts
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.storage.files import read_json
from transformer_dynamics.storage.results import load_result

# Stages that test the claims of the recording.
CLAIM_TESTS, SLOW_CLAIM_TESTS = "claims", "claims with slow draws"
# Variables of the evidence that the report draws; earlier versions did not write all of them.
NEEDED = ("statistic", "statistic_low", "statistic_high", "null_mean", "null_statistic")
# Variables that earlier versions wrote under another name: earlier name to present name.
RENAMED = {"picture": "illustration", "null_picture": "null_illustration"}


def load_verdicts(out: Path, load: Callable[[str], xr.Dataset | None] | None = None) -> Verdicts:
    """Read the verdicts of a finished run, with their evidence.

    Args:
        out: Folder of the run.
        load: Function that returns a stored result by name; by default it is read from the folder.

    Raises:
        TdynError: an earlier version wrote the evidence, without a variable that is needed now.
    """
    entries = _entries(out, load or partial(load_result, out / "results.zarr"))
    outdated = _outdated(entries)
    if outdated:
        claim, missing = next(iter(outdated.items()))
        command = Ledger(out / "run.json").entries().get("command") or f"tdyn run --out {out}"
        raise TdynError(
            f"an earlier version wrote the evidence of {len(outdated)} claims in {out}, the first "
            f"{claim}, without {', '.join(missing)}; this command writes the claims again and "
            f"keeps the rest: {command}"
        )
    return Verdicts([Verdict.from_json(entry, evidence) for entry, evidence in entries])


def readable_verdicts(out: Path) -> dict[str, Verdict]:
    """Verdicts in a folder by claim, without those that an earlier version wrote."""
    entries = _entries(out, partial(load_result, out / "results.zarr"))
    outdated = _outdated(entries)
    return {
        entry["id"]: Verdict.from_json(entry, evidence)
        for entry, evidence in entries
        if entry["id"] not in outdated and "conditions" in evidence.attrs
    }


def _entries(
    out: Path, load: Callable[[str], xr.Dataset | None]
) -> list[tuple[dict[str, Any], xr.Dataset]]:
    """Entries of `claims.json`, each with the stored evidence of the claim, empty without any."""
    entries = read_json(out / "claims.json") or []
    evidence = [load(f"claims/{each['id']}") for each in entries]
    return [
        (each, xr.Dataset() if found is None else found)
        for each, found in zip(entries, evidence, strict=True)
    ]


def _outdated(entries: Sequence[tuple[dict[str, Any], xr.Dataset]]) -> dict[str, list[str]]:
    """Claims whose stored evidence lacks variables, with the names of these."""
    lacking: dict[str, list[str]] = {}
    for entry, evidence in entries:
        missing = [name for name in NEEDED if name not in evidence]
        missing += [name for earlier, name in RENAMED.items() if earlier in evidence]
        if evidence.data_vars and missing:
            lacking[entry["id"]] = missing
    return lacking
