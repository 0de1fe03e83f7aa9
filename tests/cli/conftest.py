"""A small model, a text file, and the command run in this process."""

import sys

import pytest

import tiny
from transformer_dynamics.cli import main as cli


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A model's folder as save_pretrained writes it."""
    path = tmp_path_factory.mktemp("model") / "tiny-llama"
    tiny.hf_model("llama").save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(tiny.words(tiny.token_lists(14))))
    return path


@pytest.fixture
def tdyn(monkeypatch, capsys):
    """Run the command in this process: exit status, standard output, standard error."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tdyn", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
