"""The report: bytes, seconds of Python for the first page and the next, seconds in the browser.

Seconds in the browser are those of its performance API since navigation began: until the first view
is painted, and until the plotting library runs and every figure near the screen is drawn.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _browser import browser, set_size
from rich.table import Table

import transformer_dynamics as td
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.experiment.page import RunPage
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.report.figures import FigureCache

SCREEN = (1280, 900)
# Samples, sites and units.
LARGE, SMALL = (1000, 65, 4096), (40, 9, 32)
MEASURED = ("paths.kinematics", "units.correlation", "units.density", "orbits.phase_portrait")
CLAIMED = ("C1", "C1-basis", "C2", "C4")
MARKS = (
    "return ['visible', 'usable'].map("
    "n => performance.getEntriesByName(`page.${n}`)[0]?.startTime / 1000)"
)


@dataclass(frozen=True)
class Goal:
    """Largest size in megabytes, and seconds until the page is usable; it is seen in 1.5 s."""

    megabytes: float
    usable: float


DEFAULT, SYNTHETIC = Goal(8, 3), Goal(25, 4)


def page_table(rounds: int, folder: Path | None, *, quick: bool) -> Table:
    """Table of the pages of a run and of a large synthetic recording.

    Args:
        rounds: times that each page is opened.
        folder: folder of a finished run, whose page is written again; none: leave it out.
        quick: whether the recording is small.
    """
    table = Table(title=f"The report in headless Chromium, medians of {rounds} openings")
    table.add_column("page")
    for heading in (
        *("MB", "seconds of Python:\nfirst page", "next page"),
        *("visible after (s)", "usable after (s)", "goal"),
    ):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory() as out, browser() as opened:
        if folder is not None:
            page = RunPage(folder)
            seconds = [_processor_seconds(page.write) for _ in range(2)]
            _add(table, f"run in {folder}", page.path, seconds, opened, rounds, DEFAULT)
        shape = SMALL if quick else LARGE
        path, seconds = _synthetic(shape, Path(out))
        name = "synthetic, {} texts, {} sites, {} units".format(*shape)
        _add(table, name, path, seconds, opened, rounds, SYNTHETIC)
    return table


def _add(
    table: Table,
    name: str,
    path: Path,
    seconds: Sequence[float],
    opened: Any,
    rounds: int,
    goal: Goal,
) -> None:
    set_size(opened, *SCREEN)
    marks = np.median([_opened(opened, path) for _ in range(rounds)], axis=0)
    table.add_row(
        name,
        f"{path.stat().st_size / 1e6:.2f}",
        *(f"{value:.2f}" for value in (*seconds, *marks)),
        f"{goal.megabytes:g} MB, 1.5 s, {goal.usable:g} s",
    )


def _opened(opened: Any, path: Path) -> list[float]:
    """Seconds until the page is visible and usable."""
    opened.get("about:blank")
    opened.get(path.as_uri())
    while None in (marks := opened.execute_script(MARKS)):
        time.sleep(0.05)
    return list(marks)


def _synthetic(shape: tuple[int, int, int], out: Path) -> tuple[Path, list[float]]:
    """Page of a random walk with some measures and claims, and the seconds of Python for it."""
    steps = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    recording = Recording.from_array(np.cumsum(steps, axis=1, out=steps))
    results = [MEASURES.get(name).function(recording) for name in MEASURED]
    options = ClaimOptions(n_null=1, n_bootstrap=9)
    verdicts = td.evaluate_claims(recording, claims=CLAIMED, options=options)
    figures = FigureCache()

    def write() -> None:
        report = td.Report(recording, figures=figures).add(verdicts)
        for result in results:
            report.add(result)
        report.save(out / "page.html")

    return out / "page.html", [_processor_seconds(write) for _ in range(2)]


def _processor_seconds(task: Any) -> float:
    start = time.process_time()
    task()
    return time.process_time() - start
