"""The two standard figures of a claim: its profile over depth, and its statistic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.claims.figures import null_series, statistic_intervals
from transformer_dynamics.plots.backend import Drawing, Lines, Series

X_LABELS = {
    "step": "step (index of the sublayer or layer where it starts)",
    "site": "sublayer (index of the site)",
    "layer": "layer (index)",
}
KIND_NAMES = {"attention": "within a layer (attention)", "mlp": "across layers (MLP)"}


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Titles, labels and captions of a claim's two standard figures.

    Attributes:
        title: title of the profile over depth.
        y_label: label of the profile, with its unit.
        statistic: label of the statistic, with its unit.
        y_scale: `linear` or `log`.
        walk_reference: whether the correlation of a walk of equal steps is drawn as well.
        caption: the plotted quantity, in a sentence.
        interpretation: the reading of the figure, in a sentence.
    """

    title: str
    y_label: str
    statistic: str
    y_scale: Literal["linear", "log"] = "linear"
    walk_reference: bool = False
    caption: str = ""
    interpretation: str = ""


def standard_figures(evidence: xr.Dataset, curve: Curve) -> list[Drawing]:
    """The profile over depth, where it is a curve, and the statistic, with the nulls."""
    figures: list[Drawing] = [statistic_intervals(evidence, curve.statistic)]
    if evidence["profile"].ndim == 1:
        lines = profile_lines(
            evidence,
            title=curve.title,
            y_label=curve.y_label,
            y_scale=curve.y_scale,
            walk_reference=curve.walk_reference,
            caption=curve.caption,
            interpretation=curve.interpretation,
        )
        figures.insert(0, lines)
    return figures


def profile_lines(
    evidence: xr.Dataset,
    *,
    title: str,
    y_label: str,
    y_scale: Literal["linear", "log"] = "linear",
    walk_reference: bool = False,
    caption: str = "",
    interpretation: str = "",
) -> Lines:
    """The profile over depth with its 95 % band over texts, and every null with its band.

    Steps of attention and of MLPs are marked where the sites distinguish them.
    """
    along = str(evidence["profile"].dims[0])
    n_places = evidence.sizes[along]
    labelled = evidence[along].values if along in evidence.coords else range(n_places)
    labels = [str(label) for label in labelled]
    index = np.arange(n_places)
    recording = Series(
        name="recording (95 % over texts)",
        x=index,
        y=evidence["profile"].values,
        low=evidence["profile_low"].values,
        high=evidence["profile_high"].values,
        labels=labels,
    )
    series = [recording, *_by_kind(evidence, index, labels)]
    series += null_series(evidence, index, labels=labels)
    if walk_reference:
        series.append(
            Series(
                name="walk of equal steps: sqrt(s/(s+1))",
                x=index,
                y=np.sqrt((index + 1) / (index + 2)),
                role="reference",
            )
        )
    return Lines(
        title=title,
        x_label=X_LABELS.get(along, f"{along} (index)"),
        y_label=y_label,
        series=series,
        y_scale=y_scale,
        caption=caption,
        interpretation=interpretation,
    )


def _by_kind(evidence: xr.Dataset, index: NDArray[Any], labels: list[str]) -> list[Series]:
    """Markers on the steps of attention and on those of MLPs."""
    kinds = evidence["step_kind"].values if "step_kind" in evidence.coords else np.array([])
    places = {name: np.flatnonzero(kinds == kind) for kind, name in KIND_NAMES.items()}
    return [
        Series(
            name=name,
            x=index[chosen],
            y=evidence["profile"].values[chosen],
            labels=[labels[place] for place in chosen],
            role="detail",
            markers=True,
        )
        for name, chosen in places.items()
        if chosen.size
    ]
