"""Differences of the claims' statistics between two runs, with 95 % intervals over texts.

    same texts           paired bootstrap: the same texts are drawn in both runs
    one holds a part     both on the texts that they share, paired
    other texts          independent bootstrap of each run

A difference is NaN, with the reason, where a run did not test the claim, a statistic is undefined,
or the stored value follows an earlier definition.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from transformer_dynamics.claims import Claim
from transformer_dynamics.claims.evidence import Estimate
from transformer_dynamics.claims.options import LEAST_SAMPLES, LEAST_SUBLAYERS
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.comparison.claims.estimates import (
    Resampled,
    Resampling,
    difference_of,
)
from transformer_dynamics.comparison.compared_run import ComparedRun
from transformer_dynamics.comparison.texts import SharedTexts, some_samples, texts_of
from transformer_dynamics.numerics.parallel import map_in_threads
from transformer_dynamics.registry import CLAIMS

# A stored value was computed from the same states; only the order of sums differs.
TOLERANCE = {"rel_tol": 1e-4, "abs_tol": 1e-8}
Runs = tuple[ComparedRun, ComparedRun]
Subjects = tuple[Subject, Subject]


@dataclass(frozen=True)
class Difference:
    """Difference of one claim's statistic between a run and the first.

    Attributes:
        run: name of the other run.
        value: statistic of the other run minus that of the first.
        interval: 95 % bootstrap interval.
        resampling: kind of bootstrap, with the number of texts or groups; empty where undefined.
        reason: reason why it is undefined; empty where it is defined.
    """

    run: str
    value: float = math.nan
    interval: tuple[float, float] = (math.nan, math.nan)
    resampling: str = ""
    reason: str = ""

    @property
    def is_paired(self) -> bool:
        """Whether the same texts were drawn in both runs."""
        return self.resampling.startswith("paired")


def differences(
    first: ComparedRun,
    other: ComparedRun,
    claims: Sequence[str],
    resampling: Resampling,
) -> dict[str, Difference]:
    """Difference of each claim's statistic, the other run minus the first, by the claim's id."""
    shared = first.shared_with(other)
    for run in (first, other):
        _ = run.sublayers.values  # read once, not by each thread

    def difference(name: str) -> Difference:
        return _difference(name, (first, other), shared, resampling)

    return dict(zip(claims, map_in_threads(difference, claims), strict=True))


def untestable(run: ComparedRun, claim: str) -> str:
    """Reason why a run has no statistic of a claim; empty where it has."""
    if claim not in CLAIMS.all():
        return f"the claim {claim} is not registered in this installation"
    shape = run.recording.shape[0], len(run.recording.sublayers.sites)
    if shape[0] < LEAST_SAMPLES or shape[1] < LEAST_SUBLAYERS:
        return (
            f"{run.name} has {shape[0]} samples and {shape[1]} sublayers; claims need "
            f"{LEAST_SAMPLES} and {LEAST_SUBLAYERS}"
        )
    if run.verdicts and claim not in run.tested:
        return f"{run.name} did not test it"
    perturbation = CLAIMS.get(claim).perturbation
    if perturbation is not None and perturbation not in run.names:
        return f"{run.name} has no result of {perturbation}"
    return ""


def _difference(name: str, runs: Runs, shared: SharedTexts, resampling: Resampling) -> Difference:
    first, other = runs
    reasons = [reason for run in runs if (reason := untestable(run, name))]
    if reasons:
        return Difference(other.name, reason="; ".join(reasons))
    subjects = first.subject(name), other.subject(name)
    if subjects[0] is None or subjects[1] is None:
        return Difference(other.name, reason="the result of its perturbation cannot be read")
    both = (subjects[0], subjects[1])
    if shared.reason:
        return _independent(CLAIMS.get(name), runs, both, resampling, shared.reason)
    return _paired(CLAIMS.get(name), runs, both, resampling, shared)


def _paired(
    claim: Claim, runs: Runs, subjects: Subjects, resampling: Resampling, shared: SharedTexts
) -> Difference:
    """Difference on the texts that both runs hold, with the same texts in each draw."""
    ours, theirs = (texts_of(subject.data) for subject in subjects)
    # Texts of the other run by their numbers in the first, -1 where that does not hold them.
    theirs = np.array([shared.numbers.get(text, -1) for text in theirs.tolist()])
    common = np.intersect1d(ours, theirs)
    if common.size < 2:
        return Difference(runs[1].name, reason=f"the runs share {common.size} of the texts tested")
    estimates, is_part = [], False
    for run, subject, texts in zip(runs, subjects, (ours, theirs), strict=True):
        rows = np.isin(texts, common)
        is_part |= not rows.all()
        # One grouping for both, so that both draw the same.
        groups = runs[0].recording.groups_of(texts[rows])
        estimates.append(resampling.of(run, claim, some_samples(subject.data, rows), groups))
    kind = "texts" if runs[0].recording.text_groups is None else "groups of texts"
    bootstrap = f"paired bootstrap over {estimates[0].n_groups} {kind}"
    if is_part:
        bootstrap += f", on the {common.size} texts that both hold"
    reason = "" if is_part else _other_definition(claim, runs, estimates)
    return _with_interval(runs[1].name, difference_of(*estimates, paired=True), bootstrap, reason)


def _independent(
    claim: Claim, runs: Runs, subjects: Subjects, resampling: Resampling, why: str
) -> Difference:
    """Difference of runs of other texts, each with its own draws."""
    estimates = [
        resampling.of(run, claim, subject.data, subject.groups, stream)
        for stream, (run, subject) in enumerate(zip(runs, subjects, strict=True))
    ]
    counts = " and ".join(str(each.n_groups) for each in estimates)
    kinds = {subject.resampled for subject in subjects}
    kind = "texts" if kinds == {"texts"} else "texts or groups of texts"
    bootstrap = f"independent bootstrap over {counts} {kind}, since {why}"
    reason = _other_definition(claim, runs, estimates)
    return _with_interval(runs[1].name, difference_of(*estimates, paired=False), bootstrap, reason)


def _other_definition(claim: Claim, runs: Runs, resamples: Sequence[Resampled]) -> str:
    """Reason why stored values are not comparable with the present definition, or empty."""
    for run, each in zip(runs, resamples, strict=True):
        stored, estimate = run.tested.get(claim.id), each.estimate
        if stored is None or not np.isfinite([stored.value, estimate.value]).all():
            continue
        if not math.isclose(stored.value, estimate.value, **TOLERANCE):
            return (
                f"the stored value of {run.name}, {stored.value:.4g}, follows another definition "
                f"than the present one, which gives {estimate.value:.4g}; test the claims again"
            )
    return ""


def _with_interval(run: str, estimate: Estimate, bootstrap: str, reason: str) -> Difference:
    if reason:
        return Difference(run, reason=reason)
    if not math.isfinite(estimate.value):
        return Difference(run, reason="the statistic of a run is undefined")
    low, high = estimate.interval
    if not np.isfinite([low, high]).all():
        reason = "no interval: the statistic is undefined on too many resamples"
    return Difference(run, estimate.value, (low, high), bootstrap, reason)
