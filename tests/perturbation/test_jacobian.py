"""Jacobians and their spectra: known matrices, a plain oracle, a tiny model."""

import numpy as np
import pytest
import scipy.linalg

import tiny
import transformer_dynamics as td
from known import system
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.nulls.flow_maps import random_updates
from transformer_dynamics.perturbation import (
    composed_ranks,
    effective_rank,
    jacobians,
    lyapunov_exponents,
    spectra,
    spectrum,
    step_jacobians,
)
from transformer_dynamics.perturbation.jacobians.lens import jacobian_lens, mean_jacobian
from transformer_dynamics.perturbation.jacobians.spectrum import (
    commutator_norm,
    henrici,
    random_complex_share,
    schur_surrogate,
    symmetric_energy,
    traceless_symmetric_energy,
)
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)
ROTATION = np.array([[0.6, -0.8], [0.8, 0.6]])
ROTATIONS = scipy.linalg.block_diag(ROTATION, ROTATION)


def eig(matrix):
    return np.linalg.eigvals(matrix)


@pytest.mark.parametrize(
    ("matrix", "departure"),
    [
        (np.diag([1.0, 5.0]), 0.0),
        (ROTATION, 0.0),
        (np.array([[2.0, 1.0], [1.0, 7.0]]), 0.0),
        (np.array([[1.0, 3.0], [0.0, 1.0]]), 3 / np.sqrt(11)),
    ],
)
def test_henrici_of_known_matrices(matrix, departure):
    # The double eigenvalue of a shear is found to the root of the precision only.
    assert henrici(matrix, eig(matrix)) == pytest.approx(departure, abs=1e-7)
    assert (commutator_norm(matrix) < 1e-12) == (departure == 0)


def test_a_gaussian_matrix():
    n = 400
    matrix = RNG.standard_normal((n, n))
    assert henrici(matrix, eig(matrix)) == pytest.approx(np.sqrt(0.5), abs=0.01)
    assert symmetric_energy(matrix) == pytest.approx(0.5 * (1 + 1 / n), abs=0.01)
    found = spectrum(matrix[np.newaxis])
    share = float(found["complex_share"].sel(reading="step")[0])
    assert share == pytest.approx(random_complex_share(n), abs=0.03)
    assert random_complex_share(n) == pytest.approx(1 - np.sqrt(2 / (np.pi * n)))


def test_symmetric_energy_of_a_rotation_and_of_a_symmetric_matrix():
    assert symmetric_energy(np.array([[0.0, 2.0], [-2.0, 0.0]])) == 0
    assert symmetric_energy(ROTATION) == pytest.approx(0.36)
    assert symmetric_energy(np.array([[1.0, 2.0], [2.0, 5.0]])) == 1


def test_traceless_symmetric_energy_of_known_matrices():
    shift = 5 * np.eye(2)
    assert traceless_symmetric_energy(shift + np.array([[0.0, 2.0], [-2.0, 0.0]])) == 0
    assert traceless_symmetric_energy(shift + np.diag([1.0, -1.0])) == pytest.approx(1)
    n = 300
    gaussian = RNG.standard_normal((n, n))
    for multiple in (0.0, 40.0):
        found = traceless_symmetric_energy(multiple * np.eye(n) + gaussian)
        assert found == pytest.approx(0.5 + 1 / (2 * n), abs=0.01)
    matrices = np.stack([np.zeros((3, 3)), 0.3 * np.eye(3), np.diag([1.0, 0.0, 0.0])])
    np.testing.assert_allclose(traceless_symmetric_energy(matrices), [np.nan, np.nan, 1])


def test_the_spectrum_of_a_rotation_by_hand():
    found = spectrum(ROTATION[np.newaxis])
    assert found["eigenvalue_real"].values[0] == pytest.approx([0.6, 0.6])
    assert sorted(found["eigenvalue_imaginary"].values[0]) == pytest.approx([-0.8, 0.8])
    step, update = (found.sel(reading=reading).isel(step=0) for reading in ("step", "update"))
    assert float(step["spectral_radius"]) == pytest.approx(1)
    assert float(step["numerical_abscissa"]) == pytest.approx(0.6)
    assert float(step["complex_share"]) == 1
    assert float(step["imaginary_weight"]) == pytest.approx(0.8)
    assert float(update["norm"]) == pytest.approx(np.linalg.norm(ROTATION - np.eye(2)))
    assert float(update["spectral_radius"]) == pytest.approx(np.hypot(0.4, 0.8))
    assert float(update["numerical_abscissa"]) == pytest.approx(-0.4)


def test_a_zero_update_is_undefined_and_not_zero():
    found = spectrum(np.eye(3)[np.newaxis]).sel(reading="update")
    assert np.isnan(found["symmetric_energy"]).all()
    assert np.isnan(found["henrici"]).all()


def test_the_schur_surrogate_is_normal_with_the_same_eigenvalues():
    matrix = RNG.standard_normal((9, 9))
    surrogate = schur_surrogate(matrix)
    assert commutator_norm(surrogate) < 1e-12
    kinds = [np.sort_complex(np.linalg.eigvals(each)) for each in (matrix, surrogate)]
    np.testing.assert_allclose(kinds[0], kinds[1], atol=1e-10)


@pytest.mark.parametrize(
    ("values", "ranks"),
    [
        ([1.0, 1.0, 1.0], (3, 3, 3)),
        ([5.0, 0.0, 0.0], (1, 1, 1)),
        ([2.0, 1.0], (np.exp(np.log(3) - 2 / 3 * np.log(2)), 25 / 17, 5 / 4)),
    ],
)
def test_ranks_of_known_singular_values(values, ranks):
    assert list(effective_rank(np.array(values)).values()) == pytest.approx(ranks)


def test_composed_ranks_equal_those_of_the_product():
    matrices = RNG.standard_normal((4, 6, 6))
    ranks, values = composed_ranks(matrices)
    product = np.linalg.multi_dot(matrices[::-1])
    expected = scipy.linalg.svdvals(product)
    np.testing.assert_allclose(values, expected / expected[0], rtol=1e-8)
    for name, rank in effective_rank(expected).items():
        assert ranks[name][-1] == pytest.approx(rank, rel=1e-8)
    between = np.linalg.multi_dot(matrices[2::-1])
    for name, rank in effective_rank(scipy.linalg.svdvals(between)).items():
        assert ranks[name][2] == pytest.approx(rank, rel=1e-8)
    assert ranks["effective_rank"][0] > ranks["effective_rank"][-1]


def test_random_updates_keep_size_and_trace_and_nothing_else():
    given = np.eye(50) * 1.3 + np.triu(RNG.standard_normal((3, 50, 50)))
    drawn = random_updates(given, seed=1)
    np.testing.assert_allclose(
        np.linalg.norm(drawn - np.eye(50), axis=(1, 2)),
        np.linalg.norm(given - np.eye(50), axis=(1, 2)),
    )
    np.testing.assert_allclose(np.trace(drawn, axis1=1, axis2=2), np.trace(given, axis1=1, axis2=2))
    assert abs(np.corrcoef(drawn.ravel(), given.ravel())[0, 1]) < 0.5
    assert np.array_equal(drawn, random_updates(given, seed=1))
    assert not np.array_equal(drawn, random_updates(given, seed=2))


def test_lyapunov_of_a_diagonal_map():
    found = lyapunov_exponents([np.diag([3.0, 0.2])] * 10)
    np.testing.assert_allclose(found, np.log([3.0, 0.2]))


def test_lyapunov_of_the_logistic_map():
    x, steps = 0.3, []
    for _ in range(20_000):
        steps.append([[4 - 8 * x]])
        x = 4 * x * (1 - x)
    assert lyapunov_exponents(steps)[0] == pytest.approx(np.log(2), abs=0.01)


def test_lyapunov_of_the_henon_map():
    x, y, steps = 0.1, 0.1, []
    for step in range(20_100):
        if step >= 100:
            steps.append([[-2.8 * x, 1.0], [0.3, 0.0]])
        x, y = 1 - 1.4 * x * x + y, 0.3 * x
    found = lyapunov_exponents(steps)
    assert found[0] == pytest.approx(0.419, abs=0.01)
    assert found.sum() == pytest.approx(np.log(0.3), abs=1e-9)


def test_lyapunov_refuses_what_is_no_chain():
    with pytest.raises(InputError, match="step, unit, unit"):
        lyapunov_exponents(np.eye(3))


def test_steps_of_a_linear_flow_are_its_matrices():
    matrices = RNG.standard_normal((5, 4, 4))
    np.testing.assert_allclose(step_jacobians(LinearFlowMap(matrices)), matrices)


def test_jacobians_of_known_systems():
    matrices = np.eye(4) + 0.3 * RNG.standard_normal((5, 4, 4))
    result = jacobians([system(matrices)], n_texts=3)
    names = ["model", "random_updates", "spectrum_matched_updates"]
    assert result["system"].values.tolist() == names
    model = result.sel(system="model").isel(sample=1)
    np.testing.assert_allclose(
        model["symmetric_energy"].sel(reading="update"), symmetric_energy(matrices - np.eye(4))
    )
    np.testing.assert_allclose(model["lyapunov_exponent"], lyapunov_exponents(matrices))
    traceless = matrices - np.eye(4)
    traceless -= np.trace(traceless, axis1=1, axis2=2)[:, None, None] / 4 * np.eye(4)
    np.testing.assert_allclose(model["traceless_symmetric_energy"], symmetric_energy(traceless))
    sizes = result["norm"].sel(reading="update")
    np.testing.assert_allclose(sizes.sel(system="model"), sizes.sel(system="random_updates"))
    drawn = result.sel(system="spectrum_matched_updates")["traceless_symmetric_energy"]
    assert not np.allclose(drawn, model["traceless_symmetric_energy"], atol=0.05)


def test_alignment_between_layers_is_beyond_spectrum_matched_updates():
    # Every layer shrinks the same 12 of 16 directions: together they leave 4.
    matrices = np.stack([np.diag([1.0] * 4 + [0.3] * 12)] * 5)
    last = jacobians([system(matrices)], n_texts=4)["effective_rank"].isel(step=-1)
    assert float(last.sel(system="model").mean()) == pytest.approx(4, rel=0.1)
    assert float(last.sel(system="spectrum_matched_updates").min()) > 6


def test_steps_without_a_traceless_update_are_nan_with_one_warning():
    with pytest.warns(UndefinedWarning, match="9 of 18 steps .* multiples of the identity") as told:
        result = jacobians([system(np.stack([0.5 * np.eye(4), ROTATIONS]))], n_texts=3)
    assert len(told) == 1
    energy = result["traceless_symmetric_energy"]
    np.testing.assert_array_equal(np.isnan(energy.sel(system="model"))[0], [True, False])


@pytest.fixture(scope="module")
def both():
    model = tiny.model()
    return td.perturbation.systems(model, td.record(model, tiny.token_lists(6)), n_twins=1)


def test_spectra_in_context_and_isolated(both):
    result = spectra(both, n_texts=2)
    assert result["mode"].values.tolist() == ["context", "isolated"]
    text = int(result["text"][0])
    model, last = both[0].require_model(), both[0].tokens(text)[-1:]
    flow, alone = both[0].flow(text), model.flow_map(last, bos="never")
    assert flow.jacobian("0.pre_attn", "1.pre_attn") is not None
    for mode, matrix in (
        ("context", flow.jacobian("0.pre_attn", "1.pre_attn")),
        ("isolated", alone.jacobian("0.pre_attn", "1.pre_attn", at=flow.clean[0])),
    ):
        found = result.sel(system="model", mode=mode, reading="step").isel(sample=0, step=0)
        assert float(found["henrici"]) == pytest.approx(float(henrici(matrix, eig(matrix))))
        assert float(found["spectral_radius"]) == pytest.approx(np.abs(eig(matrix)).max())
    other = both[0].flow(int(result["text"][1]))
    mean = (step_jacobians(flow) + step_jacobians(other)) / 2
    average = result["average_symmetric_energy"].sel(system="model", mode="context", reading="step")
    np.testing.assert_allclose(average, symmetric_energy(mean), rtol=1e-9)
    for drawing in [*result.td.drawings, *jacobians(both, n_texts=2).td.drawings]:
        assert drawing.figure().data
        assert drawing.plot().get_title()


def test_the_lens_is_the_product_of_steps_and_the_identity_at_the_end():
    matrices = RNG.standard_normal((3, 4, 4))
    lens = mean_jacobian([LinearFlowMap(matrices), LinearFlowMap(3 * matrices)])
    np.testing.assert_allclose(lens.sel(site="3.state"), np.eye(4))
    np.testing.assert_allclose(lens.sel(site="2.state"), 2 * matrices[2])
    np.testing.assert_allclose(lens.sel(site="1.state"), 5 * matrices[2] @ matrices[1])


def test_the_lens_of_a_model_on_itself_and_on_later_tokens():
    model = tiny.model()
    (tokens,) = tiny.token_lists(1)
    same = jacobian_lens(model, [tokens])
    flow = model.flow_map(tokens)
    np.testing.assert_allclose(same[1], flow.jacobian(str(same["site"][1].values), "final"))
    # A text of one token has no later ones: both lenses are the same.
    one = jacobian_lens(model, [tokens[:1]]), jacobian_lens(model, [tokens[:1]], targets="later")
    np.testing.assert_allclose(one[0], one[1], atol=1e-5)
    later = jacobian_lens(model, [tokens], targets="later")
    np.testing.assert_allclose(later[-1], np.eye(later.shape[1]), atol=1e-12)


def test_later_tokens_against_differences():
    model = tiny.model()
    tokens = tiny.token_lists(1)[0][:5]
    site = model.sites[2]
    lens = jacobian_lens(model, [tokens], sites=[site], targets="later")[0].values
    unit, step, total = 3, 1e-2, 0.0
    from plain import finals_with_shift

    for position in range(len(tokens)):
        up, down = (
            finals_with_shift(model, tokens, site, position, unit, sign * step) for sign in (1, -1)
        )
        total = total + (up - down).sum(axis=0) / (2 * step)
    expected = total / len(tokens)
    np.testing.assert_allclose(lens[:, unit], expected, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"targets": "earlier"}, "'same' or 'later'"),
        ({"targets": "later", "sites": ["x"]}, "first of layers"),
    ],
)
def test_the_lens_refuses(options, message):
    with pytest.raises(InputError, match=message):
        jacobian_lens(tiny.model(), [[1, 2, 3]], **options)
