"""Figures of `dynamics.rotate_and_stretch`: the law, and the size and shape of its residual."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from transformer_dynamics.plots.backend import Drawing, Lines, Series
from transformer_dynamics.plots.backend.captions import caption, n_samples
from transformer_dynamics.plots.backend.depth import level, names_of
from transformer_dynamics.plots.backend.style import Numbers
from transformer_dynamics.registry import figure

LAWS = {
    "law, as published": "published",
    "law, held-out texts": "held_out",
    "law, held-out, vectors followed": "followed",
}


@figure("dynamics.rotate_and_stretch")
def draw_rotate_and_stretch(result: xr.Dataset) -> list[Drawing]:
    """Draw the law and its controls by lag, growth, agreement and shape of the residual."""
    gaussian = _shape(result, "excess_kurtosis", 0.0, "Gaussian")
    isotropic = _shape(
        result,
        "participation",
        float(result["isotropic_participation"].sel(fit="published")),
        "isotropic noise, as many samples",
    )
    return [_shares_by_lag(result), _growth(result), _agreement(result), gaussian, isotropic]


def _shares_by_lag(result: xr.Dataset) -> Lines:
    shares = result["explained_variance"].mean("site")
    x = np.log2(result["lag"].values)
    laws = [
        Series(name=name, x=x, y=shares.sel(fit=fit, predictor="law").values)
        for name, fit in LAWS.items()
    ]
    held_out = shares.sel(fit="held_out")
    controls = {
        "unchanged state": held_out.sel(predictor="persistence").values,
        "unchanged state, scaled": held_out.sel(predictor="scaled").values,
        "mean path": np.zeros(x.size),
    }
    references = [Series(name=name, x=x, y=y, role="reference") for name, y in controls.items()]
    return Lines(
        title="Variance explained by the law, by lag",
        x_label="log2 of the lag in sites (1)",
        y_label="explained variance about the site's mean (1)",
        series=[*laws, *references],
        caption=caption(
            "Share of the between-text variance of later states that rotating and stretching "
            "earlier ones explains, mean over sites",
            n=n_samples(result),
            null=", ".join(controls),
        ),
        interpretation=(
            "The law predicts later states only if it lies above the scaled unchanged state on "
            "held-out texts."
        ),
    )


def _by_lag(values: xr.DataArray, x: Numbers, labels: Sequence[str] = ()) -> list[Series]:
    """A line for each lag of `(lag, point)`, of which every second one is hidden."""
    return [
        Series(
            name=f"lag {lag}",
            x=x,
            y=values.sel(lag=lag).values,
            labels=labels,
            hidden=index % 2 == 1,
        )
        for index, lag in enumerate(values["lag"].values.tolist())
    ]


def _growth(result: xr.Dataset) -> Lines:
    geometric = result.sel(average="geometric")
    time, fitted = geometric["time"].values, geometric.sel(fit="published")
    series = _by_lag(fitted["log_variance"], time)
    references = {
        "ln alpha + lambda t": np.log(float(fitted["alpha"])) + float(fitted["lambda"]) * time,
        "the states themselves, about their mean": geometric["state_log_variance"].values,
    }
    return Lines(
        title="Variance of the law's residual over depth, as published",
        x_label=f"time of the later site ({geometric['time'].attrs['units']}s)",
        y_label="ln variance of a unit, mean over units (ln stream units²)",
        series=[
            *series,
            *(Series(name=name, x=time, y=y, role="reference") for name, y in references.items()),
        ],
        caption=caption(
            "Variance of the residual by depth of the later site, one line for each lag",
            n=n_samples(result),
            null="variance of the states",
        ),
        interpretation=(
            "The growth of the residual supports the law only if it differs from the growth of the "
            "states."
        ),
    )


def _agreement(result: xr.Dataset) -> Lines:
    x, published = result["component"].values, result["agreement"].sel(fit="published")
    series = _by_lag(published, x)
    return Lines(
        title="Agreement of components matched by order",
        x_label="component in descending order of singular value (index)",
        y_label="cosine over samples at the two sites, mean over pairs (1)",
        series=[*series, level("1/2", x, 0.5)],
        caption=caption(
            "Cosine between the i-th components of two sites, one line for each lag",
            n=n_samples(result),
            null="1/2, where the law neither helps nor harms",
        ),
        interpretation=(
            "The law improves the prediction of a component above one half, and worsens it below."
        ),
    )


def _shape(result: xr.Dataset, name: str, expected: float, reference: str) -> Lines:
    published, labels = result[name].sel(fit="published"), names_of(result, "site")
    y_labels = {
        "excess_kurtosis": "excess kurtosis, mean over units (1)",
        "participation": "participation ratio / units (1)",
    }
    x = np.arange(len(labels))
    quantity = y_labels[name].rpartition(" (")[0]
    return Lines(
        title=f"Shape of the law's residual: {quantity}",
        x_label="later site (index)",
        y_label=y_labels[name],
        series=[*_by_lag(published, x, labels), level(reference, x, expected)],
        caption=caption(
            f"{quantity[0].upper()}{quantity[1:]}, of the residual, one line for each lag",
            n=n_samples(result),
            null=reference,
        ),
        interpretation="The residual is the law's noise only if the lines lie on the reference.",
    )
