"""Random starts and directions of synthetic paths, and recordings made of their states.

Every system takes keywords only and returns float64 states `(sample, site, unit)` whose sites are
called `0.state`, `1.state`, ...; each sample is a text of its own. The provenance holds the
system's name as `system`, and its parameters.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from transformer_dynamics.recording import Recording

States = NDArray[np.float64]


def starts_and_directions(n_samples: int, n_units: int, seed: int) -> tuple[States, States]:
    """Standard normal starts and independent unit vectors, both `(sample, unit)`."""
    rng = np.random.default_rng(seed)
    start = rng.standard_normal((n_samples, n_units))
    direction = rng.standard_normal((n_samples, n_units))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    return start, direction


def synthetic_recording(values: States, **provenance: Any) -> Recording:
    """Recording of states `(sample, site, unit)` with the system's name and parameters."""
    return Recording.from_array(values, provenance=provenance)
