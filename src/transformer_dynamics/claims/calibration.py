"""Power and calibration of claims: the share of runs that end in `supported`.

    power        on synthetic systems on which the claim is true by construction
    calibration  on recordings drawn from each of its deciding nulls

`python -m transformer_dynamics.claims.calibration` runs every claim and prints the table of the
documentation. A claim is tested alone, so that nothing is adjusted.

Cost: some 0.2 seconds of one core per run and claim; 25 runs for power and 200 per deciding null.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from transformer_dynamics.claims.claim import LEVEL, Claim
from transformer_dynamics.claims.truths import TRUTHS, Truth
from transformer_dynamics.claims.truths_perturbed import PERTURBED, PerturbedTruth
from transformer_dynamics.claims.verdicts import evaluate_claims
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.registry import CLAIMS, NULLS
from transformer_dynamics.storage.files import write_json

N_POWER, N_CALIBRATION = 25, 200
N_TWINS = 8
TRUE = "truth"
# Seeds of twins lie apart from those of recordings.
TWIN_SEEDS = 1_000_000


@dataclass(frozen=True)
class Share:
    """Share of runs in which a claim was supported.

    Attributes:
        claim: its id.
        system: the system, in words.
        null: the null that the recordings were drawn from; `truth` for those of the truth itself.
        supported: runs that ended in `supported`.
        exceeded: runs in which the null that they were drawn from did not give as much (p at most
            5 %), whatever the other nulls gave.
        n_runs: all runs.
    """

    claim: str
    system: str
    null: str
    supported: int
    exceeded: int
    n_runs: int

    @property
    def allowed(self) -> int:
        """The most runs of a null that may be supported: 99.9 % of a binomial at the level."""
        return int(stats.binom.ppf(0.999, self.n_runs, LEVEL))

    @property
    def passes(self) -> bool:
        """Whether power is at least 80 %, or the null is supported as rarely as it should be."""
        if self.null == TRUE:
            return self.supported >= 0.8 * self.n_runs
        return self.supported <= self.allowed


def share(claim: str, null: str, n_runs: int, *, first_seed: int = 0) -> Share:
    """Test a claim on a truth, or on a null of it, with consecutive seeds.

    Args:
        claim: the id of a claim that has a truth.
        null: `truth`, or the name of one of its deciding nulls.
        n_runs: number of runs.
        first_seed: seed of the first run.

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
            (verdict,) = evaluate_claims(
                **inputs, claims=[claim], n_null=39, n_bootstrap=99, n_threads=1, seed=seed
            )
        supported += verdict.verdict == "supported"
        exceeded += null != TRUE and verdict.nulls[null].p <= LEVEL
    return Share(claim, truth.words, null, supported, exceeded, n_runs)


def _recorded(truth: Truth, null: str, seed: int) -> dict[str, Any]:
    """Arguments of a test on a recording: of the truth, of a null of it, or of one more twin."""
    first = TWIN_SEEDS + seed * (N_TWINS + 1)
    twins = [truth.twin(first + place) for place in range(N_TWINS)]
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


def table(
    claims: Iterable[str],
    *,
    n_power: int = N_POWER,
    n_calibration: int = N_CALIBRATION,
    report: Callable[[Share], None] = lambda share: None,
) -> list[Share]:
    """Power and calibration of claims, a row for the truth and for each deciding null."""
    rows = []
    for claim in claims:
        for null in (TRUE, *CLAIMS.get(claim).nulls):
            rows.append(share(claim, null, n_power if null == TRUE else n_calibration))
            report(rows[-1])
    return rows


def as_markdown(rows: Iterable[Share]) -> str:
    """The table of the documentation."""
    lines = [
        "| claim | synthetic truth | drawn from | supported | null alone exceeded | runs |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        alone = "" if row.null == TRUE else f"{row.exceeded / row.n_runs:.1%}"
        lines.append(
            f"| {row.claim} | {row.system} | {row.null.replace('_', ' ')} | "
            f"{row.supported / row.n_runs:.1%} | {alone} | {row.n_runs} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run what the command line asks for, and write the table and its numbers."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("claims", nargs="*", help="ids of claims; by default all with a truth")
    parser.add_argument("--power", type=int, default=N_POWER, help="runs on each truth")
    parser.add_argument("--calibration", type=int, default=N_CALIBRATION, help="runs per null")
    parser.add_argument("--out", type=Path, help="folder for calibration.md and calibration.json")
    given = parser.parse_args()
    rows = table(
        given.claims or [*TRUTHS, *PERTURBED],
        n_power=given.power,
        n_calibration=given.calibration,
        report=lambda row: print(json.dumps(asdict(row)), flush=True),
    )
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "calibration.md").write_text(as_markdown(rows), encoding="utf-8")
        write_json(given.out / "calibration.json", [asdict(row) for row in rows])
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
