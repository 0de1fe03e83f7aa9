"""Gather the evidence for claims: bootstrap over texts, and the statistic under every null.

All profiles are computed in one pool of threads, or of the workers of a Dask client.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.decision import is_settled
from transformer_dynamics.claims.drawn_nulls import draw_seed, drawn_nulls
from transformer_dynamics.claims.evidence import Estimate, Gathered, NullEvidence
from transformer_dynamics.claims.handles import Handles
from transformer_dynamics.claims.illustrations import illustrate
from transformer_dynamics.claims.null_comparison import compare
from transformer_dynamics.claims.null_draws import DrawPlan, Progress, draw_nulls
from transformer_dynamics.claims.recorded_nulls import Rows, of_rows
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.numerics.parallel import Pool, Task
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import left_out_weights, text_weights, uniform_weights

# Bootstrap draws of a standard error.
N_ERROR = 199
# Number of texts, or groups, below which intervals are corrected for bias and skew.
FEW = 100

Profile = Callable[[Any, Floats], Floats]


def gather(
    claims: Sequence[Claim],
    subjects: Mapping[str, Subject],
    recording: Recording,
    *,
    n_bootstrap: int,
    plan: DrawPlan,
    pool: Pool,
    handles: Handles,
    on_progress: Progress | None = None,
) -> dict[str, Gathered]:
    """Evidence for every claim, by its id."""
    gathered = _of_subjects(claims, subjects, n_bootstrap, plan.seed, pool, handles)
    recorded = [claim for claim in claims if claim.perturbation is None]
    nulls = drawn_nulls(recorded, in_blocks=not handles.loads(recording))
    drawn = draw_nulls(
        nulls,
        handles.of(recording),
        {name: each.estimate.value for name, each in gathered.items()},
        plan,
        pool,
        settled={claim.id for claim in claims if _is_settled(claim, gathered[claim.id])},
        on_progress=on_progress,
    )
    for null, profiles in zip(nulls, drawn, strict=True):
        for claim in null.claims:
            own = gathered[claim.id]
            own.nulls[null.name] = _of_draws(claim, profiles[claim.id], own.estimate.value)
    illustrate(claims, subjects, gathered, plan.seed, pool, handles)
    return gathered


def _is_settled(claim: Claim, gathered: Gathered) -> bool:
    return is_settled(claim, gathered, compare(claim, gathered))


def _of_subjects(
    claims: Sequence[Claim],
    subjects: Mapping[str, Subject],
    n_bootstrap: int,
    seed: int,
    pool: Pool,
    handles: Handles,
) -> dict[str, Gathered]:
    """Profiles, statistics and conditions of the claims, and their nulls that are recordings.

    Claims that share a profile share its bootstrap.
    """
    seed, n_draws = draw_seed(seed, "bootstrap", 0), 1 + n_bootstrap
    profiles: dict[tuple[int, Profile], Task] = {}
    nulls: list[tuple[Claim, str, Task]] = []
    for claim in claims:
        subject = subjects[claim.id]
        data, groups = handles.of(subject.data), subject.groups
        for profile in (claim.profile, *(each.profile for each in claim.conditions)):
            key = id(subject.data), profile
            if key not in profiles:
                profiles[key] = pool.submit(_resampled, profile, data, groups, n_bootstrap, seed)
        for name in claim.all_nulls:
            if name in subject.nulls:
                rows, recordings = subject.nulls[name].rows, subject.nulls[name].recordings
                others = map(handles.of, recordings)
                task = pool.submit(_of_recordings, claim, data, groups, rows, seed, *others)
                nulls.append((claim, name, task))
    gathered = {}
    for claim in claims:
        place = id(subjects[claim.id].data)
        values = profiles[place, claim.profile].result()
        conditions = [
            _estimate(each.summary(profiles[place, each.profile].result()), n_draws)
            for each in claim.conditions
        ]
        estimate = _estimate(claim.summary(values), n_draws)
        gathered[claim.id] = Gathered(values[0], values[1:n_draws], estimate, conditions)
    for claim, name, task in nulls:
        gathered[claim.id].nulls[name] = task.result()
    return gathered


def _resampled(
    profile: Profile, data: Any, groups: NDArray[np.int64], n_bootstrap: int, seed: int
) -> Floats:
    """Profile for equal weights, then of bootstrap draws, then without each of few texts."""
    weights = [
        uniform_weights(len(groups)),
        text_weights(groups, n_bootstrap, seed=seed),
    ]
    if len(np.unique(groups)) < FEW:
        weights.append(left_out_weights(groups))
    return profile(data, np.concatenate(weights))


def _estimate(statistics: Floats, n_draws: int) -> Estimate:
    """Estimate from statistics of `_resampled` profiles; those after `n_draws` leave out texts."""
    left_out = statistics[n_draws:] if len(statistics) > n_draws else None
    return Estimate(float(statistics[0]), statistics[1:n_draws], left_out)


def _of_recordings(
    claim: Claim, data: Any, groups: NDArray[np.int64], rows: Rows, seed: int, *recordings: Any
) -> NullEvidence:
    """Evidence of a null that is one recording, or several, of some rows of the subject's data."""
    groups = groups[rows]
    weights = np.concatenate(
        [uniform_weights(len(groups)), text_weights(groups, N_ERROR, seed=seed)]
    )
    # The first row holds all texts alike, the others resample them.
    own = claim.summary(claim.profile(of_rows(data, rows), weights))
    profiles = [claim.profile(each, weights) for each in recordings]
    statistics = np.stack([claim.summary(each) for each in profiles])
    plain, several = np.stack([each[0] for each in profiles]), len(recordings) > 1
    return NullEvidence(
        "seeds" if several else "texts",
        plain,
        statistics[:, 0],
        plain if several else profiles[0][1:],
        statistics[:, 0] if several else statistics[0, 1:],
        float(own[0]),
        own[1:] - statistics[:, 1:].mean(axis=0),
        len(np.unique(groups)),
    )


def _of_draws(claim: Claim, profiles: Floats, value: float) -> NullEvidence:
    statistics = claim.summary(profiles)
    return NullEvidence(
        "draws", profiles, statistics, profiles, statistics, value, np.empty(0), len(profiles)
    )
