import os
import sys
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

sys.path.insert(0, str(Path(__file__).parent))

# A busy machine is no reason to fail, and the same examples are drawn each time;
# `--hypothesis-profile default` draws others.
settings.register_profile(
    "tdyn", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tdyn")

# A test may draw more figures than a user keeps open; they are closed when it ends.
matplotlib.rcParams["figure.max_open_warning"] = 0

LONGEST_FIRST = (
    "tests/report/test_page_in_browser.py",
    "tests/test_experiment.py",
    "tests/claims/test_calibration.py",
    "tests/test_dask.py",
    "tests/test_bench.py",
    "tests/recording/test_endurance.py",
    "tests/recording/test_many_workers.py",
    "tests/model/test_model_flow.py",
    "tests/recording/test_blocks.py",
    "tests/test_registry.py",
    "tests/cli/test_worker_commands.py",
    "tests/model/test_load_model.py",
    "tests/cli/test_main.py",
    "tests/claims/test_claims.py",
    "tests/measures/dimension/test_autoencoder_streaming.py",
    "tests/model/test_sites.py",
    "tests/paper/test_run.py",
    "tests/comparison/test_compare_runs.py",
    "tests/test_degenerate.py",
)
"""Files that take 20 seconds of one core or more, or wait as long, the longest first."""


def pytest_collection_modifyitems(items):
    """Run the longest files first: with one of them last, a process would work on it alone."""
    place = {name: index for index, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: place.get(item.nodeid.split("::")[0], len(place)))


@pytest.fixture(autouse=True)
def _own_draws(request):
    """Start a test module's generator `RNG` anew: no test depends on those before it."""
    if hasattr(request.module, "RNG"):
        request.module.RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _close_figures():
    """Close the figures of a test, so that they take no memory in the next."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A tiny model's folder as save_pretrained writes it."""
    import tiny

    path = tmp_path_factory.mktemp("model") / "tiny-llama"
    tiny.hf_model("llama").save_pretrained(path)
    tiny.tokenizer().save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def text_file(tmp_path_factory):
    """A file with one short text per line."""
    import tiny

    path = tmp_path_factory.mktemp("texts") / "texts.txt"
    path.write_text("\n".join(tiny.words(tiny.token_lists(14))))
    return path


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """Folders of finished runs: `a`, `b` of another depth, and `other` of other texts.

    They are made once for all processes of the tests: the first to come makes them.
    """
    from filelock import FileLock

    import finished

    own = tmp_path_factory.getbasetemp()
    base = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    folder, made = base / "finished-runs", base / "finished-runs-made"
    with FileLock(base / "finished-runs.lock"):
        if not made.exists():
            finished.make_runs(folder)
            made.touch()
    return folder


@pytest.fixture(scope="module")
def driver():
    """A real browser of a test module's own."""
    import browsing

    opened = browsing.open_browser()
    yield opened
    opened.quit()


@pytest.fixture
def tdyn(monkeypatch, capsys):
    """The command, run in this process: exit status, standard output, standard error."""
    from transformer_dynamics.cli import main as cli

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["tdyn", *map(str, words)])
        status = 0
        try:
            cli.main()
        except SystemExit as end:
            status = end.code or 0
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run
