"""Figures of claims: the recording and its nulls in the same axes, drawn from the evidence."""

from __future__ import annotations

from typing import Literal

import numpy as np
import xarray as xr

from transformer_dynamics.drawing import Group, Histogram, Lines, Series

STEP_LABEL = "step (index of the sublayer it starts from)"
SITE_LABEL = "sublayer (index of the site)"
KIND_NAMES = {"attention": "within a layer (attention)", "mlp": "across layers (MLP)"}


def null_name(name: str) -> str:
    """A null's name as a legend shows it."""
    return "null: " + str(name).replace("_", " ")


def profile_lines(
    evidence: xr.Dataset,
    *,
    title: str,
    y_label: str,
    along: Literal["step", "site"] = "step",
    y_scale: Literal["linear", "log"] = "linear",
    walk_reference: bool = False,
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
    x_label = STEP_LABEL if along == "step" else SITE_LABEL
    return Lines(title=title, x_label=x_label, y_label=y_label, series=series, y_scale=y_scale)


def statistic_histogram(evidence: xr.Dataset, x_label: str) -> Histogram:
    """The statistic: its bootstrap over texts beside its distribution under every null."""
    groups = [
        Group(name="recording (bootstrap over texts)", values=evidence["bootstrap_statistic"].values)
    ]
    for name in evidence["null"].values:
        draws = evidence["null_statistic"].sel(null=name).values
        draws = draws[np.isfinite(draws)]
        if draws.size:
            single = " (one recording)" if draws.size == 1 else ""
            groups.append(Group(name=null_name(name) + single, values=draws, role="null"))
    return Histogram(
        title=f"{evidence.attrs['claim']}: the statistic against its nulls",
        x_label=x_label,
        groups=groups,
        n_bins=60,
        y_label="share of draws per bin (1)",
    )
