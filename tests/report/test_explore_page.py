"""A person at the view Explore, in a real browser: what it shows is what the run's files hold."""

import time

import numpy as np
import pytest

import transformer_dynamics as td
from persons import Person, wait_until


def check_what_is_shown(person):
    """Every number under the plots against the recording and the results."""
    sample, site, unit = person.selection
    sites, values = person.recording.sites, person.recording.values
    trace = values[sample, :, unit]
    near = {"rel": 2e-3, "abs": 2e-3}  # float16 in the page, four digits in words
    assert sites[site] in person.read("trace")
    assert person.value("trace", f"text {sample}: ") == pytest.approx(trace[site], **near)
    median = np.median(values[:, site, unit])
    assert person.value("trace", "median ") == pytest.approx(median, **near)
    step = min(site, len(sites) - 2)
    change = trace[step + 1] - trace[step]
    assert person.value("portrait", "change ") == pytest.approx(change, rel=1e-2, abs=1e-2)
    scores = person.result("dimension.pca")["score"].values[sample, site]
    for component in (1, 2, 3):
        found = person.value("trajectory", f"PC{component} ")
        assert found == pytest.approx(scores[component - 1], rel=2e-3, abs=1e-2)
    moved = person.result("paths.kinematics")
    for name in ("speed", "cosine"):
        found = person.value(name, f"{name} ")
        assert found == pytest.approx(moved[name].values[sample, step], **near)
    correlation = person.result("units.correlation")["correlation"].values[step, unit]
    assert person.value("correlation", "correlation ") == pytest.approx(correlation, **near)
    information = person.result("units.mutual_information")["information"].values[step, unit]
    found = person.value("information", "information ")
    assert found == pytest.approx(information, nan_ok=True, **near)


def check_decoded_tokens(person):
    sample, site, _ = person.selection
    lens = person.result("perturbation.logit_lens").sel(system="model")
    row = lens["text"].values.tolist().index(sample)
    cells = person.driver.find_elements("css selector", "#view-explore table.lens tr")[1:]
    shown = [cell.text.split() for cell in cells]
    tokens = lens["token"].values[row, site].tolist()
    assert [each[1] for each in shown] == [token.replace(" ", "␣") for token in tokens]
    chances = [float(each[2]) for each in shown]
    np.testing.assert_allclose(chances, lens["probability"].values[row, site], rtol=5e-3, atol=1e-4)


def check_extreme_texts(person):
    _, site, unit = person.selection
    listed = np.unique(np.linspace(0, len(person.recording.sites) - 1, 6).round().astype(int))
    nearest = listed[np.abs(listed - site).argmin()]
    words = person.find("[data-plot='extremes']").text
    assert f"at {person.recording.sites[nearest]}" in words
    order = np.argsort(person.recording.values[:, nearest, unit])
    shown = person.driver.find_elements("css selector", "#view-explore ol.extremes button")
    assert [each.text for each in shown] == [f"text {n}" for n in (*order[::-1][:5], *order[:5])]


@pytest.mark.browser
def test_the_first_look(person):
    assert person.find("[data-count]").text == "all 14 texts"
    check_what_is_shown(person)
    check_decoded_tokens(person)
    check_extreme_texts(person)
    blank = person.script(
        "return [...document.querySelectorAll('#view-explore canvas')]"
        ".filter(c => c.width < 100 || c.height < 100).length"
    )
    assert blank == 0


@pytest.mark.browser
def test_a_unit_by_number_and_by_click(person):
    from selenium.webdriver import ActionChains, Keys

    field = person.find("input[name=unit]")
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("11", Keys.ENTER)
    person.rest()
    assert person.selection[2] == 11
    check_what_is_shown(person)
    check_extreme_texts(person)
    field.send_keys(Keys.CONTROL, "a")
    field.send_keys("999", Keys.ENTER)
    person.rest()
    assert person.selection[2] == 11
    button = person.find("[data-unit]")
    button.click()
    person.rest()
    assert person.selection[2] == int(button.text)
    check_what_is_shown(person)
    stage = person.find("[data-plot='correlation'] .stage")
    person.script("document.querySelector(\"[data-plot='correlation']\").scrollIntoView()")
    ActionChains(person.driver).move_to_element_with_offset(stage, 40, -20).click().perform()
    person.rest()
    _, step, unit = person.selection
    values = person.result("units.correlation")["correlation"].values[step]
    assert person.value("correlation", "correlation ") == pytest.approx(values[unit], abs=2e-3)
    check_what_is_shown(person)


@pytest.mark.browser
def test_a_text_by_search(person):
    from selenium.webdriver import Keys

    person.press(Keys.ESCAPE, "/")
    search = person.driver.switch_to.active_element
    assert search.get_attribute("type") == "search"
    search.send_keys("ONERROR")
    person.rest()
    assert person.find("[data-count]").text == "1 found among all 14 texts"
    search.send_keys(Keys.CONTROL, "a")
    # Arrows move the cursor while a person types.
    search.send_keys("#6", Keys.ENTER, Keys.ARROW_LEFT)
    person.rest()
    assert person.selection[0] == 6
    check_what_is_shown(person)
    check_decoded_tokens(person)
    search.send_keys(Keys.CONTROL, "a")
    search.send_keys(Keys.BACKSPACE)
    person.rest()
    person.script("document.activeElement.blur()")
    assert person.find("[data-count]").text == "all 14 texts"


@pytest.mark.browser
def test_the_scrubber_by_keyboard(person):
    from selenium.webdriver import Keys

    person.open("view=explore&text=4&unit=3")
    sample, site, unit = person.selection
    person.press(Keys.ARROW_RIGHT)
    assert person.selection == (sample, site + 1, unit)
    check_what_is_shown(person)
    check_decoded_tokens(person)
    person.press(Keys.ARROW_DOWN, "]")
    assert person.selection == (5, site + 1, 4)
    check_what_is_shown(person)
    person.press(Keys.END)
    check_what_is_shown(person)
    check_extreme_texts(person)
    person.press(Keys.HOME, Keys.ARROW_LEFT)
    assert person.selection[1] == 0
    person.press(Keys.SPACE)
    wait_until(lambda: person.selection[1] > 2)
    person.press(Keys.SPACE)
    stopped = person.selection
    time.sleep(0.4)
    assert person.selection == stopped
    check_what_is_shown(person)


@pytest.mark.browser
def test_the_null_models_can_be_switched_off(person):
    pictures = {name: person.picture(name) for name in ("trace", "trajectory", "speed")}
    for key, name in (("walk", "random walk"), ("twin", "untrained twin")):
        assert name in person.read("trace")
        assert name in person.read("correlation")
        person.click(f"input[name={key}]")
        for plot, before in pictures.items():
            assert name not in person.read(plot)
            after = person.picture(plot)
            assert after != before
            pictures[plot] = after
    check_what_is_shown(person)
    person.click("input[name=walk]")
    assert "random walk" in person.read("trace")


@pytest.mark.browser
def test_a_link_leads_into_the_same_view(person):
    from selenium.webdriver import Keys

    person.open("view=explore&unit=9&order=length&color=group")
    person.press(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    person.click("input[name=twin]")
    wait_until(lambda: "twin=off" in person.driver.current_url)
    link, selection = person.driver.current_url, person.selection
    words = {plot: person.read(plot) for plot in ("trace", "trajectory", "speed", "lens")}
    picture = person.picture("trace")
    person.open(link.partition("#")[2])
    assert person.selection == selection
    assert {plot: person.read(plot) for plot in words} == words
    assert person.picture("trace") == picture


@pytest.mark.browser
def test_texts_are_sorted_and_colored_by_a_label(person):
    select = person.find("select[name=order]")
    offered = [
        option.get_attribute("value") for option in select.find_elements("tag name", "option")
    ]
    assert offered == ["index", "token", "length", "norm"]
    plain = person.picture("trajectory")
    person.open("view=explore&order=norm&color=norm")
    assert person.picture("trajectory") != plain
    listed = person.driver.find_elements("css selector", "#view-explore ol.texts button")
    shown = [int(each.get_attribute("data-text")) for each in listed]
    norms = person.result("paths.kinematics")["norm"].values[:, -1]
    assert (np.diff(norms[shown]) >= -1e-2 * norms.max()).all()
    assert sorted(shown) == list(range(14))


@pytest.mark.browser
def test_hostile_texts_are_shown_as_texts(person):
    person.open("view=explore&text=0&theme=dark")
    assert person.script("return document.documentElement.dataset.theme") == "dark"
    assert person.driver.title == "Transformer dynamics: tiny-llama"
    assert person.script("return document.querySelectorAll('#view-explore img').length") == 0
    listed = person.driver.find_elements("css selector", "#view-explore ol.texts button")
    assert "<img src=x onerror=alert(1)> w2" in listed[0].text
    person.open("view=explore&text=2")
    assert person.selection[0] == 2
    width = person.script("return document.documentElement.scrollWidth")
    assert width <= person.script("return window.innerWidth")
    check_what_is_shown(person)


@pytest.mark.browser
def test_components_are_turned_by_dragging(person):
    from selenium.webdriver import ActionChains

    person.open("view=explore&plane=3d")
    before = person.picture("trajectory")
    stage = person.find("[data-plot='trajectory'] .stage")
    person.script("document.querySelector(\"[data-plot='trajectory']\").scrollIntoView()")
    ActionChains(person.driver).drag_and_drop_by_offset(stage, 60, 20).perform()
    wait_until(lambda: "turn=" in person.driver.current_url)
    assert person.picture("trajectory") != before
    check_what_is_shown(person)


@pytest.mark.browser
def test_a_page_without_results_says_what_is_missing(person, tmp_path):
    person.recording.save(tmp_path / "recording.zarr")
    td.Report(person.recording).save(tmp_path / "report.html")
    other = Person(person.page, tmp_path)
    other.open("view=explore")
    assert "no result of dimension.pca" in other.read("trajectory")
    assert "no result of units.correlation" in other.read("correlation")
    assert "no result of perturbation.logit_lens" in other.read("lens")
    assert other.script("return document.querySelectorAll('input[name=twin]').length") == 0
    assert "random walk" in other.read("trace")


@pytest.mark.browser
def test_of_many_texts_a_part_is_shown_and_the_page_says_so(browser, tmp_path):
    recording = td.synthetic.random_walk(n_samples=250, n_sites=6, n_units=4, seed=1)
    recording.save(tmp_path / "recording.zarr")
    td.Report(recording).save(tmp_path / "report.html")
    person = Person(browser, tmp_path)
    person.open("view=explore&text=99999")
    assert person.find("[data-count]").text == "200 of 250 texts, seed 0"
    listed = person.driver.find_elements("css selector", "#view-explore ol.texts button")
    assert len(listed) == 200
    sample, site, unit = person.selection
    value = recording.values[sample, site, unit]
    assert person.value("trace", f"text {sample}: ") == pytest.approx(value, rel=2e-3, abs=2e-3)
    assert "single texts (200 of 250 texts, seed 0)" in person.find("[data-plot='trace']").text


@pytest.mark.browser
def test_on_a_phone_the_controls_stay_within_reach(person):
    try:
        person.page.size(390, 844)
        person.rest()
        assert person.script("return document.documentElement.scrollWidth") <= 390
        person.script("window.scrollTo(0, 2000)")
        for selector in (".play", "input[name=site]", "input[name=unit]"):
            box = person.find(selector).rect
            top = box["y"] - person.script("return window.scrollY")
            assert 0 <= top <= 844 - box["height"]
            assert 0 <= box["x"] <= 390 - box["width"]
        widths = person.script(
            "return [...document.querySelectorAll('#view-explore .stage')]"
            ".filter(e => e.checkVisibility()).map(e => e.clientWidth)"
        )
        assert min(widths) > 300
        check_what_is_shown(person)
    finally:
        person.page.size(1280, 1400)
