"""Measures that need whole sites: more samples add less memory than their states take."""

import warnings
from functools import partial

import dask
import numpy as np
import pytest

import transformer_dynamics as td
from memory import least_peak, peak
from transformer_dynamics.errors import UndefinedWarning
from transformer_dynamics.measures.dimension.autoencoder_options import AutoencoderOptions
from transformer_dynamics.recording import Recording, open_recording
from transformer_dynamics.recording.disk import chunks, states

# Above the 512 samples that the measure of massive activations subsamples.
SIZES = (520, 960)
SHAPE = (13, 64)
QUICK = AutoencoderOptions(n_layers=2, n_epochs=1)
MEASURED = {
    "held-out pca": td.dimension.held_out_pca,
    "intrinsic dimension": td.dimension.intrinsic_dimension,
    "autoencoder": partial(td.dimension.autoencoder, options=QUICK, n_training=1300),
    "massive activations": partial(td.massive.activations, n_draws=99),
}


@pytest.fixture
def walks(tmp_path, monkeypatch):
    """Random walks with a massive unit on disk, in chunks that are small against both."""
    monkeypatch.setattr(chunks, "CHUNK_BYTES", 2**19)
    monkeypatch.setattr(states, "BLOCK_BYTES", 2**17)
    rng = np.random.default_rng(0)
    for n_samples in SIZES:
        values = rng.standard_normal((n_samples, *SHAPE), dtype=np.float32).cumsum(axis=1)
        values[..., 3] *= 100
        Recording.from_array(values).save(tmp_path / f"{n_samples}.zarr")
    with dask.config.set(scheduler="synchronous"):
        yield [open_recording(tmp_path / f"{n_samples}.zarr") for n_samples in SIZES]


def growth(function, walks, limit):
    """Added memory over added bytes of states; called again where it is not below the limit."""
    few, many = walks
    added = many.activation.nbytes - few.activation.nbytes
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedWarning)
        function(few.isel(sample=slice(0, 60)))  # modules that are imported late
        start = min(peak(partial(function, few)) for _ in range(2))
        return (least_peak(partial(function, many), start + limit * added) - start) / added


@pytest.mark.parametrize("name", MEASURED)
def test_memory_grows_by_less_than_the_states(name, walks):
    assert growth(MEASURED[name], walks, limit=0.8) < 0.8


def test_a_copy_in_float64_would_be_found(walks):
    assert growth(lambda walk: walk.values.astype(np.float64), walks, limit=0.8) > 1.9
