"""The command `tdyn compare`: its page, its JSON file, its table and its errors."""

import json

import transformer_dynamics as td


def test_compare_writes_page_and_json(tdyn, runs, tmp_path):
    out = tmp_path / "made" / "page.html"
    given = [runs / "a", runs / "b", runs / "other"]
    status, text, error = tdyn("compare", *given, "--out", out, "--bootstrap", 9)
    assert status == 0, error
    # CKA and Procrustes distance of the pair with the same texts, in four quarters of depth.
    assert text.count("±") == 8
    assert "no similarity with tiny-llama (other): the texts of tiny-llama (a)" in error
    found = json.loads((tmp_path / "made" / "page.json").read_text())
    expected = td.compare_runs(given, n_bootstrap=9).to_dataset()
    assert [claim["id"] for claim in found["claims"]] == expected["claim"].values.tolist()
    assert found["claims"][0]["differences"][0]["value"] == float(expected["difference"][1, 0])
    assert sorted(path.name for path in out.parent.iterdir()) == ["page.html", "page.json"]


def test_compare_prints_json_lines(tdyn, runs, tmp_path):
    out = tmp_path / "page.html"
    _, text, _ = tdyn("compare", runs / "a", runs / "b", "--out", out, "--bootstrap", 9, "--json")
    last = json.loads(text.splitlines()[-1])
    assert last["event"] == "result"
    assert last["runs"] == ["tiny-llama", "tiny-5"]
    assert last["paths"] == {"report": str(out), "json": str(out.with_suffix(".json"))}
    assert {claim["id"] for claim in last["claims"]} == {"C1", "C2", "C3", "C4", "C11"}


def test_what_cannot_be_compared_is_one_error(tdyn, runs, tmp_path):
    status, _, error = tdyn("compare", runs / "a", tmp_path / "none", "--out", tmp_path / "a.html")
    assert status == 1
    assert error.count("error:") == 1
    assert "tdyn compare runs/a runs/b" in error
    status, _, error = tdyn("compare", runs / "a", "--out", tmp_path / "a.html")
    assert status == 1
    assert "got 1 run to compare" in error
    assert not (tmp_path / "a.html").exists()
