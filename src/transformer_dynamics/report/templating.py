"""Templates of pages: text from a corpus, a model or a configuration is escaped."""

from __future__ import annotations

import math
from typing import Any


def page_templates(*packages: str) -> Any:
    """Environment of jinja2 with the templates of packages, and those that all pages share.

    Args:
        packages: names within this package whose `templates` are found before the shared ones.
    """
    import jinja2

    loaders = [
        jinja2.PackageLoader(f"transformer_dynamics.{name}") for name in (*packages, "report")
    ]
    environment = jinja2.Environment(
        loader=jinja2.ChoiceLoader(loaders), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = _number
    return environment


def _number(value: float) -> str:
    """Three digits, or nothing where the value is undefined."""
    return f"{value:.3g}" if math.isfinite(value) else ""
