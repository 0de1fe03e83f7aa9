"""The verdict on a claim, from its intervals and its comparisons with the nulls.

The first rule that applies gives the verdict:

    undecided                    a statistic is undefined
    not reproduced               an interval lies entirely on the wrong side of its threshold
    undecided                    an interval contains its threshold
    reproduced, not beyond null  a deciding null is not exceeded
    undecided                    a deciding null is missing
    supported                    the largest p of the deciding nulls (intersection-union test) is
                                 at most 5 %, adjusted over the claims (Benjamini-Hochberg)
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from transformer_dynamics.claims.claim import Claim, Condition
from transformer_dynamics.claims.evidence import Estimate, Gathered, as_dataset
from transformer_dynamics.claims.reasons import Placed, reasons
from transformer_dynamics.claims.subjects import Subject
from transformer_dynamics.claims.verdict import BEYOND_NO_NULL, LEVEL, NullComparison, Verdict


def decide(
    claim: Claim,
    gathered: Gathered,
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    subject: Subject,
) -> Verdict:
    """Verdict on one claim.

    Args:
        claim: the claim.
        gathered: its evidence.
        comparisons: comparison with each null.
        adjusted_p: largest p-value of the deciding nulls, adjusted over the claims.
        subject: the data that it was tested on.
    """
    evidence = as_dataset(claim, gathered, subject)
    placed: list[Placed] = [
        (rule, place_of(rule, estimate), estimate.value, estimate.interval)
        for rule, estimate in _rules(claim, gathered)
    ]
    missing = untested(claim, comparisons)
    why = reasons(claim, placed, comparisons, adjusted_p, missing)
    sentences = [why, claim.note(subject.data, evidence), claim.caveat]
    places = {place for _, place, _, _ in placed}
    return Verdict(
        claim.id,
        claim.statement,
        claim.statistic,
        gathered.estimate.value,
        gathered.estimate.interval,
        comparisons,
        _verdict(places, comparisons, adjusted_p, missing),
        " ".join(sentence for sentence in sentences if sentence),
        evidence,
    )


def _rules(claim: Claim, gathered: Gathered) -> list[tuple[Claim | Condition, Estimate]]:
    """The claim and its conditions, with their statistics."""
    return [
        (claim, gathered.estimate),
        *zip(claim.conditions, gathered.conditions, strict=True),
    ]


def place_of(rule: Claim | Condition, estimate: Estimate) -> str:
    """Place of an interval: `beyond` the threshold, `across` it, `short` of it, `undefined`."""
    low, high = estimate.interval
    if not np.isfinite([estimate.value, low, high]).all():
        return "undefined"
    near, far = (low, high) if rule.direction == "greater" else (-high, -low)
    threshold = rule.threshold if rule.direction == "greater" else -rule.threshold
    if far <= threshold:
        return "short"
    return "across" if near <= threshold else "beyond"


def is_settled(claim: Claim, gathered: Gathered, comparisons: Mapping[str, NullComparison]) -> bool:
    """Whether no further null can change the verdict: an interval or a deciding null settles it."""
    places = {place_of(rule, estimate) for rule, estimate in _rules(claim, gathered)}
    return places != {"beyond"} or _is_not_exceeded(comparisons)


def _is_not_exceeded(comparisons: Mapping[str, NullComparison]) -> bool:
    return any(null.decides and not null.p <= LEVEL for null in comparisons.values())


def untested(claim: Claim, comparisons: Mapping[str, NullComparison]) -> list[str]:
    """Deciding nulls without a comparison, or with a single untrained twin."""
    missing = [name for name in claim.nulls if name not in comparisons]
    twin = comparisons.get("untrained")
    if twin is not None and twin.decides and twin.spread != "seeds":
        missing.append("untrained")
    return missing


def _verdict(
    places: set[str],
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    missing: list[str],
) -> str:
    if "undefined" in places:
        return "undecided"
    if "short" in places:
        return "not reproduced"
    if "across" in places:
        return "undecided"
    if _is_not_exceeded(comparisons):
        return BEYOND_NO_NULL
    if missing:
        return "undecided"
    return "supported" if adjusted_p <= LEVEL else BEYOND_NO_NULL
