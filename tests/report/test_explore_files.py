"""Files and Python of the figures of Explore: both hold the numbers that are drawn."""

import csv
import math
import re
from collections import defaultdict

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")
FRAGMENT = "view=explore&text=4&unit=3&site=1.pre_attn"
ACTIVATION = "activation (stream units)"
Y = {
    "trace": ACTIVATION,
    "portrait": "change (stream units per step)",
    "trajectory": "PC2 (stream units",
    "speed": "speed (stream units per step)",
    "cosine": "cosine (1)",
    "correlation": "Pearson correlation (1)",
    "information": "mutual information (nats)",
}
NULLS = {"random walk (null)", "untrained twin"}


def numbers(column):
    return np.array([float(value) if value else math.nan for value in column])


def rows_of(person, plot, folder):
    folder.mkdir()
    with person.save(plot, "csv", folder).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def column_of(rows, start):
    (name,) = [name for name in rows[0] if name.startswith(start)]
    return name


def figure_of(person, plot):
    """Figure that the lines under a plot make, executed in the folder of the run."""
    person.script(f"document.querySelector('[data-plot={plot}] details.python').open = true")
    person.rest()
    first, last = person.find(f"#code-explore-{plot}").text.split("\n")
    names = {}
    exec(first, names)
    assert last.endswith((".plot()", ".to_dataframe()"))
    if plot == "extremes":
        return eval(last, names)
    axes = eval(last, names)
    mpl.pyplot.close(axes.figure)
    return eval(last.removesuffix(".plot()"), names)


def check_against_python(person, plot, folder, start):
    """Every series of the file against the series of that name in the figure of Python."""
    rows = rows_of(person, plot, folder)
    series = defaultdict(list)
    for row in rows:
        series[row["series"]].append(row)
    drawn = {each.name: each for each in figure_of(person, plot).series}
    assert set(series) == set(drawn) - {"selected site"}
    y, scale = (
        column_of(rows, start),
        max(abs(numbers([row[column_of(rows, start)] for row in rows]))),
    )
    near = {"rtol": 1e-3, "atol": 1e-3 * np.nan_to_num(scale, nan=1.0)}  # float16 in the page
    for name, own in series.items():
        found, expected = numbers([row[y] for row in own]), drawn[name]
        is_gap = np.isnan(expected.x)
        np.testing.assert_allclose(found, expected.y[~is_gap], **near)
        if expected.low is not None:
            for edge in ("low", "high"):
                ends = numbers([row[column_of(rows, edge)] for row in own])
                np.testing.assert_allclose(ends, getattr(expected, edge), **near)
        assert all(row["drawn from"] for row in own)
        selected = [row for row in own if row["selected site"]]
        if name.startswith("selected"):
            marker = drawn["selected site"]
            assert [float(selected[0][y])] == pytest.approx(marker.y, rel=1e-3, abs=near["atol"])
    return rows


@pytest.mark.browser
@pytest.mark.parametrize("plot", Y)
def test_the_table_and_the_python_of_a_figure_agree(person, tmp_path, monkeypatch, plot):
    monkeypatch.chdir(person.out)
    person.open(FRAGMENT)
    rows = check_against_python(person, plot, tmp_path / "first", Y[plot])
    names = {row["series"].partition(":")[0] for row in rows}
    assert names >= NULLS
    if "unit" in rows[0] and plot in ("trace", "portrait"):
        assert {row["unit"] for row in rows} == {"3"}
    selected = [row for row in rows if row["series"] in ("selected text", "selected unit")]
    marked = [row["site"] for row in selected if row["selected site"] == "yes"]
    assert marked == ["1.pre_attn"]
    if "text" in rows[0]:
        assert {row["text"] for row in selected} == {"4"}
    person.click("input[name=walk]")
    rows = check_against_python(person, plot, tmp_path / "second", Y[plot])
    assert {row["series"].partition(":")[0] for row in rows} & NULLS == {"untrained twin"}


@pytest.mark.browser
def test_components_are_turned_alike_in_python(person, tmp_path, monkeypatch):
    monkeypatch.chdir(person.out)
    person.open(f"{FRAGMENT}&plane=3d&turn=-70,33")
    rows = check_against_python(person, "trajectory", tmp_path / "turned", "up (")
    assert "turned by -70° and 33°" in column_of(rows, "across")


@pytest.mark.browser
def test_decoded_tokens_and_extreme_texts(person, tmp_path, monkeypatch):
    monkeypatch.chdir(person.out)
    person.open(FRAGMENT)
    rows = rows_of(person, "lens", tmp_path / "lens")
    drawn = figure_of(person, "lens")
    found = numbers([row["probability (1)"] for row in rows]).reshape(drawn.values.T.shape)
    np.testing.assert_allclose(found, drawn.values.T, rtol=1e-3, atol=1e-6)
    lens = person.result("perturbation.logit_lens").sel(system="model")
    place = lens["text"].values.tolist().index(4)
    assert [row["token"] for row in rows] == lens["token"].values[place].ravel().tolist()
    rows = rows_of(person, "extremes", tmp_path / "extremes")
    listed = figure_of(person, "extremes").reset_index()
    assert [int(row["sample"]) for row in rows] == listed["sample"].tolist()
    assert [row["end"] for row in rows] == listed["end"].tolist()
    values = numbers([row[ACTIVATION] for row in rows])
    np.testing.assert_allclose(values, listed["value"], rtol=1e-3, atol=1e-3)


@pytest.mark.browser
def test_pictures_hold_title_legend_axes_and_marks(person, tmp_path):
    person.open(f"{FRAGMENT}&theme=dark")
    for name in ("svg", "png"):
        (tmp_path / name).mkdir()
    svg = person.save("trace", "svg", tmp_path / "svg").read_text(encoding="utf-8")
    for words in ("Trace of unit 3", ACTIVATION, "site (index)", "random walk (null)", "text 4: "):
        assert words in svg
    assert svg.count("<path") > 8
    assert 'fill="#12161c"' in svg
    assert "NaN" not in svg
    size = person.script("return document.querySelector('[data-plot=trace] .stage').clientWidth")
    path = person.save("trace", "png", tmp_path / "png")
    picture = mpl.pyplot.imread(path)
    assert picture.shape[1] == 2 * size
    dark = np.array([0x12, 0x16, 0x1C]) / 255
    np.testing.assert_allclose(picture[2, 2, :3], dark, atol=1 / 255)
    assert re.fullmatch(r"trace-of-unit-3", path.stem)


@pytest.mark.browser
def test_the_buttons_are_reached_by_keys_and_have_names(person):
    from selenium.webdriver import Keys

    person.open(FRAGMENT)
    person.script("document.querySelector('[data-plot=trace] [data-save=png]').focus()")
    before = person.selection
    person.driver.switch_to.active_element.send_keys(Keys.TAB)
    summary = person.driver.switch_to.active_element
    assert summary.accessible_name == "Python: Trace of unit 3"
    summary.send_keys(Keys.SPACE)
    person.rest()
    assert person.script("return document.querySelector('[data-plot=trace] details').open")
    assert person.selection == before
    named = person.script(
        "return [...document.querySelectorAll('#view-explore [data-save]')]"
        ".map(e => e.getAttribute('aria-label'))"
    )
    assert "CSV: Trace of unit 3" in named
    assert len(set(named)) == len(named) >= 22
