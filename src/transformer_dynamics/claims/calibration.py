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
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from transformer_dynamics.claims.power import TRUE, Share, share
from transformer_dynamics.claims.truths import TRUTHS
from transformer_dynamics.claims.truths_perturbed import PERTURBED
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.storage.files import write_json

N_POWER, N_CALIBRATION = 25, 200


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
    """Run the claims of the command line, and write the table and its numbers."""
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
