"""Figures of `dynamics.rotation`: the statistics beside their surrogates, planes, tangling."""

from __future__ import annotations

import numpy as np
import xarray as xr

from transformer_dynamics.measures.dynamics.linear.common_maps import (
    MODELS,
)
from transformer_dynamics.numerics.arrays import (
    Floats,
)
from transformer_dynamics.plots.backend import (
    Drawing,
    Interval,
    Intervals,
    Lines,
    Path,
    Paths,
    Series,
)
from transformer_dynamics.plots.backend.depth import STEP_LABEL, by_step_kind, mean_with_band
from transformer_dynamics.registry import figure

# Paths of texts that are drawn in a plane.
N_PATHS = 6
# What single surrogates spread over.
BAND = (2.5, 97.5)
SHOWN_RANKS = (1, 8, 32)


@figure("dynamics.rotation")
def draw_rotation(result: xr.Dataset) -> list[Drawing]:
    """Shares of rotation with their surrogates, where the map fits, both planes, tangling."""
    return [
        _shares(result),
        _by_step(result),
        *(_plane(result, str(weighting)) for weighting in result["weighting"].values),
        _tangling(result),
    ]


def _shares(result: xr.Dataset) -> Intervals:
    rows = []
    for weighting in result["weighting"].values:
        chosen = result.sel(weighting=weighting)
        for name, noun in (("r2_ratio", "R² ratio"), ("r2_skew", "R² of rotation")):
            value, draws = float(chosen[name]), chosen[f"null_{name}"].values
            low, high = np.percentile(draws, BAND)
            title = f"{noun}, {weighting}"
            rows.append(Interval(name=title, value=value, low=value, high=value))
            rows.append(
                Interval(
                    name=f"{title}: surrogates",
                    value=float(draws.mean()),
                    low=float(low),
                    high=float(high),
                    role="null",
                )
            )
    return Intervals(
        title="Share of rotation in the steps",
        x_label="share of squared steps, or ratio of shares (1)",
        intervals=rows,
        caption=(
            "How much of the reduced steps is one rotation, alone and over what any one linear "
            "map explains; surrogates with their mean and middle 95 %."
        ),
        interpretation=(
            "The model must lie beyond the surrogates, which are as smooth; a large ratio of "
            "two small shares is still a small rotation."
        ),
    )


def _by_step(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["step"].values]
    index = np.arange(len(labels))
    series = [
        Series(name=str(weighting), x=index, y=values, labels=labels)
        for weighting, values in zip(
            result["weighting"].values, result["r2_skew_by_step"].values, strict=True
        )
    ]
    marks = by_step_kind(series[-1], result["step_kind"].values)[1:]
    return Lines(
        title="Where in depth the one rotation fits",
        x_label=STEP_LABEL,
        y_label="share of the step's squares explained (1)",
        series=[*series, *marks],
        caption=(
            "How well one rotation, the same at all depths, tells each step of the texts; below "
            "zero it is worse than standing still."
        ),
        interpretation=(
            "The share must be above zero over a range of depth, for attention and MLP steps "
            "alike, for one rotation to describe the stream."
        ),
    )


def _plane(result: xr.Dataset, weighting: str) -> Paths:
    chosen = result.sel(weighting=weighting)
    scores: Floats = chosen["jpc_score"].values
    labels = result["site"].values.tolist()
    n_paths = min(N_PATHS, len(scores))
    samples = np.linspace(0, len(scores) - 1, n_paths).round().astype(int)
    share = 100 * float(chosen["jpc_share"])
    turned = float(chosen["frequency"][0])
    unit = "stream units" if weighting == "as recorded" else "deviations of the site"
    return Paths(
        title=f"jPC plane, {weighting} ({turned:.3f} rad per step)",
        x_label=f"jPC1 (the plane holds {share:.1f} % of variance; {unit})",
        y_label=f"jPC2 ({unit})",
        paths=[
            Path(name=f"sample {sample}", points=scores[sample], labels=labels, role="detail")
            for sample in samples
        ],
        caption="Deviations of single texts from the mean path, in the plane that turns fastest.",
        interpretation=(
            "Texts must turn in the same sense and at one speed; the plane is chosen to show "
            "turning, so that surrogates turn in theirs too."
        ),
    )


def _tangling(result: xr.Dataset) -> Lines:
    labels = [str(label) for label in result["step"].values]
    drawn = result["null_tangling"].values
    index = np.arange(len(labels))
    low, high = np.percentile(drawn, BAND, axis=0)
    return Lines(
        title="Tangling over depth",
        x_label=STEP_LABEL,
        y_label="tangling Q (1 per step²)",
        series=[
            mean_with_band("tangling", result["tangling"].values, labels=labels),
            Series(
                name="path averaged over samples",
                x=index,
                y=result["mean_path_tangling"].values,
                labels=labels,
                role="detail",
            ),
            Series(
                name="surrogates, mean over samples (2.5-97.5 % of surrogates)",
                x=index,
                y=drawn.mean(axis=0),
                low=low,
                high=high,
                labels=labels,
                role="null",
            ),
        ],
        caption="Whether places that are close together are left in different directions.",
        interpretation=(
            "The model must lie below the surrogates for its paths to be those of one smooth "
            "field of flow; every layer has a field of its own."
        ),
    )


@figure("dynamics.rotate_and_stretch")
def draw_rotate_and_stretch(result: xr.Dataset) -> list[Drawing]:
    """Law against standing still by lag; growth of the residual; agreement; its shape."""
    return [_shares_by_lag(result), _growth_lines(result), _agreement(result), *_shapes(result)]


def _shares_by_lag(result: xr.Dataset) -> Lines:
    shares = result["explained_variance"].mean("site")
    lags = result["lag"].values
    names = {
        "law, as published": shares.sel(fit="published", predictor="law"),
        "law, held-out texts": shares.sel(fit="held_out", predictor="law"),
        "law, held-out, vectors followed": shares.sel(fit="followed", predictor="law"),
    }
    series = [Series(name=name, x=np.log2(lags), y=y.values) for name, y in names.items()]
    series += [
        Series(name=name, x=np.log2(lags), y=y, role="reference")
        for name, y in (
            ("standing still", shares.sel(fit="held_out", predictor="persistence").values),
            ("standing still, scaled", shares.sel(fit="held_out", predictor="scaled").values),
            ("mean path", np.zeros(lags.size)),
        )
    ]
    return Lines(
        title="What the law explains of how texts differ, by lag, mean over sites",
        x_label="log2 of the lag in sites (1)",
        y_label="explained variance about the site's mean (1)",
        series=series,
        caption=(
            "Whether rotating and stretching foretells later states better than standing still."
        ),
        interpretation=(
            "The law must lie above standing still, scaled, on texts it was not taken from."
        ),
    )


def _growth_lines(result: xr.Dataset) -> Lines:
    one = result.sel(average="geometric")
    time = one["time"].values
    series = [
        Series(
            name=f"residual at lag {lag}",
            x=time,
            y=one["log_variance"].sel(fit="published", lag=lag).values,
            hidden=place % 2 == 1,
        )
        for place, lag in enumerate(one["lag"].values.tolist())
    ]
    fitted = one.sel(fit="published")
    line = np.log(float(fitted["alpha"])) + float(fitted["lambda"]) * time
    series += [
        Series(name="ln alpha + lambda t", x=time, y=line, role="reference"),
        Series(
            name="the states themselves, about their mean",
            x=time,
            y=one["state_log_variance"].values,
            role="reference",
        ),
    ]
    return Lines(
        title="Variance of the law's residual over depth, as published",
        x_label=f"time of the later site ({one['time'].attrs['units']}s)",
        y_label="ln variance of a unit, mean over units (ln stream units²)",
        series=series,
        caption="How the residual grows, and that it grows as the variance of the states does.",
        interpretation="To be a law of its own, its growth must differ from that of the states.",
    )


def _agreement(result: xr.Dataset) -> Lines:
    series = [
        Series(
            name=f"lag {lag}",
            x=result["component"].values,
            y=result["agreement"].sel(fit="published", lag=lag).values,
            hidden=place % 2 == 1,
        )
        for place, lag in enumerate(result["lag"].values.tolist())
    ]
    half = np.full(result.sizes["component"], 0.5)
    reference = Series(name="1/2", x=result["component"].values, y=half, role="reference")
    return Lines(
        title="Do components matched by order belong together?",
        x_label="component by falling singular value (index)",
        y_label="cosine over samples at the two sites, mean over pairs (1)",
        series=[*series, reference],
        caption="How far the i-th component of a later site is that of the earlier one.",
        interpretation="Above one half the law helps a component, below it does harm.",
    )


def _shapes(result: xr.Dataset) -> list[Drawing]:
    names = {
        "excess_kurtosis": ("excess kurtosis, mean over units (1)", 0.0, "Gaussian"),
        "participation": (
            "participation ratio / units (1)",
            float(result["isotropic_participation"].sel(fit="published")),
            "isotropic noise, as many samples",
        ),
    }
    drawings: list[Drawing] = []
    for name, (y_label, value, reference) in names.items():
        index = np.arange(result.sizes["site"])
        labels = [str(label) for label in result["site"].values]
        series = [
            Series(
                name=f"lag {lag}",
                x=index,
                y=result[name].sel(fit="published", lag=lag).values,
                labels=labels,
                hidden=place % 2 == 1,
            )
            for place, lag in enumerate(result["lag"].values.tolist())
        ]
        expected = np.full(index.size, value)
        drawings.append(
            Lines(
                title=f"Shape of the law's residual: {y_label.rpartition(' (')[0]}",
                x_label="later site (index)",
                y_label=y_label,
                series=[
                    *series,
                    Series(name=reference, x=index, y=expected, role="reference"),
                ],
                caption=(
                    "Whether the residual is the isotropic Gaussian noise that the law asks for."
                ),
                interpretation="The lines must lie on the reference.",
            )
        )
    return drawings


@figure("dynamics.linear_maps")
def draw_linear(result: xr.Dataset) -> list[Drawing]:
    """R^2 by step, one map against a map per step, eigenvalues, and rolled trajectories by rank."""
    labels = [str(label) for label in result["step"].values]
    index = np.arange(len(labels))
    names = {"zero": "no update", "mean_step": "the mean step", "scaled": "mean step and one scale"}
    skill = [
        Series(
            name=f"over {names[baseline]} (95 % over texts)",
            x=index,
            y=result["r2"].sel(baseline=baseline).values,
            low=result["r2_low"].sel(baseline=baseline).values,
            high=result["r2_high"].sel(baseline=baseline).values,
            labels=labels,
            hidden=baseline == "zero",
        )
        for baseline in ("scaled", "mean_step", "zero")
    ]
    zero = Series(name="no better", x=index, y=np.zeros(index.size), role="reference")
    half = Series(name="independent states", x=index, y=np.full(index.size, 0.5), role="reference")
    return [
        Lines(
            title="How much of each update a linear map of the state predicts, held-out texts",
            x_label=STEP_LABEL,
            y_label="R² of the update against a baseline (1)",
            series=[*skill, zero, half],
            caption=(
                "The share of the updates' squared length that the map explains beyond each "
                "baseline, on texts it was not fitted on."
            ),
            interpretation=(
                "Skill over the mean step with one scale: states without any relation reach one "
                "half over the mean step alone, by regression to the mean."
            ),
        ),
        _one_map_lines(result, labels),
        _eigenvalue_paths(result),
        *_rolled_lines(result),
    ]


def _one_map_lines(result: xr.Dataset, labels: list[str]) -> Lines:
    names = {
        "per_step": "one map per step",
        "one_map": "one map for all depths (exact DMD)",
        "one_map_equal_weights": "one map for all depths, steps weighted alike",
        "one_map_of_deviations": "one map of deviations from the mean path",
    }
    index = np.arange(len(labels))
    series = [
        Series(
            name=names[model],
            x=index,
            y=result["reduced_error"].sel(model=model).values,
            labels=labels,
            hidden=model == "one_map_equal_weights",
        )
        for model in MODELS
    ]
    mean = Series(name="mean step", x=index, y=np.ones(index.size), role="reference")
    return Lines(
        title=f"Error within {result.sizes['component']} components, held-out texts",
        x_label=STEP_LABEL,
        y_label="squared error / that of the mean step (1)",
        series=[*series, mean],
        y_scale="log",
        caption="How much worse one law for all depths predicts each step than a law of its own.",
        interpretation=(
            "For one dynamical system over depth the lines would have to agree; weighting the "
            "steps alike must not be what makes them."
        ),
    )


def _eigenvalue_paths(result: xr.Dataset) -> Paths:
    paths = [
        Path(
            name=fit.replace("_", " "),
            points=_growth_plane(result.sel(fit=fit)),
        )
        for fit in result["fit"].values.tolist()
    ]
    circle = np.linspace(0, 2 * np.pi, 181)
    unit = np.stack([np.cos(circle), np.sin(circle)], axis=1)
    return Paths(
        title="Eigenvalues of one map for all depths, with the unit circle",
        x_label="real part (1 per step)",
        y_label="imaginary part (1 per step)",
        paths=[*paths, Path(name="unit circle", points=unit, role="reference")],
        markers=True,
        caption="Growth (outside the circle), decay (inside) and turning (off the axis) per step.",
        interpretation=(
            "One map must predict about as well as a map per step; else it describes no step."
        ),
    )


def _growth_plane(fit: xr.Dataset) -> Floats:
    modulus, angle = fit["eigenvalue_modulus"].values, fit["eigenvalue_angle"].values
    return np.stack([modulus * np.cos(angle), modulus * np.sin(angle)], axis=1)


def _rolled_lines(result: xr.Dataset) -> list[Drawing]:
    labels = [str(label) for label in result["site"].values]
    ranks = result["rank"].values
    by_rank = [
        Series(
            name=f"from {start}",
            x=np.log2(ranks),
            y=result["rolled_mean"].sel(start=start).values,
            labels=[f"rank {rank}" for rank in ranks.tolist()],
        )
        for start in result["start"].values.tolist()
    ]
    axis = "share of the squared distance from the mean path, mean over later sites (1)"
    drawings: list[Drawing] = [
        Lines(
            title="Low-order model: what maps of rank K, rolled forward, explain of later states",
            x_label="log2 K, K the rank of the maps (1)",
            y_label=axis,
            series=by_rank,
            caption="How many directions a linear model needs to foretell a text's own way.",
            interpretation="A low-order system would level off at a small rank, and high.",
        )
    ]
    for start in result["start"].values.tolist():
        first, chosen = labels.index(start), result.sel(start=start)
        behind = slice(first + 1, None)
        index = np.arange(len(labels))[behind]
        series = [
            Series(
                name=f"maps of rank {rank}",
                x=index,
                y=chosen["rolled_explained"].sel(rank=rank).values[behind],
                labels=labels[behind],
                hidden=rank not in SHOWN_RANKS,
            )
            for rank in ranks.tolist()
        ]
        parallel = chosen["parallel_explained"].values[behind]
        series += [
            Series(name="stay as far from the mean path", x=index, y=parallel, role="reference"),
            Series(name="mean path", x=index, y=np.zeros(index.size), role="reference"),
        ]
        drawings.append(
            Lines(
                title=f"Rolled forward from {start}: what is explained of later states",
                x_label="site (index)",
                y_label="share of the squared distance from the mean path (1)",
                series=series,
                caption=(
                    "How far a text's own way can be foretold from one site by linear maps of low "
                    "rank, on texts they were not fitted on."
                ),
                interpretation=(
                    "The curves must lie above both staying as far away and the mean path."
                ),
            )
        )
    return drawings
