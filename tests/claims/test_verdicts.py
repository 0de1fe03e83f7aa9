"""Verdicts as a sequence and as tables, and two runs compared claim by claim."""

import html
import sys

import pytest
import xarray as xr

from transformer_dynamics.claims import (
    ClaimOptions,
    Verdict,
    Verdicts,
    compare_claims,
    evaluate_claims,
)
from transformer_dynamics.claims.verdict import NullComparison
from transformer_dynamics.errors import InputError, TdynError
from transformer_dynamics.storage.files import write_json
from transformer_dynamics.synthetic import line


def made(claim="C1", value=1.0, verdict="supported", nulls=("random_walk", "untrained")):
    comparisons = {
        name: NullComparison(0.1, 0.2, 0.01 * (index + 1), 3.0, decides=index == 0)
        for index, name in enumerate(nulls)
    }
    interval = (value - 0.5, value + 0.5)
    return Verdict(
        claim, "a <b> & c", "number (1)", value, interval, comparisons, verdict, "So.", xr.Dataset()
    )


@pytest.fixture
def verdicts():
    return Verdicts([made(), made("C2", 2.0, "undecided", nulls=())])


def test_a_sequence_by_position_and_by_id(verdicts):
    assert len(verdicts) == 2
    assert [verdict.id for verdict in verdicts] == ["C1", "C2"]
    assert verdicts[1] is verdicts["C2"] is verdicts[-1]
    assert isinstance(verdicts[:1], Verdicts)
    with pytest.raises(KeyError, match="no verdict on the claim 'C9'; there are: C1, C2"):
        verdicts["C9"]
    with pytest.raises(IndexError):
        verdicts[2]


def test_a_row_for_each_claim_and_null(verdicts):
    frame = verdicts.to_dataframe()
    assert list(frame.columns) == [
        *("claim", "statement", "value", "low", "high", "verdict"),
        *("null", "decides", "mean", "sd", "p", "effect"),
    ]
    assert frame["claim"].tolist() == ["C1", "C1", "C2"]
    assert frame["null"].tolist()[:2] == ["random_walk", "untrained"]
    assert frame["decides"].tolist()[:2] == [True, False]
    assert frame["p"].tolist()[:2] == [0.01, 0.02]
    assert frame[["low", "high"]].values[2].tolist() == [1.5, 2.5]
    assert frame["null"].isna().tolist() == [False, False, True]


def test_tables_are_text_and_escaped_html(verdicts):
    shown = verdicts._repr_html_()
    assert shown.startswith('<iframe title="Verdicts" sandbox="" ')
    page = html.unescape(shown.split('srcdoc="')[1].removesuffix('"></iframe>'))
    assert "a &lt;b&gt; &amp; c" in page
    assert "<b>" not in page
    assert page.count("<tr>") == 3
    lines = repr(verdicts).splitlines()
    assert lines[0] == "2 verdicts"
    assert lines[2].split() == ["C1", "1", "[0.5,", "1.5]", "0.01", "supported"]
    assert repr(Verdicts()) == "0 verdicts"


def test_a_missing_pandas_names_the_extra(verdicts, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(TdynError, match=r"extra \[parquet\]"):
        verdicts.to_dataframe()


def test_runs_are_compared_on_the_claims_that_both_tested(verdicts, tmp_path):
    other = Verdicts([made("C2", 3.0, "supported"), made("C3"), made("C1", 0.9)])
    write_json(tmp_path / "claims.json", [verdict.as_json() for verdict in other])
    for second in (other, tmp_path, str(tmp_path)):
        compared = compare_claims(verdicts, second)
        assert [pair.a.id for pair in compared] == ["C1", "C2"]
        assert [pair.changed for pair in compared] == [False, True]
        assert compared.only_a == ()
        assert compared.only_b == ("C3",)
        frame = compared.to_dataframe()
        assert frame["value_b"].tolist() == [0.9, 3.0]
        assert frame["low_b"].tolist() == [0.4, 2.5]
        assert frame["verdict_a"].tolist() == ["supported", "undecided"]
        assert frame["changed"].tolist() == [False, True]
        assert "2 claims, 1 with another verdict" in repr(compared)
        assert "tested in b only: C3" in repr(compared)
        assert compared._repr_html_().count("<tr>") == 3


def test_runs_that_cannot_be_compared_are_refused(verdicts, tmp_path):
    with pytest.raises(InputError, match=r"there is no .*claims\.json; name the folder"):
        compare_claims(verdicts, tmp_path)
    with pytest.raises(InputError, match="the first run tested C1, C2, and the second C9"):
        compare_claims(verdicts, Verdicts([made("C9")]))
    with pytest.raises(InputError, match="got a run of type list"):
        compare_claims([made()], verdicts)


def test_options_are_options():
    with pytest.raises(InputError, match="of type dict; numbers of draws are given as"):
        evaluate_claims(line(), options={"n_null": 19})
    assert ClaimOptions().draws(18) == 359
    assert ClaimOptions(n_null=7).draws(18) == 7
