"""Systems of a model and its untrained twins, of which one is in memory at a time."""

import gc
import sys
import weakref

import numpy as np
import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.model import language_model
from transformer_dynamics.model.loading import Model
from transformer_dynamics.perturbation.jacobians import steps as steps_module
from transformer_dynamics.perturbation.jacobians.steps import step_jacobians, steps_of_text
from transformer_dynamics.perturbation.systems import systems
from transformer_dynamics.registry import PERTURBATIONS

systems_module = sys.modules["transformer_dynamics.perturbation.systems"]


@pytest.fixture(scope="module")
def trained():
    """A transformer of eight layers and two of its untrained twins."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**tiny.FULL, "num_hidden_layers": 8})
    hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in hf_model.parameters():
            if weight.dim() > 1:
                weight.mul_(4.0)
    model = Model(hf_model, tiny.tokenizer(), "tiny-deep")
    return systems(model, td.record(model, tiny.token_lists(12)), n_twins=2)


def test_weights_of_one_twin_at_a_time(trained):
    first = weakref.ref(trained[1].require_model().hf_model)
    assert trained[1].require_model().hf_model is first()
    trained[2].require_model()
    gc.collect()
    assert first() is None


def test_a_twin_recorded_before_is_the_only_one(trained):
    model, twin = trained[0].require_model(), trained[1].recording
    for made in ([twin], (twin,)):
        both = systems(model, trained[0].recording, twins=made)
        assert [each.name for each in both] == ["model", "untrained"]
        assert both[1].recording is twin


@pytest.fixture(scope="module")
def both():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(8))
    return systems(model, recording, n_twins=2)


def test_a_twin_that_is_made_again_has_the_same_sites_and_flow(trained, monkeypatch):
    first, second = trained[1:]
    text = int(first.recording.text_index[0])
    expected = first.flow(text)
    sites = first.require_model().found_sites
    second.require_model()
    monkeypatch.setattr(language_model, "find_sites", None)
    monkeypatch.setattr(language_model, "choose_strategy", None)
    assert first.require_model().found_sites is sites
    np.testing.assert_array_equal(first.flow(text).clean, expected.clean)


def test_flow_maps_of_the_model_stay_within_their_memory(trained, monkeypatch):
    model, twin, _ = trained
    texts = [int(text) for text in model.recording.text_index[:3]]
    flows = [model.flow(text) for text in texts]
    assert all(model.flow(text) is flow for text, flow in zip(texts, flows, strict=True))
    monkeypatch.setattr(systems_module, "FLOW_BYTES", flows[0].n_bytes)
    model.flow(texts[0])
    assert model.flow(texts[0]) is flows[0]
    assert model.flow(texts[1]) is not flows[1]
    assert twin.flow(texts[0]) is not twin.flow(texts[0])


def test_step_jacobians_of_a_text_are_computed_once(trained, monkeypatch):
    model, twin, further = trained
    text = int(model.recording.text_index[0])
    for system in (model, twin, further):
        expected = step_jacobians(system.flow(text))
        np.testing.assert_allclose(steps_of_text(system, text), expected, rtol=1e-4, atol=1e-5)
    assert not further.steps
    kept = steps_of_text(model, text)
    assert kept.dtype == np.float64
    monkeypatch.setattr(steps_module, "step_jacobians", None)
    np.testing.assert_array_equal(steps_of_text(model, text), kept)
    assert all(each.dtype == np.float32 for each in model.steps.values())


def test_weights_that_change_after_the_recording_are_refused():
    """Flow maps and Jacobians kept from an earlier perturbation would be those of other weights."""
    model = tiny.model()
    one = systems(model, td.record(model, tiny.token_lists(6)), n_twins=2)
    for perturbation in (td.perturbation.flow_field, td.perturbation.jacobians):
        perturbation(one, n_texts=2)
    with torch.no_grad():
        next(model.hf_model.model.layers[1].parameters()).mul_(1.5)
    for each in PERTURBATIONS.all().values():
        with pytest.raises(InputError, match="made with other weights"):
            each.function(one, n_texts=2)


def test_a_recording_of_another_model_is_refused(both):
    with pytest.raises(InputError, match="whole recording"):
        systems(tiny.model("gpt_neox"), both[0].recording)
