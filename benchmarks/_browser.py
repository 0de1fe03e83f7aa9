"""The report in headless Chromium: opened at a width and in a theme, with its own clock read."""

from __future__ import annotations

import base64
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
LONGEST_WAIT = 120.0
# Figures on the screen; those above it have been drawn.
UNDRAWN = (
    "return [...document.querySelectorAll('.figure[data-figure]:not([data-drawn])')]"
    ".filter(e => e.checkVisibility() && e.getBoundingClientRect().top < innerHeight).length"
)
HEIGHT = "return Math.ceil(document.body.getBoundingClientRect().bottom + scrollY)"
# Bars that stay on the screen would be in every picture.
FOLLOW_THE_PAGE = """
const style = document.createElement("style");
style.textContent = "#tabs, .controls, .scrubber { position: static !important }"
  + "#view-explore { padding-bottom: 0 !important }";
document.head.append(style);
"""


@contextmanager
def browser() -> Iterator[Any]:
    """Open headless Chromium, and close it again."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in FLAGS:
        options.add_argument(flag)
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    opened = webdriver.Chrome(options=options, service=service)
    try:
        yield opened
    finally:
        opened.quit()


def set_size(opened: Any, width: int, height: int) -> None:
    """Give the page a size in pixels."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)


def screenshots(
    opened: Any, url: str, width: int, out: Path, *, setup: str = "", part: int = 3000
) -> list[Path]:
    """Write the whole page as pictures of at most `part` pixels in height.

    Args:
        opened: the browser.
        url: address of the page with its fragment.
        width: width in pixels.
        out: path of the pictures, to which the number of each is added.
        setup: script that runs before the figures are drawn.
        part: height of one picture.
    """
    set_size(opened, width, part)
    opened.get("about:blank")
    opened.get(url)
    wait_until_drawn(opened)
    opened.execute_script(f"{setup}; {FOLLOW_THE_PAGE}")
    paths: list[Path] = []
    top = 0
    # Chromium leaves blanks on a screen of the page's height, so the page is scrolled.
    while top < (height := int(opened.execute_script(HEIGHT))):
        set_size(opened, width, min(part, height - top))
        opened.execute_script("window.scrollTo(0, arguments[0])", top)
        wait_until_drawn(opened)
        shot = opened.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
        paths.append(out.with_name(f"{out.name}-{len(paths)}.png"))
        paths[-1].write_bytes(base64.b64decode(shot["data"]))
        top += part
    return paths


def first_screen(opened: Any, url: str, width: int, height: int, path: Path) -> Path:
    """Write what a reader sees first, and return the path."""
    set_size(opened, width, height)
    opened.get("about:blank")
    opened.get(url)
    wait_until_drawn(opened)
    shot = opened.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
    return path


def wait_until_drawn(opened: Any) -> None:
    """Wait until every figure on the screen is drawn."""
    deadline = time.monotonic() + LONGEST_WAIT
    while opened.execute_script(UNDRAWN):
        if time.monotonic() > deadline:
            raise TimeoutError("figures of the page were not drawn")
        time.sleep(0.1)
    time.sleep(0.3)
