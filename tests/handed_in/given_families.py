"""Architectures: layers that are found, and those whose states come another way."""

import numpy as np
import torch
import transformers

import tiny
import transformer_dynamics as td
from handed_in.given import Given
from transformer_dynamics.errors import ModelError
from transformer_dynamics.recording.record import record

TITLE = "Architectures"
TEXTS = tiny.token_lists(6)
SMALL_XLNET = {"vocab_size": 64, "d_model": 16, "n_layer": 3, "n_head": 2, "d_inner": 32}


def _found(what, family, kind, happens, offset=0):
    """States in a batch of mixed lengths equal `hidden_states` of each text alone."""

    def check(_):
        model = tiny.model(family)
        assert {proof.kind for proof in model.found_sites.proofs} == {kind}
        _agrees(model, [site for site in model.sites if "pre_mlp" not in site][offset:], offset)

    return Given(what, happens, check)


def _agrees(model, sites, offset=0):
    recording = record(model, TEXTS, "all")
    for index, tokens in enumerate(TEXTS):
        with torch.inference_mode():
            hidden = model.trunk(
                input_ids=torch.tensor([tokens]), output_hidden_states=True
            ).hidden_states
        rows = recording.text_index == index
        for layer, site in enumerate(site for site in sites if site != "final"):
            states = recording.sel(sample=rows, site=[site]).values[:, 0]
            np.testing.assert_allclose(states, hidden[layer][0], rtol=1e-4, atol=1e-5)


def _without_sites(hf_model):
    return td.load_model(hf_model).sites


def _t5(_):
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, vocab_size=64
    )
    _without_sites(transformers.T5ForConditionalGeneration(config).eval())


def _albert(_):
    torch.manual_seed(0)
    return transformers.AlbertModel(transformers.AlbertConfig(**tiny.BERT, embedding_size=16))


def _xlnet(_):
    torch.manual_seed(0)
    return transformers.XLNetModel(transformers.XLNetConfig(**SMALL_XLNET)).eval()


def _captured(_):
    tokens = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    for hf_model in (_albert(_).eval(), _xlnet(_)):
        with torch.inference_mode():
            output = hf_model(input_ids=tokens, output_hidden_states=True)
        recording = td.Recording.from_activations(output, final="stream")
        assert recording.sites == ("0.pre_attn", "1.pre_attn", "2.pre_attn", "final")
        for site, states in enumerate(output.hidden_states):
            np.testing.assert_array_equal(recording.values[:, site], states[:, -1])


def _scaled():
    """Gemma 4 as trained: each layer multiplies the stream by a scalar at its end."""
    hf_model = tiny.hf_model("gemma4_text")
    for layer in hf_model.model.layers:
        layer.layer_scalar.fill_(0.5)
    return hf_model


def _by_hand(_):
    given = {f"{n}.pre_attn": f"layers.{n}:input" for n in range(3)}
    model = td.load_model(_scaled(), sites={**given, "final": "layers.2:output"})
    _agrees(model, model.sites)


CASES = [
    _found("a decoder, as Llama", "llama", "sequential", "two sites a layer"),
    _found(
        "attention and a state-space mixer in each layer, as Falcon-H1",
        "falcon_h1",
        "sequential",
        "two sites a layer; the first branch is the sum of both",
    ),
    _found(
        "layers of attention and of a state-space mixer, as Jamba",
        "jamba",
        "sequential",
        "two sites a layer",
    ),
    _found(
        "routed experts and a shared MLP, as GraniteMoeShared",
        "granitemoeshared",
        "sequential",
        "two sites a layer; the second branch is the sum of both",
    ),
    _found(
        "a per-layer input after the MLP, as Gemma 4 with layer scalars of 1",
        "gemma4_text",
        "sequential",
        "two sites a layer; the second branch is the MLP and the per-layer input",
    ),
    _found("an encoder, as BERT", "bert", "post-norm", "two sites a layer; padding is masked"),
    _found(
        "a decoder that normalizes the stream, as GPT-1",
        "openai-gpt",
        "post-norm",
        "two sites a layer; a step is more than what a branch adds",
    ),
    _found("a state-space model, as Mamba-2", "mamba2", "single", "one site a layer", offset=1),
    Given("an encoder-decoder, as T5", "", _t5, ModelError),
    Given(
        "layers that share one module, as ALBERT",
        "",
        lambda _: _without_sites(_albert(_)),
        ModelError,
    ),
    Given(
        "states of shape (position, text, unit), as XLNet",
        "",
        lambda _: _without_sites(_xlnet(_)),
        ModelError,
    ),
    Given(
        "`hidden_states` of ALBERT and XLNet",
        'taken by `td.Recording.from_activations(output, final="stream")`',
        _captured,
    ),
    Given(
        "Gemma 4 with trained layer scalars", "", lambda _: _without_sites(_scaled()), ModelError
    ),
    Given(
        "the same with `sites=` by hand",
        "the states of these sites; flow maps are refused",
        _by_hand,
    ),
]
