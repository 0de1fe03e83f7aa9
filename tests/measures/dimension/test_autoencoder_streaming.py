"""Training from a recording on disk: bounded memory, every state once an epoch, known answers."""

import numpy as np
import pytest

from memory import least_peak, peak
from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.autoencoder import autoencoder
from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_streaming import (
    BLOCKS_HELD,
    StreamedStates,
)
from transformer_dynamics.measures.dimension.autoencoder_training import train_autoencoder
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks

SHALLOW = AutoencoderOptions(
    n_layers=3, n_epochs=50, patience=30, batch_size=32, learning_rate=3e-3
)
ONE_EPOCH = AutoencoderOptions(n_layers=2, n_epochs=1, batch_size=512)


def on_disk(values, folder, rows, monkeypatch):
    """A recording in blocks of some samples."""
    recording = Recording.from_array(values.astype(np.float32))
    monkeypatch.setattr(chunks, "CHUNK_BYTES", rows * values[0].size * 4)
    recording.save(folder / "states.zarr")
    opened = open_recording(folder / "states.zarr")
    assert opened.activation.variable.chunksizes["sample"][0] == rows
    return opened


def plane(n_samples=160, n_sites=4, n_units=20, seed=0):
    generator = np.random.default_rng(seed)
    basis = np.linalg.qr(generator.standard_normal((n_units, n_units)))[0][:2]
    return generator.standard_normal((n_samples, n_sites, 2)) * [3.0, 2.0] @ basis + 5.0


def test_a_plane_is_explained_from_disk_and_the_same_seed_gives_the_same_weights(
    tmp_path, monkeypatch
):
    values = plane()
    states = StreamedStates.split(on_disk(values, tmp_path, 45, monkeypatch))
    trained = train_autoencoder(states, 2, options=SHALLOW, seed=3)
    error = ((trained.reconstruct(values) - values) ** 2).sum()
    assert 1 - error / ((values - values.mean(axis=(0, 1))) ** 2).sum() > 0.98
    one, again, other = (
        train_autoencoder(states, 2, options=ONE_EPOCH, seed=seed) for seed in (3, 3, 4)
    )
    for name, weight in one.weights.items():
        np.testing.assert_array_equal(weight, again.weights[name])
    assert one.history == again.history != other.history


def test_every_training_state_comes_once_an_epoch_in_another_order(tmp_path, monkeypatch):
    values = np.arange(50 * 3 * 2, dtype=float).reshape(50, 3, 2)
    states = StreamedStates.split(on_disk(values, tmp_path, 7, monkeypatch), seed=1)
    expected = np.sort(values[states.training].reshape(-1, 2)[:, 0])
    epochs = []
    for epoch in range(2):
        batches = list(states.batches(8, (5, epoch)))
        assert max(map(len, batches)) <= 8
        epochs.append(np.concatenate(batches)[:, 0] * states.scale + states.mean[0])
        np.testing.assert_allclose(np.sort(epochs[-1]), expected, atol=1e-3)
    assert not np.array_equal(*epochs)
    stopped = np.concatenate(list(states.validation_blocks()))[:, 0] * states.scale + states.mean[0]
    np.testing.assert_allclose(stopped, values[states.validation].reshape(-1, 2)[:, 0], atol=1e-3)


def test_means_and_scale_are_those_of_the_training_states(tmp_path, monkeypatch):
    values = plane(n_samples=60) + 1e3
    states = StreamedStates.split(on_disk(values, tmp_path, 11, monkeypatch))
    rows = values[states.training].astype(np.float32).astype(np.float64)
    np.testing.assert_allclose(states.site_means, rows.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(states.mean, rows.mean(axis=(0, 1)), rtol=1e-9)
    assert states.scale == pytest.approx(np.sqrt(rows.reshape(-1, 20).var(axis=0).mean()))


def test_memory_is_a_few_blocks_however_large_the_recording(tmp_path, monkeypatch):
    shape, rows = (2560, 8, 128), 40
    values = np.random.default_rng(0).standard_normal(shape)
    opened = on_disk(values, tmp_path, rows, monkeypatch)
    bound = opened.activation.nbytes / 3
    assert BLOCKS_HELD * rows < len(values) / 10

    del values

    def held():
        states = StreamedStates.split(opened)
        training, validation = (
            opened.isel(sample=samples).values.reshape(-1, 128)
            for samples in (states.training, states.validation)
        )
        train_autoencoder(
            TrainingStates(training, validation, states.mean, states.scale), 2, options=ONE_EPOCH
        )

    def streamed():
        train_autoencoder(StreamedStates.split(opened), 2, options=ONE_EPOCH)

    assert least_peak(streamed, bound) < bound
    assert peak(held) > bound


def test_training_goes_on_from_its_checkpoint_to_the_same_weights(tmp_path, monkeypatch):
    states = StreamedStates.split(on_disk(plane(60), tmp_path, 9, monkeypatch))
    options = AutoencoderOptions(n_layers=3, n_epochs=12, batch_size=16)
    whole = train_autoencoder(states, 2, options=options, seed=1)

    class Stopped(Exception):
        pass

    def stop(done, total):
        if done == 7:
            raise Stopped

    with pytest.raises(Stopped):
        train_autoencoder(states, 2, options=options, seed=1, out=tmp_path / "ae", on_progress=stop)
    resumed = train_autoencoder(states, 2, options=options, seed=1, out=tmp_path / "ae")
    assert resumed.history == whole.history
    for name, weight in whole.weights.items():
        np.testing.assert_array_equal(weight, resumed.weights[name])


def test_the_measure_trains_on_all_states_of_a_recording_on_disk(tmp_path, monkeypatch):
    opened = on_disk(plane(60), tmp_path, 16, monkeypatch)
    options = AutoencoderOptions(n_layers=2, n_epochs=80, patience=20, batch_size=16)
    found = autoencoder(opened, bottlenecks=[2], options=options, n_training=None)
    overall = found["overall"].sel(about="global mean", bottleneck=2)
    assert float(overall.sel(described_by="PCA")) == pytest.approx(1, abs=1e-6)
    assert float(overall.sel(described_by="autoencoder")) > 0.95
    assert found.attrs["n_training_states"] == 36 * 4


def test_states_without_validation_or_that_are_not_finite_are_refused():
    recording = Recording.from_array(plane(6))
    with pytest.raises(InputError, match="0 validation samples"):
        StreamedStates.of(recording, np.arange(6), np.arange(0))
    values = plane(6)
    values[2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        StreamedStates.split(Recording.from_array(values))
