"""Models: what can be loaded, that nothing of the caller's is changed, and the bundled default."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
import transformers

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import ModelError
from transformer_dynamics.model.loading import ModelOptions
from transformer_dynamics.model.weights.checkpoints import quiet_transformers
from transformer_dynamics.recording.record import record
from transformer_dynamics.storage import assets


@pytest.fixture(scope="module")
def bundled():
    return td.load_model()


@pytest.mark.bundled
def test_bundled_model_speaks_english(bundled):
    tokens = bundled.tokenizer("The capital of France is", return_tensors="pt")
    with torch.inference_mode():
        following = bundled.hf_model(**tokens).logits[0, -1].argmax()
    assert bundled.tokenizer.decode(following) == " Paris"
    assert bundled.dtype == "float32"
    assert bundled.context_length == 8192
    assert len(bundled.sites) == 61


@pytest.mark.bundled
def test_bundled_recording_equals_hidden_states(bundled):
    """pre_attn equals hidden_states; what lies between is x + attention and leads on by the MLP."""
    texts = td.load_texts(n=5, seed=3)
    recording = record(bundled, texts)
    layers = bundled.trunk.layers
    for index, tokens in enumerate(recording.token_lists):
        with torch.inference_mode():
            hidden = bundled.trunk(
                input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False
            ).hidden_states
        states = torch.tensor(recording.values[index])
        for layer, block in enumerate(layers):
            wanted = hidden[layer][0, -1]
            assert (states[2 * layer] - wanted).norm() < 1e-5 * wanted.norm()
            m, y = states[2 * layer + 1], states[2 * layer + 2]
            with torch.inference_mode():
                branch = block.mlp(block.post_attention_layernorm(m[None]))[0]
            assert (m + branch - y).norm() < 1e-5 * y.norm()


@pytest.mark.bundled
def test_gguf_file_of_the_users_is_the_same_model(bundled):
    model = td.load_model(assets.fetch(assets.SMOLLM2))
    assert model.weight_hash == bundled.weight_hash
    assert model.name == "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.mark.parametrize(
    "asked",
    [
        {"dtype": "bfloat16"},
        {"device": "cuda:0"},
        {"options": ModelOptions(attention="flash_attention_2")},
    ],
)
def test_options_that_a_model_already_built_does_not_have_are_refused(asked):
    built = tiny.model("llama")
    for model in (built, built.hf_model):
        name = "attention" if "options" in asked else next(iter(asked))
        with pytest.raises(ModelError, match=rf"a model in memory and {name}=.*the model has"):
            td.load_model(model, **asked)
        actual = ModelOptions(attention=built.attention_implementation)
        assert td.load_model(model, device="cpu", options=actual).hf_model is built.hf_model


def test_model_already_built_is_taken_as_it_is():
    hf_model = tiny.hf_model("gpt2").train()
    before = {name: weight.clone() for name, weight in hf_model.state_dict().items()}
    model = td.load_model(hf_model, tokenizer=tiny.tokenizer())
    record(model, ["w1 w2", "w3"])
    assert hf_model.training
    assert model.hf_model is hf_model
    for name, weight in hf_model.state_dict().items():
        assert torch.equal(weight, before[name])


def test_folder_and_precision(tmp_path):
    tiny.hf_model("llama").save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    exact = td.load_model(tmp_path, dtype="float64", device="cpu")
    coarse = td.load_model(
        str(tmp_path), dtype="bfloat16", offline=True, options=ModelOptions(attention="eager")
    )
    assert (exact.dtype, coarse.dtype) == ("float64", "bfloat16")
    assert coarse.attention_implementation == "eager"
    texts = tiny.words(tiny.token_lists(4))
    first, second = record(exact, texts), record(coarse, texts)
    assert str(first.values.dtype) == "float64"
    assert str(second.values.dtype) == "float32"
    error = abs(first.values - second.values).max() / abs(first.values).max()
    assert 1e-5 < error < 0.1


def test_weight_hash_changes_with_a_single_weight():
    model, same, other = tiny.model(), tiny.model(), tiny.model()
    with torch.no_grad():
        other.hf_model.lm_head.weight[0, 0] += 1e-3
    assert model.weight_hash == same.weight_hash
    assert model.weight_hash != other.weight_hash


def test_untrained_twin_has_new_weights_and_leaves_the_random_state_alone():
    model = tiny.model("llama")
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    twin, again, other = (model.untrained_twin(seed) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert twin.weight_hash == again.weight_hash
    assert len({model.weight_hash, twin.weight_hash, other.weight_hash}) == 3
    assert twin.sites == model.sites
    assert not twin.hf_model.training


def test_nulls_that_run_a_model():
    model = tiny.model("llama")
    recording = record(model, tiny.token_lists(8))
    twin = td.nulls.untrained(recording, model=model, seed=1)
    assert twin.shape == recording.shape
    assert twin.provenance["weights"] == model.untrained_twin(1).weight_hash
    assert twin.token_lists == recording.token_lists
    shuffled = td.nulls.shuffled_tokens(recording, model=model, seed=1)
    assert shuffled.token_lists != recording.token_lists
    for one, other in zip(shuffled.token_lists, recording.token_lists, strict=True):
        assert sorted(one) == sorted(other)
    again = td.nulls.shuffled_tokens(recording, model=model, seed=1)
    assert again.digest == shuffled.digest


def test_begin_token_stays_in_front_when_tokens_are_shuffled():
    model = tiny.model("llama")
    model.tokenizer.bos_token = "w9"
    recording = record(model, [[9, *ids] for ids in tiny.token_lists(8)])
    shuffled = td.nulls.shuffled_tokens(recording, model=model, seed=0)
    assert {ids[0] for ids in shuffled.token_lists} == {9}


def test_nulls_that_run_a_model_need_tokens():
    with pytest.raises(td.recording.recording.RecordingError, match="holds no tokens"):
        td.nulls.untrained(td.synthetic.line(), model=tiny.model())


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            torch.nn.Linear(2, 2),
            "got an object of type Linear; a model is a transformers PreTrainedModel",
        ),
        ("two words", "is not a model"),
        ("/no/such/folder/", "is not a model"),
    ],
)
def test_what_is_no_model_is_refused(model, message):
    with pytest.raises(ModelError, match=message):
        td.load_model(model)


def test_transformers_is_as_loud_after_as_before():
    from transformers.utils import logging

    logging.set_verbosity_info()
    with pytest.raises(ZeroDivisionError), quiet_transformers():
        1 / 0  # noqa: B018
    assert logging.get_verbosity() == logging.INFO
    assert logging.is_progress_bar_enabled()
    logging.set_verbosity_warning()


def test_importing_the_package_loads_neither_torch_nor_transformers():
    code = (
        "import sys, transformer_dynamics as td\n"
        "from transformer_dynamics.cli.main import app\n"
        "heavy = {'torch', 'transformers', 'numpy', 'pandas', 'scipy', 'xarray', 'plotly'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "td.units.correlation, td.dimension.pca, td.stats\n"
        "assert 'torch' not in sys.modules and 'transformers' not in sys.modules\n"
        "assert all(hasattr(td, name) for name in dir(td))\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="attribute nothing"):
        td.nothing  # noqa: B018


def saved(family, folder):
    """A tiny model on disk, as a hub would hand it over."""
    model = tiny.hf_model(family)
    model.config.architectures = [type(model).__name__]
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("family", "loaded"),
    [("llama", "LlamaForCausalLM"), ("bert", "BertModel"), ("modernbert", "ModernBertModel")],
)
def test_the_class_that_the_configuration_names_is_loaded(family, loaded, tmp_path):
    model = td.load_model(saved(family, tmp_path))
    assert type(model.hf_model).__name__ == loaded
    expected = record(tiny.model(family), tiny.token_lists(5))
    np.testing.assert_array_equal(record(model, tiny.token_lists(5)).values, expected.values)


def test_masked_and_multimodal_models_are_loaded_with_their_heads(tmp_path):
    masked = transformers.AutoModelForMaskedLM.from_config(tiny.config("bert"))
    masked.save_pretrained(tmp_path / "masked")
    tiny.tokenizer().save_pretrained(tmp_path / "masked")
    model = td.load_model(tmp_path / "masked")
    assert type(model.hf_model).__name__ == "BertForMaskedLM"
    assert not model.found_sites.causal
    vision = transformers.CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
        image_size=28, patch_size=14,
    )  # fmt: skip
    config = transformers.LlavaConfig(
        vision_config=vision, text_config=transformers.LlamaConfig(**tiny.FULL), image_token_id=63
    )
    transformers.LlavaForConditionalGeneration(config).save_pretrained(tmp_path / "llava")
    tiny.tokenizer().save_pretrained(tmp_path / "llava")
    model = td.load_model(tmp_path / "llava")
    assert type(model.hf_model).__name__ == "LlavaForConditionalGeneration"
    assert len(model.sites) == 7


LAYERS = {f"model.layers.{index}": "cpu" for index in range(3)}
WHOLE = {"model.embed_tokens": "cpu", **LAYERS, "model.norm": "cpu", "model.rotary_emb": "cpu",
         "lm_head": "cpu"}  # fmt: skip


@pytest.mark.parametrize(
    ("spread", "placement"),
    [("sequential", "cpu"), (WHOLE, "cpu"), ({**WHOLE, "model.layers.1": "disk"}, "cpu+disk")],
)
def test_weights_on_several_devices_give_the_same_states(spread, placement, tmp_path):
    folder = saved("llama", tmp_path)
    plain, model = td.load_model(folder, device="cpu"), td.load_model(folder, device=spread)
    assert model.placement == placement
    assert model.weight_hash == plain.weight_hash
    assert model.device.type == "cpu"
    expected = record(plain, tiny.token_lists(6), "all")
    found = record(model, tiny.token_lists(6), "all")
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.provenance["device"] == placement


@pytest.mark.parametrize("spread", ["auto", "sequential", {**WHOLE, "model.layers.1": "disk"}])
def test_a_device_map_replaces_the_device(spread, tmp_path):
    folder = saved("llama", tmp_path)
    model = td.load_model(folder, options=td.ModelOptions(device_map=spread))
    plain = td.load_model(folder, device="cpu")
    found, expected = (record(each, tiny.token_lists(6), "all") for each in (model, plain))
    np.testing.assert_array_equal(found.values, expected.values)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"device": "cpu", "options": td.ModelOptions(device_map="auto")}, "give one of them"),
        ({"options": td.ModelOptions(device_map="everywhere")}, "allowed are auto, balanced"),
    ],
)
def test_a_device_map_that_is_none_is_refused(given, said, tmp_path):
    with pytest.raises(ModelError, match=said):
        td.load_model(saved("llama", tmp_path), **given)


def test_the_command_takes_a_device_map(folder, text_file, tdyn, tmp_path):
    file = tmp_path / "map.json"
    file.write_text(json.dumps(WHOLE))
    made = []
    for number, given in enumerate(("auto", file)):
        out = tmp_path / f"{number}.zarr"
        words = ("record", folder, "--texts", text_file, "--out", out, "--device-map", given)
        status, _, errors = tdyn(*words)
        assert status == 0, errors
        made.append(td.open_recording(out).values)
    np.testing.assert_array_equal(made[0], made[1])
    file.write_text("[]")
    status, _, errors = tdyn("sites", folder, "--device-map", file)
    assert status == 1
    assert "holds no distribution" in errors


def test_spreading_weights_without_accelerate_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ModelError, match="needs the package accelerate"):
        td.load_model(saved("llama", tmp_path), device="balanced")
