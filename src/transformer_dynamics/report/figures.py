"""Figures of the page: plotly JSON by the id of the element that each is drawn in.

A page that is written several times, as while a run goes on, keeps the figures of results that did
not change.
"""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_dynamics.plots.backend import Drawing

Entries = list[dict[str, str]]


@dataclass(frozen=True)
class _Drawn:
    """Figures of one result or verdict: its source, entries and JSON by element id."""

    source: object
    entries: Entries
    json: dict[str, str]


class FigureCache:
    """Figures of results and verdicts by name, drawn anew when their source is another object."""

    def __init__(self) -> None:
        self._drawn: dict[str, _Drawn] = {}
        self._numbers = itertools.count(1)

    def drawn(self, name: str, source: object, draw: Callable[[], Sequence[Drawing]]) -> _Drawn:
        """Figures of a source under a name that is unique on the page."""
        known = self._drawn.get(name)
        if known is None or known.source is not source:
            known = self._drawn[name] = self._draw(source, draw())
        return known

    def _draw(self, source: object, drawings: Sequence[Drawing]) -> _Drawn:
        entries, texts = [], {}
        for drawing in drawings:
            element = f"figure-{next(self._numbers)}"
            texts[element] = _as_json(drawing.specification())
            entries.append(
                {
                    "id": element,
                    "caption": drawing.caption,
                    "interpretation": drawing.interpretation,
                }
            )
        return _Drawn(source, entries, texts)


class PageFigures:
    """Figures of one page, in the order in which they were added."""

    def __init__(self, cache: FigureCache | None = None) -> None:
        self._cache = FigureCache() if cache is None else cache
        self._json: dict[str, str] = {}

    def add(self, name: str, source: object, draw: Callable[[], Sequence[Drawing]]) -> Entries:
        """Add the figures of a source; return the element id, caption and interpretation of each.

        Args:
            name: heading of the source, unique on the page.
            source: result or verdict, whose figures are kept until another one takes its name.
            draw: function that draws it.
        """
        drawn = self._cache.drawn(name, source, draw)
        self._json.update(drawn.json)
        return drawn.entries

    def as_json(self) -> str:
        """JSON for a script element; no text in it can close the element."""
        return "{" + ",".join(f'"{element}":{text}' for element, text in self._json.items()) + "}"


def _as_json(specification: dict[str, Any]) -> str:
    text = json.dumps(specification, default=_typed, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _typed(value: Any) -> Any:
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
