"""Recordings on a cluster with SLURM: the sbatch file of an array of workers, and its submission.

Every task of the array runs the same command. The tasks need not start together, nor all of them
at all: each claims shards that no other one has, and the last one closes the recording.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    import submitit

ARRAY = re.compile(r"([1-9]\d*)(%[1-9]\d*)?", re.ASCII)
PARTS = re.compile(r"(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?", re.ASCII)
SLURM_TIME = re.compile(r"\d+(-\d+(:\d+){0,2}|(:\d+){0,2})", re.ASCII)
# Options of sbatch that hold one word.
WORD = re.compile(r"[\w.,:@%+/=-]+", re.ASCII)


@dataclass(frozen=True)
class SlurmOptions:
    """Resources of a job array.

    Attributes:
        array: Number of tasks, such as `32`, or `32%8` for at most eight at a time.
        gpus: GPUs of a task; 0 for none. Each has a worker of its own, unless the model is spread
            over all of them.
        time: Time limit of a task, such as `4h`, `1d12h` or SLURM's `04:00:00`.
        cpus: Cores of a worker; by default SLURM's choice.
        memory: Memory of a task, such as `64G`; by default SLURM's choice.
        partition: Partition; by default SLURM's choice.
        account: Account; by default the user's own.
        name: Name of the job.
        logs: Folder of the log files, one for each task.
        setup: Lines of shell that run first, such as `module load cuda`.

    Raises:
        TdynError: a value that SLURM would not accept.
    """

    array: str = "8"
    gpus: int = 0
    time: str = "4h"
    cpus: int | None = None
    memory: str | None = None
    partition: str | None = None
    account: str | None = None
    name: str = "tdyn-record"
    logs: Path = Path("logs")
    setup: Sequence[str] = ()

    def __post_init__(self) -> None:
        if not ARRAY.fullmatch(self.array):
            raise TdynError(
                f"got array={self.array!r}; it is a number of tasks, or one with a limit at a "
                "time: --array 32, --array 32%8"
            )
        slurm_time(self.time)
        for name, least in (("gpus", 0), ("cpus", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise TdynError(f"got {name}={value}; it is a whole number from {least}")
        for name in ("memory", "partition", "account", "name", "logs"):
            value = getattr(self, name)
            if value is not None and not WORD.fullmatch(str(value)):
                raise TdynError(
                    f"got {name}={str(value)!r}; in an sbatch file it is one word of letters, "
                    "digits and ._,:@%+/=-"
                )

    @property
    def n_tasks(self) -> int:
        """Number of tasks of the array."""
        return int(self.array.partition("%")[0])


def slurm_time(limit: str) -> str:
    """Write a time limit as SLURM does.

    Raises:
        TdynError: no time limit, or one of no time.

    >>> slurm_time("4h"), slurm_time("90m"), slurm_time("1d12h"), slurm_time("02:30:00")
    ('04:00:00', '01:30:00', '1-12:00:00', '02:30:00')
    """
    parts = PARTS.fullmatch(limit)
    if parts and any(parts.groups()):
        days, hours, minutes = (int(part or 0) for part in parts.groups())
        minutes += 60 * (hours + 24 * days)
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        clock = f"{hours:02d}:{minutes:02d}:00"
        written = f"{days}-{clock}" if days else clock
    else:
        written = limit if SLURM_TIME.fullmatch(limit) else ""
    if not written.strip("0:-"):
        raise TdynError(f"got time={limit!r}; allowed are 4h, 90m, 1d12h and SLURM's 04:00:00")
    return written


def sbatch_text(words: Sequence[str], options: SlurmOptions, *, is_spread: bool = False) -> str:
    """Write the sbatch file of an array whose tasks all run one command.

    Args:
        words: Words of the command.
        options: Resources.
        is_spread: Whether one worker uses all GPUs of a task, with its model spread over them.
    """
    n_workers = 1 if is_spread else max(1, options.gpus)
    settings = {
        "job-name": options.name,
        "array": f"0-{options.n_tasks - 1}" + options.array[len(str(options.n_tasks)) :],
        "nodes": 1,
        "ntasks-per-node": n_workers,
        "gpus-per-node": options.gpus or None,
        "cpus-per-task": options.cpus,
        "mem": options.memory,
        "time": slurm_time(options.time),
        "partition": options.partition,
        "account": options.account,
        "output": f"{options.logs}/%x-%A_%a.log",
    }
    lines = ["#!/bin/bash"]
    lines += [f"#SBATCH --{name}={value}" for name, value in settings.items() if value is not None]
    # A requeued task writes on in the log of its first start.
    lines += ["#SBATCH --requeue", "#SBATCH --open-mode=append", "set -euo pipefail"]
    lines += options.setup
    lines.append(f"{'srun' if n_workers > 1 else 'exec'} {shlex.join(words)}")
    return "\n".join(lines) + "\n"


def submit(
    words: Sequence[str], options: SlurmOptions, *, cluster: str | None = None
) -> list[submitit.Job[Any]]:
    """Submit an array whose tasks all run one command, with submitit.

    Args:
        words: Words of the command, such as `["tdyn", "record", "gpt2", "--worker"]`.
        options: Resources.
        cluster: `"slurm"`, or `"local"` for processes of this machine; by default the one that
            submitit finds.

    Returns:
        Jobs of submitit, one for each task.

    Raises:
        TdynError: submitit is not installed, or there are several GPUs in a task.
    """
    try:
        import submitit
    except ImportError as error:
        raise TdynError(
            "submission from Python needs the package submitit: "
            "pip install 'transformer-dynamics[slurm]'; or submit the file: sbatch record.sbatch"
        ) from error
    if options.gpus > 1:
        raise TdynError(
            f"got gpus={options.gpus}; from Python each task has one worker, so give one GPU and a "
            f"longer array: SlurmOptions(array='{options.n_tasks * options.gpus}', gpus=1)"
        )
    _, _, at_once = options.array.partition("%")
    executor = submitit.AutoExecutor(folder=options.logs, cluster=cluster)
    given = {
        "name": options.name,
        "timeout_min": _minutes(slurm_time(options.time)),
        "gpus_per_node": options.gpus,
        "cpus_per_task": options.cpus,
        "slurm_mem": options.memory,
        "slurm_partition": options.partition,
        "slurm_account": options.account,
        "slurm_setup": list(options.setup) or None,
        "slurm_array_parallelism": int(at_once or options.n_tasks),
    }
    executor.update_parameters(
        **{name: value for name, value in given.items() if value is not None}
    )
    run = submitit.helpers.CommandFunction(list(words))
    with executor.batch():
        return [executor.submit(run) for _ in range(options.n_tasks)]


def _minutes(written: str) -> int:
    """Minutes of a time limit of SLURM, rounded up."""
    days, dash, clock = written.rpartition("-")
    parts = [int(part) for part in clock.split(":")]
    # Without days one number is minutes, and two are minutes and seconds.
    hours, minutes, seconds = (
        (*parts, 0, 0)[:3] if dash or len(parts) == 3 else (0, *(*parts, 0)[:2])
    )
    return int(days or 0) * 1440 + hours * 60 + minutes + (seconds > 0)
