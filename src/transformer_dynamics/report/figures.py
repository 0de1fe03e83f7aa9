"""Figures of the page: a data island for each, by the id of the element that it is drawn in.

A page that is written several times, as while a run goes on, keeps the figures of results that did
not change.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from transformer_dynamics.plots.backend import Drawing
from transformer_dynamics.report.content.legend import is_of_null, legend_of
from transformer_dynamics.report.packing import island_json, packed_array, packed_text

Entries = list[dict[str, Any]]
# Height that the page gives to a figure, without its title, which stands above it.
TITLE_HEIGHT = 40


@dataclass(frozen=True)
class _Drawn:
    """Figures of one result or verdict: its source, entries and islands by element id."""

    source: object
    entries: Entries
    islands: dict[str, str]


class FigureCache:
    """Figures of results and verdicts by name, drawn anew when their source is another object."""

    def __init__(self) -> None:
        self._drawn: dict[str, _Drawn] = {}
        self._numbers = itertools.count(1)

    def drawn(
        self, name: str, source: object, draw: Callable[[], Sequence[Drawing]], code: str
    ) -> _Drawn:
        """Figures of a source under a name that is unique on the page."""
        known = self._drawn.get(name)
        if known is None or known.source is not source:
            known = self._drawn[name] = self._draw(source, draw(), code)
        return known

    def _draw(self, source: object, drawings: Sequence[Drawing], code: str) -> _Drawn:
        entries, islands = [], {}
        for index, drawing in enumerate(drawings):
            element = f"figure-{next(self._numbers)}"
            specification = drawing.specification()
            islands[element] = figure_island(specification)
            entries.append(
                {
                    "id": element,
                    "title": drawing.title,
                    "caption": drawing.caption,
                    "interpretation": drawing.interpretation,
                    "legend": legend_of(specification),
                    "is_null": is_of_null(specification),
                    "height": specification["layout"]["height"] - TITLE_HEIGHT,
                    "code": code.replace("{index}", str(index)),
                }
            )
        return _Drawn(source, entries, islands)


class PageFigures:
    """Figures of one page, in the order in which they were added."""

    def __init__(self, cache: FigureCache | None = None) -> None:
        self._cache = FigureCache() if cache is None else cache
        self.islands: dict[str, str] = {}

    def add(
        self, name: str, source: object, draw: Callable[[], Sequence[Drawing]], code: str
    ) -> Entries:
        """Add the figures of a source; return id, title, caption, legend and code of each.

        Args:
            name: heading of the source, unique on the page.
            source: result or verdict, whose figures are kept until another one takes its name.
            draw: function that draws it.
            code: line of Python that draws the figure `{index}` of the source.
        """
        drawn = self._cache.drawn(name, source, draw, code)
        self.islands.update(drawn.islands)
        return drawn.entries


def figure_island(specification: dict[str, Any]) -> str:
    """Data island of a figure: its arrays, and the rest of its specification as one text.

    Numbers are stored as float32; a number in an array is given to seven digits.
    """
    arrays: list[dict[str, Any]] = []

    def placed(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise TypeError(f"a figure holds {type(value).__name__}, which is no array of numbers")
        arrays.append(packed_array(value, "f4"))
        return {"packed": len(arrays) - 1}

    text = json.dumps(specification, default=placed, allow_nan=False, separators=(",", ":"))
    return island_json({"specification": packed_text(text), "arrays": arrays})
