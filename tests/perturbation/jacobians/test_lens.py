"""The Jacobian lens: products of steps, finite differences, refused arguments."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation.jacobians.lens import jacobian_lens, mean_jacobian
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def both():
    model = tiny.model()
    return td.perturbation.systems(model, td.record(model, tiny.token_lists(6)), n_twins=1)


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
