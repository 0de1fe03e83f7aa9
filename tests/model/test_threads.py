"""One model in several threads: every pass is its own; values equal those of one thread."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

import tiny
from transformer_dynamics.model.layer_edits import LayerEdits
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record

TEXTS = [[token] * length for length in (5, 9, 12) for token in range(1, 9)]


def _at_once(*jobs):
    """Results of jobs that start at the same instant, each in its own thread."""
    gate = threading.Barrier(len(jobs))

    def begun(job):
        gate.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return list(pool.map(begun, jobs))


@pytest.fixture(scope="module")
def model():
    found = tiny.model("llama")
    assert found.sites
    return found


def test_recordings_in_two_threads_are_those_of_one(model):
    halves = TEXTS[:12], TEXTS[12:]
    options = RecordingOptions(batch_tokens=16)
    alone = [record(model, texts, "all", options=options).values for texts in halves]
    for _ in range(3):
        made = _at_once(
            *(lambda t=texts: record(model, t, "all", options=options).values for texts in halves)
        )
        for one, other in zip(made, alone, strict=True):
            np.testing.assert_array_equal(one, other)


def test_passes_of_the_user_meanwhile_are_neither_read_nor_changed(model):
    """The user's own passes take no lock: hooks and skipped layers belong to their thread."""
    flow = model.flow_map(TEXTS[-1])
    states = np.random.default_rng(0).standard_normal((6, 16))
    tokens = tiny.tokens([TEXTS[3]])
    with torch.inference_mode():
        plain = model.hf_model(input_ids=tokens, use_cache=False).logits
    advanced = flow.advance(states, start="1.pre_mlp")
    stop = threading.Event()
    seen = []

    def user():
        while not stop.is_set():
            with torch.inference_mode():
                seen.append(model.hf_model(input_ids=tokens, use_cache=False).logits)

    thread = threading.Thread(target=user)
    thread.start()
    try:
        for _ in range(15):
            np.testing.assert_allclose(flow.advance(states, start="1.pre_mlp"), advanced, rtol=1e-6)
            np.testing.assert_array_equal(
                record(model, TEXTS[:3]).values, record(model, TEXTS[:3]).values
            )
    finally:
        stop.set()
        thread.join()
    assert seen
    for logits in seen:
        torch.testing.assert_close(logits, plain)


def test_jacobians_and_edits_in_threads_are_those_of_one(model):
    flow = model.flow_map(TEXTS[-1])
    edits = LayerEdits(model.hf_model, model.found_sites, TEXTS[-1])
    jobs = [
        lambda: flow.jacobian("0.pre_attn", "2.pre_mlp"),
        lambda: edits.swap(1).cpu().numpy(),
        lambda: edits.skip(0).cpu().numpy(),
        lambda: model.flow_map(TEXTS[0]).clean,
    ]
    alone = [job() for job in jobs]
    for _ in range(4):
        for one, other in zip(_at_once(*jobs), alone, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_two_models_run_side_by_side():
    """A pass through one model does not wait for one through another."""
    models = [tiny.hf_model("llama", seed) for seed in (0, 1)]
    from transformer_dynamics.model.hooks import evaluating

    inside = threading.Barrier(2)

    def enter(model):
        with evaluating(model):
            inside.wait(timeout=60)
        return True

    assert _at_once(*(lambda m=model: enter(m) for model in models)) == [True, True]


def test_a_second_thread_waits_for_the_first():
    from transformer_dynamics.model.hooks import evaluating

    model = tiny.hf_model("llama").train()
    order = []
    entered = threading.Event()

    def first():
        with evaluating(model):
            entered.set()
            order.append(model.training)

    def second():
        entered.wait(timeout=60)
        with evaluating(model.base_model):
            order.append(model.base_model.training)

    _at_once(first, second)
    assert order == [False, False]
    assert model.training
    assert model.base_model.training


def test_twins_of_one_seed_are_equal_whatever_other_threads_draw(model):
    wanted = model.untrained_twin(3).weight_hash
    stop = threading.Event()

    def draw():
        while not stop.is_set():
            torch.rand(100)
            torch.manual_seed(1)

    thread = threading.Thread(target=draw)
    thread.start()
    try:
        twins = _at_once(*(lambda: model.untrained_twin(3).weight_hash for _ in range(3)))
    finally:
        stop.set()
        thread.join()
    assert set(twins) == {wanted}


def test_a_twin_draws_what_torch_draws_with_that_seed(model):
    torch.manual_seed(5)
    plain = type(model.hf_model)(model.hf_model.config)
    twin = model.untrained_twin(5).hf_model
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(twin.state_dict()[name].cpu(), weight, rtol=0, atol=0)
