"""Gather the evidence for claims: bootstrap over texts, and the statistic under every null."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing

import numpy as np

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.evidence import Estimate, Gathered, NullEvidence
from transformer_dynamics.claims.null_draws import (
    DrawPlan,
    Progress,
    draw_nulls,
    draw_seed,
    drawn_nulls,
)
from transformer_dynamics.claims.recorded_nulls import RecordedNull
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.numerics.arrays import Floats
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats.bootstrap import left_out_weights, text_weights, uniform_weights

# Bootstrap draws of a standard error.
N_ERROR = 199
# Number of texts, or groups, below which intervals are corrected for bias and skew.
FEW = 100


def gather(
    claims: Sequence[Claim],
    subjects: Mapping[str, Subject],
    recording: Recording,
    *,
    n_bootstrap: int,
    plan: DrawPlan,
    on_progress: Progress | None = None,
) -> dict[str, Gathered]:
    """Evidence for every claim, by its id."""
    gathered = {
        claim.id: _of_subject(claim, subjects[claim.id], n_bootstrap, plan.seed) for claim in claims
    }
    values = {name: each.estimate.value for name, each in gathered.items()}
    nulls = drawn_nulls([claim for claim in claims if claim.perturbation is None])
    with closing(draw_nulls(nulls, recording, values, plan, on_progress)) as drawing:
        for null, drawn in drawing:
            for claim in null.claims:
                own = gathered[claim.id]
                own.nulls[null.name] = _of_draws(claim, drawn[claim.id], own.estimate.value)
                if claim.illustration is not None and null.own is None:
                    seed = draw_seed(plan.seed, null.name, 0)
                    first = null.draw(null.source(recording), seed)
                    own.illustrations[null.name] = claim.illustration(first).values
    return gathered


def _of_subject(claim: Claim, subject: Subject, n_bootstrap: int, seed: int) -> Gathered:
    """The claim's profile, statistic and conditions, and its nulls that are recordings."""
    seed = draw_seed(seed, "bootstrap", 0)
    weights = [
        uniform_weights(len(subject.groups)),
        text_weights(subject.groups, n_bootstrap, seed=seed),
    ]
    if len(np.unique(subject.groups)) < FEW:
        weights.append(left_out_weights(subject.groups))
    profiles = [claim.profile(subject.data, each) for each in weights]
    conditions = [
        _estimate([each.summary(each.profile(subject.data, rows)) for rows in weights])
        for each in claim.conditions
    ]
    estimate = _estimate([claim.summary(profile) for profile in profiles])
    gathered = Gathered(profiles[0][0], profiles[1], estimate, conditions)
    for name in claim.all_nulls:
        if name in subject.nulls:
            null = subject.nulls[name]
            gathered.nulls[name] = _of_recordings(claim, subject, null, seed)
            if claim.illustration is not None:
                gathered.illustrations[name] = claim.illustration(null.recordings[0]).values
    return gathered


def _estimate(statistics: Sequence[Floats]) -> Estimate:
    left_out = statistics[2] if len(statistics) > 2 else None
    return Estimate(float(statistics[0][0]), statistics[1], left_out)


def _of_recordings(claim: Claim, subject: Subject, null: RecordedNull, seed: int) -> NullEvidence:
    """Evidence of a null that is one recording, or several."""
    shared = null.shared(subject.data)
    groups = subject.groups[null.rows]
    equal, weights = uniform_weights(len(groups)), text_weights(groups, N_ERROR, seed=seed)
    own = float(claim.summary(claim.profile(shared, equal))[0])
    profiles = np.concatenate([claim.profile(each, equal) for each in null.recordings])
    resampled = [claim.profile(each, weights) for each in null.recordings]
    statistics = np.stack([claim.summary(each) for each in resampled])
    differences = claim.summary(claim.profile(shared, weights)) - statistics.mean(axis=0)
    plain = claim.summary(profiles)
    several = len(null.recordings) > 1
    return NullEvidence(
        "seeds" if several else "texts",
        profiles,
        plain,
        profiles if several else resampled[0],
        plain if several else statistics[0],
        own,
        differences,
        len(np.unique(groups)),
    )


def _of_draws(claim: Claim, profiles: Floats, value: float) -> NullEvidence:
    statistics = claim.summary(profiles)
    return NullEvidence(
        "draws", profiles, statistics, profiles, statistics, value, np.empty(0), len(profiles)
    )
