"""C12: ten principal components explain most between-text variance at each site.

Statistic: share of held-out texts' variance about the site's own mean that ten components of the
other half of the texts explain, massive units standardized, mean over six sites. Threshold one half
(ours). The components are fitted once; bootstrap draws weight the held-out texts.
Source: arXiv 2502.12131, about one mean of all sites.
Cost: products of min(fitted samples, units)^2 at six sites.
Limits: ten components, or a quarter of the units where there are fewer than forty.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import SHUFFLED, UNTRAINED, Claim
from transformer_dynamics.claims.drawn_nulls import draws_of
from transformer_dynamics.claims.figures import null_series, statistic_intervals
from transformer_dynamics.measures.dimension.components.held_out_squares import (
    captured_squares,
    held_out_scoring,
)
from transformer_dynamics.nulls.random_walk import matched_walk
from transformer_dynamics.nulls.state_surrogates import independent_units
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.numerics.blocks import per_sample
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.recording.recording import Recording, loaded
from transformer_dynamics.stats.bootstrap import uniform_weights

Indices = NDArray[np.int64]

COUNTS = (1, 2, 3, 5, 10, 20, 50)
INDEX_OF_TEN = COUNTS.index(10)
N_SITES = 6
MOST_FITTED = 256


def counts_of(recording: Recording) -> list[int]:
    """Numbers of components: at most a quarter of the units and the rank of the fitted half."""
    n_fitted = len(_halves(recording)[0])
    most = min(recording.shape[2] // 4, n_fitted - 1)
    return [count for count in COUNTS if count <= max(1, most)]


def _halves(recording: Recording) -> tuple[Indices, Indices]:
    """Samples that components are fitted on, and samples that are scored."""
    fitted, scored = split_texts(recording.groups)
    return fitted[:MOST_FITTED], scored


def chosen_sites(recording: Recording) -> list[int]:
    """Indices of six evenly spaced sites, the last of each sixth of the sublayers."""
    n_sites = recording.shape[1]
    return [(part + 1) * n_sites // N_SITES - 1 for part in range(N_SITES)]


def profile(recording: Recording, weights: Floats) -> Floats:
    """Held-out share by site and number of components, `(draw, site, n_components)`."""
    return _shares(recording, weights, standardize=True)


def _shares(recording: Recording, weights: Floats, *, standardize: bool) -> Floats:
    fitted, scored = _halves(recording)
    counts, sites = counts_of(recording), chosen_sites(recording)
    known = recording.isel(sample=fitted, site=sites).values
    score = [
        held_out_scoring(known[:, index], counts, standardize=standardize)
        for index in range(N_SITES)
    ]

    def squares(states: NDArray[Any]) -> Floats:
        """Captured squares and, last, all squares of each sample, `(sample, site, count + 1)`."""
        parts = [each(states[:, site]) for each, site in zip(score, sites, strict=True)]
        return np.stack([np.column_stack(part) for part in parts], axis=1)

    found, drawn = per_sample(recording.isel(sample=scored), squares), weights[:, scored]
    shares = np.empty((len(weights), N_SITES, len(counts)))
    for index in range(N_SITES):
        captured, whole = np.ascontiguousarray(found[:, index, :-1]), found[:, index, -1]
        shares[:, index] = ratio(drawn @ captured, (drawn @ whole.copy())[:, np.newaxis])
    return shares


def summary(profile: Floats) -> Floats:
    """Mean over sites for ten components, or for the largest number, `(draw)`."""
    index = min(INDEX_OF_TEN, profile.shape[-1] - 1)
    mean: Floats = profile[..., index].mean(axis=-1)
    return mean


def note(recording: Recording, evidence: xr.Dataset) -> str:
    """Give the share with massive units, the share about one mean, and the number for one half."""
    counts = counts_of(recording)
    count = counts[min(INDEX_OF_TEN, len(counts) - 1)]
    weights = uniform_weights(recording.shape[0])
    recorded = float(summary(_shares(recording, weights, standardize=False))[0])
    means = evidence["profile"].values.mean(axis=0)
    enough = [number for number, share in zip(counts, means, strict=True) if share > 0.5]
    needed = f"{enough[0]} components" if enough else f"more than {counts[-1]} components"
    return (
        f"With massive units as recorded {count} components explain {recorded:.2f}. About the mean "
        "of all sites, where the path that all texts share counts as variance, they explain "
        f"{_pooled_share(recording, count):.2f}. More than half of the variance about the site's "
        f"own mean needs {needed} (tested: {', '.join(map(str, counts))})."
    )


def _pooled_share(recording: Recording, count: int) -> float:
    """Held-out share about the mean of all sites."""
    fitted, scored = _halves(recording)
    sites = chosen_sites(recording)
    axes = principal_axes(recording.isel(sample=fitted, site=sites).values, count)
    captured, whole = np.zeros(()), np.zeros(())
    for _, states in recording.isel(sample=scored).blocks():
        deviations = states[:, sites].reshape(-1, axes.mean.size) - axes.mean
        parts = captured_squares(deviations, axes.components, [count])
        captured, whole = captured + parts[0].sum(), whole + parts[1].sum()
    return float(ratio(captured, whole))


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Share by number of components with the nulls, and the statistic."""
    counts = evidence["n_components"].values
    means = evidence.assign(null_profile=evidence["null_profile"].mean("site"))
    recording = Series(name="recording", x=counts, y=evidence["profile"].values.mean(axis=0))
    lines = Lines(
        title="Held-out variance about the site's own mean, mean over six sites",
        x_label="principal components, fitted on other texts (number)",
        y_label="share of variance explained (1)",
        series=[recording, *null_series(means, counts, ("null_profile",))],
        caption="Between-text variance explained by components that were fitted on other texts.",
        interpretation=(
            "The claim requires that ten components explain more than half, and more than in "
            "states with independent units and in the untrained twin."
        ),
    )
    count = counts[min(INDEX_OF_TEN, len(counts) - 1)]
    intervals = statistic_intervals(evidence, f"held-out share explained by {count} components (1)")
    return [lines, replace(intervals, interpretation=lines.interpretation)]


def coords(recording: Recording) -> dict[str, object]:
    """The six sites and the numbers of components."""
    sites = [recording.sites[index] for index in chosen_sites(recording)]
    return {"site": np.array(sites, dtype=object), "n_components": counts_of(recording)}


def six_sites(recording: Recording) -> Recording:
    """The sites that the statistic reads, in memory; a recording of these alone is unchanged.

    Raises:
        InputError: these sites of all samples are larger than the memory for a recording.
    """
    read = recording.isel(site=chosen_sites(recording))
    return read if recording.in_memory else loaded(read, "C12 permutes the samples of each unit")


def walk_at_six_sites(recording: Recording) -> Callable[[int], Recording]:
    """Random walks at the sites that the statistic reads, `seed -> recording`."""
    read = six_sites(recording)
    start = recording.isel(site=0).values[:, 0]
    walk = matched_walk(recording, start, sites=chosen_sites(recording))
    return lambda seed: read.with_values(walk.draw(seed), null="random_walk", seed=seed)


CLAIM = Claim(
    id="C12",
    statement="Ten principal components explain most between-text variance at each site.",
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
        "independent_units": "keeps each unit's variance and removes the correlation of units",
        "untrained": UNTRAINED,
    },
    shown={
        "random_walk": (
            "keeps the covariance of the recording's own steps, which determines its dimension"
        ),
        **SHUFFLED,
    },
    quick_draws={
        "independent_units": partial(draws_of, independent_units, six_sites),
        "random_walk": walk_at_six_sites,
    },
    note=note,
    caveat=(
        "The components are fitted on one half of the texts; the interval is over the texts of the "
        "other half."
    ),
    draw=draw,
).register()
