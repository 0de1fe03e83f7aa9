"""`make bench`: the table has its rows, and both sides of each row computed the same numbers."""

import os
import runpy
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[1] / "benchmarks" / "bench.py"
ROWS = (
    "units.correlation",
    "units.density",
    "units.mutual_information (copula)",
    "orbits.rotation_counts (mean and every trace)",
    "paths.kinematics",
    "paths.path_geometry",
    "dimension.pca",
    "units.rotation_count (mean traces alone)",
    "bare forward pass, no head, no hooks",
    "hooks alone: states in memory (goal: at most 1.03)",
    "td.record, tokens to a closed store (goal: at most 1.10)",
    "bare forward pass of fewer texts",
    "hooks alone, of fewer texts",
    "output_hidden_states, no head",
    "output_hidden_states, whole model",
    "batches of 16 as given, padded, mask",
    "TransformerLens bridge, cache of the stream",
    "nnsight, layers' inputs and last output",
    "4 x 4 states at 5 layers, to the end",
    "32 states over 50 tokens of context",
    "3 layers' Jacobians of 32 units",
)
REFERENCES = (
    "hooks alone: states in memory (goal: at most 1.03)",
    "output_hidden_states, no head",
    "32 states over 50 tokens of context",
)
PEERS = {"TransformerLens": "transformer_lens", "nnsight": "nnsight"}


@pytest.fixture(scope="module")
def printed():
    command = [sys.executable, BENCH, "--quick", "--rounds", "2", "--texts", "20"]
    # Threads that wait for each other on busy cores would take most of the time of a tiny model.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env=environment
    ).stdout


@pytest.fixture
def bench(monkeypatch, capsys):
    """The script, run in this process, which has imported the libraries: its output."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", [str(BENCH), *words])
        monkeypatch.syspath_prepend(str(BENCH.parent))
        runpy.run_path(str(BENCH), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def table(printed):
    """The cells of each row, by its name."""
    whole = printed.split("What grows")[0]
    return {name: cells for name, *cells in rows_of(whole)}


def rows_of(text):
    lines = [line.strip("│ ").split("│") for line in text.splitlines() if line[:1] == "│"]
    return [[cell.strip() for cell in cells] for cells in lines]


def test_every_row_is_there(table):
    installed = [
        row
        for row in ROWS
        if all(find_spec(package) or not row.startswith(peer) for peer, package in PEERS.items())
    ]
    assert list(table) == installed
    assert table["bare forward pass, no head, no hooks"][0] == "1.000"
    for ratio, lowest_highest, seconds, baseline_seconds, *_ in table.values():
        lowest, highest = map(float, lowest_highest.split())
        assert 0 < lowest <= float(ratio) <= highest
        assert float(seconds) > 0
        assert float(baseline_seconds) > 0


def test_both_sides_compute_the_same(table):
    differences = {name: cells[-1] for name, cells in table.items()}
    for reference in REFERENCES:
        assert differences.pop(reference) == "the reference"
    for name, difference in differences.items():
        assert 0 <= float(difference) < 1e-5, name


def test_the_baseline_says_what_it_was_measured_on(table):
    assert table["units.correlation"][-2] == "2 of 24 units"
    assert table["paths.kinematics"][-2] == "6 of 60 samples"
    assert table["dimension.pca"][-2] == "all"


def test_the_first_line_is_the_machine_and_the_last_ones_totals(printed):
    first, *_, total, memory = printed.strip().splitlines()
    assert "load average" in first
    assert "medians of 2 interleaved rounds" in first
    assert total.startswith("The 7 measures together: ")
    assert "Peak memory while a process advances 32 states" in memory
    assert float(memory.split("ratio ")[1].split()[0]) == pytest.approx(1, abs=0.1)


def test_what_grows_is_shown_one_at_a_time(printed):
    rows = rows_of(printed.split("What grows")[1].split("Workers:")[0])
    assert [row[0] for row in rows] == [
        name for name in ("units", "layers", "tokens", "states") for _ in range(2)
    ]
    assert all(float(row[2]) > 0 and float(row[4]) > 0 for row in rows)


def test_workers_stand_beside_one_process(printed):
    title, table = printed.split("Workers:")[1].split("\n", 1)
    assert title.split()[1:] == ["tokens", "in", "1", "shards"]
    baseline, one, two, coordination = rows_of(table)
    assert baseline[0] == "1 process, 2 threads"
    assert baseline[3] == "1.000 (1.000 1.000)"
    for row in (baseline, one, two):
        assert float(row[1]) > 0
        assert float(row[2]) > 0
    assert coordination[0].startswith("coordination of a shard, ")
    assert float(coordination[2]) > 0


def test_every_stage_of_a_run_stands_beside_the_bare_pass(bench):
    printed = bench("--quick", "--only", "run", "--texts", "12")
    bare, *stages = rows_of(printed)
    assert bare[0].startswith("T0: bare forward pass")
    assert (bare[2], bare[6]) == ("1.00", "1.00")
    assert [stage[0] for stage in stages] == [
        *("record", "measure", "report", "shuffled_tokens", "untrained", "claims", "report"),
        *("measure", "similarity.between_recordings", "report"),
        *("perturbation.flow_field", "report"),
    ]
    ends = [float(stage[3]) for stage in stages]
    assert ends == sorted(ends)
    recorded, measured = stages[0], stages[1]
    # The same batches in both; recording proves its sites again on a few tokens.
    assert 0 < float(bare[5]) <= float(recorded[5]) < 1.1 * float(bare[5])
    assert float(measured[5]) == 0
    assert measured[6:] == []
    totals = printed.split("The whole run: ")[1]
    assert "peak memory" in totals
    assert len(totals.split("Pages after ")[1].split(" T0")[0].split(", ")) == 4


def test_a_section_alone(bench):
    printed = bench("--quick", "--rounds", "1", "--only", "measures")
    assert "units.correlation" in printed
    assert "bare forward pass" not in printed


@pytest.mark.browser
def test_the_page_is_measured_in_a_browser(bench):
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        if os.environ.get("TDYN_REQUIRE_BROWSER"):
            pytest.fail("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    printed = bench("--quick", "--rounds", "1", "--only", "page")
    assert "synthetic, 40 texts, 9 sites, 32 units" in printed
    assert "units.correlation" not in printed
