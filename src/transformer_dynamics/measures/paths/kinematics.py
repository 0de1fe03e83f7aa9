"""Kinematics of the residual stream over depth, or along the tokens of each text.

With the step d[s] = x[s+1] - x[s] of one sample: norm |x[s]|, speed |d[s]|, relative speed
|d[s]| / |x[s]|, acceleration |d[s+1]| - |d[s]|, second difference |d[s+1] - d[s]| and cosine
x[s] . x[s+1] / (|x[s]| |x[s+1]|). All are Euclidean, of the vectors as recorded.

Source: arXiv 2502.12131 (speed, cosine). Cost: one pass over the states.
Limits: a shift common to all samples counts as movement; massive activations dominate lengths.
The page of this measure in `docs/measures` has the null model, the known answers and the pitfalls.
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.measures.paths.quantities import (
    TOO_SHORT,
    Axis,
    Quantity,
    over_depth,
    require_axis,
)
from transformer_dynamics.measures.paths.steps import step_quantities
from transformer_dynamics.measures.paths.token_axis import along_tokens
from transformer_dynamics.numerics.arrays import warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM, STREAM_PER_STEP

QUANTITIES = {
    "norm": Quantity("state", STREAM, "|x[s]|"),
    "speed": Quantity("step", STREAM_PER_STEP, "|x[s+1] - x[s]|"),
    "relative_speed": Quantity(
        "step", "1 per step", "speed / norm of the state where the step starts"
    ),
    "acceleration": Quantity(
        "turn", f"{STREAM_PER_STEP}^2", "speed of a step - speed of the step before"
    ),
    "second_difference": Quantity("turn", f"{STREAM_PER_STEP}^2", "|x[s+1] - 2 x[s] + x[s-1]|"),
    "cosine": Quantity("step", "1", "x[s] . x[s+1] / (|x[s]| |x[s+1]|)"),
}
ZERO_LENGTH = "a state has length zero"


@measure(
    "paths.kinematics",
    title="Speed, acceleration and cosine over depth",
    source="arXiv 2502.12131",
    per_sample=True,
)
def kinematics(recording: Recording, *, axis: Axis = "depth", seed: int = 0) -> xr.Dataset:
    """Norm, speed, acceleration and cosine of every sample over depth, or along tokens.

    Args:
        recording: states `(sample, site, unit)`.
        axis: `"depth"`, or `"token"`: along the tokens of each text within a site, for a recording
            of consecutive positions of a text.
        seed: seed of the random orders of tokens in the null model of `"token"`.

    Returns:
        Over depth `norm` `(sample, site)`; `speed`, `relative_speed`, `cosine` `(sample, step)`;
        `acceleration`, `second_difference` `(sample, turn)`, where a turn has the label of its
        middle site. Along tokens the same with `(token, site)`, `(token_step, site)` and
        `(token_turn, site)`, texts one after the other; their means per text `mean_...`
        `(text, site)`; the same means with the tokens of each text in random order,
        `mean_..._permuted`; and `n_tokens` `(text)`. The attrs of each variable give its unit.
        Nothing is pooled over samples, no vector is normalized. `cosine` and `relative_speed` are
        NaN, with one `UndefinedWarning` for both, where a state has length zero; the means of a
        text are NaN where it has too few tokens.

    Raises:
        InputError: the recording has one site only; along tokens, no text has two tokens, or the
            positions of a text have a gap.

    >>> import numpy as np
    >>> line = Recording.from_array(np.array([[[1.0, 0.0], [3.0, 0.0], [3.0, 4.0]]]))
    >>> result = kinematics(line)
    >>> result["speed"].values, result["acceleration"].values, result["cosine"].values
    (array([[2., 4.]]), array([[2.]]), array([[1. , 0.6]]))
    """
    require_axis(axis)
    if axis == "token":
        result = along_tokens(recording, step_quantities, QUANTITIES, at_least=2, seed=seed)
        arrays = {str(name): result[name].values for name in result.data_vars}
        warn_undefined(arrays, f"{ZERO_LENGTH}, or {TOO_SHORT}", stacklevel=3)
        return result
    result = over_depth(recording, step_quantities, QUANTITIES, at_least=2)
    uncertain = {name: result[name].values for name in ("cosine", "relative_speed")}
    warn_undefined(uncertain, ZERO_LENGTH, stacklevel=3)
    return result
