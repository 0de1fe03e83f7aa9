"""The logit lens: a head whose answer is known, and the model's own prediction at the end."""

import numpy as np
import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.perturbation.lens import N_TWIN_TEXTS, logit_lens
from transformer_dynamics.perturbation.systems import System
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import PERTURBATIONS
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

NAME = "perturbation.logit_lens"


class Headed(LinearFlowMap):
    """A linear flow whose final state is the logits."""

    def _log_probabilities(self, states, start):
        logits = self._advance(states, start, self.sites[-1], self.sites[-1:])[:, 0]
        return logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))


class Predicting(System):
    predicts = True


def test_the_lens_of_a_known_head():
    """States are read as logits without the steps between: softmax of the state itself."""
    firsts = np.random.default_rng(0).standard_normal((4, 3))
    flows = [Headed([2 * np.eye(3), np.diag([1.0, -1.0, 1.0])], first=first) for first in firsts]
    states = np.stack([flow.clean for flow in flows])
    recording = Recording.from_array(states, sites=flows[0].sites)
    result = logit_lens([Predicting("model", recording, flows.__getitem__)], n_texts=4, n_ranks=9)
    softmax = np.exp(states) / np.exp(states).sum(axis=2, keepdims=True)
    order = np.argsort(-states, axis=2)
    found = result.sel(system="model")
    np.testing.assert_array_equal(found["token_id"], order)
    np.testing.assert_allclose(found["probability"], np.take_along_axis(softmax, order, 2))
    final = softmax[:, -1:]
    kl = (final * np.log(final / softmax)).sum(axis=2)
    np.testing.assert_allclose(found["kl"], kl, atol=1e-12)
    np.testing.assert_array_equal(found["agreement"], order[:, :, 0] == order[:, -1:, 0])
    assert found["token"].values[0, 0, 0] == str(order[0, 0, 0])


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "olmo2", "cohere"])
def test_at_the_final_site_it_is_the_models_own_prediction(family):
    model = tiny.model(family)
    lists = tiny.token_lists(5)
    pair = td.perturbation.systems(model, td.record(model, lists), n_twins=1)
    result = logit_lens(pair, n_texts=5, n_ranks=4).sel(system="model")
    for row, ids in enumerate(lists):
        with torch.no_grad():
            logits = model.hf_model(input_ids=torch.tensor([ids])).logits[0, -1].double()
        own = torch.softmax(logits, -1).sort(descending=True)
        last = result.isel(sample=row, site=-1)
        np.testing.assert_array_equal(last["token_id"], own.indices[:4])
        np.testing.assert_allclose(last["probability"], own.values[:4], rtol=1e-4)
        assert last["token"].values.tolist() == [
            model.tokenizer.decode([i]) for i in own.indices[:4]
        ]
    np.testing.assert_allclose(result["kl"].isel(site=-1), 0, atol=1e-12)
    assert (result["agreement"].isel(site=-1) == 1).all()
    assert (result["kl"].isel(site=0) > 1e-5).all()


@pytest.fixture(scope="module")
def pair():
    model = tiny.model()
    return td.perturbation.systems(model, td.record(model, tiny.token_lists(8)), n_twins=2)


def test_the_first_twin_is_decoded_in_a_few_texts(pair):
    result = logit_lens(pair, n_texts=8)
    assert result["system"].values.tolist() == ["model", "untrained"]
    twin = result.sel(system="untrained")
    np.testing.assert_array_equal(np.isfinite(twin["kl"]).all("site"), np.arange(8) < N_TWIN_TEXTS)
    assert (twin["token_id"][N_TWIN_TEXTS:] == -1).all()
    assert set(twin["token"][N_TWIN_TEXTS:].values.ravel()) == {""}
    names = dict(zip(result["input_id"].values, result["input_token"].values, strict=True))
    assert names[pair[0].tokens(0)[0]] == f"w{pair[0].tokens(0)[0]}"
    assert logit_lens(pair, n_texts=8).identical(result)


def test_states_of_16_bits_are_computed_again(pair):
    model = pair[0].require_model()
    lists = tiny.token_lists(3)
    half = td.record(model, lists, options=RecordingOptions(storage="float16"))
    exact = td.record(model, lists)
    results = [
        logit_lens(td.perturbation.systems(model, each, n_twins=1), n_texts=3)
        for each in (half, exact)
    ]
    np.testing.assert_allclose(results[0]["kl"], results[1]["kl"], rtol=1e-4, atol=1e-6)


def test_it_does_not_perturb_and_reads_its_own_number_of_texts():
    entry = PERTURBATIONS.get(NAME)
    assert entry.n_followed(2) == entry.n_followed(None) == entry.n_texts
    assert PERTURBATIONS.get("perturbation.teleport").n_followed(2) == 2


def test_errors_name_the_call_that_works(pair):
    with pytest.raises(InputError, match="n_ranks=5"):
        logit_lens(pair, n_ranks=0)
    torch.manual_seed(0)
    headless = transformers.AutoModel.from_config(tiny.config("llama")).eval()
    model = Model(headless, tiny.tokenizer(), "tiny-headless")
    recording = td.record(model, tiny.token_lists(3))
    with pytest.raises(InputError, match="'tiny-headless' has no head"):
        logit_lens(td.perturbation.systems(model, recording, n_twins=1), n_texts=2)
