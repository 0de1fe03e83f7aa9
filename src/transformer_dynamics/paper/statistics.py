"""Statistics of a condition: correlation, kinematics and information, with intervals.

A statistic over texts is a function of states and weights of the samples, so that the bootstrap is
a matrix product. The kernel estimate of information counts repeated texts as information; its
interval is a jackknife over tenths of the texts instead.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import scipy.stats

from transformer_dynamics.measures.paths.steps import cosine, speed
from transformer_dynamics.measures.units.gaussian_information import mean_copula_information
from transformer_dynamics.measures.units.information import mutual_information
from transformer_dynamics.measures.units.weighted_correlation import mean_adjacent_correlation
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.paper.conditions import N_BOOTSTRAP, Condition
from transformer_dynamics.recording.recording import Recording

Statistic = Callable[[Recording, Floats], Floats]
Interval = tuple[float, float, float]
# Takes a condition and whether to compute the interval; value, low and high, NaN without one.
Measured = Callable[[Condition, bool], Interval]
N_FOLDS = 10


def over_texts(statistic: Statistic) -> Measured:
    """Add a bootstrap interval over texts to a statistic."""

    def measured(condition: Condition, interval: bool) -> Interval:
        value, low, high = condition.bootstrapped(statistic, N_BOOTSTRAP if interval else 0)
        return float(value), float(low), float(high)

    return measured


def _pair(recording: Recording, step: int) -> Recording:
    """Two sublayers that a step joins."""
    return recording.sel(site=recording.sites[step : step + 2])


def _step_at(recording: Recording, share: float) -> int:
    """Step at a share of the depth."""
    return round(share * (recording.shape[1] - 2))


def correlation_at(share: float) -> Measured:
    """Mean of r over units, at the step at a share of the depth."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        states = _pair(recording, _step_at(recording, share)).values
        return mean_adjacent_correlation(states, weights)[:, 0]

    return over_texts(statistic)


def correlation_of(kind: str) -> Measured:
    """Mean of r over units and steps of a kind; over all steps if there are none of that kind."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        means = mean_adjacent_correlation(recording.values, weights)
        chosen = recording.step_kinds == kind
        return np.asarray(means[:, chosen if chosen.any() else slice(None)].mean(axis=1))

    return over_texts(statistic)


def kinematic_at(name: str, share: float) -> Measured:
    """Mean over texts of speed or cosine, at the step at a share of the depth."""
    kernel = {"speed": speed, "cosine": cosine}[name]

    def statistic(recording: Recording, weights: Floats) -> Floats:
        return np.asarray(
            weights @ kernel(_pair(recording, _step_at(recording, share)).values)[:, 0]
        )

    return over_texts(statistic)


def _step(recording: Recording, step: int) -> int:
    """Step counted from the first, or from the last if negative, within the steps that exist."""
    last = recording.shape[1] - 2
    return max(0, last + 1 + step) if step < 0 else min(step, last)


def copula_at(step: int) -> Measured:
    """Mean over units of the Gaussian-copula information of a step, in nats."""

    def statistic(recording: Recording, weights: Floats) -> Floats:
        states = _pair(recording, _step(recording, step)).values
        return mean_copula_information(states, weights)[:, 0]

    return over_texts(statistic)


def kde_at(step: int) -> Measured:
    """Mean over subsampled units of the kernel estimate of a step, with a jackknife over texts."""

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
        margin = float(scipy.stats.t.ppf(0.975, n_folds - 1) * spread)
        return value, value - margin, value + margin

    return measured


def _kde(pair: Recording) -> float:
    return float(mutual_information(pair, estimator="kde")["mean"].values[0])
