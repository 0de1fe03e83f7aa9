from itertools import permutations

import numpy as np
import pytest
from scipy.stats import ortho_group

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.measures.similarity.between_recordings import between_recordings
from transformer_dynamics.measures.similarity.pairing import matched_samples
from transformer_dynamics.measures.similarity.state_sets import u_centered
from transformer_dynamics.measures.similarity.two_sets import cka, procrustes_distance
from transformer_dynamics.measures.similarity.weighted_hsic import weighted_hsic
from transformer_dynamics.plots.similarity.between_recordings import draw_comparison
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute
from transformer_dynamics.storage.results import load_result, save_result


def gaussian(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def recorded(token_lists, positions, strings=None, seed=0, n_sites=2):
    """A recording as `td.record` leaves it: tokens of all texts, and some of their positions."""
    text = np.repeat(np.arange(len(token_lists)), [len(each) for each in positions])
    place = np.concatenate(positions).astype(int)
    recording = Recording.from_array(
        gaussian(seed, len(text), n_sites, 3), coords={"text": text, "position": place}
    )
    strings = [str(index) for index in range(len(token_lists))] if strings is None else strings
    return Recording(
        recording.dataset.assign(
            text_string=("text_index", np.array(strings, dtype=object)),
            n_tokens=("text_index", [len(each) for each in token_lists]),
            input_id=("input", np.concatenate(token_lists)),
        )
    )


def hollow(seed, n_samples):
    gram = gaussian(seed, n_samples, 4)
    gram = gram @ gram.T
    np.fill_diagonal(gram, 0)
    return gram


def weighted_by_definition(first, second, weights):
    terms, mass = [], []
    for i, j, k, m in permutations(range(len(weights)), 4):
        terms.append(first[i, j] * (second[i, j] - 2 * second[i, k] + second[k, m]))
        mass.append(weights[i] * weights[j] * weights[k] * weights[m])
    return np.dot(mass, terms) / np.sum(mass)


def test_weighted_hsic_is_the_sum_over_distinct_samples():
    first, second = hollow(0, 6), hollow(1, 6)
    weights = np.random.default_rng(2).integers(0, 4, (5, 6)).astype(float)
    weights[0] = 1.0
    expected = [weighted_by_definition(first, second, each) for each in weights]
    np.testing.assert_allclose(weighted_hsic(first, second, weights), expected, rtol=1e-9)
    # Any scale of the weights, and U-centering, change nothing.
    centered = u_centered(first), u_centered(second)
    np.testing.assert_allclose(weighted_hsic(*centered, weights / 7), expected, rtol=1e-9)
    np.testing.assert_allclose(expected[0] * 6 * 3, (centered[0] * centered[1]).sum(), rtol=1e-9)


def test_weighted_hsic_needs_four_samples():
    weights = np.array([[1.0, 1, 2, 0, 0], [1, 1, 2, 1, 0]])
    assert np.isnan(weighted_hsic(hollow(0, 5), hollow(1, 5), weights)).tolist() == [True, False]


def test_a_rotated_copy_is_the_same():
    recording = synthetic.random_walk(n_samples=30, n_sites=5, n_units=6)
    rotation = ortho_group.rvs(9, random_state=1)[:6]
    other = Recording.from_array(2 * recording.values @ rotation + 1)
    result = between_recordings(recording, other, n_bootstrap=50)
    for name in ("matched_cka", "matched_cka_low", "quarter_cka", "quarter_cka_high"):
        np.testing.assert_allclose(result[name], 1, rtol=1e-9)
    for name in ("matched_procrustes", "matched_procrustes_high", "quarter_procrustes"):
        np.testing.assert_allclose(result[name], 0, atol=1e-6)
    assert (result["matched_cka_permuted"] < 0.2).all()
    assert (result["matched_procrustes_permuted"] > 0.5).all()


def test_matrices_are_the_kernels_and_depths_are_matched():
    first, second = gaussian(3, 20, 5, 6), gaussian(4, 20, 3, 8)
    second[:, 1, :6] += first[:, 2]
    result = between_recordings(
        Recording.from_array(first), Recording.from_array(second), n_bootstrap=20
    )
    for site in range(5):
        for other in range(3):
            pair, here = (
                (first[:, site], second[:, other]),
                result.isel(site=site, other_site=other),
            )
            np.testing.assert_allclose(here["cka"], cka(*pair), rtol=1e-8, atol=1e-12)
            np.testing.assert_allclose(here["procrustes"], procrustes_distance(*pair), rtol=1e-8)
    assert result["relative_depth"].values.tolist() == [0, 0.25, 0.5, 0.75, 1]
    matched = ["0.state", "0.state", "1.state", "1.state", "2.state"]
    assert result["matched_site"].values.tolist() == matched
    places = [0, 0, 1, 1, 2]
    for name in ("cka", "procrustes"):
        expected = result[name].values[range(5), places]
        np.testing.assert_array_equal(result[f"matched_{name}"], expected)
        quarters = [expected[0], expected[1], expected[2], expected[3:].mean()]
        np.testing.assert_allclose(result[f"quarter_{name}"], quarters)
    assert float(result["matched_cka"][2]) > 0.3
    assert float(result["matched_cka"][2]) == float(result["matched_cka"].max())


def test_empty_quarters_are_nan():
    result = between_recordings(*[Recording.from_array(gaussian(seed, 9, 2, 4)) for seed in (0, 1)])
    assert np.isnan(result["quarter_cka"]).values.tolist() == [False, True, True, False]


@pytest.mark.parametrize("per_text", [1, 3])
def test_intervals_are_as_wide_as_the_scatter_of_new_texts(per_text):
    n_texts = 60 // per_text
    text = np.repeat(np.arange(n_texts), per_text)
    true_cka = 1 / (1 + 0.8**2)
    values, widths, covered, distances, reaches = [], [], 0, [], []
    for seed in range(30):
        # The samples of one text are copies but for a little noise.
        common = np.repeat(gaussian(3 * seed, n_texts, 1, 8), per_text, axis=0)
        x = common + 1e-3 * gaussian(3 * seed + 1, 60, 1, 8)
        noise = np.repeat(gaussian(3 * seed + 2, n_texts, 1, 8), per_text, axis=0)
        both = [
            Recording.from_array(
                states, coords={"text": text, "position": np.tile(range(per_text), n_texts)}
            )
            for states in (x, x + 0.8 * noise)
        ]
        result = between_recordings(*both, n_bootstrap=199, n_null=2)
        low, high = (float(result[f"matched_cka_{end}"][0]) for end in ("low", "high"))
        values.append(float(result["matched_cka"][0]))
        widths.append((high - low) / (2 * 1.96))
        covered += low <= true_cka <= high
        distances.append(float(result["matched_procrustes"][0]))
        reaches.append(float(result["matched_procrustes_high"][0]) - distances[-1])
    np.testing.assert_allclose(np.mean(widths), np.std(values), rtol=0.45)
    np.testing.assert_allclose(np.mean(reaches) / 2.09, np.std(distances), rtol=0.45)
    if per_text == 1:
        assert covered >= 25


def test_copies_in_a_draw_do_not_push_cka_up():
    unrelated = [Recording.from_array(gaussian(seed, 40, 1, 40)) for seed in (5, 6)]
    result = between_recordings(*unrelated)
    assert float(result["matched_cka_low"][0]) < 0 < float(result["matched_cka_high"][0])


def test_a_single_text_has_no_interval():
    coords = {"text": np.zeros(8, dtype=int), "position": np.arange(8)}
    both = [Recording.from_array(gaussian(seed, 8, 2, 3), coords=coords) for seed in (0, 1)]
    result = between_recordings(*both)
    for name in ("cka", "procrustes"):
        assert np.isfinite(result[f"matched_{name}"]).all()
        assert np.isnan(result[f"matched_{name}_low"]).all()
        assert np.isnan(result[f"matched_{name}_high"]).all()


def test_undefined_sites_are_nan_with_one_warning():
    still = gaussian(7, 8, 3, 4)
    still[:, 0] = 2.0
    with pytest.warns(UndefinedWarning) as caught:
        result = between_recordings(
            Recording.from_array(still), Recording.from_array(gaussian(8, 8, 3, 4))
        )
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isnan(result["matched_cka"]).values.tolist() == [True, False, False]
    assert np.isnan(result["matched_procrustes_low"]).values.tolist() == [True, False, False]
    for drawing in draw_comparison(result):
        drawing.plot()


def test_samples_are_matched_whatever_their_order():
    recording = synthetic.random_walk(n_samples=12, n_sites=3, n_units=5)
    order = np.random.default_rng(0).permutation(12)
    result = between_recordings(recording, recording.isel(sample=order), n_bootstrap=20)
    np.testing.assert_allclose(result["matched_cka"], 1, rtol=1e-9)
    rows = matched_samples(recording, recording.isel(sample=order))
    np.testing.assert_array_equal(order[rows[1]], np.arange(12))


def test_the_same_tokens_are_matched_by_text_and_position():
    tokens, places = [[1, 2, 3], [4, 5], [6, 7]], [[0, 2], [1], [0, 1]]
    first = recorded(tokens, places)
    second = recorded(tokens, places, strings=["other", "strings", "here"])
    np.testing.assert_array_equal(matched_samples(first, second)[1], range(5))
    with pytest.raises(InputError, match="of which 4 agree in text, position"):
        matched_samples(first, recorded(tokens, [[0, 1], [1], [0, 1]]))
    with pytest.raises(InputError, match="5 and 3 samples"):
        matched_samples(first, recorded(tokens, [[2], [1], [1]]))


def test_other_tokens_are_matched_by_the_last_of_each_text():
    first = recorded([[1, 2, 3], [4, 5], [6, 7]], [[0, 2], [1], [0, 1]])
    second = recorded([[9], [9, 8, 7], [6, 5]], [[0], [2], [1]])
    rows = matched_samples(first, second)
    assert [row.tolist() for row in rows] == [[1, 2, 4], [0, 1, 2]]
    with pytest.raises(InputError, match="different tokens and different strings"):
        matched_samples(first, recorded([[9]] * 3, [[0]] * 3, strings=["a", "b", "c"]))
    with pytest.raises(InputError, match="the last token of 3 and 2 texts"):
        matched_samples(first, recorded([[9, 8]] * 3, [[0], [1], [1]]))


def test_without_tokens_samples_are_matched_by_what_is_known():
    values = gaussian(9, 4, 2, 3)
    ids = [{"text": range(4), "token_id": [7, 7, 8, last]} for last in (9, 10)]
    first, second = (Recording.from_array(values, coords=each) for each in ids)
    assert matched_samples(first, first)[1].tolist() == [0, 1, 2, 3]
    with pytest.raises(InputError, match="of which 3 agree in text, token_id"):
        matched_samples(first, second)
    repeated = Recording.from_array(values, coords={"text": [0, 0, 1, 2]})
    with pytest.raises(InputError, match="several samples have the same text"):
        matched_samples(repeated, repeated)
    nameless = Recording.from_array(values, coords={"trial": range(4)})
    with pytest.raises(InputError, match="share no coordinate"):
        matched_samples(nameless, nameless)


def test_many_samples_are_a_choice_by_seed():
    recording = synthetic.random_walk(n_samples=30, n_sites=3, n_units=5)
    other = synthetic.random_walk(n_samples=30, n_sites=3, n_units=5, seed=1)
    how = {"n_bootstrap": 20, "n_samples": 10}
    result = between_recordings(recording, other, **how)
    assert (result.attrs["n_samples"], result.attrs["n_texts"]) == (10, 10)
    assert result.equals(between_recordings(recording, other, **how))
    assert not result.equals(between_recordings(recording, other, seed=1, **how))


@pytest.mark.parametrize("wrong", [{"n_components": 0}, {"n_null": 1}, {"n_bootstrap": 0}])
def test_parameters_that_leave_nothing_are_refused(wrong):
    recording = synthetic.random_walk(n_samples=6, n_sites=3, n_units=5)
    with pytest.raises(InputError):
        between_recordings(recording, recording, **wrong)


def test_a_result_says_what_it_is_and_is_drawn_from_disk(tmp_path):
    recording = synthetic.random_walk(n_samples=8, n_sites=5, n_units=4)
    other = synthetic.independent_states(n_samples=8, n_sites=5, n_units=4)
    result = between_recordings(recording, other, n_bootstrap=30)
    assert result.attrs["measure"] == "similarity.between_recordings"
    assert attribute(result, "recording")["digest"] == recording.digest
    assert attribute(result, "other")["digest"] == other.digest
    assert attribute(result, "parameters")["n_bootstrap"] == 30
    assert all("units" in result[name].attrs for name in result.data_vars)
    save_result(tmp_path / "results.zarr", "similarity.between_recordings", result)
    stored = load_result(tmp_path / "results.zarr", "similarity.between_recordings")
    assert stored.equals(result)
    drawings = draw_comparison(stored)
    assert drawings[0].title == "Debiased CKA: random walk and independent states"
    for drawing in drawings:
        assert drawing.figure().data
        assert drawing.plot().get_xlabel() == drawing.x_label
        assert drawing.caption
        assert drawing.interpretation
    model, null = drawings[0].series
    np.testing.assert_array_equal(model.low, result["matched_cka_low"])
    assert null.role == "null"
