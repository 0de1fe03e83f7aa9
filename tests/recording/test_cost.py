"""The planned cost of a recording is that of the recording that is then made."""

import json
import re

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording import job
from transformer_dynamics.recording.cost.estimate import CostEstimate
from transformer_dynamics.recording.cost.operations import pass_cost
from transformer_dynamics.recording.job import make_job

SIXTEEN = tiny.token_lists(16)
CONFIGURATIONS = {
    "last position": ("llama", "last", {}),
    "all positions": ("gpt_neox", "all", {"shard_samples": 40}),
    "float16, three shards": ("llama", "last", {"storage": "float16", "shard_samples": 6}),
}


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


def bytes_in(folder):
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("configuration", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_bytes_and_counts_are_those_of_the_recording(configuration, tmp_path):
    family, positions, chosen = configuration
    model, options = tiny.model(family), td.RecordingOptions(**chosen)
    out = tmp_path / "r.zarr"
    cost = td.plan(model, SIXTEEN, positions, out=out, options=options, calibration_seconds=0.01)
    assert list(tmp_path.iterdir()) == []
    made = td.record(model, SIXTEEN, positions, out=out, options=options)
    assert (cost.n_samples, cost.n_sites, cost.n_units) == made.shape
    assert cost.storage == str(made.activation.dtype)
    assert cost.disk_bytes == pytest.approx(bytes_in(out), rel=0.05)
    job = make_job(model, SIXTEEN, positions, options)
    assert cost.n_shards == job.plan.n_shards
    assert cost.n_tokens >= sum(map(len, SIXTEEN))
    assert cost.seconds > 0


@pytest.mark.skipif(tiny.DEVICE != "cpu", reason="a batch of a GPU has a fixed size")
@pytest.mark.parametrize(("limits", "tokens"), [((4, 32), 8), ((12, 32), 12), ((4, 6), 6)])
def test_a_batch_has_half_as_many_tokens_as_units_within_limits(limits, tokens, monkeypatch):
    monkeypatch.setattr(job, "CPU_BATCH_TOKENS", limits)
    assert job.make_job(tiny.model(), SIXTEEN).plan.batch_tokens == tokens


def test_operations_are_those_of_the_matrices_and_of_attention(model):
    """Llama: two operations for each weight of a matrix, and 4 D T per layer for attention."""
    job = make_job(model, [list(range(1, 41))])
    flops = pass_cost(model, job.plan).flops
    named = model.trunk.named_parameters()
    weights = sum(each.numel() for name, each in named if each.dim() > 1 and "embed" not in name)
    layers, width = model.hf_model.config.num_hidden_layers, 16
    assert flops.linear == pytest.approx(2 * weights)
    assert flops.square == pytest.approx(4 * layers * width)


def test_operations_of_experts_are_those_of_the_chosen_ones():
    """Mixtral: every token passes two of four experts of three matrices, and a router."""
    experts, dense = tiny.model("mixtral"), tiny.model("llama")
    flops = [
        pass_cost(each, make_job(each, [list(range(1, 41))]).plan) for each in (experts, dense)
    ]
    added = 2 * 16 * 4 + 2 * (2 - 1) * 3 * 16 * 32
    assert flops[0].flops.linear - flops[1].flops.linear == pytest.approx(3 * added)


def test_a_model_whose_code_turns_gradients_on_is_counted():
    model = tiny.model("deberta-v2")
    assert pass_cost(model, make_job(model, [list(range(1, 41))]).plan).flops.linear > 0


def test_activations_grow_with_the_tokens_and_hold_at_least_one_layer(model):
    job = make_job(model, [list(range(1, 41))])
    activations = pass_cost(model, job.plan).activation_bytes
    assert activations.of(2, 20) == pytest.approx(2 * activations.of(1, 20))
    assert activations.of(1, 40) >= 40 * 4 * (16 + 32)  # the stream and one inner vector


def test_a_stated_throughput_is_used_as_it_is(model, tmp_path):
    cost = td.plan(model, SIXTEEN, out=tmp_path / "a" / "b" / "r.zarr", tokens_per_second=100.0)
    assert not any(tmp_path.iterdir())
    assert cost.throughput == "stated"
    assert cost.tokens_per_second == pytest.approx(100.0)
    assert cost.seconds == pytest.approx(cost.n_tokens / 100.0)


@pytest.mark.parametrize(("workers", "rounds"), [(1, 4), (2, 2), (3, 2), (4, 1), (9, 1)])
def test_workers_share_whole_shards(workers, rounds, model, tmp_path):
    equal = [[1, 2, 3]] * 16
    options = td.RecordingOptions(shard_samples=4)
    cost = td.plan(
        model,
        equal,
        out=tmp_path / "r.zarr",
        options=options,
        workers=workers,
        tokens_per_second=1.0,
    )
    assert cost.seconds == pytest.approx(rounds * 12)
    assert ("without a shard" in str(cost)) == (workers > 4)


@pytest.mark.parametrize(
    "wrong",
    [{"workers": 0}, {"tokens_per_second": -1.0}, {"tokens_per_second": np.nan},
     {"calibration_seconds": 0}],
)  # fmt: skip
def test_a_number_that_is_not_positive_is_refused(wrong, model):
    with pytest.raises(RecordingError, match=next(iter(wrong))):
        td.plan(model, SIXTEEN, **wrong)


def test_an_estimate_prints_a_table_and_becomes_json(model, tmp_path):
    cost = td.plan(model, SIXTEEN, out=tmp_path / "r.zarr", tokens_per_second=100.0)
    assert CostEstimate(**json.loads(json.dumps(cost.to_dict()))) == cost
    lines = dict(line.split("  ", 1) for line in str(cost).splitlines())
    assert lines["shards"].strip() == "1"
    assert "stated" in lines["throughput of a worker"]


def test_an_address_to_write_to_is_refused_before_the_model_is_loaded(tdyn):
    status, _, errors = tdyn("plan", "no-such-model", "--out", "s3://bucket/r.zarr")
    assert status == 1
    assert "only folders and files of this machine are read and written" in errors


def test_the_command_prints_what_the_function_returns(tdyn, folder, text_file, tmp_path):
    words = ("plan", folder, "--texts", text_file, "--out", tmp_path / "r.zarr")
    status, text, errors = tdyn(*words, "--tokens-per-second", 50, "--workers", 2, "--json")
    assert status == 0, errors
    final = json.loads(text.splitlines()[-1])
    assert final["n_workers"] == 2
    assert final["seconds"] == pytest.approx(final["n_tokens"] / 50)
    status, text, _ = tdyn(*words)
    assert status == 0
    assert re.search(r"measured on \d of \d batches", " ".join(text.split()))
    status, _, errors = tdyn(*words, "--workers", 0)
    assert status == 1
    assert "workers=0" in errors
