"""Layers left out, swapped, turned, moved: against a model built without them."""

import copy

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.model import layer_edits
from transformer_dynamics.model.layer_edits import LayerEdits
from transformer_dynamics.nulls.layer_updates import moved_displacement, turned_updates
from transformer_dynamics.perturbation import skip_and_swap
from transformer_dynamics.perturbation.layers import SHOWN_TEXTS

FAMILIES = ("llama", "gpt2", "gpt_neox", "gemma2", "olmo2", "mixtral")
TOKENS = tiny.token_lists(1)[0]


def logits(hf_model):
    with torch.no_grad():
        output = hf_model(input_ids=tiny.tokens([TOKENS]), use_cache=False).logits[0]
    return torch.log_softmax(output.float(), -1).cpu().numpy()


def edits_of(family):
    model = tiny.model(family)
    return model, LayerEdits(model.hf_model, model.found_sites, TOKENS)


def layers_of(hf_model):
    for name, module in hf_model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and name.split(".")[-1] in ("layers", "h"):
            return module
    raise AssertionError


@pytest.mark.parametrize("family", FAMILIES)
def test_skipping_equals_a_model_without_the_layer(family):
    model, edits = edits_of(family)
    np.testing.assert_allclose(edits.clean.cpu(), logits(model.hf_model), atol=1e-5)
    n_layers = edits.n_layers
    for layer in (0, n_layers - 1):
        other = copy.deepcopy(model.hf_model)
        layers = layers_of(other)
        # An empty layer in its place: types of layers stay as the configuration has them.
        layers[layer].forward = lambda *args, **kwargs: args[0] if args else kwargs["hidden_states"]
        np.testing.assert_allclose(edits.skip(layer).cpu(), logits(other), atol=2e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox"])
def test_swapping_equals_a_model_in_that_order(family):
    model, edits = edits_of(family)
    other = copy.deepcopy(model.hf_model)
    layers = layers_of(other)
    layers[0], layers[1] = layers[1], layers[0]
    np.testing.assert_allclose(edits.swap(0).cpu(), logits(other), atol=2e-5)
    assert not np.allclose(edits.swap(0).cpu(), edits.clean.cpu(), atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_edits_that_run_together_have_the_predictions_of_each_alone(family, monkeypatch):
    _, edits = edits_of(family)
    n_layers, update = edits.n_layers, 2 * edits.update(1)
    alone = [
        edits.skip(n_layers - 1).cpu(),
        edits.swap(0).cpu(),
        edits.skip(0).cpu(),
        edits.replace(1, update).cpu(),
    ]
    made = [edits.skipped(n_layers - 1), edits.swapped(0), edits.skipped(0)]
    made.append(edits.replaced(1, update))
    for most in (1000, 1):
        monkeypatch.setattr(layer_edits, "TOKENS_PER_PASS", most)
        together = dict(edits.log_probabilities(made))
        assert sorted(together) == [0, 1, 2, 3]
        for index, expected in enumerate(alone):
            np.testing.assert_allclose(together[index].cpu(), expected, atol=2e-5)


def test_the_updates_own_place_changes_nothing():
    _, edits = edits_of("llama")
    np.testing.assert_allclose(
        edits.replace(1, edits.update(1)).cpu(), edits.clean.cpu(), atol=1e-5
    )
    np.testing.assert_allclose(
        edits.replace(1, 0 * edits.update(1)).cpu(), edits.skip(1).cpu(), atol=1e-5
    )


def test_turned_updates_keep_their_lengths():
    updates = np.random.default_rng(0).standard_normal((5, 7))
    turned = turned_updates(updates, seed=1)
    lengths = [np.linalg.norm(each, axis=1) for each in (updates, turned)]
    np.testing.assert_allclose(lengths[0], lengths[1])
    assert not np.allclose(updates, turned)


def test_the_model_is_as_before():
    model = tiny.model()
    before = {name: weight.clone() for name, weight in model.hf_model.state_dict().items()}
    own = [dict(layer.__dict__) for layer in layers_of(model.hf_model)]
    edits = LayerEdits(model.hf_model, model.found_sites, TOKENS)
    edits.swap(0)
    with pytest.raises(IndexError):
        edits.skip(edits.n_layers)
    for name, weight in model.hf_model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert [dict(layer.__dict__).keys() for layer in layers_of(model.hf_model)] == [
        each.keys() for each in own
    ]


def test_agreement_and_divergence_by_hand():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(5))
    pair = td.perturbation.systems(model, recording, n_twins=1)
    result = skip_and_swap(pair, n_texts=2, n_tokens=6)
    text = int(result["text"][0])
    edits = LayerEdits(model.hf_model, model.found_sites, pair[0].tokens(text)[:6])
    clean, changed = (each.double().cpu().numpy() for each in (edits.clean, edits.skip(1)))
    found = result.sel(system="model", edit="skip", layer=1).isel(sample=0)
    assert float(found["agreement"]) == (clean.argmax(1) == changed.argmax(1)).mean()
    divergence = (np.exp(clean) * (clean - changed)).sum(axis=1).mean()
    assert float(found["kl"]) == pytest.approx(divergence, rel=1e-5)
    assert np.isnan(result["kl"].sel(edit="swap").values[..., -1]).all()
    assert result["edit"].values.tolist() == ["skip", "swap", "turned", "moved"]
    # The text's own seed and the layer's number decide the direction.
    moved = (
        edits.replace(1, moved_displacement(edits.update(1), seed=text + 1)).cpu().double().numpy()
    )
    found = result.sel(system="model", edit="moved", layer=1).isel(sample=0)
    assert float(found["agreement"]) == (clean.argmax(1) == moved.argmax(1)).mean()
    assert not np.allclose(moved, changed, atol=1e-3)
    for drawing in result.td.drawings:
        assert drawing.figure().data
        assert any(series.name == "model, moved" for series in drawing.series)


def test_what_no_claim_compares_is_made_in_the_first_texts():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(SHOWN_TEXTS + 2))
    pair = td.perturbation.systems(model, recording, n_twins=1)
    result = skip_and_swap(pair, n_texts=SHOWN_TEXTS + 2, n_tokens=6)
    shown, others = result.isel(sample=slice(SHOWN_TEXTS)), result.isel(sample=slice(-2, None))
    assert shown["agreement"].isel(layer=0).notnull().all()
    of_model = others["agreement"].sel(system="model")
    assert of_model.sel(edit=["skip", "moved"]).notnull().all()
    assert others["kl"].sel(edit=["swap", "turned"]).isnull().all()
    of_twin = others["kl"].sel(system="untrained")
    assert of_twin.sel(edit="skip").notnull().all()
    assert of_twin.sel(edit="moved").isnull().all()
    (verdict,) = td.evaluate_claims(
        recording, claims=["C11"], perturbed={"perturbation.skip_and_swap": result}
    )
    assert np.isfinite(verdict.nulls["turned_updates"].p)
    for drawing in result.td.drawings:
        assert all(np.isfinite(series.y).all() for series in drawing.series)


def test_further_twins_are_skipped_alone():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(5))
    result = skip_and_swap(
        td.perturbation.systems(model, recording, n_twins=2), n_texts=2, n_tokens=6
    )
    further = result.sel(system="untrained 1")
    assert further["agreement"].sel(edit="skip").notnull().all()
    assert further["kl"].sel(edit=["swap", "turned", "moved"]).isnull().all()
    assert result["kl"].sel(system="untrained", edit="moved").notnull().all()


def test_what_cannot_be_edited_is_refused():
    _, edits = edits_of("llama")
    with pytest.raises(InputError, match="with the next one"):
        edits.swap(edits.n_layers - 1)
    model = tiny.model()
    with pytest.raises(InputError, match="no tokens"):
        LayerEdits(model.hf_model, model.found_sites, [])
