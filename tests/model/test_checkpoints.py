"""Weights that are broken or do not fit are refused by name; nothing is left random."""

import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

import tiny
import transformer_dynamics as td
from transformer_dynamics.cli.main import main
from transformer_dynamics.errors import ModelError


def _saved(folder, family="llama"):
    hf_model = tiny.hf_model(family)
    hf_model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return hf_model


def _rewrite(folder, change):
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, metadata={"format": "pt"})


def test_a_whole_folder_loads_with_the_weights_that_were_saved(tmp_path):
    saved = _saved(tmp_path)
    loaded = td.load_model(tmp_path)
    assert loaded.weight_hash == td.load_model(saved).weight_hash


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: {f"_orig_mod.{name}": value for name, value in weights.items()},
            r"lm_head.weight, model.embed_tokens.weight.* missing and would be random.*"
            r"_orig_mod\.save_pretrained",
        ),
        (
            lambda weights: {name: w for name, w in weights.items() if "layers.1." not in name},
            r"model.layers.1.input_layernorm.weight, .* missing and would be random",
        ),
        (
            lambda weights: {**weights, "model.layers.3.mlp.up_proj.weight": torch.ones(32, 16)},
            r"model.layers.3.mlp.up_proj.weight is left over",
        ),
        (
            lambda weights: {name: w for name, w in weights.items() if "lm_head" not in name},
            r"lm_head.weight is missing.*head was not saved.*AutoModel",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message, tmp_path):
    _saved(tmp_path)
    _rewrite(tmp_path, change)
    with pytest.raises(ModelError, match=message):
        td.load_model(tmp_path)


def test_fewer_layers_in_the_configuration_than_in_the_weights_are_refused(tmp_path):
    _saved(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    with pytest.raises(ModelError, match=r"model.layers.2.*left over"):
        td.load_model(tmp_path)


@pytest.mark.parametrize("family", ["bert", "roberta", "gpt2", "qwen2_moe", "modernbert"])
def test_whole_folders_of_other_families_load(family, tmp_path):
    saved = _saved(tmp_path, family)
    assert td.load_model(tmp_path).weight_hash == td.load_model(saved).weight_hash


def test_a_masked_model_without_its_pooler_is_whole(tmp_path):
    torch.manual_seed(0)
    transformers.BertForMaskedLM(tiny.config("bert")).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    assert len(td.load_model(tmp_path).sites) == 7


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", POINTER, "pointer of git-lfs.*git lfs pull"),
        ("config.json", POINTER, "pointer of git-lfs"),
        ("model.safetensors", None, "not a complete safetensors file"),
        ("model.safetensors", b"", "not a complete safetensors file"),
        ("model.safetensors", b"\x80\x04\x95pickle", "not a complete safetensors file"),
        ("config.json", b"{", "is not valid JSON"),
        ("config.json", b"[]", "holds no configuration"),
        ("config.json", b'{"model_type": "nothing"}', "cannot load the model"),
    ],
)
def test_broken_files_are_one_sentence_and_exit_1(
    name, content, message, tmp_path, monkeypatch, capsys
):
    _saved(tmp_path)
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-5] if content is None else content)
    with pytest.raises(ModelError, match=message):
        td.load_model(tmp_path)
    monkeypatch.setattr("sys.argv", ["tdyn", "sites", str(tmp_path)])
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    said = capsys.readouterr().err
    (error,) = [line for line in said.splitlines() if "load model: " not in line]
    assert error.startswith("error: ")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("weights.gguf", b"GGUF\x03\x00\x00\x00", "cannot load the model"),
        ("weights.gguf", b"GGUX", "not a GGUF file"),
        ("weights.gguf", POINTER, "pointer of git-lfs"),
        ("model.safetensors", b"12345678", "is a file; a model is the folder"),
        ("model.pkl", b"\x80\x04\x95", "is a file; a model is the folder"),
        ("pytorch_model.bin", POINTER, "pointer of git-lfs"),
    ],
)
def test_single_files_are_refused(name, content, message, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        td.load_model(tmp_path / name)


def test_what_load_model_takes():
    hf_model = tiny.hf_model("llama")
    model = td.load_model(hf_model)
    assert td.load_model(model) is model
    for device in (torch.device("cpu"), "cpu"):
        assert td.load_model(hf_model, device=device).device.type == "cpu"


def test_options_that_would_be_ignored_are_refused(tmp_path):
    model = tiny.model("llama")
    with pytest.raises(ModelError, match="already has its tokenizer and sites"):
        td.load_model(model, tokenizer=tiny.tokenizer())
    for given in (model.hf_model, tmp_path, "smollm2-135m"):
        with pytest.raises(ModelError, match="a model that is not a hub id"):
            td.load_model(given, revision="main")


@pytest.mark.parametrize("device", [torch.device("cpu"), "cpu", "auto"])
def test_devices_of_a_folder(device, tmp_path):
    _saved(tmp_path)
    assert td.load_model(tmp_path, device=device, dtype=torch.float64).dtype == "float64"
