"""The stream through a bottleneck of a few numbers: an autoencoder beside PCA of equal rank.

An autoencoder (the paper's CAE, see `autoencoder_network`) is trained on the states of some texts,
all sites together, stopped by those of others and scored on texts that neither saw. With f(x) the
reconstruction of a scored state from its bottleneck,

    explained variance    1 - sum |x - f(x)|^2 / sum |x - c|^2

for two denominators: c the mean of all training states, and c the mean of the training states of
the site that x comes from. The error is the same in both, so a negative number about the site's
own mean says that knowing the site, without anything of the text, describes the state better.
(`dimension.pca` takes the site's mean off before it projects, and cannot be negative.)

Beside the autoencoder stand PCA with as many components, fitted on the same training states, and
the site's mean alone: one that does not beat PCA shows no curvature, and one that does not beat the
site's mean has only learned how deep a state lies. Intervals are 95 % percentile intervals over the
scored texts; they leave out the scatter over initial weights.

Source: arXiv 2502.12131, which reports 0.60 to 0.77 for two numbers, without PCA of equal rank and
without the second denominator. Cost: see `autoencoder_training`; it grows with the recording only
where all its states are asked for. Not handled: massive units weigh in the squared error as they
are (measure `population.standardized(recording)`); late sites, which vary more, do too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from transformer_dynamics.errors import InputError
from transformer_dynamics.measures.dimension.autoencoder_network import Autoencoder
from transformer_dynamics.measures.dimension.autoencoder_streaming import StreamedStates
from transformer_dynamics.measures.dimension.autoencoder_training import (
    AutoencoderOptions,
    Progress,
    TrainingStates,
    train_autoencoder,
)
from transformer_dynamics.measures.dimension.components.shares import ROUNDING
from transformer_dynamics.numerics.arrays import Floats, ratio, warn_undefined
from transformer_dynamics.numerics.principal_axes import principal_axes, require_finite
from transformer_dynamics.numerics.splits import split_texts
from transformer_dynamics.numerics.standardize import unit_moments
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.stats.bootstrap import percentile_interval, text_weights, uniform_weights

PAPER = AutoencoderOptions()
BOTTLENECKS = (2, 8)
# Texts that are trained on, that stop the training, and that are scored.
SPLIT = (0.6, 0.15, 0.25)
N_TRAINING = 6144
N_SCORED = 16384
N_BOOTSTRAP = 499

METHODS = ("autoencoder", "PCA", "site mean")
ABOUT = ("global mean", "site mean")


@dataclass(frozen=True)
class _Parts:
    """Training states and scored states.

    Attributes:
        states: training and validation states.
        site_means: of all training texts, `(site, unit)`.
        scored: states of the scored texts, `(sample, site, unit)`.
        samples: which samples of the recording these are.
    """

    states: TrainingStates | StreamedStates
    site_means: Floats
    scored: NDArray[Any]
    samples: NDArray[np.int64]


def _parts(recording: Recording, n_training: int | None, seed: int) -> _Parts:
    """Split by text and take the same number of states at every site, or leave all on disk."""
    fitted, stopping, samples = split_texts(recording.groups, SPLIT, seed=seed)
    generator = np.random.default_rng((seed, len(fitted)))
    most = max(2, N_SCORED // recording.shape[1])
    if n_training is None:
        streamed = StreamedStates.of(recording, fitted, stopping)
        samples = np.sort(generator.permutation(samples)[:most])
        scored = recording.isel(sample=samples).values
        return _Parts(streamed, streamed.site_means, scored, samples)
    moments = unit_moments(recording.isel(sample=fitted))
    require_finite(moments.variance)
    mean = moments.mean[0] + (moments.mean - moments.mean[0]).mean(axis=0)
    spread = float(moments.pooled_variance.mean())
    # Below this the variance is rounding of the states' size.
    scale = np.sqrt(spread) if spread > ROUNDING * float((mean**2).mean()) else 0.0
    n_validation = max(1, n_training * len(stopping) // len(fitted))
    states = TrainingStates(
        _rows(recording.isel(sample=fitted), n_training, generator),
        _rows(recording.isel(sample=stopping), n_validation, generator),
        mean,
        float(scale),
    )
    samples = np.sort(generator.permutation(samples)[:most])
    return _Parts(states, moments.mean, recording.isel(sample=samples).values, samples)


def _rows(part: Recording, n_rows: int, generator: np.random.Generator) -> NDArray[Any]:
    """About `n_rows` states `(row, unit)`, equally many at each site, other samples at each."""
    per_site = max(1, n_rows // part.shape[1])
    rows = []
    for _, values in part.site_blocks():
        for site in range(values.shape[1]):
            rows.append(values[generator.permutation(part.shape[0])[:per_site], site])
    return np.concatenate(rows)


def _squared_errors(values: NDArray[Any], described: NDArray[Any]) -> Floats:
    """`(sample, site)`, in stream units squared."""
    errors = np.empty(values.shape[:2])
    for site in range(values.shape[1]):
        away = values[:, site].astype(np.float64) - described[..., site, :]
        errors[:, site] = np.einsum("nu,nu->n", away, away)
    return errors


def _errors(parts: _Parts, autoencoders: Sequence[Autoencoder | None]) -> Floats:
    """Errors of the descriptions, `(description, bottleneck, sample, site)`; NaN without one."""
    trained = [autoencoder for autoencoder in autoencoders if autoencoder is not None]
    errors = np.full((3, len(autoencoders), *parts.scored.shape[:2]), np.nan)
    errors[2] = _squared_errors(parts.scored, parts.site_means[np.newaxis])
    if not trained:
        return errors
    most = max(autoencoder.bottleneck for autoencoder in trained)
    if isinstance(parts.states, StreamedStates):
        axes = parts.states.axes(most)
    else:
        rows = parts.states.training[:, np.newaxis]
        axes = principal_axes(rows, min(most, len(rows)), center=parts.states.mean)
    scores = axes.project(parts.scored)
    for place, autoencoder in enumerate(autoencoders):
        if autoencoder is not None:
            errors[0, place] = _squared_errors(parts.scored, autoencoder.reconstruct(parts.scored))
            kept = slice(autoencoder.bottleneck)
            described = axes.mean + scores[..., kept] @ axes.components[kept]
            errors[1, place] = _squared_errors(parts.scored, described)
    return errors


def _explained(errors: Floats, wholes: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """1 - error / whole at each site and over all.

    Args:
        errors: `(description, bottleneck, sample, site)`.
        wholes: squared deviations, `(about, sample, site)`.
        weights: of the samples, `(draw, sample)`.

    Returns:
        `(draw, description, about, bottleneck, site)` and `(draw, description, about, bottleneck)`.
    """
    error = np.einsum("dn,mbns->dmbs", weights, errors, optimize=True)[:, :, np.newaxis]
    whole = np.einsum("dn,ans->das", weights, wholes, optimize=True)[:, np.newaxis, :, np.newaxis]
    return 1 - ratio(error, whole), 1 - ratio(error.sum(axis=-1), whole.sum(axis=-1))


@dataclass(frozen=True)
class _Scores:
    """Explained variance with its interval: at each site, over all, and what is gained on PCA."""

    at_site: tuple[Floats, Floats, Floats]
    over_all: tuple[Floats, Floats, Floats]
    gain: tuple[Floats, Floats, Floats]


def _scores(parts: _Parts, errors: Floats, text_index: NDArray[np.int64], seed: int) -> _Scores:
    everywhere = np.broadcast_to(parts.states.mean, parts.site_means.shape)
    wholes = np.stack([_squared_errors(parts.scored, everywhere[np.newaxis]), errors[2, 0]])
    wholes[wholes <= ROUNDING * wholes[0].mean()] = 0
    plain = _explained(errors, wholes, uniform_weights(len(errors[0, 0])))
    drawn = _explained(errors, wholes, text_weights(text_index, N_BOOTSTRAP, seed=seed))
    enough = len(np.unique(text_index)) > 1

    def with_interval(value: Floats, draws: Floats) -> tuple[Floats, Floats, Floats]:
        # One text's interval would have no width and call any difference significant.
        low, high = percentile_interval(draws if enough else np.full_like(draws, np.nan))
        return value[0], low, high

    return _Scores(
        with_interval(plain[0], drawn[0]),
        with_interval(plain[1], drawn[1]),
        with_interval(plain[1][:, 0] - plain[1][:, 1], drawn[1][:, 0] - drawn[1][:, 1]),
    )


def _findings(scores: _Scores, bottlenecks: Sequence[int]) -> list[str]:
    """Findings in a sentence or two for each bottleneck."""
    sentences = []
    value, (gain, low, high) = scores.over_all[0], (part[0] for part in scores.gain)
    for place, bottleneck in enumerate(bottlenecks):
        ends = low[place], high[place]
        if not np.isfinite([value[0, 0, place], *ends]).all():
            sentences.append(f"With {bottleneck} numbers: not defined.")
            continue
        outcome = "does not beat PCA of equal rank by more than the interval"
        if ends[0] > 0:
            outcome = "beats PCA of equal rank"
        elif ends[1] < 0:
            outcome = "is worse than PCA of equal rank"
        own = value[0, 1, place]
        beside = "better" if own > 0 else "no better"
        sentences.append(
            f"With {bottleneck} numbers the autoencoder explains {value[0, 0, place]:.3f} of the "
            f"held-out variance about the global mean, PCA {value[1, 0, place]:.3f}: it {outcome} "
            f"(difference {gain[place]:+.3f}, 95 % {ends[0]:+.3f} to {ends[1]:+.3f}). The site's "
            f"mean alone, without any number of the text, explains {value[2, 0, place]:.3f}; about "
            f"it the autoencoder explains {own:.3f}, which is {beside} than knowing the site."
        )
    return sentences


def _latents(
    parts: _Parts, autoencoders: Sequence[Autoencoder | None], bottlenecks: Sequence[int]
) -> tuple[Floats, NDArray[np.float32]]:
    """Mean latents `(bottleneck, site, latent)`, and the narrowest's `(sample, site, axis)`."""
    n_samples, n_sites, _ = parts.scored.shape
    means = np.full((len(bottlenecks), n_sites, max(bottlenecks)), np.nan)
    narrowest = int(np.argmin(bottlenecks))
    paths = np.full((n_samples, n_sites, min(bottlenecks)), np.nan, dtype=np.float32)
    for place, autoencoder in enumerate(autoencoders):
        if autoencoder is not None:
            latents = autoencoder.encode(parts.scored)
            means[place, :, : autoencoder.bottleneck] = latents.mean(axis=0, dtype=np.float64)
            if place == narrowest:
                paths = latents
    return means, paths


def _train_all(
    parts: _Parts,
    bottlenecks: Sequence[int],
    options: AutoencoderOptions,
    seed: int,
    out: str | Path | None,
    on_progress: Progress | None,
) -> list[Autoencoder | None]:
    """One autoencoder per bottleneck; None where it is no bottleneck, or nothing varies."""
    n_units, total = parts.scored.shape[2], options.n_epochs * len(bottlenecks)
    trained: list[Autoencoder | None] = []
    for place, bottleneck in enumerate(bottlenecks):
        before = options.n_epochs * place

        def report(done: int, _: int, before: int = before) -> None:
            if on_progress is not None:
                on_progress(before + done, total)

        if bottleneck >= n_units or parts.states.scale == 0:
            trained.append(None)
            report(options.n_epochs, total)
            continue
        trained.append(
            train_autoencoder(
                parts.states, bottleneck, options=options, seed=seed, out=out, on_progress=report
            )
        )
    return trained


EXPLAINED = {
    "units": "1",
    "definition": "1 - sum |x - f(x)|^2 / sum |x - c|^2 over scored samples",
    "denominator": "c: mean of all training states, or the site's mean over training texts",
}
LOW_HIGH = {"units": "1", "definition": "95 % percentile interval over the scored texts"}
GAIN = {"units": "1", "definition": "explained by the autoencoder - explained by PCA, over all"}
LATENT = {"units": "1", "definition": "output of the encoder"}


@measure(
    "dimension.autoencoder",
    title="Autoencoder with a bottleneck, beside PCA of equal rank",
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
    """Train autoencoders and score them on texts that they have not seen, beside PCA.

    Args:
        recording: the states, of at least three texts.
        bottlenecks: widths of the narrowest layer, one autoencoder each.
        options: layers and training, the paper's by default.
        n_training: states to train on at most, spread evenly over sites and drawn at random; one
            per site at least. None: all states of the training texts, read from the recording in
            every epoch a few blocks at a time, so that they need not fit in memory.
        seed: of split, states, initial weights, batches and bootstrap.
        out: a folder for checkpoints and trained autoencoders (see `load_autoencoder`); training
            that was interrupted goes on where it stopped. Without it nothing is written.
        on_progress: called with epochs done and epochs at most, over all bottlenecks.

    Returns:
        `explained` `(described_by, about, bottleneck, site)` and, with both sums over all sites,
        `overall` `(described_by, about, bottleneck)`, each with `_low` and `_high`; `gain`
        `(about, bottleneck)`, autoencoder minus PCA, with `gain_low` and `gain_high`; `latent_mean`
        `(bottleneck, site, latent)`, mean over scored texts, NaN past the bottleneck; float32
        `latent_path` `(scored, site, axis)`, of the narrowest bottleneck, where the coordinate
        `scored` is the sample's position in the recording; `n_epochs` `(bottleneck)` trained, 0 for
        none.
        `results.attribute(result, "finding")` says in words, per bottleneck, whether the
        autoencoder beats PCA. NaN, with one `UndefinedWarning`, where a bottleneck is not narrower
        than the stream, where nothing varies, and in intervals of a single text.

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
    parts = _parts(recording, n_training, seed)
    trained = _train_all(parts, widths, options, seed, out, on_progress)
    errors = _errors(parts, trained)
    scores = _scores(parts, errors, recording.groups[parts.samples], seed)
    names = ("explained", "overall", "gain")
    dims = (
        ("described_by", "about", "bottleneck", "site"),
        ("described_by", "about", "bottleneck"),
    )
    values = (scores.at_site, scores.over_all, scores.gain)
    variables: dict[str, Any] = {}
    for name, where, three in zip(names, (*dims, ("about", "bottleneck")), values, strict=True):
        attrs = GAIN if name == "gain" else EXPLAINED
        variables[name] = (where, three[0], attrs)
        variables[f"{name}_low"], variables[f"{name}_high"] = (
            (where, three[1], LOW_HIGH),
            (where, three[2], LOW_HIGH),
        )
    warn_undefined(
        {"overall": scores.over_all[0], "explained": scores.at_site[0], "gain_low": scores.gain[1]},
        "a bottleneck is not narrower than the stream, nothing varies, or one text is scored",
        stacklevel=3,
    )
    latent_mean, latent = _latents(parts, trained, widths)
    # Those on disk are counted in samples of all sites.
    per_sample = 1 if isinstance(parts.states, TrainingStates) else recording.shape[1]
    epochs = [0 if one is None else len(one.history) for one in trained]
    return xr.Dataset(
        {
            **variables,
            "latent_mean": (
                ("bottleneck", "site", "latent"),
                latent_mean,
                {**LATENT, "pooling": f"mean over {len(parts.samples)} scored samples"},
            ),
            "latent_path": (("scored", "site", "axis"), latent, LATENT),
            "n_epochs": ("bottleneck", epochs, {"units": "epochs"}),
        },
        coords={
            **recording.site_coords,
            "described_by": np.array(METHODS, dtype=object),
            "about": np.array(ABOUT, dtype=object),
            "bottleneck": widths,
            "latent": np.arange(1, max(widths) + 1),
            "scored": parts.samples,
        },
        attrs={
            "finding": _findings(scores, widths),
            "n_training_states": len(parts.states.training) * per_sample,
            "n_validation_states": len(parts.states.validation) * per_sample,
            "n_scored_samples": len(parts.samples),
            "input_scale": parts.states.scale,
        },
    )
