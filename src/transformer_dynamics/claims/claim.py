"""A claim: a statement, a statistic with a threshold, and the null models that it must exceed.

    profile(recording, weights) -> (draw, ...)     one row of weights over the samples per draw
    summary(profile) -> (draw)                     the statistic

Equal weights give the value, bootstrap weights the bootstrap, and the recording of a null model one
draw of the null. Conditions are further statistics with a threshold that must hold as well.
The rules that lead to a verdict are in `decision`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import xarray as xr

from transformer_dynamics.claims.curves import Curve, standard_figures
from transformer_dynamics.claims.profiles import mean_over_depth
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS

Direction = Literal["greater", "less"]
# Reasons that several claims share.
UNTRAINED = "has the same architecture and texts, and weights that were never trained"
SHUFFLED = {
    "shuffled_tokens": (
        "keeps the trained weights and loses only syntax, so properties of the weights survive"
    )
}


def whole_recording(recording: Recording) -> Recording:
    """The recording unchanged: the source of the null draws of most claims."""
    return recording


def by_system(result: xr.Dataset) -> dict[str, xr.Dataset]:
    """Results of the model and of all other systems of a perturbation, by name."""
    return {str(name): result.sel(system=name) for name in result["system"].values}


@dataclass(frozen=True, kw_only=True)
class Condition:
    """A further statistic of a claim, with a threshold and without nulls.

    Attributes:
        name: name of the statistic, with its unit.
        profile: `(recording, weights) -> (draw, ...)`.
        summary: `(draw, ...) -> (draw)`.
        threshold: the condition holds where the interval lies beyond it.
        direction: meaning of beyond, `greater` or `less`.
    """

    name: str
    profile: Callable[[Any, Floats], Floats]
    summary: Callable[[Floats], Floats]
    threshold: float
    direction: Direction = "greater"


@dataclass(frozen=True)
class OwnNull:
    """A null of one claim that gives a profile and no recording; it is shown and never decides.

    Attributes:
        profile: `(recording, seed) -> profile` of one draw.
        reason: the reason why it does not decide.
    """

    profile: Callable[[Recording, int], Floats]
    reason: str


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim about a recording, or about the result of a perturbation.

    Attributes:
        id: short name, as `C1`.
        statement: the claim as one sentence.
        statistic: definition of the number, with its unit and denominator.
        source: publication that makes the claim, with the numbers that it reports.
        profile: `(subject, weights) -> (draw, ...)`, one weight per sample.
        threshold: the claim holds where the statistic lies beyond it.
        nulls: deciding nulls: name to the reason why each is fair.
        summary: `(draw, ...) -> (draw)`, the statistic; by default the mean over the last axis.
        direction: meaning of beyond, `greater` or `less`.
        dims: names of the profile's dimensions.
        coords: `subject -> coordinates` of the profile; by default the subject's own.
        shown: nulls that are reported and do not decide: name to the reason.
        own_nulls: nulls of this claim alone, by name.
        conditions: further statistics that have to lie beyond their thresholds.
        drawn_from: source of the null draws: the recording, or a part or mean of it.
        quick_draws: by null, `recording -> (seed -> recording)`: draws of the part or mean that the
            profile reads, with the same distribution of the profile and at a lower cost.
        illustration: `subject -> array` for the figures, of the subject and of a draw of each null.
        perturbation: perturbation whose result is tested instead of a recording.
        subjects: of a perturbation's result, the tested part as `model`, and its nulls by name;
            untrained twins of several seeds are `untrained`, `untrained 1`, ...
        note: `(subject, evidence) -> sentence` on this recording's evidence, or empty.
        caveat: limits of the statistic, in a sentence.
        curve: titles, labels and captions of the two standard figures.
        draw: `evidence -> drawings`, for figures other than the standard ones.
    """

    id: str
    statement: str
    statistic: str
    source: str
    profile: Callable[[Any, Floats], Floats]
    threshold: float
    nulls: Mapping[str, str]
    summary: Callable[[Floats], Floats] = mean_over_depth
    direction: Direction = "greater"
    dims: tuple[str, ...] = ("step",)
    coords: Callable[[Any], Mapping[str, Any]] | None = None
    shown: Mapping[str, str] = field(default_factory=dict)
    own_nulls: Mapping[str, OwnNull] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    drawn_from: Callable[[Recording], Recording] = whole_recording
    quick_draws: Mapping[str, Callable[[Recording], Callable[[int], Recording]]] = field(
        default_factory=dict
    )
    illustration: Callable[[Any], xr.DataArray] | None = None
    perturbation: str | None = None
    subjects: Callable[[xr.Dataset], Mapping[str, xr.Dataset]] = by_system
    note: Callable[[Any, xr.Dataset], str] = lambda subject, evidence: ""
    caveat: str = ""
    curve: Curve | None = None
    draw: Callable[[xr.Dataset], list[Drawing]] | None = None

    @property
    def all_nulls(self) -> tuple[str, ...]:
        """Names of all nulls that are recordings, the deciding ones first."""
        return (*self.nulls, *self.shown)

    @property
    def reasons(self) -> dict[str, str]:
        """Reason for each null, the deciding ones first."""
        own = {name: null.reason for name, null in self.own_nulls.items()}
        return {**self.nulls, **self.shown, **own}

    def coordinates(self, subject: Any) -> Mapping[str, Any]:
        """Coordinates of the profile of a recording or of a perturbation's result."""
        if self.coords is not None:
            return self.coords(subject)
        if not isinstance(subject, Recording):
            return {dim: subject[dim].values for dim in self.dims if dim in subject.coords}
        known = {"step": subject.step_coords, "site": subject.site_coords}
        return {name: each for dim in self.dims for name, each in known.get(dim, {}).items()}

    def drawings(self, evidence: xr.Dataset) -> list[Drawing]:
        """Figures of the evidence: the claim's own, or profile and statistic with the nulls."""
        if self.draw is not None:
            return self.draw(evidence)
        plain = Curve(title=self.statement.rstrip("."), y_label="profile", statistic=self.statistic)
        return standard_figures(evidence, self.curve or plain)

    def register(self) -> Claim:
        """Add the claim to the registry, which command, report and documentation read."""
        CLAIMS.add(self.id, self)
        return self
