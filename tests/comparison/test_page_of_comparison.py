"""The page of a comparison in a real browser, read and compared with its JSON file."""

import json

import numpy as np
import pytest

import transformer_dynamics as td
from browsing import errors_in, foreign_requests, wait_until
from transformer_dynamics.claims.tables import value_and_interval
from transformer_dynamics.recording import Recording

HOSTILE = '<script>document.title = "taken over"</script><img src=x onerror=alert(1)> & "b"'


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    """Page and JSON file of three runs and of a recording whose names are hostile."""
    recording = td.open_recording(runs / "a" / "recording.zarr").load()
    values, provenance = recording.values[::-1], {**recording.provenance, "model": HOSTILE}
    hostile = Recording.from_array(values, sites=recording.sites, provenance=provenance)
    folders = [runs / "a", runs / "b", runs / "other", hostile]
    path = tmp_path_factory.mktemp("comparison") / "page.html"
    td.compare_runs(folders, n_bootstrap=29).save(path)
    return path, json.loads(path.with_suffix(".json").read_text())


def cells(driver, selector):
    return driver.execute_script(
        "return [...document.querySelectorAll(arguments[0])].map("
        "row => [...row.children].map(cell => cell.innerText.trim()))",
        selector,
    )


def estimate(entry):
    numbers = [np.nan if each is None else each for each in (entry["value"], *entry["interval"])]
    return value_and_interval(numbers[0], (numbers[1], numbers[2]))


@pytest.mark.browser
def test_tables_show_the_numbers_of_the_json_file(driver, made):
    path, expected = made
    driver.get(path.as_uri())
    names = [run["name"] for run in expected["runs"]]
    assert names[-1] == HOSTILE
    heads = cells(driver, "#runs > tbody > tr")
    assert [row[0] for row in heads] == names
    assert [row[4:6] for row in heads] == [["7", "16"], ["11", "24"], ["7", "16"], ["7", "16"]]
    summary = cells(driver, "#summary > tbody > tr")
    for row, claim in zip(summary, expected["claims"], strict=True):
        assert row == [claim["id"], *(run["verdict"] for run in claim["runs"]), claim["statement"]]
    for claim in expected["claims"]:
        rows = cells(driver, f"#runs-of-{claim['id']} > tbody > tr")
        differences = [None, *claim["differences"]]
        for row, run, difference in zip(rows, claim["runs"], differences, strict=True):
            assert row[:2] == [run["run"], run["verdict"]]
            assert row[2] == (estimate(run) if run["value"] is not None else run["why"])
            if difference is None:
                assert row[3] == "reference"
            elif difference["value"] is None:
                assert row[3] == f"undefined: {difference['reason']}"
            else:
                assert row[3].split("\n")[0] == estimate(difference)
                assert difference["resampling"] in row[3]
    assert driver.title == "Comparison of 4 runs"
    assert driver.execute_script("return document.querySelectorAll('img').length") == 0
    refused = [each["reason"] for each in expected["similarity"] if each["reason"]]
    shown = [row.text for row in driver.find_elements("css selector", ".refused")]
    assert shown == [f"Not defined: {reason}" for reason in refused]
    assert len(refused) == 2


@pytest.mark.browser
def test_figures_show_the_curves_of_the_json_file(driver, made):
    path, expected = made
    driver.get(path.as_uri())
    n_figures = driver.execute_script("return document.querySelectorAll('.figure').length")
    assert n_figures == len(expected["profiles"]) + len(expected["claim_profiles"]) + 4
    for place in range(n_figures):
        wait_until(
            driver,
            lambda place=place: driver.execute_script(
                "const figure = document.querySelectorAll('.figure')[arguments[0]];"
                "figure.scrollIntoView(); return figure.dataset.drawn === 'yes'",
                place,
            ),
        )
    speed = next(each for each in expected["profiles"] if each["name"] == "paths.kinematics.speed")
    drawn = driver.execute_script(
        "const heading = document.getElementById('profile-paths.kinematics.speed');"
        "const node = heading.nextElementSibling.querySelector('.figure');"
        "return node.data.filter(trace => trace.showlegend !== false).map("
        "trace => [trace.name, Array.from(trace.x), Array.from(trace.y)])"
    )
    assert len(drawn) == len(speed["curves"]) == 4
    for (name, depth, values), curve in zip(drawn, speed["curves"], strict=True):
        assert name.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") == curve["run"]
        assert depth == pytest.approx(curve["relative_depth"], rel=1e-6)
        assert values == pytest.approx(curve["value"], rel=1e-6)
    assert errors_in(driver) == []
    assert foreign_requests(driver) <= {path.as_uri()}


def address_parts(driver):
    return driver.execute_script("return location.hash")[1:].split("&")


@pytest.mark.browser
def test_links_and_choices_are_kept_in_the_address(driver, made):
    path, expected = made
    driver.get(path.as_uri())
    changed = [
        len({run["verdict"] for run in claim["runs"] if run["verdict"] != "not tested"}) > 1
        for claim in expected["claims"]
    ]
    driver.find_element("id", "only-changed").click()
    driver.find_element("id", "theme").click()
    driver.find_element("css selector", "a[href='#similarity']").click()
    wanted = {"at=similarity", "changed=only", "theme=dark"}
    wait_until(driver, lambda: wanted == set(address_parts(driver)))
    fragment = driver.execute_script("return location.hash")
    driver.get("about:blank")
    driver.get(f"{path.as_uri()}{fragment}")
    shown = [claim.is_displayed() for claim in driver.find_elements("css selector", ".claim")]
    assert shown == changed
    theme = driver.execute_script("return document.documentElement.dataset.theme")
    assert theme == "dark"
    assert errors_in(driver) == []
