"""C7: in reduced dimensions the stream follows a curved trajectory.

Statistic: tortuosity (length over end-to-end distance) of the mean path over texts in the plane
of the first two principal components of all samples and sublayers together. A straight path has
1; the threshold of 1.1 asks for a path a tenth longer than its chord (ours). PCA of a high-
dimensional walk is curved too, so the number means something only beside its nulls.

The plane is fitted to the recording (or to the null's draw) once; bootstrap draws move the path
in it.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim, Floats, mean_path
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.drawing import Drawing, Path, Paths
from transformer_dynamics.population.axes import principal_axes
from transformer_dynamics.population.geometry import tortuosity
from transformer_dynamics.recording.recording import Recording


def profile(recording: Recording, weights: Floats) -> Floats:
    """The mean path in the plane of the first three components, `(draw, site, component)`."""
    n_components = min(3, recording.shape[2])
    axes = principal_axes(recording.values, n_components)
    return np.asarray(axes.project(mean_path(recording, weights)), dtype=np.float64)


def summary(profile: Floats) -> Floats:
    """Tortuosity in the first two components, `(draw)`."""
    return np.asarray(tortuosity(profile[..., :2]))


def remark(recording: Recording, evidence: xr.Dataset) -> str:
    """The explained variance that the paper quotes, and how few units may carry it."""
    axes = principal_axes(recording.values, min(3, recording.shape[2]))
    shares = ", ".join(f"{share:.2f}" for share in axes.variance / axes.total_variance)
    top = np.sort(np.abs(axes.components[0]) ** 2)[::-1][:3].sum()
    return (
        f"The first components explain {shares} of the variance about the global mean (walk in "
        f"high dimension: 0.61, 0.15, 0.07); three units carry {top:.0%} of the first."
    )


def draw(evidence: xr.Dataset) -> list[Drawing]:
    """Mean paths in the plane and in space, and the statistic against its nulls."""
    labels = [str(label) for label in evidence["site"].values]
    paths = [Path(name="recording", points=evidence["profile"].values, labels=labels)]
    paths += [
        Path(
            name=null_name(name) + " (one draw)",
            points=evidence["null_example"].sel(null=name).values,
            labels=labels,
            role="null",
        )
        for name in evidence["null"].values
    ]
    names = [f"PC{place} (stream units)" for place in (1, 2, 3)]
    title = "Mean trajectory over depth in principal components; each path in its own axes"
    flat = Paths(title=title, x_label=names[0], y_label=names[1], paths=paths)
    drawings: list[Drawing] = [flat]
    if evidence["profile"].shape[-1] > 2:
        drawings.append(
            Paths(title=title, x_label=names[0], y_label=names[1], z_label=names[2], paths=paths)
        )
    return [*drawings, statistic_intervals(evidence, "tortuosity in the plane of PC1 and PC2 (1)")]


def coords(recording: Recording) -> dict[str, object]:
    """Sites and components."""
    n_components = min(3, recording.shape[2])
    return {**recording.site_coords, "component": np.arange(1, n_components + 1)}


CLAIM = Claim(
    id="C7",
    statement="In reduced dimensions the stream follows a curved trajectory.",
    statistic=(
        "tortuosity of the mean path over texts in the plane of the first two principal components "
        "of all sublayers together: length over end-to-end distance (1)"
    ),
    source="arXiv 2502.12131: curved trajectory in PCA of all sublayers together",
    profile=profile,
    summary=summary,
    dims=("site", "component"),
    coords=coords,
    threshold=1.1,
    nulls=("random_walk", "permuted_increments", "untrained"),
    remark=remark,
    draw=draw,
).register()
