"""Results of measures on disk: one Zarr group per result, complete or absent.

`results.zarr` is a Zarr group that `xarray.open_datatree` reads without this package.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import xarray as xr

from transformer_dynamics.errors import TdynError
from transformer_dynamics.storage.attributes import storable
from transformer_dynamics.storage.files import remove_folder


def save_result(store: Path, name: str, result: xr.Dataset) -> None:
    """Write a result under `name`, and replace an existing one."""
    import zarr

    group = zarr.open_group(store, mode="a")
    parent, _, _ = name.rpartition("/")
    if parent:
        group.require_group(parent)
    target = store / name
    partial = store.with_name(f".{store.name}.{name.replace('/', '.')}.partial")
    remove_folder(partial)
    storable(result).drop_encoding().to_zarr(partial, mode="w", consolidated=False)
    remove_folder(target)
    partial.rename(target)


def load_result(store: Path, name: str) -> xr.Dataset | None:
    """Read a result into memory; return None if there is none of that name.

    Variables come in alphabetical order: a store lists them in the order of its folder.
    """
    if not (store / name / "zarr.json").exists():
        return None
    try:
        result: xr.Dataset = xr.open_zarr(store / name, chunks=None, consolidated=False).load()
    except (OSError, ValueError, KeyError) as error:
        raise TdynError(
            f"the result {name} in {store} cannot be read ({type(error).__name__}: {error}); "
            "delete it and run the same command again"
        ) from error
    variables = {name: result[name] for name in sorted(map(str, result.data_vars))}
    return xr.Dataset(variables, result.coords, result.attrs)


def result_stamp(store: Path, name: str) -> tuple[int, int] | None:
    """Stamp of a stored result that changes when it is replaced; None if there is none."""
    try:
        found = (store / name / "zarr.json").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def result_digest(store: Path, name: str) -> str | None:
    """SHA-256 of the files of a stored result; None if there is none."""
    if result_stamp(store, name) is None:
        return None
    hasher = hashlib.sha256()
    for path in sorted((store / name).rglob("*")):
        if path.is_file():
            hasher.update(f"{path.relative_to(store).as_posix()}\0".encode())
            hasher.update(hashlib.sha256(path.read_bytes()).digest())
    return hasher.hexdigest()


def saved_names(store: Path) -> list[str]:
    """List the results in a store in alphabetical order, without the evidence of claims."""
    if not store.exists():
        return []
    return sorted(
        path.name
        for path in store.iterdir()
        if (path / "zarr.json").exists() and path.name != "claims"
    )
