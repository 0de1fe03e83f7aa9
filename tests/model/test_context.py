"""The usable context: a text of that many tokens runs, one more is refused, cut or windowed."""

import numpy as np
import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError, RecordingError
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record

SMALL = {
    "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 3, "vocab_size": 64,
    "num_attention_heads": 2,
}  # fmt: skip
OFFSET = {**SMALL, "max_position_embeddings": 66, "pad_token_id": 1}


def _mpnet():
    return transformers.MPNetModel(transformers.MPNetConfig(**OFFSET))


def _ibert():
    return transformers.IBertModel(transformers.IBertConfig(**OFFSET))


def _camembert():
    return transformers.CamembertModel(transformers.CamembertConfig(**OFFSET))


def _xlm_roberta():
    return transformers.XLMRobertaModel(transformers.XLMRobertaConfig(**OFFSET))


MODELS = {
    "roberta": lambda: tiny.hf_model("roberta"),
    "mpnet": _mpnet,
    "ibert": _ibert,
    "camembert": _camembert,
    "xlm-roberta": _xlm_roberta,
    **{
        family: lambda family=family: tiny.hf_model(family)
        for family in ("bert", "electra", "distilbert", "gpt2", "opt", "biogpt", "xglm", "gpt_neo")
    },
}


@pytest.mark.parametrize("name", MODELS)
def test_exactly_as_many_tokens_as_fit_are_recorded(name):
    torch.manual_seed(0)
    hf_model = MODELS[name]().to(tiny.DEVICE).eval()
    model = td.load_model(hf_model, tokenizer=tiny.tokenizer())
    assert model.context_length == 64
    generator = np.random.default_rng(0)
    longest, longer = (generator.integers(3, 60, n).tolist() for n in (64, 65))
    made = record(model, [longest, longest[:9]], "all")
    with torch.inference_mode():
        hidden = model.trunk(tiny.tokens([longest]), output_hidden_states=True).hidden_states
    layer = list(made.sites).index("1.pre_attn")
    wanted = hidden[1][0].cpu().numpy()
    assert np.abs(made.values[:64, layer] - wanted).max() < 1e-4 * np.abs(wanted).max()
    with pytest.raises(RecordingError, match="longer than the model's context of 64 tokens"):
        record(model, [longer])
    cut = record(model, [longer], options=RecordingOptions(too_long="truncate"))
    assert cut.token_lists == (tuple(longer[:64]),)
    windowed = record(model, [longer], "all", options=RecordingOptions(too_long="window"))
    assert windowed.shape[0] == 65
    if model.found_sites.causal:
        with pytest.raises(InputError, match="holds 64"):
            model.flow_map(longer)


def test_what_has_no_table_is_as_configured():
    assert tiny.model("llama").context_length == 64
    assert tiny.model("bloom").context_length is None
    assert tiny.model("mamba").context_length is None


class _PerTensor(torch.nn.Linear):
    """A linear layer whose input is rounded to 8 bits with one scale for the whole batch."""

    def forward(self, states):
        scale = states.abs().max() / 127
        return super().forward((states / scale).round() * scale)


class _PerToken(torch.nn.Linear):
    """The same with a scale for each token, as in dynamic int8 kernels."""

    def forward(self, states):
        scale = states.abs().amax(dim=-1, keepdim=True) / 127
        return super().forward((states / scale).round() * scale)


def _quantized(kind):
    hf_model = tiny.hf_model("llama")
    for layer in hf_model.model.layers:
        layer.mlp.up_proj.__class__ = kind
        layer.self_attn.q_proj.__class__ = kind
    return td.load_model(hf_model, tokenizer=tiny.tokenizer())


def test_texts_that_would_change_each_other_run_alone():
    lists = tiny.token_lists(6)
    model = _quantized(_PerTensor)
    assert not model.found_sites.independent
    made = record(model, lists)
    for index, tokens in enumerate(lists):
        with torch.inference_mode():
            hidden = model.trunk(tiny.tokens([tokens]), output_hidden_states=True).hidden_states
        for layer in range(3):
            np.testing.assert_array_equal(made.values[index, 2 * layer], hidden[layer][0, -1].cpu())
    from transformer_dynamics.errors import ModelError

    with pytest.raises(ModelError, match="quantized per tensor"):
        model.flow_map(lists[0])


def test_rounding_each_token_by_itself_leaves_texts_independent():
    model = _quantized(_PerToken)
    assert model.found_sites.independent
    assert model.found_sites.causal
