import sys
import warnings

import matplotlib.pyplot as plt
import numpy as np
import pytest

from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.dimension.pca import pca
from transformer_dynamics.measures.massive.activations import activations
from transformer_dynamics.measures.massive.effects import effects
from transformer_dynamics.measures.massive.participation import participation_ratios
from transformer_dynamics.measures.massive.profile import massive_activations
from transformer_dynamics.measures.paths.geometry import path_geometry
from transformer_dynamics.measures.paths.kinematics import kinematics
from transformer_dynamics.model.labels import transformer_labels
from transformer_dynamics.numerics.standardize import standardize
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.stats import text_weights
from transformer_dynamics.storage.attributes import attribute

MASSIVE = 3
QUANTITIES = (
    "norm",
    "speed",
    "cosine",
    "turning_angle",
    "tortuosity",
    "explained_variance",
    "participation_ratio",
)


def walk(n_samples=24, n_sites=5, n_units=10, factor=60.0, seed=0):
    """A walk of unit steps whose unit 3 makes steps larger by a factor."""
    steps = np.random.default_rng(seed).standard_normal((n_samples, n_sites, n_units))
    steps[..., MASSIVE] *= factor
    return Recording.from_array(steps.cumsum(axis=1))


def spectrum_ratio(states):
    """Participation ratio from eigenvalues."""
    eigenvalues = np.linalg.eigvalsh(np.cov(states.T, bias=True))
    return eigenvalues.sum() ** 2 / (eigenvalues**2).sum()


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ([0.1, 0.2, 0.1, -250.0], [3]),
        ([0.1, 0.1, 0.1, 100.5], [3]),
        ([0.05, 0.05, 0.05, 99.5], []),  # 1990 times the median, but below 100
        ([1.0, 1.0, 1.0, 900.0], []),  # above 100, but 900 times the median
        ([0.1, 0.1, 0.1, 0.1, 300.0, -300.0], [4, 5]),
        ([0.0, 0.0, 0.0, 0.0], []),
    ],
)
def test_magnitude_follows_both_conditions(state, expected):
    assert np.flatnonzero(massive_activations(np.array(state))).tolist() == expected
    stacked = massive_activations(np.array([[state, state]]))
    assert stacked.shape == (1, 2, len(state))
    assert (stacked == massive_activations(np.array(state))).all()


def test_who_carries_massive_activations_where_and_how_often():
    values = 0.1 * np.random.default_rng(0).standard_normal((8, 4, 20))
    values[:2, 1, 7] = 500.0
    values[2, 1, 9] = -500.0
    values[:, 2, 7] = 500.0
    result = activations(Recording.from_array(values), n_draws=9)
    assert result["massive_unit"].values.tolist() == [7, 9]
    assert result["by_magnitude"].values.tolist() == [True, True]
    assert result["massive_share"].values.tolist() == [[0, 0], [0.25, 0.125], [1, 0], [0, 0]]
    assert result["massive_count"].values[:, 1].tolist() == [1, 1, 1, 0, 0, 0, 0, 0]
    assert result["massive_count"].values[:, 2].tolist() == [1] * 8
    assert result["n_massive_by_magnitude"].sel(basis="units").values.tolist() == [0, 2, 1, 0]
    median = np.median(np.abs(values[:, 2]), axis=1)
    np.testing.assert_allclose(
        result["largest_ratio"].sel(basis="units")[2], (500 / median).max(), rtol=1e-12
    )


def test_the_two_definitions_differ():
    # Unit 3 varies most and is never far from the others; unit 5 is far and never varies.
    values = np.random.default_rng(0).standard_normal((30, 4, 12))
    values[..., MASSIVE] *= 30
    values[..., 5] = 5000.0
    result = activations(Recording.from_array(values), n_draws=9)
    assert result["massive_unit"].values.tolist() == [3, 5]
    assert result["by_variance"].values.tolist() == [True, False]
    assert result["by_magnitude"].values.tolist() == [False, True]


def test_shares_follow_their_formulas():
    values = np.random.default_rng(1).standard_normal((15, 3, 8)) * np.arange(1, 9) + 2.0
    result = activations(Recording.from_array(values), n_draws=9).sel(basis="units")
    for site in range(3):
        for name, parts in (
            ("energy", (values[:, site] ** 2).sum(axis=0)),
            ("variance", values[:, site].var(axis=0)),
        ):
            order = np.argsort(-parts)
            expected = np.cumsum(parts[order[:3]]) / parts.sum()
            np.testing.assert_allclose(result[f"{name}_share"][site], expected)
            assert result[f"top_{name}_unit"][site].values.tolist() == order[:3].tolist()


def test_no_unit_is_massive_in_a_random_basis():
    recording = walk(n_samples=40, n_units=200)
    result = activations(recording, n_draws=9)
    assert result["n_massive_by_variance"].values.tolist() == [1, 0]
    shares = result["energy_share"].sel(top=1)
    assert (shares.sel(basis="units") > 0.9).all()
    # A direction's energy spreads over 200 units: the largest of 200 squared normal numbers.
    assert (shares.sel(basis="random") < 0.1).all()
    assert (result["n_massive_by_magnitude"].sel(basis="random") == 0).all()


def test_each_result_is_that_of_its_measure_on_both_versions():
    recording = walk()
    result = activations(recording, n_draws=9)
    for version, each in zip(
        result["version"].values, (recording, standardize(recording)), strict=True
    ):
        found = result.sel(version=version)
        paths = kinematics(each).mean("sample")
        for name in ("norm", "speed", "cosine"):
            np.testing.assert_allclose(found[name], paths[name])
        shape = path_geometry(each).mean("sample")
        np.testing.assert_allclose(found["turning_angle"], shape["turning_angle"])
        np.testing.assert_allclose(found["tortuosity"], shape["tortuosity"])
        np.testing.assert_allclose(
            found["explained_variance"], pca(each)["explained_variance_ratio"]
        )
        expected = [spectrum_ratio(states) for states in each.values.swapaxes(0, 1)]
        np.testing.assert_allclose(found["participation_ratio"], expected)


def test_a_massive_unit_of_known_size_carries_what_it_must():
    # Steps of D units: |d|^2 is D - 1 + factor^2 as recorded and D standardized.
    result = activations(walk(400, 8, 100, factor=60.0), n_draws=49)
    change = result["relative_change"].sel(quantity="speed")
    # The mean of |d|: nearly the massive unit's own, 60 sqrt(2/pi), plus the rest's part.
    draws = np.random.default_rng(0).standard_normal((20000, 100))
    draws[:, 0] *= 60
    recorded = np.linalg.norm(draws, axis=1).mean()
    draws[:, 0] /= 60
    expected = np.linalg.norm(draws, axis=1).mean() / recorded - 1
    assert abs(float(change) - expected) < 0.02
    low = result["relative_change_low"].sel(quantity="speed")
    high = result["relative_change_high"].sel(quantity="speed")
    assert low < change < high < 0
    assert high - low < 0.1
    # Two units of one direction share the variance, not 100: the ratio rises from 1 to nearly 80.
    ratios = result["participation_ratio"].mean("site").values
    assert ratios[0] < 1.2
    assert ratios[1] > 60


def test_without_a_massive_unit_every_change_is_zero():
    result = activations(walk(factor=1.0), n_draws=19)
    for name in ("relative_change", "relative_change_low", "relative_change_high"):
        assert (result[name] == 0).all()
    assert result.sizes["massive_unit"] == 0


def test_draws_are_those_of_resampled_texts():
    """Every draw recomputed from the resampled states, components and all."""
    recording = walk(n_units=6)  # fewer units than the subspace in which components may turn
    versions = (recording, standardize(recording))
    found = {each.name: each for each in effects(versions, np.arange(24), n_draws=5, seed=7)}
    weights = text_weights(recording.text_index, 5, seed=7)
    for draw, counts in enumerate(np.round(weights * 24).astype(int), start=1):
        rows = np.repeat(np.arange(24), counts)
        drawn = [version.isel(sample=rows) for version in versions]
        speeds = [kinematics(each)["speed"].mean("sample") for each in drawn]
        np.testing.assert_allclose(found["speed"].changes[draw], (speeds[1] / speeds[0] - 1).mean())
        shares = [float(pca(each)["explained_variance_ratio"].sum()) for each in drawn]
        np.testing.assert_allclose(
            found["explained_variance"].changes[draw], shares[1] / shares[0] - 1, rtol=1e-6
        )
        tortuosity = [float(path_geometry(each)["tortuosity"].mean()) for each in drawn]
        np.testing.assert_allclose(
            found["tortuosity"].changes[draw], tortuosity[1] / tortuosity[0] - 1
        )


def test_samples_of_a_text_are_drawn_together():
    one = walk()
    texts = np.repeat(np.arange(24), 2)
    twice = Recording.from_array(np.repeat(one.values, 2, axis=0), coords={"text": texts})
    single, double = (activations(each, n_draws=49) for each in (one, twice))
    for name in QUANTITIES[:-1]:
        for end in ("relative_change_low", "relative_change_high"):
            np.testing.assert_allclose(
                double[end].sel(quantity=name), single[end].sel(quantity=name), rtol=1e-9
            )


def test_participation_ratio_of_the_samples_is_that_of_the_spectrum():
    points = np.random.default_rng(0).standard_normal((30, 12)) * np.arange(1, 13)
    uniform = np.full((1, 30), 1 / 30)
    np.testing.assert_allclose(participation_ratios(points, uniform), [spectrum_ratio(points)])


def test_drawn_participation_ratios_are_not_lowered_by_repeats():
    points = np.random.default_rng(1).standard_normal((60, 100))
    weights = text_weights(np.arange(60), 400)
    value = spectrum_ratio(points)
    resampled = [
        spectrum_ratio(points[np.repeat(np.arange(60), counts)])
        for counts in np.round(weights[:40] * 60).astype(int)
    ]
    assert np.mean(resampled) < 0.8 * value
    np.testing.assert_allclose(participation_ratios(points, weights).mean(), value, rtol=0.05)


def test_seeds():
    recording = walk()
    one, again, other = (activations(recording, n_draws=19, seed=seed) for seed in (1, 1, 2))
    assert one.identical(again)
    assert (one["relative_change_low"] != other["relative_change_low"]).all()
    np.testing.assert_array_equal(one["relative_change"], other["relative_change"])


def test_of_many_samples_a_seeded_choice_is_taken_where_cost_is_quadratic(monkeypatch):
    recording = walk()
    # The package's attribute of the module's name is the function.
    monkeypatch.setattr(sys.modules[activations.__module__], "MOST_SAMPLES", 10)
    result = activations(recording, n_draws=9, seed=4)
    chosen = np.sort(np.random.default_rng(4).choice(np.arange(24), 10, replace=False))
    expected = [spectrum_ratio(states) for states in recording.values[chosen].swapaxes(0, 1)]
    np.testing.assert_allclose(result["participation_ratio"].sel(version="as recorded"), expected)
    paths = kinematics(recording)["speed"].mean("sample")
    np.testing.assert_allclose(result["speed"].sel(version="as recorded"), paths)


@pytest.mark.parametrize(
    "values",
    [
        np.ones((3, 4, 5)),
        np.zeros((3, 4, 5)),
        np.random.default_rng(0).standard_normal((1, 1, 1)),
        np.random.default_rng(0).standard_normal((1, 4, 5)),
        np.random.default_rng(0).standard_normal((6, 1, 5)),
        np.random.default_rng(0).standard_normal((6, 2, 2)),
    ],
    ids=["constant", "zero", "one number", "one sample", "one site", "two sites"],
)
def test_what_is_undefined_is_nan_with_one_warning(values):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = activations(Recording.from_array(values), n_draws=9)
        for drawing in result.td.drawings:
            # Matplotlib warns when a process has more than 20 figures open.
            plt.close(drawing.plot().figure)
            drawing.figure()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__
    assert np.isnan(result["relative_change"]).any() or values.shape[0] == 1


def test_one_text_has_no_interval():
    with pytest.warns(UndefinedWarning, match="too few for an interval"):
        result = activations(Recording.from_array(walk().values[:1]), n_draws=9)
    assert np.isfinite(result["relative_change"].sel(quantity="speed"))
    assert np.isnan(result["relative_change_low"]).all()
    assert np.isnan(result["relative_change_high"]).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_states_that_are_not_finite_are_refused(bad):
    values = walk().values.copy()
    values[2, 1, 0] = bad
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="not finite"):
            activations(Recording.from_array(values))


def test_draws_are_needed():
    with pytest.raises(ValueError, match="n_draws=0"):
        activations(walk(), n_draws=0)


def test_coordinates_attrs_and_drawings():
    recording = Recording.from_array(walk().values, sites=transformer_labels(2))
    result = activations(recording, n_draws=19)
    assert result["quantity"].values.tolist() == list(QUANTITIES)
    assert result["speed"].dims == ("version", "step")
    assert result["step"].values.tolist() == list(recording.sites[:-1])
    assert result["turn"].values.tolist() == list(recording.sites[1:-1])
    assert attribute(result, "parameters") == {"n_draws": 19, "seed": 0}
    for name in result.data_vars:
        assert "units" in result[name].attrs or result[name].dtype.kind == "i"
    energy, changes, states, steps, ratios = result.td.drawings
    top = result["energy_share"]
    assert [line.role for line in energy.series] == ["model"] * 3 + ["null"] * 3
    np.testing.assert_array_equal(energy.series[2].y, top.sel(basis="units", top=3))
    np.testing.assert_array_equal(energy.series[3].y, top.sel(basis="random", top=1))
    assert [row.name for row in changes.intervals[:2]] == ["norm", "speed"]
    np.testing.assert_array_equal(
        [row.value for row in changes.intervals[:7]], result["relative_change"]
    )
    assert states.series[0].x.tolist() == [0, 1, 2, 3, 4]
    assert [line.x.tolist() for line in steps.series] == [[0, 1, 2, 3]] * 2 + [[1, 2, 3]]
    recorded, other = result["norm"].values
    np.testing.assert_allclose(states.series[0].y, other / recorded - 1)
    assert ratios.series[2].y.tolist() == [1000.0] * 5
    for drawing in result.td.drawings:
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.plot().get_xlabel() == drawing.x_label
        assert drawing.figure().data
