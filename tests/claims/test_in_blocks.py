"""Claims on a recording that is larger than the memory: the same numbers, and flat memory."""

import warnings
from functools import partial

import numpy as np
import pytest

import transformer_dynamics as td
from memory import least_peak, peak
from transformer_dynamics import synthetic
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.drawn_nulls import draws_of
from transformer_dynamics.errors import InputError, UndefinedWarning
from transformer_dynamics.nulls.random_walk import matched_walk, random_walk
from transformer_dynamics.numerics import blocks
from transformer_dynamics.recording import Recording, open_recording, recording
from transformer_dynamics.recording.disk import chunks
from transformer_dynamics.registry import CLAIMS, NULLS
from transformer_dynamics.stats.bootstrap import text_weights, uniform_weights

OF_RECORDINGS = [name for name, claim in CLAIMS.all().items() if claim.perturbation is None]
SITES = [f"{layer}.{kind}" for layer in range(8) for kind in ("pre_attn", "pre_mlp")] + ["final"]


def states(n_samples=90, n_units=12, seed=0):
    """A walk with a drift, a massive unit and a constant one."""
    values = np.random.default_rng(seed).standard_normal((n_samples, len(SITES), n_units))
    values = values.cumsum(axis=1) + 0.5 * np.arange(len(SITES))[:, np.newaxis]
    values[..., 3] *= 50
    values[..., 4] = 2.0
    return values.astype(np.float32)


@pytest.fixture
def small_memory(monkeypatch):
    """Chunks of 7 samples; no recording is loaded, and sums of 2 units are kept at a time."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 7 * len(SITES) * 12 * 4)
    monkeypatch.setattr(recording, "LOADED_BYTES", 20_000)
    monkeypatch.setattr(blocks, "SUMMED_BYTES", 3 * 8 * 25 * len(SITES) * 2)


def stored(values, path):
    Recording.from_array(values, sites=SITES).save(path)
    return open_recording(path).sublayers


@pytest.mark.parametrize("name", OF_RECORDINGS)
def test_profiles_and_illustrations_equal_those_in_memory(name, small_memory, tmp_path):
    claim, opened = CLAIMS.get(name), stored(states(), tmp_path / "walk.zarr")
    whole = opened.load()
    opened = open_recording(tmp_path / "walk.zarr").sublayers
    assert whole.in_memory
    assert not opened.in_memory
    weights = np.concatenate([uniform_weights(90), text_weights(whole.groups, 24, seed=1)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        for profile in (claim.profile, *(each.profile for each in claim.conditions)):
            expected = profile(whole, weights)
            np.testing.assert_allclose(profile(opened, weights), expected, rtol=1e-9, atol=1e-11)
        if claim.illustration is not None:
            own, other = claim.illustration(whole), claim.illustration(opened)
            np.testing.assert_allclose(other, own, rtol=1e-9, atol=1e-9)
    assert not opened.in_memory


@pytest.mark.parametrize(
    "name",
    ["permuted_units", "random_basis", "permuted_layers", "sign_flipped_layers", "permuted_depth"],
)
def test_nulls_of_whole_samples_equal_those_in_memory(name, small_memory, tmp_path):
    opened, null = stored(states(), tmp_path / "walk.zarr"), NULLS.get(name).function
    drawn = draws_of(null, lambda source: source, opened)(5)
    assert not drawn.in_memory
    assert drawn.provenance["null"] == name
    expected = null(Recording.from_array(states()[:, :-1], sites=SITES[:-1]), seed=5)
    np.testing.assert_allclose(drawn.values, expected.values, rtol=1e-5, atol=1e-5)


def test_a_walk_in_blocks_has_the_moments_of_the_steps(monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 300 * len(SITES) * 12 * 4)
    values = states(n_samples=2000)
    opened = stored(values, tmp_path / "walk.zarr")
    steps = np.diff(values[:, :-1].astype(np.float64), axis=1)
    covariances = [np.cov(steps[:, step], rowvar=False) for step in range(steps.shape[1])]
    walk = matched_walk(opened, np.zeros((0, 12)), sites=[0, 1, 5])
    for factor, (begin, end) in zip(walk.factors, [(0, 1), (1, 5)], strict=True):
        np.testing.assert_allclose(
            factor.T @ factor, sum(covariances[begin:end]), rtol=1e-4, atol=1e-4
        )
    drawn = draws_of(random_walk, lambda source: source, opened)(3)
    own = np.diff(drawn.values.astype(np.float64), axis=1)
    np.testing.assert_array_equal(drawn.values[:, 0], values[:, 0])
    for step, covariance in enumerate(covariances):
        found = np.cov(own[:, step], rowvar=False)
        scale = np.sqrt(np.outer(np.diag(covariance), np.diag(covariance)))
        np.testing.assert_allclose(found, covariance, atol=0.15 * scale.max() + 1e-6)


def test_draws_in_blocks_do_not_depend_on_the_blocks(monkeypatch, tmp_path):
    drawn = []
    for rows in (7, 40):
        monkeypatch.setattr(chunks, "CHUNK_BYTES", rows * len(SITES) * 12 * 4)
        # Without the constant unit: the root of a singular covariance is not unique.
        opened = stored(np.delete(states(), 4, axis=2), tmp_path / f"{rows}.zarr")
        drawn.append(draws_of(random_walk, lambda source: source, opened)(3).values)
    np.testing.assert_allclose(*drawn, rtol=1e-5, atol=1e-5)


def test_verdicts_agree_and_what_cannot_go_by_blocks_is_named(small_memory, monkeypatch, tmp_path):
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 50 * len(SITES) * 12 * 4)
    values = states()
    Recording.from_array(values, sites=SITES).save(tmp_path / "walk.zarr")
    options = ClaimOptions(n_null=2, n_bootstrap=24, n_threads=1)
    named = [name for name in OF_RECORDINGS if name != "C12"]
    opened = open_recording(tmp_path / "walk.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        whole = Recording.from_array(values, sites=SITES)
        expected = td.evaluate_claims(whole, claims=named, options=options)
        with pytest.warns(UserWarning, match="C5-consecutive is shown without the null permuted_s"):
            found = td.evaluate_claims(opened, claims=named, options=options)
        assert not opened.in_memory
        for one, other in zip(expected, found, strict=True):
            assert other.value == pytest.approx(one.value, rel=1e-9, abs=1e-11)
            assert other.interval == pytest.approx(one.interval, rel=1e-7, abs=1e-9)
        with pytest.raises(InputError, match="C12 permutes the samples of each unit, which needs"):
            td.evaluate_claims(opened, claims=["C12"], options=options)


def test_a_claim_that_ranks_samples_has_a_limit(small_memory, monkeypatch, tmp_path):
    opened = stored(states(), tmp_path / "walk.zarr")
    monkeypatch.setattr(recording, "LOADED_BYTES", 1000)
    with pytest.raises(InputError, match="C5 ranks all samples of a unit"):
        CLAIMS.get("C5").profile(opened, uniform_weights(90))


def test_memory_does_not_grow_with_the_number_of_samples(monkeypatch, tmp_path):
    """The peak grows by less than a tenth of the added states: by weights and labels."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2**18)
    monkeypatch.setattr(blocks, "SUMMED_BYTES", 2**20)
    profiles = [CLAIMS.get(name).profile for name in ("C1", "C7")]

    def evaluate(n_samples):
        opened = open_recording(tmp_path / f"{n_samples}.zarr")
        weights = text_weights(np.arange(n_samples), 3)
        for profile in profiles:
            profile(opened, weights)
        profiles[0](draws_of(random_walk, lambda source: source, opened)(0), weights[:1])

    for n_samples in (40, 100, 600):
        walk = synthetic.random_walk(n_samples=n_samples, n_sites=20, n_units=96, seed=0)
        walk.save(tmp_path / f"{n_samples}.zarr")
    evaluate(40)  # imports what is imported late
    few = min(peak(partial(evaluate, 100)) for _ in range(2))
    limit = few + 0.1 * 500 * 20 * 96 * walk.values.itemsize
    assert least_peak(partial(evaluate, 600), limit) < limit
