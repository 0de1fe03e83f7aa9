"""Systems of a model and its untrained twins, of which one is in memory at a time."""

import gc
import weakref

import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.loading import Model
from transformer_dynamics.perturbation.systems import systems


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


def test_a_recording_of_another_model_is_refused(both):
    with pytest.raises(InputError, match="whole recording"):
        systems(tiny.model("gpt_neox"), both[0].recording)
