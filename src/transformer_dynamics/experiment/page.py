"""Page of a run, written from the files in its folder."""

from __future__ import annotations

import warnings
from pathlib import Path

from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment.ledger import Ledger
from transformer_dynamics.experiment.verdicts import load_verdicts
from transformer_dynamics.recording import open_recording
from transformer_dynamics.registry import result_names
from transformer_dynamics.report import write_report
from transformer_dynamics.storage.files import local_path
from transformer_dynamics.storage.results import load_result, saved_names


def report_run(out: Path) -> Path:
    """Write the page of a run from the files in its folder.

    Raises:
        TdynError: there is no run in the folder, or an earlier version wrote its claims.
    """
    out = local_path(out)
    if not (out / "recording.zarr").exists():
        raise TdynError(
            f"there is no run in {out}: recording.zarr is missing; make one with "
            f"`tdyn run --out {out}`"
        )
    known, store = result_names(), out / "results.zarr"
    names = saved_names(store)
    unknown = [name for name in names if name not in known]
    if unknown:
        warnings.warn(
            f"the page leaves out {', '.join(unknown)}: no measure of that name is registered; an "
            "earlier version or a plug-in that is not installed made them",
            stacklevel=2,
        )
    results = {name: load_result(store, name) for name in names if name in known}
    return write_report(
        out / "report.html",
        {name: result for name, result in results.items() if result is not None},
        load_verdicts(out),
        recording=open_recording(out / "recording.zarr"),
        run=Ledger(out / "run.json").entries(),
    )
