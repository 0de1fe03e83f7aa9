"""C8 to C11: verdicts on systems whose answer is known, and on a tiny model."""

from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import looks
import tiny
import transformer_dynamics as td
from transformer_dynamics.claims import ClaimOptions
from transformer_dynamics.claims.truths_jacobians import (
    aligned_contraction,
    rotating_then_symmetric,
)
from transformer_dynamics.claims.truths_perturbed import robust_layers
from transformer_dynamics.claims.truths_recovery import contracting_band, linear_system
from transformer_dynamics.errors import InputError
from transformer_dynamics.recording import Recording
from transformer_dynamics.registry import CLAIMS

RNG = np.random.default_rng(0)
QUICK = ClaimOptions(n_null=19, n_bootstrap=99)
WALK = Recording.from_array(np.cumsum(RNG.standard_normal((8, 7, 4)), axis=1))
PERTURBING = [
    "C8",
    "C8-end",
    "C8-grid",
    "C8-readout",
    "C8-shift",
    "C8-towards",
    "C9",
    "C10",
    "C11",
]


def verdicts(claims, **perturbed):
    given = {f"perturbation.{name}": result for name, result in perturbed.items()}
    found = td.evaluate_claims(WALK, perturbed=given, claims=claims, options=QUICK)
    return {verdict.id: verdict for verdict in found}


@pytest.fixture(scope="module")
def contracting():
    return contracting_band(0)


def test_a_contracting_band_is_found_and_its_ratio_measured_on_other_texts(contracting):
    """Layers 3 to 6 of 12 contract by 0.8: twelve sublayers from layer 1 on see all four."""
    found = verdicts(["C8", "C8-shift", "C8-towards"], recovery=contracting)
    for verdict in found.values():
        assert verdict.verdict == "supported", verdict.why
    illustration = found["C8"].evidence["illustration"].sel(horizon="2").values
    assert np.exp(illustration[3:7]) == pytest.approx(0.8, rel=0.05)
    assert np.abs(np.delete(illustration, range(3, 7))).max() < 0.06
    # Injections at layers 0 to 6 see 3, 4, 4, 4, 3, 2 and 1 of the contracting layers.
    expected = 0.8 ** np.mean([3, 4, 4, 4, 3, 2, 1])
    assert found["C8"].value == pytest.approx(expected, rel=0.05)
    assert "is 0.pre_attn to 6.pre_attn; the horizon is 12 sublayers" in found["C8"].why


def test_a_band_of_the_whole_depth_ends_below_one_and_half_of_it_does_not_matter_where():
    whole = contracting_band(1, band=range(12), factor=0.9, kinds=("random",), sizes=(1.0,))
    found = verdicts(["C8-end"], recovery=whole)["C8-end"]
    # The middle half of the layers, 3 to 8, are followed by 9 to 4 layers.
    assert found.value == pytest.approx(0.9 ** np.mean(range(4, 10)), rel=0.05)
    assert found.verdict == "supported", found.why


def test_an_expansion_and_no_answer_are_no_recovery():
    options = {"kinds": ("random",), "sizes": (1.0,)}
    growing = contracting_band(2, band=range(12), factor=1.1, **options)
    assert verdicts(["C8"], recovery=growing)["C8"].verdict == "not reproduced"
    still = verdicts(["C8"], recovery=contracting_band(3, "zero_update", **options))["C8"]
    assert still.verdict in ("not reproduced", "undecided")
    assert still.value == pytest.approx(1.0, abs=1e-9)


def test_a_model_that_contracts_as_its_untrained_twins_do_is_not_beyond_them(contracting):
    """The twins take the place of a model: one of them among the others."""
    names = contracting["system"].values.tolist()
    twins = [name for name in names if name.startswith("untrained")]
    swapped = [{"model": twins[0], twins[0]: "model"}.get(name, name) for name in names]
    other = contracting.assign_coords(system=swapped)
    found = verdicts(["C8"], recovery=other)["C8"]
    assert found.verdict != "supported", found.why


def test_skew_early_and_symmetric_late_is_found_and_its_reverse_is_not():
    result = rotating_then_symmetric(0)
    found = verdicts(["C9"], jacobians=result)["C9"]
    assert found.verdict == "supported", found.why
    assert found.value > 0.5
    assert found.nulls["spectrum_matched_updates"].mean == pytest.approx(0.0, abs=0.05)
    assert "skew-symmetric share, rotation" in found.why
    names = result["step"].values
    back = result.isel(step=slice(None, None, -1)).assign_coords(step=names)
    assert verdicts(["C9"], jacobians=back)["C9"].verdict == "not reproduced"


def test_shrinking_updates_do_not_make_layers_symmetric():
    """I + U turns symmetric as U shrinks; the traceless update does not."""
    generator = np.random.default_rng(4)

    def steps(seed):
        drawn = np.random.default_rng(seed).standard_normal((9, 12, 12))
        return np.eye(12) + 0.3 * 0.5 ** np.arange(9)[:, None, None] * drawn

    from transformer_dynamics.perturbation import jacobians

    sites = [f"{layer}.state" for layer in range(10)]
    seeds = generator.integers(2**31, size=(4, 6)).tolist()
    systems = [
        linear_system(
            "model" if not place else f"untrained {place}", list(map(steps, row)), sites, place
        )
        for place, row in enumerate(seeds)
    ]
    result = jacobians(systems, n_texts=6)
    found = verdicts(["C9"], jacobians=result)["C9"]
    assert found.verdict != "supported"
    assert abs(found.value) < 0.1
    whole = result["symmetric_energy"].sel(system="model", reading="step").mean("sample").values
    assert whole[-3:].mean() > 0.99


def test_alignment_of_layers_is_told_from_the_low_rank_of_each():
    found = verdicts(["C10"], jacobians=aligned_contraction(0))["C10"]
    assert found.verdict == "supported", found.why
    assert "the alignment between layers for" in found.why
    matched = verdicts(["C10"], jacobians=aligned_contraction(0, "spectrum_matched_updates"))["C10"]
    assert matched.verdict != "supported"


@pytest.mark.parametrize(
    ("null", "verdict"),
    [
        ("truth", "supported"),
        ("moved", "reproduced, not beyond null"),
        ("untrained", "reproduced, not beyond null"),
    ],
)
def test_layers_left_out(null, verdict):
    found = verdicts(["C11"], skip_and_swap=robust_layers(0, null))["C11"]
    assert found.verdict == verdict, found.why
    assert "With neighboring layers swapped" in found.why


def test_claims_that_perturb_need_a_model():
    with pytest.raises(InputError, match=r"C8 perturb the model.*model=model"):
        td.evaluate_claims(WALK, claims=["C8"], options=QUICK)
    assert [verdict.id for verdict in td.evaluate_claims(WALK, options=QUICK)] == [
        name for name, claim in CLAIMS.all().items() if claim.perturbation is None
    ]


@pytest.fixture(scope="module")
def tested():
    model = tiny.model()
    recording = td.record(model, tiny.words(tiny.token_lists(12)))
    options = {"claims": PERTURBING, "options": replace(QUICK, n_twins=3)}
    return model, recording, options, td.evaluate_claims(recording, model=model, **options)


def test_with_a_model_the_perturbations_are_made(tested):
    found = tested[3]
    assert {verdict.id for verdict in found} == set(PERTURBING)
    for verdict in found:
        assert np.isfinite([verdict.value, *verdict.interval]).all(), verdict.id
        assert verdict.nulls["untrained"].count == 3, verdict.id
        assert all(np.isfinite(null.p) for null in verdict.nulls.values()), verdict.id


def test_the_same_seed_gives_the_same_verdicts(tested):
    model, recording, options, found = tested
    again = td.evaluate_claims(recording, model=model, **options)
    assert [verdict.as_json() for verdict in again] == [verdict.as_json() for verdict in found]


def test_figures_show_the_nulls_in_the_same_axes(tested):
    for verdict in tested[3]:
        drawings = CLAIMS.get(verdict.id).drawings(verdict.evidence)
        assert len(drawings) >= 2
        for drawing in drawings:
            assert "null: " in drawing.figure().to_json(), (verdict.id, drawing.title)
            looks.complete(drawing)


def test_a_resample_without_one_half_of_the_texts_is_undefined():
    """No band can be found on it, and the first layer is not one by default."""
    summary = CLAIMS.get("C8").summary
    whole = np.log([[[0.9, 5.0, 0.8], [0.7, 5.0, 0.6]]])
    assert summary(whole)[0] == pytest.approx(0.6)
    for half in (0, 1):
        lacking = whole.copy()
        lacking[:, half] = np.nan
        assert np.isnan(summary(lacking)).all()


def test_several_twins_are_one_null(contracting):
    found = verdicts(["C8"], recovery=contracting)["C8"]
    assert set(found.nulls) == {"zero_update", "untrained"}
    assert found.nulls["untrained"].spread == "seeds"
    assert isinstance(found.evidence, xr.Dataset)
