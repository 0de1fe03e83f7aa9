"""The residual stream of transformers as a dynamical system over depth.

Importing this package loads neither torch nor transformers: every public name is fetched when it
is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "load_model": "models",
    "load_texts": "texts",
    "record": "recording.recorder",
    "RecordingOptions": "recording.options",
    "Moments": "recording.moments",
    "open_moments": "recording.moments",
    "from_captured": "recording.captured",
    "Recording": "recording.recording",
    "open_recording": "recording.opening",
    "LinearFlowMap": "residual.flow_map",
    "test_claims": "claims",
    "write_report": "report",
    "Experiment": "experiment",
}
_PACKAGES = (
    "units",
    "population",
    "perturbation",
    "nulls",
    "inference",
    "claims",
    "paper",
    "report",
    "residual",
    "recording",
    "results",
)

__all__ = [*_HOMES, *_PACKAGES, "__version__"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    if name in _PACKAGES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
