"""Legends, findings in plain words, panels of the paper and BibTeX of the page."""

import re

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.claims import Verdict
from transformer_dynamics.claims.verdict import NullComparison
from transformer_dynamics.plots.backend import Lines, Paths, Series
from transformer_dynamics.plots.backend.paths import Path
from transformer_dynamics.registry import (
    CLAIMS,
    COMPARISONS,
    MEASURES,
    PANELS,
    PERTURBATIONS,
    entry_of,
)
from transformer_dynamics.report.content.bibtex import bibtex
from transformer_dynamics.report.content.findings import finding
from transformer_dynamics.report.content.legend import legend_of
from transformer_dynamics.report.content.panels import TABLE, other_claims, paper_figures
from transformer_dynamics.report.references import references

X = np.arange(4.0)
WORDS = {"title": "t", "x_label": "x", "y_label": "y"}


def verdict(outcome, nulls=(), id="C1"):
    compared = {name: NullComparison(0, 1, p, 1, decides=decides) for name, p, decides in nulls}
    return Verdict(id, "It is so.", "number (1)", 1.0, (0, 2), compared, outcome, "", xr.Dataset())


def test_an_entry_of_a_legend_has_its_line_and_its_band():
    series = [
        Series(name="model <a>", x=X, y=X, low=X - 1, high=X + 1),
        Series(name="random walk", x=X, y=X, role="null", hidden=True),
    ]
    first, second = legend_of(Lines(series=series, **WORDS).specification())
    assert first["name"] == "model <a>"
    assert (first["traces"], first["role"], first["hidden"]) == ([0, 1], "model", False)
    assert (second["traces"], second["role"], second["hidden"]) == ([2], "null", True)
    assert (first["dash"], second["dash"]) == ("solid", "dash")


def test_clouds_are_points_in_the_legend():
    cloud = Paths(paths=[Path(name="texts", points=np.eye(2))], markers=True, **WORDS)
    (entry,) = legend_of(cloud.specification())
    assert entry["dash"] == "points"


def test_a_band_is_outlined_where_it_is_defined():
    low = np.array([0.0, 1.0, np.nan, 3.0])
    line = Series(name="model", x=X, y=X, low=low, high=low + 2)
    band = Lines(series=[line], **WORDS).traces()[0]
    np.testing.assert_array_equal(band["x"], [0, 1, 1, 0, np.nan, 3, 3])
    np.testing.assert_array_equal(band["y"], [2, 3, 1, 0, np.nan, 5, 3])


@pytest.mark.parametrize(
    ("outcome", "nulls", "words"),
    [
        ("supported", [("random_walk", 0.01, True)], "beyond every null model"),
        (
            "reproduced, not beyond null",
            [("random_walk", 0.5, True), ("untrained", 0.2, True), ("permuted_units", 1, False)],
            "but the random walk and the untrained network show it as strongly.",
        ),
        ("reproduced, not beyond null", [("random_walk", 0.04, True)], "all claims are counted"),
        ("not reproduced", [], "does not hold"),
        ("undecided", [], "do not decide it"),
    ],
)
def test_a_finding_says_in_plain_words_what_the_verdict_is(outcome, nulls, words):
    assert words in finding(verdict(outcome, nulls))


def test_panels_name_claims_and_results_that_are_registered():
    for panel in PANELS.all().values():
        assert set(panel.claims) <= set(CLAIMS.all())
        for reference in panel.stand_ins:
            name, _, index = reference.partition("#")
            assert index.isdecimal()
            assert name in CLAIMS.all() or entry_of(name)


def entry(name, n_figures):
    return {"name": name, "figures": [f"{name} {index}" for index in range(n_figures)]}


def test_figures_of_the_paper_stand_in_its_order():
    claim = {"verdict": verdict("supported", id="C4"), "figures": ["of C4"]}
    row = {"panel": "1E", "quantity": "cosine"}
    panels = {"paper.1E": entry("paper.1E", 2), TABLE: {"rows": [row]}}
    others = {"paths.kinematics": entry("paths.kinematics", 3)}
    figures = paper_figures(panels, {"C4": claim}, others)
    assert [figure["number"] for figure in figures] == ["1", "2", "3", "4"]
    shown = {panel["id"]: panel for figure in figures for panel in figure["panels"]}
    assert list(shown) == [name.partition(".")[2] for name in PANELS.all() if name != TABLE]
    assert shown["1E"]["figures"] == ["paper.1E 0", "paper.1E 1"]
    assert shown["1E"]["stands_in"] is None
    assert shown["1E"]["rows"] == [row]
    assert shown["1E"]["of"] == [claim]
    assert shown["1F"]["stands_in"] == "paths.kinematics"
    assert shown["1F"]["figures"] == ["paths.kinematics 0"]
    assert shown["3A"]["figures"] == []
    rest = {"verdict": verdict("undecided", id="C9")}
    assert other_claims(figures, [claim, rest]) == [rest]


def test_bibtex_has_an_entry_for_every_reference():
    works = references(
        [
            ("a", "a", "arXiv 2502.12131: something"),
            ("b", "b", "Facco et al. 2017"),
            ("c", "c", "Treves & Rolls 1991"),
        ]
    )
    text = bibtex(works, "0.1.0")
    keys = re.findall(r"^@(\w+)\{([\w-]+),$", text, re.MULTILINE)
    assert ("software", "transformer-dynamics") in keys
    assert ("misc", "fernando2025") in keys
    assert ("article", "treves1991") in keys
    assert len(keys) == len(works) + 1
    assert len({key for _, key in keys}) == len(keys)
    assert text.count("{") == text.count("}")
    assert "author = {Treves, Alessandro and Rolls, Edmund T.}" in text


def test_every_work_that_the_registry_cites_has_authors_and_a_title():
    registries = (MEASURES, PERTURBATIONS, COMPARISONS, PANELS, CLAIMS)
    entries = [item for registry in registries for item in registry.all().items()]
    works = references((name, name, entry.source) for name, entry in entries)
    for work in works:
        (entry,) = bibtex([work], "0.1.0").split("\n\n")[1:]
        for field in ("author", "title", "year"):
            assert re.search(rf"^  {field} = {{.+}},$", entry, re.MULTILINE), entry
        assert ("eprint" in entry) == bool(work.url)


def test_a_work_outside_the_catalog_keeps_its_text():
    works = references([("a", "a", "arXiv 9901.00001; Doe and Roe (1999)")])
    text = bibtex(works, "0.1.0")
    assert "@misc{arxiv9901.00001," in text
    assert "author = {Doe and Roe}" in text
