"""Command `tdyn record`."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from transformer_dynamics.cli.inputs import load_model_of, load_texts_of, recording_options_of
from transformer_dynamics.cli.options.flags import OutputFlags, RecordFlags
from transformer_dynamics.cli.options.words import words_of
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    from transformer_dynamics.experiment.reporter import Progress

# Starts the command in the same Python, wherever its script is.
START = "from transformer_dynamics.cli.main import main; main()"


def record(options: RecordFlags, output: Output) -> None:
    """Record the residual stream of a model over texts."""
    from transformer_dynamics.numerics.dask_clients import check_address, connected
    from transformer_dynamics.recording.record import join_recording
    from transformer_dynamics.recording.record import record as record_states

    _require_one_way(options)
    if options.dask is not None:
        check_address(options.dask)
    if options.workers is not None:
        _start_workers(options, output)
        return
    recording_options = recording_options_of(options)
    if options.worker and options.device_map is None:
        options = replace(options, device=_device_of(options))
    model = load_model_of(options, output)
    texts = load_texts_of(options, output)
    if options.plan:
        _plan(options, model, texts, output)
        return
    with connected(options.dask) as client, output.stage("record", "tokens") as progress:
        chosen: dict[str, Any] = {"options": recording_options, "on_progress": progress}
        if options.worker:
            made: Any = join_recording(model, texts, options.positions, out=options.out, **chosen)
        else:
            chosen |= {"keep": options.keep, "client": client}
            made = record_states(model, texts, options.positions, out=options.out, **chosen)
    _show(options, made.shape, output)


def _require_one_way(options: RecordFlags) -> None:
    """Refuse options that exclude each other.

    Raises:
        TdynError: several of `--plan`, `--worker`, `--workers`, `--dask`, or one of the first
            three for moments.
    """
    ways = {
        "--plan": options.plan,
        "--worker": options.worker,
        "--workers": options.workers is not None,
        "--dask": options.dask is not None,
    }
    given = [name for name, is_given in ways.items() if is_given]
    if len(given) > 1:
        raise TdynError(f"{' and '.join(given)} exclude each other; give one of them")
    if given and options.keep != "states" and options.dask is None:
        raise TdynError(
            f"--keep {options.keep} is recorded by one process, since moments are added up in "
            f"order; leave out {given[0]}, or record the states: --keep states"
        )


def _show(options: RecordFlags, shape: tuple[int, int, int], output: Output) -> None:
    n_samples, n_sites, n_units = shape
    kind = "" if options.keep == "states" else "moments of "
    shown = f"{options.out}: {kind}{n_samples} samples, {n_sites} sites, {n_units} units"
    sizes = {"samples": n_samples, "sites": n_sites, "units": n_units, "keep": options.keep}
    output.result(Result([shown], sizes, {"recording": options.out}))


def _plan(options: RecordFlags, model: Any, texts: Any, output: Output) -> None:
    """Begin the recording, and show its sizes and the command of a worker."""
    from transformer_dynamics.recording.cost.estimate import duration, scaled
    from transformer_dynamics.recording.cost.planning import plan as plan_recording
    from transformer_dynamics.recording.record import begin_recording

    chosen: dict[str, Any] = {"out": options.out, "options": recording_options_of(options)}
    outline = begin_recording(model, texts, options.positions, **chosen)
    with output.stage("measure_throughput", "measurements"):
        cost = plan_recording(model, texts, options.positions, **chosen)
    shared = replace(options, plan=False, worker=True, **vars(OutputFlags()))
    worker = shlex.join(["tdyn", "record", *words_of(shared)])
    shown = [
        f"{options.out}: {outline.n_samples} samples, {outline.n_sites} sites, {outline.n_units} "
        f"units in {_counted(outline.n_shards, 'shard')}; {outline.n_tokens} tokens, "
        f"{scaled(cost.disk_bytes, 'B')}",
        f"one worker: {duration(cost.seconds)}, {scaled(cost.memory_bytes, 'B')} of memory; "
        "`tdyn plan` shows more",
        escape(f"a worker: {worker}"),
    ]
    sizes = {
        "samples": outline.n_samples,
        "sites": outline.n_sites,
        "units": outline.n_units,
        "shards": outline.n_shards,
        "tokens": outline.n_tokens,
        "bytes": outline.n_bytes,
        "seconds": cost.seconds,
        "memory": cost.memory_bytes,
        "worker": worker,
    }
    output.result(Result(shown, sizes, {"recording": options.out}))


def _device_of(options: RecordFlags) -> str:
    import torch

    from transformer_dynamics.recording.workers.devices import worker_device

    return worker_device(options.device, os.environ, torch.cuda.device_count())


def _start_workers(options: RecordFlags, output: Output) -> None:
    """Run workers on this machine, and show one progress for all."""
    import torch

    from transformer_dynamics.recording import open_recording
    from transformer_dynamics.recording.workers.devices import worker_environments
    from transformer_dynamics.recording.workers.processes import run_workers

    assert options.workers is not None
    environments = worker_environments(
        options.workers, options.device, os.environ, torch.cuda.device_count()
    )
    messages = vars(OutputFlags(json=True))
    worker = replace(options, workers=None, worker=True, **messages)
    command = [sys.executable, "-c", START, "record", *words_of(worker)]
    said: set[str] = set()

    def tell(number: int, event: dict[str, Any]) -> None:
        text = str(event.get("text"))
        if event["event"] == "warning" and text not in said:  # all workers have the same texts
            said.add(text)
            output.warned(f"worker {number}: {text}")

    errors = []
    with output.stage("record", "tokens") as progress:
        watch = _Watch(options, output, progress, len(environments))
        for ended in run_workers(command, environments, watch.look, tell):
            if ended.error is not None:
                errors.append(f"worker {ended.number}: {ended.error}")
                output.warned(errors[-1])
        if not options.out.exists():
            raise TdynError(
                f"no worker is left and {options.out} is not finished; recorded shards are kept, "
                f"and the same command goes on. {'; '.join(errors)}"
            )
        watch.finish()
    _show(options, open_recording(options.out).shape, output)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _Watch:
    """Progress of all workers, read from the folder."""

    def __init__(
        self, options: RecordFlags, output: Output, progress: Progress, n_workers: int
    ) -> None:
        self._out, self._output, self._progress = options.out, output, progress
        self._n_workers, self._total = n_workers, 0

    def look(self) -> None:
        """Report the tokens of the recorded shards."""
        from transformer_dynamics.recording.workers.progress import recording_progress

        try:
            found = recording_progress(self._out)
        except (TdynError, OSError):  # not begun yet, or closed
            return
        n_shards = found.outline.n_shards
        if not self._total and n_shards < self._n_workers:
            self._output.note(
                f"{_counted(n_shards, 'shard')} for {self._n_workers} workers: some have nothing "
                "to do; a new recording with smaller shards: --shard-samples 64"
            )
        self._total = found.outline.n_tokens
        self._progress(found.tokens_done, self._total)

    def finish(self) -> None:
        """Report that everything is recorded."""
        self._progress(self._total or 1, self._total or 1)
