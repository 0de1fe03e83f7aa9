"""A folder is reused only for the computation that filled it, and its provenance says which."""

import numpy as np
import pytest
import torch

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import RecordingError
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.recording.record import record

LISTS = tiny.token_lists(8)


def _trained_in_place(model):
    with torch.no_grad():
        model.hf_model.model.layers[1].mlp.down_proj.weight.data.mul_(1.01)


def _steered(model):
    def steer(module, args, output):
        return output + 0.1

    model.hf_model.model.layers[1].mlp.register_forward_hook(steer)


def _steered_before(model):
    def push(module, args):
        return (args[0] + 0.1,)

    model.hf_model.model.layers[1].mlp.register_forward_pre_hook(push)


def _other_epsilon(model):
    for layer in model.hf_model.model.layers:
        layer.input_layernorm.variance_epsilon = 0.3


def _other_configuration(model):
    model.hf_model.config.rms_norm_eps = 0.3


def _patched(model):
    """A function replaced in place leaves no trace in weights or attributes."""
    mlp = model.hf_model.model.layers[1].mlp
    plain = mlp.forward
    mlp.forward = lambda states: 1.1 * plain(states)


CHANGES = {
    _trained_in_place: "weights: ",
    _steered: r"hooks: \[\] recorded, \['model.layers.1.mlp: _steered",
    _steered_before: r"hooks: \[\] recorded, \['model.layers.1.mlp: _steered_before",
    _other_epsilon: "structure: ",
    _other_configuration: "structure: ",
    _patched: "computes other states for text",
}


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("keep", ["states", "moments"])
def test_a_changed_computation_is_refused_and_recorded_elsewhere(change, keep, tmp_path):
    model = tiny.model("llama")
    first = record(model, LISTS, keep=keep, out=tmp_path / "a.zarr")
    again = record(model, LISTS, keep=keep, out=tmp_path / "a.zarr")
    assert again.provenance == first.provenance
    change(model)
    with pytest.raises(RecordingError, match=CHANGES[change]):
        record(model, LISTS, keep=keep, out=tmp_path / "a.zarr")
    other = record(model, LISTS, keep=keep, out=tmp_path / "b.zarr")
    if keep == "states" and change is not _other_configuration:
        assert np.abs(other.values - first.values).max() > 1e-4
        np.testing.assert_array_equal(other.values, record(model, LISTS).values)


def test_an_unfinished_recording_is_not_continued_by_another_computation(tmp_path, monkeypatch):
    from transformer_dynamics.recording.workers import worker

    model = tiny.model("llama")
    options = RecordingOptions(shard_samples=4)
    plain = worker.record_shard

    def interrupted(job, growing, shard, count):
        if shard == 1:
            raise KeyboardInterrupt
        plain(job, growing, shard, count)

    monkeypatch.setattr(worker, "record_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        record(model, LISTS, out=tmp_path / "a.zarr", options=options)
    monkeypatch.undo()
    _patched(model)
    with pytest.raises(RecordingError, match="computes other states for text"):
        record(model, LISTS, out=tmp_path / "a.zarr", options=options)


def test_an_adapter_switched_off_is_another_computation(tmp_path):
    import peft

    torch.manual_seed(0)
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM")
    adapted = peft.get_peft_model(tiny.hf_model("llama"), config).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_()
    model = td.load_model(adapted)
    first = record(model, LISTS, out=tmp_path / "a.zarr")
    assert first.provenance["adapters"] == ["default"]
    adapted.base_model.disable_adapter_layers()
    with pytest.raises(RecordingError, match=r"adapters: \['default'\] recorded, \[\] now"):
        record(model, LISTS, out=tmp_path / "a.zarr")
    np.testing.assert_array_equal(
        record(model, LISTS).values, record(tiny.model("llama"), LISTS).values
    )


def test_autocast_is_part_of_the_computation(tmp_path):
    model = tiny.model("llama")
    first = record(model, LISTS, out=tmp_path / "a.zarr")
    assert first.provenance["autocast"] == "off"
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RecordingError, match=r"autocast: off recorded, torch.bfloat16 now"):
            record(model, LISTS, out=tmp_path / "a.zarr")
        coarse = record(model, LISTS)
        with torch.inference_mode():
            hidden = model.trunk(torch.tensor([LISTS[1]]), output_hidden_states=True).hidden_states
    assert coarse.provenance["autocast"] == "torch.bfloat16"
    np.testing.assert_allclose(coarse.values[1, 2], hidden[1][0, -1].float(), rtol=1e-2, atol=1e-2)
    assert np.abs(coarse.values - first.values).max() > 1e-4


def test_hooks_and_the_weights_of_now_are_in_the_provenance():
    model = tiny.model("llama")
    before = record(model, LISTS).provenance
    _trained_in_place(model)
    _steered(model)
    after = record(model, LISTS).provenance
    assert before["weights"] != after["weights"] == model.weight_hash
    assert before["hooks"] == []
    assert after["hooks"] == ["model.layers.1.mlp: _steered.<locals>.steer"]


def test_a_reloaded_model_goes_on_with_the_folder_of_the_first(tmp_path):
    tiny.hf_model("llama").save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    first = record(td.load_model(tmp_path / "model"), LISTS, out=tmp_path / "a.zarr")
    again = record(td.load_model(tmp_path / "model"), LISTS, out=tmp_path / "a.zarr")
    np.testing.assert_array_equal(first.values, again.values)
