"""The command: what it prints, what it leaves, and one clear message for every wrong input."""

import json

import numpy as np
import pytest
import torch

import tiny
import toy
from transformer_dynamics.recording import open_recording
from transformer_dynamics.storage.results import load_result
from transformer_dynamics.texts import cut_texts


def test_run_then_again_then_report(tdyn, folder, text_file, tmp_path):
    words = ("run", folder, "--texts", text_file, "--out", tmp_path / "r")
    words += ("--nulls", 5, "--bootstrap", 9, "--perturbed", 4, "--twins", 2)
    words += ("--perturbations", "perturbation.skip_and_swap")
    status, out, _ = tdyn(*words)
    assert status == 0
    assert "C7" in out
    assert "C11" in out
    assert "report.html" in out
    for name in ("report.html", "claims.json", "recording.zarr", "run.json", "results.zarr"):
        assert (tmp_path / "r" / name).exists()
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["command"].startswith("tdyn run ")
    status, _, err = tdyn(*words)
    assert status == 0
    assert "record: done before" in err
    page = (tmp_path / "r" / "report.html").read_text()
    (tmp_path / "r" / "report.html").unlink()
    assert tdyn("report", tmp_path / "r")[0] == 0
    assert (tmp_path / "r" / "report.html").read_text().count("figure") == page.count("figure")


def test_record_then_measure(tdyn, folder, text_file, tmp_path):
    out = tmp_path / "a.zarr"
    status, text, _ = tdyn("record", folder, "--texts", text_file, "--samples", 5, "--out", out)
    assert status == 0
    assert "5 samples, 7 sites, 16 units" in text
    assert open_recording(out).shape == (5, 7, 16)
    status, text, _ = tdyn("measure", out, "--measures", "paths.path_geometry")
    assert status == 0
    assert "tortuosity" in text
    assert (tmp_path / "results.zarr" / "paths.path_geometry").exists()


def test_record_with_cut_and_groups(tdyn, folder, tmp_path):
    sentences = tiny.words([list(range(5 + n, 15 + n)) for n in range(4)])
    lines = [f"{sentence},{n // 2}" for n, sentence in enumerate(sentences)]
    (tmp_path / "t.csv").write_text("\n".join(["text,page", *lines]))
    words = ("record", folder, "--texts", tmp_path / "t.csv", "--group", "page", "--seed", 3)
    status, _, _ = tdyn(*words, "--cut", "random", "--out", tmp_path / "a.zarr")
    assert status == 0
    cut = open_recording(tmp_path / "a.zarr")
    assert list(cut.texts) == cut_texts(sentences, seed=3)
    assert cut.groups.tolist() == [0, 0, 1, 1]
    assert cut.provenance["texts"]["cut"] == "random"
    tdyn(*words, "--out", tmp_path / "b.zarr")
    assert list(open_recording(tmp_path / "b.zarr").texts) == sentences
    status, _, complaint = tdyn(*words, "--cut", "half", "--out", tmp_path / "c.zarr")
    assert status == 1
    assert "cut='half'" in complaint


def test_sites_prints_the_proof(tdyn, folder, tmp_path):
    status, text, _ = tdyn("sites", folder)
    assert status == 0
    assert "self_attn" in text
    assert "sequential" in text
    assert "7 sites of 16 units" in text
    tiny.hf_model("gpt_neox").save_pretrained(tmp_path / "neox")
    tiny.tokenizer().save_pretrained(tmp_path / "neox")
    assert "no pre_mlp site" in tdyn("sites", tmp_path / "neox")[1].replace("\n", " ")


def test_doctor_and_list(tdyn):
    status, text, _ = tdyn("doctor")
    assert status == 0
    assert "torch" in text
    with toy.registered():
        status, text, _ = tdyn("list")
    assert status == 0
    for name in (
        "orbits.rotation_counts",
        "perturbation.basin",
        "similarity.between_recordings",
        "paper.1B",
        "random_walk",
        "C1",
        "T1",
        "toy.largest",
    ):
        assert name in text


def test_perturb_alone(tdyn, folder, text_file, tmp_path):
    out = tmp_path / "run"
    command = ["perturb", folder, "--texts", text_file, "--out", out, "--perturbed", 3]
    status, text, error = tdyn(*command, "--perturbations", "perturbation.skip_and_swap")
    assert status == 0, error
    assert "agreement, kl" in text
    result = load_result(out / "results.zarr", "perturbation.skip_and_swap")
    assert result.sizes["sample"] == 3
    assert "Layers left out" in (out / "report.html").read_text()
    status, _, error = tdyn(*command, "--perturbations", "push")
    assert status != 0
    assert "no perturbation 'push'" in error


def broken_model(folder):
    model = tiny.hf_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight.fill_(float("nan"))
    model.save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


CASES = {
    "unknown model": (
        lambda p, m, t: ["run", "no-such-owner/no-such-model", "--offline"],
        "cannot load the model 'no-such-owner/no-such-model'",
    ),
    "nonsense model": (lambda p, m, t: ["run", "what is this?"], "is not a model"),
    "no model file": (lambda p, m, t: ["run", t], "is a file; a model is the folder"),
    "broken gguf": (lambda p, m, t: ["run", written(p / "x.gguf", "not a model")], "is not a GGUF"),
    "missing gguf": (lambda p, m, t: ["run", p / "missing.gguf"], "does not exist"),
    "empty folder": (lambda p, m, t: ["run", p], "holds no config.json"),
    "empty text file": (
        lambda p, m, t: ["run", m, "--texts", written(p / "e.txt", "\n \n")],
        "e.txt",
    ),
    "missing text file": (lambda p, m, t: ["run", m, "--texts", p / "none.txt"], "none.txt"),
    "too long": (
        lambda p, m, t: [
            "run",
            m,
            "--samples",
            3,
            "--texts",
            written(p / "l.txt", ("w1 " * 100 + "\n") * 3),
        ],
        "longer than the model's context of 64",
    ),
    "zero samples": (lambda p, m, t: ["run", m, "--texts", t, "--samples", 0], "n="),
    "too many samples": (lambda p, m, t: ["run", m, "--texts", t, "--samples", 99], "14"),
    "unwritable": (
        lambda p, m, t: ["run", m, "--texts", t, "--samples", 14, "--out", "/proc/x"],
        "cannot write to the folder",
    ),
    "nan": (
        lambda p, m, t: ["run", broken_model(p / "nan"), "--texts", t, "--samples", 14],
        "NaN or infinite states",
    ),
    "device": (
        lambda p, m, t: ["run", m, "--texts", t, "--samples", 14, "--device", "gpu9"],
        "device 'gpu9' cannot be used",
    ),
    "dtype": (lambda p, m, t: ["run", m, "--dtype", "int3"], "allowed are float32"),
    "too few": (lambda p, m, t: ["run", m, "--texts", t, "--samples", 2], "at least 3 samples"),
    "no draws": (
        lambda p, m, t: ["run", m, "--texts", t, "--samples", 14, "--nulls", 0],
        "at least 1 and 2",
    ),
    "no recording": (lambda p, m, t: ["measure", p / "none.zarr"], "there is no recording at"),
    "no measure": (
        lambda p, m, t: ["measure", recorded(p), "--measures", "magic"],
        "no measure 'magic'; there are: dimension.autoencoder,",
    ),
    "no run": (lambda p, m, t: ["report", p], "there is no run in"),
}


def three_long_texts(path):
    return written(path / "long.txt", ("w1 " * 100 + "\n") * 3)


def written(path, text):
    path.write_text(text)
    return path


def recorded(path):
    from transformer_dynamics.recording.recording import Recording

    Recording.from_array(np.ones((3, 4, 2))).save(path / "r.zarr")
    return path / "r.zarr"


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_is_one_message(case, tdyn, folder, text_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, message = CASES[case]
    status, _, err = tdyn(*command(tmp_path, folder, text_file))
    assert status not in (0, None)
    assert message in err
    assert "Traceback" not in err
    assert err.count("error:") == 1
    assert list(tmp_path.rglob("report.html")) == []
    if case not in {"too few", "no draws", "no measure"}:
        assert list(tmp_path.rglob("recording.zarr")) in ([], whole_or_none(tmp_path))


def whole_or_none(path):
    """Stores that open as recordings; those still under their partial name do not count."""
    return [store for store in path.rglob("recording.zarr") if ".partial" in str(store)]


def test_interrupt_says_how_to_go_on(tdyn, folder, text_file, tmp_path, monkeypatch):
    from transformer_dynamics.recording.disk import shards

    monkeypatch.setattr(shards, "shard_states", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    words = ("record", folder, "--texts", text_file, "--samples", 5, "--out", tmp_path / "a.zarr")
    status, _, err = tdyn(*words)
    assert status == 130
    assert "To go on: tdyn record" in err
    status, out, _ = tdyn(*words, "--json", "--quiet")
    assert status == 130
    assert json.loads(out)["event"] == "interrupted"
    assert not (tmp_path / "a.zarr").exists()


def test_usage_errors_are_not_tracebacks(tdyn):
    status, _, err = tdyn("run", "--samples", "many")
    assert status == 2
    assert "valid integer" in err
    assert "Traceback" not in err


def test_record_moments_then_measure_them(tdyn, folder, text_file, tmp_path):
    out = tmp_path / "m.zarr"
    words = ("record", folder, "--texts", text_file, "--positions", "all", "--out", out)
    status, text, _ = tdyn(*words, "--keep", "moments")
    assert status == 0
    assert "moments of" in text
    status, text, _ = tdyn("measure", out)
    assert status == 0
    for name in ("units.correlation", "dimension.pca", "paths.kinematics"):
        assert name in text
    assert "orbits.rotation_counts" not in text
    status, _, err = tdyn("measure", out, "--measures", "orbits.rotation_counts")
    assert status == 1
    assert "hold no means of 'orbits.rotation_counts'" in err
    status, _, err = tdyn(*words)
    assert status == 1
    assert "no recording" in err


def test_record_options(tdyn, folder, text_file, tmp_path):
    out = tmp_path / "a.zarr"
    words = ("record", folder, "--texts", text_file, "--out", out)
    status, _, _ = tdyn(*words, "--positions", "random:2", "--storage", "float16", "--seed", 3)
    assert status == 0
    recording = open_recording(out)
    assert recording.values.dtype == np.float16
    assert recording.provenance["positions"] == "random:2"
    assert recording.provenance["seed"] == 3
    status, _, err = tdyn(*words, "--positions", "some")
    assert status == 1
    assert "allowed are 'last', 'last_content', 'all', 'skip:4', 'random:8'" in err


def test_sites_by_hand(tdyn, folder, text_file, tmp_path):
    chosen = {"0.pre_attn": "layers.0:input", "final": "layers.2:output"}
    file = tmp_path / "sites.json"
    file.write_text(json.dumps(chosen))
    status, text, _ = tdyn("sites", folder, "--sites", file)
    assert status == 0
    assert "layers.2" in text
    assert "Named by hand and not proved" in text
    out = tmp_path / "a.zarr"
    status, _, _ = tdyn("record", folder, "--texts", text_file, "--out", out, "--sites", file)
    assert status == 0
    assert open_recording(out).sites == ("0.pre_attn", "final")
    status, _, err = tdyn("sites", folder, "--sites", tmp_path / "none.json")
    assert status == 1
    assert "holds no sites" in err


FEW = ("--nulls", 5, "--bootstrap", 9, "--twins", 2, "--claims", "C4", "--perturbations", "none")
FEW += ("--measures", "paths.kinematics")


def test_json_output_parses_line_by_line(tdyn, folder, text_file, tmp_path):
    log = tmp_path / "logs" / "run.log"
    words = ("run", folder, "--texts", text_file, "--out", tmp_path / "r", *FEW)
    status, out, err = tdyn(*words, "--json", "--log", log)
    assert status == 0
    events = [json.loads(line) for line in out.splitlines()]
    begun = [event["stage"] for event in events if event["event"] == "stage_begin"]
    ended = [event["stage"] for event in events if event["event"] == "stage_end"]
    expected = ["load_model", "load_texts", "record", "measure", "report", "shuffled_tokens"]
    assert begun[: len(expected)] == ended[: len(expected)] == expected
    assert begun[-1] == "report"
    assert "claims" in begun
    result = events[-1]
    assert result["event"] == "result"
    assert [verdict["id"] for verdict in result["verdicts"]] == ["C4"]
    assert result["paths"]["report"] == str(tmp_path / "r" / "report.html")
    assert "record: begins" in err
    assert "C4" in err
    logged = log.read_text()
    assert "tdyn run" in logged.splitlines()[0]
    assert "record: done in" in logged
    assert "report.html" in logged.splitlines()[-1]
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["config"]["claims"] == ["C4"]
    assert run["config"]["preset"] == "standard"
    status, out, err = tdyn(*words, "--quiet")
    assert status == 0
    assert "C4" in out
    assert "record" not in err
    status, _, err = tdyn(*words, "--verbose")
    assert status == 0
    assert "versions: transformer_dynamics" in err
    assert "seconds by stage: load model" in err


def test_json_errors_are_events_and_messages(tdyn, tmp_path):
    log = tmp_path / "a.log"
    status, out, err = tdyn("record", tmp_path / "none.gguf", "--json", "--log", log)
    assert status == 1
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "error"
    assert "none.gguf" in events[-1]["message"]
    assert "error:" in err
    assert "error:" in log.read_text()
    status, out, err = tdyn("measure", tmp_path / "none.zarr", "--json", "--quiet")
    assert status == 1
    assert len(out.splitlines()) == 1
    assert "no recording" in json.loads(out)["message"]
    status, _, err = tdyn("measure", tmp_path / "none.zarr", "--quiet", "--verbose")
    assert status == 2
    assert "exclude each other" in err


def test_json_results_of_the_parts(tdyn, folder, text_file, tmp_path):
    def final(*words):
        status, out, err = tdyn(*words, "--json", "--quiet")
        assert status == 0, err
        return json.loads(out)

    out = tmp_path / "a.zarr"
    words = ("--texts", text_file, "--samples", 6)
    made = final("record", folder, *words, "--out", out)
    assert (made["samples"], made["sites"], made["units"]) == (6, 7, 16)
    assert made["paths"] == {"recording": str(out)}
    made = final("measure", out, "--measures", "paths.path_geometry,units.density")
    assert list(made["measures"]) == ["paths.path_geometry", "units.density"]
    assert "tortuosity" in made["measures"]["paths.path_geometry"]
    names = ("--perturbations", "perturbation.skip_and_swap", "--perturbed", 3, "--twins", 2)
    made = final("perturb", folder, *words, *names, "--out", tmp_path / "r")
    assert list(made["perturbations"]) == ["perturbation.skip_and_swap"]
    made = final("report", tmp_path / "r")
    assert made["paths"]["report"] == str(tmp_path / "r" / "report.html")
    status, _, err = tdyn("perturb", folder, *words, "--perturbations", "none")
    assert status == 1
    assert "no perturbation is chosen" in err
