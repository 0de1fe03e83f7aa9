"""A thing that a user may hand in, and what happens: a test, and a row of the documentation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Given:
    """One row of the page *What can be handed in*.

    Attributes:
        what: the thing, as the page names it (Markdown).
        happens: the sentence of the page for what is taken; empty for what is refused, whose row
            is the error's own message.
        check: does it in an empty folder and asserts on values; raises `refused` if that is set.
        refused: the error that it must raise.
    """

    what: str
    happens: str
    check: Callable[[Path], Any]
    refused: type[Exception] | None = None
