"""Series whose orbits are known: chaotic maps, walks, linear noise; `(sample, unit, site)`."""

import numpy as np

LOGISTIC_FIXED = 0.75
LOGISTIC_PERIOD_TWO = (5 - np.sqrt(5)) / 8, (5 + np.sqrt(5)) / 8
HENON_FIXED = (-0.7 + np.sqrt(0.49 + 5.6)) / 2.8
SHAPE = (32, 6, 60)


def logistic(shape=SHAPE, *, rate=4.0, noise=0.0, seed=0, settle=200):
    """x -> rate x (1 - x) after it has settled, with noise in every step if asked."""
    rng = np.random.default_rng(seed)
    x = np.sin(np.pi / 2 * rng.random(shape[:-1])) ** 2
    series = []
    for _ in range(settle + shape[-1]):
        series.append(x)
        x = rate * x * (1 - x) + noise * rng.standard_normal(x.shape)
        x = np.clip(x, 1e-9, 1 - 1e-9)
    return np.stack(series[settle:], axis=-1)


def henon(shape=SHAPE, *, seed=0, settle=100):
    """x -> 1 - 1.4 x^2 + y, y -> 0.3 x; the first coordinate."""
    rng = np.random.default_rng(seed)
    x, y = 0.1 * rng.random((2, *shape[:-1]))
    series = []
    for _ in range(settle + shape[-1]):
        series.append(x)
        x, y = 1 - 1.4 * x**2 + y, 0.3 * x
    return np.stack(series[settle:], axis=-1)


def walks(shape=SHAPE, *, shared=0.0, growth=1.0, seed=0):
    """Gaussian walks; `shared` times as large a walk common to the samples; growing steps."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal(shape) + shared * rng.standard_normal((1, *shape[1:]))
    return np.cumsum(steps * growth ** np.arange(shape[-1]), axis=-1)


def linear_noise(coefficient, shape=SHAPE, *, shared=0.0, seed=0, settle=50):
    """x[s+1] = coefficient x[s] + noise, part of it common to the samples."""
    rng = np.random.default_rng(seed)
    longer = (*shape[:-1], shape[-1] + settle)
    noise = rng.standard_normal(longer) + shared * rng.standard_normal((1, *longer[1:]))
    x, series = np.zeros(shape[:-1]), []
    for step in range(longer[-1]):
        x = coefficient * x + noise[..., step]
        series.append(x)
    return np.stack(series[settle:], axis=-1)


def rotation(shape=SHAPE, *, turns=5.3, noise=0.0, seed=0):
    """A sine of any phase per trace, with noise on top if asked."""
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 2 * np.pi, (*shape[:-1], 1))
    angle = 2 * np.pi * turns * np.linspace(0, 1, shape[-1]) + phase
    return np.cos(angle) + noise * rng.standard_normal(shape)
