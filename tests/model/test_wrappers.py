"""Models inside wrappers: compiled, adapted, quantized, in inference mode, with tuples."""

import copy

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.model.layer_edits import LayerEdits
from transformer_dynamics.recording.record import record

TEXTS = tiny.token_lists(6)


def _compiled(hf_model):
    return torch.compile(hf_model, backend="eager")


def _compiled_by_layer(hf_model):
    for layer in hf_model.model.layers:
        layer.compile(backend="eager")
    return hf_model


def _layers_in_compiled_modules(hf_model):
    layers = hf_model.model.layers
    for place in range(len(layers)):
        layers[place] = torch.compile(layers[place], backend="eager")
    return hf_model


def _with_tuples(hf_model):
    hf_model.config.return_dict = False
    return hf_model


def _with_lora(hf_model):
    import peft

    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(hf_model, config)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(weight)
    return adapted.eval()


WRAPPERS = [_compiled, _compiled_by_layer, _layers_in_compiled_modules, _with_tuples]


@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrapped_models_give_the_values_of_the_plain_one(wrap):
    plain = tiny.model("llama")
    wrapped = td.load_model(wrap(tiny.hf_model("llama")), tokenizer=tiny.tokenizer())
    np.testing.assert_array_equal(record(wrapped, TEXTS).values, record(plain, TEXTS).values)
    flows = [each.flow_map(TEXTS[1]) for each in (plain, wrapped)]
    states = np.random.default_rng(0).standard_normal((3, 16))
    for call in (
        lambda flow: flow.advance(states, start="1.pre_attn"),
        lambda flow: flow.log_probabilities(states, start="1.pre_mlp"),
        lambda flow: flow.jacobian("0.pre_mlp", "2.pre_attn"),
    ):
        np.testing.assert_allclose(call(flows[1]), call(flows[0]), rtol=1e-6, atol=1e-7)
    one, other = (LayerEdits(m.hf_model, m.found_sites, TEXTS[1]) for m in (plain, wrapped))
    for edit in (lambda e: e.skip(1), lambda e: e.swap(0)):
        torch.testing.assert_close(edit(other), edit(one))
    assert wrapped.untrained_twin(2).weight_hash == plain.untrained_twin(2).weight_hash


def test_adapters_run_and_their_twin_has_none():
    adapted = td.load_model(_with_lora(tiny.hf_model("llama")))
    merged = copy.deepcopy(adapted.hf_model).merge_and_unload()
    plain = tiny.model("llama")
    made = record(adapted, TEXTS)
    np.testing.assert_allclose(made.values, record(merged, TEXTS).values, rtol=1e-4, atol=1e-4)
    assert np.abs(made.values - record(plain, TEXTS).values).max() > 0.1
    assert adapted.sites == plain.sites
    assert adapted.untrained_twin(2).weight_hash == plain.untrained_twin(2).weight_hash
    flow = adapted.flow_map(TEXTS[1])
    np.testing.assert_allclose(
        flow.jacobian("0.pre_attn", "1.pre_attn"),
        td.load_model(merged).flow_map(TEXTS[1]).jacobian("0.pre_attn", "1.pre_attn"),
        rtol=1e-4,
        atol=1e-4,
    )


def test_everything_works_inside_inference_mode():
    model = tiny.model("llama")
    flow = model.flow_map(TEXTS[1])
    wanted = flow.jacobian("0.pre_attn", "1.pre_attn"), record(model, TEXTS).values
    with torch.inference_mode():
        inside = model.flow_map(TEXTS[1])
        np.testing.assert_allclose(inside.jacobian("0.pre_attn", "1.pre_attn"), wanted[0])
        np.testing.assert_allclose(flow.jacobian("0.pre_attn", "1.pre_attn"), wanted[0])
        inside.jvp(np.eye(16)[:2], "0.pre_attn", "1.pre_attn")
        np.testing.assert_array_equal(record(model, TEXTS).values, wanted[1])
        twin = model.untrained_twin(1)
        half = td.load_model(copy.deepcopy(model.hf_model).to(torch.bfloat16)).untrained_twin(1)
        assert torch.is_inference_mode_enabled()
    for made in (twin, half):
        assert not any(weight.is_inference() for weight in made.hf_model.parameters())
    twin.flow_map(TEXTS[1]).jacobian("0.pre_attn", "1.pre_attn")


def test_weights_of_inference_mode_are_recorded_and_their_jacobian_refused():
    with torch.inference_mode():
        model = tiny.model("llama")
    np.testing.assert_array_equal(
        record(model, TEXTS).values, record(tiny.model("llama"), TEXTS).values
    )
    with pytest.raises(ModelError, match="were loaded outside"):
        model.flow_map(TEXTS[1]).jacobian("0.pre_attn", "1.pre_attn")


def test_int8_weights_of_torchao_are_recorded_and_hashed():
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    def quantized(seed):
        hf_model = tiny.hf_model("llama", seed)
        quantize_(hf_model, Int8WeightOnlyConfig())
        return td.load_model(hf_model, tokenizer=tiny.tokenizer())

    one, same, other = quantized(0), quantized(0), quantized(1)
    assert one.weight_hash == same.weight_hash != other.weight_hash
    made = record(one, TEXTS)
    with torch.inference_mode():
        hidden = one.trunk(torch.tensor([TEXTS[1]]), output_hidden_states=True).hidden_states
    np.testing.assert_allclose(made.values[1, 2], hidden[1][0, -1], rtol=1e-4, atol=1e-4)
    assert one.untrained_twin(0).dtype == "float32"
    record(one.untrained_twin(0), TEXTS)


def test_packed_linears_of_other_weights_have_other_hashes():
    def packed(seed):
        hf_model = tiny.hf_model("llama", seed=0)
        if seed:
            with torch.no_grad():
                hf_model.model.layers[1].mlp.down_proj.weight.mul_(1.5)
        with pytest.warns(DeprecationWarning, match="quantization"):
            return torch.ao.quantization.quantize_dynamic(hf_model, {nn.Linear}, dtype=torch.qint8)

    one, same, other = (td.load_model(packed(seed)) for seed in (0, 0, 1))
    assert one.weight_hash == same.weight_hash != other.weight_hash
    assert not one.found_sites.independent
    with pytest.raises(ModelError, match="quantized per tensor"):
        one.flow_map(TEXTS[1])


class _Detached(nn.Linear):
    """A linear layer that passes no gradient on, as a kernel of packed integers does."""

    def forward(self, states):
        return super().forward(states.detach()).detach()


class _Unregistered(nn.Linear):
    """A linear layer through an operation of which autograd knows nothing."""

    def forward(self, states):
        return torch.ops.tdyn_test.linear(states, self.weight)


@pytest.mark.parametrize("kind", [_Detached, _Unregistered])
def test_a_layer_without_a_derivative_is_refused_instead_of_left_out(kind):
    library = torch.library.Library("tdyn_test", "FRAGMENT")
    library.define("linear(Tensor x, Tensor w) -> Tensor")
    library.impl("linear", lambda x, w: nn.functional.linear(x.detach(), w.detach()), "CPU")
    hf_model = tiny.hf_model("llama")
    hf_model.model.layers[1].mlp.down_proj.__class__ = kind
    model = td.load_model(hf_model)
    flow = model.flow_map(TEXTS[1])
    flow.advance(flow.clean[:1], start="0.pre_attn")
    for call in (
        lambda: flow.jacobian("0.pre_attn", "2.pre_attn"),
        lambda: flow.jvp(np.eye(16), "0.pre_attn", "2.pre_attn"),
    ):
        with pytest.raises(ModelError, match="no derivatives"):
            call()


@pytest.mark.parametrize("kind", ["PromptTuningConfig", "PrefixTuningConfig"])
def test_virtual_tokens_are_refused_by_name(kind):
    import peft

    config = getattr(peft, kind)(task_type="CAUSAL_LM", num_virtual_tokens=3)
    tuned = td.load_model(peft.get_peft_model(tiny.hf_model("llama"), config))
    with pytest.raises(ModelError, match=r"PeftModelForCausalLM .*get_base_model"):
        record(tuned, TEXTS)
    base = record(tuned.hf_model.get_base_model(), TEXTS)
    np.testing.assert_array_equal(base.values, record(tiny.model("llama"), TEXTS).values)


def test_a_wrapper_that_feeds_its_trunk_something_else_is_refused():
    class Scaled(transformers.LlamaForCausalLM):
        def forward(self, input_ids, **how):
            return super().forward(inputs_embeds=2 * self.get_input_embeddings()(input_ids), **how)

    model = td.load_model(Scaled(tiny.config("llama")).eval())
    with pytest.raises(ModelError, match="Scaled passes other inputs"):
        record(model, TEXTS)


def test_two_outputs_of_a_classifier_are_no_vocabulary():
    config = tiny.config("llama")
    config.pad_token_id = 0
    hf_model = transformers.LlamaForSequenceClassification(config).eval()
    model = td.load_model(hf_model, tokenizer=tiny.tokenizer())
    recording = record(model, TEXTS)
    assert not model.predicts
    with pytest.raises(InputError, match="no head that predicts tokens"):
        model.flow_map(TEXTS[1]).log_probabilities(recording.values[:1, 0], "0.pre_attn")
    with pytest.raises(InputError, match="no head that predicts tokens"):
        LayerEdits(hf_model, model.found_sites, TEXTS[1])
    classes = transformers.LlamaForTokenClassification(config).eval()
    with pytest.raises(InputError, match="no head that predicts tokens"):
        td.load_model(classes).flow_map(TEXTS[1]).log_probabilities(
            recording.values[:1, 0], "0.pre_attn"
        )


def test_states_with_a_gradient_are_taken():
    flow = tiny.model("llama").flow_map(TEXTS[1])
    states = torch.randn(2, 16, requires_grad=True)
    plain = flow.advance(states.detach().numpy(), start="1.pre_attn")
    np.testing.assert_array_equal(flow.advance(states, start="1.pre_attn"), plain)
    half = states.detach().bfloat16()
    np.testing.assert_array_equal(
        flow.advance(half, start="1.pre_attn"), flow.advance(half.float(), start="1.pre_attn")
    )
    for wrong in (np.ones((1, 16), dtype=complex), [["a"] * 16], [[1.0], [2.0, 3.0]]):
        with pytest.raises(InputError, match="got states"):
            flow.advance(wrong, start="1.pre_attn")


def test_a_model_that_cannot_be_built_again_has_no_twin():
    class Odd(transformers.LlamaForCausalLM):
        def __init__(self, config, extra):
            super().__init__(config)

    with pytest.raises(ModelError, match="no untrained twin"):
        Model(Odd(tiny.config("llama"), 1).eval(), None, "odd").untrained_twin()
