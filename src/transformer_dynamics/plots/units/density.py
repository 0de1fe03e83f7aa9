"""Figures of `units.density`: three indices and the norm over depth."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.measures.units.density import INDICES
from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.captions import OVER_SAMPLES, caption, n_samples
from transformer_dynamics.plots.backend.depth import SITE_LABEL, mean_with_band, names_of
from transformer_dynamics.registry import figure
from transformer_dynamics.storage.attributes import STREAM


@figure("units.density")
def draw_density(result: xr.Dataset) -> list[Drawing]:
    """Draw the three indices over depth, then the norm on a logarithmic scale."""
    return [
        Lines(
            title="Density of activation",
            x_label=SITE_LABEL,
            y_label="density (1)",
            series=[_over_samples(result, key, name) for key, name in INDICES.items()],
            caption=caption(
                "Three indices of the share of active units at each site, mean over samples",
                n=n_samples(result),
                interval=OVER_SAMPLES,
            ),
            interpretation=(
                "Density rises only if the two scale-free indices rise, since the absolute one "
                "rises with the norm alone."
            ),
        ),
        Lines(
            title="Norm of the stream",
            x_label=SITE_LABEL,
            y_label=f"norm ({STREAM})",
            series=[_over_samples(result, "norm", "norm")],
            y_scale="log",
            caption=caption(
                "Norm of the states at each site, mean over samples",
                n=n_samples(result),
                interval=OVER_SAMPLES,
            ),
            interpretation=(
                "An index that follows the norm measures the size of the states and not the number "
                "of active units."
            ),
        ),
    ]


def _over_samples(result: xr.Dataset, key: str, name: str) -> Series:
    return mean_with_band(name, result[key].values, labels=names_of(result, "site"))
