"""The panels in a run: results, provenance and the page."""

import json

import pytest

import tiny
from transformer_dynamics.experiment import Experiment, Settings
from transformer_dynamics.registry import PANELS
from transformer_dynamics.storage.results import load_result, saved_names

NOTE = "Bundled texts take the place of WikiText-2."


class Remembering:
    """Reporter that remembers the skipped stages."""

    def __init__(self, real):
        self.real, self.skips = real, []
        self.stage, self.refused = real.stage, real.refused

    def skipped(self, name):
        self.skips.append(name)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    out = tmp_path_factory.mktemp("paper") / "run"
    settings = Settings(seed=2, preset={"name": "paper", "note": NOTE})
    run = Experiment(tiny.model(), tiny.words(tiny.token_lists(14)), out, settings)
    run.paper()
    return run


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
def test_results_of_every_panel_lie_in_the_folder_and_on_the_page(finished):
    assert saved_names(finished.out / "results.zarr") == sorted(PANELS.all())
    for name in PANELS.all():
        assert load_result(finished.out / "results.zarr", name).attrs["measure"] == name
    page = (finished.out / "report.html").read_text()
    assert '<h2 id="paper">' in page
    assert "Not computed in this run" not in page
    assert "did not compute the panel" not in page
    assert NOTE in page
    places = [
        page.index(f'id="measure-{name}"')
        for name in ("paper.1B", "paper.1C", "paper.4D", "paper.table")
    ]
    assert places == sorted(places)
    for name in PANELS.all():
        assert f'id="measure-{name}"' in page
    table = page.split('<table id="paper-table">')[1].split("</table>")[0]
    assert ">nan" not in table
    assert "about 0.52" in table
    run = json.loads((finished.out / "run.json").read_text())
    assert run["preset"] == {"name": "paper", "note": NOTE}


def test_panels_that_are_done_are_not_made_again(finished):
    reporter = Remembering(finished.reporter)
    finished.reporter = reporter
    finished.paper()
    assert "paper" in reporter.skips
