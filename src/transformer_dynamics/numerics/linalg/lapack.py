"""LAPACK routines that run in several threads at the same time.

Functions of `scipy.linalg` keep Python's lock while they compute: two threads with a matrix each
take as long as one thread with both. `numpy.linalg` releases the lock, but has no Schur form and no
choice of eigenvectors. Here are the routines that scipy exports for Cython, called by address
without the lock; the results are those of `scipy.linalg`, to the last bit.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cython_lapack

from transformer_dynamics.numerics.arrays import Floats

_NAME = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
    ("PyCapsule_GetName", ctypes.pythonapi)
)
_ADDRESS = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)


def schur(matrix: Floats) -> tuple[Floats, Floats]:
    """Real Schur form A = Z T Z^T: T `(unit, unit)` and Z `(unit, unit)`, as `scipy.linalg.schur`.

    Raises:
        ValueError: entries are not finite.
        LinAlgError: the eigenvalues were not found.

    >>> triangle, vectors = schur(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> (vectors @ triangle @ vectors.T).round(6).tolist()
    [[1.0, 2.0], [3.0, 4.0]]
    """
    triangle = _copied(matrix)
    n = len(triangle)
    vectors = np.empty((n, n), order="F")
    real, imaginary, n_sorted = np.empty(n), np.empty(n), _number(0)

    def call(work: NDArray[Any], n_work: int) -> int:
        info = _number(0)
        _routine("dgees", 15)(
            *(b"V", b"N", None, _number(n), triangle, _number(n), n_sorted, real, imaginary),
            *(vectors, _number(n), work, _number(n_work), None, info),
        )
        return int(info[0])

    _with_workspace(call)
    return triangle, vectors


def top_eigh(matrix: Floats, n_largest: int) -> tuple[Floats, Floats]:
    """Largest eigenvalues of a symmetric matrix, ascending, and eigenvectors in columns.

    As `scipy.linalg.eigh` with `subset_by_index`: a few of 576 take a third of the time of all.

    Args:
        matrix: symmetric matrix `(unit, unit)`; the lower triangle is read.
        n_largest: number of eigenvalues.

    Raises:
        ValueError: entries are not finite, or there are fewer eigenvalues.
        LinAlgError: the eigenvalues were not found.
    """
    return _top(matrix, n_largest, with_vectors=True)


def top_eigvalsh(matrix: Floats, n_largest: int) -> Floats:
    """Largest eigenvalues of a symmetric matrix, ascending; see `top_eigh`.

    >>> top_eigvalsh(np.diag([1.0, 9.0, 4.0]), 2)
    array([4., 9.])
    """
    return _top(matrix, n_largest, with_vectors=False)[0]


def _top(matrix: Floats, n_largest: int, *, with_vectors: bool) -> tuple[Floats, Floats]:
    given = _copied(matrix)
    n = len(given)
    if not 1 <= n_largest <= n:
        raise ValueError(f"got n_largest={n_largest} for a matrix of {n} units")
    values, n_found = np.empty(n), _number(0)
    vectors = np.empty((n, n_largest if with_vectors else 1), order="F")
    blocks, whole = np.empty(2 * n, dtype=np.intc), np.empty(10 * n, dtype=np.intc)
    unused = np.zeros(1)

    def call(work: NDArray[Any], n_work: int) -> int:
        info = _number(0)
        _routine("dsyevr", 21)(
            *(b"V" if with_vectors else b"N", b"I", b"L", _number(n), given, _number(n)),
            *(unused, unused, _number(n - n_largest + 1), _number(n), unused, n_found),
            *(values, vectors, _number(n), blocks, work, _number(n_work)),
            *(whole, _number(len(whole)), info),
        )
        return int(info[0])

    _with_workspace(call)
    return values[:n_largest], vectors


def _copied(matrix: Floats) -> Floats:
    """A square matrix of finite numbers as LAPACK reads and overwrites it."""
    given = np.array(np.asarray_chkfinite(matrix), dtype=np.float64, order="F")
    if given.ndim != 2 or given.shape[0] != given.shape[1] or not given.size:
        raise ValueError(f"got a matrix of shape {given.shape}; it is square: (unit, unit)")
    return given


def _with_workspace(call: Callable[[NDArray[Any], int], int]) -> None:
    """Call a routine twice: for the size of its workspace, and with it."""
    size = np.empty(1)
    info = call(size, -1)
    if info == 0:
        info = call(np.empty(int(size[0])), int(size[0]))
    if info:
        raise LinAlgError(f"LAPACK found no decomposition (info {info})")


def _number(value: int) -> NDArray[np.intc]:
    return np.array([value], dtype=np.intc)


@cache
def _routine(name: str, n_arguments: int) -> Callable[..., None]:
    """Return a routine as a function of pointers: arrays, bytes, or None."""
    capsules: dict[str, Any] = dict(cython_lapack.__pyx_capi__)
    capsule = capsules[name]
    address = _ADDRESS(capsule, _NAME(capsule))
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_arguments)(address)

    def called(*arguments: Any) -> None:
        function(
            *(each.ctypes.data if isinstance(each, np.ndarray) else each for each in arguments)
        )

    return called
