"""Workers on one machine: throughput of one and of two, and what their coordination costs.

A process of its own loads the model and forks the workers, which wait for each task: loading
is not counted, and seconds run from the start of a task until its last worker has the open
recording. One process with two threads is the baseline; each worker has one thread. Coordination is
what a shard costs whose states need no model, less the writing of its file: listing the folder,
claim, heartbeat, publication and release.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from _recording import bundled_texts, tiny_texts
from rich.table import Table

import transformer_dynamics as td
from transformer_dynamics.recording.disk import shards
from transformer_dynamics.recording.workers import growing
from transformer_dynamics.recording.workers.worker import Worker

BASELINE = "1 process, 2 threads"
# Name of a task: the workers that run it.
TASKS = {BASELINE: (0,), "1 worker, 1 thread": (1,), "2 workers, 1 thread each": (1, 2)}
THREADS = (2, 1, 1)
SHARD_SAMPLES = 16
TRIVIAL_SHARDS = 200


def workers_table(rounds: int, n_texts: int, apart: Executor, *, quick: bool) -> Table:
    """One row per task, and one for the coordination.

    Args:
        rounds: interleaved rounds.
        n_texts: texts to record.
        apart: runs in a process in which no thread of torch runs, so that it can be forked.
        quick: a tiny random model.
    """
    found = apart.submit(_in_one_thread, rounds, n_texts, quick).result()
    seconds = {name: np.array(each) for name, each in found["seconds"].items()}
    table = Table(title=f"Workers: {found['tokens']} tokens in {found['shards']} shards")
    table.add_column("what")
    for heading in ("tokens/s", "seconds", "speed over the baseline\n(lowest and highest)"):
        table.add_column(heading, justify="right")
    for name, each in seconds.items():
        ratios = seconds[BASELINE] / each
        table.add_row(
            name,
            f"{found['tokens'] / np.median(each):.1f}",
            f"{np.median(each):.2f}",
            f"{np.median(ratios):.3f} ({ratios.min():.3f} {ratios.max():.3f})",
        )
    per_shard = float(np.median(seconds["1 worker, 1 thread"])) / found["shards"]
    coordination = float(np.median(found["coordination"]))
    table.add_section()
    table.add_row(
        f"coordination of a shard, {1e3 * coordination:.2f} ms (goal: at most 2 % of a shard)",
        "",
        f"{coordination:.5f}",
        f"{coordination / per_shard:.2%} of a shard of {per_shard:.2f} s",
    )
    return table


def _in_one_thread(rounds: int, n_texts: int, quick: bool) -> dict[str, Any]:
    """Measure while no thread of torch runs, so that the workers can be forked."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _measured(rounds, n_texts, quick)
    finally:
        torch.set_num_threads(n_threads)


def _measured(rounds: int, n_texts: int, quick: bool) -> dict[str, Any]:
    """Seconds of each task and of the coordination `(round,)`, tokens and shards."""
    model, token_lists = (tiny_texts if quick else bundled_texts)(n_texts)
    model.sites, model.weight_hash  # noqa: B018
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        workers = [_Forked(n_threads, model, token_lists) for n_threads in THREADS]
        seconds: dict[str, list[float]] = {task: [] for task in TASKS}
        for index in range(rounds + 1):
            for task, chosen in TASKS.items():
                out = folder / f"{index}.zarr"
                spent = _together([workers[number] for number in chosen], str(out))
                shutil.rmtree(out)
                if index:  # the first round warms up
                    seconds[task].append(spent)
        coordination = [float(workers[1].ask(f"coordination {folder}")) for _ in range(rounds)]
        for worker in workers:
            worker.end()
    return {
        "tokens": sum(map(len, token_lists)),
        "shards": -(-len(token_lists) // SHARD_SAMPLES),
        "seconds": seconds,
        "coordination": coordination,
    }


class _Forked:
    """A worker that waits for tasks.

    Args:
        n_threads: threads of torch.
        model: the model.
        token_lists: texts.
    """

    def __init__(self, n_threads: int, model: Any, token_lists: list[list[int]]) -> None:
        tasks, self._tasks = os.pipe()
        self._answers, answers = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._tasks)
            torch.set_num_threads(n_threads)
            _serve(tasks, answers, model, token_lists)
            os._exit(0)
        os.close(tasks)
        os.close(answers)

    def start(self, task: str) -> None:
        os.write(self._tasks, task.encode())

    def answer(self) -> str:
        answer = os.read(self._answers, 100).decode()
        if not answer:
            raise RuntimeError("a worker of the benchmark failed; its error is above")
        return answer

    def ask(self, task: str) -> str:
        self.start(task)
        return self.answer()

    def end(self) -> None:
        self.start("end")
        os.waitpid(self._process, 0)


def _together(workers: list[_Forked], task: str) -> float:
    began = time.perf_counter()
    for worker in workers:
        worker.start(task)
    for worker in workers:
        worker.answer()
    return time.perf_counter() - began


def _serve(tasks: int, answers: int, model: Any, token_lists: list[list[int]]) -> None:
    options = td.RecordingOptions(shard_samples=SHARD_SAMPLES)
    while (task := os.read(tasks, 4096).decode()) != "end":
        try:
            if task.startswith("coordination "):
                answer = str(_coordination(Path(task.split(maxsplit=1)[1])))
            else:
                td.record(model, token_lists, out=task, options=options)
                answer = "done"
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os.write(answers, answer.encode())


def _coordination(folder: Path) -> float:
    """Seconds that a worker spends on a shard without a model's work, less those of its file."""
    model, token_lists = tiny_texts(TRIVIAL_SHARDS)
    states = np.zeros((1, len(model.sites), model.found_sites.n_units), dtype=np.float32)
    options, spent = td.RecordingOptions(shard_samples=1), {"run": 0.0, "write": 0.0}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            began = time.perf_counter()
            result = function(*arguments)
            spent[name] += time.perf_counter() - began
            return result

        return run

    with (
        patch.object(shards, "shard_states", lambda *_: states),
        patch.object(Worker, "run", timed("run", Worker.run)),
        patch.object(growing, "write_shard_file", timed("write", growing.write_shard_file)),
    ):
        td.record(model, token_lists, out=folder / "trivial.zarr", options=options)
    shutil.rmtree(folder / "trivial.zarr")
    return (spent["run"] - spent["write"]) / TRIVIAL_SHARDS
