"""The reason of a verdict in a few sentences: thresholds, nulls, adjustment, what is missing."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from transformer_dynamics.claims.claim import LEVEL, Claim, Condition, NullComparison

# A rule, where its interval lies, its value and its interval.
Placed = tuple[Claim | Condition, str, float, tuple[float, float]]

PLACES = {
    "short": "does not lie {side}",
    "across": "contains or touches",
    "beyond": "lies wholly {side}",
}


def reasons(
    claim: Claim,
    placed: Sequence[Placed],
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    untested: Sequence[str],
) -> str:
    """State where the intervals lie, which deciding nulls are exceeded, and what was not tested."""
    sentences = [_place(*each) for each in placed]
    deciding = {name: null for name, null in comparisons.items() if null.decides}
    greater = claim.direction == "greater"
    groups: dict[str, Callable[[float], bool]] = {
        "exceeds" if greater else "lies below": lambda p: p <= LEVEL,
        "does not exceed" if greater else "does not lie below": lambda p: p > LEVEL,
        "cannot be compared with": math.isnan,
    }
    for words, belongs in groups.items():
        named = [_named(name, null) for name, null in deciding.items() if belongs(null.p)]
        if named:
            sentences.append(f"The statistic {words} {', '.join(named)}.")
    if math.isfinite(adjusted_p):
        sentences.append(
            f"The largest p-value of the deciding nulls, adjusted over the claims tested together, "
            f"is {adjusted_p:.3g}."
        )
        if adjusted_p > LEVEL and all(null.p <= LEVEL for null in deciding.values()):
            largest = max(deciding.values(), key=lambda null: null.p)
            more = "draws (n_null)" if largest.spread == "draws" else "texts"
            sentences.append(f"No deciding null gives as much; more {more} may lower that p-value.")
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
    words = PLACES[place].format(side=side)
    return (
        f"The interval{subject}, {low:.3g} to {high:.3g} around {value:.3g}, {words} the threshold "
        f"{rule.threshold:.3g}."
    )


def _named(name: str, null: NullComparison) -> str:
    spread = f" ± {null.sd:.2g}" if math.isfinite(null.sd) and null.sd > 0 else ""
    own = "" if null.spread == "draws" else f", recording {null.value:.3g}"
    return (
        f"{name.replace('_', ' ')} ({null.mean:.3g}{spread} over {null.count} {null.spread}{own}, "
        f"p = {null.p:.2g})"
    )


def _missing(names: Sequence[str], comparisons: Mapping[str, NullComparison]) -> str:
    absent = [name.replace("_", " ") for name in names if name not in comparisons]
    sentences = []
    if absent:
        sentences.append(
            f"Not tested against {', '.join(absent)}, because no model was given; without that "
            "null the claim cannot be supported."
        )
    if len(absent) < len(names):
        sentences.append(
            "There is one untrained twin only, so that the spread over initializations is not "
            "known; the claim cannot be supported without several."
        )
    return " ".join(sentences)
