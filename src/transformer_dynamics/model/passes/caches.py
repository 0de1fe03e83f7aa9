"""Keys and values of a context, shared by all states and never extended."""

from __future__ import annotations

import copy
from typing import Any


def new_cache() -> Any:
    """Return an empty cache of transformers."""
    from transformers import DynamicCache

    return DynamicCache()


def without_last(cache: Any) -> Any:
    """Return the cache of all tokens but the last, or None if a layer kept no keys and values."""
    layers = getattr(cache, "layers", [])
    if not layers or any(getattr(layer, "keys", None) is None for layer in layers):
        return None
    for layer in layers:
        layer.keys, layer.values = layer.keys[..., :-1, :], layer.values[..., :-1, :]
    return cache


def shared_view(cache: Any) -> Any:
    """Return a cache that shares the tensors of another one and does not grow.

    An update returns the states' keys and values joined to the context's, as usual, but does not
    store them: the joined tensors of all layers would take the memory of a second context.
    """
    view = copy.copy(cache)
    view.layers = [_without_memory(layer) for layer in cache.layers]
    return view


def _without_memory(layer: Any) -> Any:
    view = copy.copy(layer)

    def update(*args: Any, **kwargs: Any) -> Any:
        return type(layer).update(copy.copy(layer), *args, **kwargs)

    view.update = update
    return view
