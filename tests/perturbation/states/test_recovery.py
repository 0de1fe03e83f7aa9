"""Displacements at every layer: known answers on linear systems, and a small transformer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

import looks
import tiny
import transformer_dynamics as td
from known import N_TEXTS, N_UNITS, layered, system
from transformer_dynamics.errors import InputError, ModelError, UndefinedWarning
from transformer_dynamics.model.language_model import Model
from transformer_dynamics.perturbation import System, contracting_band, recovery
from transformer_dynamics.perturbation.states.displacement import plane_of
from transformer_dynamics.perturbation.systems import systems
from transformer_dynamics.recording import Recording
from transformer_dynamics.synthetic.linear_flow_map import LinearFlowMap

N_LAYERS, BAND, FACTOR = 12, slice(3, 7), 0.8


def banded_system(name="model", noise=0.0, seed=0):
    factors = np.ones((N_TEXTS, N_LAYERS))
    factors[:, BAND] = FACTOR
    drawn = np.random.default_rng(seed).standard_normal(factors.shape)
    return layered(factors * np.exp(noise * drawn), name, seed)


@pytest.fixture(scope="module")
def found():
    flat = layered(np.ones((N_TEXTS, N_LAYERS)), "untrained", seed=1)
    return recovery([banded_system(), flat], n_texts=N_TEXTS)


def contracting_layers(first, horizon):
    """Layers of the band that injection at a layer passes within a horizon of layers."""
    return len(set(range(first, first + horizon)) & set(range(N_LAYERS)[BAND]))


@pytest.mark.parametrize("horizon", [2, 6, 12, "end"])
def test_a_contracting_band_is_measured_exactly_at_every_horizon(found, horizon):
    chosen = found["log_ratio"].sel(system="model", horizon=str(horizon))
    for layer in range(N_LAYERS):
        ratios = np.exp(chosen.sel(start=f"{layer}.pre_attn").values)
        if horizon != "end" and layer + horizon // 2 > N_LAYERS:
            assert np.isnan(ratios).all()
            continue
        n_layers = N_LAYERS - layer if horizon == "end" else horizon // 2
        expected = FACTOR ** contracting_layers(layer, n_layers)
        np.testing.assert_allclose(ratios, expected, rtol=1e-9)


def test_results_carry_the_group_of_each_text():
    system = banded_system()
    names = ["moon", "sun"] * (N_TEXTS // 2)
    system = replace(system, recording=system.recording.with_groups(names))
    result = recovery([system], n_texts=4, kinds=["random"], starts=["4.pre_attn"])
    expected = system.recording.groups_of(result["text"].values)
    np.testing.assert_array_equal(result["group"], expected)
    assert set(expected.tolist()) == {0, 1}


def test_the_band_is_found_where_it_lies(found):
    chosen = found["log_ratio"].sel(system="model").mean("sample")
    for kind in found["kind"].values:
        for size in found["size"].values:
            at = chosen.sel(kind=kind, size=size)
            assert [int(end) for end in contracting_band(at.sel(horizon="2"))] == [3, 6]
            # From layer 0 the six layers to come reach into the band, from layer 7 none does.
            assert [int(end) for end in contracting_band(at.sel(horizon="12"))] == [0, 6]


def test_the_band_is_found_with_layers_that_differ_by_text():
    result = recovery([banded_system(noise=0.01, seed=4)], n_texts=N_TEXTS, kinds=["random"])
    means = result["log_ratio"].sel(system="model", kind="random", size=1, horizon="2")
    first, last = contracting_band(means.mean("sample"))
    assert abs(int(first) - 3) <= 1
    assert abs(int(last) - 6) <= 1
    inside = np.exp(means.isel(start=slice(first, last + 1)).mean())
    assert float(inside) == pytest.approx(FACTOR, rel=0.05)


def test_zero_update_and_a_flat_system_keep_displacements(found):
    for name in ("zero_update", "untrained"):
        for variable in ("log_ratio", "log_ratio_path"):
            values = found[variable].sel(system=name)
            expected = found[variable].sel(system="model").notnull()
            np.testing.assert_array_equal(values.notnull(), expected)
            np.testing.assert_allclose(values.fillna(0.0), 0.0, atol=1e-12)
    assert (found["log_ratio"].sel(system="zero_update").fillna(0.0) == 0).all()


def test_scaled_states_are_the_same_states_normalized(found):
    """Each layer multiplies states by one number, which their norm takes out again."""
    values = found["normalized_log_ratio"].sel(system="model", horizon="end")
    np.testing.assert_allclose(values, 0.0, atol=1e-9)
    # Zero update keeps the displacement while the clean state shrinks to 0.8^4 of its size.
    still = found["normalized_log_ratio"].sel(system="zero_update", start="0.pre_attn", size=0.1)
    growth = still.sel(horizon="end", kind="random")
    np.testing.assert_allclose(growth, -4 * np.log(FACTOR), rtol=0.2)


def test_sizes_are_in_units_of_the_spread_between_texts(found):
    moved = found["initial_distance"].sel(system="model")
    for kind in ("shift", "random", "towards"):
        expected = np.broadcast_to([0.1, 0.3, 1.0, 3.0], (N_TEXTS, N_LAYERS, 4))
        distances = moved.sel(kind=kind).transpose("sample", "start", "size")
        np.testing.assert_allclose(distances, expected, rtol=1e-9)
    states = banded_system().recording.activation.sel(site="5.pre_attn").values.astype(float)
    spread = np.sqrt(((states - states.mean(axis=0)) ** 2).sum(axis=1).mean())
    found_there = found["spread"].sel(system="model", start="5.pre_attn")
    assert float(found_there) == pytest.approx(spread)


def test_the_grid_erases_what_lies_off_the_plane():
    """The distance does not go to zero with the size, since the part off the plane is erased."""
    here = banded_system()
    result = recovery([here], n_texts=2, kinds=["grid"], sizes=(1e-6, 1.0), starts=["2.pre_mlp"])
    states = here.recording.activation.sel(site="2.pre_mlp").values.astype(float)
    axes = plane_of(here.recording)
    center = axes.project(states).mean(axis=0) @ axes.components + axes.mean
    (spread,) = result["spread"].sel(system="model").values
    for sample, text in enumerate(result["text"].values):
        expected = np.linalg.norm(here.flow(text).clean[5] - center) / spread
        moved = result["initial_distance"].sel(system="model", size=1e-6).isel(sample=sample)
        np.testing.assert_allclose(moved, expected, rtol=1e-4)


def test_the_plane_leaves_the_final_site_out():
    generator = np.random.default_rng(2)
    states = generator.standard_normal((9, 5, 6)) * [9.0, 5.0, 0.1, 0.1, 0.1, 0.1]
    states[:, -1] = 100 * generator.standard_normal((9, 6)) * [0, 0, 0, 0, 1, 1]
    sites = ["0.pre_attn", "0.pre_mlp", "1.pre_attn", "1.pre_mlp", "final"]
    plane = plane_of(Recording.from_array(states, sites=sites)).components
    np.testing.assert_allclose(np.abs(plane), np.eye(6)[:2], atol=0.2)


def test_size_does_not_matter_where_the_answer_is_linear():
    generator = np.random.default_rng(3)
    matrices = np.eye(N_UNITS) + 0.3 * generator.standard_normal((14, N_UNITS, N_UNITS))
    result = recovery([system(matrices)], n_texts=3, kinds=["shift", "random", "towards"])
    of_size = result["log_ratio"].sel(system="model").transpose("size", ...)
    for other in of_size[1:]:
        np.testing.assert_allclose(of_size[0].values, other.values, rtol=1e-6, atol=1e-9)
    # The Jacobian's answer along the same directions is that of every size.
    random = result["log_ratio"].sel(kind="random", size=0.1, horizon="12")
    np.testing.assert_allclose(result["jvp_log_ratio"], random, rtol=1e-6, atol=1e-9)
    assert result["jvp_log_ratio"].notnull().sum("start").values.tolist() == [[3] * 3] * 2


def test_kinds_and_starts_do_not_change_each_other(found):
    alone = recovery([banded_system()], n_texts=N_TEXTS, kinds=["towards"], starts=["4.pre_attn"])
    for name in ("initial_distance", "normalized_log_ratio"):
        chosen = {"system": "model", "kind": "towards", "start": "4.pre_attn"}
        one, other = (result[name].sel(chosen) for result in (alone, found))
        np.testing.assert_array_equal(one, other)


def test_texts_that_do_not_differ_have_no_size():
    flows = [LinearFlowMap(np.stack([np.eye(3)] * 4)) for _ in range(4)]
    recording = Recording.from_array(np.stack([flow.clean for flow in flows]))
    with pytest.warns(UndefinedWarning, match=r"of the texts do not differ"):
        result = recovery([System("model", recording, flows.__getitem__)], n_texts=2)
    assert result["log_ratio"].isnull().all()


class WithoutDerivatives(LinearFlowMap):
    def _jvp(self, vectors, at, start, stop):
        raise ModelError("integers have no derivatives")


def test_a_model_without_derivatives_is_followed_all_the_same():
    firsts = np.random.default_rng(6).standard_normal((4, 3))
    flows = [WithoutDerivatives(np.stack([0.9 * np.eye(3)] * 13), first=x) for x in firsts]
    recording = Recording.from_array(np.stack([flow.clean for flow in flows]))
    own = System("model", recording, flows.__getitem__)
    with pytest.warns(UndefinedWarning, match="integers have no derivatives") as warned:
        result = recovery([own], n_texts=3)
    assert sum(issubclass(each.category, UndefinedWarning) for each in warned) == 1
    assert result["jvp_log_ratio"].sel(system="model").isnull().all()
    assert result["contracting_share"].isnull().all()
    ends = result["log_ratio"].sel(system="model", horizon="12", start="0.state")
    np.testing.assert_allclose(ends, 12 * np.log(0.9), rtol=1e-9)


@pytest.fixture(scope="module")
def trained():
    """A transformer of eight layers and two of its untrained twins."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**{**tiny.FULL, "num_hidden_layers": 8})
    hf_model = transformers.AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in hf_model.parameters():
            if weight.dim() > 1:
                weight.mul_(4.0)
    model = Model(hf_model, tiny.tokenizer(), "tiny-deep")
    return systems(model, td.record(model, tiny.token_lists(12)), n_twins=2)


@pytest.fixture(scope="module")
def followed(trained):
    return recovery(trained, n_texts=5, n_states=3, sizes=(0.001, 1.0), seed=1)


def test_a_transformer_is_followed_as_by_hand(trained, followed):
    model = trained[0]
    text, start = int(followed["text"][2]), "2.pre_attn"
    flow = model.flow(text)
    others = model.recording.activation.sel(site=start).values.astype(float)
    spread = np.sqrt(((others - others.mean(axis=0)) ** 2).sum(axis=1).mean())
    generator = np.random.default_rng([1, text, 4, 2])
    aims = generator.standard_normal((3, flow.n_units))
    aims /= np.linalg.norm(aims, axis=1, keepdims=True)
    carried = flow.advance(flow.clean[4] + spread * aims, start)
    distances = np.linalg.norm(carried - flow.clean[4:], axis=2)
    logs = np.log(distances / distances[:, :1]).mean(axis=0)
    here = {"system": "model", "kind": "random", "start": start}
    ratios = followed["log_ratio"].sel({**here, "size": 1.0}).isel(sample=2)
    np.testing.assert_allclose(ratios, logs[[2, 6, 12, -1]], atol=1e-5)
    clean = flow.log_probabilities(flow.clean[-1:], "final")
    logged = []
    for states in (carried[:2, -1], flow.clean[-1] + spread * aims[:2]):
        others = flow.log_probabilities(states, "final")
        logged.append(np.log((np.exp(clean) * (clean - others)).sum(axis=1)).mean())
    chosen = followed.sel(here).isel(sample=2)
    np.testing.assert_allclose(np.log(chosen["kl"]), logged[0], rtol=1e-3)
    np.testing.assert_allclose(np.log(chosen["kl_zero_update"]), logged[1], rtol=1e-3)
    np.testing.assert_allclose(np.log(chosen["kl_ratio"]), logged[0] - logged[1], atol=1e-3)


def test_small_displacements_agree_with_the_jacobian(followed):
    small = followed["log_ratio"].sel(kind="random", size=0.001, horizon="12")
    linear = followed["jvp_log_ratio"]
    assert linear.sel(system="model").notnull().sum() == 5 * 3
    np.testing.assert_allclose(small.sel(system="model"), linear.sel(system="model"), atol=0.05)
    large = followed["log_ratio"].sel(kind="random", size=1.0, horizon="12", system="model")
    assert np.nanmax(np.abs(large - linear.sel(system="model"))) > 0.1


def test_the_singular_values_are_those_of_the_whole_jacobian(trained, followed):
    shares = followed["contracting_share"]
    flow = trained[0].flow(int(followed["text"][0]))
    values = np.linalg.svd(flow.jacobian("1.pre_attn", "7.pre_attn"), compute_uv=False)
    assert float(shares.sel(start="1.pre_attn")[0]) == pytest.approx((values < 1).mean(), abs=0.07)
    assert shares.notnull().sum("start").values.tolist() == [3, 3, 0, 0, 0]


def test_twins_follow_the_first_texts(trained, followed):
    names = followed["system"].values.tolist()
    assert names == ["model", "untrained", "untrained 1", "zero_update"]
    ends = followed["log_ratio"].sel(horizon="end", kind="random", size=1.0)
    counts = ends.notnull().any("start").sum("sample").values.tolist()
    assert counts == [5, 4, 4, 5]
    assert not ends.sel(system="untrained").equals(ends.sel(system="untrained 1"))
    many = [trained[0], *(trained[1 + place % 2] for place in range(4))]
    few = recovery(
        [many[0], *(_renamed(each, f"untrained {n}") for n, each in enumerate(many[1:]))],
        n_texts=5,
        n_states=1,
        sizes=(1.0,),
        kinds=["random"],
        starts=["7.pre_attn"],
    )
    counts = few["log_ratio"].sel(horizon="end").notnull().any(["kind", "size", "start"])
    assert counts.sum("sample").values.tolist() == [5, 4, 4, 4, 4, 5]


def test_predictions_of_further_twins_are_those_of_one_kind(trained, followed):
    """The kind that the claim reads has the values that the twin has as the first one."""
    names = ["kl", "kl_zero_update", "kl_ratio"]
    of_all = followed[names].isel(sample=slice(4))  # the texts that twins follow
    later = of_all.sel(system="untrained 1")
    assert later.sel(kind="shift").notnull().all()
    assert later.drop_sel(kind="shift").isnull().all()
    assert of_all.sel(system=["model", "untrained"]).notnull().all()
    swapped = [trained[0], _renamed(trained[2], "untrained")]
    alone = recovery(swapped, n_texts=5, n_states=3, sizes=(0.001, 1.0), seed=1)
    for name in names:
        first = alone[name].isel(sample=slice(4)).sel(system="untrained", kind="shift")
        np.testing.assert_allclose(later[name].sel(kind="shift"), first, rtol=1e-5)


def _renamed(of, name):
    return type(of)(name, of.recording, of.flow, of.load)


def test_figures(found, followed):
    for result in (found, followed):
        drawings = result.td.drawings
        for drawing in drawings:
            looks.complete(drawing)
            assert "N = " in drawing.caption
        maps = [drawing for drawing in drawings if drawing.title.startswith("By layer")]
        assert [drawing.role for drawing in maps[-2:]] == ["model", "null"]
        titles = " ".join(drawing.title for drawing in drawings)
        assert titles.count("layer and horizon") == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_texts": 99}, "holds 6 texts"),
        ({"starts": ["nowhere"]}, "'nowhere'"),
        ({"starts": ["final"]}, "before the last"),
        ({"kinds": ["sideways"]}, "'sideways'"),
        ({"kinds": []}, "no kinds"),
        ({"sizes": (0.1, 0.3)}, "1 among them"),
        ({"sizes": (-1.0, 1.0)}, "positive"),
        ({"n_states": 0}, "n_states=0"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(InputError, match=message):
        recovery([banded_system()], **{"n_texts": 2, **options})
