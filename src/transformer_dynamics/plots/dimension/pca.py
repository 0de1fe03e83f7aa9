"""Figures of `dimension.pca` and of `dimension.held_out_pca`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dimension.held_out_pca import MASSIVE, READINGS
from transformer_dynamics.plots.backend import Drawing, Lines, Path, Paths, Series
from transformer_dynamics.plots.backend.bands import Band, band_series
from transformer_dynamics.plots.backend.captions import BOOTSTRAP, caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, depth_series, names_of
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM, attribute

SHOWN_COMPONENTS = 10


@figure("dimension.pca")
def draw_pca(result: xr.Dataset) -> list[Drawing]:
    """Draw the mean path in the first two and three components, and the share of each site."""
    labels = [
        f"PC{index} ({STREAM}; {100 * share:.1f} % of pooled variance)"
        for index, share in enumerate(result["explained_variance_ratio"].values, start=1)
    ]
    drawings: list[Drawing] = []
    if len(labels) >= 2:
        plane = _mean_path(result, labels)
        drawings.append(plane)
        if len(labels) >= 3:
            space = "Mean path in the first three principal components"
            drawings.append(replace(plane, title=space, z_label=labels[2]))
    return [*drawings, _shares(result, len(labels))]


def _mean_path(result: xr.Dataset, labels: list[str]) -> Paths:
    points = result["mean_score"].values
    return Paths(
        title="Mean path in the first two principal components",
        x_label=labels[0],
        y_label=labels[1],
        paths=[Path(name="mean over samples", points=points, labels=names_of(result, "site"))],
        caption=caption(
            "Scores of the mean state at each site on the components of all states",
            n=n_samples(result),
        ),
        interpretation=(
            "Curvature shows dynamics only if it exceeds that of a random walk, whose first "
            "components are curves with 0.61, 0.15 and 0.07 of the variance."
        ),
    )


def _shares(result: xr.Dataset, n_components: int) -> Lines:
    return Lines(
        title=f"Variance of each site explained by {n_components} pooled components",
        x_label=SITE_LABEL,
        y_label="share of the site's variance (1)",
        series=[
            depth_series("about the global mean", result["explained_about_global_mean"]),
            depth_series("about the site's own mean", result["explained_about_site_mean"]),
        ],
        caption=caption(
            f"Share of each site's variance in the span of the first {n_components} components of "
            "all states",
            n=n_samples(result),
        ),
        interpretation=(
            "The stream is low-dimensional only if the share is high about each site's own mean "
            "and on other texts, since a common drift alone makes it high about the global mean."
        ),
    )


@figure("dimension.held_out_pca")
def draw_held_out(result: xr.Dataset) -> list[Drawing]:
    """Draw variance explained by the number of components, and over depth for ten of them."""
    kinds = MASSIVE if attribute(result, "massive_unit") else MASSIVE[:1]
    return [_by_number(result, kinds), _by_site(result, kinds[-1])]


def _n(result: xr.Dataset) -> str:
    return f"{result.attrs['n_scored']} held-out samples"


def _by_number(result: xr.Dataset, kinds: tuple[str, ...]) -> Lines:
    counts = result["n_components"].values
    chance = Series(
        name="random directions, K/D",
        x=counts,
        y=np.minimum(counts / result.attrs["n_units"], 1.0),
        role="reference",
    )
    lines = []
    for kind in kinds:
        is_recorded = kind == MASSIVE[0]
        for reading in READINGS:
            at = {"massive": kind, "reading": reading}
            mean, low, high = (
                result[f"overall{end}"].sel(at).values for end in ("", "_low", "_high")
            )
            lines.append(
                band_series(
                    reading if is_recorded else f"{reading}, {kind}",
                    Band(mean, low, high),
                    x=counts,
                    role="model" if is_recorded else "detail",
                    markers=not is_recorded,
                )
            )
    return Lines(
        title="Held-out variance by number of principal components",
        x_label="components, fitted on other texts (number)",
        y_label="share of variance explained (1)",
        series=[*lines, chance],
        caption=caption(
            "Share of the variance of held-out texts in the span of K components",
            n=_n(result),
            interval=BOOTSTRAP,
            null="random directions, K/D in closed form",
        ),
        interpretation=(
            "The stream is low-dimensional only if few components are enough about the site's own "
            "mean too, since a common path or a few massive units make few enough about the global "
            "mean."
        ),
    )


def _by_site(result: xr.Dataset, massive: str) -> Lines:
    """Shares by site for ten components, or for the largest smaller number defined everywhere."""
    counts = result["n_components"].values
    defined = np.isfinite(result["overall"].sel(massive=massive).values).all(axis=0)
    count = int(counts[defined & (counts <= SHOWN_COMPONENTS)].max(initial=counts[0]))
    at = {"massive": massive, "n_components": count}
    return Lines(
        title=f"Held-out variance of each site, K = {count}, {massive}",
        x_label=SITE_LABEL,
        y_label="share of variance explained (1)",
        series=[
            depth_series(reading, result[f"explained_{reading.replace(' ', '_')}"].sel(at))
            for reading in READINGS
        ],
        caption=caption(
            f"Share of each site's held-out variance in the span of {count} components",
            n=_n(result),
        ),
        interpretation=(
            "At the first sites a high share means only that texts with the same last token have "
            "similar states."
        ),
    )
