"""Comparison of two sets of verdicts, claim by claim: `td.compare_claims(run_a, run_b)`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.claims.tables import (
    data_frame,
    html_table,
    text_table,
    value_and_interval,
)
from transformer_dynamics.claims.verdict import Verdict
from transformer_dynamics.claims.verdicts import Verdicts, read_verdicts
from transformer_dynamics.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

HEAD = ("claim", "value a [95 %]", "value b [95 %]", "verdict a", "verdict b", "changed")
COLUMNS = (
    *("claim", "statement", "value_a", "low_a", "high_a", "verdict_a"),
    *("value_b", "low_b", "high_b", "verdict_b", "changed"),
)


@dataclass(frozen=True)
class VerdictPair:
    """One claim in two runs.

    Attributes:
        a: verdict in the first run.
        b: verdict in the second run.
    """

    a: Verdict
    b: Verdict

    @property
    def changed(self) -> bool:
        """Whether the two verdicts differ."""
        return self.a.verdict != self.b.verdict


class ClaimsCompared(Sequence[VerdictPair]):
    """Claims that two runs share, in the order of the first run.

    Attributes:
        only_a: ids of claims that only the first run tested.
        only_b: ids of claims that only the second run tested.
    """

    def __init__(self, a: Verdicts, b: Verdicts) -> None:
        in_a, in_b = ([verdict.id for verdict in verdicts] for verdicts in (a, b))
        self._pairs = [VerdictPair(a[claim], b[claim]) for claim in in_a if claim in in_b]
        self.only_a = tuple(claim for claim in in_a if claim not in in_b)
        self.only_b = tuple(claim for claim in in_b if claim not in in_a)

    def __len__(self) -> int:
        return len(self._pairs)

    def __iter__(self) -> Iterator[VerdictPair]:
        return iter(self._pairs)

    def __getitem__(self, key: Any) -> Any:
        return self._pairs[key]

    def __repr__(self) -> str:
        n_changed = sum(pair.changed for pair in self)
        lines = [
            f"{len(self)} claims, {n_changed} with another verdict",
            text_table(HEAD, [_row(pair) for pair in self]),
        ]
        for run, claims in (("a", self.only_a), ("b", self.only_b)):
            if claims:
                lines.append(f"tested in {run} only: {', '.join(claims)}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return html_table(HEAD, [_row(pair) for pair in self])

    def to_dataframe(self) -> pd.DataFrame:
        """One row per claim: value, 95 % interval and verdict in each run, and the change.

        Raises:
            TdynError: pandas is not installed.
        """
        return data_frame([_cells(pair) for pair in self], COLUMNS)


def compare_claims(run_a: str | Path | Verdicts, run_b: str | Path | Verdicts) -> ClaimsCompared:
    """Compare the verdicts of two runs claim by claim.

    Args:
        run_a: folder of a run (with its `claims.json`), or the result of `td.evaluate_claims`.
        run_b: the same of the other run.

    Returns:
        One pair of verdicts per claim that both runs tested; a notebook shows a table.

    Raises:
        InputError: a folder holds no `claims.json`, or the runs share no claim.
    """
    for run in (run_a, run_b):
        if not isinstance(run, Verdicts | str | Path):
            raise InputError(
                f"got a run of type {type(run).__name__}; it is a run's folder or the result of "
                "td.evaluate_claims: td.compare_claims('runs/a', 'runs/b')"
            )
    a, b = (run if isinstance(run, Verdicts) else read_verdicts(run) for run in (run_a, run_b))
    compared = ClaimsCompared(a, b)
    if not len(compared):
        names = [", ".join(verdict.id for verdict in each) or "no claim" for each in (a, b)]
        raise InputError(
            f"the first run tested {names[0]}, and the second {names[1]}; two runs are compared on "
            "claims that both tested: td.evaluate_claims(recording, claims=['C1'])"
        )
    return compared


def _row(pair: VerdictPair) -> tuple[str, ...]:
    a, b = pair.a, pair.b
    return (
        a.id,
        value_and_interval(a.value, a.interval),
        value_and_interval(b.value, b.interval),
        a.verdict,
        b.verdict,
        "yes" if pair.changed else "no",
    )


def _cells(pair: VerdictPair) -> dict[str, Any]:
    cells: dict[str, Any] = {"claim": pair.a.id, "statement": pair.a.statement}
    for run, verdict in (("a", pair.a), ("b", pair.b)):
        low, high = verdict.interval
        numbers = {"value": verdict.value, "low": low, "high": high, "verdict": verdict.verdict}
        cells |= {f"{name}_{run}": cell for name, cell in numbers.items()}
    return cells | {"changed": pair.changed}
