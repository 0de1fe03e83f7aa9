"""Captions of perturbations: the number of texts behind each system's line."""

import numpy as np
import pytest
import xarray as xr

from transformer_dynamics.plots.perturbation.systems import n_texts, system_caption


def result(followed):
    """Five texts of the model, and some of these in a twin; a second variable of one text."""
    values = np.ones((2, 5, 3))
    values[1, followed:] = np.nan
    few = np.where(np.arange(5) < 1, values[..., 0], np.nan)
    return xr.Dataset(
        {"speed": (("system", "sample", "step"), values), "shown": (("system", "sample"), few)},
        coords={"system": ["model", "untrained"]},
    )


@pytest.mark.parametrize(
    ("followed", "said"),
    [(5, "5 texts"), (2, "5 texts for the model, 2 for each untrained network")],
)
def test_a_caption_states_the_texts_of_each_system(followed, said):
    assert n_texts(result(followed)) == said
    assert f"N = {said}." in system_caption(result(followed), "Speed")


def test_a_result_without_twins_or_texts_states_what_there_is():
    assert n_texts(result(2).isel(system=[0])) == "5 texts"
    assert n_texts(result(2).mean("sample")) == "not stated"
