"""Samples that the measures of dynamics use: at most a number of them, in memory only if drawn."""

from __future__ import annotations

from transformer_dynamics.recording.recording import Recording

# More samples would not narrow the results further, and a site of them must fit into memory.
N_SAMPLES = 4096


def subsample(recording: Recording, n_samples: int, *, seed: int) -> Recording:
    """Return a recording of at most `n_samples` samples.

    A smaller recording stays on disk and is read in blocks. Drawn samples are loaded, since every
    pass over them would read all chunks of the recording.

    Args:
        recording: the states.
        n_samples: largest number of samples.
        seed: seed of the draw, without replacement.
    """
    if recording.shape[0] <= n_samples:
        return recording
    return recording.sampled(n_samples, seed=seed)
