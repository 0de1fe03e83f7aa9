"""Devices and processor threads of workers."""

from __future__ import annotations

from collections.abc import Mapping

from transformer_dynamics.errors import RecordingError
from transformer_dynamics.numerics.parallel import n_cores

# Number of a process on its machine, as torchrun and SLURM give it; the first that is set counts.
RANKS = ("LOCAL_RANK", "SLURM_LOCALID")
CHOSEN = ("auto", "cuda")
VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = "OMP_NUM_THREADS"


def worker_device(device: str, environment: Mapping[str, str], n_devices: int) -> str:
    """Choose the device of a worker by the number of its process on this machine.

    Args:
        device: Device that the user gave; one with a number is kept.
        environment: Variables of the process.
        n_devices: Number of CUDA devices that the process sees.

    Raises:
        RecordingError: the number of the process is none.

    >>> worker_device("auto", {"LOCAL_RANK": "5"}, 4), worker_device("cpu", {"LOCAL_RANK": "5"}, 4)
    ('cuda:1', 'cpu')
    """
    name = next((name for name in RANKS if environment.get(name)), None)
    if device not in CHOSEN or name is None or n_devices == 0:
        return device
    rank = environment[name]
    if not rank.isdecimal():
        raise RecordingError(
            f"the variable {name} is {rank!r}; it is the number of this process on its machine, "
            "from 0: LOCAL_RANK=0"
        )
    return f"cuda:{int(rank) % n_devices}"


def worker_environments(
    workers: str, device: str, environment: Mapping[str, str], n_devices: int
) -> list[dict[str, str]]:
    """Variables that place workers on the devices, or divide the processor's threads among them.

    Args:
        workers: Number of workers, or `gpus` for one on each device.
        device: Device that the user gave: `auto`, `cuda` or `cpu`.
        environment: Variables of this process.
        n_devices: Number of CUDA devices that it sees.

    Returns:
        Variables to be added, for each worker.

    Raises:
        RecordingError: no number, no device, or a device that all workers would share.
    """
    if device not in (*CHOSEN, "cpu"):
        raise RecordingError(
            f"got --device {device} with --workers {workers}, which places each worker on a device "
            "of its own; give --device auto, cuda or cpu, or start workers with --worker"
        )
    n_devices = 0 if device == "cpu" else n_devices
    n_workers = n_devices if workers == "gpus" else _number(workers)
    if n_workers == 0:
        raise RecordingError(
            "got --workers gpus, and this process sees no CUDA device; give the number of "
            "processes: --workers 2"
        )
    if n_devices == 0:
        own = {} if THREADS in environment else {THREADS: str(max(1, n_cores() // n_workers))}
        return [dict(own)] * n_workers
    visible = environment.get(VISIBLE) or ",".join(map(str, range(n_devices)))
    names = visible.split(",")
    return [
        {VISIBLE: names[number % n_devices], "LOCAL_RANK": str(number)}
        for number in range(n_workers)
    ]


def _number(workers: str) -> int:
    if not workers.isdecimal() or int(workers) == 0:
        raise RecordingError(
            f"got --workers {workers}; it is a number of processes from 1, or gpus for one on each "
            "CUDA device: --workers 2"
        )
    return int(workers)
