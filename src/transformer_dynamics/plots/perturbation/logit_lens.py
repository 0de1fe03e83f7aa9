"""Figures of `perturbation.logit_lens`: divergence from the final prediction over depth."""

from __future__ import annotations

from typing import Literal

import xarray as xr

from transformer_dynamics.perturbation.systems import shown_systems
from transformer_dynamics.plots.backend import Drawing, Lines
from transformer_dynamics.plots.backend.bands import text_series
from transformer_dynamics.plots.backend.captions import words
from transformer_dynamics.plots.backend.depth import names_of
from transformer_dynamics.plots.perturbation.systems import role_of, system_caption
from transformer_dynamics.registry import figure


@figure("perturbation.logit_lens")
def draw_logit_lens(result: xr.Dataset) -> list[Drawing]:
    """Draw divergence and agreement with the final site by site, for the model and its twin."""
    return [
        _lines(
            result,
            "kl",
            "Divergence of decoded predictions from the final one",
            "KL divergence of the final next-token distribution from the one decoded at a site",
            "KL from the final distribution (nats)",
        ),
        _lines(
            result,
            "agreement",
            "Agreement of decoded predictions with the final one",
            "Share of texts whose most likely decoded token is that of the final site",
            "texts whose most likely token is the final one (1)",
        ),
    ]


def _lines(
    result: xr.Dataset,
    name: str,
    title: str,
    quantity: str,
    y_label: str,
    y_scale: Literal["linear", "log"] = "linear",
) -> Lines:
    labels = names_of(result, "site")
    return Lines(
        title=title,
        x_label="site (index)",
        y_label=y_label,
        y_scale=y_scale,
        series=[
            text_series(
                result[name].sel(system=system), words(system), labels=labels, role=role_of(system)
            )
            for system in shown_systems(result)
        ],
        caption=system_caption(result, f"{quantity}, mean over texts"),
        interpretation=(
            "Predictions that form gradually approach the final one over depth; early sites are "
            "biased, since their states are written in another basis than the final one."
        ),
    )
