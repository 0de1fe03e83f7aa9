"""Figures of a run for print: files, captions, names, and nothing half written."""

import io
import shutil

import matplotlib.image
import numpy as np
import pytest

from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.experiment import figures, save_figures
from transformer_dynamics.experiment.figures import run_figures
from transformer_dynamics.plots.backend import (
    Heatmap,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Series,
)
from transformer_dynamics.plots.printed import FORMATS, WIDTH, print_drawing
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.storage.results import load_result


def names_in(folder):
    return sorted(path.name for path in folder.iterdir())


def test_every_figure_has_a_file_and_a_caption(runs, tmp_path):
    saved = save_figures(runs / "a", tmp_path, file_format="svg")
    drawn = run_figures(runs / "a")
    assert list(saved.paths) == [figure.name for figure in drawn]
    sources = {figure.source for figure in drawn}
    assert {"C1", "C11", "paths.kinematics", "similarity.between_recordings"} <= sources
    assert names_in(tmp_path) == sorted(["captions.md", *(f"{name}.svg" for name in saved.paths)])
    captions = saved.captions.read_text()
    parts = captions.split("\n## ")[1:]
    assert [part.partition("\n")[0] for part in parts] == list(saved.paths)
    for part in parts:
        assert "N = " in part
        assert "Interval: " in part
        assert "Null model" in part
    for path in saved.paths.values():
        assert path.read_text().startswith("<?xml")


def test_captions_of_claims_name_what_is_drawn(runs):
    by_name = {figure.name: figure for figure in run_figures(runs / "a")}
    assert "N = 12 samples. Interval: 95 % bootstrap over texts" in by_name["C1-1"].caption
    assert "Null models: permuted units, random walk, untrained." in by_name["C1-1"].caption
    assert "Interval: none. Null models: random walk, untrained." in by_name["C1-2"].caption
    assert "shuffled tokens." in by_name["C1-3"].caption
    assert "N = 4 samples." in by_name["C11-1"].caption


def test_only_some_figures(tdyn, runs, tmp_path):
    run = tmp_path / "a"
    shutil.copytree(runs / "a", run)
    status, text, _ = tdyn("figures", run, "--only", "C4,paths.kinematics-2", "--format", "png")
    assert status == 0
    names = [f"C4-{number}.png" for number in (1, 2)]
    assert names_in(run / "figures") == [*names, "captions.md", "paths.kinematics-2.png"]
    assert "3 figures" in text


def test_pdf_comes_with_captions_for_latex(runs, tmp_path):
    save_figures(runs / "a", tmp_path, only=["C3"])
    assert names_in(tmp_path) == ["C3-1.pdf", "C3-2.pdf", "captions.md", "captions.tex"]
    assert (tmp_path / "C3-1.pdf").read_bytes().startswith(b"%PDF")
    text = (tmp_path / "captions.tex").read_text()
    assert text.count(r"\includegraphics{C3-") == 2
    assert r"95 \% bootstrap" in text
    assert text.isascii()


def test_other_names_and_formats_are_refused(tdyn, runs, tmp_path):
    status, _, error = tdyn("figures", runs / "a", "--only", "C99", "--out", tmp_path / "made")
    assert status == 1
    assert "there is no figure 'C99'; there are: C1 (-1 to -3), C2 (-1 to -2)" in error
    assert not (tmp_path / "made").exists()
    with pytest.raises(InputError, match="got the format 'gif'; figures are written as pdf, svg"):
        save_figures(runs / "a", tmp_path / "made", file_format="gif")
    with pytest.raises(TdynError, match="there is no run in"):
        save_figures(tmp_path / "none")


def test_a_failure_leaves_the_earlier_figures(runs, tmp_path, monkeypatch):
    save_figures(runs / "a", tmp_path, only=["C3"], file_format="svg")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    calls = []

    def fails(drawing, path, file_format):
        calls.append(path)
        path.write_text("other")
        if len(calls) == 2:
            raise OSError("disk full")

    monkeypatch.setattr(figures, "print_drawing", fails)
    with pytest.raises(OSError, match="disk full"):
        save_figures(runs / "a", tmp_path, only=["C3"], file_format="svg")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


LABELS = {"title": "title", "x_label": "x (1)", "y_label": "a long label of the axis " * 4}
POINTS = np.random.default_rng(0).standard_normal((9, 3))
DRAWINGS = {
    "lines": Lines(
        **LABELS,
        series=[Series(name=f"series {n}", x=np.arange(9), y=POINTS[:, n]) for n in range(3)],
    ),
    "heatmap": Heatmap(
        **LABELS, color_label="a long label of the colors " * 4, values=np.eye(40),
        x_names=[f"{n}.pre_attn" for n in range(40)],
    ),
    "space": Paths(**LABELS, z_label="PC3 (1)", paths=[Path(name="path", points=POINTS)]),
    "intervals": Intervals(
        title="t", x_label="x (1)",
        intervals=[Interval(name=f"a long name {n}", value=n, low=n - 1, high=n) for n in range(9)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
@pytest.mark.parametrize("file_format", FORMATS)
def test_the_same_drawing_gives_the_same_bytes(drawing, file_format, tmp_path):
    paths = [tmp_path / f"{number}.{file_format}" for number in range(2)]
    for path in paths:
        print_drawing(drawing, path, file_format)
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("drawing", DRAWINGS.values(), ids=DRAWINGS)
def test_nothing_is_cut_at_the_edge(drawing, tmp_path):
    print_drawing(drawing, tmp_path / "a.png", "png")
    pixels = matplotlib.image.imread(io.BytesIO((tmp_path / "a.png").read_bytes()))[..., :3]
    assert pixels.shape[1] == round(300 * WIDTH)
    edges = [pixels[:3], pixels[-3:], pixels[:, :3].swapaxes(0, 1), pixels[:, -3:].swapaxes(0, 1)]
    assert all((edge == 1.0).all() for edge in edges)


def test_a_claim_is_printed_as_its_evidence_says(runs):
    evidence = load_result(runs / "a" / "results.zarr", "claims/C4")
    drawing = CLAIMS.get("C4").drawings(evidence)[0]
    figure = {each.name: each for each in run_figures(runs / "a")}["C4-1"]
    assert figure.drawing.series[0].y.tolist() == drawing.series[0].y.tolist()
    assert figure.sentences.startswith(f"{drawing.title}. {drawing.caption}")


def test_report_opens_the_page(tdyn, runs, tmp_path, monkeypatch):
    import webbrowser

    shutil.copytree(runs / "a", tmp_path / "a")
    opened = []
    monkeypatch.setattr(webbrowser, "open", lambda url: opened.append(url) or len(opened) == 1)
    page = (tmp_path / "a" / "report.html").resolve()
    status, _, error = tdyn("report", tmp_path / "a", "--open")
    assert (status, opened) == (0, [page.as_uri()])
    assert "no browser" not in error
    status, _, error = tdyn("report", tmp_path / "a", "--open")
    assert status == 0
    assert f"no browser was found; open this file in one: {page}" in error
