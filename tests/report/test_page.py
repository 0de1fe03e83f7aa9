"""The page's text: what it holds, and what it escapes."""

import base64
import hashlib
import html
import json
import re

import numpy as np

import tiny
import transformer_dynamics as td
from transformer_dynamics.claims import Verdict
from transformer_dynamics.claims.verdict import NullComparison
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.report.figures import FigureCache
from transformer_dynamics.report.packing import packed_array
from transformer_dynamics.report.page import render_page

ISLANDS = re.compile(r'<script type="application/json" id="data-(figure-\d+)">(.*?)</script>')


def test_a_page_written_again_draws_only_what_changed(tmp_path):
    recording = td.synthetic.random_walk(n_samples=6, n_sites=8, n_units=4)
    figures = FigureCache()

    def ids(results):
        report = td.Report(figures=figures)
        for name, result in results.items():
            report.add(result, name=name)
        text = report.save(tmp_path / "page.html").read_text()
        drawn = [name for name, _ in ISLANDS.findall(text)]
        shown = re.findall(r'<div class="figure" id="(figure-\d+)"', text)
        assert sorted(drawn) == sorted(shown)
        return drawn

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
    head = page[page.index('id="facts"') : page.index('id="paper"')]
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
    islands = dict(ISLANDS.findall(path.read_text()))
    assert islands
    for island in islands.values():
        assert json.loads(island)
        assert "<" not in island


def test_the_content_policy_names_the_scripts_by_their_hashes(tmp_path):
    recording = td.synthetic.random_walk(n_samples=6, n_sites=8, n_units=4)
    text = td.Report(recording).add(td.paths.kinematics(recording)).save(tmp_path / "a.html")
    text = text.read_text()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    policy = html.unescape(policy)
    assert "unsafe-eval" not in policy
    assert "unsafe-inline" not in policy.split("script-src")[1].split(";")[0]
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy


def test_islands_of_a_view_are_written_as_they_are_given():
    page = render_page({}, [], None, {}, islands={"explore-a": packed_array([1, 2], "u1")})
    island = page.split('id="data-explore-a">')[1].split("</script>")[0]
    assert json.loads(island) == packed_array([1, 2], "u1")
