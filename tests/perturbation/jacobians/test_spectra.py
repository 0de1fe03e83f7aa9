"""Spectra of a tiny model, in context and isolated."""

import numpy as np
import pytest

import tiny
import transformer_dynamics as td
from transformer_dynamics.perturbation import (
    jacobians,
    spectra,
    step_jacobians,
)
from transformer_dynamics.perturbation.jacobians.normality import (
    henrici,
    symmetric_energy,
)


def eig(matrix):
    return np.linalg.eigvals(matrix)


@pytest.fixture(scope="module")
def both():
    model = tiny.model()
    return td.perturbation.systems(model, td.record(model, tiny.token_lists(6)), n_twins=1)


def test_spectra_in_context_and_isolated(both):
    result = spectra(both, n_texts=2)
    assert result["mode"].values.tolist() == ["context", "isolated"]
    text = int(result["text"][0])
    model, last = both[0].require_model(), both[0].tokens(text)[-1:]
    flow, alone = both[0].flow(text), model.flow_map(last, bos="never")
    assert flow.jacobian("0.pre_attn", "1.pre_attn") is not None
    for mode, matrix in (
        ("context", flow.jacobian("0.pre_attn", "1.pre_attn")),
        ("isolated", alone.jacobian("0.pre_attn", "1.pre_attn", at=flow.clean[0])),
    ):
        found = result.sel(system="model", mode=mode, reading="step").isel(sample=0, step=0)
        assert float(found["henrici"]) == pytest.approx(float(henrici(matrix, eig(matrix))))
        assert float(found["spectral_radius"]) == pytest.approx(np.abs(eig(matrix)).max())
    other = both[0].flow(int(result["text"][1]))
    mean = (step_jacobians(flow) + step_jacobians(other)) / 2
    average = result["average_symmetric_energy"].sel(system="model", mode="context", reading="step")
    np.testing.assert_allclose(average, symmetric_energy(mean), rtol=1e-9)
    for drawing in [*result.td.drawings, *jacobians(both, n_texts=2).td.drawings]:
        assert drawing.figure().data
        assert drawing.plot().get_title()
