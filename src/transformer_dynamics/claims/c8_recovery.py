"""C8: attractor-like dynamics: a state put elsewhere comes back, in three readings kept apart.

States are put on a grid in the plane of the first two principal components and followed to the last
site (arXiv 2502.12131, which shows trajectories that converge for layers 7, 15 and 23 of 32 and
gives no numbers). Statistic: the ratio of the distance to the clean trajectory at the last site to
that where the state was put, geometric mean over states, texts and the injections at a quarter,
half and three quarters of the depth:

    C8        in all D dimensions     the reading that the claim rests on
    C8-norm   over the stream's norm  falls for free wherever the norm grows
    C8-plane  in the plane            blind to what leaves the plane

Zero update, a network whose layers do not answer to a deviation at all, gives 1 in the first and
the third, and in the second what the growing norm alone gives. A stream that corrects itself must
fall below 1 and below both baselines.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim, Floats
from transformer_dynamics.claims.figures import null_name, statistic_intervals
from transformer_dynamics.drawing import Drawing, Lines, Series
from transformer_dynamics.inference.bootstrap import uniform_weights

KIND = "grid"
LABELS = {
    "recovery_ratio": "recovery ratio in D dimensions",
    "relative_recovery": "distance over the stream's norm, over its start",
    "plane_recovery_ratio": "recovery ratio in the plane",
}

REQUIRES = {
    "recovery_ratio": (
        "For a stream that corrects itself the line would have to fall below 1, and below that of "
        "the untrained network."
    ),
    "relative_recovery": (
        "For correction the line would have to fall below that of zero update, which falls "
        "because the norm grows and for no other reason."
    ),
    "plane_recovery_ratio": (
        "For correction what leaves the plane would have to be lost, and not only turned into "
        "other directions: the reading in all dimensions tells."
    ),
}


def profile_of(variable: str, kind: str = KIND) -> Callable[[xr.Dataset, Floats], Floats]:
    """The ratio at the last site by the site where states were put, `(draw, start)`."""

    def profile(result: xr.Dataset, weights: Floats) -> Floats:
        ratios = result[variable].sel(kind=kind).isel(site=-1).transpose("sample", "start").values
        return _geometric(weights, ratios)

    return profile


def picture_of(variable: str) -> Callable[[xr.Dataset], Floats]:
    """The ratio at every site, `(start, site)`, NaN before the site where states were put."""

    def picture(result: xr.Dataset) -> Floats:
        ratios = result[variable].sel(kind=KIND).transpose("sample", "start", "site").values
        flat = ratios.reshape(len(ratios), -1)
        mean: Floats = _geometric(uniform_weights(len(ratios)), flat)[0].reshape(ratios.shape[1:])
        return mean

    return picture


def _geometric(weights: Floats, ratios: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Floats = np.exp(weights @ np.log(ratios))
    return mean


def summary(profile: Floats) -> Floats:
    """Geometric mean over the injections but the first and the last, `(draw)`."""
    inner = profile[..., 1:-1] if profile.shape[-1] > 2 else profile
    with np.errstate(divide="ignore", invalid="ignore"):
        mean: Floats = np.exp(np.log(inner).mean(axis=-1))
    return mean


def coords(result: xr.Dataset) -> dict[str, object]:
    """Where states were put, and the sites."""
    return {"start": result["start"].values, "site": result["site"].values}


def remark_of(variable: str) -> Callable[[xr.Dataset, xr.Dataset], str]:
    """By injection depth, the lowest ratio on the way, and the other kinds of displacement."""

    def remark(result: xr.Dataset, evidence: xr.Dataset) -> str:
        starts = [str(start) for start in evidence["start"].values]
        ends = ", ".join(
            f"{start} {value:.3g} [{low:.3g}, {high:.3g}]"
            for start, value, low, high in zip(
                starts,
                evidence["profile"].values,
                evidence["profile_low"].values,
                evidence["profile_high"].values,
                strict=True,
            )
        )
        text = f"At the last site, by where states were put: {ends}."
        if variable != "recovery_ratio":
            return text
        path = evidence["picture"].values[1 % len(starts)]
        lowest = int(np.nanargmin(path))
        text += (
            f" Put at {starts[1 % len(starts)]}, the ratio is lowest at "
            f"{evidence['site'].values[lowest]}: {path[lowest]:.3g}."
        )
        one = uniform_weights(result.sizes["sample"])
        others = [
            f"{kind} {summary(profile_of(variable, kind)(result, one))[0]:.3g}"
            for kind in result["kind"].values
            if kind != KIND
        ]
        return text + (f" Other displacements: {', '.join(others)}." if others else "")

    return remark


def draw_of(variable: str) -> Callable[[xr.Dataset], list[Drawing]]:
    """The ratio over depth for the model and its baselines, and the statistic with its interval."""

    def draw(evidence: xr.Dataset) -> list[Drawing]:
        labels = [str(label) for label in evidence["site"].values]
        starts = [str(start) for start in evidence["start"].values]
        series = []
        for row, start in enumerate(starts):
            paths = {"recording": evidence["picture"].values[row]}
            for name in evidence["null"].values:
                paths[null_name(name)] = evidence["null_picture"].sel(null=name).values[row]
            first = labels.index(start)
            series += [
                Series(
                    name=f"{name.replace('recording', 'model')}, put at {start}",
                    x=np.arange(first, len(labels)),
                    y=path[first:],
                    labels=labels[first:],
                    role="model" if name == "recording" else "null",
                    hidden=row not in (1, len(starts) // 2),
                )
                for name, path in paths.items()
            ]
        label = LABELS[variable]
        return [
            Lines(
                title=f"{label[0].upper()}{label[1:]}, over depth, geometric mean over texts",
                x_label="site (index)",
                y_label=f"{label} (1)",
                series=series,
                y_scale="log",
                shows=(
                    "What is left of a displacement at each later site, for the model and for "
                    "systems that keep its clean trajectory or its architecture."
                ),
                requires=REQUIRES[variable],
            ),
            statistic_intervals(evidence, f"{label}, inner injections (1)"),
        ]

    return draw


def _claim(claim_id: str, variable: str, statement: str, denominator: str, caveat: str) -> Claim:
    return Claim(
        id=claim_id,
        statement=statement,
        statistic=(
            f"{LABELS[variable]} at the last site, geometric mean over states on the grid, texts "
            f"and inner injections (1; denominator: {denominator})"
        ),
        source=(
            "arXiv 2502.12131: trajectories of states put at layers 7, 15 and 23 of 32 converge, "
            "those of 0 and 31 do not; no numbers"
        ),
        perturbation="perturbation.teleport",
        profile=profile_of(variable),
        summary=summary,
        dims=("start",),
        coords=coords,
        threshold=1.0,
        direction="less",
        nulls=("zero_update", "untrained"),
        shown=(),
        picture=picture_of(variable),
        picture_dims=("start", "site"),
        remark=remark_of(variable),
        caveat=caveat,
        draw=draw_of(variable),
    ).register()


CLAIM = _claim(
    "C8",
    "recovery_ratio",
    "The stream corrects itself: a state put elsewhere comes nearer to its own trajectory.",
    "the distance where the state was put",
    "Distances are absolute and in all dimensions, so that a growing norm cannot make them fall; "
    "where norms grow, a ratio above 1 may still be a smaller share of the norm, which is C8-norm.",
)
OVER_NORM = _claim(
    "C8-norm",
    "relative_recovery",
    "Read over the stream's norm, a state put elsewhere comes nearer to its own trajectory.",
    "distance over the clean state's norm where the state was put",
    "This reading falls wherever the norm grows, with no answer to the deviation at all: only what "
    "lies below zero update is correction.",
)
IN_PLANE = _claim(
    "C8-plane",
    "plane_recovery_ratio",
    "Read in the plane alone, a state put elsewhere comes nearer to its own trajectory.",
    "the distance in the plane where the state was put",
    "A projection can fall while the distance grows.",
)
