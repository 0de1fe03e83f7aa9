"""The parts of a claim, and of its verdict.

A claim is a statement, a profile (a curve or a set of numbers that a figure can show), a statistic
that reduces the profile to one number, a threshold, and the null models that it must exceed:

    profile(recording, weights) -> (draw, ...)     one row of weights over the samples per draw
    statistic(profile) -> (draw)

One row of equal weights gives the value, bootstrap weights give the bootstrap, and the recording
of a null model gives a draw of the null: one function serves all three. A claim may have
conditions: further statistics with a threshold, which have to hold as well.

Verdicts:

- `not reproduced`: the whole interval lies on the wrong side of the threshold, or that of a
  condition does.
- `undecided`: an interval contains the threshold, a statistic is not defined, or a deciding null is
  missing and no other one gives as much.
- `reproduced, not beyond null`: the intervals lie beyond the thresholds, and at least one deciding
  null gives as much.
- `supported`: the intervals lie beyond the thresholds, and no deciding null gives as much. p is the
  largest p-value of the deciding nulls (intersection-union test), adjusted over the claims that are
  tested together (Benjamini-Hochberg), at most 5 %.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.stats.bootstrap import uniform_weights
from transformer_dynamics.storage.attributes import attribute

LEVEL = 0.05
NUMBERS = ("mean", "sd", "p", "effect", "value")
VERDICTS = ("supported", "reproduced, not beyond null", "not reproduced", "undecided")

Direction = Literal["greater", "less"]
# The reason why untrained twins may decide.
UNTRAINED = "it has the architecture and the texts, and nothing that was learned"
# Why the model's recording of shuffled texts is reported and never decides.
SHUFFLED = {
    "shuffled_tokens": (
        "it keeps the trained weights, so that a property of the weights survives without syntax"
    )
}


def itself(recording: Recording) -> Recording:
    """The recording as it is: what most claims draw their nulls from."""
    return recording


def text_mean(recording: Recording) -> Recording:
    """The recording's mean over samples, as a recording of one sample."""
    weights = uniform_weights(recording.shape[0])
    return Recording.from_array(
        mean_path(recording, weights), sites=recording.sites, provenance=recording.provenance
    )


def mean_path(recording: Recording, weights: Floats) -> Floats:
    """Weighted mean of the states over samples, `(draw, site, unit)`, site by site in float64."""
    values = recording.values
    path = np.empty((len(weights), *values.shape[1:]))
    for site in range(values.shape[1]):
        path[:, site] = weights @ values[:, site].astype(np.float64)
    return path


def mean_traces(recording: Recording) -> Floats:
    """The units' traces averaged over samples, `(site, unit)`: a picture for claims about units."""
    traces: Floats = mean_path(recording, uniform_weights(recording.shape[0]))[0]
    return traces


def thirds(profile: Floats) -> Floats:
    """Mean over the last third of the last axis minus mean over the first, `(draw)`."""
    third = max(1, profile.shape[-1] // 3)
    change: Floats = profile[..., -third:].mean(axis=-1) - profile[..., :third].mean(axis=-1)
    return change


def by_system(result: xr.Dataset) -> dict[str, xr.Dataset]:
    """The results of the model and of every other system of a perturbation, by name."""
    return {str(name): result.sel(system=name) for name in result["system"].values}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A further statistic of a claim, which has a threshold and no null.

    Attributes:
        name: what the number is, in words, with its unit.
        profile: `(recording, weights) -> (draw, ...)`.
        summary: `(draw, ...) -> (draw)`.
        threshold: the condition holds where the interval lies beyond it.
        direction: whether beyond means `greater` or `less`.
    """

    name: str
    profile: Callable[[Any, Floats], Floats]
    summary: Callable[[Floats], Floats]
    threshold: float
    direction: Direction = "greater"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim.

    Attributes:
        id: its short name, `C1`.
        statement: what is claimed, in words.
        statistic: what the number is, with its unit and denominator.
        source: the publication that makes the claim, and what it reports.
        profile: `(recording, weights) -> (draw, ...)`, one weight per sample.
        summary: `(draw, ...) -> (draw)`: the statistic.
        dims: names of the profile's dimensions.
        coords: `recording -> coordinates` of the profile.
        threshold: the claim holds where the statistic lies beyond it.
        direction: whether beyond means `greater` or `less`.
        nulls: the nulls that it must exceed: name to the reason why each is fair.
        shown: nulls that are reported and do not decide: name to the reason why not.
        conditions: further statistics that have to lie beyond their thresholds.
        drawn_from: what the nulls are drawn from: the recording, or its mean over texts.
        own_nulls: further nulls of this claim alone, that are not recordings: `(recording, seed) ->
            profile`; reported, never deciding.
        own_reasons: their reasons, by name.
        illustration: `recording -> (...)`: what a figure shows in addition to the profile, of the
            recording and of one draw of each null.
        illustration_dims: names of the illustration's dimensions.
        perturbation: the perturbation whose result it is tested on, in place of a recording; its
            profile, coordinates, illustration and note take what `subjects` makes of that result.
        subjects: takes a perturbation's result and returns what the claim is tested on, as `model`,
            and its nulls by name; several untrained twins are `untrained`, `untrained 1`, ...
        note: a sentence on this recording's evidence, or an empty string.
        caveat: what the statistic cannot tell.
        draw: evidence in, drawings out.
    """

    id: str
    statement: str
    statistic: str
    source: str
    profile: Callable[[Any, Floats], Floats]
    summary: Callable[[Floats], Floats]
    dims: tuple[str, ...]
    coords: Callable[[Any], Mapping[str, Any]]
    threshold: float
    nulls: Mapping[str, str]
    draw: Callable[[xr.Dataset], list[Drawing]]
    direction: Direction = "greater"
    shown: Mapping[str, str] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    drawn_from: Callable[[Recording], Recording] = itself
    own_nulls: Mapping[str, Callable[[Recording, int], Floats]] = field(default_factory=dict)
    own_reasons: Mapping[str, str] = field(default_factory=dict)
    illustration: Callable[[Any], Floats] | None = None
    illustration_dims: tuple[str, ...] = ()
    perturbation: str | None = None
    subjects: Callable[[xr.Dataset], Mapping[str, xr.Dataset]] = by_system
    note: Callable[[Any, xr.Dataset], str] = lambda subject, evidence: ""
    caveat: str = ""

    @property
    def all_nulls(self) -> tuple[str, ...]:
        """The names of all nulls that are recordings, deciding ones first."""
        return (*self.nulls, *self.shown)

    def register(self) -> Claim:
        """Add the claim to the registry, from which command, report and documentation take it."""
        CLAIMS.add(self.id, self)
        return self


@dataclass(frozen=True)
class NullComparison:
    """Comparison of the statistic with one null.

    Attributes:
        mean: mean of the statistic under the null.
        sd: its standard deviation over `spread`.
        p: one-sided p-value.
        effect: (value - mean)/sd; NaN where the null has no spread.
        decides: whether the verdict rests on it.
        spread: what `sd` is taken over: `draws` of the null, `seeds` of the untrained twin, or
            `texts`, the differences between recording and null.
        count: the number of draws, seeds or texts.
        value: the statistic of the recording on the samples that it shares with the null.
    """

    mean: float
    sd: float
    p: float
    effect: float
    decides: bool
    spread: str = "draws"
    count: int = 0
    value: float = math.nan


@dataclass(frozen=True)
class Verdict:
    """The outcome of testing a claim.

    Attributes:
        id: the claim.
        statement: what is claimed.
        statistic: what the number is.
        value: the statistic on the recording.
        interval: its 95 % bootstrap interval over texts, or over groups of texts.
        nulls: comparison with each null.
        verdict: one of `VERDICTS`.
        why: the reason in a few sentences.
        evidence: profile and statistic of the recording and of every null, for the figures.
    """

    id: str
    statement: str
    statistic: str
    value: float
    interval: tuple[float, float]
    nulls: Mapping[str, NullComparison]
    verdict: str
    why: str
    evidence: xr.Dataset

    def ordered_nulls(self) -> list[tuple[str, NullComparison]]:
        """The nulls, deciding ones first, by name."""
        return sorted(self.nulls.items(), key=lambda item: (not item[1].decides, item[0]))

    @classmethod
    def from_json(cls, entry: Mapping[str, Any], evidence: xr.Dataset) -> Verdict:
        """The verdict of an entry in `claims.json`."""
        deciding = set(attribute(evidence, "deciding", ()))
        return cls(
            entry["id"],
            entry["statement"],
            entry["statistic"],
            _float(entry["value"]),
            (_float(entry["interval"][0]), _float(entry["interval"][1])),
            {
                name: NullComparison(
                    **{key: _float(null[key]) for key in NUMBERS},
                    decides=name in deciding,
                    spread=null["spread"],
                    count=null["count"],
                )
                for name, null in entry["nulls"].items()
            },
            entry["verdict"],
            entry["why"],
            evidence,
        )

    def as_json(self) -> dict[str, Any]:
        """The entry in `claims.json`; what is not defined is null."""
        return {
            "id": self.id,
            "statement": self.statement,
            "statistic": self.statistic,
            "value": _number(self.value),
            "interval": [_number(end) for end in self.interval],
            "nulls": {
                name: {
                    **{key: _number(getattr(comparison, key)) for key in NUMBERS},
                    "spread": comparison.spread,
                    "count": comparison.count,
                }
                for name, comparison in self.nulls.items()
            },
            "verdict": self.verdict,
            "why": self.why,
        }


def largest_p(comparisons: Sequence[NullComparison]) -> float:
    """The p-value against all deciding nulls at once; NaN where one is NaN or there is none."""
    deciding = [comparison.p for comparison in comparisons if comparison.decides]
    return float(np.max(deciding)) if deciding else math.nan


def _float(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
