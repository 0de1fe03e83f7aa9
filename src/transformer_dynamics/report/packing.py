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
    exact = given.astype(np.float64)
    finite = np.isfinite(exact)
    difference = np.abs(stored.astype(np.float64)[finite] - exact[finite])
    is_lost = difference.max(initial=0.0) > 0 if dtype[0] in "iu" else False
    if is_lost or not np.isfinite(difference).all() or (dtype[0] in "iu" and not finite.all()):
        raise InputError(
            f"got values that {dtype} does not hold, largest magnitude "
            f"{np.abs(exact[finite]).max(initial=0.0):.6g}; store them as packed_array(values, 'f4')"
        )
    packed = {"dtype": dtype, "shape": list(given.shape), "data": _compressed(stored.tobytes())}
    if dtype == "f2":
        packed["error"] = float(f"{difference.max(initial=0.0):.9g}")
    return packed


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
