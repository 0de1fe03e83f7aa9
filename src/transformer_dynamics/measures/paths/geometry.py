"""Shape of the path over depth, or along the tokens of each text: length, straightness, turning.

With the step d[s] = x[s+1] - x[s]: path length, the sum of |d[s]|; displacement, |x[S-1] - x[0]|;
tortuosity, path length / displacement, 1 for a straight line; turning angle, the angle between d[s]
and d[s+1], 0 straight on and pi straight back.

Source: geometry of polygonal paths; compare arXiv 2606.09287, and arXiv 2311.04930 along tokens.
Cost: one pass over the states.
Limits: the angle is per step and not per unit of length; massive activations dominate every length
and angle. The page of this measure in `docs/measures` has null model, known answers and pitfalls.
"""

from __future__ import annotations

import xarray as xr

from transformer_dynamics.measures.paths.polygons import polygon_quantities
from transformer_dynamics.measures.paths.quantities import (
    TOO_SHORT,
    Axis,
    Quantity,
    over_depth,
    require_axis,
)
from transformer_dynamics.measures.paths.token_axis import along_tokens
from transformer_dynamics.numerics.arrays import warn_undefined
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.registry import measure
from transformer_dynamics.storage.attributes import STREAM

QUANTITIES = {
    "path_length": Quantity("path", STREAM, "sum of |x[s+1] - x[s]| over all steps"),
    "displacement": Quantity("path", STREAM, "|x[last site] - x[first site]|"),
    "tortuosity": Quantity("path", "1", "path_length / displacement"),
    "turning_angle": Quantity(
        "turn", "rad", "arccos of the cosine between x[s] - x[s-1] and x[s+1] - x[s]"
    ),
    "path_length_to": Quantity(
        "state",
        STREAM,
        "sum of |x[s+1] - x[s]| over the steps before the site",
        averaged=False,
    ),
}
NO_LENGTH = "a path ends where it began (tortuosity) or a step has length zero (turning_angle)"


@measure(
    "paths.path_geometry",
    title="Path length, tortuosity and turning angle",
    source="geometry of polygonal paths; compare arXiv 2606.09287; along tokens arXiv 2311.04930",
    per_sample=True,
)
def path_geometry(recording: Recording, *, axis: Axis = "depth", seed: int = 0) -> xr.Dataset:
    """Length, straightness and turning of every sample's path over depth, or along tokens.

    Args:
        recording: states `(sample, site, unit)`.
        axis: `"depth"`, or `"token"`: along the tokens of each text within a site, for a recording
            of consecutive positions of a text.
        seed: seed of the random orders of tokens in the null model of `"token"`.

    Returns:
        Over depth `path_length`, `displacement`, `tortuosity` `(sample)`; `turning_angle`
        `(sample, turn)` in radians, where a turn has the label of its middle site;
        `path_length_to` `(sample, site)`, the length covered up to each site, 0 at the first. Along
        tokens `(text, site)`, `(token_turn, site)` and `(token, site)` instead, texts one after the
        other, with `mean_turning_angle` and `n_tokens` per text; quantities of a text that depend
        on the order of its tokens have the null of a random order, `..._permuted`. Nothing is
        pooled over samples, no vector is normalized. `tortuosity` is NaN where a path ends where it
        began and `turning_angle` where a step has length zero, with one `UndefinedWarning` for
        both; the mean of a text is NaN where it has too few tokens.

    Raises:
        InputError: the recording has fewer than three sites; along tokens, no text has three
            tokens, or the positions of a text have a gap.

    >>> import numpy as np
    >>> corner = Recording.from_array(np.array([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]]))
    >>> result = path_geometry(corner)
    >>> float(result["tortuosity"][0]), (result["turning_angle"].values / np.pi).round(3)
    (1.4, array([[0.5]]))
    """
    require_axis(axis)
    if axis == "token":
        result = along_tokens(recording, polygon_quantities, QUANTITIES, at_least=3, seed=seed)
        arrays = {str(name): result[name].values for name in result.data_vars}
        warn_undefined(arrays, f"{NO_LENGTH}, or {TOO_SHORT}", stacklevel=3)
        return result
    result = over_depth(recording, polygon_quantities, QUANTITIES, at_least=3)
    uncertain = {name: result[name].values for name in ("tortuosity", "turning_angle")}
    warn_undefined(uncertain, NO_LENGTH, stacklevel=3)
    return result
