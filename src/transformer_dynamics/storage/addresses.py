"""Addresses of recordings in a store that fsspec reads, such as `s3://bucket/r.zarr`.

They are read and never written. Credentials and options of a store are those of fsspec's own
configuration (its files, or variables such as `FSSPEC_S3`).
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from transformer_dynamics.errors import TdynError
from transformer_dynamics.storage.files import ADDRESS, local_path

# Package of the file system, where it is an extra of this package.
EXTRAS = {"s3": "s3", "s3a": "s3", "http": "http", "https": "http"}


def place(path: str | Path, error: type[TdynError] = TdynError) -> Path | str:
    """Return an address unchanged, without a slash at its end, and any other path as `local_path`.

    Raises:
        TdynError: a path that is no path of this machine and no address as text.
    """
    if isinstance(path, str) and ADDRESS.match(path):
        return path.rstrip("/")
    if isinstance(path, os.PathLike) and ADDRESS.match(os.fspath(path)):
        raise error(
            f"got the address {os.fspath(path)!r} as a path, which has lost a slash; give it as "
            "text: 's3://bucket/recording.zarr'"
        )
    return local_path(path, error)


def inside(folder: Path | str, *names: str) -> Path | str:
    """Name a file or folder inside a folder or an address."""
    if isinstance(folder, Path):
        return folder.joinpath(*names)
    return "/".join((folder, *names))


def exists(folder: Path | str, error: type[TdynError] = TdynError) -> bool:
    """Whether there is anything under a path or an address.

    Raises:
        TdynError: the store cannot be reached, or its file system is not installed.
    """
    if isinstance(folder, Path):
        return folder.exists()
    system, name = file_system(folder, error)
    return bool(_asked(lambda: system.exists(name), folder, error))


def require_ranges(address: str, name: str, error: type[TdynError] = TdynError) -> None:
    """Refuse a server that sends a whole file where a part of it is asked for.

    Args:
        address: The address of a folder.
        name: A file in it.
        error: Class of the error to raise.

    Raises:
        TdynError: the server sends whole files, or cannot be reached.
    """
    system, file = file_system(f"{address}/{name}", error)
    sent = len(_asked(partial(system.cat_file, file, start=0, end=1), address, error))
    if sent != 1:
        raise error(
            f"the server of {address} sends whole files ({sent} bytes where 1 was asked for); "
            "states are read in parts: use a server that answers range requests, as nginx and "
            "Apache do and python's http.server does not, or copy the recording here"
        )


def file_sizes(
    folder: Path | str, names: Iterable[str], error: type[TdynError] = TdynError
) -> dict[str, int]:
    """Sizes of the named files in a folder or an address; those that do not exist are left out.

    A store is listed once; it is asked for each file whose size the listing does not say, as that
    of a web server, or for all if it lists nothing.

    Raises:
        TdynError: the store cannot be reached.
    """
    if isinstance(folder, Path):
        return {name: (folder / name).stat().st_size for name in names if (folder / name).exists()}
    system, root = file_system(folder, error)
    root = root.rstrip("/")
    listed = _asked(lambda: system.find(root, detail=True), folder, error)
    sizes = {path[len(root) + 1 :]: each.get("size") for path, each in listed.items()}
    found = {}
    for name in names:
        if sizes.get(name) is not None:
            found[name] = int(sizes[name])
        elif (not sizes or name in sizes) and _asked(
            partial(system.exists, f"{root}/{name}"), folder, error
        ):
            found[name] = int(_asked(partial(system.size, f"{root}/{name}"), folder, error) or 0)
    return found


def file_system(address: str, error: type[TdynError] = TdynError) -> tuple[Any, str]:
    """Return the file system of an address, and the name of the address in it.

    Raises:
        TdynError: it is unknown or not installed.
    """
    from fsspec.core import url_to_fs

    protocol = address.partition(":")[0].lower()
    try:
        system, name = url_to_fs(address)
    except (ImportError, ValueError) as problem:
        extra = EXTRAS.get(protocol)
        install = (
            f"pip install 'transformer-dynamics[{extra}]'"
            if extra
            else "install the package of fsspec that reads it, or copy the recording here"
        )
        raise error(f"cannot read {address} ({problem}); {install}") from problem
    return system, str(name)


def _asked(question: Any, address: str, error: type[TdynError]) -> Any:
    try:
        return question()
    except Exception as problem:  # each file system has its own error classes
        raise error(
            f"cannot read {address} ({type(problem).__name__}: {problem}); check the address and "
            "the credentials of its store"
        ) from problem
