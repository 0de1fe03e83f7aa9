"""Lines over depth from a result: attention and MLP steps apart, a mean with its band."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.plots.backend.lines import Series
from transformer_dynamics.plots.backend.style import Role

STEP_LABEL = "step (index of the site it starts from)"
SITE_LABEL = "site (index)"
KIND_NAMES = {
    "attention": "attention steps (within a layer)",
    "mlp": "MLP steps (across layers)",
}


def mean_with_band(
    name: str,
    values: Floats,
    *,
    labels: Sequence[str],
    first: int = 0,
    over: str = "samples",
    role: Role = "model",
) -> Series:
    """A line of the mean over samples with its 5-95 % band; NaN are left out.

    Args:
        name: what is averaged; the legend says that it is a mean.
        values: `(sample, point)`.
        labels: what each point is called.
        first: position of the first point on the axis of depth.
        over: what the mean and the band are taken over.
        role: whether it is the model or a null.
    """
    mean, low, high = np.full((3, values.shape[1]), np.nan)
    some = ~np.isnan(values).all(axis=0)
    if some.any():
        with np.errstate(invalid="ignore"):
            mean[some] = np.nanmean(values[:, some], axis=0)
            low[some], high[some] = np.nanquantile(values[:, some], [0.05, 0.95], axis=0)
    return Series(
        name=f"{name}, mean over {over} (5-95 %)",
        x=np.arange(first, first + mean.size),
        y=mean,
        low=low,
        high=high,
        labels=labels,
        role=role,
    )


def by_site(result: xr.Dataset, variable: str, noun: str) -> list[Series]:
    """A result along tokens by site: mean over texts, and of permuted tokens where there is one."""
    labels = [str(label) for label in result["site"].values]
    model = mean_with_band(noun, result[variable].values, labels=labels, over="texts")
    null = f"{variable}_permuted"
    if null not in result:
        return [model]
    name = f"{noun}, tokens in random order"
    values = result[null].values
    return [model, mean_with_band(name, values, labels=labels, over="texts", role="null")]


def by_step_kind(line: Series, kinds: NDArray[Any]) -> list[Series]:
    """A line over steps, and its attention and MLP steps as points where there are any."""
    series = [line]
    for kind, name in KIND_NAMES.items():
        chosen = np.flatnonzero(kinds == kind)
        if chosen.size:
            names = [line.labels[int(step)] for step in chosen]
            series.append(
                Series(
                    name=name,
                    x=line.x[chosen],
                    y=line.y[chosen],
                    labels=names,
                    role="detail",
                    markers=True,
                )
            )
    return series
