"""The registry: results say what they are, names are taken once, plugins are found."""

import importlib.metadata

import numpy as np
import pytest
import xarray as xr

import looks
import stored
import tiny
import toy
import transformer_dynamics as td
from transformer_dynamics import registry
from transformer_dynamics.errors import InputError
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import (
    CLAIMS,
    COMPARISONS,
    MEASURES,
    NULLS,
    PERTURBATIONS,
    measure,
)
from transformer_dynamics.storage.attributes import attribute
from transformer_dynamics.storage.results import load_result, save_result, saved_names

FEW_ITERATIONS = {"similarity.dsa": {"n_starts": 1, "n_iterations": 20}}
RECORDING = Recording.from_array(np.random.default_rng(0).standard_normal((6, 8, 4)))


def test_a_measure_that_returns_no_dataset_is_refused():
    wrong = measure("toy.wrong")(lambda recording: 3)
    try:
        with pytest.raises(InputError, match=r"toy\.wrong returned int; .* xarray\.Dataset"):
            wrong(RECORDING)
    finally:
        MEASURES.remove("toy.wrong")


def test_a_part_of_a_result_is_drawn_by_variable_or_refused():
    part = td.paths.kinematics(RECORDING)[["speed"]]
    assert part.td.plot("speed").get_ylabel().startswith("speed")
    with pytest.raises(
        InputError, match=r"paths\.kinematics need more.*result\.td\.plot\('speed'\)"
    ):
        part.td.plot()


def test_built_in_entries_are_found():
    assert {"units.correlation", "orbits.rotation_counts", "dimension.pca"} <= set(MEASURES.all())
    assert {"random_walk", "untrained", "shuffled_tokens"} <= set(NULLS.all())
    assert {"perturbation.teleport", "perturbation.jacobians"} <= set(PERTURBATIONS.all())
    assert {f"C{number}" for number in range(1, 12)} <= set(CLAIMS.all())


@pytest.mark.parametrize("name", list(MEASURES.all()))
def test_every_measure_is_pure_stamped_storable_and_drawable(name, tmp_path):
    values = RECORDING.values.copy()
    result = MEASURES.get(name).function(RECORDING)
    np.testing.assert_array_equal(RECORDING.values, values)
    assert result.attrs["measure"] == name
    assert attribute(result, "recording")["digest"] == RECORDING.digest
    assert isinstance(attribute(result, "parameters"), dict)
    for variable in result.data_vars.values():
        assert "units" in variable.attrs or variable.dtype.kind in "bi", variable.name
    stored.comes_back(result, tmp_path)
    save_result(tmp_path / "results.zarr", name, result)
    assert saved_names(tmp_path / "results.zarr") == [name]
    loaded = load_result(tmp_path / "results.zarr", name)
    xr.testing.assert_equal(loaded, result)
    assert len(loaded.td.drawings) >= 1
    for drawing in loaded.td.drawings:
        looks.complete(drawing)


@pytest.mark.parametrize(
    "name",
    [name for name, null in NULLS.all().items() if not null.needs_model and null.of == "recording"],
)
def test_every_null_is_a_recording_of_the_same_shape_that_says_what_it_is(name):
    null = NULLS.get(name)
    drawn = null.function(RECORDING, seed=3)
    assert drawn.shape == RECORDING.shape
    assert drawn.sites == RECORDING.sites
    assert drawn.provenance["null"] == name
    assert drawn.provenance["seed"] == 3
    assert not np.array_equal(drawn.values, RECORDING.values)
    assert null.keeps
    assert null.destroys


@pytest.fixture(scope="module")
def systems():
    model = tiny.model()
    recording = td.record(model, tiny.token_lists(6))
    return td.perturbation.systems(model, recording, n_twins=2)


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
@pytest.mark.parametrize("name", list(PERTURBATIONS.all()))
def test_every_perturbation_is_pure_stamped_storable_and_drawable(name, systems, tmp_path):
    model = systems[0].require_model().hf_model
    before = {key: weight.clone() for key, weight in model.state_dict().items()}
    told = []
    perturbation = PERTURBATIONS.get(name)
    assert perturbation.n_texts >= 1
    result = perturbation.function(systems, n_texts=2, on_progress=lambda *done: told.append(done))
    assert told[-1][0] == told[-1][1] == len(told)
    assert all(weight.equal(before[key]) for key, weight in model.state_dict().items())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    assert result.attrs["measure"] == name
    assert attribute(result, "parameters")["n_texts"] == 2
    assert "on_progress" not in attribute(result, "parameters")
    assert {"model", "untrained"} <= set(result["system"].values.tolist())
    stored.comes_back(result, tmp_path)
    save_result(tmp_path / "results.zarr", name, result)
    loaded = load_result(tmp_path / "results.zarr", name)
    xr.testing.assert_equal(loaded, result)
    assert len(loaded.td.drawings) >= 1
    for drawing in loaded.td.drawings:
        looks.complete(drawing)


@pytest.mark.parametrize("name", list(COMPARISONS.all()))
def test_every_comparison_is_stamped_storable_and_drawable(name, tmp_path):
    generator = np.random.default_rng(1)
    states = np.cumsum(generator.standard_normal((24, 8, 5)), axis=1)
    one, other = (
        Recording.from_array(states + noise * generator.standard_normal(states.shape))
        for noise in (0.0, 0.3)
    )
    result = COMPARISONS.get(name).function(one, other, **FEW_ITERATIONS.get(name, {}))
    assert result.attrs["measure"] == name
    assert attribute(result, "recording")["digest"] == one.digest
    assert attribute(result, "other")["digest"] == other.digest
    stored.comes_back(result, tmp_path)
    save_result(tmp_path / "results.zarr", name, result)
    loaded = load_result(tmp_path / "results.zarr", name)
    xr.testing.assert_equal(loaded, result)
    for drawing in loaded.td.drawings:
        looks.complete(drawing)


def test_results_are_replaced_whole(tmp_path):
    store = tmp_path / "results.zarr"
    save_result(store, "a", xr.Dataset({"x": ("i", [1.0, 2.0])}))
    save_result(store, "a", xr.Dataset({"y": ("i", [3.0])}))
    save_result(store, "claims/C1", xr.Dataset({"z": ("i", [4.0])}))
    assert list(load_result(store, "a").data_vars) == ["y"]
    assert saved_names(store) == ["a"]
    assert load_result(store, "claims/C1")["z"].item() == 4.0
    assert load_result(store, "b") is None
    tree = xr.open_datatree(store, engine="zarr", consolidated=False)
    assert tree["a"]["y"].item() == 3.0


def test_parameters_are_stamped_with_defaults():
    result = MEASURES.get("units.density").function(RECORDING, threshold=2.0)
    assert attribute(result, "parameters") == {"threshold": 2.0, "relative_threshold": 0.5}


def test_entries_come_in_natural_order_whatever_order_they_came_in():
    entries = registry.Registry("thing")
    for name in ("C10", "b.x", "C2", "C1", "a.y"):
        entries.add(name, name)
    assert list(entries.all()) == ["C1", "C2", "C10", "a.y", "b.x"]


def test_a_name_is_taken_once():
    with toy.registered():

        def largest(recording):
            return xr.Dataset()

        with pytest.raises(
            ValueError, match=r"'toy\.largest' is registered already by toy\.largest"
        ):
            measure("toy.largest", title="", source="", draw=lambda result: [])(largest)


def test_unknown_names_list_the_known_ones():
    with pytest.raises(KeyError, match=r"there are: dimension\.autoencoder"):
        MEASURES.get("magic")


def test_plugins_are_loaded_through_their_entry_point(monkeypatch):
    loaded = []

    class EntryPoint:
        def load(self):
            loaded.append(True)

    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [EntryPoint()])
    registry.load_built_in.cache_clear()
    registry.load_built_in()
    assert loaded == [True]
    registry.load_built_in.cache_clear()
