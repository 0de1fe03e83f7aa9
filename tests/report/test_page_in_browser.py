"""The page in a real browser: no error, no request, every figure drawn, controls that work."""

import csv
import html
import re
import time

import matplotlib.pyplot as plt
import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.recording.record import record
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.storage.results import load_result, save_result

QUICK = ClaimOptions(n_null=5, n_bootstrap=9)
HOSTILE = '<script>document.title = "taken over"</script> w1 <img src=x onerror=alert(1)> & "w2"'
RIGHT_TO_LEFT = "\u202eevil שלום </td></table> w3"
LONG = "x" * 100_000
SPEED = "//section[@id='view-details']//figure[h4='Speed over depth']"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A folder with the results of every measure, the evidence of the claims, and the page."""
    model = tiny.model("llama")
    texts = [HOSTILE, RIGHT_TO_LEFT, LONG, *tiny.words(tiny.token_lists(13))]
    recording = record(model, texts)
    verdicts = td.evaluate_claims(recording, model=model, options=QUICK)
    results = {name: measure.function(recording) for name, measure in MEASURES.all().items()}
    folder = tmp_path_factory.mktemp("run")
    for name, result in results.items():
        save_result(folder / "results.zarr", name, result)
    for verdict in verdicts:
        save_result(folder / "results.zarr", f"claims/{verdict.id}", verdict.evidence)
    provenance = {"model": "<b>tiny</b>", "command": "tdyn run --texts '<script>'"}
    td.write_report(folder / "report.html", results, verdicts, recording=recording, run=provenance)
    return folder


@pytest.fixture(scope="module")
def page(run):
    return run / "report.html"


def figure(browser, xpath):
    """Show a figure, and wait until it is drawn."""
    found = browser.driver.find_element("xpath", xpath)
    browser.run(
        "for (let n = arguments[0]; n; n = n.parentElement)"
        " if (n.tagName === 'DETAILS') n.open = true;"
        "arguments[0].scrollIntoView()",
        found,
    )
    browser.until("return arguments[0].querySelector('.figure').dataset.drawn", found)
    return found


def downloaded(folder, name):
    deadline = time.monotonic() + 60
    while not (folder / name).exists():
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.05)
    return folder / name


@pytest.mark.browser
def test_everything_is_drawn_without_error_or_request(browser, page):
    browser.open(page)
    for view in ("paper", "details"):
        browser.run("document.querySelector(`#tabs a[data-view=${arguments[0]}]`).click()", view)
        browser.draw_all()
    assert browser.errors() == []
    urls = browser.requests()
    assert urls[0] == page.as_uri()
    assert all(url.startswith(("data:", "blob:")) for url in urls[1:]), urls

    drawn = browser.run("return document.querySelectorAll('.figure[data-drawn]').length")
    every = browser.run("return document.querySelectorAll('.figure').length")
    assert drawn == every > 60
    flat = browser.run(
        "return [...document.querySelectorAll('.figure')].filter("
        "e => e.checkVisibility() && e.offsetHeight < 100).length"
    )
    assert flat == 0
    assert browser.run("return document.querySelectorAll('canvas').length") >= 1


@pytest.mark.browser
def test_texts_of_a_corpus_are_shown_as_text(browser, page):
    browser.open(page, "#texts")
    assert browser.driver.title == "Transformer dynamics: <b>tiny</b>"
    cells = browser.run(
        "return [...document.querySelectorAll('#texts td.text')].map(e => e.textContent)"
    )
    assert cells[:3] == [HOSTILE, RIGHT_TO_LEFT, LONG]
    assert browser.run("return document.querySelectorAll('img[src=x]').length") == 0
    overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert browser.run(overflow) <= 0
    assert browser.errors() == []


@pytest.mark.browser
def test_a_figure_is_drawn_when_it_comes_near(browser, page):
    browser.open(page, height=600)
    browser.until("return performance.getEntriesByName('page.visible').length")
    names = (
        "return [...document.querySelectorAll('#view-paper .figure')].map(e => !!e.dataset.drawn)"
    )
    assert not browser.run(names)[-1]
    height = browser.run("return document.documentElement.scrollHeight")
    last = (
        "[...document.querySelectorAll('#view-paper .figure')]"
        ".filter(e => e.checkVisibility()).at(-1)"
    )
    browser.run(f"{last}.scrollIntoView()")
    browser.until(f"return {last}.dataset.drawn")
    # Drawing moved nothing.
    assert browser.run("return document.documentElement.scrollHeight") == height


@pytest.mark.browser
def test_the_switch_of_the_nulls_hides_every_null(browser, page):
    browser.open(page)
    element = figure(browser, "//article[@id='panel-1E']//figure")
    shown = (
        "return [...arguments[0].querySelector('.figure').data].filter(t => t.visible === true)"
        ".map(t => t.meta.role)"
    )
    assert {"model", "null"} <= set(browser.run(shown, element))
    browser.run("document.getElementById('nulls').click()")
    browser.until(
        "return [...arguments[0].querySelector('.figure').data]"
        ".every(t => t.meta.role !== 'null' || t.visible === false)",
        element,
    )
    assert "model" in browser.run(shown, element)
    maps = figure(browser, "//article[@id='panel-1B']//figure[h4[starts-with(., 'Mean trace')]]")
    ends = "return arguments[0].querySelector('.figure')._fullLayout.xaxis.range.map(Math.round)"
    columns = "return arguments[0].querySelector('.figure').data[0].meta.own.x"
    own = browser.run(columns, maps)
    assert browser.run(ends, maps)[1] == own
    browser.run("document.getElementById('nulls').click()")
    browser.until(f"return (() => {{ {ends} }})()[1] > arguments[1]", maps, own)
    browser.run("document.getElementById('nulls').click()")
    browser.until(f"return (() => {{ {ends} }})()[1] === arguments[1]", maps, own)
    pressed = browser.run(
        "return [...arguments[0].querySelectorAll('button.series[data-role=null]')]"
        ".map(e => e.getAttribute('aria-pressed'))",
        element,
    )
    assert pressed
    assert set(pressed) == {"false"}
    fragment = browser.until("return location.hash.includes('null=off') && location.hash")
    browser.open(page, fragment)
    element = figure(browser, "//article[@id='panel-1E']//figure")
    assert "null" not in browser.run(shown, element)


@pytest.mark.browser
def test_the_csv_holds_the_numbers_of_the_result(browser, page, run, tmp_path):
    browser.open(page, "#view=details")
    element = figure(browser, SPEED)
    browser.downloads(tmp_path)
    browser.run("arguments[0].querySelector('[data-save=csv]').click()", element)
    with downloaded(tmp_path, "speed-over-depth.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    speed = load_result(run / "results.zarr", "paths.kinematics")["speed"]
    mean = [row for row in rows if row["series"].startswith("speed, mean over samples")]
    y = next(name for name in rows[0] if name.startswith("speed"))
    np.testing.assert_allclose([float(row[y]) for row in mean], speed.mean("sample"), rtol=1e-6)
    low, high = np.quantile(speed, [0.05, 0.95], axis=speed.dims.index("sample"))
    np.testing.assert_allclose([float(row["low"]) for row in mean], low, rtol=1e-6)
    np.testing.assert_allclose([float(row["high"]) for row in mean], high, rtol=1e-6)
    assert [row["name"] for row in mean] == speed["step"].values.tolist()


@pytest.mark.browser
@pytest.mark.parametrize("title", ["Speed over depth", "Mean path in the first three principal"])
def test_figures_are_saved_as_svg_and_png(browser, page, tmp_path, title):
    browser.open(page, "#view=details")
    element = figure(
        browser, f"//section[@id='view-details']//figure[h4[starts-with(., '{title}')]]"
    )
    browser.downloads(tmp_path)
    name = re.sub(r"\W+", "-", element.find_element("tag name", "h4").text.lower())
    for kind in ("svg", "png"):
        browser.run(f"arguments[0].querySelector('[data-save={kind}]').click()", element)
    svg = downloaded(tmp_path, f"{name}.svg").read_text()
    assert svg.startswith("<svg")
    assert title.split()[0] in svg
    assert downloaded(tmp_path, f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert browser.errors() == []


@pytest.mark.browser
def test_the_theme_is_that_of_the_system_until_it_is_switched(browser, page):
    browser.open(page)
    element = figure(browser, "//article[@id='panel-1E']//figure")
    background = (
        "return arguments[0].querySelector('.figure')._fullLayout.paper_bgcolor.replaceAll(' ', '')"
    )
    assert browser.run("return document.documentElement.dataset.theme") == "light"
    light = browser.run(background, element)
    browser.run("document.getElementById('theme').click()")
    browser.until(f"{background} !== arguments[1]", element, light)
    assert browser.run("return document.documentElement.dataset.theme") == "dark"
    assert browser.run(background, element) == "#12161c"
    fragment = browser.until("return location.hash.includes('theme=dark') && location.hash")
    browser.open(page, fragment)
    assert browser.run("return document.documentElement.dataset.theme") == "dark"


@pytest.mark.browser
def test_links_open_the_view_and_the_folder_of_their_target(browser, page):
    browser.open(page, "#measure-paths.kinematics")
    assert browser.run("return document.body.dataset.view") == "details"
    target = browser.driver.find_element("id", "measure-paths.kinematics")
    browser.until("return Math.abs(arguments[0].getBoundingClientRect().top) < 200", target)
    browser.run("document.querySelector('#tabs a[data-view=paper]').click()")
    assert browser.run("return document.body.dataset.view") == "paper"
    browser.run("document.querySelector('ol.findings a[href=\"#C4\"]').click()")
    assert browser.run("return document.getElementById('C4').open")
    fragment = browser.until("return location.hash.includes('at=C4') && location.hash")
    browser.open(page, fragment)
    assert browser.run("return document.getElementById('C4').open")


@pytest.mark.browser
def test_a_figure_in_space_is_turned_by_keys_and_by_dragging(browser, page):
    browser.open(page, "#view=details")
    element = figure(
        browser,
        "//section[@id='view-details']//figure[h4[starts-with(., 'Mean path in the first three')]]",
    )
    picture = "return arguments[0].querySelector('canvas').toDataURL()"
    first = browser.run(picture, element)
    browser.run(
        "arguments[0].querySelector('canvas').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'ArrowLeft'}))",
        element,
    )
    second = browser.until(f"{picture} !== arguments[1]", element, first)
    from selenium.webdriver import ActionChains

    second = browser.run(picture, element)
    canvas = element.find_element("tag name", "canvas")
    ActionChains(browser.driver).click_and_hold(canvas).move_by_offset(60, 20).release().perform()
    browser.until(f"{picture} !== arguments[1]", element, second)


@pytest.mark.browser
def test_on_a_phone_the_verdicts_come_first_and_nothing_is_wider(browser, page):
    browser.open(page, width=390, height=844)
    places = browser.run(
        "return [...document.querySelectorAll('ol.findings .badge')].map("
        "e => { const r = e.getBoundingClientRect(); return [r.left, r.right, r.top] })"
    )
    assert all(left >= 0 and right <= 390 for left, right, _ in places)
    assert places[0][2] < 300
    statements = browser.run(
        "return [...document.querySelectorAll('ol.findings .statement')].map("
        "e => e.getBoundingClientRect().top)"
    )
    assert all(top > badge[2] for top, badge in zip(statements, places, strict=True))
    for view in ("paper", "details"):
        browser.run("document.querySelector(`#tabs a[data-view=${arguments[0]}]`).click()", view)
        assert browser.run("return document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_printing_draws_every_figure_of_the_view_in_light(browser, page):
    browser.open(page, "#view=paper&theme=dark", height=600)
    undrawn = "[...document.querySelectorAll('#view-paper .figure')].filter(e => !e.dataset.drawn)"
    browser.run(
        "window.print = () => { window.printed = [document.documentElement.dataset.theme,"
        f"{undrawn}.filter(e => e.checkVisibility()).length] }};"
        "document.getElementById('print').click()"
    )
    assert browser.until("return window.printed") == ["light", 0]
    assert browser.until("return document.documentElement.dataset.theme") == "dark"


@pytest.mark.browser
def test_the_search_of_details_keeps_what_holds_the_words(browser, page):
    browser.open(page, "#view=details")
    browser.run(
        "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '/', bubbles: true}))"
    )
    browser.driver.switch_to.active_element.send_keys("speed path")
    shown = browser.run(
        "return [...document.querySelectorAll('article.result')].filter(e => e.checkVisibility())"
        ".map(e => e.querySelector('h3').id)"
    )
    assert "measure-paths.kinematics" in shown
    assert "measure-units.density" not in shown
    browser.driver.switch_to.active_element.clear()


@pytest.mark.browser
def test_keys_show_and_close_the_help(browser, page):
    browser.open(page)
    press = "document.body.dispatchEvent(new KeyboardEvent('keydown', {key: '?', bubbles: true}))"
    browser.run(press)
    assert browser.run("return document.getElementById('help').open")
    browser.run(press)
    assert not browser.run("return document.getElementById('help').open")


@pytest.mark.browser
def test_the_page_of_an_unfinished_run_opens(browser, tmp_path):
    run = {"pending": [{"stage": "dimension.pca", "seconds": 40.0}]}
    recording = td.synthetic.random_walk(n_samples=6, n_sites=8, n_units=4)
    report = td.Report(recording, run=run).add(td.paths.kinematics(recording))
    browser.open(report.save(tmp_path / "page.html"))
    assert browser.run("return document.getElementById('reload').checked")
    assert "dimension.pca" in browser.run(
        "return document.getElementById('pending-table').innerText"
    )
    browser.draw_all()
    assert browser.errors() == []


def test_every_claim_and_measure_has_a_section(page):
    text = page.read_text()
    for name in MEASURES.all():
        assert f'id="measure-{name}"' in text
    for number in range(1, 8):
        assert f'id="C{number}"' in text


def test_every_panel_is_there_with_a_figure_or_a_reason(page):
    text = page.read_text()
    for panel in ("1A", *(f"1{letter}" for letter in "BCDEFGH"), *("2A", "2B"), "3A", "4D"):
        assert f'id="panel-{panel}"' in text
    with_figure = text.split('id="panel-1F"')[1].split("</article>")[0]
    assert 'href="#C2"' in with_figure
    assert 'class="figure"' in with_figure
    without = text.split('id="panel-3A"')[1].split("</article>")[0]
    assert "tdyn run --panels" in without


def test_the_line_of_python_draws_the_figure_again(page, run, monkeypatch):
    monkeypatch.chdir(run)
    text = page.read_text()
    found = re.findall(r'<h4>([^<]*)</h4>\s*<div class="figure" id="([^"]+)"', text)
    titles = {element: html.unescape(title) for title, element in found}
    lines = dict(re.findall(r'<pre id="code-([^"]+)">([^<]*)</pre>', text))
    for source in ("results.zarr/paths.kinematics", "results.zarr/claims/C4"):
        chosen = [element for element, line in lines.items() if source in html.unescape(line)]
        assert len(chosen) >= 2
        for element in chosen[:2]:
            setup, last = html.unescape(lines[element]).split("\n")
            names = {}
            exec(setup, names)
            axes = eval(last, names)
            assert axes.get_title() == titles[element]
            plt.close(axes.figure)
