"""A measure and a claim that a third party might add: one module each, here in one."""

from contextlib import contextmanager

import numpy as np
import xarray as xr

from transformer_dynamics.claims.claim import Claim
from transformer_dynamics.claims.curves import profile_lines
from transformer_dynamics.claims.figures import statistic_intervals
from transformer_dynamics.plots.backend import Lines, Series
from transformer_dynamics.registry import CLAIMS, MEASURES, measure

TITLE = "Largest activation"
STATEMENT = "Toys grow with depth."


def draw(result):
    values = result["largest"].mean("sample").values
    series = [Series(name="largest", x=np.arange(len(values)), y=values)]
    return [Lines(title=TITLE, x_label="site (index)", y_label="|x| (stream units)", series=series)]


def largest(recording):
    values = np.abs(recording.values).max(axis=2)
    return xr.Dataset({"largest": (("sample", "site"), values)}, coords=recording.site_coords)


def profile(recording, weights):
    return weights @ np.abs(recording.values).max(axis=2).astype(np.float64)


def draw_claim(evidence):
    lines = profile_lines(evidence, title=TITLE, y_label="|x| (stream units)")
    return [lines, statistic_intervals(evidence, "last minus first (stream units)")]


@contextmanager
def registered():
    """Both are in the registry inside the block."""
    measure("toy.largest", title=TITLE, source="this test", draw=draw)(largest)
    Claim(
        id="T1",
        statement=STATEMENT,
        statistic="largest activation, last site minus first (stream units)",
        source="this test",
        profile=profile,
        summary=lambda profile: profile[..., -1] - profile[..., 0],
        dims=("site",),
        threshold=0.0,
        nulls={"random_walk": "it has the size of the steps and unrelated directions"},
        draw=draw_claim,
    ).register()
    try:
        yield
    finally:
        MEASURES.remove("toy.largest")
        CLAIMS.remove("T1")
