"""Runs of two depths and widths: values of the files, differences, profiles, similarity."""

import json
import shutil

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics.comparison.files import as_json
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.similarity import between_recordings
from transformer_dynamics.storage.files import read_json, write_json
from transformer_dynamics.storage.results import load_result

N_BOOTSTRAP = 99


@pytest.fixture(scope="module")
def compared(runs):
    folders = [runs / "a", runs / "b", runs / "other", runs / "a/nulls/untrained-0.zarr"]
    return td.compare_runs(folders, n_bootstrap=N_BOOTSTRAP)


def test_runs_are_named_by_model_and_folder(compared):
    assert compared.names == [
        "tiny-llama (a)",
        "tiny-5",
        "tiny-llama (other)",
        "tiny-llama (untrained, seed 0)",
    ]


def test_values_and_verdicts_are_those_of_the_runs(runs, compared):
    claims = compared.to_dataset()
    assert claims["claim"].values.tolist() == ["C1", "C2", "C3", "C4", "C11"]
    for place, name in enumerate(("a", "b", "other")):
        for entry in read_json(runs / name / "claims.json"):
            row = claims.isel(run=place).sel(claim=entry["id"])
            assert float(row["value"]) == entry["value"]
            assert row["verdict"].item() == entry["verdict"]
    assert set(claims["verdict"].values[3]) == {"not tested"}
    assert np.isfinite(claims["value"].values[3, :4]).all()


def test_differences_are_those_of_the_values(compared):
    claims = compared.to_dataset()
    defined = np.isfinite(claims["difference"].values)
    assert defined.sum() == 14
    assert not defined[0].any()
    expected = claims["value"].values - claims["value"].values[0]
    assert claims["difference"].values[defined] == pytest.approx(expected[defined], abs=1e-9)
    low, high = claims["difference_low"].values, claims["difference_high"].values
    within = (low <= claims["difference"].values) & (claims["difference"].values <= high)
    assert within[defined].all()
    assert (low < high)[defined].all()


def test_runs_of_the_same_texts_are_paired(compared):
    paired = compared.to_dataset()["paired"].values
    assert paired[1].all()
    assert not paired[2].any()
    assert paired[3].tolist() == [True] * 4 + [False]
    of_c1 = {each.run: each for each in compared.claims[0].differences}
    assert of_c1["tiny-5"].resampling == "paired bootstrap over 12 texts"
    independent = of_c1["tiny-llama (other)"].resampling
    assert independent.startswith("independent bootstrap over 12 and 14 texts, since the texts of")
    assert independent.count("sha256") == 2
    untested = compared.claims[-1].differences[-1]
    assert untested.reason.endswith("has no result of perturbation.skip_and_swap")
    assert np.isnan(untested.value)


def test_a_run_does_not_differ_from_itself(runs, compared):
    same = td.compare_runs([runs / "a", runs / "a"], n_bootstrap=9)
    claims = same.to_dataset().isel(run=1)
    for name in ("difference", "difference_low", "difference_high"):
        assert (claims[name] == 0).all()
    assert np.diag(same.similarities[0].result["cka"].values) == pytest.approx(1.0)
    assert same.names == ["tiny-llama (a) (1)", "tiny-llama (a) (2)"]


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
def test_part_of_the_texts_is_compared_on_what_both_hold(runs):
    recording = td.open_recording(runs / "a" / "recording.zarr").load()
    part = td.open_recording(runs / "b" / "recording.zarr").load().sel(text=list(range(8)))
    whole, both = (
        td.compare_runs([first, part], n_bootstrap=9)
        for first in (recording, recording.sel(text=list(range(8))))
    )
    assert len(whole.claims) > 10
    found = whole.to_dataset()["difference"].values[1]
    assert found == pytest.approx(both.to_dataset()["difference"].values[1], nan_ok=True)
    assert "on the 8 texts that both hold" in whole.claims[0].differences[0].resampling
    assert whole.similarities[0].result.attrs["n_texts"] == 8


def test_profiles_are_stored_results_over_relative_depth(runs, compared):
    by_name = {profile.name: profile for profile in compared.profiles}
    assert {"paths.kinematics.speed", "units.correlation.mean", "units.density.norm"} <= {*by_name}
    cosine = by_name["paths.kinematics.cosine"]
    for curve, folder in zip(cosine.curves, ("a", "b", "other"), strict=False):
        result = load_result(runs / folder / "results.zarr", "paths.kinematics")["cosine"]
        n_sites = result.sizes["step"] + 1
        assert curve.value == pytest.approx(result.mean("sample").values)
        assert curve.depth == pytest.approx((np.arange(n_sites - 1) + 0.5) / (n_sites - 1))
        assert (curve.low <= curve.value).all()
        assert (curve.value <= curve.high).all()
    assert [curve.is_null for curve in cosine.curves] == [False, False, False, True]
    assert by_name["units.correlation.mean"].interval == "none"
    assert by_name["units.correlation.mean"].curves[0].low is None
    assert by_name["units.density.norm"].curves[1].depth[[0, -1]].tolist() == [0.0, 1.0]


def test_profiles_of_claims_are_those_of_the_evidence(runs, compared):
    profiles = {profile.name: profile for profile in compared.claim_profiles}
    assert list(profiles) == ["C1", "C2", "C3", "C4"]
    for name, profile in profiles.items():
        evidence = load_result(runs / "b" / "results.zarr", f"claims/{name}")
        curve = profile.curves[1]
        assert curve.value.tolist() == evidence["profile"].values.tolist()
        assert curve.low.tolist() == evidence["profile_low"].values.tolist()
        assert len(profile.curves) == 4


def test_sites_are_compared_where_the_texts_agree(runs, compared):
    recordings = [td.open_recording(runs / name / "recording.zarr") for name in ("a", "b")]
    expected = between_recordings(*recordings, seed=0)
    first, other, _ = compared.similarities
    assert first.result["cka"].shape == (7, 11)
    assert first.result["cka"].values.tolist() == expected["cka"].values.tolist()
    assert other.result is None
    assert "tiny-llama (other) (sha256" in other.reason


def test_the_same_seed_gives_the_same_numbers(runs, compared):
    folders = [runs / "a", runs / "b", runs / "other", runs / "a/nulls/untrained-0.zarr"]
    again = td.compare_runs(folders, n_bootstrap=N_BOOTSTRAP)
    assert as_json(again) == as_json(compared)
    other = td.compare_runs(folders[:2], n_bootstrap=N_BOOTSTRAP, seed=1).to_dataset()
    low = compared.to_dataset()["difference_low"].values[1]
    assert (other["difference_low"].values[1] != low).any()


def test_a_value_of_another_definition_has_no_difference(runs, tmp_path):
    shutil.copytree(runs / "b", tmp_path / "b")
    entries = read_json(tmp_path / "b" / "claims.json")
    entries[0]["value"] += 0.5
    write_json(tmp_path / "b" / "claims.json", entries)
    (difference,) = (
        td.compare_runs([runs / "a", tmp_path / "b"], n_bootstrap=9).claims[0].differences
    )
    assert np.isnan(difference.value)
    assert "follows another definition" in difference.reason


def test_the_json_file_holds_the_page_in_plain_values(compared, tmp_path):
    page = compared.save(tmp_path / "made" / "page.html")
    assert page == tmp_path / "made" / "page.html"

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    text = (tmp_path / "made" / "page.json").read_text()
    found = json.loads(text, parse_constant=refuse)
    assert found["reference"] == found["runs"][0]["name"] == "tiny-llama (a)"
    assert [run["n_sites"] for run in found["runs"]] == [7, 11, 7, 7]
    assert [run["n_units"] for run in found["runs"]] == [16, 24, 16, 16]
    c1 = found["claims"][0]
    assert c1["runs"][0]["nulls"]["random_walk"]["decides"] is True
    assert c1["differences"][0]["paired"] is True
    assert found["claims"][-1]["differences"][-1]["value"] is None
    assert found["similarity"][0]["cka"] == compared.similarities[0].result["cka"].values.tolist()
    assert "cka" not in found["similarity"][1]


def test_a_notebook_shows_the_page_and_a_terminal_the_claims(compared):
    shown = compared._repr_html_()
    assert shown.startswith('<iframe title="Comparison of runs" sandbox="allow-scripts ')
    assert "Comparison of 4 runs" in shown
    lines = repr(compared).splitlines()
    assert lines[0] == "4 runs, 5 claims"
    assert [line.split()[0] for line in lines[1:]] == ["claim", "C1", "C2", "C3", "C4", "C11"]


def test_figures_are_found_by_name(compared):
    names = compared.drawing_names
    assert {"paths.kinematics.cosine", "C4", "tiny-5"} <= set(names)
    assert "tiny-llama (other)" not in names
    for name in names:
        for drawing in compared.drawings(name):
            assert drawing.plot().get_xlabel()
            assert "N = " in drawing.caption
    with pytest.raises(InputError, match=r"there is no figure 'C99'; there are: paths\.kinematics"):
        compared.drawings("C99")


def unfinished(folder):
    entries = read_json(folder / "run.json")
    pending = [{"stage": "perturbation.recovery", "seconds": None}]
    write_json(folder / "run.json", {**entries, "pending": pending})


def without_page(folder):
    entries = read_json(folder / "run.json")
    entries["stages"].pop("report")
    write_json(folder / "run.json", entries)


def old_run(folder):
    write_json(folder / "run.json", {"model": "m", "command": "tdyn run old"})


def old_claims(folder):
    write_json(folder / "claims.json", [{"id": "C1", "value": 1.0}])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda folder: (folder / "run.json").unlink(),
            "compare the recording alone: tdyn compare",
        ),
        (
            unfinished,
            r"still to come: perturbation\.recovery\); the same command finishes it: tdyn",
        ),
        (without_page, r"has not finished \(it has no page yet\)"),
        (old_run, r"names no stages, so an earlier version wrote it; .*: tdyn run old"),
        (old_claims, r"earlier version wrote the claims\.json .*: tdyn run tiny"),
        (shutil.rmtree, r"there is no folder .*: tdyn compare runs/a runs/b"),
    ],
)
def test_folders_without_a_finished_run_are_refused(runs, tmp_path, change, message):
    shutil.copytree(runs / "b", tmp_path / "b")
    change(tmp_path / "b")
    with pytest.raises(InputError, match=message):
        td.compare_runs([runs / "a", tmp_path / "b"])


def test_other_inputs_are_refused(runs, tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match=r"holds notes\.txt and no run\.json"):
        td.compare_runs([runs / "a", tmp_path])
    with pytest.raises(InputError, match="is a file; name the folder of its run: tdyn compare"):
        td.compare_runs([runs / "a", runs / "a" / "report.html"])
    for given in (runs / "a", [runs / "a"]):
        with pytest.raises(InputError, match="got 1 run to compare; name two or more"):
            td.compare_runs(given)
    with pytest.raises(InputError, match="got n_bootstrap=1"):
        td.compare_runs([runs / "a", runs / "b"], n_bootstrap=1)
