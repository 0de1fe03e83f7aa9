"""Pages in a notebook: a whole HTML page as the `srcdoc` of a sandboxed frame.

The frame is part of the notebook's file, so that it survives a conversion to HTML. The page in it
has no origin: it can use neither the storage nor the address of the notebook.
"""

from __future__ import annotations

import html

HEIGHT = 800


def frame(page: str, *, title: str, height: int = HEIGHT, scripts: bool = True) -> str:
    """Frame that shows a page.

    Args:
        page: HTML of the page.
        title: name of the frame, for screen readers.
        height: height in pixels.
        scripts: whether scripts of the page may run, and its files may be downloaded.

    >>> frame("<p>1 < 2</p>", title="a page", height=40, scripts=False)
    '<iframe title="a page" sandbox="" style="display: block; box-sizing: border-box; width: 100%;
     height: 40px; border: 1px solid #d8dee4" srcdoc="&lt;p&gt;1 &lt; 2&lt;/p&gt;"></iframe>'
    """
    allowed = "allow-scripts allow-downloads" if scripts else ""
    style = (
        f"display: block; box-sizing: border-box; width: 100%; height: {height}px; "
        "border: 1px solid #d8dee4"
    )
    return (
        f'<iframe title="{html.escape(title)}" sandbox="{allowed}" style="{style}" '
        f'srcdoc="{html.escape(page)}"></iframe>'
    )
