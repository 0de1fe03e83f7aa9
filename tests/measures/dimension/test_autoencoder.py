import warnings
from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from transformer_dynamics.errors import InputError, TdynError, UndefinedWarning
from transformer_dynamics.measures.dimension.autoencoder import autoencoder
from transformer_dynamics.measures.dimension.autoencoder_network import (
    Autoencoder,
    initial_weights,
    layer_widths,
    load_autoencoder,
)
from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_training import train_autoencoder
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.plots.dimension.autoencoder import draw_autoencoder
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

SHALLOW = AutoencoderOptions(
    n_layers=3, n_epochs=150, patience=50, batch_size=32, learning_rate=3e-3
)
QUICK = AutoencoderOptions(n_layers=3, n_epochs=12, batch_size=16)


def embedded(latents, n_units=20, seed=0):
    """Latents `(sample, site, axis)` in some of many dimensions, turned at random."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.standard_normal((n_units, n_units)))[0][: latents.shape[-1]]
    return Recording.from_array(latents @ basis + 5.0)


def plane(n_samples=200, n_sites=4, seed=0):
    rng = np.random.default_rng(seed)
    return embedded(rng.standard_normal((n_samples, n_sites, 2)) * [3.0, 2.0])


def curved_sheet(n_samples=250, n_sites=4, seed=0):
    """A roll: a plane wound up along one of its axes, which no plane can hold."""
    rng = np.random.default_rng(seed)
    angle = np.pi * (0.75 + 1.25 * rng.random((n_samples, n_sites)))
    width = 12 * rng.random((n_samples, n_sites))
    return embedded(np.stack([angle * np.cos(angle), angle * np.sin(angle), width], axis=-1))


def small_states(n_rows=50, n_units=10, seed=0):
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n_rows, n_units)).astype(np.float32)
    return TrainingStates(rows, rows[:20] + 0.1, rows.mean(axis=0, dtype=np.float64), 1.5)


def same(one, two):
    assert one.weights.keys() == two.weights.keys()
    for name, array in one.weights.items():
        np.testing.assert_array_equal(array, two.weights[name], err_msg=name)
    assert one.history == two.history


def test_a_plane_is_explained_whole():
    result = autoencoder(plane(), bottlenecks=[2], options=SHALLOW, seed=1)
    found = result["overall"].sel(described_by="autoencoder", bottleneck=2)
    assert (found > 0.99).all()
    np.testing.assert_allclose(result["overall"].sel(described_by="PCA"), 1, atol=1e-9)
    # A flat sheet is where PCA is best, and the result says so.
    assert (result["gain_high"] < 0).all()
    assert "is worse than PCA of equal rank" in attribute(result, "finding")[0]
    assert "is worse than PCA" in draw_autoencoder(result)[0].caption


def test_a_curved_sheet_is_where_the_autoencoder_beats_pca():
    result = autoencoder(curved_sheet(), bottlenecks=[2], options=SHALLOW, seed=1)
    over_all = result["overall"].sel(about="global mean", bottleneck=2)
    assert over_all.sel(described_by="autoencoder") > 0.98
    assert over_all.sel(described_by="PCA") < 0.9
    gain = over_all.sel(described_by="autoencoder") - over_all.sel(described_by="PCA")
    at = {"about": "global mean", "bottleneck": 2}
    np.testing.assert_allclose(result["gain"].sel(at), gain)
    assert result["gain_low"].sel(at) > 0
    assert "it beats PCA of equal rank" in attribute(result, "finding")[0]


def test_knowing_the_site_is_told_apart_from_knowing_the_text():
    """All texts share one path, and what else they have is noise in many dimensions."""
    rng = np.random.default_rng(0)
    path = 20 * rng.standard_normal((6, 30))
    recording = Recording.from_array(path + rng.standard_normal((60, 6, 30)))
    result = autoencoder(recording, bottlenecks=[2], options=SHALLOW)
    over_all = result["overall"].sel(bottleneck=2)
    assert over_all.sel(described_by="site mean", about="global mean") > 0.99
    assert over_all.sel(described_by="autoencoder", about="global mean") > 0.9
    assert over_all.sel(described_by="autoencoder", about="site mean") < 0.1
    np.testing.assert_allclose(over_all.sel(described_by="site mean", about="site mean"), 0)


def test_both_denominators_follow_their_formulas():
    recording = plane(60, 3)
    values = recording.values + np.arange(3)[:, np.newaxis]
    recording = recording.with_values(values)
    # All training states are taken, so PCA is scikit-learn's on them.
    result = autoencoder(recording, bottlenecks=[1], options=QUICK, n_training=10**6)
    fitted, _, scored = split_texts(recording.groups, (0.6, 0.15, 0.25))
    np.testing.assert_array_equal(result["scored"], scored)
    oracle = PCA(1, svd_solver="full").fit(values[fitted].reshape(-1, 20))
    rebuilt = oracle.inverse_transform(oracle.transform(values[scored].reshape(-1, 20)))
    error = ((values[scored] - rebuilt.reshape(-1, 3, 20)) ** 2).sum(axis=(0, 2))
    for about, center in (("global mean", oracle.mean_), ("site mean", values[fitted].mean(0))):
        whole = ((values[scored] - center) ** 2).sum(axis=(0, 2))
        at = {"described_by": "PCA", "about": about, "bottleneck": 1}
        np.testing.assert_allclose(result["explained"].sel(at), 1 - error / whole)
        np.testing.assert_allclose(result["overall"].sel(at), 1 - error.sum() / whole.sum())
        assert result["overall_low"].sel(at) < result["overall"].sel(at)
        assert result["overall_high"].sel(at) > result["overall"].sel(at)


def test_network_is_what_torch_builds():
    """The same layers as torch modules give the same output."""
    weights = initial_weights(12, 2, 4, seed=3)
    network = Autoencoder(weights, np.full(12, 0.5), 2.0)

    def half(name, widths):
        layers = []
        for layer, (inputs, outputs) in enumerate(pairwise(widths)):
            linear = torch.nn.Linear(inputs, outputs)
            layers.append(linear)
            linear.weight.data = torch.tensor(weights[f"{name}.{3 * layer}.weight"])
            linear.bias.data = torch.tensor(weights[f"{name}.{3 * layer}.bias"])
            if layer < len(widths) - 2:
                layers += [torch.nn.LayerNorm(outputs), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers)

    widths = layer_widths(12, 2, 4)
    assert widths == [12, 7, 4, 2]
    states = np.random.default_rng(0).standard_normal((5, 3, 12))
    with torch.no_grad():
        inward = torch.tensor((states - 0.5) / 2, dtype=torch.float32)
        latents = half("encoder", widths)(inward)
        rebuilt = half("decoder", widths[::-1])(latents) * 2 + 0.5
    np.testing.assert_allclose(network.encode(states), latents, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(network.reconstruct(states), rebuilt, rtol=1e-5, atol=1e-5)
    assert network.bottleneck == 2


def test_training_is_what_torch_does():
    """Plain Adam from the same weights over the same batches ends at the same weights."""
    states, options = small_states(), AutoencoderOptions(n_layers=3, n_epochs=3, batch_size=16)
    trained = train_autoencoder(states, 2, options=options, seed=4)
    weights = {
        name: torch.tensor(array, requires_grad=True)
        for name, array in initial_weights(10, 2, 3, seed=4).items()
    }
    optimizer = torch.optim.Adam(weights.values(), lr=1e-3, fused=False)
    rows = torch.tensor((states.training - states.mean) / states.scale, dtype=torch.float32)

    def run(batch):
        for half in ("encoder", "decoder"):
            batch = batch @ weights[f"{half}.0.weight"].T + weights[f"{half}.0.bias"]
            batch = (batch - batch.mean(1, keepdim=True)) / torch.sqrt(
                batch.var(1, keepdim=True, unbiased=False) + 1e-5
            )
            batch = batch * weights[f"{half}.1.weight"] + weights[f"{half}.1.bias"]
            batch = batch.clamp(min=0) @ weights[f"{half}.3.weight"].T + weights[f"{half}.3.bias"]
        return batch

    for epoch in range(3):
        order = np.random.default_rng((4, 2, epoch)).permutation(50)
        for start in range(0, 50, 16):
            batch = rows[order[start : start + 16]]
            optimizer.zero_grad()
            ((run(batch) - batch) ** 2).mean().backward()
            optimizer.step()
    assert np.argmin(trained.history) == 2
    for name, array in trained.weights.items():
        np.testing.assert_allclose(array, weights[name].detach(), atol=2e-5, err_msg=name)


def test_same_seed_same_bits_and_no_global_state(tmp_path):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    states = small_states()
    one = train_autoencoder(states, 2, options=QUICK, seed=1)
    assert (torch.get_rng_state() == before[0]).all()
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002
    torch.manual_seed(99)
    same(one, train_autoencoder(states, 2, options=QUICK, seed=1))
    other = train_autoencoder(states, 2, options=QUICK, seed=2)
    assert other.history != one.history


class Interrupt(Exception):
    pass


@pytest.mark.parametrize("at", [1, 5, 8])
def test_interrupted_training_ends_with_the_same_weights(tmp_path, at):
    states = small_states()
    whole = train_autoencoder(states, 2, options=QUICK, seed=1)
    seen = []

    def interrupt(done, total):
        seen.append((done, total))
        if done == at:
            raise Interrupt

    with pytest.raises(Interrupt):
        train_autoencoder(states, 2, options=QUICK, seed=1, out=tmp_path, on_progress=interrupt)
    assert seen[-1] == (at, 12)
    again = []
    resumed = train_autoencoder(
        states, 2, options=QUICK, seed=1, out=tmp_path, on_progress=lambda *done: again.append(done)
    )
    same(whole, resumed)
    assert again[0][0] == at // 5 * 5 + 1
    assert again[-1] == (12, 12)
    assert [path.name for path in tmp_path.iterdir()] == ["autoencoder-2.safetensors"]


def test_a_finished_one_is_read_back_and_not_trained(tmp_path):
    states = small_states()
    one = train_autoencoder(states, 2, options=QUICK, out=tmp_path)
    calls = []
    two = train_autoencoder(
        states, 2, options=QUICK, out=tmp_path, on_progress=lambda *done: calls.append(done)
    )
    same(one, two)
    assert calls == [(12, 12)]
    loaded = load_autoencoder(tmp_path / "autoencoder-2.safetensors")
    same(one, loaded)
    values = np.random.default_rng(0).standard_normal((4, 10))
    np.testing.assert_array_equal(one.reconstruct(values), loaded.reconstruct(values))


def test_a_folder_of_other_training_is_refused(tmp_path):
    train_autoencoder(small_states(), 2, options=QUICK, out=tmp_path)
    for change in ({"seed": 1}, {"options": AutoencoderOptions(n_layers=3, n_epochs=11)}):
        with pytest.raises(InputError, match="give another folder"):
            train_autoencoder(small_states(), 2, **{"options": QUICK, "out": tmp_path, **change})
    with pytest.raises(InputError, match="other states"):
        train_autoencoder(small_states(seed=1), 2, options=QUICK, out=tmp_path)


def test_best_validation_weights_are_kept_and_patience_ends_training():
    """Validation states unlike the training states: the error soon rises."""
    states = small_states(n_rows=30)
    away = TrainingStates(states.training, -states.validation, states.mean, states.scale)
    options = AutoencoderOptions(n_layers=3, n_epochs=80, patience=4, learning_rate=0.02)
    trained = train_autoencoder(away, 6, options=options)
    best = int(np.argmin(trained.history))
    assert len(trained.history) == min(80, best + 1 + 4) < 80
    rows = (away.validation - away.mean) / away.scale
    rebuilt = (trained.reconstruct(away.validation) - away.mean) / away.scale
    assert ((rebuilt - rows) ** 2).mean() == pytest.approx(min(trained.history), rel=1e-4)


def test_test_texts_never_reach_training():
    recording = plane(40, 3)
    _, _, scored = split_texts(recording.groups, (0.6, 0.15, 0.25))
    altered = recording.values.copy()
    altered[scored] += 1000
    one = autoencoder(recording, bottlenecks=[2], options=QUICK)
    two = autoencoder(recording.with_values(altered), bottlenecks=[2], options=QUICK)
    assert one.attrs["input_scale"] == two.attrs["input_scale"]
    np.testing.assert_array_equal(one["n_epochs"], two["n_epochs"])
    path = one["latent_path"].values
    assert np.isfinite(path).all()
    assert (path != two["latent_path"].values).any()


def test_defaults_on_a_tiny_recording():
    walk = np.random.default_rng(0).standard_normal((12, 7, 16)).cumsum(axis=1)
    calls = []
    result = autoencoder(Recording.from_array(walk), on_progress=lambda *done: calls.append(done))
    assert result["overall"].dims == ("described_by", "about", "bottleneck")
    assert np.isfinite(result["overall"]).all()
    assert calls[-1] == (200, 200)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)
    assert result["latent_mean"].shape == (2, 7, 8)
    assert np.isnan(result["latent_mean"][0, :, 2:]).all()
    assert np.isfinite(result["latent_mean"][1]).all()
    np.testing.assert_allclose(
        result["latent_path"].values.mean(axis=0), result["latent_mean"][0, :, :2], rtol=1e-5
    )
    drawings = draw_autoencoder(result)
    lengths, layers = (drawing.series[0] for drawing in drawings[4:])
    steps = np.linalg.norm(np.diff(result["latent_path"].values, axis=1), axis=2)
    np.testing.assert_allclose(lengths.y, steps.mean(axis=0), rtol=1e-5)
    encoder = layer_widths(16, 2, 10)
    assert layers.y.tolist() == [*encoder, *encoder[-2::-1]]
    for drawing in drawings:
        assert drawing.x_label.endswith(")")
        assert drawing.caption
        assert drawing.interpretation
        assert drawing.figure().data
        drawing.plot()


def test_one_latent_has_no_figure_in_the_places_of_the_panels_of_two():
    """Panels 3A to 3C show the drawings from the fourth on, which need two latents."""
    walk = np.random.default_rng(0).standard_normal((12, 7, 16)).cumsum(axis=1)
    result = autoencoder(Recording.from_array(walk), bottlenecks=[1], options=QUICK)
    assert len(draw_autoencoder(result)) == 3


def test_what_is_no_bottleneck_is_undefined():
    values = np.random.default_rng(0).standard_normal((12, 3, 6))
    with pytest.warns(UndefinedWarning, match="not narrower than the stream") as caught:
        result = autoencoder(Recording.from_array(values), options=QUICK)
    assert len(caught) == 1
    at = result["overall"].sel(described_by="autoencoder")
    assert np.isfinite(at.sel(bottleneck=2)).all()
    assert np.isnan(at.sel(bottleneck=8)).all()
    assert result["n_epochs"].values.tolist()[1] == 0
    assert attribute(result, "finding")[1] == "With 8 numbers: not defined."


def test_states_that_do_not_vary_are_undefined():
    with pytest.warns(UndefinedWarning):
        result = autoencoder(Recording.from_array(np.full((8, 3, 20), 0.1)))
    assert np.isnan(result["overall"]).all()
    draw_autoencoder(result)


def test_one_scored_text_has_no_interval():
    values = np.random.default_rng(0).standard_normal((3, 4, 10))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        result = autoencoder(Recording.from_array(values), bottlenecks=[2], options=QUICK)
    assert np.isfinite(result["gain"]).all()
    assert np.isnan(result["gain_low"]).all()


def test_errors_say_what_works(tmp_path):
    recording = plane(10, 3)
    with pytest.raises(InputError, match="both are at least 1"):
        autoencoder(recording, bottlenecks=[0])
    with pytest.raises(InputError, match="at least one text for each part"):
        autoencoder(plane(2, 3))
    with pytest.raises(InputError, match="not finite"):
        autoencoder(recording.with_values(recording.values + np.inf))
    with pytest.raises(InputError, match="narrower than the stream"):
        layer_widths(8, 8, 3)
    with pytest.raises(InputError, match="learning rate is positive"):
        AutoencoderOptions(learning_rate=0)
    with pytest.raises(InputError, match="at least one row"):
        train_autoencoder(TrainingStates(np.ones((0, 3)), np.ones((2, 3)), np.ones(3), 1.0), 2)
    with pytest.raises(TdynError, match="cannot read"):
        load_autoencoder(tmp_path / "none.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no")
    with pytest.raises(TdynError, match="cannot read"):
        load_autoencoder(tmp_path / "broken.safetensors")
