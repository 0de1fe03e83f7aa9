"""Environment of the package: version, machine, libraries and bundled files."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from importlib import metadata
from typing import Any

import transformer_dynamics
from transformer_dynamics.storage import assets
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.wheels import Asset

PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "xarray", "zarr", "plotly")


def version() -> str:
    """Return the version of this package."""
    return transformer_dynamics.__version__


def system_information() -> dict[str, Any]:
    """Return versions and machine for reports."""
    return {
        "transformer_dynamics": version(),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        **{name: _package_version(name) for name in PACKAGES},
    }


def return_memory() -> None:
    """Return freed memory to the system, where the C library is glibc, which would keep it."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


def examine() -> dict[str, Any]:
    """Return system, cache, bundled files and extras for `tdyn doctor`."""
    import torch

    cache = cache_dir()
    extras = {
        "gguf": ("gguf", "accelerate"),
        "wiki": ("mwparserfromhell",),
        "datasets": ("datasets",),
        "parquet": ("pandas", "pyarrow"),
        "dsa": ("dsa-metric",),
        "communities": ("leidenalg", "igraph"),
    }
    return {
        **system_information(),
        "threads of torch": torch.get_num_threads(),
        "CUDA": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "cache": cache,
        **{
            f"bundled: {asset.name}": _presence(asset)
            for asset in (assets.SMOLLM2, assets.WIKIPEDIA_SAMPLE)
        },
        **{
            f"extra [{extra}]": ", ".join(f"{name} {_package_version(name)}" for name in names)
            for extra, names in extras.items()
        },
    }


def _presence(asset: Asset) -> str:
    return (
        "in the cache"
        if assets.location(asset).is_file()
        else "not fetched; the first use fetches it"
    )


def _package_version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
