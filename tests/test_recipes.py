"""The recipes of the documentation, run on a tiny model: each at most three lines of Python."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import transformers
import xarray as xr

import tiny
import transformer_dynamics as td
from transformer_dynamics.registry import MEASURES
from transformer_dynamics.storage.files import write_json

PAGE = Path(__file__).parents[1] / "docs" / "recipes.md"
SECTION = re.compile(
    r"^## (.+?)$.*?^```\{code-cell\} python3\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
RECIPES = dict(SECTION.findall(PAGE.read_text(encoding="utf-8")))
CLAIMS = td.ClaimOptions(n_null=19, n_bootstrap=99)


@pytest.fixture(scope="module")
def names(tmp_path_factory):
    """The names that the page's hidden cell defines, with a tiny model of twelve layers."""
    folder = tmp_path_factory.mktemp("recipes")
    config = tiny.config("gpt2")
    config.n_layer = 12
    transformers.AutoModelForCausalLM.from_config(config).save_pretrained(folder / "gpt2")
    tiny.tokenizer().save_pretrained(folder / "gpt2")
    words = tiny.words(tiny.token_lists(30))
    (folder / "my.txt").write_text("\n".join(words), encoding="utf-8")
    for run, seed in (("a", 0), ("b", 1)):
        walk = td.synthetic.random_walk(n_samples=20, n_sites=12, n_units=8, seed=seed)
        verdicts = td.evaluate_claims(walk, claims=["C2", "C4"], options=CLAIMS)
        (folder / "runs" / run).mkdir(parents=True)
        write_json(
            folder / "runs" / run / "claims.json", [verdict.as_json() for verdict in verdicts]
        )
    arrays = {"0.pre_attn": np.ones((4, 5, 8)), "1.pre_attn": np.full((4, 5, 8), 2.0)}
    model = td.load_model(folder / "gpt2")
    return folder, {
        "td": td, "np": np, "xr": xr, "arrays": arrays, "model": model, "my_model": folder / "gpt2"
    }  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _forget_the_measure():
    yield
    if "mine.largest" in MEASURES.all():
        MEASURES.remove("mine.largest")


def test_there_are_eleven_of_at_most_three_lines():
    assert len(RECIPES) == 11
    assert all(len(code.strip().splitlines()) <= 3 for code in RECIPES.values())


@pytest.mark.filterwarnings("ignore::transformer_dynamics.errors.UndefinedWarning")
def test_they_run_in_the_order_of_the_page(names, monkeypatch):
    folder, namespace = names
    monkeypatch.chdir(folder)
    for title, code in RECIPES.items():
        try:
            exec(code, namespace)
        except Exception as error:
            raise AssertionError(f"recipe {title!r} fails") from error
    assert namespace["followed"].sizes["site"] >= 5
    assert namespace["compared"].to_dataset().sizes["run"] == 2
    assert namespace["eigenvalues"].shape == (namespace["jacobian"].shape[0],)
    assert namespace["mine"].shape == (4, 2, 8)
    selected = namespace["recording"].sel(unit=[1, 2], text=3)
    assert selected.shape[2] == 2
    assert set(selected.dataset["text"].values) == {3}
    assert isinstance(namespace["verdicts"].to_dataframe(), pd.DataFrame)
    assert "C2" in (folder / "report.html").read_text(encoding="utf-8")
    assert list(td.compare_claims("runs/a", "runs/b").to_dataframe()["claim"]) == ["C2", "C4"]
