"""The report in headless Chromium, and waiting for its figures."""

import time

import pytest

import browsing
import tiny
from persons import Person
from transformer_dynamics.experiment import Experiment, Settings

HOSTILE = "<script>document.title = 'taken over'</script> w1 <img src=x onerror=alert(1)> w2"
RIGHT_TO_LEFT = "\u202e\u05d0\u05d1\u05d2 \u0627\u0644\u0639 w3 & \u05d3"
LONG = "x" * 100_000 + " w5"

UNDRAWN = (
    "return [...document.querySelectorAll('.figure[data-figure]:not([data-drawn])')]"
    ".filter(e => e.checkVisibility()).map(e => e.id)"
)


class Page:
    """A page in the browser."""

    def __init__(self, driver):
        self.driver = driver

    def open(self, path, fragment="", width=1280, height=1400):
        """Open a page without what the last one left behind."""
        self.size(width, height)
        self.driver.get("about:blank")
        for kind in ("browser", "performance"):
            self.driver.get_log(kind)
        self.driver.get(path.as_uri() + fragment)
        return self

    def size(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def run(self, script, *values):
        """Value of a script's `return`."""
        return self.driver.execute_script(script, *values)

    def until(self, script, *values):
        """Wait until a script returns a truth, and return it."""
        deadline = time.monotonic() + browsing.LONGEST_WAIT
        while not (value := self.run(script, *values)):
            assert time.monotonic() < deadline, self.driver.get_log("browser")
            time.sleep(0.05)
        return value

    def draw_all(self):
        """Unfold everything, on a screen as high as the page, so that every figure is near."""
        self.run("for (const e of document.querySelectorAll('details')) e.open = true")
        self.size(1280, self.run("return document.documentElement.scrollHeight"))
        self.until(f"return (() => {{ {UNDRAWN} }})().length === 0")

    def errors(self):
        return browsing.errors_in(self.driver)

    def requests(self):
        """Addresses that the page asked for, its own first."""
        return browsing.requests_of(self.driver)

    def downloads(self, folder):
        settings = {"behavior": "allow", "downloadPath": str(folder)}
        self.driver.execute_cdp_cmd("Browser.setDownloadBehavior", settings)


@pytest.fixture(scope="session")
def browser():
    opened = browsing.open_browser()
    yield Page(opened)
    opened.quit()


@pytest.fixture(scope="session")
def explored(tmp_path_factory):
    """Folder of a run of a tiny model, with texts that try to break the page."""
    out = tmp_path_factory.mktemp("explore") / "run"
    texts = [HOSTILE, RIGHT_TO_LEFT, LONG, *tiny.words(tiny.token_lists(11))]
    measures = ["dimension.pca", "paths.kinematics", "units.correlation"]
    settings = Settings(
        n_twins=1,
        claims=[],
        measures=[*measures, "units.mutual_information"],
        perturbations=["perturbation.logit_lens"],
    )
    Experiment(tiny.model(), texts, out, settings).run()
    return out


@pytest.fixture
def person(explored, browser):
    """A person at the page, who sees no error and causes no request."""
    someone = Person(browser, explored)
    someone.open("view=explore")
    yield someone
    assert browser.errors() == []
    assert all(
        each.startswith(("file:", "data:", "blob:", "about:")) for each in browser.requests()
    )
