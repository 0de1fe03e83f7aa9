"""Activations captured by other tools, and what `td.Recording.from_activations` makes of them."""

from types import SimpleNamespace

import numpy as np
import torch
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqModelOutput

import transformer_dynamics as td
from handed_in.given import Given
from transformer_dynamics.errors import RecordingError

TITLE = "Activations captured elsewhere"

# The stream before each of three layers and after the last, (text, position, unit).
STREAM = np.random.default_rng(0).standard_normal((4, 2, 3, 5)).astype(np.float32)
TENSORS = tuple(torch.tensor(states) for states in STREAM)
LEFT = np.array([[0, 1, 1], [1, 1, 1]])
INPUTS = ("0.pre_attn", "1.pre_attn", "2.pre_attn")
PRE = {f"blocks.{layer}.hook_resid_pre": TENSORS[layer] for layer in range(3)}
POST = {f"blocks.{layer}.hook_resid_post": TENSORS[layer + 1] for layer in range(3)}


def holds(recording, sites, states=STREAM, positions=(-1,)):
    assert recording.sites == tuple(sites)
    expected = np.moveaxis(states[:, :, list(positions)], 0, 2).reshape(-1, len(sites), 5)
    np.testing.assert_array_equal(recording.values, expected)


def an_output(_):
    output = BaseModelOutput(last_hidden_state=TENSORS[3], hidden_states=TENSORS)
    holds(td.Recording.from_activations(output), INPUTS, STREAM[:3])


def a_list_with_its_kind(_):
    holds(td.Recording.from_activations(TENSORS, sites="hidden_states"), INPUTS, STREAM[:3])
    holds(td.Recording.from_activations(TENSORS, n_layers=3), INPUTS, STREAM[:3])
    whole = td.Recording.from_activations(TENSORS, n_layers=3, final="stream")
    holds(whole, (*INPUTS, "final"))


def block_outputs(_):
    recording = td.Recording.from_activations(TENSORS[1:], sites="block_outputs", final="stream")
    holds(recording, ("1.pre_attn", "2.pre_attn", "final"), STREAM[1:])


def a_cache(_):
    model = SimpleNamespace(cfg=SimpleNamespace(n_layers=3))
    cache = SimpleNamespace(model=model, cache_dict={**PRE, **POST, "hook_embed": TENSORS[0]})
    holds(td.Recording.from_activations(cache), (*INPUTS, "final"))


def bfloat16(_):
    states = torch.arange(30.0).reshape(2, 3, 5).bfloat16().requires_grad_()
    recording = td.Recording.from_activations({"0.pre_attn": states})
    holds(recording, ("0.pre_attn",), np.arange(30.0).reshape(1, 2, 3, 5))
    assert recording.values.dtype == np.float32


def left_padding(_):
    recording = td.Recording.from_activations(
        {"final": STREAM[3]}, mask=LEFT.astype(bool), positions="all"
    )
    np.testing.assert_array_equal(recording.values[:, 0], STREAM[3][LEFT.astype(bool)])
    assert recording.dataset["position"].values.tolist() == [0, 1, 0, 1, 2]


def provenance(_):
    given = {"seed": np.int64(3), "layers": {2, 1}}
    recording = td.Recording.from_activations({"final": STREAM[3]}, provenance=given)
    assert recording.provenance == {"source": "captured", "seed": 3, "layers": [1, 2]}


def refused(what, states, **arguments):
    return Given(
        what, "", lambda _: td.Recording.from_activations(states, **arguments), RecordingError
    )


CASES = [
    Given(
        "an output of transformers with `hidden_states`: `td.Recording.from_activations(output)`",
        "what enters each layer; the last entry is normed in nearly all families and left out",
        an_output,
    ),
    Given(
        "`output.hidden_states` with `sites='hidden_states'` or `n_layers=`",
        "the same; with `final='stream'` the last entry is the final stream",
        a_list_with_its_kind,
    ),
    refused("a list of arrays alone", list(STREAM)),
    refused(
        "as many arrays as layers, taken for hidden states",
        list(STREAM[1:]),
        sites="hidden_states",
        n_layers=3,
    ),
    Given(
        "the outputs of blocks, `sites='block_outputs', final='stream'`",
        "what leaves block i is what enters block i + 1, and the last is the final stream",
        block_outputs,
    ),
    refused(
        "an output of transformers run without `output_hidden_states`",
        BaseModelOutput(last_hidden_state=TENSORS[3], hidden_states=None),
        n_layers=3,
    ),
    refused(
        "an output of an encoder and a decoder",
        Seq2SeqModelOutput(encoder_hidden_states=TENSORS, decoder_hidden_states=TENSORS),
    ),
    Given(
        "TransformerLens's `ActivationCache`",
        "the stream at every site that it holds; `hook_resid_post` of the last layer is the final "
        "stream, and hooks that hold no stream are left out",
        a_cache,
    ),
    refused("a plain dictionary that ends with `hook_resid_post`", POST),
    refused(
        "two names of one site with different states",
        {**PRE, "blocks.0.hook_resid_post": TENSORS[0]},
    ),
    refused("a name of the stream that is not a block's", {**PRE, "hook_resid": TENSORS[0]}),
    refused("a dictionary from layer numbers", dict(enumerate(STREAM))),
    Given(
        "tensors in bfloat16 or float16, with gradients",
        "the same values in float32",
        bfloat16,
    ),
    refused("tensors on the meta device", {"0.pre_attn": torch.ones(2, 3, 5, device="meta")}),
    refused("a block's output that is a tuple", [(TENSORS[1], None)], sites=["1.pre_attn"]),
    refused("states with NaN", {"0.pre_attn": STREAM[0] * np.nan}),
    Given(
        "a mask of padding on the left, as numbers or true and false",
        "positions count from the first token of each text",
        left_padding,
    ),
    refused("an additive mask", {"final": STREAM[3]}, mask=np.where(LEFT, 0.0, -np.inf)),
    refused("token ids as floats", {"final": STREAM[3]}, tokens=np.ones((2, 3))),
    Given(
        "provenance with numpy's numbers, paths and sets",
        "the same as JSON holds it: numbers, text and lists",
        provenance,
    ),
    refused(
        "provenance with a torch dtype", {"final": STREAM[3]}, provenance={"dtype": torch.half}
    ),
]
