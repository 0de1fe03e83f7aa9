"""The proof of one layer: sums of two modules on hand-made traces, and layers that are refused."""

import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.checks.proof import prove
from transformer_dynamics.model.probe import Event, LayerTrace
from transformer_dynamics.model.sites import find_sites
from transformer_dynamics.recording.record import record

PATHS = ["layers.0", "layers.1"]


def states(seed):
    return torch.randn(2, 8, 16, generator=torch.Generator().manual_seed(seed))


X, A, B, C, D = map(states, range(5))
M = X + (0.5 * A + 0.75 * B)


def proof(total, *events):
    """The proof of a layer with input `X`; each event is a module's name, port and states."""
    trace = LayerTrace("layers.0", X, total, tuple(Event(*event) for event in events))
    return prove(0, trace, PATHS, 1e-5)


FIRST = (("attention", "output", A), ("mixer", "output", B), ("norm", "input", M))


@pytest.mark.parametrize(
    ("total", "events", "names"),
    [
        (M + C, [("mlp", "output", C)], ("attention + mixer", "mlp")),
        (
            M + 0.5 * (C + D),
            [("experts", "output", C), ("shared", "output", D)],
            ("attention + mixer", "experts + shared"),
        ),
        (
            M + C + 2 * D,
            [("mlp.down", "output", C), ("mlp", "output", C), ("extra", "output", D)],
            ("attention + mixer", "mlp + extra"),
        ),
    ],
)
def test_branches_that_are_sums_of_two_modules(total, events, names):
    found, pre_mlp = proof(total, *FIRST, *events)
    assert (found.kind, pre_mlp) == ("sequential", "norm")
    assert tuple(branch.name for branch in found.branches) == names
    assert found.branches[0].scales == pytest.approx((0.5, 0.75), abs=1e-5)
    assert found.branches[0].formula == "0.5 x attention + 0.75 x mixer"
    assert found.error < 1e-6


def test_parallel_branches_may_have_constants_of_their_own():
    found, pre_mlp = proof(X + (0.5 * A + B), ("attention", "output", A), ("mlp", "output", B))
    assert (found.kind, pre_mlp) == ("parallel", None)
    assert found.branches[0].formula == "0.5 x attention + mlp"


@pytest.mark.parametrize(
    ("total", "events"),
    [
        (X + A + B, [("mlp.down", "output", A), ("mlp", "output", B)]),
        (X + A + B, [("mlp", "output", A), ("mlp", "output", B)]),
        (2 * X + A, [("copy", "output", X), ("mlp", "output", A)]),
        (X + A - B, [("attention", "output", A), ("mlp", "output", B)]),
        (X + A + B + C, [("one", "output", A), ("two", "output", B), ("three", "output", C)]),
        (X + A + B + 1e-3 * C, [("attention", "output", A), ("mlp", "output", B)]),
        (0.9 * (M + C), [*FIRST, ("mlp", "output", C)]),
    ],
    ids=["nested", "twice", "stream", "negative", "three", "inexact", "scaled"],
)
def test_sums_that_are_not_accepted(total, events):
    with pytest.raises(ModelError, match=r"residual identity fails in layers\.0.*layers\.1:output"):
        proof(total, *events)


def test_sums_of_two_modules_are_found_in_low_precision():
    for family in ("falcon_h1", "granitemoeshared", "gemma4_text"):
        low = find_sites(tiny.hf_model(family).to(torch.bfloat16)).proofs
        exact = find_sites(tiny.hf_model(family)).proofs
        for one, other in zip(low, exact, strict=True):
            assert [b.names for b in one.branches] == [b.names for b in other.branches], family


def scaled_gemma():
    """Gemma 4 with per-layer inputs and a trained layer scalar, which multiplies the stream."""
    model = tiny.hf_model("gemma4_text")
    for layer in model.model.layers:
        layer.layer_scalar.fill_(0.7)
    return model


def test_a_layer_that_scales_the_stream_is_refused_and_recorded_by_hand():
    with pytest.raises(ModelError, match=r"scales or mixes the stream.*'layers\.0:input'"):
        find_sites(scaled_gemma())
    given = {}
    for n in range(3):
        given[f"{n}.pre_attn"] = f"layers.{n}:input"
        given[f"{n}.pre_mlp"] = f"layers.{n}.pre_feedforward_layernorm:input"
    model = td.load_model(scaled_gemma(), sites={**given, "final": "layers.2:output"})
    agrees_with_hidden_states(model, [f"{n}.pre_attn" for n in range(3)])


def agrees_with_hidden_states(model, sites):
    texts = tiny.token_lists(6)
    recording = record(model, texts, "all")
    for index, tokens in enumerate(texts):
        with torch.inference_mode():
            hidden = model.trunk(
                input_ids=tiny.tokens([tokens]), output_hidden_states=True
            ).hidden_states
        rows = recording.text_index == index
        for layer, site in enumerate(sites):
            found = torch.tensor(recording.sel(sample=rows, site=[site]).values[:, 0])
            torch.testing.assert_close(found, hidden[layer][0].cpu(), rtol=1e-4, atol=1e-5)


def test_layers_in_separate_lists_are_recorded_by_hand():
    """XLM keeps attention, norms and MLPs of all layers in four lists."""
    torch.manual_seed(0)
    config = transformers.XLMConfig(
        vocab_size=64, emb_dim=16, n_layers=3, n_heads=2, pad_index=0, max_position_embeddings=64
    )
    hf_model = transformers.XLMModel(config).to(tiny.DEVICE).eval()
    with pytest.raises(ModelError, match=r"stream changes between attentions\.0.*by hand"):
        find_sites(hf_model)
    given = {f"{n}.pre_attn": f"attentions.{n}:input" for n in range(3)}
    model = td.load_model(hf_model, sites={**given, "final": "layer_norm2.2:output"})
    assert not model.found_sites.causal
    agrees_with_hidden_states(model, model.sites)


def test_albert_with_a_group_per_layer_is_found():
    torch.manual_seed(0)
    config = transformers.AlbertConfig(
        **tiny.BERT, embedding_size=16, num_hidden_groups=tiny.SIZE["num_hidden_layers"]
    )
    sites = find_sites(transformers.AlbertModel(config).eval())
    assert len(sites.sites) == 7
    assert {each.kind for each in sites.proofs} == {"post-norm"}


def test_models_without_a_table_of_tokens_are_refused():
    model = transformers.CanineModel(transformers.CanineConfig(**tiny.PLAIN)).eval()
    with pytest.raises(ModelError, match="no table of token embeddings"):
        find_sites(model)


def test_states_with_the_positions_first_are_no_site():
    config = transformers.XLNetConfig(vocab_size=64, d_model=16, n_layer=3, n_head=2, d_inner=32)
    hf_model = transformers.XLNetModel(config).eval()
    with pytest.raises(ModelError, match=r"of shape \(8, 2, 16\) instead of \(text 2, position 8"):
        find_sites(hf_model)
    with pytest.raises(ModelError, match=r"gave \(8, 2, 16\) in one pass over tokens"):
        td.load_model(hf_model, sites={"0.pre_attn": "layer.0:input"}).sites  # noqa: B018


def test_models_that_do_not_run_with_padding_are_refused():
    config = transformers.NystromformerConfig(**tiny.BERT, num_landmarks=4, segment_means_seq_len=8)
    model = transformers.NystromformerModel(config).eval()
    with pytest.raises(
        ModelError, match=r"shape \(2, 8\) with an attention mask.*from_activations"
    ):
        find_sites(model)
