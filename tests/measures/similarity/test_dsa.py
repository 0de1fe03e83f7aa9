import sys
import warnings

import numpy as np
import pytest
from scipy.stats import ortho_group

from transformer_dynamics import synthetic
from transformer_dynamics.errors import InputError, TdynError, UndefinedWarning
from transformer_dynamics.measures.similarity.dsa import dsa
from transformer_dynamics.plots.similarity.dsa import draw_dsa
from transformer_dynamics.recording.recording import Recording
from transformer_dynamics.storage.attributes import attribute

FAST = {"n_components": 4, "n_iterations": 150, "n_starts": 1}


def run(angles, decay, *, seed, noise=0.02, n_samples=40, n_sites=20):
    """Noisy runs of one linear system of planes that turn and decay."""
    rng = np.random.default_rng(seed)
    rule = np.zeros((4, 4))
    for plane, angle in enumerate(angles):
        block = slice(2 * plane, 2 * plane + 2)
        cosine, sine = np.cos(angle), np.sin(angle)
        rule[block, block] = decay * np.array([[cosine, -sine], [sine, cosine]])
    states = [rng.standard_normal((n_samples, 4)) * [3, 2, 1.5, 1]]
    for _ in range(n_sites - 1):
        states.append(states[-1] @ rule.T + noise * rng.standard_normal((n_samples, 4)))
    return Recording.from_array(np.stack(states, axis=1))


@pytest.fixture
def package():
    return pytest.importorskip("DSA", reason="needs the package dsa-metric")


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "DSA", None)
    recording = synthetic.rotation(n_samples=8, n_sites=6, n_units=4)
    with pytest.raises(TdynError, match=r"pip install 'transformer-dynamics\[dsa\]'"):
        dsa(recording, recording)


@pytest.mark.usefixtures("package")
def test_a_rotated_copy_is_the_same_and_another_system_is_not():
    one, again = run((0.3, 0.9), 0.98, seed=0), run((0.3, 0.9), 0.98, seed=1)
    other = run((0.1, 2.0), 0.9, seed=2)
    rotation = ortho_group.rvs(7, random_state=0)[:4]
    turned = Recording.from_array(3 * one.values @ rotation)
    rotated, rerun, different = (
        dsa(one, each, **FAST)["dsa"].values for each in (turned, again, other)
    )
    assert rotated[0] < 0.02
    assert rerun[0] < 0.1
    assert different[0] > 0.3
    # The halves are runs of one system; without its order it is another.
    assert rerun[1] < 0.1
    assert rerun[2] < 0.1
    assert rerun[3] > 0.3


@pytest.mark.usefixtures("package")
def test_skill_is_1_for_a_linear_system_and_0_for_a_walk():
    result = dsa(
        run((0.3, 0.9), 0.98, seed=0, noise=0.0),
        synthetic.random_walk(n_samples=200, n_sites=20, n_units=4),
        **{**FAST, "n_iterations": 1},
        n_delays=1,
    )
    assert float(result["skill"][0]) > 0.999
    assert abs(float(result["skill"][1])) < 0.05


@pytest.mark.usefixtures("package")
def test_the_same_seed_gives_the_same_bits_and_torch_is_left_alone():
    import torch

    one, other = run((0.3, 0.9), 0.98, seed=0), run((0.1, 2.0), 0.9, seed=2)
    before, values = torch.get_rng_state(), one.values.copy()
    how = {**FAST, "n_iterations": 5, "seed": 4}
    first = dsa(one, other, **how)
    assert first.equals(dsa(one, other, **how))
    assert not first.equals(dsa(one, other, **{**how, "seed": 5}))
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(one.values, values)


@pytest.mark.usefixtures("package")
def test_too_few_states_are_nan_with_one_warning():
    tiny = synthetic.random_walk(n_samples=2, n_sites=4, n_units=4)
    with pytest.warns(UndefinedWarning, match="too few states") as caught:
        result = dsa(tiny, tiny, **FAST)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert np.isnan(result["dsa"]).all()
    assert draw_dsa(result)[0].plot().get_xlabel()


@pytest.mark.usefixtures("package")
def test_a_small_recording_gives_no_warning():
    small = synthetic.random_walk(n_samples=12, n_sites=7, n_units=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = dsa(small, small, n_iterations=5)
    assert np.isfinite(result["dsa"]).all()
    assert result.attrs["measure"] == "similarity.dsa"
    assert result.attrs["rank"] == 10
    assert attribute(result, "parameters")["n_delays"] == 2
    (drawing,) = draw_dsa(result)
    assert [row.role for row in drawing.intervals] == ["model", "null", "null", "null"]
    assert drawing.caption
    assert drawing.interpretation
    assert drawing.figure().data


@pytest.mark.usefixtures("package")
def test_what_has_no_rule_of_motion_is_refused():
    recording = synthetic.random_walk(n_samples=5, n_sites=4, n_units=3)
    with pytest.raises(InputError, match="at least 5 sites"):
        dsa(recording, recording, n_delays=4)
    with pytest.raises(InputError, match="n_starts=0"):
        dsa(recording, recording, n_starts=0)
    still = Recording.from_array(np.ones((5, 4, 3)))
    with pytest.raises(InputError, match="all the same"):
        dsa(still, recording)
