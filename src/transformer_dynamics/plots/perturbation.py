"""Lines over depth with their bands over texts, one per system."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.perturbation.jacobians.spectrum import MEANINGS
from transformer_dynamics.perturbation.layers import EDITS
from transformer_dynamics.perturbation.states.truncation import KINDS as TRUNCATIONS
from transformer_dynamics.perturbation.systems import (
    MODEL,
    shown_systems,
)
from transformer_dynamics.plots.backend import Drawing, Field, Lines, Path, Paths, Role, Series
from transformer_dynamics.registry import figure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights
from transformer_dynamics.storage.attributes import STREAM

N_BOOTSTRAP = 499
STEP_LABEL = "layer (index of the step from its first site to the next layer's)"
READINGS = {
    "recovery_ratio": "recovery ratio in D dimensions (1)",
    "plane_recovery_ratio": "recovery ratio in the plane (1)",
    "relative_recovery": "distance over the stream's norm, over its start (1)",
}


def depth_lines(
    result: xr.Dataset, name: str, title: str, *, caption: str, interpretation: str
) -> Lines:
    """One quantity of every system by layer, mean over texts with its 95 % band."""
    labels = [str(label) for label in result["step"].values]
    return Lines(
        title=f"{title}, mean over texts",
        x_label=STEP_LABEL,
        y_label=MEANINGS[name][0],
        series=[
            banded(result[name].sel(system=system), system, labels)
            for system in shown_systems(result)
        ],
        caption=caption,
        interpretation=interpretation,
    )


def banded(
    values: xr.DataArray,
    name: str,
    labels: Sequence[str] = (),
    *,
    role: Role | None = None,
    x: Floats | None = None,
    logs: bool = False,
) -> Series:
    """Mean over texts with its 95 % bootstrap band; texts without any value are left out.

    Args:
        values: `(sample, place)`, with the coordinate `group` where texts are resampled by group.
        name: name of the line.
        labels: name of each place.
        role: role of the line; by default that of the model for its name, else that of a null.
        x: where the places lie; by default at their index.
        logs: whether the values are logarithms; the exponential of their mean is drawn.
    """
    values = values.transpose("sample", ...)
    values = values[np.isfinite(values.values).any(axis=1)]
    mean, low, high = mean_and_band(values)
    if logs:
        mean, low, high = np.exp(mean), np.exp(low), np.exp(high)
    return Series(
        name=name.replace("_", " "),
        x=np.arange(values.shape[1]) if x is None else x,
        y=mean,
        low=low,
        high=high,
        labels=labels,
        role=role or role_of(name),
    )


def role_of(system: str) -> Role:
    """Role of a system's line."""
    return "model" if system == MODEL else "null"


def mean_and_band(values: xr.DataArray) -> tuple[Floats, Floats, Floats]:
    """Mean over the dimension `sample`, 2.5 % and 97.5 % of its bootstrap over groups of texts.

    Texts are resampled one by one where `values` has no coordinate `group`. NaN without any text.
    """
    found = values.transpose("sample", ...).values
    if not len(found):
        return (np.full(found.shape[1:], np.nan),) * 3
    groups = values["group"].values if "group" in values.coords else np.arange(len(found))
    low, high = percentile_interval(np.tensordot(text_weights(groups, N_BOOTSTRAP), found, 1))
    return found.mean(axis=0), low, high


@figure("perturbation.skip_and_swap")
def draw_layers(result: xr.Dataset) -> list[Drawing]:
    """Agreement and divergence by layer for every edit and system."""
    drawings: list[Drawing] = []
    for name, y_label in (
        ("agreement", "positions whose most likely next token stays (1)"),
        ("kl", "KL from the unedited distribution (nats)"),
    ):
        series = []
        for system in shown_systems(result):
            for edit in EDITS:
                values = result[name].sel(system=system, edit=edit).transpose("sample", ...)
                kept = values[:, : values.shape[1] - (edit == "swap")]
                series.append(banded(kept, f"{system}, {edit}", role=role_of(system)))
        drawings.append(
            Lines(
                title=f"One layer edited: {y_label.rpartition(' (')[0]}, mean over texts",
                x_label="layer (index)",
                y_label=y_label,
                series=series,
                y_scale="log" if name == "kl" else "linear",
                caption="What each edit of a single layer does to the predictions.",
                interpretation=(
                    "Robustness that is learned would keep more when a layer is left out than "
                    "when the stream is moved as far at random, and more than the untrained "
                    "network keeps. An update turned at random moves the stream 1.41 times as far."
                ),
            )
        )
    return drawings


@figure("perturbation.flow_field")
def draw_flow_field(result: xr.Dataset) -> list[Drawing]:
    """The model's field at every site, with a slider over depth."""
    shown = result.sel(system=MODEL) if MODEL in result["system"].values else result.isel(system=0)
    return [
        Field(
            title=f"Mean displacement over the next {result.attrs['n_sites']} sites, in the plane",
            x_label=f"PC1 ({STREAM})",
            y_label=f"PC2 ({STREAM})",
            slider_label="site",
            labels=shown["site"].values.tolist(),
            points=shown["point_score"].values,
            arrows=shown["displacement"].values,
            caption="Where states on a grid in the plane are carried next, at every depth.",
            interpretation=(
                "For an attractor arrows would have to point inwards from all sides, at the "
                "scale at which texts differ, and not all in the direction of the common drift."
            ),
        )
    ]


@figure("perturbation.basin")
def draw_basin(result: xr.Dataset) -> list[Drawing]:
    """Inward share by radius for every system, one figure per depth."""
    return [
        Lines(
            title=f"States put at {start}: displaced towards the clean trajectory, mean over texts",
            x_label="distance from the clean state / spread of texts at the site, ln (1)",
            y_label="share displaced inwards (1)",
            series=[
                banded(
                    result["inward_share"].sel(system=system, start=start),
                    system,
                    x=np.log(result["radius"].values),
                )
                for system in result["system"].values.tolist()
            ],
            caption="How often a deviation of some size is pushed back in the next layer.",
            interpretation=(
                "A basin would be a share above one half out to some radius, in the model and not "
                "in the untrained network."
            ),
        )
        for start in result["start"].values.tolist()
    ]


@figure("perturbation.truncation")
def draw_truncation(result: xr.Dataset) -> list[Drawing]:
    """KL by K for singular and random directions of every system, one figure per site."""
    ranks = result["rank"].values
    x = np.log2(ranks)
    labels = [f"K = {rank}" for rank in ranks.tolist()]
    drawings: list[Drawing] = []
    for start in result["start"].values.tolist():
        series = [
            replace(
                banded(
                    result["kl"].sel(system=system, kind=kind, start=start),
                    f"{system}, {kind}",
                    labels,
                    # Other directions are the model's own baseline, and look like one.
                    role=role_of(system if kind == "singular" else kind),
                    x=x,
                ),
                # Without the mean state the prediction is lost, and the scale with it.
                hidden=kind == "random",
            )
            for system in result["system"].values.tolist()
            for kind in TRUNCATIONS
        ]
        for system in result["system"].values.tolist():
            if system == MODEL:
                level = float(result["unrelated_kl"].sel(system=system).mean())
                name = "another text's prediction"
                flat = np.full(x.size, level)
                series.append(Series(name=name, x=x, y=flat, role="reference"))
        drawings.append(
            Lines(
                title=f"State cut to K directions at {start}: change of the prediction",
                x_label="log2 of the number of directions K (1)",
                y_label="KL from the clean next-token distribution (nats)",
                series=series,
                caption="How many directions the next token's distribution needs at this depth.",
                interpretation=(
                    "Low-dimensional states would need few singular directions after every layer, "
                    "far fewer than of the mean and random ones, and few beside the units."
                ),
            )
        )
    return drawings


@figure("perturbation.slow_points")
def draw_slow_points(result: xr.Dataset) -> list[Drawing]:
    """Speed of the slow points that were found, over that of the clean state, by layer."""
    labels = [str(label) for label in result["step"].values]
    return [
        Lines(
            title="Slowest state found from the clean one: its speed over the clean state's",
            x_label=STEP_LABEL,
            y_label="|F(x) - x| of the slow point / of the clean state (1)",
            y_scale="log",
            series=[
                banded(result["speed_ratio"].sel(system=system), system, labels)
                for system in result["system"].values.tolist()
            ],
            caption="How much slower than the clean state the slowest state nearby is, by layer.",
            interpretation=(
                "A fixed point of a layer would have speed 0; a slow point is none, and the next "
                "layer has other weights."
            ),
        )
    ]


@figure("perturbation.teleport")
def draw_teleport(result: xr.Dataset) -> list[Drawing]:
    """Recovery by depth for every system, and trajectories of one text in the plane over depth."""
    labels = result["site"].values.tolist()
    drawings: list[Drawing] = []
    for name, y_label in READINGS.items():
        series = []
        for start in result["start"].values.tolist():
            for system in result["system"].values.tolist():
                chosen = result[name].sel(system=system, start=start, kind="grid")
                curves = xr.apply_ufunc(np.log, chosen)
                first = labels.index(start)
                series.append(
                    replace(
                        banded(
                            curves.isel(site=slice(first, None)),
                            f"{system}, put at {start}",
                            labels[first:],
                            role=role_of(system),
                            x=np.arange(first, len(labels)),
                            logs=True,
                        ),
                        hidden=start != result["start"].values.tolist()[1 % result.sizes["start"]],
                    )
                )
        title = (
            f"Grid in the plane: {y_label.removesuffix(' (1)')}, geometric mean, 95 % over texts"
        )
        drawings.append(
            Lines(
                title=title,
                x_label="site (index)",
                y_label=y_label,
                series=series,
                y_scale="log",
                caption="What is left of a displacement on its way to the end.",
                interpretation=(
                    "Correction would bring the model below 1 in all dimensions, below the "
                    "untrained network, and below zero update where the norm divides it."
                ),
            )
        )
    return [*drawings, *trajectories(result)]


def trajectories(result: xr.Dataset) -> list[Paths]:
    """Trajectories of the first text's states in the plane, depth as the third axis."""
    drawings = []
    for start in result["start"].values.tolist():
        first = result["site"].values.tolist().index(start)
        depth = np.arange(first, result.sizes["site"])[:, np.newaxis]
        scores = result["example_score"].sel(start=start).values[:, first:]
        clean = result["example_clean_score"].values[first:]
        gap = np.full((1, 3), np.nan)
        put = [part for score in scores for part in (np.hstack([score, depth]), gap)]
        drawings.append(
            Paths(
                title=f"One text's states put at {start} on a grid, in the plane over depth",
                x_label=f"PC1 ({STREAM})",
                y_label=f"PC2 ({STREAM})",
                z_label="site (index)",
                paths=[
                    Path(name="put on the grid", points=np.concatenate(put[:-1]), role="null"),
                    Path(name="clean", points=np.hstack([clean, depth])),
                ],
                caption=(
                    "How states put on the grid move in the plane, beside the clean trajectory."
                ),
                interpretation=(
                    "For an attractor they would have to come together in all dimensions; on the "
                    "grid all share what was off the plane, so that they look alike from the start."
                ),
            )
        )
    return drawings
