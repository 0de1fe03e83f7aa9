"""Figures of a comparison: profiles over relative depth, similarity matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from transformer_dynamics.comparison.profiles import NONE, Curve, Profile
from transformer_dynamics.comparison.similarities import Similarity
from transformer_dynamics.plots.backend import Drawing, Heatmap, Lines, Series
from transformer_dynamics.plots.backend.captions import caption

DEPTH_LABEL = "relative depth (1; first site 0, last site 1)"
# Largest over smallest value from which the scale is logarithmic.
LOG_FACTOR = 30.0
OF_RUNS = "Runs differ where their intervals do not overlap; their units of the stream may differ."
WITHOUT_INTERVAL = "The quantity has no interval, so that a small difference may be chance."


def profile_drawing(profile: Profile) -> Lines:
    """Curves of all runs over relative depth; null models have the dashed lines of nulls."""
    curves = profile.curves
    quantity = f"{profile.label[:1].upper()}{profile.label[1:]} over relative depth"
    if profile.missing:
        quantity += f", without {', '.join(profile.missing)}"
    nulls = ", ".join(curve.run for curve in curves if curve.is_null)
    return Lines(
        title=profile.title,
        x_label=DEPTH_LABEL,
        y_label=profile.label,
        series=[_series(curve) for curve in curves],
        y_scale="log" if _spans_decades(curves) else "linear",
        caption=caption(
            quantity,
            n=_counts(curves),
            interval=profile.interval,
            null=nulls or "none",
        ),
        interpretation=WITHOUT_INTERVAL if profile.interval == NONE else OF_RUNS,
    )


def similarity_drawings(similarity: Similarity) -> list[Drawing]:
    """Similarity at equal relative depth, and of all pairs of sites; empty where undefined."""
    if similarity.result is None:
        return []
    names = similarity.first, similarity.other
    drawn: list[Drawing] = []
    for drawing in similarity.result.td.drawings:
        if isinstance(drawing, Heatmap):
            x_label, y_label = (f"site of {name} (label)" for name in names)
            drawn.append(replace(drawing, x_label=x_label, y_label=y_label))
        elif isinstance(drawing, Lines):
            drawn.append(
                replace(drawing, title=f"{drawing.title.partition(':')[0]}: {' and '.join(names)}")
            )
    return drawn


def _spans_decades(curves: Sequence[Curve]) -> bool:
    """Whether all values and ends are positive and differ by a large factor, as speeds do."""
    parts = [each for curve in curves for each in (curve.value, curve.low) if each is not None]
    values = np.concatenate([part[np.isfinite(part)] for part in parts])
    return bool(values.size and values.min() > 0 and values.max() > LOG_FACTOR * values.min())


def _series(curve: Curve) -> Series:
    return Series(
        name=curve.run,
        x=curve.depth,
        y=curve.value,
        low=curve.low,
        high=curve.high,
        labels=curve.labels,
        role="null" if curve.is_null else "model",
    )


def _counts(curves: Sequence[Curve]) -> str:
    counts = {curve.n_samples for curve in curves}
    if len(counts) == 1:
        return f"{counts.pop()} samples of each run"
    return ", ".join(f"{curve.n_samples} samples of {curve.run}" for curve in curves)
