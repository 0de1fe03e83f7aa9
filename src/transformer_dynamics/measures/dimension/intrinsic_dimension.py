"""Dimension of the cloud of states at each site, and of each sample's path over depth.

Two estimates, which answer different questions. With the covariance C of a set of points,

    participation ratio   (tr C)^2 / tr C^2 = (sum l)^2 / sum l^2 over the eigenvalues l of C,
    TwoNN                 d of P(r2/r1 > m) = m^-d, r1 and r2 the distances to a point's two nearest

The first is linear: how many directions share the variance. The second is local: how many
directions a point can be left in; a curved sheet has 2, whatever its participation ratio.

From N points the participation ratio is biased low, to about 1 / (1/true + 1/N), so at most N - 1.
The corrected one is the ratio of the unbiased estimates of (tr C)^2 and tr C^2 (U-statistics over
four distinct points, in closed form); the ratio of two unbiased estimates keeps a bias of order
1/N. It takes independent points, so the points of a path, neighbors in depth, get none.

TwoNN and its decimation are those of `neighbors`. In many dimensions 512 points are too few for
it, and it is biased low; a Gaussian cloud of as many points, with exactly the site's sample
covariance, stands beside it and tells what a linear cloud would give. At the first site the state
is a function of the last token alone, so samples coincide there: TwoNN keeps one of each, the
number that remains is reported, and there is no estimate from fewer than 10. The participation
ratio weighs states as they come, repeats included.

A path of S sites is S points. Each sample's path is measured by itself and nothing is pooled, since
a cloud of all paths would have the dimension of the spread between samples. Beside each stands the
path with the same step lengths and all steps at right angles, which is what a random walk in many
dimensions is (participation ratio 2.5 for equal steps), because a path is sampled in order and not
at random: TwoNN then compares the lengths of neighboring steps, large where they are alike.

Sources: Facco et al. 2017 (arXiv 1803.06992) for TwoNN and decimation; the unbiased estimates in
closed form are those of Himeno and Yamada (2014), compare arXiv 2509.26560. Path of right angles
and Gaussian cloud: ours.

Cost, for N samples, S sites, D units: 6 S N^2 D for the products and the distances of all
fractions, 4 S N min(N, D)^2 for the Gaussian clouds and N S^2 D for the paths; a site in float64 at
a time.

Not handled: noise below the distance of neighbors (which TwoNN counts as dimensions), samples that
depend on each other, and massive activations, which dominate variance and distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import linalg

from transformer_dynamics.measures.dimension.two_nn import (
    DISCARD,
    UNDEFINED,
    as_points,
    centered,
    distinct,
    distinct_decimated_two_nn,
    distinct_two_nn,
    require_discard,
    require_parts,
)
from transformer_dynamics.numerics.arrays import Floats, lengths, ratio, site_states, warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

UNDEFINED_HERE = f"{UNDEFINED}, fewer than four samples (corrected), or points that do not vary"


def participation_ratio(points: NDArray[Any]) -> Floats:
    """Participation ratio (sum l)^2 / sum l^2 of the eigenvalues l of the sample covariance.

    Biased low for few points: at most their number less one.

    Args:
        points: `(..., point, axis)`.

    Returns:
        `(...)`, from 1 to min(points - 1, axes), float64; NaN, with one `UndefinedWarning`, where
        the points do not vary or are not finite.

    Raises:
        InputError: `points` has fewer than two axes.

    >>> participation_ratio(np.array([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    array(2.)
    """
    trace, squared, _ = _traces(as_points(points, "participation_ratio"))
    result = np.asarray(ratio(trace**2, squared))
    warn_undefined({"participation_ratio": result}, "the points do not vary", stacklevel=2)
    return result


def corrected_participation_ratio(points: NDArray[Any]) -> Floats:
    """Participation ratio of the distribution that the points were drawn from.

    The ratio of unbiased estimates of (tr C)^2 and tr C^2, for independent points of any
    distribution with finite fourth moments; its own bias is of order 1 / points.

    Args:
        points: `(..., point, axis)`.

    Returns:
        `(...)`, float64, beyond the number of axes or points by chance; NaN, with one
        `UndefinedWarning`, for fewer than four points, or where the estimate of tr C^2 is not
        positive.

    Raises:
        InputError: `points` has fewer than two axes.

    >>> cloud = np.random.default_rng(0).standard_normal((40, 30))
    >>> participation_ratio(cloud).round(1), corrected_participation_ratio(cloud).round(1)
    (np.float64(16.1), np.float64(28.5))
    """
    points = as_points(points, "corrected_participation_ratio")
    result = np.asarray(_corrected(*_traces(points), points.shape[-2]))
    warn_undefined(
        {"corrected_participation_ratio": result},
        "there are fewer than four points, or the estimate of tr C^2 is not positive",
        stacklevel=2,
    )
    return result


def _traces(points: Floats) -> tuple[Floats, Floats, Floats]:
    """With the scatter G of `(..., point, axis)`: tr G, tr G^2 and sum |x|^4, each `(...)`."""
    deviations = centered(points)
    n_points, n_axes = points.shape[-2:]
    turned = np.swapaxes(deviations, -1, -2)
    with np.errstate(invalid="ignore", over="ignore"):
        product = deviations @ turned if n_points < n_axes else turned @ deviations
        squares = np.einsum("...pa,...pa->...p", deviations, deviations)
        squared = np.einsum("...ij,...ij->...", product, product)
        return squares.sum(axis=-1), squared, (squares**2).sum(axis=-1)


def _corrected(trace: Floats, squared: Floats, fourth: Floats, n: int) -> Floats:
    """Unbiased (tr C)^2 over unbiased tr C^2 (Himeno and Yamada 2014), from `_traces`."""
    if n < 4:
        return np.full(np.shape(trace), np.nan)
    of_trace, of_square = trace**2 / (n - 1) ** 2, squared / (n - 1) ** 2
    excess = n * fourth / (n - 1)
    above = 2 * of_square + (n**2 - 3 * n + 1) * of_trace - excess
    below = (n - 1) * (n - 2) * of_square + of_trace - excess
    return np.asarray(ratio(above, np.where(below > 0, below, np.nan)))


def gaussian_cloud(points: NDArray[Any], *, seed: int = 0) -> Floats:
    """A Gaussian cloud that has the sample covariance of some points exactly.

    The points are turned by a random orthogonal matrix over the points that leaves their mean
    alone. If they are a Gaussian sample, the cloud is another one of the same law; if they are
    not, each of its points mixes all of theirs, and nothing but their covariance is left.

    Args:
        points: `(point, axis)`, finite.
        seed: of the matrix.

    Returns:
        `(point, axis)`, about zero, float64.

    >>> spread = gaussian_cloud(np.array([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]))
    >>> (spread.T @ spread).round(6) + 0.0
    array([[18.,  0.],
           [ 0.,  2.]])
    """
    return _gaussian_cloud(np.asarray(points, dtype=np.float64), np.random.default_rng(seed))


def _gaussian_cloud(points: Floats, rng: np.random.Generator) -> Floats:
    deviations = centered(points)
    n_points, n_axes = points.shape
    if n_points == 1 or not np.isfinite(deviations).all():
        return deviations
    # Fewer rows with the same products, F'F = X'X: the points' in a basis without the mean, or R.
    if n_points - 1 <= n_axes:
        factor: Floats = linalg.helmert(n_points) @ deviations
    else:
        factor = np.asarray(linalg.qr(deviations, mode="r")[0][:n_axes], dtype=np.float64)
    numbers = rng.standard_normal((n_points, len(factor)))
    frame, upper = linalg.qr(numbers - numbers.mean(axis=0), mode="economic")
    # With these signs the frame is uniform among all orthonormal ones (Mezzadri).
    return np.asarray((frame * np.sign(np.diag(upper))) @ factor)


def right_angled_paths(step_lengths: NDArray[Any]) -> Floats:
    """Paths with given step lengths, each step at right angles to all others.

    That is what a random walk in many dimensions looks like.

    Args:
        step_lengths: `(..., step)`.

    Returns:
        Points `(..., point, axis)`, one axis per step and one point more than steps, float64.

    >>> right_angled_paths(np.array([3.0, 4.0]))
    array([[0., 0.], [3., 0.], [3., 4.]])
    """
    n_steps = np.shape(step_lengths)[-1]
    covered = np.tri(n_steps + 1, n_steps, -1)
    return np.asarray(covered * np.asarray(step_lengths, dtype=np.float64)[..., np.newaxis, :])


def _of_paths(recording: Recording, discard: float) -> dict[str, Floats]:
    """Participation ratio and TwoNN of every sample's path and of its right-angled double."""
    names = ("path_participation_ratio", "path_two_nn")
    result = {name: np.empty(recording.shape[0]) for name in names}
    result |= {f"right_angled_{name}": np.empty(recording.shape[0]) for name in names}
    for rows, values in recording.blocks():
        for sample, path in enumerate(values, start=rows.start):
            points = np.asarray(path, dtype=np.float64)
            with np.errstate(invalid="ignore"):
                double = right_angled_paths(lengths(np.diff(points, axis=0)))
            for prefix, cloud in (("", points), ("right_angled_", double)):
                trace, squared, _ = _traces(cloud)
                result[prefix + names[0]][sample] = ratio(trace**2, squared)
                result[prefix + names[1]][sample] = distinct_two_nn(distinct(cloud), discard)
    return result


CLOUD = {"units": "1", "pooling": "the samples at a site are the points, about the site's mean"}
PATH = {"units": "1", "pooling": "none: the sites of one sample are the points, about their mean"}
BIAS = (
    "biased low by the finite number of samples N, roughly 1/estimate = 1/true + 1/N, and never "
    "above N - 1"
)
CORRECTED = (
    "the estimates of (tr C)^2 and of tr C^2 are each unbiased for independent samples; their "
    "ratio keeps a bias of order 1/N and may exceed the number of units or samples by chance"
)
FEW_POINTS = (
    "biased low in many dimensions, where the samples are too few for a constant density up to the "
    "second neighbor: trust it where the fractions agree"
)
TWO_NN = "slope of -ln(1 - i/N) on the i-th smallest ln(r2/r1), through the origin"
IN_ORDER = "not corrected: the points of a path are neighbors in depth and not independent draws"
DOUBLE = "the path with the same step lengths and all steps at right angles"
ATTRS: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "participation_ratio": (
        ("site",),
        {
            **CLOUD,
            "definition": "(sum l)^2 / sum l^2 of the covariance's eigenvalues",
            "bias": BIAS,
        },
    ),
    "participation_ratio_corrected": (
        ("site",),
        {**CLOUD, "definition": "unbiased (tr C)^2 / unbiased tr C^2", "bias": CORRECTED},
    ),
    "two_nn": (("site", "fraction"), {**CLOUD, "definition": TWO_NN, "bias": FEW_POINTS}),
    "gaussian_two_nn": (
        ("site", "fraction"),
        {**CLOUD, "definition": f"{TWO_NN}, for one Gaussian cloud of this sample covariance"},
    ),
    "n_distinct": (("site",), {"units": "samples", "definition": "distinct states at the site"}),
    "path_participation_ratio": (("sample",), {**PATH, "bias": IN_ORDER}),
    "path_two_nn": (("sample",), {**PATH, "definition": TWO_NN, "bias": IN_ORDER}),
    "right_angled_path_participation_ratio": (("sample",), {**PATH, "definition": DOUBLE}),
    "right_angled_path_two_nn": (("sample",), {**PATH, "definition": DOUBLE}),
}


@measure(
    "dimension.intrinsic_dimension",
    title="Dimension of the states and of the paths",
    source="participation ratio; TwoNN of Facco et al. 2017 (arXiv 1803.06992)",
)
def intrinsic_dimension(
    recording: Recording,
    *,
    n_parts: tuple[int, ...] = (1, 2, 4, 8),
    discard: float = DISCARD,
    seed: int = 0,
) -> xr.Dataset:
    """Dimension of the samples at each site, and of each sample's path over the sites.

    Args:
        recording: the states.
        n_parts: TwoNN is taken on 1, 1/2, ... of the samples, averaged over so many subsets.
        discard: share of the largest ratios of distances left out of TwoNN's fit.
        seed: of the subsets and of the Gaussian clouds.

    Returns:
        `participation_ratio`, `participation_ratio_corrected`, `n_distinct` `(site)`; `two_nn`,
        `gaussian_two_nn` `(site, fraction)`; `path_participation_ratio`, `path_two_nn` and both of
        their right-angled doubles `(sample)`; dimensionless. TwoNN counts coinciding points once.
        NaN, with one `UndefinedWarning` for all, where fewer than 10 distinct points remain (fewer
        than four samples for the corrected ratio), or where points do not vary.

    Raises:
        InputError: an option is out of its range.

    >>> from transformer_dynamics.nulls import synthetic
    >>> cloud = synthetic.independent_states(n_samples=200, n_sites=12, n_units=10)
    >>> result = intrinsic_dimension(cloud)
    >>> result["participation_ratio_corrected"].mean().item()
    10.0...
    """
    require_discard(discard)
    require_parts(n_parts)
    n_sites = recording.shape[1]
    arrays: dict[str, NDArray[Any]] = {
        name: np.empty(n_sites) for name in ("participation_ratio", "participation_ratio_corrected")
    }
    arrays |= {name: np.empty((n_sites, len(n_parts))) for name in ("two_nn", "gaussian_two_nn")}
    arrays["n_distinct"] = np.empty(n_sites, dtype=np.int64)
    for sites, values in recording.site_blocks():
        for site, states in enumerate(site_states(values), start=sites.start):
            traces = _traces(states)
            arrays["participation_ratio"][site] = ratio(traces[0] ** 2, traces[1])
            arrays["participation_ratio_corrected"][site] = _corrected(*traces, len(states))
            rng = np.random.default_rng([seed, site])
            points = distinct(states)
            arrays["n_distinct"][site] = len(points)
            arrays["two_nn"][site] = distinct_decimated_two_nn(points, n_parts, discard, rng)
            arrays["gaussian_two_nn"][site] = distinct_decimated_two_nn(
                _gaussian_cloud(points, rng), n_parts, discard, rng
            )
        del values, states
    arrays |= _of_paths(recording, discard)
    undefined = {name: array for name, array in arrays.items() if name != "n_distinct"}
    warn_undefined(undefined, UNDEFINED_HERE, stacklevel=3)
    return xr.Dataset(
        {name: (ATTRS[name][0], array, ATTRS[name][1]) for name, array in arrays.items()},
        coords={**recording.site_coords, "fraction": 1 / np.array(n_parts)},
    )
