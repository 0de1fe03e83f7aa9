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

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim, Condition
from transformer_dynamics.claims.evidence import Gathered
from transformer_dynamics.claims.reasons import Placed, reasons
from transformer_dynamics.claims.verdict import (
    BEYOND_NO_NULL,
    LEVEL,
    NullComparison,
    ValueInterval,
    Verdict,
    largest_p,
)
from transformer_dynamics.claims.verdicts import Verdicts
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.stats.false_discovery import benjamini_hochberg
from transformer_dynamics.storage.attributes import plain_attributes


def decide(
    claim: Claim,
    gathered: Gathered,
    comparisons: Mapping[str, NullComparison],
    evidence: xr.Dataset,
    note: str,
) -> Verdict:
    """Verdict on one claim as the only one of its family; see `judged`.

    Args:
        claim: the claim.
        gathered: its evidence.
        comparisons: comparison with each null.
        evidence: the evidence as a dataset.
        note: the claim's note on it, or empty.
    """
    note = " ".join(each for each in (note, claim.caveat) if each)
    conditions = tuple((each.value, each.interval) for each in gathered.conditions)
    kept = {
        "conditions": [{"value": value, "interval": ends} for value, ends in conditions],
        "note": note,
    }
    verdict = Verdict(
        claim.id,
        claim.statement,
        claim.statistic,
        gathered.estimate.value,
        gathered.estimate.interval,
        comparisons,
        "undecided",
        "",
        evidence.assign_attrs(plain_attributes(kept)),
        conditions,
        note,
    )
    return judged(verdict, claim, largest_p(comparisons.values()))


def judged(verdict: Verdict, claim: Claim, adjusted_p: float) -> Verdict:
    """The verdict with another adjustment.

    Args:
        verdict: the verdict, of any adjustment.
        claim: its claim.
        adjusted_p: largest p-value of the deciding nulls, adjusted over a family of claims.
    """
    rules = zip(_rules(claim), _estimates(verdict), strict=True)
    placed: list[Placed] = [
        (rule, place_of(rule, value, interval), value, interval)
        for rule, (value, interval) in rules
    ]
    # In the order of the claim, whatever the order in a file.
    order = [*claim.all_nulls, *claim.own_nulls]
    nulls = dict(sorted(verdict.nulls.items(), key=lambda item: order.index(item[0])))
    missing = untested(claim, nulls)
    sentences = reasons(claim, placed, nulls, adjusted_p, missing), verdict.note
    places = {place for _, place, _, _ in placed}
    return replace(
        verdict,
        nulls=nulls,
        verdict=_verdict(places, nulls, adjusted_p, missing),
        why=" ".join(sentence for sentence in sentences if sentence),
    )


def adjusted_together(verdicts: Sequence[Verdict], *, n_to_come: int = 0) -> Verdicts:
    """Verdicts of claims that were tested in several calls, with p-values adjusted as one family.

    Args:
        verdicts: the verdicts, of any adjustment; that of a claim that is not registered stays.
        n_to_come: number of claims of the family that are not tested yet. They count with p = 1: a
            claim that is supported now keeps its verdict, whatever the others give.
    """
    largest = [largest_p(verdict.nulls.values()) for verdict in verdicts]
    adjusted = benjamini_hochberg(np.concatenate([largest, np.ones(n_to_come)]))
    known = CLAIMS.all()
    return Verdicts(
        judged(verdict, known[verdict.id], float(p)) if verdict.id in known else verdict
        for verdict, p in zip(verdicts, adjusted, strict=False)
    )


def _rules(claim: Claim) -> list[Claim | Condition]:
    return [claim, *claim.conditions]


def _estimates(verdict: Verdict) -> list[ValueInterval]:
    return [(verdict.value, verdict.interval), *verdict.conditions]


def place_of(rule: Claim | Condition, value: float, interval: tuple[float, float]) -> str:
    """Place of an interval: `beyond` the threshold, `across` it, `short` of it, `undefined`."""
    low, high = interval
    if not np.isfinite([value, low, high]).all():
        return "undefined"
    near, far = (low, high) if rule.direction == "greater" else (-high, -low)
    threshold = rule.threshold if rule.direction == "greater" else -rule.threshold
    if far <= threshold:
        return "short"
    return "across" if near <= threshold else "beyond"


def is_settled(claim: Claim, gathered: Gathered, comparisons: Mapping[str, NullComparison]) -> bool:
    """Whether no further null can change the verdict: an interval or a deciding null settles it."""
    estimates = (gathered.estimate, *gathered.conditions)
    rules = zip(_rules(claim), estimates, strict=True)
    places = {place_of(rule, estimate.value, estimate.interval) for rule, estimate in rules}
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
