"""Parts of the figures of claims: nulls in the axes of the recording, and the statistic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.plots.backend import Group, Interval, Intervals, Series
from transformer_dynamics.stats.bootstrap import percentile_interval
from transformer_dynamics.storage.attributes import attribute


def null_name(name: str) -> str:
    """Name of a null in a legend."""
    return "null: " + str(name).replace("_", " ")


def null_series(
    evidence: xr.Dataset,
    x: NDArray[Any],
    variables: tuple[str, ...] = ("null_profile", "null_low", "null_high"),
    *,
    labels: Sequence[str] = (),
) -> list[Series]:
    """A line for each null, with its band where three variables are given.

    Nulls that do not decide are hidden until the reader chooses them in the legend.
    """
    series = []
    for name in evidence["null"].values:
        parts = [evidence[variable].sel(null=name).values for variable in variables]
        low, high = parts[1:] if len(parts) == 3 else (None, None)
        series.append(
            Series(
                name=null_name(name),
                x=x,
                y=parts[0],
                low=low,
                high=high,
                labels=labels,
                role="null",
                hidden=name not in attribute(evidence, "deciding"),
            )
        )
    return series


def null_groups(evidence: xr.Dataset, values: xr.DataArray) -> list[Group]:
    """A histogram for each null of `values`, `(null, ...)`; hidden where it does not decide."""
    deciding = attribute(evidence, "deciding")
    return [
        Group(
            name=null_name(name),
            values=values.sel(null=name).values,
            role="null",
            hidden=name not in deciding,
        )
        for name in evidence["null"].values
    ]


def statistic_intervals(
    evidence: xr.Dataset, x_label: str, *, caption: str = "", interpretation: str = ""
) -> Intervals:
    """The statistic with its 95 % interval over texts, and the central 95 % of each null."""
    value, low, high = (
        float(evidence[name]) for name in ("statistic", "statistic_low", "statistic_high")
    )
    rows = [Interval(name="recording", value=value, low=low, high=high, role="model")]
    for name in evidence["null"].values:
        draws = evidence["null_statistic"].sel(null=name).values
        draws = draws[np.isfinite(draws)]
        if draws.size:
            shown = "" if name in attribute(evidence, "deciding") else " (shown only)"
            low, high = (float(end) for end in percentile_interval(draws))
            rows.append(
                Interval(
                    name=null_name(name) + shown,
                    value=float(evidence["null_mean"].sel(null=name)),
                    low=low,
                    high=high,
                    role="null",
                )
            )
    return Intervals(
        title=f"{evidence.attrs['claim']}: the statistic of the recording and of each null",
        x_label=x_label,
        intervals=rows,
        caption=caption
        or (
            "The statistic of the recording with its 95 % interval over texts; mean and central "
            "95 % of each null."
        ),
        interpretation=interpretation
        or "The claim requires a value beyond every deciding null, in the claimed direction.",
    )
