"""Claims of several runs: statistic and verdict in each, differences from the first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from transformer_dynamics.claims.tables import value_and_interval
from transformer_dynamics.claims.verdict import Verdict
from transformer_dynamics.comparison.claims.differences import Difference, differences, untestable
from transformer_dynamics.comparison.claims.estimates import Resampling
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.registry import CLAIMS

NOT_TESTED = "not tested"


@dataclass(frozen=True)
class Tested:
    """Statistic and verdict of one claim in one run.

    Attributes:
        value: the statistic; NaN where the run has none.
        interval: its 95 % interval.
        verdict: the run's verdict with its nulls, or None for a claim that it did not test.
        reason: reason why there is no statistic; empty where there is one.
    """

    value: float = float("nan")
    interval: tuple[float, float] = (float("nan"), float("nan"))
    verdict: Verdict | None = None
    reason: str = ""

    @property
    def word(self) -> str:
        """The verdict in words."""
        return NOT_TESTED if self.verdict is None else self.verdict.verdict


@dataclass(frozen=True)
class ClaimInRuns:
    """One claim in all runs.

    Attributes:
        id: id of the claim.
        statement: the claim as one sentence.
        statistic: definition of the number.
        tested: statistic and verdict in each run, in the order of the runs.
        differences: difference of each run but the first from the first.
    """

    id: str
    statement: str
    statistic: str
    tested: tuple[Tested, ...]
    differences: tuple[Difference, ...]

    @property
    def has_changed(self) -> bool:
        """Whether the runs that tested it have different verdicts."""
        return len({each.word for each in self.tested if each.verdict is not None}) > 1


def claim_row(claim: ClaimInRuns) -> tuple[str, ...]:
    """Row of a table: value and verdict in each run, then the differences."""
    values = [
        f"{value_and_interval(each.value, each.interval)} {each.word}" for each in claim.tested
    ]
    changes = [value_and_interval(each.value, each.interval) for each in claim.differences]
    return (claim.id, *values, *changes)


def claims_of(runs: Sequence[ComparedRun]) -> list[str]:
    """Ids of the claims that a run tested, in the order of the registry; by default all."""
    tested = {name: None for run in runs for name in run.tested}
    known = CLAIMS.all()
    if not tested:
        return [name for name, claim in known.items() if claim.perturbation is None]
    return [name for name in known if name in tested] + [
        name for name in tested if name not in known
    ]


def claims_in_runs(
    runs: Sequence[ComparedRun], names: Sequence[str], resampling: Resampling, progress: Any
) -> list[ClaimInRuns]:
    """Claims with their statistics, verdicts and differences.

    Args:
        runs: the runs, the reference first.
        names: ids of the claims.
        resampling: bootstrap over texts.
        progress: called with the number of runs compared and in all, or None.
    """
    changes = []
    for place, other in enumerate(runs[1:], 1):
        changes.append(differences(runs[0], other, names, resampling))
        if progress is not None:
            progress(place, len(runs) - 1)
    claims = []
    for name in names:
        tested = tuple(_tested(run, name, resampling) for run in runs)
        source: Any = CLAIMS.all().get(name)
        if source is None:
            source = next(run.tested[name] for run in runs if name in run.tested)
        own = tuple(change[name] for change in changes)
        claims.append(ClaimInRuns(name, source.statement, source.statistic, tested, own))
    return claims


def _tested(run: ComparedRun, name: str, resampling: Resampling) -> Tested:
    verdict = run.tested.get(name)
    if verdict is not None:
        return Tested(verdict.value, verdict.interval, verdict)
    reason = untestable(run, name)
    subject = None if reason else run.subject(name)
    if subject is None:
        return Tested(reason=reason or "the result of its perturbation cannot be read")
    claim = CLAIMS.get(name)
    estimate = resampling.of_run(run, claim, subject).estimate
    return Tested(estimate.value, estimate.interval)
