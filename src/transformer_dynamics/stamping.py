"""Stamp of a result: measure, parameters, version and description of the recording."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import xarray as xr

import transformer_dynamics
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.storage.attributes import storable


def stamped(
    function: Callable[..., xr.Dataset],
    names: tuple[str, str, str],
    describe: Callable[..., dict[str, Any]],
    choose: Callable[..., Callable[..., xr.Dataset]] | None = None,
    around: Callable[..., AbstractContextManager[None]] | None = None,
) -> Callable[..., xr.Dataset]:
    """Wrap a function so that its results carry a stamp in their attrs.

    Args:
        function: Function whose first arguments are its subjects, such as a recording.
        names: Registered name, title and source.
        describe: Function from the subjects to further entries of the attrs.
        choose: Function from `function`, subjects and parameters to the function that is called.
        around: Function from the subjects to the context in which it is called.
    """
    signature = inspect.signature(function)
    n_subjects = len(inspect.signature(describe).parameters)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> xr.Dataset:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        values = list(bound.arguments.items())
        subjects = [value for _, value in values[:n_subjects]]
        parameters = dict(values[n_subjects:])
        parameters.pop("on_progress", None)
        called = function if choose is None else choose(function, *subjects, **parameters)
        with nullcontext() if around is None else around(*subjects):
            result = called(*args, **kwargs)
        name, title, source = names
        if not isinstance(result, xr.Dataset):
            raise InputError(
                f"{name} returned {type(result).__name__}; a registered function returns an "
                'xarray.Dataset: xr.Dataset({"value": ("sample", values)})'
            )
        stamp = {
            "measure": name,
            "title": title,
            "source": source,
            "parameters": {key: _plain(value) for key, value in parameters.items()},
            "version": transformer_dynamics.__version__,
            **describe(*subjects),
        }
        return storable(result.assign_attrs(stamp))

    return call


def in_blocks(
    function: Callable[..., xr.Dataset], recording: Any, *args: Any, **kwargs: Any
) -> xr.Dataset:
    """Compute a per-sample measure of a recording on disk in blocks of samples, and join them."""
    pieces: list[xr.Dataset] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UndefinedWarning)
        for block in recording.sample_blocks():
            pieces.append(function(block, *args, **kwargs))
            del block
    if caught:
        warnings.warn(
            f"in {len(caught)} of {len(pieces)} blocks of samples; the first warning: "
            f"{caught[0].message}",
            UndefinedWarning,
            stacklevel=3,
        )
    return xr.concat(pieces, "sample", data_vars="minimal", coords="minimal", compat="override")


def _plain(value: Any) -> Any:
    """Convert a value to a type that attrs hold."""
    if isinstance(value, str | int | float | bool | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value)
