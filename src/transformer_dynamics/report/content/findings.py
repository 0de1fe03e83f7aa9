"""Findings in plain words: what a verdict says of the claim's statement."""

from __future__ import annotations

from transformer_dynamics.claims import Verdict
from transformer_dynamics.claims.verdict import BEYOND_NO_NULL, LEVEL

# Mark of each verdict, so that it does not depend on its color.
MARKS = {"supported": "✓", BEYOND_NO_NULL: "◐", "not reproduced": "✕", "undecided": "?"}


def finding(verdict: Verdict) -> str:
    """One sentence on the outcome, which follows the claim's statement."""
    if verdict.verdict == "supported":
        return "It holds here, beyond every null model that decides it."
    if verdict.verdict == BEYOND_NO_NULL:
        names = _not_exceeded(verdict)
        if not names:
            return "It holds here, but not beyond the null models once all claims are counted."
        shows = "show" if len(names) > 1 or _is_plural(names[0]) else "shows"
        return f"It holds here, but {_listed(names)} {shows} it as strongly."
    if verdict.verdict == "not reproduced":
        return "It does not hold here."
    return "These texts and null models do not decide it."


def _not_exceeded(verdict: Verdict) -> list[str]:
    """Deciding nulls that the recording does not exceed at the level of a single test."""
    nulls = verdict.ordered_nulls()
    return [name.replace("_", " ") for name, null in nulls if null.decides and not null.p <= LEVEL]


def _is_plural(name: str) -> bool:
    """Whether a null model's name is a plural.

    >>> _is_plural("spectrum matched updates"), _is_plural("random basis"), _is_plural("moved")
    (True, False, False)
    """
    return name.endswith("s") and not name.endswith("is")


def _listed(names: list[str]) -> str:
    """Names with articles as a list in words.

    >>> _listed(["random walk", "untrained"])
    'the random walk and the untrained network'
    """
    full = [f"the {name} network" if name == "untrained" else f"the {name}" for name in names]
    return " and ".join(part for part in (", ".join(full[:-1]), full[-1]) if part)
