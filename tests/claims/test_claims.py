"""Verdicts: known systems get the verdicts they deserve, nulls are not called findings."""

import json
import threading
from dataclasses import fields
from functools import partial

import numpy as np
import pytest
import xarray as xr

import looks
import tiny
import transformer_dynamics as td
from transformer_dynamics import synthetic
from transformer_dynamics.claims import Claim, ClaimOptions
from transformer_dynamics.claims.null_draws import BATCH, N_EXCEEDING, N_SHOWN, draw_seed
from transformer_dynamics.claims.options import draws_needed
from transformer_dynamics.claims.profiles import thirds
from transformer_dynamics.claims.truths import TRUTHS
from transformer_dynamics.claims.turning import total_turning
from transformer_dynamics.claims.verdict import NullComparison, largest_p
from transformer_dynamics.nulls.reruns import N_TWINS
from transformer_dynamics.recording.record import record
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import CLAIMS, NULLS

QUICK = {"n_null": 19, "n_bootstrap": 49}
NUMBERS = {field.name for field in fields(ClaimOptions)}


def evaluate(recording, **given):
    """`td.evaluate_claims` with few draws; numbers of draws are given by name."""
    numbers = {**QUICK, **{name: value for name, value in given.items() if name in NUMBERS}}
    others = {name: value for name, value in given.items() if name not in NUMBERS}
    return td.evaluate_claims(recording, options=ClaimOptions(**numbers), **others)


def verdict(recording, claim, **given):
    return evaluate(recording, claims=[claim], **given)[0]


@pytest.fixture(scope="module")
def walk():
    return synthetic.random_walk(n_samples=30, n_sites=18, n_units=10, seed=3)


def twins_of(claim, n=N_TWINS):
    return {"untrained": [TRUTHS[claim].twin(1000 + seed) for seed in range(n)]}


def test_claims_have_the_deciding_nulls_that_methods_name():
    deciding = {
        "C1": {"random_walk", "permuted_units", "untrained"},
        "C1-basis": {"random_basis"},
        "C2": {"permuted_layers", "untrained"},
        "C3": {"random_walk", "random_basis", "untrained"},
        "C4": {"random_walk", "untrained"},
        "C5": {"random_walk", "untrained"},
        "C5-consecutive": {"random_walk", "untrained"},
        "C6": {
            "random_walk",
            "sign_flipped_increments",
            "permuted_increments",
            "phase_randomized_increments",
            "random_basis",
            "untrained",
        },
        "C6-turns": {"sign_flipped_layers", "autoregressive_increments"},
        "C7": {"permuted_layers", "random_walk", "untrained"},
        "C8": {"zero_update", "untrained"},
        "C8-end": {"zero_update", "untrained"},
        "C8-grid": {"zero_update", "untrained"},
        "C8-readout": {"untrained"},
        "C8-shift": {"zero_update", "untrained"},
        "C8-towards": {"zero_update", "untrained"},
        "C9": {"spectrum_matched_updates", "untrained"},
        "C10": {"spectrum_matched_updates", "untrained"},
        "C11": {"moved", "untrained"},
        "C12": {"independent_units", "untrained"},
        "C13": {"random_walk", "untrained"},
    }
    claims = CLAIMS.all()
    assert list(claims) == list(deciding)
    for name, nulls in deciding.items():
        assert set(claims[name].nulls) == nulls, name
        assert set(claims[name].all_nulls) <= set(NULLS.all())


def test_every_null_of_a_claim_has_a_reason_of_its_own_or_a_shared_one():
    """A null that decides says why it is fair, one that is shown why it does not decide."""
    for name, claim in CLAIMS.all().items():
        reasons = claim.reasons
        assert set(reasons) == {*claim.all_nulls, *claim.own_nulls}, name
        assert all(len(reason.split()) >= 5 for reason in reasons.values()), name
        assert not set(claim.nulls) & set(claim.shown), name


def test_settling_beyond_the_walk_is_supported():
    """States that stop turning although their steps stay as large: the walk cannot do that."""
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((40, 1, 12))
    sizes = np.arange(1, 25)[:, None]
    early = generator.standard_normal((40, 24, 12)) * np.linspace(2.0, 0.0, 24)[:, None]
    recording = Recording.from_array((directions * sizes * 0.6 + early).astype(np.float32))
    walk = partial(synthetic.random_walk, n_samples=40, n_sites=24, n_units=12)
    twins = [walk(seed=seed) for seed in range(N_TWINS)]
    found = verdict(recording, "C4", model_nulls={"untrained": twins})
    assert found.verdict == "supported", found.why
    assert found.nulls["random_walk"].p == pytest.approx(1 / 20)
    assert found.nulls["untrained"].spread == "seeds"
    assert found.nulls["untrained"].count == N_TWINS


def test_a_walk_settles_but_not_beyond_its_null(walk):
    found = verdict(walk, "C4")
    assert found.verdict == "reproduced, not beyond null"
    assert found.interval[0] > 0
    assert "The statistic does not exceed random walk" in found.why


def test_contraction_does_not_accelerate():
    """Distances halve at every site, so ln speed falls by ln 2 per step."""
    found = verdict(synthetic.contraction(n_samples=20, n_sites=12, n_units=6), "C2")
    assert found.verdict == "not reproduced"
    assert found.value == pytest.approx(-np.log(2), abs=1e-6)


def test_growing_speed_is_supported_though_the_matched_walk_grows_as_well():
    """A walk is given the recording's own step sizes, so it is shown and does not decide."""
    found = verdict(TRUTHS["C2"].recording(0), "C2", model_nulls=twins_of("C2"))
    assert found.value == pytest.approx(0.12, abs=0.01)
    assert found.verdict == "supported", found.why
    assert found.nulls["random_walk"].p > 0.05
    assert not found.nulls["random_walk"].decides


def test_constant_speed_and_growth_that_comes_and_goes_do_not_accelerate():
    steps = np.random.default_rng(0).standard_normal((30, 20, 12))
    assert verdict(Recording.from_array(steps.cumsum(axis=1)), "C2").verdict != "supported"
    hump = np.exp(-(((np.arange(20) - 9.5) / 5) ** 2))[:, None]
    assert verdict(Recording.from_array((hump * steps).cumsum(axis=1)), "C2").verdict in (
        "undecided",
        "not reproduced",
    )


def noisy(path, seed=0, noise=0.1):
    """A path in a plane of twelve units, the same for thirty texts, with noise."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((12, 12)))[0][:2]
    states = np.asarray(path) @ basis + noise * rng.standard_normal((30, len(path), 12))
    return Recording.from_array(states)


ANGLES = np.linspace(0, 1, 40)[:, None]


@pytest.mark.parametrize(
    "path",
    [
        3 * np.hstack([np.cos(6 * np.pi * ANGLES), np.sin(6 * np.pi * ANGLES)]),
        4 * np.hstack([np.cos(2 * np.pi * ANGLES), np.sin(2 * np.pi * ANGLES)]),
        3
        * 1.05 ** np.arange(40)[:, None]
        * np.hstack([np.cos(4 * np.pi * ANGLES), np.sin(4 * np.pi * ANGLES)]),
    ],
    ids=["three circles", "circle", "spiral"],
)
def test_circles_and_spirals_are_curved_trajectories(path):
    found = verdict(noisy(path), "C7", model_nulls=twins_of("C7"))
    assert found.verdict == "supported", found.why


def test_a_straight_line_keeps_its_direction_and_does_not_bend():
    found = verdict(noisy(np.hstack([9 * ANGLES, 0 * ANGLES])), "C7", model_nulls=twins_of("C7"))
    assert found.verdict == "not reproduced", found.why
    assert "of the total turning of the smoothed mean path (rad)" in found.why


def test_a_walk_and_its_principal_components_do_not_keep_their_direction():
    """All texts share one walk in many units, whose principal components are smooth curves."""
    rng = np.random.default_rng(1)
    walk = rng.standard_normal((1, 40, 200)).cumsum(axis=1) + rng.standard_normal((30, 40, 200))
    twins = [Recording.from_array(rng.standard_normal((30, 40, 200))) for _ in range(3)]
    found = verdict(Recording.from_array(walk), "C7", model_nulls={"untrained": twins})
    assert found.verdict in ("undecided", "not reproduced", "reproduced, not beyond null")
    assert found.nulls["permuted_layers"].p > 0.05


def test_a_past_wiped_out_at_step_one_is_lost_early():
    found = verdict(TRUTHS["C5"].recording(0), "C5", model_nulls=twins_of("C5"))
    assert found.value == pytest.approx(0.0, abs=0.03)
    assert found.verdict == "supported", found.why
    kept = verdict(synthetic.line(n_samples=60, n_sites=20, n_units=12, speed=0.01), "C5")
    assert kept.value > 0.99
    assert kept.verdict == "not reproduced"


def test_information_kept_by_a_walk_is_its_share_of_the_variance():
    """After the second of equal steps a walk of s steps keeps 2/s."""
    walk = synthetic.random_walk(n_samples=2000, n_sites=24, n_units=8, seed=0)
    found = verdict(walk, "C5", n_null=3, n_bootstrap=9)
    assert found.value == pytest.approx(2 / 7, abs=0.02)


def test_a_continuous_isotropic_system_is_continuous_and_its_basis_is_not_special():
    recording = TRUTHS["C1"].recording(0)
    found = {
        each.id: each
        for each in evaluate(
            recording, claims=["C1", "C1-basis"], model_nulls=twins_of("C1"), n_null=None
        )
    }
    assert found["C1"].verdict == "supported", found["C1"].why
    assert found["C1-basis"].verdict == "reproduced, not beyond null"
    privileged = verdict(TRUTHS["C1-basis"].recording(0), "C1-basis")
    assert privileged.verdict == "supported", privileged.why


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
    assert "the correlation of increments up to two sublayers apart" in found.why


def test_single_units_in_a_shared_direction_are_continuous():
    found = verdict(synthetic.line(n_samples=40, n_sites=12, n_units=6), "C1")
    assert found.value > 0.9
    assert found.interval[0] <= found.value <= found.interval[1]
    independent = verdict(synthetic.independent_states(n_samples=40, n_sites=12, n_units=6), "C1")
    assert independent.verdict == "not reproduced"
    assert abs(independent.value) < 0.05


def test_information_at_the_first_step_alone_is_the_consecutive_reading():
    """The first two states agree, later neighbors share nothing, and a walk would share more."""
    recording = TRUTHS["C5-consecutive"].recording(1)
    found = verdict(recording, "C5-consecutive", model_nulls=twins_of("C5-consecutive"))
    assert found.value > 1.5
    assert found.verdict == "supported", found.why


def test_massive_units_are_named_in_the_density_claim():
    values = np.random.default_rng(0).standard_normal((20, 18, 12))
    values[:, :, [3, 7]] *= np.linspace(1, 60, 18)[:, None]
    found = verdict(Recording.from_array(values), "C3")
    assert found.value < -0.1
    assert "Units 3 and 7 hold" in found.why
    without = float(found.why.split("the change of density is ")[1].split(".  ")[0].rstrip("."))
    assert abs(without) < 0.05


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
    assert set(entry["nulls"]["random_walk"]) == {
        "mean",
        "sd",
        "p",
        "effect",
        "value",
        "spread",
        "count",
        "estimator",
    }
    assert len(entry["interval"]) == 2


def test_same_seed_same_bits_whatever_the_number_of_threads(walk):
    few = {"n_null": 7, "n_bootstrap": 19}
    one = evaluate(walk, seed=5, n_threads=1, **few)
    two = evaluate(walk, seed=5, n_threads=2, **few)
    other = evaluate(walk, seed=6, **few)
    assert [v.as_json() for v in one] == [v.as_json() for v in two]
    assert [v.as_json() for v in one] != [v.as_json() for v in other]
    for first, second in zip(one, two, strict=True):
        xr.testing.assert_identical(first.evidence, second.evidence)


def test_seeds_of_draws_differ_by_null_and_number():
    seeds = {draw_seed(0, name, number) for name in ("a", "b") for number in range(50)}
    assert len(seeds) == 100


def test_a_claim_is_not_supported_while_a_deciding_null_is_missing():
    recording = TRUTHS["C4"].recording(0)
    found = verdict(recording, "C4")
    assert found.nulls["random_walk"].p <= 0.05
    assert found.verdict == "undecided"
    assert "The null untrained was not tested because no model was given" in found.why
    alone = verdict(recording, "C4", model_nulls={"untrained": TRUTHS["C4"].twin(5)})
    assert alone.verdict == "undecided"
    assert "only one untrained twin" in alone.why
    several = verdict(recording, "C4", model_nulls=twins_of("C4"))
    assert several.verdict == "supported", several.why


def test_untrained_twins_are_a_distribution_of_which_one_more_is_a_member():
    """Effect and p are those of Student's t for one more observation of seven degrees."""
    found = verdict(TRUTHS["C4"].twin(99), "C4", model_nulls=twins_of("C4"), n_bootstrap=499).nulls[
        "untrained"
    ]
    assert found.p > 0.05
    assert abs(found.effect) < 4
    assert found.effect == pytest.approx((found.value - found.mean) / found.sd)


def test_twins_of_some_of_the_texts_are_compared_on_these():
    recording, rows = TRUTHS["C4"].recording(0), [1, 4, 5, 9, 12, 20, 21, 30]
    twins = [TRUTHS["C4"].twin(seed).isel(sample=rows) for seed in range(4)]
    found = verdict(recording, "C4", model_nulls={"untrained": twins})
    alone = verdict(recording.isel(sample=rows), "C4")
    assert found.nulls["untrained"].value == pytest.approx(alone.value, rel=1e-12)
    assert found.value != alone.value
    other = TRUTHS["C4"].twin(0).isel(sample=[0, 2])
    with pytest.raises(ValueError, match="hold different samples"):
        verdict(recording, "C4", model_nulls={"untrained": [*twins, other]})


def test_the_effect_against_one_recording_does_not_grow_with_the_number_of_texts():
    """Standard deviations of the differences between texts, not of their mean."""

    def effect(n_samples):
        rng = np.random.default_rng(0)
        steps = np.linspace(1, 2, 20)[:, None] * rng.standard_normal((n_samples, 20, 12))
        other = rng.standard_normal((n_samples, 20, 12))
        nulls = {"shuffled_tokens": Recording.from_array(other.cumsum(axis=1))}
        found = verdict(Recording.from_array(steps.cumsum(axis=1)), "C2", model_nulls=nulls)
        return found.nulls["shuffled_tokens"].effect

    assert effect(400) == pytest.approx(effect(50), rel=0.5)


def test_draws_stop_when_enough_of_them_exceed_the_recording(walk):
    drawn = []
    found = verdict(walk, "C4", n_null=400, on_progress=lambda done, total: drawn.append(done))
    count = found.nulls["random_walk"].count
    assert N_EXCEEDING <= count < 400
    assert count % BATCH == 0
    assert drawn[-1] == 400
    draws = found.evidence["null_statistic"].sel(null="random_walk").values
    reached = np.flatnonzero(draws >= found.value)
    assert found.nulls["random_walk"].p == N_EXCEEDING / (reached[N_EXCEEDING - 1] + 1)


def test_a_null_that_is_only_shown_has_fewer_draws():
    found = verdict(TRUTHS["C6-turns"].recording(0), "C6-turns", n_null=N_SHOWN + 40)
    counts = {name: null.count for name, null in found.nulls.items() if null.p < 0.05}
    assert counts["permuted_points"] == N_SHOWN
    assert counts["sign_flipped_layers"] == N_SHOWN + 40


def test_by_default_a_single_claim_can_survive_the_adjustment():
    """One claim of the truth among nine that are not, with the default number of draws."""
    claims = ["C1", "C1-basis", "C3", "C4", "C5", "C5-consecutive", "C12", "C13", "C2"]
    found = {
        each.id: each
        for each in td.evaluate_claims(
            TRUTHS["C4"].recording(0), claims=claims, model_nulls=twins_of("C4")
        )
    }
    assert found["C4"].verdict == "supported", found["C4"].why
    assert found["C4"].nulls["random_walk"].count == draws_needed(len(claims)) == 199


def test_model_nulls_are_recorded_and_compared_text_by_text():
    model = tiny.model("llama")
    recording = record(model, tiny.words(tiny.token_lists(24)))
    found = evaluate(recording, model=model, claims=["C4"])[0]
    assert {"untrained", "shuffled_tokens"} <= set(found.nulls)
    assert found.nulls["untrained"].decides
    assert found.nulls["untrained"].count == N_TWINS
    # Figure and table show the same number.
    shown = found.evidence["null_mean"].sel(null="untrained").item()
    assert shown == found.nulls["untrained"].mean
    assert not found.nulls["shuffled_tokens"].decides
    assert found.nulls["untrained"].mean != pytest.approx(found.value, abs=1e-3)
    nulls = {"untrained": recording, "shuffled_tokens": recording}
    again = verdict(recording, "C4", model_nulls=nulls)
    # Against itself nothing is exceeded, and the difference has no spread.
    assert again.nulls["untrained"].p == 1.0
    assert np.isnan(again.nulls["untrained"].effect)
    assert again.as_json()["nulls"]["untrained"]["effect"] is None


def test_final_site_is_left_out():
    values = np.random.default_rng(0).standard_normal((10, 7, 4)).cumsum(axis=1)
    sites = [f"{layer}.{kind}" for layer in range(3) for kind in ("pre_attn", "pre_mlp")]
    whole = Recording.from_array(values, sites=[*sites, "final"])
    values_there = values.copy()
    values_there[:, -1] = 1e6
    other = Recording.from_array(values_there, sites=[*sites, "final"])
    assert verdict(whole, "C2").as_json() == verdict(other, "C2").as_json()


def test_figures_show_the_nulls_in_the_same_axes(walk):
    for found in evaluate(walk):
        drawings = CLAIMS.get(found.id).drawings(found.evidence)
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
        evaluate(walk, **options)


def test_too_small_recordings_are_refused():
    with pytest.raises(ValueError, match="at least 3 samples"):
        td.evaluate_claims(Recording.from_array(np.ones((2, 12, 3))))
    with pytest.raises(ValueError, match="6 sublayers"):
        td.evaluate_claims(Recording.from_array(np.ones((9, 4, 3))))


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
        nulls={"random_walk": "it has the size of the steps and no mean"},
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
        evaluate(walk, n_null=500, n_bootstrap=9, on_progress=interrupt)
    assert drawn == [1]
    assert set(threading.enumerate()) <= before


def test_too_few_draws_to_tell_are_named():
    """With 19 draws no p is below 0.05, and over several claims the adjusted one cannot be."""
    generator = np.random.default_rng(0)
    directions = generator.standard_normal((40, 1, 12))
    sizes = np.arange(1, 25)[:, None]
    early = generator.standard_normal((40, 24, 12)) * np.linspace(2.0, 0.0, 24)[:, None]
    recording = Recording.from_array((directions * sizes * 0.6 + early).astype(np.float32))
    given = {"claims": ["C1", "C3", "C4"], "model_nulls": twins_of("C4")}
    found = {v.id: v for v in evaluate(recording, **given)}["C4"]
    assert found.verdict == "reproduced, not beyond null"
    assert "more draws (n_null) may lower the adjusted p-value" in found.why
