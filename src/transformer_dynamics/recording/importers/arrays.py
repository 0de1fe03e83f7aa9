"""Arrays and tensors of a caller, converted without a change of value or refused by name.

Nothing here imports torch; a tensor is recognized by its methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.errors import RecordingError

FLOATS = "they are floats: states.float() in torch, states.astype('float32') in numpy"


def state_array(value: Any, name: str) -> NDArray[Any]:
    """Convert states to float32 or float64; 16-bit and 8-bit formats become float32, exactly.

    Raises:
        RecordingError: no floats, no values (the meta device, masked entries), ragged rows.
    """
    array = _converted(value, name, _tensor_of_floats)
    if not np.issubdtype(array.dtype, np.floating) or array.dtype.itemsize > 8:
        given = type(value).__name__ if array.dtype == object else f"dtype {array.dtype}"
        raise RecordingError(f"got {name} of {given}; {FLOATS}")
    if 0 in array.shape:
        raise RecordingError(f"got {name} of shape {array.shape}, which holds no states")
    native = np.float64 if array.dtype.itemsize == 8 else np.float32
    return array.astype(native, copy=False)


def text_array(value: Any, name: str) -> NDArray[Any]:
    """Convert states of one site to `(text, position, unit)`; one text may lack its axis."""
    array = state_array(value, name)
    if array.ndim == 2:
        array = array[np.newaxis]
    if array.ndim != 3:
        raise RecordingError(
            f"got {name} of shape {array.shape}; states of one site are (text, position, unit), or "
            "(position, unit) for one text"
        )
    return array


def precision(value: Any) -> str:
    """Number format of the given states, such as `float32` or `bfloat16`."""
    return str(getattr(value, "dtype", "float64")).removeprefix("torch.").lstrip("<>=")


def mask_grid(value: Any, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Convert a mask `(text, position)` to True at tokens; padding is on the left or the right.

    Raises:
        RecordingError: another shape, entries other than 0 and 1, a text without tokens, or with
            padding between its tokens.
    """
    grid = _grid(value, "mask", shape)
    if not np.isin(grid, (0, 1)).all():
        other = grid[~np.isin(grid, (0, 1))][0]
        raise RecordingError(
            f"got a mask that holds {other}; it is 1 at tokens and 0 at padding, as "
            "inputs['attention_mask']; of an additive mask (0 and -inf) give mask=additive == 0"
        )
    kept: NDArray[np.bool_] = grid.astype(bool)
    empty = np.flatnonzero(~kept.any(axis=1))
    if empty.size:
        raise RecordingError(
            f"the mask leaves no token of text {empty[0]}; leave empty texts out: "
            "keep = mask.any(axis=1), then states[keep] and mask[keep]"
        )
    begins = np.diff(kept.astype(np.int8), axis=1, prepend=0) == 1
    broken = np.flatnonzero(begins.sum(axis=1) > 1)
    if broken.size:
        raise RecordingError(
            f"the mask has padding between tokens of text {broken[0]}; padding stands on the left "
            "or the right. To study some positions, select them afterwards: "
            "td.Recording.from_activations(states, positions='all').sel(position=[0, 2])"
        )
    return kept


def token_grid(value: Any, shape: tuple[int, int], kept: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Select the token ids of the kept positions, one per sample.

    Raises:
        RecordingError: another shape, no integers, or a negative id at a token.
    """
    grid = _grid(value, "tokens", shape)
    if grid.dtype.kind not in "iu":
        raise RecordingError(
            f"got tokens of dtype {grid.dtype}; token ids are integers: tokens=inputs['input_ids']"
        )
    chosen = grid[kept]
    wrong = chosen[(chosen < 0) | (chosen > np.iinfo(np.int64).max)]
    if wrong.size:
        raise RecordingError(
            f"got the token id {wrong[0]} where the mask says that there is a token; ids are zero "
            "or more: tokens=inputs['input_ids']"
        )
    return chosen.astype(np.int64)


def require_finite(values: NDArray[Any], names: Sequence[str]) -> None:
    """Refuse states `(sample, site, unit)` that are NaN or infinite.

    Raises:
        RecordingError: names the first site and sample.
    """
    bad = ~np.isfinite(values).all(axis=2)
    if bad.any():
        sample, site = np.argwhere(bad)[0]
        raise RecordingError(
            f"got NaN or infinite states at the site {names[site]} of sample {sample}; capture "
            "them in float32"
        )


def _grid(value: Any, noun: str, shape: tuple[int, int]) -> NDArray[Any]:
    grid = _converted(value, noun, lambda tensor, _: tensor.detach().cpu().numpy())
    if grid.ndim == 1:
        grid = grid[np.newaxis]
    example = "attention_mask" if noun == "mask" else "input_ids"
    if grid.shape != shape or grid.dtype.kind not in "biuf":
        raise RecordingError(
            f"got {noun} of shape {grid.shape} and dtype {grid.dtype} for states of {shape[0]} "
            f"texts and {shape[1]} positions; it is (text, position): {noun}=inputs['{example}']"
        )
    return grid


def _tensor_of_floats(tensor: Any, name: str) -> NDArray[Any]:
    if not tensor.is_floating_point():
        raise RecordingError(f"got {name} of dtype {precision(tensor)}; {FLOATS}")
    tensor = tensor.detach().cpu()
    array: NDArray[Any] = (tensor if precision(tensor) == "float64" else tensor.float()).numpy()
    return array


def _converted(
    value: Any, name: str, of_tensor: Callable[[Any, str], NDArray[Any]]
) -> NDArray[Any]:
    if getattr(value, "is_meta", False):
        raise RecordingError(
            f"{name} is a tensor on the meta device, which holds no values; run the model on cpu "
            "or cuda"
        )
    if isinstance(value, Mapping) or (
        isinstance(value, tuple) and any(hasattr(each, "shape") for each in value)
    ):
        raise RecordingError(
            f"{name} is a {type(value).__name__} of {len(value)} entries, not one array; a block "
            "that returns a tuple has its states first: [output[0] for output in outputs]"
        )
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise RecordingError(f"{name} is a masked array with masked entries; states have values")
    try:
        return of_tensor(value, name) if hasattr(value, "detach") else np.asarray(value)
    except (TypeError, ValueError, RuntimeError, NotImplementedError, AttributeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RecordingError(
            f"{name} of type {type(value).__name__} is not one array of numbers ({reason})"
        ) from error
