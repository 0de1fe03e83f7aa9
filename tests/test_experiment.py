"""The main job on a tiny model: files, resuming, determinism, and what is not done again."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import tiny
import toy
from transformer_dynamics.claims.options import draws_needed
from transformer_dynamics.errors import TdynError
from transformer_dynamics.experiment import Experiment, Settings, load_verdicts, report_run
from transformer_dynamics.experiment import experiment as stages
from transformer_dynamics.experiment import verdicts as testing
from transformer_dynamics.experiment.measurements import COMPARISON
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.registry import CLAIMS, MEASURES, PERTURBATIONS
from transformer_dynamics.storage.results import load_result, save_result

QUICK = Settings(n_null=9, n_bootstrap=19, n_twins=2, seed=4, n_perturbed=4)


class Told:
    """A reporter that remembers."""

    def __init__(self):
        self.begun, self.skips, self.refusals = [], [], {}

    @contextmanager
    def stage(self, name, unit):
        self.begun.append(name)
        yield lambda done, total: None

    def skipped(self, name):
        self.skips.append(name)

    def refused(self, name, why):
        self.refusals[name] = why


@pytest.fixture(scope="module")
def model():
    return tiny.model("llama")


@pytest.fixture(scope="module")
def texts():
    return tiny.words(tiny.token_lists(14))


@pytest.fixture(scope="module")
def finished(model, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    verdicts = Experiment(model, texts, out, QUICK).run()
    return out, verdicts


def test_a_run_leaves_everything(finished, texts):
    out, verdicts = finished
    assert open_recording(out / "recording.zarr").texts == tuple(texts)
    for name in ("untrained-4", "untrained-5", "shuffled_tokens"):
        null = open_recording(out / "nulls" / f"{name}.zarr")
        assert null.shape == open_recording(out / "recording.zarr").shape
    for name in (*MEASURES.all(), *PERTURBATIONS.all()):
        assert load_result(out / "results.zarr", name).attrs["measure"] == name
    assert (out / "report.html").stat().st_size > 1e6
    entries = json.loads((out / "claims.json").read_text())
    assert [entry["id"] for entry in entries] == list(CLAIMS.all())
    assert entries == [verdict.as_json() for verdict in verdicts]
    run = json.loads((out / "run.json").read_text())
    assert run["seed"] == 4
    assert run["model"] == "tiny-llama"
    assert {"record", "untrained", "test", "report"} <= set(run["stages"])


def test_verdicts_read_back_are_those_that_were_given(finished):
    out, verdicts = finished
    again = load_verdicts(out)
    assert [verdict.as_json() for verdict in again] == [verdict.as_json() for verdict in verdicts]
    assert [verdict.nulls for verdict in again if verdict.id == "C6"] == [
        dict(sorted(verdict.nulls.items())) for verdict in verdicts if verdict.id == "C6"
    ]


def test_what_is_done_is_not_done_again(finished, model, texts):
    out, verdicts = finished
    told = Told()
    again = Experiment(model, texts, out, QUICK, told).run()
    assert told.begun == []
    perturbations = list(PERTURBATIONS.all())
    nulls = ["shuffled_tokens", "untrained"]
    compared = "similarity.between_recordings"
    done = ["record", *nulls, "measure", compared, *perturbations, "test", "report"]
    assert told.skips == done
    assert [v.as_json() for v in again] == [v.as_json() for v in verdicts]


def test_what_changed_is_done_again_and_nothing_else(finished, model, texts, tmp_path):
    out = tmp_path / "c"
    shutil.copytree(finished[0], out)
    told = Told()
    Experiment(model, texts, out, replace(QUICK, n_null=7), told).run()
    assert told.begun == ["test", "report"]


def test_other_texts_in_the_same_folder_are_refused(finished, model):
    out, _ = finished
    before = [(out / name).read_bytes() for name in ("claims.json", "run.json")]
    with pytest.raises(TdynError, match=r"another recording \(tokens"):
        Experiment(model, tiny.words(tiny.token_lists(9)), out, QUICK).run()
    assert [(out / name).read_bytes() for name in ("claims.json", "run.json")] == before


def test_a_run_interrupted_in_any_stage_goes_on(finished, model, texts, tmp_path, monkeypatch):
    out = tmp_path / "d"
    shutil.copytree(finished[0], out)
    for name in ("claims.json", "report.html"):
        (out / name).unlink()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    run = Experiment(model, texts, out, QUICK)
    for module, name in ((testing, "evaluate_claims"), (stages, "report_run")):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.run()
    told = Told()
    Experiment(model, texts, out, QUICK, told).run()
    assert told.begun == ["report"]
    assert (out / "claims.json").read_bytes() == (finished[0] / "claims.json").read_bytes()


def test_a_perturbation_alone_is_the_one_that_a_whole_run_makes(finished, model, texts, tmp_path):
    out, told, name = tmp_path / "p", Told(), "perturbation.teleport"
    made = Experiment(model, texts, out, QUICK, told).perturb([name])
    assert list(made) == [name]
    assert told.begun == ["record", "untrained", name, "report"]
    # A whole run in this folder goes on from here: it finds the same result of the same inputs.
    alone, whole = (load_result(folder / "results.zarr", name) for folder in (out, finished[0]))
    xr.testing.assert_identical(alone, whole)
    inputs = [
        json.loads((folder / "run.json").read_text())["stages"][name]["inputs"]
        for folder in (out, finished[0])
    ]
    assert inputs[0] == inputs[1]


def test_fewer_perturbed_texts_are_another_result(model, texts, tmp_path):
    name = "perturbation.skip_and_swap"
    for n_texts in (3, 4):
        settings = replace(QUICK, n_perturbed=n_texts)
        made = Experiment(model, texts, tmp_path / "n", settings).perturb([name])
        assert made[name].sizes["sample"] == n_texts


def test_an_encoder_runs_without_what_needs_a_decoder(texts, tmp_path):
    encoder = tiny.model("bert")
    told = Told()
    verdicts = Experiment(encoder, texts, tmp_path / "f", QUICK, told).run()
    assert set(told.refusals) == set(PERTURBATIONS.all())
    reasons = ("not causal", "has no head")
    assert all(any(each in why for each in reasons) for why in told.refusals.values())
    assert {verdict.id for verdict in verdicts} == {
        name for name, claim in CLAIMS.all().items() if claim.perturbation is None
    }
    assert "not causal" in (tmp_path / "f" / "report.html").read_text()
    with pytest.raises(TdynError, match="not causal"):
        Experiment(encoder, texts, tmp_path / "f", QUICK).perturb()


def test_chosen_claims_measures_and_perturbations_are_all_that_is_done(model, texts, tmp_path):
    out, told = tmp_path / "chosen", Told()
    measures, perturbations = ["paths.kinematics"], ["perturbation.skip_and_swap"]
    chosen = replace(QUICK, measures=measures, perturbations=perturbations)
    verdicts = Experiment(model, texts, out, chosen, told).run()
    by_claim = {name: claim.perturbation for name, claim in CLAIMS.all().items()}
    left_out = {name for name, needed in by_claim.items() if needed not in (None, *perturbations)}
    assert left_out
    assert set(told.refusals) == left_out
    assert all("is not chosen" in why for why in told.refusals.values())
    assert [verdict.id for verdict in verdicts] == [c for c in by_claim if c not in left_out]
    made = {name for name in (*MEASURES.all(), *PERTURBATIONS.all()) if exists(out, name)}
    assert made == {*measures, *perturbations}
    one = replace(chosen, claims=["C4"], n_null=None)
    told = Told()
    (verdict,) = Experiment(model, texts, out, one, told).run()
    assert told.begun == ["test", "report"]
    assert json.loads((out / "run.json").read_text())["n_null"] == draws_needed(1)
    alone = {claim.id: claim for claim in verdicts}["C4"]
    assert verdict.value == alone.value
    assert json.loads((out / "claims.json").read_text()) == [verdict.as_json()]
    told = Told()
    more = replace(one, measures=[*measures, "paths.path_geometry"])
    Experiment(model, texts, out, more, told).run()
    assert told.begun == ["measure", "report"]
    assert exists(out, "paths.path_geometry")


def exists(out, name):
    return load_result(out / "results.zarr", name) is not None


def test_a_run_without_claims_measures_and_perturbations(model, texts, tmp_path):
    told = Told()
    nothing = replace(QUICK, claims=[], measures=[], perturbations=[])
    assert list(Experiment(model, texts, tmp_path / "none", nothing, told).run()) == []
    assert told.begun == ["record", "untrained", COMPARISON, "test", "report"]
    assert json.loads((tmp_path / "none" / "claims.json").read_text()) == []


def test_positions_and_storage_are_those_of_the_recording(model, texts, tmp_path):
    few = replace(QUICK, claims=["C4"], measures=[], perturbations=[], positions="random:2")
    stored = replace(few, recording=RecordingOptions(storage="float16", seed=3))
    Experiment(model, texts, tmp_path / "random", stored).run()
    for path in ("recording.zarr", "nulls/untrained-4.zarr"):
        recording = open_recording(tmp_path / "random" / path)
        assert recording.shape[0] == sum(min(2, len(text.split())) for text in texts)
        assert recording.values.dtype == np.float16
    assert open_recording(tmp_path / "random/recording.zarr").provenance["seed"] == 3
    with pytest.raises(TdynError, match="another recording"):
        Experiment(model, texts, tmp_path / "random", replace(stored, positions="last")).run()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"claims": ["C4", "C99"]}, r"no claim 'C99'; there are: C1,"),
        ({"measures": ["magic"]}, r"no measure 'magic'; there are: dimension\."),
        (
            {"claims": ["C4", "C8"], "perturbations": ["perturbation.basin"]},
            r"C8 need perturbation\.recovery, .*s perturbation\.basin,perturbation\.recovery",
        ),
    ],
)
def test_choices_that_cannot_be_done_are_refused_before_anything_is_recorded(
    settings, message, model, texts, tmp_path
):
    with pytest.raises(TdynError, match=message):
        Experiment(model, texts, tmp_path / "h", replace(QUICK, **settings)).run()
    assert not (tmp_path / "h").exists()


def test_an_unknown_perturbation_is_named(model, texts, tmp_path):
    with pytest.raises(TdynError, match=r"no perturbation 'push'; there are: perturbation\.basin"):
        Experiment(model, texts, tmp_path / "g", QUICK).perturb(["push"])


def test_claims_of_an_earlier_version_are_refused_and_written_again(
    finished, model, texts, tmp_path
):
    out = tmp_path / "old"
    shutil.copytree(finished[0], out)
    evidence = load_result(out / "results.zarr", "claims/C6")
    save_result(out / "results.zarr", "claims/C6", evidence.drop_vars("statistic_low"))
    for read in (load_verdicts, report_run):
        with pytest.raises(
            TdynError, match=r"1 claims in .*old, the first C6, without statistic_lo"
        ):
            read(out)
    told = Told()
    Experiment(model, texts, out, QUICK, told).run()
    assert told.begun == ["test"]
    assert (out / "claims.json").read_bytes() == (finished[0] / "claims.json").read_bytes()


def test_an_illustration_under_its_earlier_name_is_refused(finished, tmp_path):
    out = tmp_path / "earlier"
    shutil.copytree(finished[0], out)
    evidence = load_result(out / "results.zarr", "claims/C1").rename(illustration="picture")
    save_result(out / "results.zarr", "claims/C1", evidence)
    with pytest.raises(TdynError, match="the first C1, without illustration"):
        report_run(out)


def test_results_of_no_registered_measure_are_left_out_and_named(finished, tmp_path):
    out = tmp_path / "plugin"
    shutil.copytree(finished[0], out)
    result = load_result(out / "results.zarr", "paths.kinematics")
    save_result(out / "results.zarr", "population.kinematics", result)
    with pytest.warns(UserWarning, match=r"leaves out population\.kinematics: no measure"):
        page = report_run(out).read_text()
    assert "population.kinematics" not in page


def test_report_of_a_folder_without_a_run(tmp_path):
    with pytest.raises(TdynError, match="there is no run in"):
        report_run(tmp_path)


def test_a_toy_measure_and_claim_appear_everywhere(finished, model, texts, tmp_path):
    shutil.copytree(finished[0], tmp_path / "e")
    with toy.registered():
        Experiment(model, texts, tmp_path / "e", QUICK).run()
    entries = {entry["id"]: entry for entry in json.loads((tmp_path / "e/claims.json").read_text())}
    assert entries["T1"]["statement"] == toy.STATEMENT
    assert np.isfinite(entries["T1"]["value"])
    assert set(entries["T1"]["nulls"]) == {"random_walk"}
    page = (tmp_path / "e" / "report.html").read_text()
    assert toy.STATEMENT in page
    assert 'id="measure-toy.largest"' in page
    assert load_result(tmp_path / "e" / "results.zarr", "toy.largest").attrs["title"] == toy.TITLE
    assert "T1" not in CLAIMS.all()
