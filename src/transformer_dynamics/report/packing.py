"""Numbers and texts of the page as compressed JSON values, which `web/src/packing.js` reads.

An array is `{"dtype", "shape", "data"}` and a text `{"text"}`; the data are base64 of raw deflate,
numbers in little-endian order. An array of float16 carries its largest rounding error as `error`.
"""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from transformer_dynamics.errors import InputError

Code = Literal["f2", "f4", "f8", "u1", "u2", "u4", "i1", "i2", "i4"]
CODES = ("f2", "f4", "f8", "u1", "u2", "u4", "i1", "i2", "i4")
# Pages are written several times in a run; higher levels take twice the time for 2 % of the size.
LEVEL = 6


def packed_array(values: ArrayLike, dtype: Code = "f4") -> dict[str, Any]:
    """Pack numbers of any shape; NaN stays NaN.

    Args:
        values: real numbers.
        dtype: type in which they are stored: `f2`, `f4`, `f8`, or an integer type.

    Returns:
        `dtype`, `shape` and `data`; of float16 also `error`, the largest absolute rounding error.

    Raises:
        InputError: the type is unknown, or does not hold every value.

    >>> packed_array([1.0, 0.1], "f2")["error"]
    2.44140625e-05
    """
    if dtype not in CODES:
        raise InputError(
            f"got dtype={dtype!r}; an array is stored as one of {', '.join(CODES)}: "
            "packed_array(values, 'f4')"
        )
    given = np.asarray(values)
    with np.errstate(over="ignore", invalid="ignore"):
        stored = np.ascontiguousarray(given, dtype=f"<{dtype}")
    packed: dict[str, Any] = {
        "dtype": dtype,
        "shape": list(given.shape),
        "data": _compressed(stored.tobytes()),
    }
    error = _largest_error(given, stored)
    if not np.isfinite(error) or (dtype[0] in "iu" and error > 0):
        raise InputError(
            f"got values that {dtype} does not hold, as {_first_lost(given, stored)!r}; store them "
            "as packed_array(values, 'f4')"
        )
    if dtype == "f2":
        packed["error"] = float(f"{error:.9g}")
    return packed


def _largest_error(given: Any, stored: Any) -> float:
    """Largest absolute rounding error; infinite where a number is lost."""
    if given.dtype.kind in "iub" and stored.dtype.kind in "iu":
        return 0.0 if np.array_equal(given, stored) else float("inf")
    exact = given.astype(np.float64)
    kept = stored.astype(np.float64)
    same = (exact == kept) | (np.isnan(exact) & np.isnan(kept))
    with np.errstate(invalid="ignore"):
        difference = np.abs(np.where(same, 0.0, kept - exact))
    return float("inf") if np.isnan(difference).any() else float(difference.max(initial=0.0))


def _first_lost(given: Any, stored: Any) -> Any:
    with np.errstate(invalid="ignore"):
        is_lost = ~np.isfinite(stored.astype(np.float64) - given.astype(np.float64))
        is_lost |= (stored != given) & (stored.dtype.kind in "iu")
    return given[is_lost].ravel()[0].item()


def packed_text(text: str) -> dict[str, str]:
    """Pack a text."""
    return {"text": _compressed(text.encode("utf-8", "replace"))}


def packed_json(value: Any) -> dict[str, str]:
    """Pack a value of JSON as a text; numbers that are not finite are refused.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    return packed_text(json.dumps(value, allow_nan=False, separators=(",", ":")))


def island_json(value: Any) -> str:
    """JSON for a script element; no text in it can close the element.

    Raises:
        ValueError: a number is NaN or infinite.
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _compressed(data: bytes) -> str:
    compressor = zlib.compressobj(LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return base64.b64encode(compressor.compress(data) + compressor.flush()).decode("ascii")
