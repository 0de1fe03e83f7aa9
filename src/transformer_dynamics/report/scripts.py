"""Script, style and plotting library of the page, and the content policy that allows them alone.

The files in `static` are built from `web/` by `make web`.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files


@cache
def static_text(name: str) -> str:
    """Text of a built file: `page.js`, `page.css` or `plotly.js`."""
    folder = files("transformer_dynamics.report") / "static"
    return (folder / name).read_text(encoding="utf-8")


@cache
def content_policy() -> str:
    """Content policy: the page's two scripts by their hashes, no request, no evaluated text."""
    hashes = " ".join(f"'sha256-{_hash(static_text(name))}'" for name in ("page.js", "plotly.js"))
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
