"""Paths: the home folder is one folder, addresses are refused, and nothing lands elsewhere."""

from pathlib import Path

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.cli.main import main
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment import Experiment, report_run
from transformer_dynamics.recording.moments.moments import open_moments
from transformer_dynamics.recording.record import record

LISTS = tiny.token_lists(4)


@pytest.fixture
def home(tmp_path, monkeypatch):
    folder = tmp_path / "home"
    folder.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.chdir(here)
    return folder


def test_the_home_folder_holds_the_whole_recording(home):
    model = tiny.model("llama")
    record(model, LISTS, out="~/x.zarr")
    assert sorted(path.name for path in home.iterdir() if path.name[0] != ".") == ["x.zarr"]
    made = td.open_recording("~/x.zarr")
    np.testing.assert_array_equal(made.values, record(model, LISTS).values)
    record(model, LISTS, out="~/x.zarr")
    made.load().save("~/copy.zarr")
    record(model, LISTS, keep="moments", out="~/m.zarr")
    assert open_moments("~/m.zarr").shape == open_moments(home / "m.zarr").shape
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize("address", ["s3://bucket/x.zarr", "gs://b/x.zarr", "https://h/x.zarr"])
def test_addresses_are_refused_and_make_no_folder(address, home):
    model = tiny.model("llama")
    recording = record(model, LISTS)
    for call in (
        lambda: record(model, LISTS, out=address),
        lambda: record(model, LISTS, out=Path(address)),
        lambda: recording.save(address),
        lambda: open_moments(address),
        lambda: td.write_report(address, {}, [], recording=recording),
        lambda: Experiment(model, LISTS, address),
        lambda: report_run(Path(address)),
        lambda: td.load_model(address),
    ):
        with pytest.raises(TdynError, match="of this machine"):
            call()
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize("path", [None, 3, "", b"a", "a\0b"])
def test_what_is_no_path_is_refused(path, home):
    if path is not None:
        with pytest.raises(TdynError, match=r"as a path|got the path"):
            record(tiny.model("llama"), LISTS, out=path)
    with pytest.raises(TdynError, match=r"as a path|got the path"):
        td.open_recording(path)


@pytest.mark.parametrize("given", ["..", "../model/.", "."])
def test_a_run_of_a_folder_without_a_name_of_its_own_goes_to_runs(given, home, monkeypatch):
    """The folder of the run is called as the model's folder is, wherever the command stands."""
    folder = Path.cwd() / "model"
    tiny.hf_model("llama").save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    inside = folder / "inside"
    inside.mkdir()
    monkeypatch.chdir(folder if given != ".." else inside)
    texts = home / "texts.txt"
    texts.write_text("\n".join(tiny.words(LISTS)))
    before = set(Path.cwd().iterdir())
    command = ["tdyn", "perturb", given, "--texts", str(texts), "--perturbations", "nothing"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit):
        main()
    assert td.load_model(given).name == "model"
    assert {path.name for path in set(Path.cwd().iterdir()) - before} <= {"runs"}
