"""The measures as an ordinary user writes them: a loop over units or samples, one vector a time.

Each function takes float64 states `(sample, site, unit)` and returns arrays by the names and
dimensions of the measure's own result, so that the two can be compared number by number.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable

import numpy as np
import scipy.stats
from numpy.typing import NDArray
from sklearn.decomposition import PCA

Floats = NDArray[np.float64]
Arrays = dict[str, Floats]


def correlation(states: Floats) -> Arrays:
    """`scipy.stats.pearsonr` for each step and unit."""
    _, n_sites, n_units = states.shape
    result = np.empty((n_sites - 1, n_units))
    for step in range(n_sites - 1):
        for unit in range(n_units):
            pair = scipy.stats.pearsonr(states[:, step, unit], states[:, step + 1, unit])
            result[step, unit] = pair.statistic
    return {"correlation": result}


def density(states: Floats, threshold: float = 1.0, relative_threshold: float = 0.5) -> Arrays:
    """Numpy on one state at a time."""
    names = ("absolute_share", "relative_share", "treves_rolls", "norm", "mean_absolute")
    result = {name: np.empty(states.shape[:2]) for name in names}
    for place in np.ndindex(states.shape[:2]):
        magnitude = np.abs(states[place])
        mean_square = np.mean(magnitude**2)
        result["absolute_share"][place] = np.mean(magnitude > threshold)
        result["relative_share"][place] = np.mean(
            magnitude > relative_threshold * np.sqrt(mean_square)
        )
        result["treves_rolls"][place] = np.mean(magnitude) ** 2 / mean_square
        result["norm"][place] = np.linalg.norm(magnitude)
        result["mean_absolute"][place] = np.mean(magnitude)
    return result


def mutual_information(states: Floats) -> Arrays:
    """Ranks, normal scores and `corrcoef` for each step and unit."""
    n_samples, n_sites, n_units = states.shape
    result = np.empty((n_sites - 1, n_units))
    for step in range(n_sites - 1):
        for unit in range(n_units):
            first, second = (
                scipy.stats.norm.ppf(scipy.stats.rankdata(states[:, site, unit]) / (n_samples + 1))
                for site in (step, step + 1)
            )
            r = np.corrcoef(first, second)[0, 1]
            result[step, unit] = -0.5 * np.log(1 - r**2)
    return {"information": result}


def rotation_count(traces: Iterable[Floats]) -> Floats:
    """A Python loop over the points of each trace `(site,)`."""
    return np.array([_turns(np.diff(trace), np.diff(np.gradient(trace))) for trace in traces])


def rotations(states: Floats) -> Arrays:
    """The count of each unit's mean trace and of every single trace, and the winding number."""
    means = states.mean(axis=0).T
    gradients = [np.gradient(trace) for trace in means]
    return {
        "rotation_count": rotation_count(means),
        "winding": np.array(
            [
                _turns(trace - trace.mean(), gradient - gradient.mean())
                for trace, gradient in zip(means, gradients, strict=True)
            ]
        ),
        "rotation_count_per_sample": np.array([rotation_count(sample.T) for sample in states]),
    }


def _turns(x: Floats, y: Floats) -> float:
    angles = [math.atan2(b, a) for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    total = 0.0
    for before, after in itertools.pairwise(angles):
        change = after - before
        if change > math.pi:
            change -= 2 * math.pi
        elif change <= -math.pi:
            change += 2 * math.pi
        total += change
    return total / (2 * math.pi)


def kinematics(states: Floats) -> Arrays:
    """`np.linalg.norm` of one vector at a time."""
    n_samples, n_sites, _ = states.shape
    norm = np.empty((n_samples, n_sites))
    speed, relative_speed, cosine = np.empty((3, n_samples, n_sites - 1))
    acceleration, second_difference = np.empty((2, n_samples, n_sites - 2))
    for sample, path in enumerate(states):
        for site in range(n_sites):
            norm[sample, site] = np.linalg.norm(path[site])
        for step in range(n_sites - 1):
            length = norm[sample, step] * norm[sample, step + 1]
            speed[sample, step] = np.linalg.norm(path[step + 1] - path[step])
            relative_speed[sample, step] = speed[sample, step] / norm[sample, step]
            cosine[sample, step] = path[step] @ path[step + 1] / length
        for turn in range(n_sites - 2):
            bend = path[turn + 2] - 2 * path[turn + 1] + path[turn]
            acceleration[sample, turn] = speed[sample, turn + 1] - speed[sample, turn]
            second_difference[sample, turn] = np.linalg.norm(bend)
    return {
        "norm": norm,
        "speed": speed,
        "relative_speed": relative_speed,
        "cosine": cosine,
        "acceleration": acceleration,
        "second_difference": second_difference,
    }


def geometry(states: Floats) -> Arrays:
    """Step by step along one path at a time; the angle by `arccos`."""
    n_samples, n_sites, _ = states.shape
    path_length_to = np.zeros((n_samples, n_sites))
    turning_angle = np.empty((n_samples, n_sites - 2))
    displacement = np.empty(n_samples)
    for sample, path in enumerate(states):
        for step in range(n_sites - 1):
            length = np.linalg.norm(path[step + 1] - path[step])
            path_length_to[sample, step + 1] = path_length_to[sample, step] + length
        for turn in range(n_sites - 2):
            first, second = path[turn + 1] - path[turn], path[turn + 2] - path[turn + 1]
            cosine = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
            turning_angle[sample, turn] = np.arccos(cosine)
        displacement[sample] = np.linalg.norm(path[-1] - path[0])
    path_length = path_length_to[:, -1]
    return {
        "path_length": path_length,
        "displacement": displacement,
        "tortuosity": path_length / displacement,
        "turning_angle": turning_angle,
        "path_length_to": path_length_to,
    }


def pca(states: Floats, n_components: int = 3) -> Arrays:
    """scikit-learn on all states stacked, then the shares site by site."""
    n_samples, n_sites, n_units = states.shape
    fitted = PCA(n_components)
    score = fitted.fit_transform(states.reshape(-1, n_units))
    score = score.reshape(n_samples, n_sites, n_components)
    about_global, about_site = np.empty((2, n_sites))
    for site in range(n_sites):
        deviation = states[:, site] - fitted.mean_
        about_global[site] = np.sum(score[:, site] ** 2) / np.sum(deviation**2)
        own, own_score = (part - part.mean(axis=0) for part in (deviation, score[:, site]))
        about_site[site] = np.sum(own_score**2) / np.sum(own**2)
    return {
        "loading": fitted.components_,
        "mean": fitted.mean_,
        "score": score,
        "explained_variance_ratio": fitted.explained_variance_ratio_,
        "explained_about_global_mean": about_global,
        "explained_about_site_mean": about_site,
    }
