"""Captions in one order: plotted quantity, N, interval, null model."""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.storage.attributes import attribute

NO_NULL = "Null model: none."
OVER_SAMPLES = "5-95 % of samples"
OVER_TEXTS_SPREAD = "5-95 % of texts"
BOOTSTRAP = "95 % bootstrap over texts"


def caption(quantity: str, *, n: str, interval: str = "none", null: str = "none") -> str:
    """A caption of four parts.

    Args:
        quantity: plotted quantity.
        n: number and noun of the observations, as `24 samples`.
        interval: meaning of bands or bars.
        null: null model or control in the figure.

    >>> caption("Speed by step", n="24 samples", interval="5-95 % of samples")
    'Speed by step. N = 24 samples. Interval: 5-95 % of samples. Null model: none.'
    """
    return f"{quantity}. N = {n}. Interval: {interval}. Null model: {null}."


def n_samples(result: xr.Dataset, noun: str = "samples") -> str:
    """Number of samples of a result: along `sample`, or else in the recording it was made from.

    >>> n_samples(xr.Dataset(attrs={"recording": '{"shape": [24, 9, 5]}'}))
    '24 samples'
    """
    if "sample" in result.sizes:
        return f"{result.sizes['sample']} {noun}"
    shape = (attribute(result, "recording") or {}).get("shape")
    return f"{shape[0]} {noun}" if shape else "not stated"


def with_null(text: str, null: str) -> str:
    """A caption that named no null model, with the null models that were added to its figure."""
    return text.replace(NO_NULL, f"Null model: {null}.") if null else text
