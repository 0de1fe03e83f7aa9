"""Ratios measured side by side in one run: `make bench` prints one table.

Measures stand beside a plain loop that computes the same numbers, recording beside the bare forward
pass of the same batches, the model in the loop beside re-runs of the text, two workers beside one
process with two threads. A ratio is seconds over the baseline's, so less is better (the speed of
workers is its inverse); medians over interleaved rounds. `--quick` does the same on small sizes and
a tiny model, where the ratios mean nothing; `--only flow` a section alone; `--only run --texts 512`
every stage of the default run beside the bare forward pass; `--only page` the report's size and the
seconds until it can be seen and used in headless Chromium. On a machine with other work a ratio's
lowest and highest value lie far apart, and its median says little.

Not measured: loading, memory but where a line says so.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import Executor
from pathlib import Path

import numpy as np
import torch
from _flow import FULL, QUICK, flow_rows, memory_line, scaling_table
from _forking import process_apart
from _measures import measure_rows, walk
from _page import page_table
from _recording import bundled_texts, missing_peers, peer_rows, recording_rows, tiny_texts
from _run import run_table, settings_of_run, texts_of_run
from _timing import Row
from _workers import workers_table
from rich.console import Console
from rich.table import Table

WALK = (1000, 30, 576)
QUICK_WALK = (60, 4, 24)
SECTIONS = ("measures", "recording", "peers", "flow", "scaling", "workers")
# Workers record a quarter of the texts: once alone, once with two threads, once as two.
WORKER_SHARE = 4
# The whole run takes many minutes, and the page needs a browser: only where they are asked for.
ASKED_FOR = ("run", "page")
# Where the output is no terminal, wide enough that no cell is broken.
FILE_WIDTH = 220


def main() -> None:
    """Measure, then print."""
    options = _options()
    with process_apart() as apart:
        _print_sections(options, apart)


def _print_sections(options: argparse.Namespace, apart: Executor) -> None:
    console = Console(width=None if sys.stdout.isatty() else FILE_WIDTH)
    console.print(_machine(options.rounds), highlight=False)
    sections, lines = [], []
    if "measures" in options.only:
        measured = measure_rows(walk(*(QUICK_WALK if options.quick else WALK)), options.rounds)
        sections.append(measured[0])
        lines.append(measured[1])
    if "page" in options.only:
        console.print(page_table(options.rounds, options.folder, quick=options.quick))
    if set(options.only) == {"page"}:
        return
    model, token_lists = (tiny_texts if options.quick else bundled_texts)(options.texts)
    if "recording" in options.only:
        sections.append(recording_rows(model, token_lists, options.rounds))
    if "peers" in options.only:
        sections.append(peer_rows(model, token_lists[: options.peer_texts], options.rounds))
        lines += [f"{peer} is not installed and was not measured" for peer in missing_peers()]
    if "flow" in options.only:
        sections.append(flow_rows(model, QUICK if options.quick else FULL, options.rounds))
        lines.append(memory_line(options.quick, apart))
    if sections:
        console.print(_table(*sections))
    if "scaling" in options.only:
        console.print(scaling_table(options.rounds, quick=options.quick))
    if "workers" in options.only:
        n_texts = max(1, options.texts // WORKER_SHARE)
        console.print(workers_table(options.rounds, n_texts, apart, quick=options.quick))
    if "run" in options.only:
        texts = texts_of_run(token_lists, options.texts, quick=options.quick)
        settings = settings_of_run(options.perturbed, quick=options.quick)
        table, totals = run_table(model, texts, settings)
        console.print(table)
        lines += totals
    for line in lines:
        console.print(line, highlight=False)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Ratios measured side by side, as one table.")
    parser.add_argument("--rounds", type=_positive, default=5, help="interleaved rounds")
    parser.add_argument("--texts", type=_positive, default=1000, help="texts to record")
    parser.add_argument("--peer-texts", type=_positive, default=64, help="texts for the peers")
    parser.add_argument(
        "--only", nargs="+", choices=(*SECTIONS, *ASKED_FOR), default=SECTIONS, help="some sections"
    )
    parser.add_argument("--perturbed", type=_positive, help="texts per perturbation of the run")
    parser.add_argument("--folder", type=Path, help="a finished run, for `--only page`")
    parser.add_argument("--quick", action="store_true", help="small sizes, a tiny random model")
    return parser.parse_args()


def _positive(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"got {word!r}; it is a whole number from 1: --rounds 5")
    return int(word)


def _machine(rounds: int) -> str:
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    return (
        f"{os.cpu_count()} processors, torch {torch.__version__} with {torch.get_num_threads()} "
        f"threads, load average before the start {load}; medians of {rounds} interleaved rounds"
    )


def _table(*sections: list[Row]) -> Table:
    table = Table()
    table.add_column("what")
    for heading in ("ratio", "lowest and\nhighest", "seconds", "baseline\nseconds"):
        table.add_column(heading, justify="right")
    table.add_column("baseline")
    table.add_column("baseline\nmeasured on")
    table.add_column("largest difference\n/ largest value")
    for rows in sections:
        for row in rows:
            table.add_row(*_cells(row))
        table.add_section()
    return table


def _cells(row: Row) -> list[str]:
    return [
        row.name,
        f"{np.median(row.ratios):.3f}",
        f"{row.ratios.min():.3f} {row.ratios.max():.3f}",
        f"{row.seconds:.4f}",
        f"{row.baseline_seconds:.4f}",
        row.baseline,
        row.measured_on,
        "the reference" if row.difference is None else f"{row.difference:.1e}",
    ]


if __name__ == "__main__":
    main()
