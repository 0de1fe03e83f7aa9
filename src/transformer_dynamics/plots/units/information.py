"""Figure of `units.mutual_information`: information between neighboring sites."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.bands import quantile_band
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import STEP_LABEL, depth_series
from transformer_dynamics.registry import figure


@figure("units.mutual_information")
def draw_mutual_information(result: xr.Dataset) -> list[Drawing]:
    """Draw mean and band over units by step, the flagged steps, and a random walk's curve."""
    _, low, high = quantile_band(result["information"].values.T)
    line = depth_series("mean (5-95 % of units)", result["mean"], low=low, high=high)
    walk = Series(
        name="plain walk, ln(s+1)/2",
        x=line.x,
        y=0.5 * np.log(line.x + 2),
        labels=line.labels,
        role="reference",
    )
    quantity = (
        "Mutual information of a unit's values at neighboring sites, mean over units; "
        f"{result['information'].attrs['estimator']}; dashed: random walk, ln(s+1)/2"
    )
    if "n_distinct_first" in result:
        distinct = result["n_distinct_first"]
        quantity += f"; {distinct.item()} {distinct.attrs['units']}"
    return [
        Lines(
            title="Information between neighboring sites",
            x_label=STEP_LABEL,
            y_label="mutual information (nats)",
            series=[line, walk, *_flagged(result, line)],
            caption=caption(
                quantity,
                n=f"{n_samples(result)}, {result.sizes['unit']} units",
                interval="5-95 % of units",
                null="random walk in closed form",
            ),
            interpretation=(
                "The past is lost where the line falls below the random walk's curve at steps "
                "whose states are not near-discrete."
            ),
        )
    ]


def _flagged(result: xr.Dataset, line: Series) -> list[Series]:
    """The steps whose states are near-discrete, as points on the line."""
    if "near_discrete" not in result or not result["near_discrete"].values.any():
        return []
    steps = np.flatnonzero(result["near_discrete"].values)
    return [
        Series(
            name="near-discrete states",
            x=steps,
            y=line.y[steps],
            labels=[line.labels[int(step)] for step in steps],
            role="detail",
            markers=True,
        )
    ]
