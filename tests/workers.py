"""A Dask cluster of three single-threaded worker processes, and tasks whose worker is stopped."""

import os
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed
import xarray as xr

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.recording.workers.progress import list_claims
from transformer_dynamics.registry import measure

# A worker that is frozen for so long is given up; Dask looks once in that time.
PATIENCE = "5s"


@contextmanager
def cluster(n_workers=3):
    """A client of workers of this machine."""
    with (
        dask.config.set({"distributed.scheduler.worker-ttl": PATIENCE}),
        distributed.LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            memory_limit=None,
            dashboard_address=":0",
            silence_logs=50,
        ) as local,
        distributed.Client(local) as client,
    ):
        yield client


def wait_once(folder):
    """Note the process in a file; the first to come waits to be stopped, the others go on."""
    try:
        with (Path(folder) / "process").open("x") as file:
            file.write(str(os.getpid()))
    except FileExistsError:
        return
    time.sleep(600)


def recording(growing, client):
    """A worker that records a shard, or any worker where none holds a claim at the moment."""
    for claim in list_claims(growing):
        if not claim.is_stale:
            return claim.pid
    return next(iter(client.run(os.getpid).values()))


def waiting(folder):
    """The process that waits to be stopped."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        path = Path(folder) / "process"
        if path.exists() and path.read_text():
            return int(path.read_text())
        time.sleep(0.02)
    raise AssertionError("no task began to wait within two minutes")


@measure("tests.sum_of_first_site")
def sum_of_first_site(recording):
    """A measure whose first worker is stopped; the folder is in the provenance."""
    wait_once(recording.provenance["folder"])
    return xr.Dataset({"sum": ("unit", recording.values[:, 0].sum(axis=0))})


def process_and_sum(values):
    return os.getpid(), os.urandom(8), float(values.sum())


def same(value):
    return value


def warn(number):
    warnings.warn("of no use", UndefinedWarning, stacklevel=1)


def refuse(number):
    raise InputError(f"refused {number}")
