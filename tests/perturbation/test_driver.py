"""The loop over systems and texts: order, missing texts, progress."""

import numpy as np
import pytest
import xarray as xr

from known import N_TEXTS, contraction
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation.driver import chosen_texts, over_texts, texts_followed

SYSTEMS = [contraction(0.5), contraction(0.9, "untrained"), contraction(0.9, "untrained 1")]


def numbered(system):
    """Each text's number, times ten for a control of the first system."""

    def experiment(text):
        own = {system.name: xr.Dataset({"value": float(text)})}
        if system.name != "model":
            return own
        return own | {"control": xr.Dataset({"value": 10.0 * text, "other": 1.0})}

    return experiment


def test_results_are_stacked_by_system_and_text_with_nan_where_there_are_none():
    followed = {"model": [0, 2, 5], "untrained": [0, 2], "untrained 1": [0]}
    steps = []

    def note(*args):
        steps.append(args)

    result = over_texts(
        SYSTEMS,
        [0, 2, 5],
        numbered,
        followed=followed,
        on_progress=lambda *args: steps.append(args),
    )
    assert result["system"].values.tolist() == ["model", "control", "untrained", "untrained 1"]
    assert result["text"].values.tolist() == result["group"].values.tolist() == [0, 2, 5]
    expected = [[0, 2, 5], [0, 20, 50], [0, 2, np.nan], [0, np.nan, np.nan]]
    np.testing.assert_array_equal(result["value"], expected)
    assert result["other"].notnull().sum("sample").values.tolist() == [0, 3, 0, 0]
    assert steps == [(done, 6) for done in range(1, 7)]


def test_a_system_is_prepared_once_and_before_the_next_one():
    calls = []

    def prepare(system):
        calls.append(system.name)
        return lambda text: calls.append(text) or {system.name: xr.Dataset({"value": 0.0})}

    over_texts(SYSTEMS[:2], [1, 3], prepare)
    assert calls == ["model", 1, 3, "untrained", 1, 3]


def test_twins_share_as_many_texts_as_the_model_follows():
    counts = {name: len(texts) for name, texts in texts_followed(SYSTEMS, range(6)).items()}
    assert counts == {"model": 6, "untrained": 4, "untrained 1": 4}
    many = [SYSTEMS[0], *(contraction(0.9, f"untrained {number}") for number in range(5))]
    assert [len(texts) for texts in texts_followed(many, range(30)).values()] == [30, *[6] * 5]
    assert [len(texts) for texts in texts_followed(many, range(6)).values()] == [6, *[4] * 5]
    assert [len(texts) for texts in texts_followed(many, range(3)).values()] == [3] * 6


def test_texts_are_drawn_without_replacement_and_in_order():
    chosen = chosen_texts(SYSTEMS, 4, seed=1)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(N_TEXTS))
    assert chosen == chosen_texts(SYSTEMS[:1], 4, seed=1)
    with pytest.raises(InputError, match="holds 6 texts"):
        chosen_texts(SYSTEMS, 7, seed=0)
