"""Data of the view Explore: what the page holds is what the recording and the results hold."""

import base64
import json
import zlib

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.measures.dimension.autoencoder_options import AutoencoderOptions
from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.numerics.principal_axes import principal_axes
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.report.explorer import Explorer, choice, spreads, texts
from transformer_dynamics.report.explorer.islands import packed
from transformer_dynamics.report.explorer.paths import own_axes
from transformer_dynamics.report.explorer.texts import N_CHARACTERS

N_TEXTS = 14
MEASURES = {
    "dimension.pca": td.dimension.pca,
    "units.correlation": td.units.correlation,
    "units.mutual_information": td.units.mutual_information,
}


def unpacked(value):
    """A packed value as arrays and texts, without the page's script."""
    if isinstance(value, list):
        return [unpacked(each) for each in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"text"}:
        return json.loads(inflated(value["text"]).decode())
    if "data" in value and "dtype" in value:
        numbers = np.frombuffer(inflated(value["data"]), f"<{value['dtype']}")
        return numbers.reshape(value["shape"])
    return {name: unpacked(each) for name, each in value.items()}


def inflated(data):
    return zlib.decompress(base64.b64decode(data), -zlib.MAX_WBITS)


def all_unpacked(islands):
    found = {name.removeprefix("explore-"): unpacked(value) for name, value in islands.items()}
    return {**found, "about": found["about"]["about"]}


@pytest.fixture(scope="module")
def run():
    """Recording, results and twin of a tiny model, as a run leaves them."""
    model = tiny.model()
    strings = tiny.words(tiny.token_lists(N_TEXTS))
    recording = record(model, strings, groups=[f"g{index % 3}" for index in range(N_TEXTS)])
    systems = td.perturbation.systems(model, recording, n_twins=1)
    results = {name: function(recording) for name, function in MEASURES.items()}
    results["perturbation.logit_lens"] = td.perturbation.logit_lens(systems, n_texts=5)
    return recording, results, systems[1].recording


@pytest.fixture(scope="module")
def islands(run):
    return Explorer().islands(*run)


@pytest.fixture(scope="module")
def shown(islands):
    return all_unpacked(islands)


def close(found, expected, island, name):
    """Equal within the error that the island states."""
    atol = island[name]["error"] * 1.01 if "error" in island[name] else 1e-6
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=atol)


def test_every_unit_has_its_quantiles_and_its_extreme_texts(run, islands, shown):
    values, model = run[0].values.astype(np.float64), shown["model"]
    expected = np.quantile(values, shown["about"]["quantiles"], axis=0).transpose(0, 2, 1)
    close(model["quantiles"], expected, islands["explore-model"], "quantiles")
    for place, site in enumerate(shown["about"]["extreme_sites"]):
        for unit in (0, 7, 15):
            column = values[:, site, unit]
            order = np.argsort(column)
            expected = [*order[::-1][:5], *order[:5]]
            assert model["extremes"][place, unit].tolist() == expected
            found = model["extreme_values"][place, unit]
            close(found, column[expected], islands["explore-model"], "extreme_values")


def test_traces_and_movement_are_those_of_the_recording_and_the_measure(run, islands, shown):
    recording, island, model = run[0], islands["explore-model"], shown["model"]
    units = shown["about"]["traced"]
    close(model["traces"], recording.values[:, :, units].transpose(2, 0, 1), island, "traces")
    moved = td.paths.kinematics(recording)
    for name in ("norm", "speed", "cosine"):
        close(model[name], moved[name].values, island, name)


def test_planes_steps_and_tokens_are_those_of_the_results(run, islands, shown):
    recording, results, _ = run
    scores = results["dimension.pca"]["score"].values
    close(shown["model"]["score"], scores, islands["explore-model"], "score")
    for name, (measure, variable) in {
        "correlation": ("units.correlation", "correlation"),
        "information": ("units.mutual_information", "information"),
    }.items():
        expected = results[measure][variable].values.T
        close(shown["steps"][name], expected, islands["explore-steps"], name)
    lens, result = shown["lens"], results["perturbation.logit_lens"].sel(system="model")
    strings = np.array(lens["strings"], dtype=object)
    for row, text in enumerate(result["text"].values.tolist()):
        place = lens["row"][text]
        assert strings[lens["token"][place]].tolist() == result["token"].values[row].tolist()
        found = lens["probability"][place]
        close(found, result["probability"].values[row], islands["explore-lens"], "probability")
    assert sum(row >= 0 for row in lens["row"]) == 5
    tokens = shown["about"]["tokens"]
    joined = [" ".join(tokens["strings"][token] for token in text) for text in tokens["tokens"]]
    assert joined == list(recording.texts)


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
def test_the_autoencoders_plane_holds_the_samples_that_it_was_scored_on(run):
    options = AutoencoderOptions(n_layers=2, n_epochs=2)
    result = td.dimension.autoencoder(run[0], bottlenecks=[2], options=options)
    islands = Explorer().islands(run[0], {"dimension.autoencoder": result})
    found = all_unpacked(islands)["model"]["latents"]
    for row, sample in enumerate(result["scored"].values.tolist()):
        latents = found["latent"][found["row"][sample]]
        np.testing.assert_allclose(latents, result["latent_path"].values[row], rtol=1e-3, atol=1e-4)
    assert sum(row >= 0 for row in found["row"]) == result.sizes["scored"] < N_TEXTS


def test_the_null_models_are_a_seeded_random_walk_and_the_twin(run, islands, shown):
    recording, _, twin = run
    for name, states in (("walk", random_walk(recording, seed=0).values), ("twin", twin.values)):
        found, island = shown[name], islands[f"explore-{name}"]
        expected = np.quantile(states.astype(np.float64), (0.05, 0.5, 0.95), axis=0)
        close(found["quantiles"], expected.transpose(0, 2, 1), island, "quantiles")
        axes = principal_axes(states, 3)
        close(found["score"], axes.project(states), island, "score")
        assert found["row"] == list(range(N_TEXTS))
        assert found["n_samples"] == N_TEXTS
        own = td.units.correlation(recording.with_values(states))["correlation"].values
        close(found["correlation"][0], own.mean(axis=1), island, "correlation")
    assert Explorer().islands(*run) == islands
    other = Explorer(seed=1).islands(*run)
    assert other["explore-walk"]["traces"] != islands["explore-walk"]["traces"]
    assert other["explore-model"]["quantiles"] == islands["explore-model"]["quantiles"]


def test_a_twin_with_texts_numbered_on_its_own_is_paired_by_tokens(run):
    recording, results, _ = run
    places = [8, 2, 11]
    twin = record(tiny.model(), [recording.texts[place] for place in places])
    assert twin.text_index.tolist() == [0, 1, 2]
    found = all_unpacked(Explorer().islands(recording, results, twin))["twin"]
    assert [found["row"][place] for place in sorted(places)] == [0, 1, 2]
    assert sorted(found["row"])[:-3] == [-1] * (N_TEXTS - 3)
    traces = twin.values[[1, 0, 2]][:, :, 3]
    traced = all_unpacked(Explorer().islands(recording, results, twin))["about"]["traced"]
    np.testing.assert_allclose(found["traces"][traced.index(3)], traces, rtol=1e-3, atol=1e-3)


def test_a_twin_of_some_texts_is_paired_by_text(run):
    recording, results, twin = run
    part = twin.isel(sample=[2, 5, 9])
    found = all_unpacked(Explorer().islands(recording, results, part))["twin"]
    assert [row for row in found["row"] if row >= 0] == [0, 1, 2]
    assert [text for text, row in enumerate(found["row"]) if row >= 0] == [2, 5, 9]
    axes = principal_axes(part.values, 3)
    np.testing.assert_allclose(found["score"], axes.project(part.values), atol=2e-2)


def test_a_later_page_makes_only_what_changed(run):
    recording, results, twin = run
    explorer = Explorer()
    first = explorer.islands(recording, {}, None)
    assert "explore-twin" not in first
    assert "score" not in first["explore-model"]
    assert first["explore-steps"] == {}
    later = explorer.islands(recording, results, twin)
    for name in ("quantiles", "traces", "speed"):
        assert later["explore-model"][name] is first["explore-model"][name]
    assert later["explore-walk"] is first["explore-walk"]
    assert later["explore-twin"] is explorer.islands(recording, results, twin)["explore-twin"]


def test_of_many_samples_200_are_shown_and_those_of_other_results_are_among_them():
    preferred = np.array([3, 500, 999])
    chosen = choice.chosen_samples(1000, [preferred], seed=0)
    assert chosen.size == np.unique(chosen).size == 200
    assert set(preferred) <= set(chosen)
    assert (np.diff(chosen) > 0).all()
    np.testing.assert_array_equal(chosen, choice.chosen_samples(1000, [preferred], seed=0))
    assert set(chosen) != set(choice.chosen_samples(1000, [preferred], seed=1))
    crowded = choice.chosen_samples(1000, [preferred, np.arange(600)], seed=0)
    assert set(preferred) <= set(crowded) <= {*range(600), 999}


def test_traced_units_are_the_massive_the_largest_and_a_random_draw():
    variance = np.random.default_rng(0).uniform(1, 2, 300)
    variance[[7, 250]] = 1e4, 2e4
    found = choice.chosen_units(variance, seed=0)
    assert found.massive.tolist() == [7, 250]
    assert {7, 250, *np.argsort(-variance)[:16]} <= set(found.units.tolist())
    assert found.units.size <= 40
    other = choice.chosen_units(variance, seed=1).units
    assert set(other) != set(found.units)


def test_a_recording_on_disk_is_read_in_blocks(run, tmp_path, monkeypatch):
    run[0].save(tmp_path / "a.zarr")
    on_disk = td.open_recording(tmp_path / "a.zarr")
    whole = spreads.spreads(run[0])
    monkeypatch.setattr(spreads, "LOADED_BYTES", 4096)
    monkeypatch.setattr(spreads, "BLOCK_BYTES", 1)
    blocks = spreads.spreads(on_disk)
    for name in ("quantiles", "variance", "extremes", "extreme_values"):
        np.testing.assert_array_equal(getattr(blocks, name), getattr(whole, name))


def test_long_and_hostile_texts_are_shortened_and_kept_as_they_are(run, monkeypatch):
    hostile = "<script>alert(1)</script> & \u202e\u05d0\u05d1 w1"
    recording = record(tiny.model(), [hostile, "w3 w4"])
    strings = np.array([hostile, "x" * 100_000 + "end"], dtype=object)
    recording = Recording(recording.dataset.assign(text_string=("text_index", strings)))
    about = all_unpacked(Explorer().islands(recording, {}))["about"]
    assert about["texts"]["string"] == [hostile, "x" * (N_CHARACTERS - 3) + "end"]
    assert about["texts"]["left_out"] == [0, 100_003 - N_CHARACTERS]
    monkeypatch.setattr(texts, "N_TOKENS", 3)
    shown = texts.text_tokens(run[0], np.arange(2), run[1]["perturbation.logit_lens"])
    lists = run[0].token_lists
    assert shown["left_out"] == [max(0, len(lists[text]) - 3) for text in (0, 1)]
    found = [shown["strings"][token] for token in shown["tokens"][0]]
    assert found == [f"w{token}" for token in lists[0][-3:]]


def test_numbers_beyond_float16_are_float32():
    assert packed(np.array([1.0, 7e4]))["dtype"] == "f4"
    assert packed(np.array([1.0, np.nan, 6e4]))["dtype"] == "f2"


@pytest.mark.parametrize("shape", [(1, 4, 3), (2, 1, 3), (3, 2, 1), (5, 3, 2)])
def test_small_recordings_have_what_is_defined(shape):
    states = np.random.default_rng(0).standard_normal(shape).astype(np.float16)
    shown = all_unpacked(Explorer().islands(Recording.from_array(states), {}))
    assert shown["model"]["quantiles"].shape == (5, shape[2], shape[1])
    assert ("speed" in shown["model"]) == (shape[1] > 1)
    assert shown["about"]["tokens"]["tokens"] == []


def test_axes_of_fewer_states_than_units_are_those_of_the_covariance():
    states = np.random.default_rng(0).standard_normal((4, 3, 40)) * np.linspace(1, 3, 40)
    found, expected = own_axes(Recording.from_array(states)), principal_axes(states, 3)
    np.testing.assert_allclose(found.components, expected.components, atol=1e-9)
    np.testing.assert_allclose(found.variance, expected.variance / expected.total_variance)
    np.testing.assert_allclose(found.project(states), expected.project(states), atol=1e-9)


def test_states_that_are_not_finite_are_gaps():
    states = np.random.default_rng(0).standard_normal((6, 4, 3))
    states[2, 1, 1] = np.nan
    shown = all_unpacked(Explorer().islands(Recording.from_array(states), {}))
    assert "score" not in shown["walk"]
    assert np.isnan(shown["model"]["quantiles"][4, 1, 1])
    assert np.isfinite(shown["model"]["quantiles"][:, 0]).all()
