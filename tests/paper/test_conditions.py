"""Conditions: the model, its controls, and their flow maps of the prompt."""

import numpy as np
import pytest
import xarray as xr

import tiny
import transformer_dynamics as td
from transformer_dynamics import synthetic
from transformer_dynamics.nulls.reruns import shuffled_tokens, untrained
from transformer_dynamics.paper import paper_conditions
from transformer_dynamics.paper.panels.kinematics import panel_1f
from transformer_dynamics.paper.teleport import PROMPT


@pytest.fixture(scope="module")
def conditions():
    model = tiny.model()
    recording = td.record(model, tiny.words(tiny.token_lists(14)))
    controls = {
        "untrained": untrained(recording, model=model),
        "shuffled_tokens": shuffled_tokens(recording, model=model),
    }
    return paper_conditions(recording, controls, model=model)


def test_conditions_are_the_model_and_its_controls_and_all_with_weights_have_the_prompt(conditions):
    assert [each.name for each in conditions] == [
        "model",
        "shuffled_tokens",
        "untrained",
        "random_walk",
    ]
    assert [each.flow is not None for each in conditions] == [True, True, True, False]
    ids = tiny.tokenizer()(PROMPT)["input_ids"]
    clean = td.record(tiny.model(), [ids]).values[0]
    np.testing.assert_allclose(conditions[0].flow.clean, clean, rtol=1e-4, atol=1e-4)


def test_random_walk_is_one_of_the_conditions_without_a_model():
    recording = synthetic.random_walk(n_samples=5, n_sites=6, n_units=4)
    names = [each.name for each in paper_conditions(recording)]
    assert names == ["model", "random_walk"]
    assert isinstance(panel_1f(paper_conditions(recording)), xr.Dataset)
