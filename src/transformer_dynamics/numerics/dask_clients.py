"""Clients of Dask from the text of an option: `local:4`, `tcp://host:8786`, `scheduler.json`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import InputError
from transformer_dynamics.numerics.parallel import n_cores

if TYPE_CHECKING:
    import distributed

LOCAL = re.compile(r"local(?::([1-9]\d*))?")
ADDRESS = re.compile(r"(tcp|tls|ws|wss|ucx)://\S+")
ALLOWED = (
    "allowed are local:4 (four worker processes on this machine), the address of a scheduler, as "
    "tcp://host:8786, and its file, as scheduler.json"
)
PATIENCE = "30s"


def check_address(address: str) -> None:
    """Check the form of an address.

    Raises:
        InputError: another form.
    """
    known = LOCAL.fullmatch(address) or ADDRESS.fullmatch(address) or address.endswith(".json")
    if not known:
        raise InputError(
            f"got {address!r} as an address of Dask; {ALLOWED}: tdyn run --dask local:4"
        )


@contextmanager
def connected(address: str | None) -> Iterator[distributed.Client | None]:
    """Connect to a scheduler, or start single-threaded workers on this machine for the time.

    Args:
        address: `local` or `local:N`, the address of a scheduler or its file; None for no client.

    Raises:
        InputError: an address of another form, no scheduler there, or distributed is missing.
    """
    if address is None:
        yield None
        return
    check_address(address)
    distributed = _distributed()
    local = LOCAL.fullmatch(address)
    made = _local(local.group(1)) if local else nullcontext(_located(address))
    with made as scheduler:
        try:
            client = distributed.Client(timeout=PATIENCE, **scheduler)
        except (OSError, TimeoutError, ValueError) as error:
            raise InputError(
                f"no scheduler of Dask answers at {address} ({type(error).__name__}: {error}); "
                f"{ALLOWED}"
            ) from error
        with client:
            yield client


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise InputError(
            "this needs distributed, which is not installed: pip install "
            "'transformer-dynamics[dask]'"
        ) from error
    return distributed


@contextmanager
def _local(n_workers: str | None) -> Iterator[dict[str, Any]]:
    """Worker processes of one thread each, without a limit on their memory."""
    cluster = _distributed().LocalCluster(
        n_workers=int(n_workers or n_cores()),
        threads_per_worker=1,
        memory_limit=None,
        dashboard_address=":0",
        silence_logs=logging.ERROR,
    )
    with cluster:
        yield {"address": cluster}


def _located(address: str) -> dict[str, Any]:
    if not address.endswith(".json"):
        return {"address": address}
    if not Path(address).exists():
        raise InputError(f"there is no file {address}; {ALLOWED}")
    return {"scheduler_file": address}
