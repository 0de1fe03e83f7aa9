"""Figure 4 of arXiv 2502.12131: pooled principal components, and states replaced in their plane.

The components are those of all texts and sublayers about one mean, without the final site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.nulls.flow_maps import zero_update
from transformer_dynamics.numerics.arrays import Floats, ratio
from transformer_dynamics.paper.conditions import (
    SOURCE,
    Condition,
    each_condition,
    joined,
    over_conditions,
)
from transformer_dynamics.paper.figures import counted, lines, n_texts
from transformer_dynamics.paper.teleport import FIXED, HALF_RANGE, HORIZON, OWN, teleport_prompt
from transformer_dynamics.perturbation.systems import MODEL, ZERO_UPDATE
from transformer_dynamics.plots.backend import Drawing, Field, Lines, Path, Paths, Series
from transformer_dynamics.registry import panel
from transformer_dynamics.storage.attributes import STREAM

N_PATHS = 6
COUNTS = (2, 10, 100)
RANGES = {
    FIXED: f"-{HALF_RANGE:g} to {HALF_RANGE:g}",
    OWN: "range of the texts",
}
SITE_LABEL = "site (index)"


def draw_4a(result: xr.Dataset) -> list[Drawing]:
    """Paths of some texts and the mean in the plane of the first two components."""
    model = result.sel(condition=MODEL)
    labels = [str(site) for site in result["site"].values]
    shares = model["explained"].values
    paths = [
        Path(name=f"text {int(text)}", points=points, labels=labels, role="reference")
        for text, points in zip(result["text"].values, model["path"].values, strict=True)
    ]
    mean = Path(name="mean", points=model["mean_path"].values, labels=labels)
    turned = model["angle"].values
    return [
        Paths(
            title=f"4A. Paths in the pooled principal plane ({n_texts(result)})",
            x_label=f"PC1 ({STREAM}; {100 * shares[0]:.1f} % of pooled variance)",
            y_label=f"PC2 ({STREAM}; {100 * shares[1]:.1f} % of pooled variance)",
            paths=[*paths, mean],
            caption=(
                "The way of the mean and of single texts through the plane of the sublayers, "
                "without the final site. With it "
                f"the first component turns by {turned[0]:.1f} degrees and the second by "
                f"{turned[1]:.1f}."
            ),
            interpretation="A random walk is curved in its own principal plane as well.",
        )
    ]


@panel(
    "paper.4A",
    title="4A. Paths in the pooled principal plane",
    source=SOURCE,
    reports="A curved path from the first sublayer to the last.",
    draw=draw_4a,
)
def panel_4a(conditions: Sequence[Condition]) -> xr.Dataset:
    """Paths in the first two principal components of the sublayers.

    Returns:
        `path` `(condition, text, site, component)` of the first texts, `mean_path`
        `(condition, site, component)`, in stream units; `explained` `(condition, component)`, share
        of the pooled variance; `angle` `(condition, component)`, in degrees, to the component with
        the final site included.
    """

    def one(condition: Condition) -> xr.Dataset:
        plane = condition.pca.isel(component=slice(2))
        _, first = np.unique(condition.sublayers.text_index, return_index=True)
        some = first[:N_PATHS]
        return xr.Dataset(
            {
                "path": (
                    ("text", "site", "component"),
                    plane["score"].values[some],
                    {"units": STREAM},
                ),
                "mean_path": plane["mean_score"],
                "explained": plane["explained_variance_ratio"],
                "angle": ("component", _angle(condition), {"units": "degrees"}),
            },
            coords={"text": condition.sublayers.text_index[some]},
        )

    return counted(over_conditions(conditions, one), conditions)


def _angle(condition: Condition) -> Floats:
    """Angles between the first two components without and with the final site, in degrees."""
    if condition.recording.sites == condition.sublayers.sites:
        return np.zeros(2)
    other = pca(condition.recording.load_if_small(), n_components=2)["loading"].values
    cosine = np.abs((condition.pca["loading"].values[:2] * other).sum(axis=1))
    return np.asarray(np.degrees(np.arccos(np.minimum(cosine, 1.0))))


def draw_4b(result: xr.Dataset) -> list[Drawing]:
    """Cumulative share of the pooled variance by number of components."""
    return [
        Lines(
            title=f"4B. Pooled variance by number of components ({n_texts(result)})",
            x_label="components (count)",
            y_label="share of the variance of all sublayers together (1)",
            series=[
                Series(
                    name=name,
                    x=result["component"].values,
                    y=each["cumulative"].values,
                    role="model" if name == MODEL else "null",
                )
                for name, each in each_condition(result)
            ],
            caption="How many principal components hold how much of the pooled variance.",
            interpretation=(
                "A random walk with the model's step covariance holds as much in as few."
            ),
        )
    ]


@panel(
    "paper.4B",
    title="4B. Variance by number of components",
    source=SOURCE,
    reports="A few components hold most of the variance; up to 100 are shown.",
    draw=draw_4b,
)
def panel_4b(conditions: Sequence[Condition]) -> xr.Dataset:
    """`cumulative` `(condition, component)`, share of the pooled variance."""

    def one(condition: Condition) -> xr.Dataset:
        return xr.Dataset(
            {"cumulative": condition.pca["explained_variance_ratio"].cumsum("component")}
        )

    found = over_conditions(conditions, one)
    found["cumulative"].attrs = {"units": "1", "denominator": "variance pooled over sublayers"}
    return counted(found, conditions)


def draw_4c(result: xr.Dataset) -> list[Drawing]:
    """Shares by sublayer of the model, one figure per denominator, then of every condition."""
    labels = [str(site) for site in result["site"].values]
    model = result.sel(condition=MODEL)
    drawings: list[Drawing] = []
    for name, words in (
        ("about_global_mean", "about the global mean"),
        ("about_site_mean", "about the sublayer's own mean"),
    ):
        series = [
            Series(
                name=f"{count} components",
                x=np.arange(len(labels)),
                y=share,
                labels=labels,
            )
            for count, share in zip(
                result["count"].values.tolist(), model[name].values, strict=True
            )
        ]
        first = Lines(
            title=f"4C. Variance {words}, model ({n_texts(result)})",
            x_label="sublayer (index)",
            y_label="share of the sublayer's variance (1)",
            series=series,
            caption="How much of the variance of each sublayer the pooled components explain.",
            interpretation=(
                "About the global mean a drift that all texts share is explained as well; about "
                "the own mean only what tells the texts apart counts."
            ),
        )
        most = int(result["count"].values[-1])
        every = lines(
            result.isel(count=-1),
            name,
            along="site",
            title=f"4C. Variance {words}, {most} components",
            y_label=first.y_label,
            caption="The same share of all components for the model and its controls.",
            interpretation=(
                "A low dimension that was learned exceeds that of the untrained network."
            ),
        )
        drawings += [first, every]
    return drawings


@panel(
    "paper.4C",
    title="4C. Variance by sublayer",
    source=SOURCE,
    reports="100 components explain nearly all of the variance of most sublayers.",
    draw=draw_4c,
)
def panel_4c(conditions: Sequence[Condition]) -> xr.Dataset:
    """Share of each sublayer's variance that the first pooled components explain.

    Returns:
        `about_global_mean` and `about_site_mean` `(condition, count, site)`, by number of
        components, with the two denominators of `dimension.pca`.
    """

    def one(condition: Condition) -> xr.Dataset:
        found = condition.pca
        counts = [count for count in COUNTS if count < found.sizes["component"]]
        counts.append(found.sizes["component"])
        score = found["score"].values.astype(np.float64)
        parts = {
            "about_global_mean": (score**2, found["explained_about_global_mean"].values),
            "about_site_mean": (
                (score - score.mean(axis=0)) ** 2,
                found["explained_about_site_mean"].values,
            ),
        }
        variables = {}
        for name, (squares, of_all) in parts.items():
            held = np.cumsum(squares.sum(axis=0), axis=-1).T  # (component, site)
            share = of_all * ratio(held, held[-1:])
            denominator = "the sublayer's variance " + name.replace("_", " ")
            chosen = share[np.array(counts) - 1]
            variables[name] = (
                ("count", "site"),
                chosen,
                {"units": "1", "denominator": denominator},
            )
        return xr.Dataset(variables, coords={**condition.sublayers.site_coords, "count": counts})

    return counted(over_conditions(conditions, one), conditions)


def draw_4d(result: xr.Dataset) -> list[Drawing]:
    """Arrows in the plane at every start, then the squared error over depth, for both ranges."""
    drawings: list[Drawing] = []
    model = result.sel(condition=MODEL)
    for name, words in RANGES.items():
        field = model.sel(range=name)
        drawings.append(
            Field(
                title=f"4D. Displacement over {HORIZON} sublayers, {words}",
                x_label=f"PC1 ({STREAM})",
                y_label=f"PC2 ({STREAM})",
                slider_label="state replaced at",
                labels=[str(start) for start in result["start"].values],
                points=field["point_score"].values,
                arrows=field["displacement"].values,
                caption=(
                    "Where the states of one prompt, replaced by points of the plane, are carried; "
                    "an arrow ends at the last site where fewer sublayers follow."
                ),
                interpretation=(
                    "All points share what lies off the plane, so arrows that agree are no sign of "
                    "an attractor by themselves."
                ),
            )
        )
        drawings.append(_error_lines(result.sel(range=name), words))
    return drawings


def _error_lines(result: xr.Dataset, words: str) -> Lines:
    labels = [str(site) for site in result["site"].values]
    starts = result["start"].values.tolist()
    series = []
    for start in starts:
        first = labels.index(start)
        for name, each in each_condition(result.sel(start=start)):
            series.append(
                Series(
                    name=f"{name}, replaced at {start}",
                    x=np.arange(first, len(labels)),
                    y=each["squared_error"].values[first:],
                    labels=labels[first:],
                    role="model" if name == MODEL else "null",
                )
            )
    shown = starts[1 % len(starts)]
    hidden = [
        each if each.name.endswith(shown) or each.role == "model" else replace(each, hidden=True)
        for each in series
    ]
    return Lines(
        title=f"4D. Squared error to the unperturbed trajectory, {words}",
        x_label=SITE_LABEL,
        y_label=f"mean squared error ({STREAM}^2)",
        series=hidden,
        y_scale="log",
        caption="How far the replaced states lie from the trajectory of the prompt, over depth.",
        interpretation="Recovery is a fall below zero update, which ignores the perturbation.",
    )


@panel(
    "paper.4D",
    title="4D. States replaced in the principal plane",
    source=SOURCE,
    reports="States replaced at layers 7, 15 and 23 recover, at 0 and 31 they do not; no numbers.",
    draw=draw_4d,
)
def panel_4d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Replace the state of the paper's prompt by a grid in the plane, at five depths.

    Returns:
        The variables of `teleport_prompt` along `condition`: those with a flow map, and the
        model's zero update, a control that ignores the perturbation.

    Raises:
        InputError: no condition has a flow map.
    """
    found = {each.name: each.teleport for each in conditions if each.teleport is not None}
    first = next((each for each in conditions if each.flow is not None), None)
    if first is None or first.flow is None:
        raise InputError(
            "no condition has a flow map of the prompt; this panel needs a causal model with a "
            "tokenizer: paper_conditions(recording, model=model)"
        )
    ignoring = zero_update(first.flow)
    found[ZERO_UPDATE] = teleport_prompt(ignoring, first.recording, first.pca)
    return joined(found)
