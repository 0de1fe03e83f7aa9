"""Sites are proved on real architectures, and refused where the residual identity fails."""

import functools

import numpy as np
import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.hooks import evaluating, reading
from transformer_dynamics.model.sites import find_sites
from transformer_dynamics.recording.record import record


@functools.cache
def model_of(family):
    """A model that several tests read, and none changes."""
    return tiny.model(family)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_states_equal_hidden_states_one_text_at_a_time(family):
    """Recorded in batches of mixed lengths, compared with one text at a time without padding."""
    model = model_of(family)
    texts = tiny.token_lists()
    recording = record(model, texts, "all")
    entries = [site for site in recording.sites if site.endswith(("pre_attn", "pre_block"))]
    if family in tiny.STATE_SPACE:
        entries = list(recording.sites[1:])
    assert len(entries) == 3
    for index, tokens in enumerate(texts):
        with torch.inference_mode():
            hidden = model.trunk(
                input_ids=tiny.tokens([tokens]), output_hidden_states=True, use_cache=False
            ).hidden_states
        rows = recording.text_index == index
        for layer, site in enumerate(entries):
            states = torch.tensor(recording.sel(sample=rows, site=[site]).values[:, 0])
            wanted = hidden[layer][0].cpu()
            error = (states - wanted).norm(dim=1) / wanted.norm(dim=1)
            assert error.max() < 1e-5, (family, site)


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_identity_holds_in_every_family_and_is_of_the_right_kind(family):
    proofs = model_of(family).found_sites.proofs
    kind = "sequential"
    if family in tiny.PARALLEL:
        kind = "parallel"
    elif family in tiny.SINGLE:
        kind = "single"
    elif family in {*tiny.POST_NORM, *tiny.ENCODERS} - {*tiny.PRE_NORM_ENCODERS}:
        kind = "post-norm"
    assert {proof.kind for proof in proofs} == {kind}
    assert max(proof.error for proof in proofs) < 1e-6


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_decoders_are_causal_and_encoders_are_not(family):
    sites = model_of(family).found_sites
    assert sites.causal == (family not in tiny.ENCODERS)
    assert sites.padding_error < 1e-6


def test_residual_multiplier_is_found():
    for proof in find_sites(tiny.hf_model("granite")).proofs:
        assert [branch.scales[0] for branch in proof.branches] == pytest.approx(
            [0.5, 0.5], abs=1e-5
        )


def test_text_tower_of_a_multimodal_model_is_found():
    text = {**tiny.FULL, "sliding_window": 4}
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Gemma3Config(
        text_config=text, vision_config=vision, mm_tokens_per_image=4
    )
    sites = find_sites(transformers.AutoModelForImageTextToText.from_config(config).eval())
    assert sites.sites[0].module == "language_model.layers.0"
    assert len(sites.sites) == 7


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sites_are_found_in_low_precision(dtype):
    for family in ("llama", "granite", "gpt_neox", "bloom"):
        assert (
            find_sites(tiny.hf_model(family).to(dtype)).labels
            == find_sites(tiny.hf_model(family)).labels
        )


def test_encoder_of_an_encoder_decoder_is_recorded_and_the_pair_refused():
    torch.manual_seed(0)
    config = transformers.T5Config(
        d_model=16, d_kv=8, d_ff=32, num_layers=3, num_heads=2, vocab_size=64
    )
    pair = transformers.T5ForConditionalGeneration(config).eval()
    with pytest.raises(ModelError, match=r"an encoder and a decoder.*get_encoder\(\)"):
        find_sites(pair)
    sites = find_sites(pair.get_encoder())
    assert len(sites.sites) == 7
    assert not sites.causal


def test_language_model_of_a_llava_is_found():
    torch.manual_seed(0)
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=transformers.LlamaConfig(**tiny.FULL), image_token_id=63
    )
    sites = find_sites(transformers.LlavaForConditionalGeneration(config).eval())
    assert sites.sites[0].module == "language_model.layers.0"
    assert len(sites.sites) == 7


NO_FINAL_NORM = {"opt-350m", "openai-gpt", *tiny.ENCODERS} - {*tiny.PRE_NORM_ENCODERS}


@pytest.mark.parametrize("family", sorted(set(tiny.FAMILIES) - NO_FINAL_NORM))
def test_final_site_is_what_enters_the_final_norm(family):
    """The final norm is the last module of the trunk that receives states and is no layer."""
    model = model_of(family)
    layers = model.found_sites.sites[-1].module
    stack = model.trunk.get_submodule(layers.rpartition(".")[0])
    inside = set(stack.modules())
    entering = {}
    hooks = [
        module.register_forward_pre_hook(
            lambda module, args: entering.__setitem__(module, args[0].clone())
        )
        for module in model.trunk.modules()
        if module not in inside and "Norm" in type(module).__name__
    ]
    recording = record(model, tiny.token_lists(1), "last")
    for hook in hooks:
        hook.remove()
    states = list(entering.values())[-1].reshape(-1, recording.shape[2])[-1].cpu()
    torch.testing.assert_close(torch.tensor(recording.values[0, -1]), states, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3", "gemma3_text", "gpt2"])
def test_mlp_branch_leads_from_pre_mlp_to_the_next_layer(family):
    """y = m + MLP(m), the branch being run anew on the recorded m outside the forward pass."""
    model = tiny.model(family)
    recording = record(model, tiny.token_lists(), "last")
    for layer, block in enumerate(_blocks(model)):
        m = torch.tensor(recording.sel(site=[f"{layer}.pre_mlp"]).values[:, 0])
        place = recording.sites.index(f"{layer}.pre_mlp") + 1
        y = torch.tensor(recording.values[:, place])
        with torch.inference_mode():
            branch = _mlp_branch(family, block, m[:, None].to(tiny.DEVICE))[:, 0].cpu()
        error = (m + branch - y).norm(dim=1) / y.norm(dim=1)
        assert error.max() < 1e-5, (family, layer)
        assert ((y - m).norm(dim=1) / y.norm(dim=1)).min() > 1e-3


def _blocks(model):
    return model.trunk.h if hasattr(model.trunk, "h") else model.trunk.layers


def _mlp_branch(family, block, m):
    if family == "gpt2":
        return block.mlp(block.ln_2(m))
    if family == "gemma3_text":
        return block.post_feedforward_layernorm(block.mlp(block.pre_feedforward_layernorm(m)))
    return block.mlp(block.post_attention_layernorm(m))


def test_parallel_layers_have_no_pre_mlp_site():
    sites = find_sites(tiny.hf_model("gpt_neox"))
    assert sites.labels == ("0.pre_attn", "1.pre_attn", "2.pre_attn", "final")
    assert all(proof.kind == "parallel" for proof in sites.proofs)


def test_sequential_layers_have_two_sites_each():
    sites = find_sites(tiny.hf_model("llama"))
    assert sites.labels[:3] == ("0.pre_attn", "0.pre_mlp", "1.pre_attn")
    assert len(sites.labels) == 7
    assert max(proof.error for proof in sites.proofs) < 1e-6
    assert [branch.name for branch in sites.proofs[0].branches] == ["self_attn", "mlp"]
    assert [branch.scales for branch in sites.proofs[0].branches] == [(1.0,), (1.0,)]


def test_broken_residual_identity_is_refused_with_what_was_seen():
    model = tiny.hf_model("llama")
    hook = model.model.layers[1].mlp.register_forward_hook(lambda *a: 3.0 * a[2])
    find_sites(model)  # what the branch gives is what is added, whatever it is
    hook.remove()
    model.model.layers[1].register_forward_hook(lambda *a: 2.0 * a[2])
    with pytest.raises(ModelError, match=r"residual identity fails in layers\.1.*self_attn"):
        find_sites(model)


def test_stream_changed_between_layers_is_refused():
    model = tiny.hf_model("llama")
    model.model.layers[1].register_forward_pre_hook(lambda _, args: (2.0 * args[0], *args[1:]))
    with pytest.raises(ModelError, match=r"stream changes between layers\.0 and layers\.1"):
        find_sites(model)


def test_model_that_sees_later_tokens_is_refused():
    model = tiny.hf_model("llama")
    model.model.embed_tokens.register_forward_hook(lambda *a: a[2] + a[2].mean(1, keepdim=True))
    with pytest.raises(ModelError, match=r"not causal.*does not hide padding"):
        find_sites(model)


def test_nan_weights_are_named_as_such():
    model = tiny.hf_model("llama")
    with torch.no_grad():
        model.model.layers[2].mlp.down_proj.weight.fill_(torch.nan)
    with pytest.raises(ModelError, match=r"NaN or infinite states in layers\.2"):
        find_sites(model)


def test_a_training_model_is_probed_without_dropout_and_left_training():
    torch.manual_seed(0)
    model = tiny.hf_model("gpt2").train()
    before = torch.random.get_rng_state()
    find_sites(model)
    assert all(module.training for module in model.modules())
    assert torch.equal(torch.random.get_rng_state(), before)


def test_hooks_are_gone_after_the_block_and_after_an_error():
    model = tiny.model("llama")
    sites = model.found_sites.sites

    def n_hooks():
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks)
            for module in model.hf_model.modules()
        )

    with reading(model.trunk, sites, lambda *_: None):
        assert n_hooks() == len(sites)
    assert n_hooks() == 0
    with (
        pytest.raises(ZeroDivisionError),
        reading(model.trunk, sites, lambda *_: 1 / 0),
        evaluating(model.hf_model),
    ):
        model.trunk(input_ids=tiny.tokens([[1, 2]]))
    assert n_hooks() == 0
    missing = [*sites, type(sites[0])("9.pre_attn", "layers.9", "input")]
    with pytest.raises(AttributeError), reading(model.trunk, missing, lambda *_: None):
        pass
    assert n_hooks() == 0


HAND = {
    "0.pre_attn": "layers.0:input",
    "0.pre_mlp": "layers.0.mlp:input",
    "1.pre_attn": "layers.1:input",
    "final": "layers.2:output",
}


def untidy():
    """A layer that scales the stream after its last sum, so that no identity holds."""
    model = tiny.hf_model("llama")
    for layer in model.model.layers:
        layer.register_forward_hook(lambda *a: 0.9 * a[2])
    return model


def test_sites_by_hand_where_none_are_found(tmp_path):
    with pytest.raises(ModelError, match=r"name the sites by hand: .*sites=\{"):
        td.load_model(untidy()).sites  # noqa: B018
    model = td.load_model(untidy(), sites=HAND)
    assert model.sites == tuple(HAND)
    assert model.found_sites.proofs == ()
    recording = record(model, tiny.token_lists(6), "all")
    alone = record(model, tiny.token_lists(6)[2:3], "all")
    rows = recording.text_index == 2
    np.testing.assert_allclose(recording.values[rows], alone.values, rtol=1e-4, atol=1e-5)
    seen = []
    hook = model.hf_model.model.layers[1].register_forward_pre_hook(
        lambda _, args: seen.append(args[0].clone())
    )
    record(model, tiny.token_lists(1), "all")
    hook.remove()
    one = record(model, tiny.token_lists(1), "all").values[:, 2]
    np.testing.assert_array_equal(one, seen[-1][0].cpu().numpy())
    twin = model.untrained_twin()
    assert twin.given_sites == HAND


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.before": "layers.0:input"}, "is not a site label"),
        ({"0.pre_attn": "layers.0"}, r"a site is a module's path and its port"),
        ({"0.pre_attn": "layer.0:input"}, r"no module 'layer\.0'.*similar names: layers\.0"),
        ({"final": "layers.2:output", "0.pre_attn": "layers.0:input"}, "in order of depth"),
        ({}, "in order of depth"),
        (
            {"0.pre_attn": "layers.0:input", "0.pre_mlp": "layers.0.mlp.up_proj:output"},
            "of different widths",
        ),
        ({"0.pre_attn": "layers.0.self_attn.rotary:input"}, "no module"),
    ],
)
def test_sites_by_hand_that_cannot_be_are_refused(change, message):
    with pytest.raises(ModelError, match=message):
        td.load_model(tiny.hf_model("llama"), sites=change).sites  # noqa: B018


def test_module_that_runs_more_than_once_is_no_site():
    model = tiny.hf_model("llama")
    model.model.layers[1].mlp = model.model.layers[0].mlp
    with pytest.raises(ModelError, match=r"gave \(2, 8, 16\), .* in one pass"):
        td.load_model(model, sites={"0.pre_mlp": "layers.0.mlp:input"}).sites  # noqa: B018
