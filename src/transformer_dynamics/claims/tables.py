"""Tables of verdicts: as text, as HTML for a notebook, as a pandas DataFrame."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from transformer_dynamics.errors import TdynError

if TYPE_CHECKING:
    import pandas as pd


VERDICT_HEAD = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Verdicts</title><style>
body { margin: 8px; color: #1b1f24; background: #fff; font: 14px/1.45 system-ui, sans-serif; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 5px 8px;
  border-bottom: 1px solid #d8dee4; }
td:first-child, td:last-child { white-space: nowrap; }
b { padding: 2px 8px; border-radius: 10px; border: 1px solid currentColor; font-size: 12px; }
.supported { color: #116329; background: #e6f6ea; }
.reproduced-not-beyond-null { color: #8a4b00; background: #fff4e0; }
.not-reproduced { color: #a40e26; background: #ffeef0; }
.undecided { color: #57606a; background: #f0f2f4; }
</style></head><body>"""


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


def verdict_page(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A page with a table of verdicts, which are its last column; every cell is escaped."""
    lines = [
        "".join(f"<td>{html.escape(cell)}</td>" for cell in row[:-1])
        + f'<td><b class="{badge_class(row[-1])}">{html.escape(row[-1])}</b></td>'
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"{VERDICT_HEAD}<table><thead>{_html_row('th', head)}</thead><tbody>{body}</tbody></table>"
    )


def badge_class(verdict: str) -> str:
    """Class of a verdict's colors in a page.

    >>> badge_class("reproduced, not beyond null")
    'reproduced-not-beyond-null'
    """
    return re.sub(r"[^a-z]+", "-", verdict)


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
