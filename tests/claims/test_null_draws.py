"""Draws stop where the verdict is settled, and the quick draws of a claim are those of the null."""

import json

import numpy as np
import pytest

import transformer_dynamics as td
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.drawn_nulls import draw_seed, drawn_nulls, draws_of
from transformer_dynamics.claims.null_draws import BATCH, N_EXCEEDING, N_SHOWN
from transformer_dynamics.claims.truths import TRUTHS
from transformer_dynamics.registry import CLAIMS, NULLS
from transformer_dynamics.stats.bootstrap import uniform_weights


def verdict(claim, recording, *, n_threads=1, **nulls):
    options = ClaimOptions(n_null=N_SHOWN + 40, n_bootstrap=99, n_threads=n_threads)
    return td.evaluate_claims(recording, claims=[claim], model_nulls=nulls, options=options)[0]


def twins(claim):
    return [TRUTHS[claim].twin(1000 + seed) for seed in range(4)]


def test_a_supported_claim_has_full_sequences_of_draws():
    found = verdict("C7", TRUTHS["C7"].recording(0), untrained=twins("C7"))
    assert found.verdict == "supported", found.why
    for name in ("permuted_layers", "random_walk"):
        assert found.nulls[name].count == N_SHOWN + 40
        assert found.nulls[name].p == 1 / (1 + N_SHOWN + 40)
        assert found.nulls[name].estimator == "monte carlo"
    assert found.nulls["untrained"].estimator == "student"


def test_a_null_that_is_not_exceeded_settles_the_verdict():
    """Its own draws end early, and the other null is drawn as often as one that is only shown."""
    truth = TRUTHS["C1"].recording(0)
    found = verdict("C1", truth, untrained=[truth.with_values(2 * truth.values)] * 2)
    assert found.verdict == "reproduced, not beyond null"
    assert found.nulls["untrained"].p > 0.05
    assert {found.nulls[name].count for name in ("random_walk", "permuted_units")} == {N_SHOWN}
    walk = verdict("C4", TRUTHS["C4"].twin(77)).nulls["random_walk"]
    assert walk.estimator == "sequential"
    # The round of the twentieth draw that exceeds is the last one.
    assert walk.count - BATCH < N_EXCEEDING / walk.p <= walk.count


def test_an_interval_short_of_the_threshold_settles_the_verdict():
    values = TRUTHS["C12"].recording(0).values
    noise = 6 * np.random.default_rng(0).standard_normal(values.shape)
    found = verdict("C12", td.Recording.from_array(values + noise), untrained=twins("C12"))
    assert found.verdict == "not reproduced", found.why
    assert found.nulls["independent_units"].count == N_SHOWN
    assert found.nulls["independent_units"].p == 1 / (1 + N_SHOWN)


def test_the_numbers_do_not_depend_on_the_number_of_threads():
    recording = TRUTHS["C13"].recording(0)
    one, three = (
        verdict("C13", recording, n_threads=number, untrained=twins("C13")) for number in (1, 3)
    )
    assert json.dumps(one.as_json()) == json.dumps(three.as_json())
    assert one.evidence.identical(three.evidence)


@pytest.mark.parametrize(
    ("claim", "null"),
    [("C2", "permuted_layers"), ("C7", "permuted_layers"), ("C12", "independent_units")],
)
def test_quick_draws_of_permutations_equal_whole_draws(claim, null):
    tested, recording = CLAIMS.get(claim), TRUTHS[claim].recording(0)
    seed = draw_seed(0, null, 3)
    whole = draws_of(NULLS.get(null).function, tested.drawn_from, recording)(seed)
    (quick,) = [each for each in drawn_nulls([tested]) if each.name == null]
    found = quick.prepare(recording)(seed, [tested])[claim]
    expected = tested.profile(whole, uniform_weights(whole.shape[0]))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("claim", ["C7", "C12", "C13"])
def test_quick_random_walks_have_the_statistic_of_whole_walks(claim):
    tested, recording = CLAIMS.get(claim), TRUTHS[claim].recording(0)
    whole = draws_of(NULLS.get("random_walk").function, tested.drawn_from, recording)
    quick = tested.quick_draws["random_walk"](recording)

    def statistics(draw):
        drawn = [draw(seed) for seed in range(60)]
        equal = uniform_weights(drawn[0].shape[0])
        return np.array([tested.summary(tested.profile(each, equal))[0] for each in drawn])

    found, expected = statistics(quick), statistics(whole)
    error = np.hypot(found.std(ddof=1), expected.std(ddof=1)) / np.sqrt(60)
    assert abs(found.mean() - expected.mean()) < 5 * error
    assert found.std(ddof=1) == pytest.approx(expected.std(ddof=1), rel=0.5)
