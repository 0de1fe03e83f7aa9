"""Command `tdyn slurm record`: the sbatch file of an array of workers."""

from __future__ import annotations

import shutil
import sys
from dataclasses import fields, replace
from pathlib import Path

from rich.markup import escape

from transformer_dynamics.cli.options.flags import OutputFlags, RecordFlags, SlurmFlags
from transformer_dynamics.cli.options.words import words_of
from transformer_dynamics.cli.output.form import Result
from transformer_dynamics.cli.output.output import Output
from transformer_dynamics.errors import TdynError


def record(options: SlurmFlags, output: Output) -> None:
    """Write the sbatch file of an array of workers that record together, and show it."""
    from transformer_dynamics.experiment.slurm import SlurmOptions, sbatch_text
    from transformer_dynamics.storage.files import make_folder, write_text

    if options.script.is_dir():
        raise TdynError(
            f"got --script {options.script}, which is a folder; name a file, such as "
            f"--script {options.script / 'record.sbatch'}"
        )
    worker = _worker_of(options)
    names = ("array", "gpus", "time", "cpus", "memory", "partition", "account", "name", "logs")
    resources = SlurmOptions(
        **{name: getattr(options, name) for name in names}, setup=options.setup or ()
    )
    words = [_command(), "record", *words_of(worker)]
    text = sbatch_text(words, resources, is_spread=options.device_map is not None)
    make_folder(options.script.absolute().parent)
    make_folder(resources.logs)  # SLURM makes none, and a job without its log file fails
    write_text(options.script, text)
    shown = [escape(text.rstrip()), "", escape(f"submit it with: sbatch {options.script}")]
    output.result(Result(shown, {"text": text}, {"script": options.script}))


def _worker_of(options: SlurmFlags) -> RecordFlags:
    """Options of `tdyn record --worker` in the options of `tdyn slurm record`.

    Raises:
        TdynError: another way to record, or moments.
    """
    given = {each.name: getattr(options, each.name) for each in fields(RecordFlags)}
    shared = RecordFlags(**given)
    if shared.plan or shared.workers is not None or shared.dask is not None:
        raise TdynError(
            "each task of the array is one worker; leave out --plan, --workers and --dask, and "
            "give the number of tasks: --array 32"
        )
    if shared.keep != "states":
        raise TdynError(
            f"--keep {shared.keep} is recorded by one process; record the states with an array, "
            "and take their moments from the recording: td.Moments.of(recording)"
        )
    return replace(shared, worker=True, **vars(OutputFlags()))


def _command() -> str:
    """Path of the command in this environment, which a task finds whatever its PATH."""
    beside = Path(sys.executable).with_name("tdyn")
    return str(beside) if beside.exists() else shutil.which("tdyn") or "tdyn"
