"""Models, wrappers and places."""

import numpy as np
import torch

import model.test_checkpoints as checkpoints
import model.test_wrappers as wrappers
import texts.test_inputs as test_inputs
import tiny
import transformer_dynamics as td
from handed_in.given import Given
from recording import test_identity
from transformer_dynamics.errors import ModelError, RecordingError, TdynError
from transformer_dynamics.recording.record import record

TITLE = "Models and folders"
LISTS = test_inputs.LISTS


def _same_as_plain(model):
    wanted = record(tiny.model("llama"), LISTS)
    np.testing.assert_array_equal(record(model, LISTS).values, wanted.values)


def _wrapped(wrap):
    return lambda _: _same_as_plain(wrap(tiny.hf_model("llama")))


def _folder(folder):
    checkpoints._saved(folder)
    _same_as_plain(folder)


def _rewritten(change):
    def check(folder):
        checkpoints._saved(folder / "model")
        checkpoints._rewrite(folder / "model", change)
        td.load_model(folder / "model")

    return check


def _broken(name, content):
    def check(folder):
        checkpoints._saved(folder)
        path = folder / name
        path.write_bytes(path.read_bytes()[:-5] if content is None else content)
        td.load_model(folder)

    return check


def _single(name, content):
    def check(folder):
        (folder / name).write_bytes(content)
        td.load_model(folder / name)

    return check


def _prompt_tuned(_):
    import peft

    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    record(peft.get_peft_model(tiny.hf_model("llama"), config), LISTS)


def _changed(change):
    def check(folder):
        model = tiny.model("llama")
        record(model, LISTS, out=folder / "a.zarr")
        change(model)
        # Hashes differ between versions of the libraries; the page shows the kind of refusal.
        try:
            record(model, LISTS, out=folder / "a.zarr")
        except RecordingError as error:
            kind = str(error).split("(")[1].split(":")[0]
            raise RecordingError(f"a.zarr holds another recording ({kind}: ...)") from error

    return check


def _head(_):
    wrappers.test_two_outputs_of_a_classifier_are_no_vocabulary()


def _home(folder):
    record(tiny.model("llama"), LISTS, out="s3://bucket/a.zarr")


CASES = [
    Given("a `PreTrainedModel`, also compiled", "as it is", _wrapped(wrappers._compiled)),
    Given(
        "layers compiled one by one",
        "run without compiling, the same numbers",
        _wrapped(wrappers._compiled_by_layer),
    ),
    Given("`return_dict=False`", "as it is", _wrapped(wrappers._with_tuples)),
    Given(
        "a model with LoRA adapters (peft)",
        "runs with the adapters that are on; its untrained twin has none",
        lambda _: wrappers.test_adapters_run_and_their_twin_has_none(),
    ),
    Given(
        "weights quantized to int8 (torchao)",
        "as they are; their packed values are part of the identity",
        lambda _: wrappers.test_int8_weights_of_torchao_are_recorded_and_hashed(),
    ),
    Given("a classifier", "recorded; predictions of tokens are refused", _head),
    Given("a model inside `torch.inference_mode()`", "everything works, Jacobians as well",
          lambda _: wrappers.test_everything_works_inside_inference_mode()),
    Given("a prompt-tuned model", "", _prompt_tuned, ModelError),
    Given("a folder of `save_pretrained`", "its weights, all of them", _folder),
    Given("weights of a compiled model (`_orig_mod. ...`)", "",
          _rewritten(lambda w: {f"_orig_mod.{name}": value for name, value in w.items()}),
          ModelError),
    Given("weights that lack a layer", "",
          _rewritten(lambda w: {n: value for n, value in w.items() if "layers.1." not in n}),
          ModelError),
    Given("weights of more layers than the configuration", "",
          _rewritten(lambda w: {**w, "model.layers.3.mlp.up_proj.weight": torch.ones(32, 16)}),
          ModelError),
    Given("weights without their head", "",
          _rewritten(lambda w: {n: value for n, value in w.items() if "lm_head" not in n}),
          ModelError),
    Given("weights cut off", "", _broken("model.safetensors", None), ModelError),
    Given("a pointer of git-lfs", "", _broken("model.safetensors", checkpoints.POINTER),
          ModelError),
    Given("a broken `config.json`", "", _broken("config.json", b"{"), ModelError),
    Given("a single weight file", "", _single("model.pkl", b"\x80\x04"), ModelError),
    Given("a file called `.gguf` that is none", "", _single("a.gguf", b"GGUX"), ModelError),
    Given("an object that is no model", "", lambda _: td.load_model(3), ModelError),
    Given("the same folder after training in place", "",
          _changed(test_identity._trained_in_place), RecordingError),
    Given("the same folder after adding a hook", "",
          _changed(test_identity._steered), RecordingError),
    Given("the same folder after changing a norm's epsilon", "",
          _changed(test_identity._other_epsilon), RecordingError),
    Given("an address as a folder, `s3://...`", "", _home, TdynError),
]  # fmt: skip
