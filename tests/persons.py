"""A person at the view Explore of a page: presses, clicks, reads, saves."""

import re
import time

from browsing import LONGEST_WAIT
from transformer_dynamics.recording import open_recording
from transformer_dynamics.storage.results import load_result

ROOT = "document.getElementById('view-explore')"
NUMBER = r"(−?[\d.]+(?:e−?\d+)?|undefined)"


class Person:
    """A person at the page: presses, clicks, and reads."""

    def __init__(self, browser, out):
        self.page, self.driver, self.out = browser, browser.driver, out
        self.recording = open_recording(out / "recording.zarr").load()

    def open(self, fragment):
        self.page.open(self.out / "report.html", f"#{fragment}")
        self.page.until(f"return {ROOT}.dataset.ready")

    def script(self, code):
        return self.page.run(code)

    def find(self, selector):
        return self.driver.find_element("css selector", f"#view-explore {selector}")

    def press(self, *keys):
        body = self.driver.find_element("tag name", "body")
        for key in keys:
            body.send_keys(key)
        self.rest()

    def click(self, selector):
        self.script(f"document.querySelector('#view-explore {selector}').click()")
        self.rest()

    def rest(self):
        """Wait for two frames: a change is drawn in the next one."""
        self.driver.execute_async_script(
            "const done = arguments[0];"
            "requestAnimationFrame(() => requestAnimationFrame(() => done()));"
        )

    @property
    def selection(self):
        """Sample, site and unit that are drawn."""
        return tuple(map(int, self.script(f"return {ROOT}.dataset.drawn").split(",")))

    def read(self, plot):
        """Words under a plot."""
        return self.find(f"[data-plot='{plot}'] .readout").text

    def value(self, plot, before):
        """Number behind some words under a plot."""
        found = re.search(re.escape(before) + NUMBER, self.read(plot))
        assert found, (before, self.read(plot))
        return float(found[1].replace("−", "-").replace("undefined", "nan"))

    def save(self, plot, kind, folder):
        """File that a button under a plot saves, in an empty folder."""
        self.page.downloads(folder)
        self.script(f"document.querySelector('[data-plot={plot}] [data-save={kind}]').click()")
        # The browser's own temporary file may stay for a moment beside the finished one.
        wait_until(lambda: [path.suffix for path in folder.iterdir()] == [f".{kind}"])
        (path,) = folder.iterdir()
        return path

    def picture(self, plot):
        """Pixels of the base of a plot."""
        selector = f"#view-explore [data-plot={plot}] canvas"
        return self.script(f"return document.querySelector('{selector}').toDataURL()")

    def result(self, name):
        return load_result(self.out / "results.zarr", name)


def wait_until(condition):
    """Wait until a function is true."""
    deadline = time.monotonic() + LONGEST_WAIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
