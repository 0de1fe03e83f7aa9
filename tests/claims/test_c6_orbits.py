"""C6: unstable periodic orbits are supported where there are any, and not by walks or rotations."""

import numpy as np
import pytest

import orbit_maps as maps
import transformer_dynamics as td
from transformer_dynamics import synthetic
from transformer_dynamics.claims import ClaimOptions, c6_orbits
from transformer_dynamics.nulls import random_walk
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.stats.bootstrap import uniform_weights

SHAPE = (32, 6, 40)
INCREMENT_NULLS = ("sign_flipped_increments", "permuted_increments", "phase_randomized_increments")


def recording(traces):
    return Recording.from_array(np.swapaxes(traces, 1, 2))


def verdict(found_in, claim="C6", *, n_null=19, n_bootstrap=99, **given):
    options = ClaimOptions(n_null=n_null, n_bootstrap=n_bootstrap)
    return td.evaluate_claims(found_in, claims=[claim], options=options, **given)[0]


@pytest.mark.parametrize(
    "traces",
    [
        maps.logistic(SHAPE, noise=0.03),
        maps.henon(SHAPE) + 0.03 * np.random.default_rng(0).standard_normal(SHAPE),
        maps.henon(SHAPE) * 1.08 ** np.arange(SHAPE[-1]),
    ],
    ids=["logistic", "henon", "growing henon"],
)
def test_units_that_follow_a_chaotic_map_are_supported(traces):
    twins = [recording(maps.walks(SHAPE, seed=seed)) for seed in range(4)]
    found = verdict(recording(traces), model_nulls={"untrained": twins})
    assert found.verdict == "supported", found.why
    assert found.value > 2
    for name in (*INCREMENT_NULLS, "random_walk", "random_basis"):
        assert found.nulls[name].p == pytest.approx(1 / 20), name
        assert found.nulls[name].mean < 0.6


@pytest.mark.parametrize(
    "traces",
    [
        maps.walks(SHAPE, shared=2.0, growth=1.05),
        maps.linear_noise(-0.7, SHAPE),
        maps.linear_noise(0.8, SHAPE, shared=3.0),
        maps.rotation(SHAPE),
        maps.rotation(SHAPE, noise=0.1),
    ],
    ids=["walk", "alternating noise", "shared noise", "rotation", "noisy rotation"],
)
def test_walks_noise_and_rotations_are_not_orbits(traces):
    found = verdict(recording(traces), n_null=9)
    assert found.verdict == "not reproduced", found.why
    assert abs(found.value) < 0.6


def test_rotation_in_phase_turns_and_is_no_orbit():
    """All texts on one circle: what C6-turns counts, C6 does not take for an orbit."""
    spun = synthetic.rotation(n_samples=40, n_sites=60, n_units=8, turns=6)
    noisy = spun.with_values(
        spun.values + 0.05 * np.random.default_rng(0).standard_normal(spun.shape)
    )
    assert verdict(noisy, n_null=9).verdict != "supported"
    spiral = synthetic.spiral(n_samples=40, n_sites=60, n_units=8, turns=6, growth=1.03)
    assert verdict(spiral, n_null=9).verdict != "supported"


@pytest.mark.slow
def test_walks_exceed_their_own_walk_at_most_at_the_level():
    """Against one deciding null alone, 30 walks whose samples share a path."""
    base = recording(maps.walks((16, 6, 20), shared=2.0, growth=1.06))
    above = 0
    for seed in range(30):
        walk = random_walk(base, seed=seed)
        value = statistic(walk)
        draws = [statistic(random_walk(walk, seed=1000 * seed + draw)) for draw in range(19)]
        above += value > max(draws)
    assert above <= 6


def statistic(found_in):
    return c6_orbits.summary(c6_orbits.profile(found_in, uniform_weights(found_in.shape[0])))[0]


def test_profile_looks_at_a_fixed_choice_of_samples_and_units():
    values = np.random.default_rng(0).standard_normal((90, 20, 40)).cumsum(axis=1)
    whole = Recording.from_array(values)
    few = c6_orbits.subsample(whole)
    assert few.shape == (c6_orbits.N_SAMPLES, 20, c6_orbits.N_UNITS)
    of_whole = c6_orbits.profile(whole, uniform_weights(90))
    of_few = c6_orbits.profile(few, uniform_weights(len(few.values)))
    # Weights of the whole sum to less over the choice, which their ratio does not see.
    np.testing.assert_allclose(c6_orbits.summary(of_whole), c6_orbits.summary(of_few))
    assert c6_orbits.coords(whole)["unit"].tolist() == few.dataset["unit"].values.tolist()


def test_remark_gives_the_rotation_count_beside_the_papers_and_the_walks():
    found = verdict(recording(maps.walks((10, 4, 64))), n_null=3)
    turns = verdict(recording(maps.walks((10, 4, 64))), "C6-turns", n_null=3).value
    assert f"turn {turns:.2f} times over 64 points (a Gaussian random walk: 10.94)" in found.why
    assert "reports 10.74 over 64 sublayers (a walk: 10.94); see C6-turns" in found.why


def test_constant_units_are_left_out_and_a_still_recording_is_undecided():
    traces = maps.logistic((20, 6, 30))
    traces[:, 2] = 3.0
    some = verdict(recording(traces), n_null=9)
    assert some.value > 3
    still = verdict(recording(np.ones((8, 3, 20))), n_null=3, n_bootstrap=9)
    assert still.verdict == "undecided"


def test_figures_say_what_they_show():
    found = verdict(recording(maps.henon(SHAPE)), n_null=3)
    for claim in ("C6", "C6-turns"):
        evidence = (
            found.evidence
            if claim == "C6"
            else verdict(recording(maps.henon(SHAPE)), claim, n_null=3).evidence
        )
        for drawing in CLAIMS.get(claim).drawings(evidence):
            assert drawing.caption.endswith(".")
            assert drawing.interpretation.endswith(".")
    about = CLAIMS.get("C6").drawings(found.evidence)[0]
    assert np.argmax(about.series[0].y) == about.series[0].x.size // 2
    assert about.series[-1].role == "reference"
