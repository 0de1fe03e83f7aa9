"""The table "paper / here / null": known numbers, reasons instead of blanks."""

import re

import numpy as np
import pytest

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError
from transformer_dynamics.paper import Condition, paper_conditions, paper_table, table_rows
from transformer_dynamics.paper.statistics import kde_at
from transformer_dynamics.paper.variance_statistics import component_share
from transformer_dynamics.recording.recording import Recording

pytestmark = pytest.mark.filterwarnings(
    "ignore::transformer_dynamics.errors.UndefinedWarning",
)


@pytest.fixture(scope="module")
def walk():
    recording = synthetic.random_walk(n_samples=60, n_sites=64, n_units=24, seed=3)
    return paper_table(paper_conditions(recording), n_walks=2)


def row(table, quantity):
    (place,) = np.flatnonzero(table["quantity"].values == quantity)
    return table.isel(row=place)


def test_a_walk_has_the_numbers_of_a_walk(walk):
    assert float(row(walk, "r at the first step")["value"]) == pytest.approx(0.5**0.5, abs=0.05)
    assert float(row(walk, "speed, middle")["value"]) == pytest.approx(24**0.5, rel=0.05)
    late = float(row(walk, "cosine, 3/4 of depth")["value"])
    assert late == pytest.approx((48 / 49) ** 0.5, abs=0.01)
    turned = row(walk, "rotation count, signed mean")
    # The mean of walks is a walk, and its matched walk turns as it does.
    assert float(turned["value"]) == pytest.approx(-10.94, abs=1.2)
    assert float(turned["control"].sel(condition="random_walk")) == pytest.approx(-10.94, abs=1.2)
    assert float(row(walk, "rotation count, mean magnitude")["value"]) == -float(turned["value"])


def test_intervals_hold_linear_values(walk):
    for name in ("speed, first step", "cosine, first step", "variance of PC1"):
        each = row(walk, name)
        assert float(each["low"]) < float(each["value"]) < float(each["high"]), name


def test_every_cell_says_something_and_none_says_nan(walk):
    rows = table_rows(walk)
    assert len(rows) == walk.sizes["row"]
    for cells in rows:
        for name, cell in cells.items():
            assert cell, name
            assert not re.search(r"\bnan\b", cell.lower()), name
    assert {cells["untrained"] for cells in rows} == {"not recorded in this run"}
    teleport = [cells for cells in rows if cells["panel"] == "4D"]
    assert len(teleport) == 10
    assert {cells["random_walk"] for cells in teleport} == {"no flow map"}


def test_one_text_has_values_and_a_reason_instead_of_intervals():
    states = synthetic.random_walk(n_samples=12, n_sites=8, n_units=6).values
    recording = Recording.from_array(
        np.concatenate([states, states[:1]]), coords={"text": [0] * 6 + [1] * 6 + [2]}
    )
    table = paper_table([Condition("model", recording)])
    many = row(table, "speed, first step")
    assert many["why"].item() == ""
    single = Recording.from_array(states, coords={"text": [0] * 12})
    with pytest.raises(InputError, match="texts"):
        paper_table([Condition("model", single)])


def test_a_component_share_is_that_of_the_pooled_variance():
    generator = np.random.default_rng(0)
    states = generator.standard_normal((200, 5, 3)) * np.sqrt([6.0, 3.0, 1.0])
    condition = Condition("model", Recording.from_array(states))
    for place, share in enumerate((0.6, 0.3, 0.1)):
        value, low, high = component_share(place)(condition, True)
        assert value == pytest.approx(share, abs=0.05)
        assert low < value < high
        assert high - low < 0.15
    assert np.isnan(component_share(3)(condition, False)[0])


def test_the_jackknife_of_the_kernel_estimate_holds_its_value():
    recording = synthetic.random_walk(n_samples=80, n_sites=3, n_units=5)
    value, low, high = kde_at(0)(Condition("model", recording), True)
    assert low < value < high
    assert np.isnan(kde_at(0)(Condition("model", recording), False)[1:]).all()


def test_the_model_comes_first():
    recording = synthetic.random_walk(n_samples=5, n_sites=6, n_units=4)
    with pytest.raises(InputError, match=r"\['untrained'\].*paper_conditions"):
        paper_table([Condition("untrained", recording)])
