"""What a claim is, and what testing it gives.

A claim is a statement, a profile (a curve or a set of numbers that a figure can show), a statistic
that sums the profile up in one number, a threshold, and the nulls that it must exceed:

    profile(recording, weights) -> (draw, ...)     one per row of weights over the samples
    statistic(profile) -> (draw)

With one row of equal weights this is the plain value, with bootstrap weights it is the bootstrap,
and on a null's recording it is the null's draw: one code for all three.

The verdict:

- `not reproduced`: the whole interval lies on the wrong side of the threshold.
- `undecided`: the interval straddles the threshold, or the statistic is not defined.
- `reproduced, not beyond null`: the whole interval lies beyond the threshold, and at least one
  deciding null gives as much, or too few draws were made to exclude it.
- `supported`: it does, and no deciding null gives as much. p is the largest of the deciding nulls'
  p-values (an intersection-union test), adjusted over the claims tested together
  (Benjamini-Hochberg); the level is 5 %.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.attributes import attribute
from transformer_dynamics.drawing import Drawing
from transformer_dynamics.inference.bootstrap import uniform_weights
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS

LEVEL = 0.05
VERDICTS = ("supported", "reproduced, not beyond null", "not reproduced", "undecided")

Floats = NDArray[np.float64]


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
    """A perturbation's result taken apart by system: the model and its nulls."""
    return {str(name): result.sel(system=name) for name in result["system"].values}


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
        nulls: the nulls that it must exceed, by name.
        shown: nulls that are drawn and reported but do not decide.
        drawn_from: what the nulls are drawn from: the recording, or its mean over texts.
        own_nulls: further nulls of this claim alone, that are not recordings: `(recording, seed) ->
            profile`; reported, never deciding.
        picture: `recording -> (...)`: what a figure shows of the recording and of one draw of each
            null beside the profile.
        picture_dims: names of the picture's dimensions.
        perturbation: the perturbation whose result it looks at, in place of a recording; its
            profile, coordinates, picture and remark take what `subjects` makes of that result.
        subjects: of a perturbation's result, what the claim is tested on, as `model`, and its nulls
            by name.
        remark: a sentence on this recording's evidence, or an empty string.
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
    nulls: tuple[str, ...]
    draw: Callable[[xr.Dataset], list[Drawing]]
    direction: Literal["greater", "less"] = "greater"
    shown: tuple[str, ...] = ("shuffled_tokens",)
    drawn_from: Callable[[Recording], Recording] = itself
    own_nulls: Mapping[str, Callable[[Recording, int], Floats]] = field(default_factory=dict)
    picture: Callable[[Any], Floats] | None = None
    picture_dims: tuple[str, ...] = ()
    perturbation: str | None = None
    subjects: Callable[[xr.Dataset], Mapping[str, xr.Dataset]] = by_system
    remark: Callable[[Any, xr.Dataset], str] = lambda subject, evidence: ""
    caveat: str = ""

    @property
    def all_nulls(self) -> tuple[str, ...]:
        """Every null that is a recording, deciding ones first."""
        return (*self.nulls, *self.shown)

    def register(self) -> Claim:
        """Add the claim to the registry, from which command, report and documentation take it."""
        CLAIMS.add(self.id, self)
        return self


@dataclass(frozen=True)
class NullComparison:
    """How the statistic compares with one null.

    Attributes:
        mean: mean of the statistic under the null.
        sd: its standard deviation under the null.
        p: one-sided p-value.
        effect: (value - mean)/sd, in null standard deviations.
        decides: whether the verdict rests on it.
    """

    mean: float
    sd: float
    p: float
    effect: float
    decides: bool


@dataclass(frozen=True)
class Verdict:
    """The outcome of testing a claim.

    Attributes:
        id: the claim.
        statement: what is claimed.
        statistic: what the number is.
        value: the statistic on the recording.
        interval: its 95 % percentile interval over texts.
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
                    **{key: _float(value) for key, value in null.items()}, decides=name in deciding
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
                    key: _number(value)
                    for key, value in dataclasses.asdict(comparison).items()
                    if key != "decides"
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
