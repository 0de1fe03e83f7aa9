"""C13: the simulated law gets its verdict, walks and growing noise do not."""

import re

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics import synthetic
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.c13_rotate_and_stretch import CLAIM, chosen_sites, profile, sides
from transformer_dynamics.nulls.random_walk import random_walk
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.stats.bootstrap import text_weights, uniform_weights
from transformer_dynamics.synthetic.rotate_and_stretch import rotate_and_stretch_law

QUICK = ClaimOptions(n_null=39, n_bootstrap=99)


def verdict(recording, **options):
    return td.evaluate_claims(recording, claims=["C13"], options=QUICK, **options)[0]


def told(found):
    """alpha and lambda as the verdict tells them."""
    return (
        float(re.search(name + r" ([\d.e+-]+) \(", found.why)[1]) for name in ("alpha", "lambda")
    )


@pytest.fixture(scope="module")
def law():
    made = rotate_and_stretch_law(n_samples=256, seed=1)
    n_samples, n_sites, n_units = made.shape
    twins = [
        synthetic.random_walk(n_samples=n_samples, n_sites=n_sites, n_units=n_units, seed=seed)
        for seed in range(4)
    ]
    return verdict(made, model_nulls={"untrained": twins})


def test_the_simulated_law_is_supported_and_its_numbers_are_told(law):
    assert law.verdict == "supported", law.why
    assert law.value > 1
    alpha, growth = told(law)
    assert alpha == pytest.approx(0.64, rel=0.1)
    assert growth == pytest.approx(0.18, rel=0.05)
    assert "GPT-2 medium: 0.64 and 0.18" in law.why


@pytest.mark.parametrize("seed", range(3))
def test_a_walk_with_growing_steps_is_not_supported_though_its_residual_grows(seed):
    generator = np.random.default_rng(seed)
    steps = 1.15 ** np.arange(16)[:, None] * generator.standard_normal((80, 16, 8))
    found = verdict(Recording.from_array(np.cumsum(steps, axis=1)))
    assert found.verdict == "not reproduced", found.why
    assert found.interval[1] < 0
    alpha, growth = told(found)
    assert alpha > 0
    assert 0.15 < growth < 0.4


def test_the_walk_matched_to_the_law_loses_what_the_law_has(law):
    walk = random_walk(rotate_and_stretch_law(n_samples=120, seed=1), seed=2)
    found = verdict(walk)
    assert found.verdict != "supported"
    assert found.value < law.value - 1


def test_independent_states_that_grow_are_not_supported():
    generator = np.random.default_rng(5)
    grown = 1.2 ** np.arange(14)[:, None] * generator.standard_normal((80, 14, 8))
    assert verdict(Recording.from_array(grown)).verdict == "not reproduced"


def test_the_statistic_is_a_ratio_of_errors():
    """Texts that turn as one, without noise, and one direction: every error has a closed form."""
    generator = np.random.default_rng(0)
    spread = np.array([3.0, 1.0])
    states = generator.standard_normal((200, 2)) * spread
    sites = []
    for angle in np.arange(9) * 0.1:
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        sites.append(states @ turn.T + 0.05 * generator.standard_normal(states.shape))
    found = profile(Recording.from_array(np.stack(sites, axis=1)), uniform_weights(200))[0]
    # Standing still, scaled by cos: the error in a direction is that of turning a planar state.
    power = (spread**2).sum()
    for lag in (2, 5, 8):
        still = power * (1 - np.cos(0.1 * lag) ** 2) + 2 * 0.05**2 * (1 + np.cos(0.1 * lag) ** 2)
        law = 2 * 2 * 0.05**2
        assert found[lag - 1] == pytest.approx(np.log(still / law), abs=0.25)


def test_texts_never_lie_on_both_sides_and_weights_of_fitted_texts_do_not_matter():
    values = synthetic.random_walk(n_samples=40, n_sites=10, n_units=6, seed=1).values
    recording = Recording.from_array(values, coords={"text": np.repeat(np.arange(20), 2)})
    fitted, predicted = sides(recording)
    texts = recording.text_index
    assert not set(texts[fitted]) & set(texts[predicted])
    weights = text_weights(texts, 3, seed=0)
    changed = weights.copy()
    changed[:, fitted] = 0.0
    np.testing.assert_array_equal(profile(recording, weights), profile(recording, changed))
    assert chosen_sites(60).tolist() == [0, 7, 15, 22, 30, 37, 44, 52, 59]
    assert chosen_sites(6).tolist() == [0, 1, 2, 3, 4, 5]


def test_states_that_do_not_vary_are_undecided():
    still = Recording.from_array(np.ones((10, 12, 4)))
    found = verdict(still)
    assert found.verdict == "undecided"
    assert "alpha" not in found.why


def test_small_recordings_and_figures(law):
    tiny = synthetic.random_walk(n_samples=12, n_sites=7, n_units=16, seed=0)
    assert np.isfinite(verdict(tiny).value)
    drawings = CLAIMS.get("C13").drawings(law.evidence)
    for drawing in drawings:
        assert "null: " in drawing.figure().to_json()
        assert drawing.plot().get_xlabel().endswith(")")
    assert drawings[0].caption
    assert drawings[0].interpretation
    assert CLAIM.threshold == 0.0
