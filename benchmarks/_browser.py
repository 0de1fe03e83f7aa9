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
UNDRAWN = (
    "return [...document.querySelectorAll('.figure[data-figure]:not([data-drawn])')]"
    ".filter(e => e.checkVisibility()).length"
)

UNDRAWN_ON_SCREEN = UNDRAWN.replace(
    "e.checkVisibility()", "e.checkVisibility() && e.getBoundingClientRect().top < innerHeight"
)


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
    set_size(opened, width, 900)
    opened.get("about:blank")
    opened.get(url)
    if setup:
        opened.execute_script(setup)
    # On a screen as high as the page every figure is near.
    for _ in range(2):
        height = int(opened.execute_script("return document.documentElement.scrollHeight"))
        set_size(opened, width, height)
        wait_until_drawn(opened)
    paths = []
    for number, top in enumerate(range(0, height, part)):
        clip = {"x": 0, "y": top, "width": width, "height": min(part, height - top), "scale": 1}
        shot = opened.execute_cdp_cmd("Page.captureScreenshot", {"format": "png", "clip": clip})
        path = out.with_name(f"{out.name}-{number}.png")
        path.write_bytes(base64.b64decode(shot["data"]))
        paths.append(path)
    return paths


def first_screen(opened: Any, url: str, width: int, height: int, path: Path) -> Path:
    """Write what a reader sees first, and return the path."""
    set_size(opened, width, height)
    opened.get("about:blank")
    opened.get(url)
    wait_until_drawn(opened, UNDRAWN_ON_SCREEN)
    shot = opened.execute_cdp_cmd("Page.captureScreenshot", {"format": "png"})
    path.write_bytes(base64.b64decode(shot["data"]))
    return path


def wait_until_drawn(opened: Any, undrawn: str = UNDRAWN) -> None:
    """Wait until a script counts no undrawn figure."""
    deadline = time.monotonic() + LONGEST_WAIT
    while opened.execute_script(undrawn):
        if time.monotonic() > deadline:
            raise TimeoutError("figures of the page were not drawn")
        time.sleep(0.1)
    time.sleep(0.3)
