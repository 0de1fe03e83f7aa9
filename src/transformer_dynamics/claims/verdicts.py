"""The verdicts of claims that were tested together, as a sequence and as a table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import xarray as xr

from transformer_dynamics.claims.tables import (
    data_frame,
    number,
    text_table,
    value_and_interval,
    verdict_page,
)
from transformer_dynamics.claims.verdict import NullComparison, Verdict, largest_p
from transformer_dynamics.errors import InputError
from transformer_dynamics.notebook import frame
from transformer_dynamics.storage.files import local_path, read_json

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    *("claim", "statement", "value", "low", "high", "verdict"),
    *("null", "decides", "mean", "sd", "p", "effect"),
)
HEAD = ("claim", "statement", "value [95 % interval]", "largest p of deciding nulls", "verdict")
# Pixels of the table in a notebook; a longer table scrolls.
HEAD_HEIGHT, ROW_HEIGHT, MOST_HEIGHT = 60, 44, 620


class Verdicts(Sequence[Verdict]):
    """Verdicts in the order of their claims; `verdicts[0]` and `verdicts["C1"]` give one.

    A notebook shows them as a table; `to_dataframe()` has a row for each claim and null.
    """

    def __init__(self, verdicts: Iterable[Verdict] = ()) -> None:
        self._verdicts = tuple(verdicts)

    def __len__(self) -> int:
        return len(self._verdicts)

    def __iter__(self) -> Iterator[Verdict]:
        return iter(self._verdicts)

    @overload
    def __getitem__(self, key: int | str) -> Verdict: ...
    @overload
    def __getitem__(self, key: slice) -> Verdicts: ...
    def __getitem__(self, key: int | str | slice) -> Verdict | Verdicts:
        if isinstance(key, slice):
            return Verdicts(self._verdicts[key])
        if isinstance(key, int):
            return self._verdicts[key]
        by_id = {verdict.id: verdict for verdict in self._verdicts}
        if key not in by_id:
            raise KeyError(f"no verdict on the claim {key!r}; there are: {', '.join(by_id)}")
        return by_id[key]

    def __repr__(self) -> str:
        head = (HEAD[0], *HEAD[2:])
        rows = [(row[0], *row[2:]) for row in map(_row, self._verdicts)]
        return f"{len(self)} verdicts\n{text_table(head, rows)}" if rows else "0 verdicts"

    def _repr_html_(self) -> str:
        page = verdict_page(HEAD, [_row(verdict) for verdict in self._verdicts])
        height = min(MOST_HEIGHT, HEAD_HEIGHT + ROW_HEIGHT * len(self))
        return frame(page, title="Verdicts", height=height, scripts=False)

    def to_dataframe(self) -> pd.DataFrame:
        """One row per claim and null; a claim without nulls has one row.

        The columns are claim, statement, value, low and high (the 95 % interval), verdict, and of
        the null its name, whether it decides, mean, sd, p and effect.

        Raises:
            TdynError: pandas is not installed.
        """
        rows = [row for verdict in self._verdicts for row in _null_rows(verdict)]
        return data_frame(rows, COLUMNS)


def read_verdicts(folder: str | Path) -> Verdicts:
    """Verdicts of a run's folder, from its `claims.json` and without their evidence.

    Raises:
        InputError: the folder holds no `claims.json`.
    """
    path = local_path(folder, InputError) / "claims.json"
    entries = read_json(path)
    if entries is None:
        raise InputError(
            f"there is no {path}; name the folder of a finished run, which holds claims.json, or "
            f"make one: tdyn run --out {path.parent}"
        )
    return Verdicts(Verdict.from_json(entry, xr.Dataset()) for entry in entries)


def _row(verdict: Verdict) -> tuple[str, ...]:
    return (
        verdict.id,
        verdict.statement,
        value_and_interval(verdict.value, verdict.interval),
        number(largest_p(verdict.nulls.values())),
        verdict.verdict,
    )


def _null_rows(verdict: Verdict) -> list[dict[str, Any]]:
    claim: dict[str, Any] = {
        "claim": verdict.id,
        "statement": verdict.statement,
        "value": verdict.value,
        "low": verdict.interval[0],
        "high": verdict.interval[1],
        "verdict": verdict.verdict,
    }
    return [claim | _null_cells(*item) for item in verdict.ordered_nulls()] or [claim]


def _null_cells(name: str, null: NullComparison) -> dict[str, Any]:
    numbers = {key: getattr(null, key) for key in ("mean", "sd", "p", "effect")}
    return {"null": name, "decides": null.decides, **numbers}
