"""The numbers that arXiv 2502.12131 prints or shows, as statistics of a condition.

A statistic over texts is a function of states and weights of the samples, so that the bootstrap is
a matrix product. Information with the kernel estimate counts repeated texts as information, so its
interval is a jackknife over tenths of the texts instead. Shares of principal components are
bootstrapped with the components held fixed, which is right to first order in the resampling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.stats

from transformer_dynamics.measures.orbits.phase_plane import (
    permuted_points_rotation_count,
    rotation_count,
)
from transformer_dynamics.measures.paths.kinematics import cosine, speed
from transformer_dynamics.measures.units.correlation import adjacent_correlation
from transformer_dynamics.measures.units.information import copula_information, mutual_information
from transformer_dynamics.numerics.arrays import Floats, defined_mean
from transformer_dynamics.paper.conditions import N_BOOTSTRAP, RANDOM_WALK, Condition
from transformer_dynamics.paper.teleport import FIXED, HORIZON, OWN
from transformer_dynamics.perturbation.systems import UNTRAINED
from transformer_dynamics.recording.recording import Recording

Statistic = Callable[[Recording, Floats], Floats]
Interval = tuple[float, float, float]
# Of a condition, and whether the interval is wanted: value, low and high, NaN without one.
Measured = Callable[[Condition, bool], Interval]

N_FOLDS = 10
SHOWN = "shown, not printed"
NOT_PRINTED = "not printed"
ONE_PROMPT = "no interval: one prompt"


@dataclass(frozen=True)
class Quantity:
    """One row of the table.

    Attributes:
        panel: where the paper has it.
        name: what it is.
        units: its unit.
        paper: what the paper reports.
        measured: value and, where it is wanted, interval of a condition.
        fair: the fair control of this number.
        why: the reason where there never is an interval.
    """

    panel: str
    name: str
    units: str
    paper: str
    measured: Measured
    fair: str = RANDOM_WALK
    why: str = ""


def over_texts(statistic: Statistic) -> Measured:
    """A statistic with its bootstrap interval over texts."""

    def measured(condition: Condition, interval: bool) -> Interval:
        value, low, high = condition.bootstrapped(statistic, N_BOOTSTRAP if interval else 0)
        return float(value), float(low), float(high)

    return measured


def _pair(recording: Recording, step: int) -> Recording:
    """The two sublayers that a step joins."""
    return recording.sel(site=recording.sites[step : step + 2])


def _place(recording: Recording, share: float) -> int:
    """The step at a share of the depth."""
    return round(share * (recording.shape[1] - 2))


def correlation_at(share: float) -> Measured:
    """Mean over units of r at the step at a share of the depth."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        states = _pair(recording, _place(recording, share)).values
        return np.asarray(defined_mean(adjacent_correlation(states, weights))[:, 0])

    return over_texts(statistic)


def correlation_of(kind: str) -> Measured:
    """Mean over units and steps of a kind of r; of all steps where there are none of that kind."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        means = defined_mean(adjacent_correlation(recording.values, weights))
        chosen = recording.step_kinds == kind
        return np.asarray(means[:, chosen if chosen.any() else slice(None)].mean(axis=1))

    return over_texts(statistic)


def kinematic_at(name: str, share: float) -> Measured:
    """Mean over texts of speed or cosine at the step at a share of the depth."""
    kernel = {"speed": speed, "cosine": cosine}[name]

    def statistic(recording: Recording, weights: Floats) -> Floats:
        return np.asarray(weights @ kernel(_pair(recording, _place(recording, share)).values)[:, 0])

    return over_texts(statistic)


def _step(recording: Recording, step: int) -> int:
    """A step counted from the first, or from the last where negative, as far as there are any."""
    last = recording.shape[1] - 2
    return max(0, last + 1 + step) if step < 0 else min(step, last)


def copula_at(step: int) -> Measured:
    """Mean over units of the Gaussian-copula information of a step, in nats."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        states = _pair(recording, _step(recording, step)).values
        return np.asarray(defined_mean(copula_information(states, weights))[:, 0])

    return over_texts(statistic)


def kde_at(step: int) -> Measured:
    """Mean over some units of the kernel estimate of a step, with a jackknife over texts."""

    def measured(condition: Condition, interval: bool) -> Interval:
        pair = _pair(condition.kde_recording, _step(condition.sublayers, step))
        value = _kde(pair)
        texts = np.unique(pair.text_index)
        n_folds = min(N_FOLDS, len(texts))
        if n_folds < 2 or not interval:
            return value, np.nan, np.nan
        shuffled = np.random.default_rng(condition.seed).permutation(texts)
        left_out = [
            _kde(pair.isel(sample=np.flatnonzero(~np.isin(pair.text_index, fold))))
            for fold in np.array_split(shuffled, n_folds)
        ]
        spread = np.sqrt((n_folds - 1) * np.var(left_out))
        reach = float(scipy.stats.t.ppf(0.975, n_folds - 1) * spread)
        return value, value - reach, value + reach

    return measured


def _kde(pair: Recording) -> float:
    return float(mutual_information(pair, estimator="kde")["mean"].values[0])


def _mean_traces(recording: Recording, weights: Floats) -> Floats:
    """Traces averaged over samples, `(draw, unit, site)`."""
    states = recording.values
    flat = weights.astype(states.dtype) @ states.reshape(len(states), -1)
    return np.asarray(flat.reshape(len(weights), *states.shape[1:]).swapaxes(1, 2))


def turns(summary: Callable[[Floats], Floats]) -> Measured:
    """A summary over units, `(draw, unit)` to `(draw)`, of the counts of mean traces."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        return summary(rotation_count(_mean_traces(recording, weights)))

    return over_texts(statistic)


def shuffled_turns(summary: Callable[[Floats], Floats]) -> Measured:
    """The same with the points of each trace permuted, as the paper's null does."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        traces = _mean_traces(recording, weights)
        return summary(permuted_points_rotation_count(traces, seed=len(weights)))

    return over_texts(statistic)


def signed_mean(counts: Floats) -> Floats:
    """Mean over units of signed counts, `(draw)`."""
    return np.asarray(np.nanmean(counts, axis=-1))


def mean_magnitude(counts: Floats) -> Floats:
    """Mean over units of the magnitudes, `(draw)`."""
    return np.asarray(np.nanmean(np.abs(counts), axis=-1))


def least(counts: Floats) -> Floats:
    """The least magnitude of all units, `(draw)`."""
    return np.asarray(np.nanmin(np.abs(counts), axis=-1))


def largest(counts: Floats) -> Floats:
    """The largest magnitude of all units, `(draw)`."""
    return np.asarray(np.nanmax(np.abs(counts), axis=-1))


def autoencoder_share(
    about: str, pick: Callable[[Iterable[Interval]], Interval] | None = None
) -> Measured:
    """Variance that the autoencoder explains: overall, or of the sublayer that `pick` picks."""

    def measured(condition: Condition, _: bool) -> Interval:
        found = condition.autoencoder.isel(bottleneck=0)
        found = found.sel(described_by="autoencoder", about=about)
        name = "overall" if pick is None else "explained"
        value, low, high = (np.atleast_1d(found[f"{name}{end}"]) for end in ("", "_low", "_high"))
        rows = zip(value.tolist(), low.tolist(), high.tolist(), strict=True)
        defined = [row for row in rows if np.isfinite(row[0])]
        if not defined:
            return np.nan, np.nan, np.nan
        return defined[0] if pick is None else pick(defined)

    return measured


def component_share(component: int) -> Measured:
    """Share of the pooled variance that one principal component holds, counted from 0."""

    def measured(condition: Condition, interval: bool) -> Interval:
        found = condition.pca
        if component >= found.sizes["component"]:
            return np.nan, np.nan, np.nan
        mean = found["mean"].values
        scores = found["score"].values[..., component].astype(np.float64)
        held = (scores**2).sum(axis=1)
        total = np.zeros(len(held))
        for rows, states in condition.sublayers.blocks():
            for site in range(states.shape[1]):
                away = states[:, site] - mean
                total[rows] += np.einsum("nu,nu->n", away, away)

        def statistic(_: Recording, weights: Floats) -> Floats:
            return np.asarray((weights @ held) / (weights @ total))

        value, low, high = condition.bootstrapped(statistic, N_BOOTSTRAP if interval else 0)
        return float(value), float(low), float(high)

    return measured


def error_ratio(which: str, place: int) -> Measured:
    """Squared error after 12 sublayers over that of the replacement, at one of the depths."""

    def measured(condition: Condition, _: bool) -> Interval:
        found = condition.teleport
        if found is None or place >= found.sizes["start"]:
            return np.nan, np.nan, np.nan
        at = found.isel(start=place).sel(range=which)
        error = at["squared_error"]
        ratio = error.sel(site=at["stop"].item()) / error.sel(site=at["start"].item())
        return float(ratio), np.nan, np.nan

    return measured


def _teleport_rows() -> list[Quantity]:
    depths = {
        "0": "does not recover",
        "L/4 - 1": "recovers",
        "L/2 - 1": "recovers",
        "3L/4 - 1": "recovers",
        "L - 1": "does not recover",
    }
    ranges = {FIXED: "-15 to 15", OWN: "range of the texts"}
    return [
        Quantity(
            "4D",
            f"squared error after {HORIZON} sublayers over its start, layer {depth}, grid {words}",
            "1",
            f"{said}, no number",
            error_ratio(which, place),
            UNTRAINED,
            ONE_PROMPT,
        )
        for which, words in ranges.items()
        for place, (depth, said) in enumerate(depths.items())
    ]


QUANTITIES = (
    Quantity("1C", "r at the first step", "1", "> 0.8", correlation_at(0)),
    Quantity("1D", "r within a layer", "1", "above r across layers", correlation_of("attention")),
    Quantity("1D", "r across layers", "1", "below r within a layer", correlation_of("mlp")),
    Quantity("1E", "cosine, first step", "1", "about 0.52", kinematic_at("cosine", 0)),
    Quantity("1E", "cosine, 3/4 of depth", "1", "0.97 to 0.99", kinematic_at("cosine", 0.75)),
    Quantity("1E", "cosine, last step", "1", "a dip", kinematic_at("cosine", 1)),
    Quantity("1F", "speed, first step", "stream units", "< 1", kinematic_at("speed", 0), UNTRAINED),
    Quantity(
        "1F", "speed, middle", "stream units", "2 to 5", kinematic_at("speed", 0.5), UNTRAINED
    ),
    Quantity(
        "1F",
        "speed, at 61/63 of depth",
        "stream units",
        "up to about 24",
        kinematic_at("speed", 61 / 63),
        UNTRAINED,
    ),
    Quantity("1H", "information at step 0, kernel", "nats", "4.4", kde_at(0)),
    Quantity("1H", "information at step 5, kernel", "nats", "about 1.0", kde_at(5)),
    Quantity("1H", "information at the last step, kernel", "nats", "about 1.5", kde_at(-1)),
    Quantity("1H", "information at step 0, copula", "nats", "not used", copula_at(0)),
    Quantity("1H", "information at step 5, copula", "nats", "not used", copula_at(5)),
    Quantity("1H", "information at the last step, copula", "nats", "not used", copula_at(-1)),
    Quantity("2", "rotation count, mean magnitude", "turns", "10.74", turns(mean_magnitude)),
    Quantity("2", "rotation count, signed mean", "turns", NOT_PRINTED, turns(signed_mean)),
    Quantity("2", "rotation count, least magnitude of a unit", "turns", "about 6", turns(least)),
    Quantity("2", "rotation count, largest of a unit", "turns", "about 16", turns(largest)),
    Quantity("2", "permuted points, signed mean", "turns", "about 0", shuffled_turns(signed_mean)),
    Quantity(
        "2", "permuted points, mean magnitude", "turns", "not used", shuffled_turns(mean_magnitude)
    ),
    *(
        Quantity("3D", f"autoencoder, {words}", "1", said, measured, UNTRAINED)
        for words, said, measured in (
            ("all sublayers, about the global mean", NOT_PRINTED, autoencoder_share("global mean")),
            (
                "least sublayer, about the global mean",
                "0.60",
                autoencoder_share("global mean", min),
            ),
            ("best sublayer, about the global mean", "0.77", autoencoder_share("global mean", max)),
            ("all sublayers, about their own means", "not used", autoencoder_share("site mean")),
        )
    ),
    *(
        Quantity("4B", f"variance of PC{place + 1}", "1", SHOWN, component_share(place))
        for place in range(3)
    ),
    *_teleport_rows(),
)
