"""Panel 3D of arXiv 2502.12131: variance of held-out texts that the autoencoder explains."""

from __future__ import annotations

from collections.abc import Sequence

import xarray as xr

from transformer_dynamics.paper.conditions import (
    SOURCE,
    Condition,
    over_conditions,
)
from transformer_dynamics.paper.figures import lines, n_scored, with_scored
from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.registry import panel


def draw_3d(result: xr.Dataset) -> list[Drawing]:
    """Explained variance about the global mean, then the error over the sublayer's own variance."""
    own = result.sel(about="site mean")
    # At early sublayers the error is many times the between-text variance.
    error = xr.Dataset(
        {
            "error": 1 - own["explained"],
            "error_low": 1 - own["explained_high"],
            "error_high": 1 - own["explained_low"],
        }
    )
    return [
        lines(
            result.sel(about="global mean"),
            "explained",
            along="site",
            title=f"3D. Variance explained about the global mean, 95 % over {n_scored(result)}",
            y_label="explained variance (1)",
            caption="Variance of each sublayer explained by two numbers per state.",
            interpretation="About the global mean, the depth of a state alone explains much of it.",
        ),
        lines(
            error,
            "error",
            along="site",
            y_scale="log",
            title=f"3D. Error over the sublayer's own variance, 95 % over {n_scored(result)}",
            y_label="1 - explained variance about the sublayer's own mean (1)",
            caption="Error of the same reconstruction over the between-text variance.",
            interpretation="Above 1, the reconstruction is worse than the mean of the sublayer.",
        ),
    ]


@panel(
    "paper.3D",
    title="3D. Variance explained by the autoencoder",
    source=SOURCE,
    reports="Two numbers explain 0.60 to 0.77 of the variance.",
    draw=draw_3d,
    claims=("C12",),
    stand_ins=("dimension.autoencoder#0", "C12#0"),
)
def panel_3d(conditions: Sequence[Condition]) -> xr.Dataset:
    """Variance of held-out texts that the autoencoder explains.

    Returns:
        `explained` `(condition, about, site)` and `overall` `(condition, about)`, each with its
        95 % interval over texts as `_low` and `_high`.
    """
    names = [f"{name}{end}" for name in ("explained", "overall") for end in ("", "_low", "_high")]

    def one(condition: Condition) -> xr.Dataset:
        result = condition.autoencoder[names].sel(described_by="autoencoder", drop=True)
        return result.isel(bottleneck=0, drop=True)

    return with_scored(over_conditions(conditions, one), conditions)
