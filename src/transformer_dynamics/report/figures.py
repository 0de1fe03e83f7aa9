"""Figures of the page: plotly JSON by the id of the element that each is drawn in."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from transformer_dynamics.plots.backend import Drawing


class PageFigures:
    """Figures of one page, in the order in which they were added."""

    def __init__(self) -> None:
        self._figures: dict[str, Any] = {}

    def add(self, drawings: Sequence[Drawing]) -> list[dict[str, str]]:
        """Add drawings; return the element id, caption and interpretation of each."""
        entries = []
        for drawing in drawings:
            name = f"figure-{len(self._figures) + 1}"
            self._figures[name] = drawing.specification()
            entries.append(
                {"id": name, "caption": drawing.caption, "interpretation": drawing.interpretation}
            )
        return entries

    def as_json(self) -> str:
        """JSON for a script element; no text in it can close the element."""
        text = json.dumps(
            self._figures, default=_typed_array, allow_nan=False, separators=(",", ":")
        )
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _typed_array(value: Any) -> Any:
    """Numbers of an array as plotly's base64 of their bytes, in which NaN is a gap."""
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise TypeError(f"a figure holds {type(value).__name__}, which is no array of numbers")
    code = "f4" if value.dtype == np.float32 else "f8"
    data = base64.b64encode(np.ascontiguousarray(value, dtype=f"<{code}").tobytes()).decode()
    return {"dtype": code, "bdata": data, "shape": ", ".join(map(str, value.shape))}


def plotly_source() -> str:
    """The plotting library; its text cannot close the script element that holds it."""
    from plotly.offline import get_plotlyjs

    source: str = get_plotlyjs()
    return source.replace("</script", "<\\/script")
