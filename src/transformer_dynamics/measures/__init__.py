"""Measures: pure functions from a recording to a result, in folders named by their question."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["dimension", "dynamics", "massive", "orbits", "paths", "similarity", "units"],
)
