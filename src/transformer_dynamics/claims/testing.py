"""Test claims on a recording: `td.test_claims(recording, model=model)`."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from transformer_dynamics.claims.claim import LEVEL, Claim, NullComparison, Verdict, largest_p
from transformer_dynamics.claims.evidence import Gathered, as_dataset, compare, gather
from transformer_dynamics.errors import InputError
from transformer_dynamics.inference.bootstrap import percentile_interval
from transformer_dynamics.inference.significance import benjamini_hochberg
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS
from transformer_dynamics.residual.labels import FINAL

BEYOND_NO_NULL = "reproduced, not beyond null"
N_NULL = 199
N_BOOTSTRAP = 499


def test_claims(
    recording: Recording,
    *,
    model: object = None,
    model_nulls: Mapping[str, Recording] | None = None,
    claims: Sequence[str] | None = None,
    n_null: int = N_NULL,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    n_threads: int | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Verdict]:
    """Test claims on the sublayers of a recording (every site but the final one).

    Args:
        recording: the recording.
        model: its model, with which the untrained twin and the shuffled texts are recorded; without
            it and without `model_nulls` these nulls are left out and every verdict says so.
        model_nulls: those recordings, by name of the null, where they were made already.
        claims: ids of the claims to test; by default all that are registered.
        n_null: draws of each null; the least possible p-value is 1/(n_null + 1).
        n_bootstrap: draws of the bootstrap over texts.
        seed: the same seed gives the same bits.
        n_threads: draws at a time; by default the number of processors.
        on_progress: called with draws done and draws in all.

    Returns:
        One verdict per claim.

    Raises:
        InputError: too few samples or sites, or numbers of draws below 1.
        KeyError: no such claim.
    """
    check_size(recording.shape[0], recording.sites, n_null, n_bootstrap)
    sublayers = recording.sublayers.load()
    chosen = list(CLAIMS.all()) if claims is None else list(claims)
    tested: list[Claim] = [CLAIMS.get(name) for name in chosen]
    reruns = dict(model_nulls or {})
    if model is not None:
        for name in sorted({null for claim in tested for null in claim.all_nulls} - set(reruns)):
            if NULLS.get(name).needs_model:
                reruns[name] = NULLS.get(name).function(recording, model=model, seed=seed)
    gathered = gather(
        tested,
        sublayers,
        {name: null.sublayers.load() for name, null in reruns.items()},
        n_null=n_null,
        n_bootstrap=n_bootstrap,
        seed=seed,
        n_threads=n_threads or os.cpu_count() or 1,
        on_progress=on_progress,
    )
    comparisons = {claim.id: compare(claim, gathered[claim.id]) for claim in tested}
    adjusted = benjamini_hochberg(
        np.array([largest_p(list(comparisons[claim.id].values())) for claim in tested])
    )
    return [
        _verdict(claim, gathered[claim.id], comparisons[claim.id], float(q), sublayers)
        for claim, q in zip(tested, adjusted, strict=True)
    ]


def check_size(n_samples: int, sites: Sequence[str], n_null: int, n_bootstrap: int) -> None:
    """Refuse what claims cannot be tested on, before anything is recorded or drawn.

    Raises:
        InputError: too few samples or sites, or numbers of draws that are too small.
    """
    if n_null < 1 or n_bootstrap < 2:
        raise InputError(
            f"got n_null={n_null}, n_bootstrap={n_bootstrap}; they are at least 1 and 2: "
            f"td.test_claims(recording, n_null={N_NULL}, n_bootstrap={N_BOOTSTRAP})"
        )
    n_sublayers = len([site for site in sites if site != FINAL])
    if n_samples < 3 or n_sublayers < 6:
        raise InputError(
            f"got {n_samples} samples and {n_sublayers} sublayers; claims over depth need at "
            "least 3 samples (texts) and 6 sublayers"
        )


def _verdict(
    claim: Claim,
    gathered: Gathered,
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
    recording: Recording,
) -> Verdict:
    value = float(claim.summary(gathered.plain[np.newaxis])[0])
    low, high = (float(end) for end in percentile_interval(claim.summary(gathered.bootstrap)))
    evidence = as_dataset(claim, gathered, recording)
    near, far = (low, high) if claim.direction == "greater" else (-high, -low)
    threshold = claim.threshold if claim.direction == "greater" else -claim.threshold
    if not np.isfinite([value, low, high]).all():
        verdict = "undecided"
    elif far <= threshold:
        verdict = "not reproduced"
    elif near <= threshold:
        verdict = "undecided"
    else:
        verdict = "supported" if adjusted_p <= LEVEL else BEYOND_NO_NULL
    return Verdict(
        claim.id,
        claim.statement,
        claim.statistic,
        value,
        (low, high),
        comparisons,
        verdict,
        _why(claim, verdict, (value, low, high), comparisons, adjusted_p)
        + _sentence(claim.remark(recording, evidence))
        + _sentence(claim.caveat),
        evidence,
    )


def _why(
    claim: Claim,
    verdict: str,
    numbers: tuple[float, float, float],
    comparisons: Mapping[str, NullComparison],
    adjusted_p: float,
) -> str:
    deciding = {name: comparisons[name] for name in claim.nulls if name in comparisons}
    groups: dict[str, Callable[[float], bool]] = {
        "exceeds": lambda p: p <= LEVEL,
        "does not exceed": lambda p: p > LEVEL,
        "is not comparable with": math.isnan,
    }
    parts = []
    for words, belongs in groups.items():
        named = [_named(name, null) for name, null in deciding.items() if belongs(null.p)]
        if named:
            parts.append(f"it {words} {', '.join(named)}")
    text = _place(claim, verdict, numbers)
    if parts:
        sentence = "; ".join(parts)
        text += f" {sentence[0].upper()}{sentence[1:]}."
    if np.isfinite(adjusted_p):
        text += f" Adjusted over the claims, p = {adjusted_p:.3g}."
    if verdict == BEYOND_NO_NULL and all(null.p <= LEVEL for null in deciding.values()):
        text += " No deciding null gives as much; more draws of the nulls may lower that p."
    missing = [name for name in claim.nulls if name not in comparisons]
    if missing:
        text += f" Not tested against {', '.join(missing)}: no model was given."
    return text


def _place(claim: Claim, verdict: str, numbers: tuple[float, float, float]) -> str:
    """Where the interval lies."""
    value, low, high = numbers
    if not np.isfinite(numbers).all():
        return (
            f"The statistic ({value:.3g}) or its interval is not defined: the states do not vary, "
            "here or in some draw of texts, where it needs them to; more texts may mend that."
        )
    side = "above" if claim.direction == "greater" else "below"
    place = {
        "not reproduced": f"does not lie {side}",
        "undecided": f"is not wholly {side}",
    }.get(verdict, f"lies wholly {side}")
    return (
        f"The interval {low:.3g} to {high:.3g} about {value:.3g} {place} the claim's threshold "
        f"{claim.threshold:g}."
    )


def _named(name: str, null: NullComparison) -> str:
    return f"{name.replace('_', ' ')} ({null.mean:.3g} ± {null.sd:.2g}, p = {null.p:.3g})"


def _sentence(text: str) -> str:
    return f" {text}" if text else ""
