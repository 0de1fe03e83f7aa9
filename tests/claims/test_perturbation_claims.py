"""C8 to C11: verdicts on systems whose answer is known, and on a tiny model."""

import numpy as np
import pytest
import xarray as xr

import looks
import tiny
import transformer_dynamics as td
from known import N_UNITS, contraction, system
from transformer_dynamics.errors import InputError
from transformer_dynamics.perturbation import System, jacobians, teleport
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS
from transformer_dynamics.residual.flow_map import LinearFlowMap

RNG = np.random.default_rng(0)
QUICK = {"n_null": 19, "n_bootstrap": 99}
WALK = Recording.from_array(np.cumsum(RNG.standard_normal((8, 7, 4)), axis=1))
PERTURBING = ["C8", "C8-norm", "C8-plane", "C9", "C10", "C11"]


def verdicts(claims, **perturbed):
    given = {f"perturbation.{name}": result for name, result in perturbed.items()}
    found = td.test_claims(WALK, perturbed=given, claims=claims, **QUICK)
    return {verdict.id: verdict for verdict in found}


def teleported(model, twin):
    return teleport([model, twin], n_texts=6, n=3, kinds=["grid", "random"], n_other=2)


def drifting(n_steps=5, name="model"):
    """Layers add ever more, whatever the state: the norm grows and no deviation is answered."""
    generator = np.random.default_rng(5)
    offsets = 4.0 ** np.arange(n_steps)[:, None] * generator.standard_normal((n_steps, N_UNITS))
    flows = [
        LinearFlowMap(np.stack([np.eye(N_UNITS)] * n_steps), offsets, first=first)
        for first in generator.standard_normal((6, N_UNITS))
    ]
    states = np.stack([flow.clean for flow in flows])
    return System(name, Recording.from_array(states, sites=flows[0].sites), flows.__getitem__)


def test_a_contraction_corrects_itself_beyond_both_baselines():
    found = verdicts(["C8"], teleport=teleported(contraction(0.5), contraction(0.9, "untrained")))
    # Put at sites 1, 2 and 3 of 5: ratios 0.5^4, 0.5^3 and 0.5^2.
    assert found["C8"].value == pytest.approx(0.5**3, rel=1e-9)
    assert found["C8"].verdict == "supported", found["C8"].why
    assert found["C8"].nulls["zero_update"].mean == pytest.approx(1.0)
    assert found["C8"].nulls["untrained"].mean == pytest.approx(0.9**3)
    assert "put: 0.state 0.0313 [0.0313, 0.0313], 1.state 0.0625" in found["C8"].why, found[
        "C8"
    ].why


def test_no_better_than_the_untrained_twin_is_not_beyond_null():
    found = verdicts(["C8"], teleport=teleported(contraction(0.9), contraction(0.5, "untrained")))
    assert found["C8"].verdict == "reproduced, not beyond null"
    assert "does not lie below untrained" in found["C8"].why


def test_a_growing_norm_fools_the_relative_reading_and_not_the_verdict():
    found = verdicts(
        ["C8", "C8-norm", "C8-plane"],
        teleport=teleported(drifting(), contraction(2.0, "untrained")),
    )
    assert found["C8-norm"].value < 0.2
    assert found["C8-norm"].verdict == "reproduced, not beyond null", found["C8-norm"].why
    assert "does not lie below zero update" in found["C8-norm"].why
    for name in ("C8", "C8-plane"):
        assert found[name].value == pytest.approx(1.0)
        assert found[name].verdict not in ("supported", "reproduced, not beyond null")


def test_an_expansion_is_no_recovery():
    found = verdicts(["C8"], teleport=teleported(contraction(1.5), contraction(1.0, "untrained")))
    assert found["C8"].value == pytest.approx(1.5**3)
    assert found["C8"].verdict == "not reproduced"


def rotating_then_symmetric(n_units=12, n_layers=9):
    """Skew updates early, symmetric ones late, all of one size."""
    generator = np.random.default_rng(2)
    drawn = generator.standard_normal((n_layers, n_units, n_units))
    turned = np.swapaxes(drawn, 1, 2)
    skew = (np.arange(n_layers) < n_layers // 2)[:, None, None]
    updates = np.where(skew, drawn - turned, drawn + turned)
    return np.eye(n_units) + 0.5 * updates / np.linalg.norm(updates, axis=(1, 2), keepdims=True) * 4


def test_skew_early_and_symmetric_late_is_found_and_its_reverse_is_not():
    matrices = rotating_then_symmetric()
    plain = np.eye(12) + 0.3 * RNG.standard_normal((9, 12, 12))
    twin = system(plain, "untrained")
    found = verdicts(["C9"], jacobians=jacobians([system(matrices), twin], n_texts=5))["C9"]
    assert found.verdict == "supported", found.why
    assert found.value > 0.2
    assert set(found.nulls) == {"random_updates", "untrained"}
    back = verdicts(["C9"], jacobians=jacobians([system(matrices[::-1]), twin], n_texts=5))["C9"]
    assert back.verdict == "not reproduced"
    assert back.value == pytest.approx(-found.value, abs=0.1)


def test_a_collapse_beyond_random_products_is_found_and_a_rotation_has_full_rank():
    n_units = 12
    projection = np.diag([1.0] * 2 + [0.05] * (n_units - 2))
    turn = np.linalg.qr(RNG.standard_normal((n_units, n_units)))[0]
    twin = system(np.stack([turn] * 8), "untrained")
    narrow = jacobians([system(np.stack([projection] * 8)), twin], n_texts=5)
    found = verdicts(["C10"], jacobians=narrow)["C10"]
    assert found.value == pytest.approx(2 / n_units, rel=1e-3)
    assert found.nulls["untrained"].mean == pytest.approx(1.0)
    assert found.verdict == "supported", found.why
    wide = jacobians([system(np.stack([turn] * 8)), twin], n_texts=5)
    assert verdicts(["C10"], jacobians=wide)["C10"].verdict == "not reproduced"


def edited(skip, turned, untrained):
    """A result of `skip_and_swap` with these agreements, the same for every layer but the ends."""
    noise = np.random.default_rng(3).uniform(-0.02, 0.02, (2, 10, 3, 8))
    kept = np.stack([[skip, 0.5, turned], [untrained, 0.5, untrained]])[:, None, :, None] + noise
    kept[..., [0, -1]] = 0.0
    return xr.Dataset(
        {"agreement": (("system", "sample", "edit", "layer"), kept)},
        coords={
            "system": ["model", "untrained"],
            "edit": ["skip", "swap", "turned"],
            "layer": np.arange(8),
        },
    )


@pytest.mark.parametrize(
    ("agreements", "verdict"),
    [
        ((0.9, 0.6, 0.3), "supported"),
        ((0.9, 0.95, 0.3), "reproduced, not beyond null"),
        ((0.9, 0.6, 0.97), "reproduced, not beyond null"),
        ((0.5, 0.3, 0.3), "not reproduced"),
    ],
)
def test_layers_left_out(agreements, verdict):
    found = verdicts(["C11"], skip_and_swap=edited(*agreements))["C11"]
    assert found.verdict == verdict, found.why
    assert found.value == pytest.approx(agreements[0], abs=0.02)  # ends do not count
    assert "With neighbours swapped 0.5" in found.why


def test_claims_that_perturb_need_a_model():
    with pytest.raises(InputError, match=r"C8 perturb the model.*model=model"):
        td.test_claims(WALK, claims=["C8"], **QUICK)
    assert [verdict.id for verdict in td.test_claims(WALK, **QUICK)] == [
        name for name, claim in CLAIMS.all().items() if claim.perturbation is None
    ]


@pytest.fixture(scope="module")
def tested():
    model = tiny.model()
    recording = td.record(model, tiny.words(tiny.token_lists(12)))
    return model, recording, td.test_claims(recording, model=model, claims=PERTURBING, **QUICK)


def test_with_a_model_the_perturbations_are_made(tested):
    _, _, found = tested
    assert [verdict.id for verdict in found] == PERTURBING
    for verdict in found:
        assert np.isfinite([verdict.value, *verdict.interval]).all(), verdict.id
        assert verdict.nulls, verdict.id
        assert all(np.isfinite(null.p) for null in verdict.nulls.values()), verdict.id


def test_the_same_seed_gives_the_same_verdicts(tested):
    model, recording, found = tested
    again = td.test_claims(recording, model=model, claims=PERTURBING, **QUICK)
    assert [verdict.as_json() for verdict in again] == [verdict.as_json() for verdict in found]


def test_figures_show_the_nulls_in_the_same_axes(tested):
    for verdict in tested[2]:
        drawings = CLAIMS.get(verdict.id).draw(verdict.evidence)
        assert len(drawings) >= 2
        for drawing in drawings:
            assert "null: " in drawing.figure().to_json(), (verdict.id, drawing.title)
            looks.complete(drawing)
