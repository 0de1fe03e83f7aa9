"""The page in a real browser: no error, no request, every plot drawn, text shown as text."""

import json
import os
import re
import shutil
import time

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.claims import ClaimOptions, Verdict
from transformer_dynamics.claims.verdict import NullComparison
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.report.figures import FigureCache

QUICK = ClaimOptions(n_null=5, n_bootstrap=9)
HOSTILE = '<script>document.title = "taken over"</script> w1 <img src=x onerror=alert(1)> & "w2"'
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1280,1400",
)
LONGEST_WAIT = 600.0
"""Seconds after which drawing counts as hung; on idle cores it takes a few."""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    model = tiny.model("llama")
    texts = [HOSTILE, *tiny.words(tiny.token_lists(15))]
    recording = record(model, texts)
    verdicts = td.evaluate_claims(recording, model=model, options=QUICK)
    results = {name: measure.function(recording) for name, measure in MEASURES.all().items()}
    path = tmp_path_factory.mktemp("page") / "report.html"
    run = {"model": "<b>tiny</b>", "command": "tdyn run --texts '<script>'"}
    return td.write_report(path, results, verdicts, recording=recording, run=run)


@pytest.fixture(scope="module")
def browser():
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        if os.environ.get("TDYN_REQUIRE_BROWSER"):
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    opened.set_script_timeout(LONGEST_WAIT)  # a page that is drawing answers late on busy cores
    yield opened
    opened.quit()


@pytest.mark.browser
def test_page_in_a_browser(browser, page):
    browser.get(page.as_uri())
    deadline = time.monotonic() + LONGEST_WAIT
    while browser.execute_script("return document.body.dataset.drawn") is None:
        assert time.monotonic() < deadline, browser.get_log("browser")
        time.sleep(0.1)

    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []

    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    urls = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert urls[0] == page.as_uri()
    assert all(url.startswith(("data:", "blob:")) for url in urls[1:]), urls

    empty = browser.execute_script(
        "return [...document.querySelectorAll('.figure')].filter("
        "e => !e.querySelector('.main-svg, canvas') || e.offsetHeight < 100).map(e => e.id)"
    )
    n_figures = browser.execute_script("return document.querySelectorAll('.figure').length")
    assert empty == []
    assert n_figures > 30
    assert browser.execute_script("return document.body.dataset.drawn") == str(n_figures)

    table = browser.find_element("id", "verdict-table").text
    assert all(f"C{number}" in table for number in range(1, 8))
    assert "reproduced" in table

    assert browser.title == "Transformer dynamics: <b>tiny</b>"
    assert HOSTILE in browser.find_element("tag name", "body").text
    assert browser.execute_script("return document.querySelectorAll('img[src=x]').length") == 0


def test_every_claim_and_measure_has_a_section(page):
    text = page.read_text()
    for name in MEASURES.all():
        assert f'id="measure-{name}"' in text
    for number in range(1, 8):
        assert f'<h2 id="C{number}">' in text


def test_a_page_written_again_draws_only_what_changed(tmp_path):
    recording = td.synthetic.random_walk(n_samples=6, n_sites=8, n_units=4)
    figures = FigureCache()

    def ids(results):
        report = td.Report(figures=figures)
        for name, result in results.items():
            report.add(result, name=name)
        text = report.save(tmp_path / "page.html").read_text()
        drawn = text.split('<script id="figures" type="application/json">')[1].split("</script>")[0]
        assert list(json.loads(drawn)) == re.findall(r'<div class="figure" id="(.*?)">', text)
        return list(json.loads(drawn))

    speed, density = td.paths.kinematics(recording), td.units.density(recording)
    first = ids({"speed": speed})
    both = ids({"speed": speed, "density": density})
    assert both[: len(first)] == first
    assert len(both) > len(first)
    other = ids({"speed": td.paths.kinematics(recording), "density": density})
    assert other[len(first) :] == both[len(first) :]
    assert not set(other[: len(first)]) & set(first)
    assert ids({"density": density}) == both[len(first) :]


def test_stages_to_come_are_named_with_an_estimate(tmp_path):
    pending = [
        {"stage": "perturbation.teleport", "seconds": 200.0},
        {"stage": "dimension.pca", "seconds": 40.0},
        {"stage": "<b>plug-in</b>", "seconds": None},
    ]
    text = td.Report(run={"pending": pending}).save(tmp_path / "a.html").read_text()
    rows = text.split('<table id="pending-table">')[1].split("</table>")[0]
    assert re.findall(r"<td>(.*?)</td><td>(.*?)</td>", rows) == [
        ("perturbation.teleport", "3.3 min"),
        ("dimension.pca", "40 s"),
        ("&lt;b&gt;plug-in&lt;/b&gt;", "unknown"),
    ]
    assert "No claim is tested yet." in text
    whole = td.Report(run={"pending": []}).save(tmp_path / "b.html").read_text()
    assert "pending-table" not in whole
    assert 'id="reload"' not in whole


def test_the_head_says_what_was_recorded(tmp_path):
    model = tiny.model("llama")
    lists = [[5, 6, 7], [8, 9], [10, 7], [11, 12, 9]]
    recording = record(model, lists, groups=["moon", "moon", "sun", None])
    page = td.write_report(tmp_path / "page.html", {}, [], recording=recording).read_text()
    head = page[page.index('id="facts"') : page.index('id="verdicts"')]
    rows = dict(re.findall(r"<tr><td>(.*?)</td><td>(.*?)</td></tr>", head))
    assert rows["Samples (N)"] == "4"
    assert rows["Distinct last tokens"] == "2"
    assert rows["Groups of texts"] == "3 (groups)"
    assert "95 % interval over groups" in page
    alone = td.write_report(tmp_path / "b.html", {}, [], recording=record(model, lists, "all"))
    assert "95 % interval over texts" in alone.read_text()
    assert "<td>Distinct tokens</td><td>8</td>" in alone.read_text()


def test_page_can_be_written_without_recording_or_results(tmp_path):
    verdict = Verdict(
        "X1",
        "Made up <i>here</i>.",
        "number (1)",
        1.0,
        (0.5, float("nan")),
        {"some_null": NullComparison(0, 1, 0.5, float("nan"), decides=True)},
        "undecided",
        "Because.",
        td.synthetic.line().dataset.drop_vars("activation").drop_dims(["site", "sample"]),
    )
    text = td.write_report(tmp_path / "sub" / "page.html", {}, [verdict]).read_text()
    assert "Made up &lt;i&gt;here&lt;/i&gt;." in text
    assert "some null" in text


def test_figures_embedded_in_the_page_cannot_close_its_script(tmp_path):
    recording = Recording.from_array(
        np.random.default_rng(0).standard_normal((4, 6, 3)), provenance={"model": "</script><b>"}
    )
    measure = MEASURES.get("paths.kinematics")
    path = td.write_report(
        tmp_path / "page.html", {"kinematics": measure.function(recording)}, [], recording=recording
    )
    embedded = path.read_text().split('<script id="figures" type="application/json">')[1]
    embedded = embedded.split("</script>")[0]
    assert json.loads(embedded)
    assert "<" not in embedded
