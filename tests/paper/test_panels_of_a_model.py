"""Every panel of a tiny model: stamped, storable, drawable."""

import pytest

import looks
import stored
import tiny
import transformer_dynamics as td
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained
from transformer_dynamics.paper import paper_conditions
from transformer_dynamics.registry import PANELS

FIGURES = {"1": "BCDEFGH", "2": "AB", "3": "ABCD", "4": "ABCD"}


@pytest.fixture(scope="module")
def conditions():
    model = tiny.model()
    recording = td.record(model, tiny.words(tiny.token_lists(14)))
    controls = {
        "untrained": untrained(recording, model=model),
        "shuffled_tokens": shuffled_tokens(recording, model=model),
    }
    return paper_conditions(recording, controls, model=model)


def test_every_panel_of_the_paper_is_there():
    assert list(PANELS.all()) == [
        *(f"paper.{figure}{panel}" for figure, panels in FIGURES.items() for panel in panels),
        "paper.table",
    ]


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
@pytest.mark.parametrize("name", list(PANELS.all()))
def test_every_panel_is_stamped_storable_and_drawable(name, conditions, tmp_path):
    few = {"n_shuffles": 5, "n_draws": 3} if name == "paper.2B" else {}
    result = PANELS.get(name).function(conditions, **few)
    assert result.attrs["measure"] == name
    assert PANELS.get(name).reports
    for variable in result.data_vars.values():
        assert "units" in variable.attrs or variable.dtype.kind in "biO", variable.name
    stored.comes_back(result, tmp_path)
    assert result.td.drawings
    for drawing in result.td.drawings:
        looks.complete(drawing)
    if name not in ("paper.4D", "paper.table"):
        names = [each.name for each in conditions]
        assert result["condition"].values.tolist() == names
