"""Figures of similarity: between sites, between recordings, and of their dynamics."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Heatmap, Interval, Intervals, Lines, Series
from transformer_dynamics.plots.backend.depth import STEP_LABEL, by_step_kind
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import attribute


@figure("similarity.dsa")
def draw_dsa(result: xr.Dataset) -> list[Drawing]:
    """The four distances, one below the other."""
    values = result["dsa"].values
    return [
        Intervals(
            title="Dynamical similarity",
            x_label="DSA (1; 0: the same rule up to rotation)",
            y_label="compared",
            intervals=[
                Interval(
                    name=str(pair),
                    value=float(value),
                    low=float(value),
                    high=float(value),
                    role="null" if place else "model",
                )
                for place, (pair, value) in enumerate(
                    zip(result["pair"].values, values, strict=True)
                )
            ],
            caption=(
                "How far the linear rules of motion of two recordings are apart, beside what the "
                "choice of texts gives and what the same states without their order give."
            ),
            interpretation=(
                "For two rules to count as alike, their distance must be about that of the "
                "halves, and the skill of both maps well above 0; the maps are averages over depth."
            ),
        )
    ]


def _name(description: dict) -> str:
    """Name of a recording in a figure."""
    provenance = description.get("provenance", {})
    name = provenance.get("model", provenance.get("system", "a recording"))
    return f"{name}, {provenance['null']}" if "null" in provenance else str(name)


@figure("similarity.between_recordings")
def draw_comparison(result: xr.Dataset) -> list[Drawing]:
    """CKA and Procrustes distance at the same relative depth with intervals and null; all pairs."""
    names = [_name(attribute(result, key)) for key in ("recording", "other")]
    titles = (
        ("cka", "Debiased CKA", "CKA (1; 1: same up to rotation)", "above"),
        ("procrustes", "Procrustes distance", "Procrustes distance (1; 0: same)", "below"),
    )
    lines = [
        _matched_lines(result, name, f"{title}: {names[0]} and {names[1]}", y_label, side)
        for name, title, y_label, side in titles
    ]
    maps = [
        Heatmap(
            title=f"{title} of all sites",
            x_label=f"site of {names[0]} (index)",
            y_label=f"site of {names[1]} (index)",
            color_label=y_label,
            values=result[name].values.T,
            x_names=[str(label) for label in result["site"].values],
            symmetric=False,
            caption="Where along the depth of one recording the other arranges the samples alike.",
            interpretation=(
                "A ridge means that both pass through the same stages only if it is far above "
                "the null of the figure before, and higher than with an untrained twin."
            ),
        )
        for name, title, y_label, _ in titles
    ]
    return [lines[0], maps[0], lines[1], maps[1]]


def _matched_lines(result: xr.Dataset, name: str, title: str, y_label: str, side: str) -> Lines:
    labels = [
        f"{site} and {matched}"
        for site, matched in zip(result["site"].values, result["matched_site"].values, strict=True)
    ]
    of = {
        suffix: result[f"matched_{name}{suffix}"].values.astype(np.float64)
        for suffix in ("", "_low", "_high", "_permuted", "_permuted_sd")
    }
    depth = result["relative_depth"].values
    return Lines(
        title=title,
        x_label="relative depth (1; first site 0, last site 1)",
        y_label=y_label,
        series=[
            Series(
                name="same relative depth (95 % over texts)",
                x=depth,
                y=of[""],
                low=of["_low"],
                high=of["_high"],
                labels=labels,
            ),
            Series(
                name="permuted samples (± 2 sd)",
                x=depth,
                y=of["_permuted"],
                low=of["_permuted"] - 2 * of["_permuted_sd"],
                high=of["_permuted"] + 2 * of["_permuted_sd"],
                labels=labels,
                role="null",
            ),
        ],
        caption=(
            "How alike the two recordings arrange the same samples, beside samples that are not "
            "paired."
        ),
        interpretation=(
            f"That the line lies {side} the null says only that both depend on the text; for "
            "it to be learned, it must differ from a comparison with an untrained twin."
        ),
    )


@figure("similarity.between_sites")
def draw_similarity(result: xr.Dataset) -> list[Drawing]:
    """Both numbers between neighboring sites beside their nulls, and between all sites."""
    walk = "it must differ from the walk, which shares as much with its past"
    return [
        _neighbor_lines(
            result,
            "cka",
            "Debiased CKA of neighboring sites",
            "CKA (1; 1: same up to rotation)",
            f"for it to say that a step depends on the state it is added to, {walk}",
        ),
        Heatmap(
            title="Debiased CKA of all sites",
            x_label="site (index)",
            y_label="other site (index)",
            color_label="CKA (1)",
            values=result["cka"].values.T,
            x_names=[str(label) for label in result["site"].values],
            symmetric=False,
            caption="Blocks are stretches of depth in which the samples keep their arrangement.",
            interpretation=(
                "A block means a stage only if its edge is sharper than the slow decay that "
                "any sum of independent steps shows, and if a few large units do not make it."
            ),
        ),
        _neighbor_lines(
            result,
            "procrustes",
            "Procrustes distance of neighboring sites",
            "Procrustes distance (1; 0: same, √2 at most)",
            f"for it to say that a step depends on the state it is added to, {walk}; its size by "
            "itself depends on the numbers of samples and units",
        ),
        Heatmap(
            title="Procrustes distance of all sites",
            x_label="site (index)",
            y_label="other site (index)",
            color_label="distance (1)",
            values=result["procrustes"].values.T,
            x_names=[str(label) for label in result["site"].values],
            symmetric=False,
            caption=(
                "How much of the arrangement of the samples no rotation carries from one site "
                "to another."
            ),
            interpretation=(
                "Distances are comparable only within this figure, since they fall as units "
                "outnumber samples, and are those of the leading components."
            ),
        ),
    ]


def _neighbor_lines(
    result: xr.Dataset, name: str, title: str, y_label: str, interpretation: str
) -> Lines:
    labels = [str(label) for label in result["step"].values]
    steps = np.arange(len(labels))
    mean, sd = (
        result[f"neighbor_{name}_permuted{suffix}"].values.astype(np.float64)
        for suffix in ("", "_sd")
    )
    line = Series(
        name="neighboring sites", x=steps, y=result[f"neighbor_{name}"].values, labels=labels
    )
    return Lines(
        title=title,
        x_label=STEP_LABEL,
        y_label=y_label,
        series=[
            *by_step_kind(line, result["step_kind"].values),
            Series(
                name="independent steps",
                x=steps,
                y=result[f"neighbor_{name}_walk"].values,
                labels=labels,
                role="null",
            ),
            Series(
                name="permuted samples (± 2 sd)",
                x=steps,
                y=mean,
                low=mean - 2 * sd,
                high=mean + 2 * sd,
                labels=labels,
                role="null",
            ),
        ],
        caption=(
            "How much each step rearranges the samples, beside a walk of the same steps taken "
            "independently and beside samples that are not paired at all."
        ),
        interpretation=f"That neighbors are alike means nothing by itself; {interpretation}.",
    )
