"""Reading a recording in a forked process, such as a worker of a torch DataLoader.

Dask keeps one pool of threads per process and reuses it after a fork, where its threads no longer
exist, so a read would wait forever. A forked process therefore reads in its own thread. (Zarr
starts a new event loop.)
"""

from __future__ import annotations

import os
import sys


def read_in_own_thread() -> None:
    """Set dask's scheduler of this process to the synchronous one, if dask is loaded."""
    config = getattr(sys.modules.get("dask"), "config", None)
    if config is not None:
        # Not dask.config.set: its lock may be held by a thread that the fork left behind.
        config.config["scheduler"] = "synchronous"


def register() -> None:
    """Set the scheduler after every later fork; systems without fork need nothing."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=read_in_own_thread)
