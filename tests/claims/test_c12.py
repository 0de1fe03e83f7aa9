"""C12: few directions in planted systems, many in a walk, and nulls that are not found."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

import transformer_dynamics as td
from transformer_dynamics import synthetic
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims import c12_low_dimensional as c12
from transformer_dynamics.errors import InputError
from transformer_dynamics.nulls import random_walk
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS

QUICK = ClaimOptions(n_null=19, n_bootstrap=49)


def planted(rank=3, noise=0.5, n_units=60, seed=0):
    """Each text moves in a plane of its own speed; noise at every site is drawn anew."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n_units, rank)))[0].T
    speeds = rng.standard_normal((80, 1, rank))
    latents = speeds * np.arange(1, 19)[:, np.newaxis]
    return Recording.from_array(latents @ basis + noise * rng.standard_normal((80, 18, n_units)))


def verdict(recording, **options):
    return td.evaluate_claims(recording, claims=["C12"], **{"options": QUICK, **options})[0]


def twins(n_samples=80):
    """Networks that hold no directions in common: independent states of the same shape."""
    return {
        "untrained": [
            synthetic.independent_states(n_samples=n_samples, n_sites=18, n_units=60, seed=seed)
            for seed in range(4)
        ]
    }


def test_low_rank_latents_in_noise_are_supported():
    found = verdict(planted(), model_nulls=twins())
    assert found.verdict == "supported", found.why
    assert found.nulls["independent_units"].p == pytest.approx(1 / 20)
    assert "About the mean of all sites" in found.why


def test_twins_of_fewer_texts_are_compared_on_the_components_that_these_allow():
    few = [twin.isel(sample=np.arange(0, 80, 4)) for twin in twins()["untrained"]]
    found = verdict(planted(), model_nulls={"untrained": few})
    assert found.verdict == "supported", found.why
    profiles = found.evidence["null_profile"].sel(null="untrained")
    assert profiles.sizes["n_components"] == len(c12.counts_of(planted()))
    # Ten fitted texts have nine components: 1, 2, 3 and 5 of those that are tested.
    assert np.isfinite(profiles).sum("n_components").values.tolist() == [4] * 6
    own = planted().isel(sample=np.arange(0, 80, 4))
    statistic = c12.summary(c12.profile(own.sublayers, np.ones((1, 20))))
    assert found.nulls["untrained"].value == pytest.approx(statistic[0])
    for drawing in CLAIMS.get("C12").draw(found.evidence):
        assert drawing.title


@pytest.mark.parametrize("part", [{"site": slice(0, 17)}, {"unit": range(1, 60)}])
def test_twins_of_other_sites_or_units_are_refused(part):
    others = [twin.isel(**part) for twin in twins()["untrained"]]
    with pytest.raises(InputError, match="both have the same ones"):
        verdict(planted(), model_nulls={"untrained": others})
    # Part of each is compared where it is the same part.
    assert verdict(planted().isel(**part), model_nulls={"untrained": others}).nulls


def test_isotropic_walks_and_states_are_not():
    for made in (synthetic.random_walk, synthetic.independent_states):
        found = verdict(made(n_samples=80, n_sites=18, n_units=60))
        assert found.verdict == "not reproduced"
        assert found.value == pytest.approx(10 / 60, abs=0.03)


def test_a_path_that_all_texts_share_is_not_counted():
    """About the mean of all sites one component holds nearly everything."""
    walk = synthetic.independent_states(n_samples=80, n_sites=18, n_units=60).values
    walk[:, :, 0] += 50.0 * np.arange(18)
    found = verdict(Recording.from_array(walk))
    assert found.verdict == "not reproduced"
    assert "they explain 0.99" in found.why or "they explain 1.00" in found.why


def test_a_massive_unit_is_not_counted():
    values = synthetic.independent_states(n_samples=80, n_sites=18, n_units=60).values
    values[:, :, 5] *= 1000
    found = verdict(Recording.from_array(values))
    assert found.verdict == "not reproduced"
    assert "With massive units as recorded 10 components explain 1.00" in found.why


def test_bootstrap_reweights_the_scored_texts():
    recording = planted()
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(80), size=3)
    profile = c12.profile(recording, weights)
    assert profile.shape == (3, 6, 5)
    fitted, scored = c12._halves(recording)
    site = c12.chosen_sites(recording)[2]
    states = recording.values[:, site]
    away = states[scored] - states[fitted].mean(axis=0)
    _, _, axes = np.linalg.svd(states[fitted] - states[fitted].mean(axis=0), full_matrices=False)
    inside = ((away @ axes[:3].T) ** 2).sum(axis=1)
    drawn = weights[:, scored]
    expected = drawn @ inside / (drawn @ (away**2).sum(axis=1))
    np.testing.assert_allclose(profile[:, 2, 2], expected)


def test_sites_are_spread_and_end_with_the_last():
    assert c12.chosen_sites(planted()) == [2, 5, 8, 11, 14, 17]
    small = synthetic.random_walk(n_samples=3, n_sites=6, n_units=4)
    assert c12.chosen_sites(small) == [0, 1, 2, 3, 4, 5]
    assert c12.counts_of(small) == [1]


def test_states_that_do_not_vary_are_undecided():
    found = verdict(Recording.from_array(np.ones((10, 12, 8))))
    assert found.verdict == "undecided"


def test_figures_name_their_units_and_what_they_show():
    claim = CLAIMS.get("C12")
    for drawing in claim.drawings(verdict(planted()).evidence):
        assert drawing.x_label.endswith(")")
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.figure().data


@pytest.mark.slow
def test_matched_walks_are_rarely_called_low_dimensional():
    """Recordings drawn from the walk of a low-rank system, where the threshold is passed.

    A null that is exceeded in half of the walks in place of 5 % is found with probability 0.96.
    """
    base = planted(n_units=16, noise=0.02)
    supported, significant, beyond = 0, 0, 0
    for seed in range(16):
        walk = random_walk(base, seed=seed)
        found = verdict(walk, seed=seed, options=replace(QUICK, n_threads=1))
        supported += found.verdict == "supported"
        significant += found.nulls["random_walk"].p <= 0.05
        beyond += found.interval[0] > 0.5
    allowed = stats.binom.ppf(0.999, 16, 0.05)
    assert supported <= allowed
    assert significant <= allowed
    assert beyond > 8
