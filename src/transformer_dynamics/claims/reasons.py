"""The reason for a verdict in a few sentences: thresholds, nulls, adjustment, missing nulls."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from transformer_dynamics.claims.claim import Claim, Condition
from transformer_dynamics.claims.verdict import LEVEL, NullComparison

# A rule, the place of its interval, its value and its interval.
Placed = tuple[Claim | Condition, str, float, tuple[float, float]]

PLACES = {
    "short": "does not lie {side}",
    "across": "contains or touches",
    "beyond": "lies entirely {side}",
}


def reasons(
    claim: Claim,
    placed: Sequence[Placed],
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    untested: Sequence[str],
) -> str:
    """State the places of the intervals, the comparison with each null, and the missing nulls."""
    sentences = [_place(*each) for each in placed]
    deciding = {name: null for name, null in comparisons.items() if null.decides}
    greater = claim.direction == "greater"
    groups: dict[str, Callable[[float], bool]] = {
        "exceeds" if greater else "lies below": lambda p: p <= LEVEL,
        "does not exceed" if greater else "does not lie below": lambda p: p > LEVEL,
        "cannot be compared with": math.isnan,
    }
    for verb, belongs in groups.items():
        named = [_named(name, null) for name, null in deciding.items() if belongs(null.p)]
        if named:
            sentences.append(f"The statistic {verb} {', '.join(named)}.")
    if math.isfinite(adjusted_p):
        sentences.append(
            "The largest p-value of the deciding nulls, adjusted for the number of claims tested "
            f"together, is {adjusted_p:.3g}."
        )
        if adjusted_p > LEVEL and all(null.p <= LEVEL for null in deciding.values()):
            largest = max(deciding.values(), key=lambda null: null.p)
            more = "draws (n_null)" if largest.spread == "draws" else "texts"
            sentences.append(
                f"Each deciding null is exceeded before the adjustment; more {more} may lower the "
                "adjusted p-value."
            )
    if untested:
        sentences.append(_missing(untested, comparisons))
    return " ".join(sentences)


def _place(rule: Claim | Condition, place: str, value: float, interval: tuple[float, float]) -> str:
    low, high = interval
    subject = f" of the {rule.name}" if isinstance(rule, Condition) else ""
    if place == "undefined":
        return (
            f"The statistic{subject} or its interval is not defined: the states do not vary, in "
            "the recording or in some resample of its texts; more texts may help."
        )
    side = "above" if rule.direction == "greater" else "below"
    return (
        f"The 95 % interval{subject}, {low:.3g} to {high:.3g} around {value:.3g}, "
        f"{PLACES[place].format(side=side)} the threshold {rule.threshold:.3g}."
    )


def _named(name: str, null: NullComparison) -> str:
    spread = f" ± {null.sd:.2g}" if math.isfinite(null.sd) and null.sd > 0 else ""
    own = "" if null.spread == "draws" else f"; the recording on the same samples {null.value:.3g}"
    return (
        f"{name.replace('_', ' ')} ({null.mean:.3g}{spread}, {null.count} {null.spread}{own}; "
        f"p = {null.p:.2g})"
    )


def _missing(names: Sequence[str], comparisons: Mapping[str, NullComparison]) -> str:
    absent = [name.replace("_", " ") for name in names if name not in comparisons]
    sentences = []
    if absent:
        sentences.append(
            f"The null {', '.join(absent)} was not tested because no model was given; without it "
            "the claim cannot be supported."
        )
    if len(absent) < len(names):
        sentences.append(
            "There is only one untrained twin, so the spread over initializations is unknown; the "
            "claim cannot be supported without several twins."
        )
    return " ".join(sentences)
