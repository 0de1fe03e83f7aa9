"""Explained variance of an autoencoder with a bottleneck of a few numbers.

An autoencoder is trained on the states of some texts, all sites together, stopped by those of
others and scored on texts that neither contains. Controls: PCA with as many components, fitted on
the same training states, and the mean of the site alone. Explained variance has two denominators,
about the mean of all training states and about the mean of the site.

Source: arXiv 2502.12131, without PCA of equal rank and without the second denominator.
Cost: see `autoencoder_training`. Limits: massive units dominate the squared error (measure
`td.massive.standardize(recording)`), and so do late sites; intervals leave out the scatter over
initial weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.autoencoder_network import Autoencoder
from transformer_dynamics.measures.dimension.autoencoder_options import (
    AutoencoderOptions,
    Progress,
    TrainingStates,
)
from transformer_dynamics.measures.dimension.autoencoder_training import train_autoencoder
from transformer_dynamics.measures.dimension.reconstruction.findings import findings
from transformer_dynamics.measures.dimension.reconstruction.scores import (
    Scores,
    explained_variance,
    latent_paths,
    reconstruction_errors,
)
from transformer_dynamics.measures.dimension.reconstruction.splits import StateSplit, split_states
from transformer_dynamics.numerics.arrays import warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure

PAPER = AutoencoderOptions()
BOTTLENECKS = (2, 8)
N_TRAINING = 6144

METHODS = ("autoencoder", "PCA", "site mean")
ABOUT = ("global mean", "site mean")
EXPLAINED = {
    "units": "1",
    "definition": "1 - sum |x - f(x)|^2 / sum |x - c|^2 over scored samples",
    "denominator": "c: mean of all training states, or mean of the site over training texts",
}
LOW_HIGH = {"units": "1", "definition": "95 % percentile interval over the scored texts"}
GAIN = {"units": "1", "definition": "explained by the autoencoder - explained by PCA, over all"}
LATENT = {"units": "1", "definition": "output of the encoder"}


@measure(
    "dimension.autoencoder",
    title="Autoencoder with a bottleneck, compared with PCA of equal rank",
    source="arXiv 2502.12131",
)
def autoencoder(
    recording: Recording,
    *,
    bottlenecks: Sequence[int] = BOTTLENECKS,
    options: AutoencoderOptions = PAPER,
    n_training: int | None = N_TRAINING,
    seed: int = 0,
    out: str | Path | None = None,
    on_progress: Progress | None = None,
) -> xr.Dataset:
    """Train autoencoders and score them on held-out texts, together with PCA of equal rank.

    Args:
        recording: states `(sample, site, unit)` of at least three texts.
        bottlenecks: widths of the narrowest layer, one autoencoder each.
        options: layers and training; the defaults are those of the paper.
        n_training: maximum number of training states, drawn equally from all sites, at least one
            per site. None: all states of the training texts, read in blocks in every epoch.
        seed: seed of split, drawn states, initial weights, batches and bootstrap.
        out: folder of checkpoints and results (see `load_autoencoder`); interrupted training
            continues there. Nothing is written by default.
        on_progress: called with epochs done and the maximum, over all bottlenecks.

    Returns:
        `explained` `(described_by, about, bottleneck, site)` and, with both sums over all sites,
        `overall` `(described_by, about, bottleneck)`, each with `_low` and `_high`; `gain`
        `(about, bottleneck)`, autoencoder minus PCA, with `gain_low` and `gain_high`; `latent_mean`
        `(bottleneck, site, latent)` over scored texts, NaN past the bottleneck; float32
        `latent_path` `(scored, site, axis)` of the narrowest bottleneck, with the sample as the
        coordinate `scored`; `n_epochs` `(bottleneck)`. The attribute `finding` says in words
        whether the autoencoder beats PCA; `encoder_widths` holds the units of every layer of the
        narrowest encoder. NaN, with one `UndefinedWarning`, where a bottleneck is
        not narrower than the stream, nothing varies, or one text is scored (intervals).

    Raises:
        InputError: fewer than three texts, a bottleneck below 1, or states that are not finite.

    >>> line = np.random.default_rng(0).standard_normal((30, 4, 1)) * np.ones(6)
    >>> quick = AutoencoderOptions(n_layers=2, n_epochs=2)
    >>> result = autoencoder(Recording.from_array(line), bottlenecks=[1], options=quick)
    >>> result["overall"].sel(described_by="PCA", about="global mean").values.round(6)
    array([1.])
    """
    widths = [int(bottleneck) for bottleneck in bottlenecks]
    if not widths or min(widths) < 1 or (n_training is not None and n_training < 1):
        raise InputError(
            f"got bottlenecks={list(bottlenecks)}, n_training={n_training}; both are at least 1: "
            "autoencoder(recording, bottlenecks=(2, 8))"
        )
    split = split_states(recording, n_training, seed)
    trained = _train_all(split, widths, options, seed, out, on_progress)
    errors = reconstruction_errors(split, trained)
    scores = explained_variance(split, errors, recording.groups[split.samples], seed)
    warn_undefined(
        {"overall": scores.over_all[0], "explained": scores.at_site[0], "gain_low": scores.gain[1]},
        "a bottleneck is not narrower than the stream, nothing varies, or one text is scored",
        stacklevel=3,
    )
    return _dataset(recording, split, widths, trained, scores)


def _dataset(
    recording: Recording,
    split: StateSplit,
    widths: Sequence[int],
    trained: Sequence[Autoencoder | None],
    scores: Scores,
) -> xr.Dataset:
    """Assemble the result."""
    latent_mean, latent = latent_paths(split, trained, widths)
    pooling = f"mean over {len(split.samples)} scored samples"
    epochs = [0 if autoencoder is None else len(autoencoder.history) for autoencoder in trained]
    # Streamed states are counted in samples of all sites.
    per_sample = 1 if isinstance(split.states, TrainingStates) else recording.shape[1]
    latent_dims = ("bottleneck", "site", "latent")
    narrowest = trained[int(np.argmin(widths))]
    return xr.Dataset(
        {
            **_score_variables(scores),
            "latent_mean": (latent_dims, latent_mean, {**LATENT, "pooling": pooling}),
            "latent_path": (("scored", "site", "axis"), latent, LATENT),
            "n_epochs": ("bottleneck", epochs, {"units": "epochs"}),
        },
        coords={
            **recording.site_coords,
            "described_by": np.array(METHODS, dtype=object),
            "about": np.array(ABOUT, dtype=object),
            "bottleneck": list(widths),
            "latent": np.arange(1, max(widths) + 1),
            "scored": split.samples,
        },
        attrs={
            "finding": findings(scores, widths),
            "n_training_states": len(split.states.training) * per_sample,
            "n_validation_states": len(split.states.validation) * per_sample,
            "n_scored_samples": len(split.samples),
            "input_scale": split.states.scale,
            "encoder_widths": [] if narrowest is None else narrowest.widths,
        },
    )


def _score_variables(scores: Scores) -> dict[str, Any]:
    """Explained variance and gain, each with the ends of its interval."""
    dims = ("described_by", "about", "bottleneck")
    variables: dict[str, Any] = {}
    for name, over, (value, low, high), attrs in (
        ("explained", (*dims, "site"), scores.at_site, EXPLAINED),
        ("overall", dims, scores.over_all, EXPLAINED),
        ("gain", dims[1:], scores.gain, GAIN),
    ):
        variables[name] = (over, value, attrs)
        variables[f"{name}_low"] = (over, low, LOW_HIGH)
        variables[f"{name}_high"] = (over, high, LOW_HIGH)
    return variables


def _train_all(
    split: StateSplit,
    bottlenecks: Sequence[int],
    options: AutoencoderOptions,
    seed: int,
    out: str | Path | None,
    on_progress: Progress | None,
) -> list[Autoencoder | None]:
    """Train one autoencoder per bottleneck; None where it is not narrower or nothing varies."""
    n_units, total = split.scored.shape[2], options.n_epochs * len(bottlenecks)
    trained: list[Autoencoder | None] = []
    for index, bottleneck in enumerate(bottlenecks):
        before = options.n_epochs * index

        def report(done: int, _: int, before: int = before) -> None:
            if on_progress is not None:
                on_progress(before + done, total)

        if bottleneck >= n_units or split.states.scale == 0:
            trained.append(None)
            report(options.n_epochs, total)
            continue
        trained.append(
            train_autoencoder(
                split.states, bottleneck, options=options, seed=seed, out=out, on_progress=report
            )
        )
    return trained
