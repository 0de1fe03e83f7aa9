"""Variables of `dynamics.rotation`: dimensions, units, denominators and definitions."""

from __future__ import annotations

from transformer_dynamics.measures.dynamics.tangling import SOFTENING
from transformer_dynamics.storage.attributes import STREAM

WEIGHTINGS = ("as recorded", "sites of equal variance")
SHARE = {"units": "1", "denominator": "sum of squared steps in the reduced space"}
RADIANS = {"units": "rad per step", "definition": "2 arctan(w/2), +-i w: eigenvalues of M"}
OF_STATISTIC = {"units": "units of the variable that the statistic names"}
DRAWS = {"pooling": "one value per surrogate"}
Q = {
    "units": "1 per step^2",
    "definition": "max over t' of |dx - dx'|^2 / (|x - x'|^2 + eps), x at midpoints of steps",
    "denominator": f"eps = {SOFTENING} x variance of the points about their mean",
}
# Dimensions and attrs of the variables of the result.
VARIABLES: dict[str, tuple[tuple[str, ...], dict[str, str]]] = {
    "r2_free": (("weighting",), {**SHARE, "definition": "explained by dx = M y, any M"}),
    "r2_skew": (("weighting",), {**SHARE, "definition": "explained by dx = M y, M^T = -M"}),
    "r2_ratio": (("weighting",), {"units": "1", "definition": "r2_skew / r2_free"}),
    "r2_skew_by_step": (
        ("weighting", "step"),
        {"units": "1", "denominator": "sum of squares of that step", "definition": "the one M"},
    ),
    "frequency": (("weighting", "plane"), {**RADIANS, "order": "descending"}),
    "reduced_share": (
        ("weighting",),
        {"units": "1", "denominator": "variance about the site means, all units, same weighting"},
    ),
    "jpc_share": (
        ("weighting",),
        {
            "units": "1",
            "denominator": "variance about the site means, all units, same weighting",
            "definition": "in the plane that turns fastest",
        },
    ),
    "jpc_share_of_reduced": (
        ("weighting",),
        {"units": "1", "denominator": "variance in the reduced space, same weighting"},
    ),
    "jpc_loading": (("weighting", "jpc", "unit"), {"units": "1", "definition": "unit vectors"}),
    "jpc_score": (
        ("weighting", "sample", "site", "jpc"),
        {"units": f"{STREAM}; standard deviations of the site with sites of equal variance"},
    ),
    "tangling": (
        ("tangled_sample", "step"),
        {**Q, "pooling": "maximum over the steps of all these samples"},
    ),
    "mean_path_tangling": (
        ("step",),
        {**Q, "pooling": "mean over samples first; maximum over the steps of that one path"},
    ),
    "tangling_share": (
        (),
        {
            "units": "1",
            "denominator": "variance of all states about one mean",
        },
    ),
    "null_r2_free": (("weighting", "draw"), {**SHARE, **DRAWS}),
    "null_r2_skew": (("weighting", "draw"), {**SHARE, **DRAWS}),
    "null_r2_ratio": (("weighting", "draw"), {"units": "1", **DRAWS}),
    "null_frequency": (("weighting", "draw", "plane"), {**RADIANS, **DRAWS}),
    "null_tangling": (("draw", "step"), {**Q, "pooling": "mean over the tangled samples"}),
    "observed": (("statistic",), OF_STATISTIC),
    "null_mean": (("statistic",), {**OF_STATISTIC, "pooling": "mean over surrogates"}),
    "null_sd": (("statistic",), {**OF_STATISTIC, "denominator": "surrogates - 1"}),
    "p": (("statistic",), {"units": "1", "definition": "(1 + #{as extreme}) / (1 + surrogates)"}),
    "effect": (("statistic",), {"units": "standard deviations of the surrogates"}),
}
