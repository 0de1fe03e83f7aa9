"""Figures of claims: the recording and its nulls in the same axes, drawn from the evidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.plots.backend import Heatmap, Interval, Intervals, Lines, Series
from transformer_dynamics.stats.bootstrap import percentile_interval
from transformer_dynamics.storage.attributes import attribute

X_LABELS = {
    "step": "step (index of the sublayer or layer it starts from)",
    "site": "sublayer (index of the site)",
    "layer": "layer (index)",
}
KIND_NAMES = {"attention": "within a layer (attention)", "mlp": "across layers (MLP)"}


def null_name(name: str) -> str:
    """A null's name as a legend shows it."""
    return "null: " + str(name).replace("_", " ")


def profile_lines(
    evidence: xr.Dataset,
    *,
    title: str,
    y_label: str,
    along: Literal["step", "site", "layer"] = "step",
    y_scale: Literal["linear", "log"] = "linear",
    walk_reference: bool = False,
    caption: str = "",
    interpretation: str = "",
) -> Lines:
    """The profile over depth with its 95 % band over texts, and every null with its band.

    Attention and MLP steps are marked apart where the sites tell them apart.
    """
    labels = [str(label) for label in evidence[along].values]
    index = np.arange(len(labels))
    series = [
        Series(
            name="recording (95 % over texts)",
            x=index,
            y=evidence["profile"].values,
            low=evidence["profile_low"].values,
            high=evidence["profile_high"].values,
            labels=labels,
        )
    ]
    kinds = evidence["step_kind"].values if "step_kind" in evidence.coords else np.array([])
    for kind, name in KIND_NAMES.items():
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            series.append(
                Series(
                    name=name,
                    x=index[chosen],
                    y=evidence["profile"].values[chosen],
                    labels=[labels[place] for place in chosen],
                    role="detail",
                    markers=True,
                )
            )
    series += [
        Series(
            name=null_name(name),
            x=index,
            y=evidence["null_profile"].sel(null=name).values,
            low=evidence["null_low"].sel(null=name).values,
            high=evidence["null_high"].sel(null=name).values,
            labels=labels,
            role="null",
            hidden=name not in attribute(evidence, "deciding"),
        )
        for name in evidence["null"].values
    ]
    if walk_reference:
        steps = index + 1
        series.append(
            Series(
                name="walk of equal steps: sqrt(s/(s+1))",
                x=index,
                y=np.sqrt(steps / (steps + 1)),
                role="reference",
            )
        )
    return Lines(
        title=title,
        x_label=X_LABELS[along],
        y_label=y_label,
        series=series,
        y_scale=y_scale,
        caption=caption,
        interpretation=interpretation,
    )


def statistic_intervals(evidence: xr.Dataset, x_label: str) -> Intervals:
    """The statistic with its interval over texts, beside its central 95 % under every null."""
    value, low, high = (
        float(evidence[name]) for name in ("statistic", "statistic_low", "statistic_high")
    )
    rows = [Interval(name="recording", value=value, low=low, high=high, role="model")]
    for name in evidence["null"].values:
        draws = evidence["null_statistic"].sel(null=name).values
        draws = draws[np.isfinite(draws)]
        if draws.size:
            decides = "" if name in attribute(evidence, "deciding") else " (shown only)"
            mean = float(evidence["null_mean"].sel(null=name))
            low, high = (float(end) for end in percentile_interval(draws))
            name = null_name(name) + decides
            rows.append(Interval(name=name, value=mean, low=low, high=high, role="null"))
    return Intervals(
        title=f"{evidence.attrs['claim']}: the statistic, and its central 95 % under each null",
        x_label=x_label,
        intervals=rows,
        caption=(
            "The statistic with its 95 % interval over texts, beside the mean and the central 95 % "
            "of what each null gives."
        ),
        interpretation=(
            "The recording would have to lie beyond every deciding null, on the claimed side, for "
            "the number to say more than the structure that the null shares."
        ),
    )


def trace_maps(evidence: xr.Dataset, nulls: Sequence[str]) -> Heatmap:
    """Every unit's mean trace, sorted by the last sublayer, beside one draw of some nulls."""
    shown = [name for name in nulls if name in evidence["null"].values]
    maps = [evidence["illustration"].values]
    maps += [evidence["null_illustration"].sel(null=name).values for name in shown]
    panels = [_scaled(traces[:, np.argsort(traces[-1])].T) for traces in maps]
    gap = np.full((len(panels[0]), 2), np.nan)
    width = panels[0].shape[1] + gap.shape[1]
    names = ["recording", *(null_name(name) for name in shown)]
    return Heatmap(
        title="Mean trace of every unit over depth, each panel on its own scale",
        x_label="sublayers from first to last, in each panel (index)",
        y_label="unit (sorted by its value at the last sublayer)",
        color_label="activation / its 99th percentile (1)",
        values=np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1),
        x_ticks=[(place * width + width / 2 - 1, name) for place, name in enumerate(names)],
        caption="Horizontal bands are units that keep their value over depth.",
        interpretation=(
            "Bands would have to be there in the recording and not in the walk beside it, whose "
            "units keep most of their value because a sum does."
        ),
    )


def _scaled(traces: NDArray[Any]) -> NDArray[Any]:
    """Traces over the 99th percentile of their magnitude; the untrained twin's are far smaller."""
    scale = float(np.percentile(np.abs(traces), 99))
    return traces / scale if scale > 0 else traces
