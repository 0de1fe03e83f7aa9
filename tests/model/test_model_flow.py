"""The flow map of a model, against whole re-runs with the state put in by other hooks."""

import copy
import functools
from itertools import pairwise

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError, ModelError
from transformer_dynamics.model import model_flow_map as model_flow
from transformer_dynamics.model.hooks import evaluating, first_tensor, input_states
from transformer_dynamics.model.injection import with_states
from transformer_dynamics.model.labels import parse
from transformer_dynamics.model.passes import batched_derivatives

DECODERS = (*tiny.ARGUMENTS, *tiny.POST_NORM)
TOKENS = [5, 17, 3, 40, 22, 9, 31]
# Recurrent or convolutional states, positions as a bias on distances (ALiBi), no cache at all.
REPEATED = {
    *tiny.SINGLE, "lfm2", "mpt", "bloom", "openai-gpt", "bamba", "falcon_h1", "granitemoehybrid",
    "jamba", "qwen3_5_text", "qwen3_next", "recurrent_gemma",
}  # fmt: skip


@functools.cache
def model_of(family):
    """A model that several tests read, and none changes."""
    return tiny.model(family)


@functools.cache
def flow_of(family, n_tokens=None):
    """Its flow map of the first tokens."""
    return model_of(family).flow_map(TOKENS[:n_tokens])


def states_at(flow, site, n_states=3, seed=0):
    clean = flow.clean[flow.sites.index(site)]
    size = np.linalg.norm(clean) / np.sqrt(clean.size)
    return clean + size * np.random.default_rng(seed).standard_normal((n_states, clean.size))


def rerun(model, tokens, start, state):
    """Every site of a run of the whole text in which `state` stands at `start` in the last place.

    Before the MLP it comes there as what attention adds, which is made to fit.
    """
    trunk, found = model.trunk, model.found_sites
    layer, kind = parse(start)
    proof = found.proofs[layer]
    first = next(site for site in found.sites if parse(site.label)[0] == layer)
    path = found.sites[-1].module if start == "final" else first.module
    state = torch.as_tensor(state, dtype=model.hf_model.dtype, device=tiny.DEVICE)
    seen, entered = {}, []

    def put(value, new):
        old = first_tensor(value)
        rows = old.reshape(len(tokens), -1).clone()
        rows[-1] = new
        return with_states(value, rows.reshape(old.shape))

    def enter(module, args, kwargs):
        stream = input_states(args, kwargs)
        if kind == "pre_mlp":
            entered.append(stream.reshape(len(tokens), -1)[-1].clone())
            return None
        if "hidden_states" in kwargs:
            return args, {**kwargs, "hidden_states": put(kwargs["hidden_states"], state)}
        return put(args, state), kwargs

    def leave(module, args, output):
        if kind == "final" or proof.kind == "post-norm":
            return put(output, state)
        # Of the modules of a sum, the first makes it fit and the others give nothing.
        if module is added[0]:
            return put(output, (state - entered[0]) / proof.branches[0].scales[0])
        return put(output, torch.zeros_like(state))

    module = trunk.get_submodule(path)
    hooks = []
    if kind == "pre_mlp":
        names = (proof.between,) if proof.kind == "post-norm" else proof.branches[0].names
        added = [trunk.get_submodule(f"{path}.{name}") for name in names]
        hooks += [each.register_forward_hook(leave) for each in added]
    if kind == "final":
        hooks.append(module.register_forward_hook(leave))
    else:
        hooks.append(module.register_forward_pre_hook(enter, with_kwargs=True))

    def keep(label):
        def take(value):
            seen[label] = value.reshape(len(tokens), -1)[-1].cpu().numpy().astype(float)

        return take

    for site in found.sites:
        module, take = trunk.get_submodule(site.module), keep(site.label)
        if site.port == "input":
            hook = module.register_forward_pre_hook(
                lambda _, args, kwargs, take=take: take(input_states(args, kwargs)),
                with_kwargs=True,
            )
        else:
            hook = module.register_forward_hook(
                lambda _, args, output, take=take: take(first_tensor(output))
            )
        hooks.append(hook)
    try:
        with evaluating(model.hf_model):
            logits = model.hf_model(input_ids=tiny.tokens([tokens]), use_cache=False).logits[0, -1]
    finally:
        for hook in hooks:
            hook.remove()
    return seen, torch.log_softmax(logits.double(), dim=-1).cpu().numpy()


def relative(found, expected):
    return np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)


@pytest.mark.parametrize("family", DECODERS)
def test_advancing_equals_a_whole_run_with_the_state_in_place(family):
    model, flow = model_of(family), flow_of(family)
    for start in flow.sites:
        states = states_at(flow, start)
        found = flow.advance(states, start=start)
        place = flow.sites.index(start)
        probabilities = flow.log_probabilities(states, start=start)
        for index, state in enumerate(states):
            seen, expected = rerun(model, TOKENS, start, state)
            for at, label in enumerate(flow.sites[place + 1 :], start=1):
                assert relative(found[index, at], seen[label]) < 1e-5, (start, label)
            np.testing.assert_allclose(probabilities[index], expected, rtol=1e-5, atol=2e-5)
        np.testing.assert_array_equal(found[:, 0], states)


@pytest.mark.parametrize(
    ("family", "n_tokens"),
    [("llama", 7), ("gpt2", 7), ("gpt_neox", 7), ("gemma3_text", 3), ("gemma3_text", 7),
     ("mixtral", 7), ("olmo2", 7), ("opt-350m", 7), ("mamba", 7), ("bloom", 7)],
)  # fmt: skip
def test_states_of_several_starts_travel_as_they_do_alone(family, n_tokens):
    flow = flow_of(family, n_tokens)
    states = {
        start: states_at(flow, start, n_states=1 + place % 3, seed=place)
        for place, start in enumerate(reversed(flow.sites))
    }
    together = flow.advance_many(states)
    assert list(together) == list(states)
    for start, given in states.items():
        alone = flow.advance(given, start)
        np.testing.assert_array_equal(together[start][:, 0], given)
        assert relative(together[start], alone).max() < 1e-5, start
    stop = flow.sites[-2]
    del states["final"]
    for start, found in flow.advance_many(states, stop, keep=[stop]).items():
        alone = flow.advance(states[start], start, stop)[:, -1:]
        assert found.shape == alone.shape
        assert relative(found, alone).max() < 1e-5, start


def layers_run(model, call):
    """Indices of the layers whose attention runs during a call."""
    runs = []
    hooks = [
        layer.self_attn.register_forward_hook(lambda *_, index=index: runs.append(index))
        for index, layer in enumerate(model.trunk.layers)
    ]
    call()
    for hook in hooks:
        hook.remove()
    return runs


def test_a_shared_pass_begins_at_its_first_start():
    model = tiny.model("llama")
    flow = model.flow_map(TOKENS)
    states = {start: states_at(flow, start) for start in ("1.pre_attn", "1.pre_mlp", "2.pre_attn")}
    assert layers_run(model, lambda: flow.advance_many(states)) == [1, 2]


@pytest.mark.parametrize("family", DECODERS)
def test_linearized_steps_have_the_ends_and_the_products_of_each_step(family):
    flow = flow_of(family, 3)
    entries = [site for site in flow.sites if not site.endswith("pre_mlp")]
    steps = list(pairwise(entries))
    states = np.concatenate([states_at(flow, start, n_states=1) for start, _ in steps])
    vectors = np.random.default_rng(0).standard_normal(states.shape)
    ends, pull_back = flow.linearize_steps(steps, states)
    assert flow._runner.joins_steps
    products = pull_back(vectors)
    for row, (start, stop) in enumerate(steps):
        end = flow.advance(states[row : row + 1], start, stop, keep=[stop])[0, 0]
        assert relative(ends[row], end) < 1e-5
        (expected,) = flow._pulled_back_by_copies(vectors[row : row + 1], states[row], start, stop)
        np.testing.assert_allclose(products[row], expected, atol=1e-5 * abs(expected).max())


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "opt-350m", "mamba"])
def test_changes_of_several_starts_are_carried_as_those_of_one(family):
    flow = flow_of(family, 3)
    starts, rng = flow.sites[:-1], np.random.default_rng(0)
    stops = {start: flow.sites[min(at + 3, len(flow.sites) - 1)] for at, start in enumerate(starts)}
    changes = {start: rng.standard_normal((2, flow.n_units)) for start in reversed(starts)}
    found = flow.jvp_many(changes, stops)
    assert set(found) == set(starts)
    for start, change in changes.items():
        expected = flow.jvp(change, start, stops[start])
        np.testing.assert_allclose(found[start], expected, atol=1e-5 * abs(expected).max())
    unmoved = flow.jvp_many({starts[0]: changes[starts[0]]}, {starts[0]: starts[0]})
    np.testing.assert_array_equal(unmoved[starts[0]], changes[starts[0]])


def passes_of(flow, steps):
    """Numbers of steps that are carried in each pass, with ends and products."""
    numbers, run_steps = [], flow._runner.run_steps

    def counted(context, steps, *arguments):
        numbers.append(len(steps))
        return run_steps(context, steps, *arguments)

    flow._runner.run_steps = counted
    states = np.concatenate([states_at(flow, start, n_states=1) for start, _ in steps])
    ends, pull_back = flow.linearize_steps(steps, states)
    return numbers, ends, pull_back(np.ones_like(states))


def test_steps_within_one_layer_take_a_pass_each():
    flow = tiny.model("llama").flow_map(TOKENS)
    numbers, ends, products = passes_of(flow, list(pairwise(flow.sites[:4])))
    assert numbers == [1, 1, 1]
    flow = tiny.model("llama").flow_map(TOKENS)
    for row, step in enumerate(pairwise(flow.sites[:4])):
        _, end, product = passes_of(flow, [step])
        np.testing.assert_allclose(end[0], ends[row], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(product[0], products[row], rtol=1e-4, atol=1e-5)


def test_steps_of_layers_that_see_each_other_take_a_pass_each(monkeypatch):
    """As with layers that read the keys of an earlier layer."""
    steps = [("0.pre_attn", "1.pre_attn"), ("1.pre_attn", "2.pre_attn"), ("2.pre_attn", "final")]
    numbers, ends, products = passes_of(tiny.model("llama").flow_map(TOKENS), steps)
    assert numbers == [3, 3]  # the comparison and the pass itself
    flow = tiny.model("llama").flow_map(TOKENS)
    together = flow._runner.run_steps

    def mixed(context, steps, states, *arguments):
        found = together(context, steps, states, *arguments)
        return [each + 0.1 * found[0] * (len(steps) > 1) for each in found]

    monkeypatch.setattr(flow._runner, "run_steps", mixed)
    numbers, own_ends, own_products = passes_of(flow, steps)
    assert numbers == [3, 1, 1, 1]
    np.testing.assert_allclose(own_ends, ends, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(own_products, products, rtol=1e-4, atol=1e-5)


def test_batched_products_that_lack_a_term_are_replaced_by_copies(monkeypatch):
    """As with attention whose own key is not the last one, which the fast form takes for fixed."""
    flow = tiny.model("llama").flow_map(TOKENS)
    expected = flow.jacobian("0.pre_attn", "1.pre_attn").values
    assert flow._runner.batches_derivatives
    parted = batched_derivatives._parted

    def without_own(rows):
        context, own = parted(rows)
        return context, [each.detach() for each in own]

    monkeypatch.setattr(batched_derivatives, "_parted", without_own)
    found = flow.jacobian("0.pre_attn", "1.pre_attn").values
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert not flow._runner.batches_derivatives


def test_a_backward_pass_of_many_vectors_that_fails_is_replaced_by_copies(monkeypatch):
    flow = tiny.model("llama").flow_map(TOKENS)
    expected = flow.jacobian("0.pre_attn", "final").values

    def refuse(*_):
        raise RuntimeError("no batching rule")

    monkeypatch.setattr(type(flow), "_pulled_back", refuse)
    found = flow.jacobian("0.pre_attn", "final").values
    np.testing.assert_allclose(found, expected, atol=1e-5 * abs(expected).max())
    assert not flow._runner.batches_derivatives


@pytest.mark.parametrize("family", DECODERS)
def test_the_clean_state_changes_nothing(family):
    flow = flow_of(family)
    for place, start in enumerate(flow.sites):
        carried = flow.advance(flow.clean[place : place + 1], start=start)[0]
        assert relative(carried, flow.clean[place:]).max() < 2e-6, start


def test_the_context_is_shared_where_the_model_allows_it():
    # A window of 4 tokens hides some of these 7.
    assert flow_of("gemma3_text").strategy == "repeated"
    strategies = {family: flow_of(family, 3).strategy for family in DECODERS}
    assert {family for family, strategy in strategies.items() if strategy == "repeated"} == REPEATED


@pytest.mark.parametrize("family", ["llama", "gpt2", "mamba"])
def test_a_text_of_one_token(family):
    flow = flow_of(family, 1)
    seen, _ = rerun(model_of(family), TOKENS[:1], flow.sites[0], 2 * flow.clean[0])
    carried = flow.advance(2 * flow.clean[:1], start=flow.sites[0], keep=["final"])[0, 0]
    assert relative(carried, seen["final"]) < 1e-5


def plain(model, tokens, start, stop):
    """The model as a function of the last token's state, for torch's own Jacobian."""
    site = {each.label: each for each in model.found_sites.sites}
    assert site[start].port == site[stop].port == "input"

    def function(state):
        read = []

        def put(module, args, kwargs):
            last = state[None, None].to(args[0].device)
            stream = torch.cat([args[0][:, :-1], last], dim=1)
            return (stream, *args[1:]), kwargs

        hooks = [
            model.trunk.get_submodule(site[start].module).register_forward_pre_hook(
                put, with_kwargs=True
            ),
            model.trunk.get_submodule(site[stop].module).register_forward_pre_hook(
                lambda _, args: read.append(args[0][0, -1].cpu())
            ),
        ]
        try:
            model.trunk(input_ids=tiny.tokens([tokens]), use_cache=False)
        finally:
            for hook in hooks:
                hook.remove()
        return read[0]

    return function


@pytest.mark.parametrize("family", ["llama", "qwen3", "mixtral"])
def test_jacobians_equal_those_of_torch(family):
    model, flow = model_of(family), flow_of(family)
    for start, stop in (("0.pre_attn", "1.pre_attn"), ("0.pre_attn", "2.pre_mlp")):
        state = torch.tensor(flow.clean[flow.sites.index(start)], dtype=torch.float32)
        expected = torch.autograd.functional.jacobian(plain(model, TOKENS, start, stop), state)
        found = flow.jacobian(start, stop).values
        assert np.linalg.norm(found - expected.numpy()) < 1e-5 * np.linalg.norm(expected)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gpt_neox", "opt", "gemma3_text", "mamba"])
def test_the_chain_rule(family):
    flow = flow_of(family)
    product = np.eye(flow.n_units)
    for start, stop in zip(flow.sites[:-1], flow.sites[1:], strict=True):
        product = flow.jacobian(start, stop).values @ product
    whole = flow.jacobian(flow.sites[0], "final").values
    assert np.linalg.norm(product - whole) < 1e-4 * np.linalg.norm(whole)
    vectors = np.random.default_rng(0).standard_normal((4, flow.n_units))
    np.testing.assert_allclose(
        flow.vjp(vectors, flow.sites[0], "final"), vectors @ whole, rtol=0, atol=1e-4
    )
    forward = flow.jvp(vectors, flow.sites[0], "final")
    assert np.linalg.norm(forward - vectors @ whole.T) < 1e-4 * np.linalg.norm(forward)


@pytest.mark.bundled
def test_the_bundled_models_jacobian_equals_central_differences():
    flow = td.load_model().flow_map("The cat sat on the mat and looked at the moon.")
    assert flow.strategy == "shared"
    place = flow.sites.index("14.pre_attn")
    clean, end = flow.clean[place], "15.pre_mlp"
    vectors = np.random.default_rng(0).standard_normal((8, flow.n_units))
    vectors *= 1e-2 * np.linalg.norm(clean) / np.linalg.norm(vectors, axis=1, keepdims=True)
    plus, minus = (
        flow.advance(clean + sign * vectors, start="14.pre_attn", keep=[end])[:, 0]
        for sign in (1, -1)
    )
    expected = vectors @ flow.jacobian("14.pre_attn", end).values.T
    assert relative((plus - minus) / 2, expected).max() < 2e-3
    np.testing.assert_allclose(flow.jvp(vectors, "14.pre_attn", end), expected, atol=1e-4)


def test_more_states_than_one_pass_holds(monkeypatch):
    flow = tiny.model("llama").flow_map(TOKENS)
    states = states_at(flow, "1.pre_mlp", n_states=7)
    expected = flow.advance(states, start="1.pre_mlp")
    jacobian = flow.jacobian("1.pre_mlp", "final")
    monkeypatch.setattr(model_flow, "STATES_PER_PASS", 3)
    np.testing.assert_allclose(flow.advance(states, start="1.pre_mlp"), expected, atol=1e-5)
    np.testing.assert_allclose(flow.jacobian("1.pre_mlp", "final"), jacobian, atol=1e-5)


def bits(model):
    return {name: weight.clone() for name, weight in model.hf_model.state_dict().items()}


def hooks_of(module):
    return [
        (dict(each._forward_hooks), dict(each._forward_pre_hooks), each.__dict__.get("forward"))
        for each in module.modules()
    ]


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_the_model_is_as_before_after_any_end(error):
    model = tiny.model("llama")
    model.hf_model.train()
    flow = model.flow_map(TOKENS)
    cache = copy.deepcopy(flow._context.cache)
    before, hooks = bits(model), hooks_of(model.hf_model)
    states = states_at(flow, "1.pre_mlp")
    expected = flow.advance(states, start="1.pre_mlp")
    flow.jacobian("0.pre_attn", "final")

    def strike(*_):
        raise error("half way")

    struck = model.trunk.layers[2].mlp.register_forward_hook(strike)
    for call in (
        lambda: flow.advance(states, start="1.pre_mlp"),
        lambda: flow.jacobian("1.pre_attn", "final"),
        lambda: flow.log_probabilities(states, start="1.pre_mlp"),
    ):
        with pytest.raises(error, match="half way"):
            call()
    struck.remove()
    assert model.hf_model.training
    assert all(module.training for module in model.hf_model.modules())
    assert hooks_of(model.hf_model) == hooks
    assert all(torch.equal(before[name], weight) for name, weight in bits(model).items())
    assert all(parameter.grad is None for parameter in model.hf_model.parameters())
    for kept, layer in zip(cache.layers, flow._context.cache.layers, strict=True):
        assert torch.equal(kept.keys, layer.keys)
        assert torch.equal(kept.values, layer.values)
    np.testing.assert_array_equal(flow.advance(states, start="1.pre_mlp"), expected)


def test_what_stands_behind_the_last_site_does_not_run():
    model = tiny.model("llama")
    flow = model.flow_map(TOKENS)
    states = states_at(flow, "1.pre_attn")
    run = layers_run(model, lambda: flow.advance(states, start="1.pre_attn", stop="1.pre_mlp"))
    assert run == [1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda flow: flow.advance(np.ones((2, 3)), start="0.pre_attn"), "and 16 units"),
        (lambda flow: flow.advance(np.ones((1, 16)), start="9.pre_attn"), "no site '9.pre_attn'"),
        (
            lambda flow: flow.advance(np.ones((1, 16)), start="1.pre_mlp", stop="0.pre_mlp"),
            "carried forward",
        ),
        (
            lambda flow: flow.advance(np.full((1, 16), np.nan), start="0.pre_attn"),
            "NaN or infinite",
        ),
        (
            lambda flow: flow.advance(np.ones((1, 16)), start="1.pre_attn", keep=["0.pre_attn"]),
            "keep=",
        ),
        (
            lambda flow: flow.advance_many({"1.pre_attn": np.ones((1, 16))}, keep=["0.pre_attn"]),
            "keep=",
        ),
        (
            lambda flow: flow.advance_many({"1.pre_attn": np.ones((1, 16))}, keep=["9.pre_attn"]),
            "keep=",
        ),
        (lambda flow: flow.advance_many({"9.pre_attn": np.ones((1, 16))}), "no site '9.pre_attn'"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call(tiny.model("llama").flow_map(TOKENS))


def test_models_without_a_flow_map_are_refused():
    with pytest.raises(ModelError, match="not causal"):
        tiny.model(next(iter(tiny.ENCODERS))).flow_map(TOKENS)
    hf_model = tiny.hf_model("llama")
    given = {"0.pre_attn": "layers.0:input", "final": "layers.2:output"}
    with pytest.raises(ModelError, match="named by hand"):
        td.load_model(hf_model, sites=given).flow_map(TOKENS)
    with pytest.raises(InputError, match="no tokens"):
        tiny.model("llama").flow_map([])
    with pytest.raises(InputError, match="context"):
        tiny.model("llama").flow_map([1] * 65)
    headless = td.load_model(hf_model.model)
    with pytest.raises(InputError, match="no head"):
        headless.flow_map(TOKENS).log_probabilities(np.ones((1, 16)), start="0.pre_attn")
