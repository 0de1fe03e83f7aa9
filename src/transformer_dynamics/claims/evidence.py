"""Evidence for a claim: profile and statistic of the recording, of its resamples, of each null.

A null is compared in one of three ways:

    draws   surrogates drawn from the recording: Monte Carlo p-value
    seeds   several recordings, as untrained twins of several seeds: Student's t of one new
            observation, with the variance over seeds and the variance over texts
    texts   one recording of the same samples: Student's t of the paired difference, with its
            bootstrap standard error over texts
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.stats.bootstrap import corrected_interval, percentile_interval
from transformer_dynamics.storage.attributes import plain_attributes

# Largest share of resamples on which a statistic may be undefined.
MOST_UNDEFINED = 0.05
DESCRIBED = {
    "statistic_low": "lower end of the 95 % interval over texts",
    "profile_low": "2.5 % quantile of the bootstrap over texts",
    "null_low": (
        "2.5 % quantile of the null's draws or seeds, or of its bootstrap where it is one recording"
    ),
    "null_statistic": "of each draw or seed, or of each bootstrap draw of a null of one recording",
    "null_example": "the first draw",
}


@dataclass(frozen=True)
class Estimate:
    """A statistic with its resamples.

    Attributes:
        value: the statistic.
        bootstrap: the statistic of each bootstrap draw over texts, `(draw)`.
        left_out: the statistic without each text in turn, `(text)`, where texts are few, else None.
    """

    value: float
    bootstrap: Floats
    left_out: Floats | None

    @cached_property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval, corrected for bias and skew where texts are few.

        A resample may lack all texts that a statistic needs, as one half of them. Up to
        `MOST_UNDEFINED` of the resamples are left out; beyond that the interval is undefined.
        """
        draws = self.bootstrap
        if np.isnan(draws).mean() <= MOST_UNDEFINED:
            draws = draws[~np.isnan(draws)]
        return corrected_interval(self.value, draws, self.left_out)


@dataclass
class NullEvidence:
    """Profile and statistic of a claim under one null.

    Attributes:
        spread: `draws`, `seeds` or `texts`, see the module.
        profiles: profile of each draw or recording, `(draw, ...)`.
        statistics: their statistics, `(draw)`.
        band: profiles of which a figure shows the band, `(draw, ...)`.
        shown: statistics that a figure shows, `(draw)`.
        own: statistic of the recording on the samples that it shares with the null.
        differences: bootstrap draws of `own` minus the mean of `statistics`, `(draw)`; empty for
            `draws`.
        n_groups: number of texts, or of groups of texts, in the bootstrap.
    """

    spread: str
    profiles: Floats
    statistics: Floats
    band: Floats
    shown: Floats
    own: float
    differences: Floats
    n_groups: int


@dataclass
class Gathered:
    """All evidence for one claim.

    Attributes:
        plain: the profile, `(...)`.
        bootstrap: its bootstrap draws, `(draw, ...)`.
        estimate: the statistic.
        conditions: the statistics of the claim's conditions.
        nulls: evidence of each null, by name.
        illustration: illustration of the subject, where the claim has one.
        illustrations: illustration of the first draw of each null, by name.
    """

    plain: Floats
    bootstrap: Floats
    estimate: Estimate
    conditions: list[Estimate]
    nulls: dict[str, NullEvidence] = field(default_factory=dict)
    illustration: xr.DataArray | None = None
    illustrations: dict[str, Floats] = field(default_factory=dict)


def as_dataset(claim: Claim, gathered: Gathered, subject: Subject) -> xr.Dataset:
    """The evidence as one Dataset, the source of the figures."""
    names = sorted(gathered.nulls, key=lambda name: (name not in claim.nulls, name))
    nulls = [gathered.nulls[name] for name in names]
    low, high = percentile_interval(gathered.bootstrap)
    bands = [percentile_interval(null.band) for null in nulls]
    null_dims = ("null", *claim.dims)

    def stacked(parts: Sequence[NDArray[Any]]) -> Floats:
        # A null of fewer samples may have a shorter profile, as C12 of fewer components.
        return _filled(parts, gathered.plain.shape)

    shown = [null.shown for null in nulls]
    most_shown = max(map(len, shown), default=0)
    evidence = xr.Dataset(
        {
            "profile": (claim.dims, gathered.plain),
            "profile_low": (claim.dims, low),
            "profile_high": (claim.dims, high),
            "null_profile": (null_dims, stacked([null.profiles.mean(axis=0) for null in nulls])),
            "null_low": (null_dims, stacked([band[0] for band in bands])),
            "null_high": (null_dims, stacked([band[1] for band in bands])),
            "null_example": (null_dims, stacked([null.profiles[0] for null in nulls])),
            "statistic": gathered.estimate.value,
            "statistic_low": gathered.estimate.interval[0],
            "statistic_high": gathered.estimate.interval[1],
            "null_mean": ("null", [null.statistics.mean() for null in nulls]),
            "null_spread": ("null", np.array([null.spread for null in nulls], dtype=object)),
            "null_statistic": (("null", "draw"), _filled(shown, (most_shown,))),
        },
        coords={"null": np.array(names, dtype=object), **claim.coordinates(subject.data)},
        attrs=plain_attributes(DESCRIBED | _described(claim, subject)),
    )
    own = gathered.illustration
    if own is None:
        return evidence
    undefined = np.full_like(own.values, np.nan)
    of_nulls = np.stack([gathered.illustrations.get(name, undefined) for name in names])
    return evidence.assign(
        illustration=own, null_illustration=(("null", *map(str, own.dims)), of_nulls)
    )


def _described(claim: Claim, subject: Subject) -> dict[str, Any]:
    return {
        "claim": claim.id,
        "statistic": claim.statistic,
        "source": claim.source,
        "deciding": list(claim.nulls),
        "resampled": subject.resampled,
        "reasons": claim.reasons,
    }


def _filled(parts: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> Floats:
    """Stack arrays of at most this shape; what they lack is NaN."""
    filled = np.full((len(parts), *shape), np.nan)
    for index, part in enumerate(parts):
        place: tuple[int | slice, ...] = (index, *map(slice, part.shape))
        filled[place] = part
    return filled
