"""The page of cost curves: exponents, flat memory, and points that were given up."""

import argparse
import importlib.util
import os
import signal
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
    text = curves.page({"paths.kinematics": factors}, limit=7)
    assert "took more\nthan 7 seconds and were given up" in text
    time, memory = (line for line in text.splitlines() if line.startswith("| `paths"))
    assert time == "| `paths.kinematics` | 1 s | 8 s | 1.0 | 1.0 (to 1024) | 1.0 |"
    # 40 MiB of memory for 8192 more samples of 32 units at 13 sites in float32.
    share = 40 * 2**20 / (8192 * 32 * 13 * 4)
    assert (
        memory
        == f"| `paths.kinematics` | 10.0 MiB | 80.0 MiB | {share:.2f} | 1.0 | 1.0 (to 1024) | 1.0 |"
    )


def test_every_measure_has_its_curves(curves):
    from transformer_dynamics.registry import MEASURES

    assert set(MEASURES.all()) < set(curves.task_names())


@pytest.fixture
def options(tmp_path):
    return argparse.Namespace(folder=tmp_path, limit=40)


def stored(options):
    return {file.name: file.read_text() for file in options.folder.iterdir()}


def test_an_interrupted_call_goes_on_where_it_stopped(curves, options, monkeypatch):
    asked = []

    def interrupted(task, sizes, options):
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(sizes["samples"])
        return {"cpu": 1.0}

    monkeypatch.setattr(curves, "_in_child", interrupted)
    with pytest.raises(KeyboardInterrupt):
        curves._measure_factor("units.density", "samples", options)
    assert len(stored(options)) == 2
    monkeypatch.setattr(
        curves, "_in_child", lambda task, sizes, options: asked.append(sizes["samples"]) or {}
    )
    curves._measure_factor("units.density", "samples", options)
    assert asked == list(curves.SIZES["samples"][:3])  # the third was given up, and so the fourth
    assert sorted(stored(options).values()) == ['{"cpu": 1.0}'] * 2 + ["{}"] * 2


def test_a_point_that_failed_is_measured_again_and_one_that_took_too_long_is_not(
    curves, options, monkeypatch, capfd
):
    def failing(task, sizes):
        raise ValueError("no such states")

    def too_long(task, sizes):
        os.kill(os.getpid(), signal.SIGXCPU)

    monkeypatch.setattr(curves, "_measured", failing)
    curves._measure_factor("units.density", "samples", options)
    assert not stored(options)
    assert "ValueError: no such states" in capfd.readouterr().err
    monkeypatch.setattr(curves, "_measured", too_long)
    curves._measure_factor("units.density", "samples", options)
    assert list(stored(options).values()) == ["{}"] * 4
