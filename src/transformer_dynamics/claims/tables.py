"""Tables of verdicts: as text, as HTML for a notebook, as a pandas DataFrame."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    import pandas as pd


def number(value: float) -> str:
    """Three digits, or a dash where the value is undefined."""
    return f"{value:.3g}" if math.isfinite(value) else "–"


def value_and_interval(value: float, interval: tuple[float, float]) -> str:
    """A value with its interval: `0.5 [0.4, 0.6]`; where it has none, the value alone."""
    if not all(map(math.isfinite, interval)):
        return f"{number(value)} (interval not defined)"
    return f"{number(value)} [{number(interval[0])}, {number(interval[1])}]"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, separated by two spaces.

    >>> print(text_table(("claim", "verdict"), [("C1", "supported")]))
    claim  verdict
    C1     supported
    """
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join(lines)


def html_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table of plain text; every cell is escaped."""
    body = "".join(_html_row("td", row) for row in rows)
    return f"<table><thead>{_html_row('th', head)}</thead><tbody>{body}</tbody></table>"


def _html_row(tag: str, cells: Sequence[str]) -> str:
    style = ' style="text-align: left"'
    joined = "".join(f"<{tag}{style}>{html.escape(cell)}</{tag}>" for cell in cells)
    return f"<tr>{joined}</tr>"


def data_frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> pd.DataFrame:
    """Rows as a DataFrame.

    Raises:
        TdynError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise TdynError(
            "a DataFrame needs pandas, which is not installed; install the extra [parquet]: "
            "pip install 'transformer-dynamics[parquet]'"
        ) from error
    return pd.DataFrame(rows, columns=list(columns))
