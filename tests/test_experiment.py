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
from transformer_dynamics.experiment.costs import QUICK_MEASURES
from transformer_dynamics.experiment.page import RunPage
from transformer_dynamics.experiment.run import Run
from transformer_dynamics.experiment.stages import claim_tests, recordings
from transformer_dynamics.experiment.stages.measurements import COMPARISON
from transformer_dynamics.experiment.verdicts import SLOW_CLAIM_TESTS
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.recording import open_recording
from transformer_dynamics.recording.options import RecordingOptions
from transformer_dynamics.registry import CLAIMS, MEASURES, PERTURBATIONS
from transformer_dynamics.storage.results import load_result, save_result

QUICK = Settings(n_null=9, n_bootstrap=19, n_twins=2, seed=4, n_perturbed=3)
# Every kind of stage once or twice, for what happens in a folder that is there already.
FEW = replace(
    QUICK,
    claims=["C1", "C4", "C6", "C8", "C11", "C12"],
    measures=["paths.kinematics", "units.correlation"],
    perturbations=["perturbation.recovery", "perturbation.skip_and_swap"],
)

# Stage that tests the claims of each perturbation that has any.
CLAIMS_OF = {
    claim.perturbation: f"claims of {claim.perturbation}"
    for claim in CLAIMS.all().values()
    if claim.perturbation is not None
}
FEW_CLAIMS_OF = {CLAIMS_OF[name] for name in FEW.perturbations}


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


class Saving(Told):
    """A reporter that keeps a copy of every page."""

    def __init__(self, out):
        super().__init__()
        self._out, self._pages = out, out.parent / "pages"
        self._pages.mkdir()

    @contextmanager
    def stage(self, name, unit):
        with super().stage(name, unit) as advance:
            yield advance
        if name == "report":
            number = len(list(self._pages.iterdir()))
            shutil.copy(self._out / "report.html", self._pages / f"{number}.html")


@pytest.fixture(scope="module")
def whole_run(model, texts, tmp_path_factory):
    out = tmp_path_factory.mktemp("run") / "a"
    told = Saving(out)
    return out, Experiment(model, texts, out, QUICK, told).run(), told.begun


@pytest.fixture(scope="module")
def finished(whole_run):
    return whole_run[:2]


@pytest.fixture(scope="module")
def begun(whole_run):
    return whole_run[2]


@pytest.fixture(scope="module")
def small(model, texts, tmp_path_factory):
    """Folder of a finished run of `FEW`."""
    out = tmp_path_factory.mktemp("small") / "s"
    Experiment(model, texts, out, FEW).run()
    return out


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
    assert {"record", "untrained", "claims", "report"} <= set(run["stages"])
    assert run["pending"] == []


def test_the_page_grows_in_the_order_of_the_stages(finished, begun):
    """Each page but the last names what is still to come, and shows nothing of it."""
    order = [name for name in begun if name not in CLAIMS_OF.values()]
    slow = sorted(set(MEASURES.all()) - set(QUICK_MEASURES))
    assert order[:4] == ["record", "measure", "report", "shuffled_tokens"]
    assert order[4:8] == ["untrained", "claims", "report", "measure"]
    assert order[8:11] == [COMPARISON, SLOW_CLAIM_TESTS, "report"]
    assert order[11:-1:2] == list(PERTURBATIONS.all())
    assert set(order[12::2]) == {"report"}
    pages = finished[0].parent / "pages"
    first, second, third, *others = (
        (pages / f"{n}.html").read_text() for n in range(len(list(pages.iterdir())))
    )
    for name in QUICK_MEASURES:
        assert f'id="measure-{name}"' in first
    assert "No claim is tested yet." in first
    assert 'id="C1"' in second
    assert 'id="C12"' not in second
    assert 'id="C12"' in third
    assert 'id="C8"' not in second
    for page, shown in ((first, False), (second, False), (third, True)):
        for name in slow:
            assert (f'id="measure-{name}"' in page) == shown
            assert (f"<td>{name}</td>" in pending_part(page)) != shown
    for n_done, page in enumerate(others, 1):
        for number, name in enumerate(PERTURBATIONS.all()):
            assert (f'id="measure-{name}"' in page) == (number < n_done)
            assert (f"<td>{name}</td>" in pending_part(page)) == (number >= n_done)
    assert 'id="C8"' in others[-1]


def pending_part(page):
    return page.split('<table id="pending-table">')[-1].split("</table>")[0]


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
    done = ["record", "measure", *nulls, "claims", "measure", COMPARISON, SLOW_CLAIM_TESTS]
    for name in perturbations:
        done += [name, CLAIMS_OF[name]] if name in CLAIMS_OF else [name]
    assert told.skips == [*done, "report"]
    assert [v.as_json() for v in again] == [v.as_json() for v in verdicts]


def test_a_run_with_panels_follows_one_without(model, texts, tmp_path, monkeypatch):
    monkeypatch.setattr(recordings, "CONTROL_TEXTS", 4)
    made = {}
    for panels in (False, True, False):
        run = Run(model, texts, tmp_path / "run", replace(QUICK, panels=panels))
        recording = recordings.record_model(run)
        (made[panels],) = recordings.record_nulls(run, recording, {"shuffled_tokens"})[
            "shuffled_tokens"
        ]
    assert made[False].shape[0] == 4 < made[True].shape[0] == recording.shape[0]
    rows = np.flatnonzero(np.isin(made[True].text_index, made[False].text_index))
    np.testing.assert_allclose(made[True].values[rows], made[False].values, rtol=1e-4, atol=1e-5)


def test_what_changed_is_done_again_and_nothing_else(small, model, texts, tmp_path):
    out = tmp_path / "c"
    shutil.copytree(small, out)
    told = Told()
    Experiment(model, texts, out, replace(FEW, n_null=7), told).run()
    assert set(told.begun) == {"claims", SLOW_CLAIM_TESTS, *FEW_CLAIMS_OF, "report"}


def test_twins_that_the_ledger_knows_are_not_built_again(
    small, model, texts, tmp_path, monkeypatch
):
    out = tmp_path / "t"
    shutil.copytree(small, out)
    nothing = replace(FEW, claims=["C1"], measures=[], perturbations=[])

    def built(*_):
        raise AssertionError("a twin was built")

    with monkeypatch.context() as patch:
        patch.setattr(Model, "untrained_twin", built)
        Experiment(model, texts, out, nothing).run()
        patch.setattr(recordings, "system_information", lambda: {"torch": "another"})
        with pytest.raises(AssertionError, match="a twin was built"):
            Experiment(model, texts, out, nothing).run()
    # Another twin's recording under this name is compared with the model, and refused.
    one, other = (out / "nulls" / f"untrained-{seed}.zarr" for seed in (4, 5))
    shutil.rmtree(one)
    shutil.copytree(other, one)
    with pytest.raises(TdynError, match="another recording"):
        Experiment(model, texts, out, nothing).run()
    # A missing chunk is made again.
    shutil.rmtree(one)
    shutil.copytree(small / "nulls" / one.name, one)
    chunk = next(path for path in (one / "activation" / "c").rglob("*") if path.is_file())
    before = chunk.read_bytes()
    chunk.unlink()
    Experiment(model, texts, out, nothing).run()
    assert chunk.read_bytes() == before


def test_claims_are_tested_again_where_their_result_is_another(small, model, texts, tmp_path):
    out, name = tmp_path / "replaced", "perturbation.recovery"
    shutil.copytree(small, out)
    store, before = out / "results.zarr", load_verdicts(small)
    result = load_result(store, name)
    moved = {each: values + 1.0 for each, values in result.items() if values.dtype.kind == "f"}
    save_result(store, name, result.assign(moved))
    told = Told()
    replaced = Experiment(model, texts, out, FEW, told).run()
    assert told.begun == [CLAIMS_OF[name], "report"]
    values = [{each.id: each.value for each in verdicts} for verdicts in (before, replaced)]
    assert values[0]["C8"] != values[1]["C8"]
    shutil.rmtree(store / name)
    told = Told()
    made = Experiment(model, texts, out, FEW, told).run()
    assert told.begun == [name, CLAIMS_OF[name], "report"]
    assert [each.as_json() for each in made] == [each.as_json() for each in before]


def test_a_result_that_somebody_added_is_on_the_next_page(small, model, texts, tmp_path):
    out, told = tmp_path / "added", Told()
    shutil.copytree(small, out)
    with toy.registered():
        largest = MEASURES.get("toy.largest").function(open_recording(out / "recording.zarr"))
        save_result(out / "results.zarr", "toy.largest", largest)
        Experiment(model, texts, out, FEW, told).run()
        assert told.begun == ["report"]
        assert 'id="measure-toy.largest"' in (out / "report.html").read_text()


def test_other_texts_in_the_same_folder_are_refused(finished, model):
    out, _ = finished
    before = [(out / name).read_bytes() for name in ("claims.json", "run.json")]
    with pytest.raises(TdynError, match=r"another recording \(tokens"):
        Experiment(model, tiny.words(tiny.token_lists(9)), out, QUICK).run()
    assert [(out / name).read_bytes() for name in ("claims.json", "run.json")] == before


def test_a_run_interrupted_in_any_stage_goes_on(small, model, texts, tmp_path, monkeypatch):
    out = tmp_path / "d"
    shutil.copytree(small, out)
    for name in ("claims.json", "report.html"):
        (out / name).unlink()

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    run = Experiment(model, texts, out, FEW)
    for place, name in ((claim_tests, "evaluate_claims"), (RunPage, "write")):
        with monkeypatch.context() as patch:
            patch.setattr(place, name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                run.run()
    told = Told()
    Experiment(model, texts, out, FEW, told).run()
    # The claims of the recording were stored before the page that was interrupted.
    assert set(told.begun) == {SLOW_CLAIM_TESTS, *FEW_CLAIMS_OF, "report"}
    assert (out / "claims.json").read_bytes() == (small / "claims.json").read_bytes()


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
    settings = replace(QUICK, measures=["paths.kinematics"])
    verdicts = Experiment(encoder, texts, tmp_path / "f", settings, told).run()
    assert set(told.refusals) == set(PERTURBATIONS.all())
    reasons = ("not causal", "has no head")
    assert all(any(each in why for each in reasons) for why in told.refusals.values())
    assert {verdict.id for verdict in verdicts} == {
        name for name, claim in CLAIMS.all().items() if claim.perturbation is None
    }
    assert "not causal" in (tmp_path / "f" / "report.html").read_text()
    with pytest.raises(TdynError, match="not causal"):
        Experiment(encoder, texts, tmp_path / "f", settings).perturb()


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
    assert told.begun == ["claims", "report"]
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
    assert told.begun == ["record", "untrained", "report", COMPARISON, "report"]
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


def test_claims_of_an_earlier_version_are_refused_and_written_again(small, model, texts, tmp_path):
    out = tmp_path / "old"
    shutil.copytree(small, out)
    evidence = load_result(out / "results.zarr", "claims/C6")
    save_result(out / "results.zarr", "claims/C6", evidence.drop_vars("statistic_low"))
    for read in (load_verdicts, report_run):
        with pytest.raises(
            TdynError, match=r"1 claims in .*old, the first C6, without statistic_lo"
        ):
            read(out)
    told = Told()
    Experiment(model, texts, out, FEW, told).run()
    assert set(told.begun) == {"claims", "report"}
    assert (out / "claims.json").read_bytes() == (small / "claims.json").read_bytes()


def test_an_illustration_under_its_earlier_name_is_refused(small, tmp_path):
    out = tmp_path / "earlier"
    shutil.copytree(small, out)
    evidence = load_result(out / "results.zarr", "claims/C1").rename(illustration="picture")
    save_result(out / "results.zarr", "claims/C1", evidence)
    with pytest.raises(TdynError, match="the first C1, without illustration"):
        report_run(out)


def test_results_of_no_registered_measure_are_left_out_and_named(small, tmp_path):
    out = tmp_path / "plugin"
    shutil.copytree(small, out)
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
