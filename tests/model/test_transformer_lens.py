"""TransformerLens reads the same stream, where its bridge knows the family.

Its bridge replaces modules of the model it is given and forces eager attention, so it gets a copy,
and ours is eager as well.
"""

import copy

import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.recording.record import record


@pytest.fixture(scope="module")
def builder():
    """The bridge; its import takes seconds, so that only the process of these tests imports it."""
    return pytest.importorskip("transformer_lens.model_bridge.sources._bridge_builder")


FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neo",
    "gpt_neox", "gptj", "phi", "phi3", "olmo", "olmo2", "olmo3", "stablelm", "mixtral", "bloom",
    "falcon", "opt",
)  # fmt: skip
HOOKS = {
    "pre_attn": "blocks.{}.hook_resid_pre", "pre_mlp": "blocks.{}.hook_resid_mid",
}  # fmt: skip


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bridge_reads_the_same_states(family, builder):
    hf_model = tiny.hf_model(family)
    hf_model.set_attn_implementation("eager")
    tokens = tiny.token_lists(3)[1]
    recording = record(td.load_model(copy.deepcopy(hf_model)), [tokens], "all")
    with torch.inference_mode():
        hidden = hf_model(torch.tensor([tokens]), output_hidden_states=True).hidden_states
    bridge = builder.build_bridge_from_module(
        hf_model, type(hf_model).__name__, hf_config=hf_model.config
    )
    _, cache = bridge.run_with_cache(torch.tensor([tokens]))
    compared = 0
    for place, label in enumerate(recording.sites[:-1]):
        layer, _, kind = label.partition(".")
        name = HOOKS[kind].format(layer)
        if name not in cache:
            continue
        ours = torch.tensor(recording.values[:, place])
        theirs = cache[name].reshape(ours.shape)
        if kind == "pre_attn":
            assert off(ours, hidden[int(layer)].reshape(ours.shape)) < 1e-5
        assert off(ours, theirs) < 1e-5, f"{label}: the states here equal hidden_states"
        compared += 1
    assert compared >= 3


@pytest.mark.parametrize("family", ["gpt2", "gpt_neox", "gemma2"])
def test_a_whole_cache_is_the_recording(family, builder):
    hf_model = tiny.hf_model(family)
    hf_model.set_attn_implementation("eager")
    tokens = tiny.token_lists(3)[1]
    recording = record(td.load_model(copy.deepcopy(hf_model)), [tokens], "all")
    bridge = builder.build_bridge_from_module(
        hf_model, type(hf_model).__name__, hf_config=hf_model.config
    )
    _, cache = bridge.run_with_cache(torch.tensor([tokens]))
    captured = td.Recording.from_activations(cache, positions="all")
    assert captured.sites == recording.sites
    assert (
        off(torch.tensor(captured.values).flatten(1), torch.tensor(recording.values).flatten(1))
        < 1e-5
    )


def off(ours, theirs):
    return ((ours - theirs).norm(dim=1) / theirs.norm(dim=1)).max()
