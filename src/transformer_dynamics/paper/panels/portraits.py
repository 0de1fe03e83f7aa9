"""Panel 2A of arXiv 2502.12131: phase portraits of single units.

Motion in the plane of activation and gradient is clockwise, so that signed counts are negative.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.measures.orbits.rotation import rotation_count
from transformer_dynamics.paper.conditions import SOURCE, Condition, over_conditions
from transformer_dynamics.paper.figures import counted, n_texts
from transformer_dynamics.paper.panels.rotation_counts import TURNS
from transformer_dynamics.perturbation.systems import MODEL
from transformer_dynamics.plots.backend import Drawing, Path, Paths
from transformer_dynamics.registry import panel

N_PORTRAITS = 3


def draw_portraits(result: xr.Dataset) -> list[Drawing]:
    """Mean traces of a few units of the model in the plane of activation and gradient."""
    model = result.sel(condition=MODEL)
    labels = [str(site) for site in result["site"].values]
    paths = [
        Path(
            name=f"unit {int(unit)}: {float(turns):.1f} turns",
            points=points / (np.abs(points[:, 0]).max() or 1.0),
            labels=labels,
        )
        for unit, turns, points in zip(
            model["portrait_unit"].values,
            model["portrait_count"].values,
            model["portrait"].values,
            strict=True,
        )
    ]
    return [
        Paths(
            title=f"2. Phase portraits from few turns to many, model ({n_texts(result)})",
            x_label="activation over its largest magnitude (1)",
            y_label="gradient over the largest activation (1 per sublayer)",
            paths=paths,
            caption="Mean traces and gradients of units at even quantiles of the rotation count.",
            interpretation="A periodic orbit closes and repeats; a random walk turns as often.",
        )
    ]


@panel(
    "paper.2A",
    title="2. Phase portraits of single units",
    source=SOURCE,
    reports="Units rotate in the plane of activation and gradient.",
    draw=draw_portraits,
    claims=("C6", "C6-turns"),
    stand_ins=("C6-turns#1", "orbits.phase_portrait#0"),
)
def panel_2a(conditions: Sequence[Condition]) -> xr.Dataset:
    """Mean traces of a few units at even quantiles of the magnitude of the rotation count.

    Returns:
        `portrait` `(condition, place, site, axis)`, activation and gradient, in stream units and
        stream units per site; `portrait_unit` and `portrait_count` `(condition, place)`.
    """

    def one(condition: Condition) -> xr.Dataset:
        activation, gradient = (
            condition.portrait[name].values.T for name in ("activation", "gradient")
        )
        turns = rotation_count(activation)
        order = np.argsort(np.abs(turns), kind="stable")  # undefined counts come last
        last = max(1, int(np.isfinite(turns).sum())) - 1
        units = order[np.linspace(0, last, N_PORTRAITS).round().astype(int)]
        points = np.stack([activation[units], gradient[units]], axis=-1)
        return xr.Dataset(
            {
                "portrait": (("place", "site", "axis"), points, {"units": "stream units"}),
                "portrait_unit": ("place", units, {"units": "index"}),
                "portrait_count": ("place", turns[units], TURNS),
            },
            coords={**condition.sublayers.site_coords, "axis": ["activation", "gradient"]},
        )

    return counted(over_conditions(conditions, one), conditions)
