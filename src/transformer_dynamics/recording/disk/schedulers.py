"""The scheduler with which dask reads a recording: always one of this process.

With an open `distributed.Client`, dask would read every block on its workers and send it back, also
where only this process sees the files.
"""

from __future__ import annotations

from typing import Any

import dask.config
import numpy as np
from dask.base import is_dask_collection
from numpy.typing import NDArray


def scheduler() -> str:
    """Name of the scheduler: the one that the configuration of dask names, or threads."""
    return str(dask.config.get("scheduler", None) or "threads")


def computed(array: Any) -> NDArray[Any]:
    """Return an array in memory; a dask array is computed in this process."""
    return np.asarray(array.compute(scheduler=scheduler()) if is_dask_collection(array) else array)
