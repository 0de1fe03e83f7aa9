"""Every stage of a whole run: seconds, share of the cores, floating-point operations, ratio to T0.

T0 is the bare forward pass over the run's own texts, measured in the same process before the run. A
stage's rate is its floating-point operations over its seconds, relative to the rate of T0; torch
counts the operations of the model, so that a stage of NumPy alone has none.
"""

from __future__ import annotations

import os
import resource
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _recording import bare_pass
from rich.table import Table
from torch.utils.flop_counter import FlopCounterMode

import transformer_dynamics as td
from transformer_dynamics.experiment import Experiment, Settings
from transformer_dynamics.model.language_model import Model

T0 = "T0: bare forward pass, no head, no hooks"
MEGABYTE = 1024  # ru_maxrss counts kilobytes


@dataclass(frozen=True)
class Stage:
    """Cost of one stage.

    Attributes:
        name: name of the stage.
        ended: seconds from the beginning of the run to the stage's end.
        seconds: wall time.
        cpu_seconds: time of all cores, children included.
        operations: floating-point operations of torch.
    """

    name: str
    ended: float
    seconds: float
    cpu_seconds: float
    operations: int

    @property
    def core_share(self) -> float:
        """Share of the machine's cores that was busy."""
        return self.cpu_seconds / self.seconds / (os.cpu_count() or 1)

    @property
    def rate(self) -> float:
        """Floating-point operations per second."""
        return self.operations / self.seconds


class Stopwatch:
    """Reporter that measures each stage."""

    def __init__(self) -> None:
        self.stages: list[Stage] = []
        self._begun = time.perf_counter()

    @contextmanager
    def stage(self, name: str, unit: str) -> Iterator[Callable[[int, int], None]]:
        """Measure one stage."""
        counter, start, cpu = FlopCounterMode(display=False), time.perf_counter(), _cpu_seconds()
        with counter:
            yield lambda done, total: None
        now = time.perf_counter()
        self.stages.append(
            Stage(name, now - self._begun, now - start, _cpu_seconds() - cpu, _total(counter))
        )

    def skipped(self, name: str) -> None:
        """Measure nothing."""

    def refused(self, name: str, why: str) -> None:
        """Measure nothing."""


def run_table(model: Model, texts: Any, settings: Settings) -> tuple[Table, list[str]]:
    """Table of the stages of a run in a temporary folder, and lines on the whole."""
    before, run_bare = Stopwatch(), bare_pass(model, texts)
    with before.stage(T0, "tokens"):
        run_bare()
    (bare,) = before.stages
    watch = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        Experiment(model, texts, Path(folder) / "run", settings, watch).run()
    return _table(bare, watch.stages), _totals(bare, watch.stages)


def settings_of_run(n_perturbed: int | None, *, quick: bool) -> Settings:
    """Settings of a default run, or of a small one."""
    if not quick:
        return Settings(n_perturbed=n_perturbed)
    return Settings(
        n_null=9,
        n_bootstrap=19,
        n_twins=2,
        n_perturbed=2,
        claims=["C4"],
        measures=["paths.kinematics", "dynamics.rotation"],
        perturbations=["perturbation.flow_field"],
    )


def texts_of_run(token_lists: list[list[int]], n_texts: int, *, quick: bool) -> Any:
    """Texts of the default run, or a few short ones."""
    return token_lists if quick else td.load_texts(n=n_texts)


def _table(bare: Stage, stages: Sequence[Stage]) -> Table:
    table = Table(title="Stages of a run")
    for heading in (
        *("stage", "seconds", "over T0", "ended at\n(over T0)", "share of\nthe cores"),
        *("10^9 operations", "rate over\nthat of T0"),
    ):
        table.add_column(heading, justify="left" if heading == "stage" else "right")
    for stage in (bare, *stages):
        table.add_row(
            stage.name,
            f"{stage.seconds:.2f}",
            f"{stage.seconds / bare.seconds:.2f}",
            "" if stage is bare else f"{stage.ended / bare.seconds:.2f}",
            f"{stage.core_share:.2f}",
            f"{stage.operations / 1e9:.4g}",
            f"{stage.rate / bare.rate:.2f}" if stage.operations else "",
        )
    return table


def _totals(bare: Stage, stages: Sequence[Stage]) -> list[str]:
    whole = stages[-1].ended
    busy = sum(stage.cpu_seconds for stage in stages) / whole / (os.cpu_count() or 1)
    pages = [stage.ended / bare.seconds for stage in stages if stage.name == "report"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / MEGABYTE
    return [
        f"The whole run: {whole:.1f} s, {whole / bare.seconds:.2f} T0 (goal: at most 12); "
        f"{busy:.0%} of the cores; peak memory {peak:.0f} MB (goal: at most 2500)",
        "Pages after " + ", ".join(f"{page:.2f}" for page in pages) + " T0 (goal: 2, then 5)",
    ]


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def _total(counter: FlopCounterMode) -> int:
    return int(counter.get_total_flops())
