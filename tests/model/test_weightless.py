"""Models of their configuration alone: planned like those with weights, and never run."""

import json

import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import ModelError, RecordingError

WITHOUT = td.ModelOptions(weights=False)
PLANNED = (
    "n_tokens", "n_samples", "n_sites", "n_units", "n_shards", "storage", "flops", "device",
)  # fmt: skip


def folder_of(family, path, **changes):
    """Folder with the configuration and tokenizer of a tiny model, and no weights."""
    config = tiny.config(family)
    auto = transformers.AutoModel if family in tiny.ENCODERS else transformers.AutoModelForCausalLM
    config.architectures = [type(auto.from_config(config)).__name__]
    for name, value in changes.items():
        setattr(config, name, value)
    config.save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


@pytest.mark.parametrize(
    "family", ["llama", "gemma3_text", "gpt2", "falcon", "opt", "mixtral", "deepseek_v3", "mamba",
               "gpt_neox", "bert", "deberta-v2"],
)  # fmt: skip
def test_a_plan_without_weights_is_that_with_them(family, tmp_path):
    folder, texts = folder_of(family, tmp_path / family), tiny.token_lists()
    without, whole = td.load_model(folder, options=WITHOUT), tiny.model(family)
    assert without.sites == whole.sites
    assert without.context_length == whole.context_length
    assert without.found_sites.independent == whole.found_sites.independent
    plans = [td.plan(each, texts, tokens_per_second=100.0) for each in (without, whole)]
    for name in PLANNED:
        assert getattr(plans[0], name) == getattr(plans[1], name), name
    assert plans[0].disk_bytes == pytest.approx(plans[1].disk_bytes, rel=0.05)
    assert plans[0].memory_bytes == pytest.approx(plans[1].memory_bytes, rel=0.001)


def test_a_model_larger_than_the_machine_is_planned_for_devices_it_lacks(tmp_path):
    """Eight layers of a Llama of 70 billion weights: 2 bytes and two operations each."""
    large = {
        "hidden_size": 8192, "intermediate_size": 28672, "num_hidden_layers": 8,
        "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128,
    }  # fmt: skip
    folder = folder_of("llama", tmp_path / "large", **large)
    model = td.load_model(folder, device="cuda:1", dtype="bfloat16", options=WITHOUT)
    cost = td.plan(model, [[1, 2, 3, 4]] * 3, tokens_per_second=10.0)
    in_layers = 8 * (8192 * (8192 * 2 + 1024 * 2) + 3 * 8192 * 28672)
    assert (cost.n_sites, cost.n_units, cost.device) == (17, 8192, "cuda:1")
    assert cost.flops == pytest.approx(12 * 2 * in_layers, rel=0.01)
    assert cost.device_memory_bytes == pytest.approx(2 * in_layers, rel=0.01)
    assert cost.memory_bytes < 2e9


def test_a_name_with_a_stated_throughput_needs_no_weights(tdyn, tmp_path):
    folder = folder_of("llama", tmp_path / "llama")
    cost = td.plan(str(folder), [[1, 2, 3]], tokens_per_second=10.0)
    assert cost.n_sites == 7
    (tmp_path / "texts.txt").write_text("w1 w2\nw3 w4\n")
    words = ("plan", folder, "--texts", tmp_path / "texts.txt", "--json", "--device-map", "auto")
    status, text, errors = tdyn(*words, "--tokens-per-second", 50)
    assert status == 0, errors
    final = json.loads(text.splitlines()[-1])
    assert (final["n_sites"], final["device"]) == (7, "cuda")
    status, _, errors = tdyn("plan", folder, "--texts", tmp_path / "texts.txt")
    assert status == 1
    assert "cannot load the model" in errors


def test_a_model_without_weights_is_never_run(tmp_path):
    model = td.load_model(folder_of("llama", tmp_path / "llama"), options=WITHOUT)
    out = tmp_path / "r.zarr"
    for use in (
        lambda: td.record(model, [[1, 2]], out=out),
        lambda: model.flow_map([1, 2]),
        lambda: model.untrained_twin(),
        lambda: model.weight_hash,
        lambda: model.trunk,
        lambda: td.plan(model, [[1, 2]]),
    ):
        with pytest.raises(ModelError, match="got a model without weights, of which only a recor"):
            use()
    assert not any(tmp_path.glob("r.zarr*"))


@pytest.mark.parametrize(
    ("family", "given", "message"),
    [
        ("llama", {"device": "quantum"}, "got device='quantum'; a device is auto, cpu, cuda"),
        ("llama", {"dtype": "bfloat12"}, "got dtype 'bfloat12'; allowed are"),
        # The number of tokens of each expert is a value.
        ("jetmoe", {}, "the sites of 'jetmoe' are not found without its weights"),
        ("mamba2", {}, "the sites of 'mamba2' are not found without its weights"),
    ],
)
def test_what_cannot_be_planned_without_weights_is_named(family, given, message, tmp_path):
    folder = folder_of(family, tmp_path / family)
    with pytest.raises(ModelError, match=message):
        td.load_model(folder, options=WITHOUT, **given)


def test_a_mapping_of_modules_and_a_model_in_memory_are_refused(tmp_path):
    folder = folder_of("llama", tmp_path / "llama")
    mapped = td.ModelOptions(weights=False, device_map={"": "cpu"})
    with pytest.raises(ModelError, match="got a mapping from 1 modules to devices for a model"):
        td.load_model(folder, options=mapped)
    with pytest.raises(ModelError, match="got weights=False and a model in memory"):
        td.load_model(tiny.hf_model(), options=WITHOUT)


def test_random_numbers_of_the_caller_are_not_touched(tmp_path):
    folder = folder_of("llama", tmp_path / "llama")
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    td.load_model(folder, options=WITHOUT)
    assert torch.equal(torch.rand(3), expected)


def test_texts_are_refused_as_with_weights(tmp_path):
    model = td.load_model(folder_of("gpt2", tmp_path / "gpt2"), options=WITHOUT)
    with pytest.raises(RecordingError, match="text 1 has no tokens"):
        td.plan(model, [[1, 2], []], tokens_per_second=10.0)
