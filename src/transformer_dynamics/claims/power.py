"""Share of runs that end in `supported`, on a synthetic truth or on draws of one of its nulls.

A claim is tested alone, so that nothing is adjusted. Cost: some 0.2 seconds of one core per run.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

from scipy import stats

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.evaluation import evaluate_claims
from transformer_dynamics.claims.options import ClaimOptions
from transformer_dynamics.claims.truths import TRUTHS, Truth
from transformer_dynamics.claims.truths_perturbed import PERTURBED, PerturbedTruth
from transformer_dynamics.claims.verdict import LEVEL
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.registry import CLAIMS, NULLS

TRUE = "truth"
QUICK = ClaimOptions(n_null=39, n_bootstrap=99, n_threads=1)
# Seeds of twins are far from those of recordings.
TWIN_SEEDS = 1_000_000


@dataclass(frozen=True)
class Share:
    """Share of runs in which a claim was supported.

    Attributes:
        claim: its id.
        system: description of the system.
        null: source of the recordings, a null or `truth` for the system itself.
        supported: number of runs that ended in `supported`.
        exceeded: number of runs that exceeded this null (p at most 5 %), whatever the other nulls.
        n_runs: number of runs.
    """

    claim: str
    system: str
    null: str
    supported: int
    exceeded: int
    n_runs: int

    @property
    def allowed(self) -> int:
        """Largest allowed number of supported runs of a null: 99.9 % of a binomial at 5 %."""
        return int(stats.binom.ppf(0.999, self.n_runs, LEVEL))

    @property
    def passes(self) -> bool:
        """Whether power is at least 80 %, or the null is supported at most as often as allowed."""
        if self.null == TRUE:
            return self.supported >= 0.8 * self.n_runs
        return self.supported <= self.allowed


def share(
    claim: str, null: str, n_runs: int, *, first_seed: int = 0, options: ClaimOptions = QUICK
) -> Share:
    """Test a claim on a truth, or on a null of it, with consecutive seeds.

    Args:
        claim: the id of a claim that has a truth.
        null: `truth`, or the name of one of its deciding nulls.
        n_runs: number of runs.
        first_seed: seed of the first run.
        options: numbers of draws; 19 draws of a null are the fewest with which a claim can be
            supported.

    Raises:
        InputError: the claim has no truth, or no such deciding null.
    """
    known: dict[str, Truth | PerturbedTruth] = {**TRUTHS, **PERTURBED}
    if claim not in known or null not in (TRUE, *CLAIMS.get(claim).nulls):
        raise InputError(
            f"got the claim {claim!r} and the null {null!r}; claims with a truth are "
            f"{', '.join(known)}, and a null is {TRUE!r} or one that decides the claim: "
            "share('C1', 'random_walk', 200)"
        )
    tested: Claim = CLAIMS.get(claim)
    truth = known[claim]
    supported = exceeded = 0
    for seed in range(first_seed, first_seed + n_runs):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedWarning)
            if isinstance(truth, PerturbedTruth):
                inputs = _perturbed(tested, truth, null, seed)
            else:
                inputs = _recorded(truth, null, seed)
            (verdict,) = evaluate_claims(**inputs, claims=[claim], options=options, seed=seed)
        supported += verdict.verdict == "supported"
        exceeded += null != TRUE and verdict.nulls[null].p <= LEVEL
    return Share(claim, truth.words, null, supported, exceeded, n_runs)


def _recorded(truth: Truth, null: str, seed: int) -> dict[str, Any]:
    """Arguments of a test on a recording of the truth, of a null of it, or of another twin."""
    first = TWIN_SEEDS + seed * (N_TWINS + 1)
    twins = [truth.twin(first + number) for number in range(N_TWINS)]
    recording = truth.recording(seed)
    if null == "untrained":
        recording = truth.twin(first + N_TWINS)
    elif null != TRUE:
        recording = NULLS.get(null).function(recording, seed=first)
    return {"recording": recording, "model_nulls": {"untrained": twins}}


def _perturbed(claim: Claim, truth: PerturbedTruth, null: str, seed: int) -> dict[str, Any]:
    """Arguments of a test on the result of a perturbation."""
    result = truth.result(seed, null)
    return {
        "recording": truth.recording,
        "perturbed": {str(claim.perturbation): result},
    }
