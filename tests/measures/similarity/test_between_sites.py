import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, spatial
from scipy.stats import ortho_group
from sklearn.decomposition import PCA

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.similarity.between_sites import between_sites
from transformer_dynamics.measures.similarity.state_sets import u_centered
from transformer_dynamics.measures.similarity.two_sets import cka, procrustes_distance
from transformer_dynamics.plots.similarity.between_sites import draw_similarity
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.storage.attributes import attribute


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def hsic_by_definition(first, second):
    """Mean over ordered quadruples of distinct samples: the U-statistic, term by term."""
    terms = [
        first[i, j] * (second[i, j] + second[k, m] - 2 * second[i, k])
        for i, j, k, m in permutations(range(len(first)), 4)
    ]
    return np.mean(terms)


def hsic_of_song(first, second):
    """The closed form of Song et al. (2012), equation 5."""
    n = len(first)
    first, second = first - np.diag(np.diag(first)), second - np.diag(np.diag(second))
    ones = np.ones(n)
    return (
        np.trace(first @ second)
        + (ones @ first @ ones) * (ones @ second @ ones) / ((n - 1) * (n - 2))
        - 2 / (n - 2) * (ones @ first @ second @ ones)
    ) / (n * (n - 3))


def cka_from(hsic, x, y):
    grams = x @ x.T, y @ y.T
    return hsic(*grams) / np.sqrt(hsic(grams[0], grams[0]) * hsic(grams[1], grams[1]))


@pytest.mark.parametrize("n_samples", [4, 5, 6])
def test_debiased_cka_is_the_sum_over_distinct_samples(n_samples):
    x, y = gaussian(0, n_samples, 3) + 5.0, gaussian(1, n_samples, 2)
    expected = cka_from(hsic_by_definition, x, y)
    np.testing.assert_allclose(cka(x, y), expected, rtol=1e-10)
    np.testing.assert_allclose(cka_from(hsic_of_song, x, y), expected, rtol=1e-10)


@pytest.mark.parametrize("n_units", [(7, 7), (60, 3), (2, 90)])
def test_cka_agrees_with_the_published_forms(n_units):
    x, y = gaussian(2, 40, n_units[0]), gaussian(3, 40, n_units[1])
    y[:, 0] += x[:, 0]
    np.testing.assert_allclose(cka(x, y), cka_from(hsic_of_song, x, y), rtol=1e-9)
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)
    biased = np.sum((x0.T @ y0) ** 2) / (np.linalg.norm(x0.T @ x0) * np.linalg.norm(y0.T @ y0))
    np.testing.assert_allclose(cka(x, y, debiased=False), biased, rtol=1e-10)


def test_u_centered_rows_sum_to_zero():
    centered = u_centered(gaussian(4, 9, 5) @ gaussian(5, 5, 9))
    np.testing.assert_allclose(centered.sum(axis=0), 0, atol=1e-13)
    assert (np.diag(centered) == 0).all()


@pytest.mark.parametrize("debiased", [True, False])
@pytest.mark.parametrize("n_units", [5, 50])
def test_rotation_scale_and_shift_change_nothing(debiased, n_units):
    x = gaussian(6, 20, n_units)
    rotation = ortho_group.rvs(n_units, random_state=0)
    moved = -3 * x @ rotation + 100.0
    np.testing.assert_allclose(cka(x, moved, debiased=debiased), 1, rtol=1e-9)
    assert procrustes_distance(x, moved) < 1e-9
    # Another linear map does change both.
    stretched = x * np.linspace(0.1, 3, n_units)
    assert cka(x, stretched, debiased=debiased) < 0.99
    assert procrustes_distance(x, stretched) > 0.1


def test_unrelated_sets_are_0_debiased_and_half_biased_for_as_many_units_as_samples():
    pairs = [(gaussian(seed, 100, 100), gaussian(1000 + seed, 100, 100)) for seed in range(10)]
    debiased = [cka(x, y) for x, y in pairs]
    assert abs(np.mean(debiased)) < 0.01
    assert np.std(debiased) < 0.03
    # |X^T Y|^2 is n D^2 and |X^T X|^2 is n D^2 + n^2 D on average: 1/2 for n = D.
    np.testing.assert_allclose(np.mean([cka(*pair, debiased=False) for pair in pairs]), 0.5, 0.02)


@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_cka_of_a_noisy_copy(noise):
    # |Cov(x, y)| = sqrt(D), |Cov(y)| = (1 + noise^2) sqrt(D)
    x = gaussian(7, 1500, 20)
    y = x + noise * gaussian(8, 1500, 20)
    np.testing.assert_allclose(cka(x, y), 1 / (1 + noise**2), rtol=0.05)


@pytest.mark.parametrize("n_units", [4, 30])
def test_procrustes_agrees_with_scipy(n_units):
    x, y = gaussian(9, 12, n_units), gaussian(10, 12, n_units)
    distance = procrustes_distance(x, y)
    _, _, disparity = spatial.procrustes(x, y)
    np.testing.assert_allclose(1 - (1 - distance**2 / 2) ** 2, disparity, rtol=1e-9)
    x0, y0 = x - x.mean(axis=0), y - y.mean(axis=0)
    x0, y0 = x0 / np.linalg.norm(x0), y0 / np.linalg.norm(y0)
    rotation, overlap = linalg.orthogonal_procrustes(x0, y0)
    np.testing.assert_allclose(distance, np.linalg.norm(x0 @ rotation - y0), rtol=1e-9)
    np.testing.assert_allclose(procrustes_distance(x, y, angular=True), np.arccos(overlap))


@pytest.mark.parametrize("n_units", [(3, 5), (5, 3), (2, 40)])
def test_fewer_units_are_padded_with_zeros(n_units):
    x, y = gaussian(11, 9, n_units[0]), gaussian(12, 9, n_units[1])
    most = max(n_units)
    padded = [np.pad(each, ((0, 0), (0, most - each.shape[1]))) for each in (x, y)]
    _, _, disparity = spatial.procrustes(*padded)
    distance = procrustes_distance(x, y)
    np.testing.assert_allclose(1 - (1 - distance**2 / 2) ** 2, disparity, rtol=1e-9)


def test_ends_of_the_procrustes_range():
    x, y = np.array([[1.0], [-1.0], [0.0], [0.0]]), np.array([[0.0], [0.0], [2.0], [-2.0]])
    np.testing.assert_allclose(procrustes_distance(x, y), np.sqrt(2))
    np.testing.assert_allclose(procrustes_distance(x, y, angular=True), np.pi / 2)
    assert procrustes_distance(x, -x) < 1e-15


@given(st.integers(0, 2**16), st.sampled_from([2, 5, 9]), st.booleans())
@settings(max_examples=40)
def test_procrustes_is_a_metric_and_both_are_symmetric(seed, n_units, angular):
    x, y, z = gaussian(seed, 3, 7, n_units)
    apart = [procrustes_distance(a, b, angular=angular) for a, b in ((x, y), (y, z), (x, z))]
    assert apart[2] <= apart[0] + apart[1] + 1e-12
    np.testing.assert_allclose(procrustes_distance(y, x, angular=angular), apart[0], atol=1e-12)
    np.testing.assert_allclose(cka(x, y), cka(y, x), rtol=1e-9, atol=1e-12)
    assert abs(cka(x, y)) <= 1 + 1e-12


@pytest.mark.parametrize("call", [cka, procrustes_distance])
def test_a_set_that_does_not_vary_is_nan_with_one_warning(call):
    still = np.full((6, 3), 0.1)
    with pytest.warns(UndefinedWarning, match="does not vary") as caught:
        assert np.isnan(call(gaussian(13, 6, 2), still))
    assert len(caught) == 1
    assert caught[0].filename == __file__
    with pytest.warns(UndefinedWarning):
        assert np.isnan(call(np.full((6, 3), np.inf), gaussian(13, 6, 2)))


def test_a_set_that_varies_in_one_sample_alone_has_no_debiased_cka():
    x, y = np.zeros((6, 2)), gaussian(14, 6, 3)
    x[2] = 0.1, 7.0
    with pytest.warns(UndefinedWarning):
        assert np.isnan(cka(x, y))
    assert 0 < cka(x, y, debiased=False) < 1
    assert np.isfinite(procrustes_distance(x, y))


@pytest.mark.parametrize(
    ("call", "shapes"),
    [
        (cka, [(3, 2), (3, 2)]),
        (cka, [(5, 2), (6, 2)]),
        (cka, [(5,), (5, 2)]),
        (cka, [(5, 0), (5, 2)]),
        (procrustes_distance, [(1, 2), (1, 2)]),
        (procrustes_distance, [(5, 2, 1), (5, 2, 1)]),
    ],
)
def test_sets_that_do_not_fit_are_refused(call, shapes):
    with pytest.raises(InputError, match="the same samples in both and at least"):
        call(*(np.zeros(shape) for shape in shapes))
    assert np.isfinite(cka(gaussian(0, 3, 2), gaussian(1, 3, 2), debiased=False))


def test_the_measure_is_the_kernels_of_all_pairs():
    recording = synthetic.random_walk(n_samples=15, n_sites=4, n_units=6, seed=1)
    result, values = between_sites(recording), recording.values
    assert result.attrs["n_components"] == 6
    for site in range(4):
        for other in range(4):
            pair = values[:, site], values[:, other]
            here = result.isel(site=site, other_site=other)
            np.testing.assert_allclose(here["cka"], cka(*pair), rtol=1e-9)
            np.testing.assert_allclose(here["procrustes"], procrustes_distance(*pair), atol=1e-7)
    for name in ("cka", "procrustes"):
        np.testing.assert_array_equal(result[f"neighbor_{name}"], np.diag(result[name], 1))
        np.testing.assert_array_equal(result[name], result[name].values.T)
    np.testing.assert_allclose(result["variance_held"], 1)


@pytest.mark.parametrize("shape", [(30, 3, 12), (10, 3, 40)], ids=["few units", "many units"])
def test_procrustes_is_on_the_leading_components(shape):
    values = gaussian(15, *shape) * np.linspace(1, 4, shape[2])
    result = between_sites(Recording.from_array(values), n_components=5)
    models = [PCA(5).fit(values[:, site]) for site in range(3)]
    scores = [model.transform(values[:, site]) for site, model in enumerate(models)]
    held = [model.explained_variance_ratio_.sum() for model in models]
    np.testing.assert_allclose(result["variance_held"], held, rtol=1e-9)
    expected = [procrustes_distance(scores[0], scores[site]) for site in (1, 2)]
    np.testing.assert_allclose(result["procrustes"][0, 1:], expected, rtol=1e-7)
    # CKA is on all of them.
    np.testing.assert_allclose(result["cka"][0, 1], cka(values[:, 0], values[:, 1]), rtol=1e-9)


def test_permuted_samples_are_0_on_average_and_as_scattered_as_by_hand():
    recording = synthetic.random_walk(n_samples=40, n_sites=3, n_units=10, seed=2)
    result, values = between_sites(recording, n_null=400), recording.values
    rng = np.random.default_rng(99)
    orders = [rng.permutation(40) for _ in range(400)]
    for name, kernel in (("cka", cka), ("procrustes", procrustes_distance)):
        hand = [kernel(values[:, 0], values[order, 1]) for order in orders]
        sd = result[f"neighbor_{name}_permuted_sd"].values[0]
        np.testing.assert_allclose(sd, np.std(hand, ddof=1), rtol=0.2)
        mean = result[f"neighbor_{name}_permuted"].values[0]
        assert abs(mean - np.mean(hand)) < 5 * sd / np.sqrt(200)
    assert abs(result["neighbor_cka_permuted"].values).max() < 0.03
    assert (result["neighbor_cka"] > 0.4).all()


def test_a_random_walk_is_its_own_null_and_a_rotation_is_not():
    walk = between_sites(synthetic.random_walk(n_samples=300, n_sites=5, n_units=60, seed=3))
    expected = np.arange(1, 5) / np.arange(2, 6)
    np.testing.assert_allclose(walk["neighbor_cka"], expected, atol=0.04)
    np.testing.assert_allclose(walk["neighbor_cka_walk"], expected, atol=0.04)
    np.testing.assert_allclose(
        walk["neighbor_procrustes"], walk["neighbor_procrustes_walk"], atol=0.03
    )
    turning = between_sites(synthetic.rotation(n_samples=60, n_sites=5, n_units=12, seed=3))
    np.testing.assert_allclose(turning["neighbor_cka"], 1, rtol=1e-6)
    assert (turning["neighbor_procrustes"] < 1e-5).all()
    assert (turning["neighbor_cka_walk"][1:] < 0.9).all()


def test_a_site_at_rest_is_nan_and_the_others_are_not():
    values = gaussian(16, 8, 4, 5)
    values[:, 1] = 0.3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = between_sites(Recording.from_array(values))
        for drawing in draw_similarity(result):
            drawing.plot()
            drawing.figure()
    assert [warning.category for warning in caught] == [UndefinedWarning]
    assert caught[0].filename == __file__
    for name in ("cka", "procrustes"):
        undefined = np.isnan(result[name].values)
        assert undefined[1].all()
        assert undefined.sum() == 7
        assert np.isnan(result[f"neighbor_{name}_permuted"]).values.tolist() == [True, True, False]
    assert np.isnan(result["variance_held"]).values.tolist() == [False, True, False, False]


def test_states_that_are_not_finite_are_nan():
    values = gaussian(17, 8, 3, 5)
    values[3, 2, 0] = np.inf
    with pytest.warns(UndefinedWarning, match="not finite") as caught:
        result = between_sites(Recording.from_array(values))
    assert len(caught) == 1
    assert np.isfinite(result["cka"][:2, :2]).all()
    assert np.isnan(result["procrustes"][2]).all()


@pytest.mark.parametrize("n_samples", [1, 2, 3])
def test_too_few_samples_for_cka_are_nan_with_one_warning(n_samples):
    with pytest.warns(UndefinedWarning, match="fewer than 4 samples") as caught:
        result = between_sites(Recording.from_array(gaussian(18, n_samples, 4, 5)))
    assert len(caught) == 1
    assert np.isnan(result["cka"]).all()
    assert np.isnan(result["procrustes"]).all() == (n_samples == 1)


def test_a_tiny_recording_gives_no_warning_and_leaves_its_states():
    values = gaussian(19, 12, 7, 16).astype(np.float32)
    before = values.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = between_sites(Recording.from_array(values))
    np.testing.assert_array_equal(values, before)
    assert all(result[name].dtype == np.float64 for name in result.data_vars)
    assert all("units" in result[name].attrs for name in result.data_vars)


def test_the_same_seed_gives_the_same_bits_from_memory_and_disk(tmp_path):
    recording = synthetic.random_walk(n_samples=30, n_sites=4, n_units=6)
    recording.save(tmp_path / "recording.zarr")
    how = {"n_samples": 20, "seed": 5}
    first = between_sites(recording, **how)
    assert first.attrs["n_samples"] == 20
    assert attribute(first, "parameters")["seed"] == 5
    assert first.equals(between_sites(open_recording(tmp_path / "recording.zarr"), **how))
    assert not first.equals(between_sites(recording, n_samples=20, seed=6))


@pytest.mark.parametrize("wrong", [{"n_components": 0}, {"n_null": 1}, {"n_samples": 3}])
def test_parameters_that_leave_nothing_are_refused(wrong):
    with pytest.raises(InputError, match="n_null=20"):
        between_sites(synthetic.line(n_samples=5, n_sites=3, n_units=3), **wrong)
    with pytest.raises(InputError, match="at least 2 sites"):
        between_sites(synthetic.line(n_samples=5, n_sites=1, n_units=3))


def test_drawings_carry_both_nulls():
    result = between_sites(synthetic.random_walk(n_samples=12, n_sites=5, n_units=4))
    lines, heatmap, distances, _ = draw_similarity(result)
    for drawing, name in ((lines, "cka"), (distances, "procrustes")):
        model, walk, permuted = drawing.series
        np.testing.assert_array_equal(model.y, result[f"neighbor_{name}"])
        np.testing.assert_array_equal(walk.y, result[f"neighbor_{name}_walk"])
        assert (walk.role, permuted.role) == ("null", "null")
        assert drawing.y_label.endswith(")")
        assert drawing.caption
        assert drawing.interpretation
    assert heatmap.values.shape == (5, 5)
