"""A Dask cluster of three single-threaded worker processes, and tasks whose worker is stopped."""

import os
import time
import warnings
from contextlib import contextmanager
from pathlib import Path

import dask
import distributed
import xarray as xr
from distributed.utils import get_mp_context

from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.recording.workers.progress import list_claims
from transformer_dynamics.registry import MEASURES, measure

# A worker that is silent for so long is given up, in seconds; importing torch takes some as well.
PATIENCE, SHORT = 300, 5


# What all workers import, once, in a process that they are forked from.
IMPORTS = (
    "distributed.nanny",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "transformers.models.llama.modeling_llama",
    "transformer_dynamics.experiment.experiment",
)


@contextmanager
def cluster(n_workers=3, method="forkserver"):
    """A client of workers of this machine.

    Args:
        n_workers: their number.
        method: "forkserver" forks them from a process of `IMPORTS`; "spawn" imports nothing before.
    """
    with dask.config.set(
        {
            "distributed.scheduler.worker-ttl": f"{PATIENCE}s",
            "distributed.worker.multiprocessing-method": method,
        }
    ):
        context = get_mp_context()
        if method == "forkserver":
            context.set_forkserver_preload(list(IMPORTS))
        with (
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


def give_up_silent(client):
    """Give up the workers that have been silent for a short time."""

    async def look(dask_scheduler):
        dask_scheduler.worker_ttl = SHORT
        await dask_scheduler.check_worker_ttl()
        dask_scheduler.worker_ttl = PATIENCE

    client.run_on_scheduler(look)


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


def sum_of_first_site(recording):
    """A measure whose first worker is stopped; the folder is in the provenance."""
    wait_once(recording.provenance["folder"])
    return xr.Dataset({"sum": ("unit", recording.values[:, 0].sum(axis=0))})


@contextmanager
def registered():
    """The name of that measure while it is registered; other tests run all measures."""
    name = "tests.sum_of_first_site"
    measure(name)(sum_of_first_site)
    try:
        yield name
    finally:
        MEASURES.remove(name)


def process_and_sum(values):
    return os.getpid(), os.urandom(8), float(values.sum())


def same(value):
    return value


def warn(number):
    warnings.warn("of no use", UndefinedWarning, stacklevel=1)


def refuse(number):
    raise InputError(f"refused {number}")
