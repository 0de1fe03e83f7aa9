"""Figures of `dimension.intrinsic_dimension`: of the samples by site, and of single paths."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Group, Histogram, Lines
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, depth_series
from transformer_dynamics.registry import figure

# Lines of the model beyond these are hard to tell from each other by color.
MOST_SHOWN = 3
RIGHT_ANGLED = "same step lengths, all steps at right angles"
PATH_DIMENSIONS = {
    "Participation ratio": "participation_ratio",
    "TwoNN dimension": "two_nn",
}


@figure("dimension.intrinsic_dimension")
def draw_dimension(result: xr.Dataset) -> list[Drawing]:
    """Draw participation ratio and TwoNN dimension by site, and both for the paths of samples."""
    paths = [_of_paths(result, noun, name) for noun, name in PATH_DIMENSIONS.items()]
    return [_participation_ratio(result), _two_nn(result), *paths]


def _participation_ratio(result: xr.Dataset) -> Lines:
    corrected, plain = result["participation_ratio_corrected"], result["participation_ratio"]
    return Lines(
        title="Participation ratio of the samples at each site",
        x_label=SITE_LABEL,
        y_label="participation ratio (1)",
        series=[
            depth_series("corrected for the number of samples", corrected),
            depth_series("as it is", plain, role="detail"),
        ],
        caption=caption(
            "Participation ratio of the covariance of the samples at each site",
            n=n_samples(result),
        ),
        interpretation=(
            "The number describes the population only if texts are independent of each other and "
            "no massive unit holds most of the variance."
        ),
    )


def _two_nn(result: xr.Dataset) -> Lines:
    shares = sorted(enumerate(result["fraction"].values), key=lambda pair: -pair[1])
    lines = [
        depth_series(
            f"1/{1 / share:.0f} of the samples",
            result["two_nn"].isel(fraction=index),
            hidden=order >= MOST_SHOWN,
        )
        for order, (index, share) in enumerate(shares)
    ]
    gaussian = depth_series(
        "Gaussian cloud of the same covariance, all samples",
        result["gaussian_two_nn"].isel(fraction=0),
        role="null",
    )
    return Lines(
        title="TwoNN dimension of the samples at each site",
        x_label=SITE_LABEL,
        y_label="intrinsic dimension (1)",
        series=[*lines, gaussian],
        caption=caption(
            "TwoNN dimension of the samples at each site, and of random subsets of them",
            n=n_samples(result),
            null="Gaussian samples of the same covariance",
        ),
        interpretation=(
            "Structure beyond the covariance is shown only where the dimension lies below the "
            "Gaussian one and is the same for subsets, which differ where texts are too few."
        ),
    )


def _of_paths(result: xr.Dataset, noun: str, name: str) -> Histogram:
    null = result[f"right_angled_path_{name}"].values
    return Histogram(
        title=f"{noun} of each sample's path over depth",
        x_label=f"{noun} (1)",
        groups=[
            Group(name="samples", values=result[f"path_{name}"].values),
            Group(name=RIGHT_ANGLED, values=null, role="null"),
        ],
        y_label="share of samples per bin (1)",
        caption=caption(
            f"{noun} of the path of each sample over depth", n=n_samples(result), null=RIGHT_ANGLED
        ),
        interpretation=(
            "Paths are low-dimensional only if they differ from paths with the same step lengths "
            "and no common direction, which are curved and of low dimension as well."
        ),
    )
