"""The page of cost curves: exponents, flat memory, and points that were given up."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parents[1] / "benchmarks" / "cost_curves.py"


@pytest.fixture(scope="module")
def curves():
    spec = importlib.util.spec_from_file_location("cost_curves", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("power", [0.0, 1.0, 2.5])
def test_an_exponent_is_that_of_the_larger_sizes(curves, power):
    costs = {size: size**power for size in (64, 128, 256, 512)}
    assert curves.exponent(costs) == pytest.approx(power)
    assert curves.exponent({**costs, 64: 1e6}) == pytest.approx(power)
    assert curves.exponent({64: 1.0}) is None


def test_growth_is_the_share_of_the_added_states_that_is_held(curves):
    sizes = {"n_units": 25, "n_sites": 10}  # a sample takes 1 kB
    assert curves.growth({100: 5e6, 800: 5e6}, **sizes) == 0
    assert curves.growth({100: 100e3, 800: 800e3}, **sizes) == pytest.approx(1)
    # Memory that stops growing is flat, whatever it took before.
    assert curves.growth({100: 5e6, 400: 60e6, 800: 60e6}, **sizes) == 0


def test_the_page_shows_exponents_and_what_was_given_up(curves):
    def point(seconds, mib):
        return {"cpu": seconds, "wall": seconds, "bytes": mib * 2**20 + 10**6, "result": 10**6}

    factors = {
        factor: {size: point(size / sizes[0], 10 * size / sizes[0]) for size in sizes}
        for factor, sizes in curves.SIZES.items()
    }
    factors["units"][max(curves.SIZES["units"])] = {}
    text = curves.page({"paths.kinematics": factors})
    time, memory = (line for line in text.splitlines() if line.startswith("| `paths"))
    assert time == "| `paths.kinematics` | 1 s | 8 s | 1.0 | 1.0 (to 1024) | 1.0 |"
    # 40 MiB of memory for 4096 more samples of 32 units at 13 sites in float32.
    share = 40 * 2**20 / (4096 * 32 * 13 * 4)
    assert (
        memory
        == f"| `paths.kinematics` | 10.0 MiB | 80.0 MiB | {share:.2f} | 1.0 | 1.0 (to 1024) | 1.0 |"
    )


def test_claims_in_blocks_are_measured_on_recordings_above_the_limit_of_memory(curves):
    (factor,) = curves._factors(curves.IN_BLOCKS)
    for size in curves.SIZES[factor]:
        sizes = curves._sizes(factor, size)
        one_site = 4 * sizes["samples"] * sizes["units"]
        assert one_site < curves.MEMORY_LIMIT < one_site * sizes["sites"]


def test_every_measure_has_its_curves(curves):
    from transformer_dynamics.registry import MEASURES

    assert set(MEASURES.all()) < set(curves.task_names())
