"""C12: the stream is low-dimensional.

Statistic: share of the variance of one half of the texts, about each site's own mean, that ten
principal components of the other half explain, massive units standardized, averaged over six
sites. The threshold of one half is the plain sense of "most": ten components explain more than
half of the between-text variance (ours; ten of the hundreds or thousands of units of a language
model, and a quarter of the units, or fewer, where there are less than forty).

The denominator decides. About the mean of all sites the way that all texts share over depth counts
as variance, and few components hold it whatever the texts do; with massive units as recorded, one
unit may be the first component. Both are told in the remark.

Independent units share each unit's variance but no direction; the untrained twin shares the
repeated last tokens, which make any stream low-dimensional at its start. The matched walk is shown
only: its steps have the covariance of the recording's, so that states in a plane give a walk in
that plane.

The components are fitted once, on a fixed half of the texts; bootstrap draws reweight the texts of
the other half. Cost: products of min(fitted samples, units)^2 at six sites.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.measures.dimension.components.held_out_squares import (
    captured_squares,
    held_out_squares,
)
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import uniform_weights
from transformer_dynamics.storage.attributes import attribute

Places = NDArray[np.int64]

COUNTS = (1, 2, 3, 5, 10, 20, 50)
PLACE_OF_TEN = COUNTS.index(10)
N_SITES = 6
MOST_FITTED = 256


def counts_of(recording: Recording) -> list[int]:
    """The numbers of components: at most a quarter of the units and what the fitted half has."""
    n_fitted = len(_halves(recording)[0])
    most = min(recording.shape[2] // 4, n_fitted - 1)
    return [count for count in COUNTS if count <= max(1, most)]


def _halves(recording: Recording) -> tuple[Places, Places]:
    """Samples that components are fitted on, and those that are scored."""
    fitted, scored = split_texts(recording.groups)
    return fitted[:MOST_FITTED], scored


def places(recording: Recording) -> list[int]:
    """Six sites at even distances, the last of each sixth of the sublayers."""
    n_sites = recording.shape[1]
    return [(part + 1) * n_sites // N_SITES - 1 for part in range(N_SITES)]


def profile(recording: Recording, weights: Floats) -> Floats:
    """Held-out share by site and number of components, `(draw, site, n_components)`."""
    return _shares(recording, weights, standardize=True)


def _shares(recording: Recording, weights: Floats, *, standardize: bool) -> Floats:
    fitted, scored = _halves(recording)
    counts = counts_of(recording)
    shares = np.empty((len(weights), N_SITES, len(counts)))
    for place, site in enumerate(places(recording)):
        states = recording.values[:, site]
        captured, whole = held_out_squares(
            states[fitted], states[scored], counts, standardize=standardize
        )
        drawn = weights[:, scored]
        shares[:, place] = ratio(drawn @ captured, (drawn @ whole)[:, np.newaxis])
    return shares


def summary(profile: Floats) -> Floats:
    """Mean over sites for ten components, or the most that there are, `(draw)`."""
    place = min(PLACE_OF_TEN, profile.shape[-1] - 1)
    mean: Floats = profile[..., place].mean(axis=-1)
    return mean


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """The other denominators, which make the stream look lower-dimensional."""
    counts = counts_of(recording)
    count = counts[min(PLACE_OF_TEN, len(counts) - 1)]
    weights = uniform_weights(recording.shape[0])
    recorded = float(summary(_shares(recording, weights, standardize=False))[0])
    fitted, scored = _halves(recording)
    axes = principal_axes(recording.values[fitted][:, places(recording)], count)
    away = recording.values[scored][:, places(recording)].reshape(-1, axes.mean.size) - axes.mean
    captured, whole = captured_squares(away, axes.components, [count])
    pooled = float(ratio(captured.sum(), whole.sum()))
    means = evidence["profile"].values.mean(axis=0)
    enough = [number for number, share in zip(counts, means, strict=True) if share > 0.5]
    half = f"takes {enough[0]}" if enough else f"takes more than {counts[-1]}"
    return (
        f"With massive units as recorded {count} components explain {recorded:.2f}, and about the "
        f"mean of all sites, where the path that all texts share counts, {pooled:.2f}. More than "
        f"half of the variance about the site's own mean {half} (of "
        f"{', '.join(map(str, counts))} tried)."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Share against the number of components beside the nulls, and the statistic."""
    counts = evidence["n_components"].values
    series = [
        Series(
            name="recording",
            x=counts,
            y=evidence["profile"].values.mean(axis=0),
        )
    ]
    series += [
        Series(
            name=null_name(name),
            x=counts,
            y=evidence["null_profile"].sel(null=name).values.mean(axis=0),
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    count = counts[min(PLACE_OF_TEN, len(counts) - 1)]
    caption = "Between-text variance explained by few components, which are fitted on other texts."
    interpretation = (
        "That ten directions hold more than half, and more than they hold in states whose units "
        "are independent, and in the untrained twin."
    )
    intervals = statistic_intervals(evidence, f"held-out share explained by {count} components (1)")
    return [
        Lines(
            title="Held-out variance about the site's own mean, mean over six sites",
            x_label="principal components, fitted on other texts (number)",
            y_label="share of variance explained (1)",
            series=series,
            caption=caption,
            interpretation=interpretation,
        ),
        replace(intervals, caption=caption, interpretation=interpretation),
    ]


def coords(recording: Recording) -> dict[str, object]:
    """The six sites and the numbers of components."""
    sites = [recording.sites[place] for place in places(recording)]
    return {"site": np.array(sites, dtype=object), "n_components": counts_of(recording)}


CLAIM = Claim(
    id="C12",
    statement="Ten principal components explain most of the between-text variance at a site.",
    statistic=(
        "share of held-out texts' variance about the site's own mean that the first ten principal "
        "components of other texts explain (a quarter of the units at most), massive units "
        "standardized, mean over six sites (1)"
    ),
    source="arXiv 2502.12131: two numbers explain 0.60 to 0.77 of the variance about one mean",
    profile=profile,
    summary=summary,
    dims=("site", "n_components"),
    coords=coords,
    threshold=0.5,
    nulls={
        "independent_units": "it has each unit's variance, and no directions that units share",
        "untrained": UNTRAINED,
    },
    shown={
        "random_walk": (
            "it is given the covariance of the recording's own steps, which fixes its dimension"
        ),
        **SHUFFLED,
    },
    note=note,
    caveat=(
        "The components are fitted on one half of the texts; the interval is over the texts of the "
        "other half."
    ),
    draw=draw,
).register()
