"""Verdicts: known systems get the verdicts they deserve, nulls are not called findings."""

import json
import threading

import numpy as np
import pytest
import xarray as xr

import looks
import tiny
import transformer_dynamics as td
from transformer_dynamics.claims.c7_trajectory import total_turning
from transformer_dynamics.claims.claim import Claim, NullComparison, largest_p, thirds
from transformer_dynamics.claims.evidence import draw_seed
from transformer_dynamics.nulls import synthetic
from transformer_dynamics.recording.recorder import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS

QUICK = {"n_null": 19, "n_bootstrap": 49}


def verdict(recording, claim, **options):
    return td.test_claims(recording, claims=[claim], **{**QUICK, **options})[0]


@pytest.fixture(scope="module")
def walk():
    return synthetic.random_walk(n_samples=30, n_sites=18, n_units=10, seed=3)


def test_every_claim_of_the_paper_is_there_with_the_nulls_that_methods_name():
    claims = CLAIMS.all()
    assert list(claims)[:8] == ["C1", "C2", "C3", "C4", "C5", "C6", "C6-turns", "C7"]
    named = {
        "C1": {"random_walk", "permuted_units", "random_basis", "untrained"},
        "C2": {"random_walk", "permuted_increments", "untrained"},
        "C3": {"random_basis", "untrained"},
        "C4": {"random_walk", "untrained"},
        "C5": {"permuted_samples", "untrained"},
        "C6": {
            "random_walk",
            "sign_flipped_increments",
            "permuted_increments",
            "phase_randomised_increments",
            "random_basis",
            "untrained",
        },
        "C6-turns": {
            "random_walk",
            "sign_flipped_increments",
            "permuted_increments",
            "phase_randomised_increments",
            "random_basis",
            "untrained",
        },
        "C7": {"random_walk", "permuted_increments", "untrained"},
    }
    for name, nulls in named.items():
        assert nulls <= set(claims[name].nulls), name
        assert set(claims[name].all_nulls) <= set(NULLS.all())
    assert "permuted_depth" in claims["C6"].shown
    assert "permuted_depth" in claims["C6-turns"].shown


def test_settling_beyond_the_walk_is_supported():
    """States that stop turning although their steps stay as large: the walk cannot do that."""
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((40, 1, 12))
    sizes = np.arange(1, 25)[:, None]
    early = generator.standard_normal((40, 24, 12)) * np.linspace(2.0, 0.0, 24)[:, None]
    recording = Recording.from_array((directions * sizes * 0.6 + early).astype(np.float32))
    found = verdict(recording, "C4")
    assert found.verdict == "supported", found.why
    assert found.nulls["random_walk"].p == pytest.approx(1 / 20)


def test_a_walk_settles_but_not_beyond_its_null(walk):
    found = verdict(walk, "C4")
    assert found.verdict == "reproduced, not beyond null"
    assert found.interval[0] > 0
    assert "does not exceed random walk" in found.why


def test_contraction_does_not_accelerate():
    """Distances halve at every site, so ln speed falls by ln 2 per step."""
    found = verdict(synthetic.contraction(n_samples=20, n_sites=12, n_units=6), "C2")
    assert found.verdict == "not reproduced"
    assert found.value == pytest.approx(-np.log(2), abs=1e-6)


def test_growing_spiral_accelerates_at_its_rate_and_the_matched_walk_does_as_well():
    spiral = synthetic.spiral(n_samples=20, n_sites=12, n_units=6, growth=1.3)
    found = verdict(spiral, "C2")
    assert found.value == pytest.approx(np.log(1.3), abs=1e-6)
    assert found.verdict == "reproduced, not beyond null"
    assert found.nulls["permuted_increments"].p == pytest.approx(1 / 20)
    assert "given the recording's own step sizes" in found.why


def test_line_is_not_curved_and_half_a_circle_is():
    line = verdict(synthetic.line(n_samples=20, n_sites=16, n_units=6), "C7")
    assert line.value == pytest.approx(0.0, abs=1e-3)
    assert line.verdict == "not reproduced"
    angles = np.linspace(0, np.pi, 16)
    circle = np.zeros((20, 16, 6))
    circle[:, :, 0], circle[:, :, 1] = 5 * np.cos(angles), 5 * np.sin(angles)
    circle += 1e-3 * np.random.default_rng(0).standard_normal(circle.shape)
    found = verdict(Recording.from_array(circle), "C7")
    # Fifteen corners between sixteen pieces of half a circle.
    assert found.value == pytest.approx(np.pi * 15 / 16, rel=0.02)
    assert found.interval[0] > np.pi / 4


def test_a_curve_that_only_half_of_the_texts_have_is_not_found_in_the_others():
    """The plane is fitted on texts that turn; the mean path of the others is straight in it."""
    angles = np.linspace(0, np.pi, 16)
    states = np.zeros((20, 16, 6))
    states[1::2, :, 0], states[1::2, :, 1] = np.cos(angles), np.sin(angles)
    states[::2, :, 0] = np.cos(angles)
    states += 1e-3 * np.random.default_rng(0).standard_normal(states.shape)
    found = verdict(Recording.from_array(states), "C7")
    assert found.value < 0.1
    assert found.verdict == "not reproduced"


def test_turning_of_known_paths():
    corner = np.array([[0.0, 0.0], [8.0, 0.0], [8.0, 8.0]])
    back = np.array([[0.0, 0.0], [8.0, 0.0], [0.0, 0.0]])
    # A long way with a jitter that is short beside it.
    along = np.linspace(0, 100, 401)
    jitter = np.stack([along, 0.01 * np.sin(7.3 * np.arange(401))], axis=1)
    found = total_turning(corner), total_turning(back), total_turning(jitter)
    assert found == pytest.approx((np.pi / 2, np.pi, 0.0), abs=0.1)
    assert np.isnan(total_turning(np.zeros((3, 2))))


def test_rotation_of_a_mean_trace_is_counted():
    angles = 2 * np.pi * 3 * np.arange(64) / 63
    trace = np.stack([np.sin(angles), -2 * np.sin(angles)], axis=1)
    states = trace + 0.001 * np.random.default_rng(0).standard_normal((10, 64, 2))
    found = verdict(Recording.from_array(states), "C6-turns")
    assert found.value == pytest.approx(3, rel=0.04)
    assert found.verdict == "reproduced, not beyond null"
    assert "does not exceed that of sign flipped increments" in found.why


def test_single_units_in_a_shared_direction_are_continuous():
    found = verdict(synthetic.line(n_samples=40, n_sites=12, n_units=6), "C1")
    assert found.value > 0.9
    assert found.interval[0] <= found.value <= found.interval[1]
    independent = verdict(synthetic.independent_states(n_samples=40, n_sites=12, n_units=6), "C1")
    assert independent.verdict == "not reproduced"
    assert abs(independent.value) < 0.05


def test_information_lost_early_is_found():
    """The first two states agree, later neighbours share little, and a walk would share more."""
    generator = np.random.default_rng(1)
    states = generator.standard_normal((200, 16, 8))
    states[:, 1] = states[:, 0] + 0.05 * generator.standard_normal((200, 8))
    found = verdict(Recording.from_array(states), "C5")
    assert found.value > 1.5
    assert found.interval[0] > 0


def test_denser_activations_are_found_whatever_their_norm():
    """A one-hot state has density 1/D, a constant one 1."""
    share = np.linspace(0, 1, 18)[:, None]
    one_hot, constant = np.eye(10)[0], np.ones(10) / np.sqrt(10)
    states = (1 - share) * one_hot + share * constant
    recording = Recording.from_array(np.repeat(states[None] * 100, 12, axis=0))
    found = verdict(recording, "C3")
    assert found.value > 0.5
    rescaled = Recording.from_array(recording.values / np.arange(1, 19)[:, None])
    assert verdict(rescaled, "C3").value == pytest.approx(found.value)


def test_undefined_statistic_is_undecided_and_null_in_json():
    still = Recording.from_array(np.ones((10, 12, 4)))
    found = verdict(still, "C2")
    assert found.verdict == "undecided"
    assert "is not defined: the states do not vary" in found.why
    assert "nan to nan" not in found.why
    entry = found.as_json()
    assert entry["value"] is None
    json.dumps(entry, allow_nan=False)


def test_json_has_the_agreed_keys(walk):
    entry = verdict(walk, "C1").as_json()
    assert set(entry) == {
        "id",
        "statement",
        "statistic",
        "value",
        "interval",
        "nulls",
        "verdict",
        "why",
    }
    assert set(entry["nulls"]["random_walk"]) == {"mean", "sd", "p", "effect"}
    assert len(entry["interval"]) == 2


def test_same_seed_same_bits_whatever_the_number_of_threads(walk):
    one = td.test_claims(walk, **QUICK, seed=5, n_threads=1)
    two = td.test_claims(walk, **QUICK, seed=5, n_threads=2)
    other = td.test_claims(walk, **QUICK, seed=6)
    assert [v.as_json() for v in one] == [v.as_json() for v in two]
    assert [v.as_json() for v in one] != [v.as_json() for v in other]
    for first, second in zip(one, two, strict=True):
        xr.testing.assert_identical(first.evidence, second.evidence)


def test_seeds_of_draws_differ_by_null_and_number():
    seeds = {draw_seed(0, name, number) for name in ("a", "b") for number in range(50)}
    assert len(seeds) == 100


def test_without_a_model_the_verdict_says_what_was_not_tested(walk):
    assert "Not tested against untrained: no model was given." in verdict(walk, "C4").why


def test_model_nulls_are_recorded_and_compared_text_by_text():
    model = tiny.model("llama")
    recording = record(model, tiny.words(tiny.token_lists(24)))
    found = td.test_claims(recording, model=model, claims=["C4"], **QUICK)[0]
    assert {"untrained", "shuffled_tokens"} <= set(found.nulls)
    assert found.nulls["untrained"].decides
    # Figure and table show the same number.
    shown = found.evidence["null_mean"].sel(null="untrained").item()
    assert shown == found.nulls["untrained"].mean
    assert not found.nulls["shuffled_tokens"].decides
    assert found.nulls["untrained"].mean != pytest.approx(found.value, abs=1e-3)
    again = td.test_claims(
        recording,
        model_nulls={"untrained": recording, "shuffled_tokens": recording},
        claims=["C4"],
        **QUICK,
    )[0]
    # Against itself nothing is exceeded in any bootstrap draw.
    assert again.nulls["untrained"].p == 1.0
    assert again.nulls["untrained"].effect == 0.0


def test_final_site_is_left_out():
    values = np.random.default_rng(0).standard_normal((10, 7, 4)).cumsum(axis=1)
    sites = [f"{layer}.{kind}" for layer in range(3) for kind in ("pre_attn", "pre_mlp")]
    whole = Recording.from_array(values, sites=[*sites, "final"])
    values_there = values.copy()
    values_there[:, -1] = 1e6
    other = Recording.from_array(values_there, sites=[*sites, "final"])
    assert verdict(whole, "C2").as_json() == verdict(other, "C2").as_json()


def test_figures_show_the_nulls_in_the_same_axes(walk):
    for found in td.test_claims(walk, **QUICK):
        drawings = CLAIMS.get(found.id).draw(found.evidence)
        assert len(drawings) >= 2
        for drawing in drawings:
            shown = drawing.figure().to_json()
            assert "recording" in shown
            assert "null: " in shown, (found.id, drawing.title)
            looks.complete(drawing)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_null": 0}, ValueError, "at least 1 and 2"),
        ({"n_bootstrap": 1}, ValueError, "at least 1 and 2"),
        ({"claims": ["C99"]}, ValueError, "no claim 'C99'"),
    ],
)
def test_bad_options_are_named(options, error, message, walk):
    with pytest.raises(error, match=message):
        td.test_claims(walk, **{**QUICK, **options})


def test_too_small_recordings_are_refused():
    with pytest.raises(ValueError, match="at least 3 samples"):
        td.test_claims(Recording.from_array(np.ones((2, 12, 3))))
    with pytest.raises(ValueError, match="6 sublayers"):
        td.test_claims(Recording.from_array(np.ones((9, 4, 3))))


def test_p_of_a_claim_is_the_largest_of_the_deciding_nulls():
    nulls = [
        NullComparison(0, 1, 0.01, 1, decides=True),
        NullComparison(0, 1, 0.03, 1, decides=True),
        NullComparison(0, 1, 0.9, 1, decides=False),
    ]
    assert largest_p(nulls) == 0.03
    assert np.isnan(largest_p(nulls[2:]))


def test_thirds_is_last_minus_first():
    assert thirds(np.array([[1.0, 1, 1, 5, 5, 5, 4, 4, 4]]))[0] == 3.0


def test_claims_for_the_smaller_side():
    claim = Claim(
        id="less",
        statement="The mean is small.",
        statistic="mean (1)",
        source="this test",
        profile=lambda recording, weights: weights @ recording.values.mean(axis=2),
        summary=lambda profile: profile.mean(axis=-1),
        dims=("site",),
        coords=lambda recording: recording.site_coords,
        threshold=0.0,
        direction="less",
        nulls=("random_walk",),
        shown=(),
        draw=lambda evidence: [],
    )
    values = np.random.default_rng(0).standard_normal((12, 8, 4)) - 5.0
    CLAIMS.add("less", claim)
    try:
        assert verdict(Recording.from_array(values), "less").value < -4
        assert verdict(Recording.from_array(values), "less").verdict != "not reproduced"
        assert verdict(Recording.from_array(-values), "less").verdict == "not reproduced"
    finally:
        CLAIMS.remove("less")


def test_ctrl_c_among_the_draws_stops_at_once(walk):
    before = set(threading.enumerate())
    drawn = []

    def interrupt(done, total):
        drawn.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        td.test_claims(walk, n_null=500, n_bootstrap=9, on_progress=interrupt)
    assert drawn == [1]
    assert set(threading.enumerate()) <= before


def test_too_few_draws_to_tell_are_named():
    """With 19 draws no p is below 0.05, and over several claims the adjusted one cannot be."""
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((40, 1, 12))
    sizes = np.arange(1, 25)[:, None]
    early = generator.standard_normal((40, 24, 12)) * np.linspace(2.0, 0.0, 24)[:, None]
    recording = Recording.from_array((directions * sizes * 0.6 + early).astype(np.float32))
    found = {v.id: v for v in td.test_claims(recording, **QUICK)}["C4"]
    assert found.verdict == "reproduced, not beyond null"
    assert "more draws of the nulls may lower that p" in found.why
