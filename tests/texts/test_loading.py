import hashlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_dynamics.errors import TdynError, TextsError
from transformer_dynamics.texts import TextOptions, Texts, load_texts, text_arguments, wikipedia
from transformer_dynamics.texts.wikipedia import Paragraph

THREE = ["one", "two, too", "three\nlines"]


def write(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.fixture
def counted(tmp_path):
    """Texts of 1 to 20 characters, one of each length, not in order of length."""
    lengths = np.random.default_rng(0).permutation(np.arange(1, 21))
    return write(tmp_path, "counted.txt", "\n".join("x" * length for length in lengths))


@pytest.fixture
def corpus(monkeypatch):
    """Stands for the bundled sample: texts of 50, 100, 500 and 501 characters."""
    lengths = (50, 100, 500, 501)
    paragraphs = tuple(Paragraph("A", "x" * length) for length in lengths)
    asked = []
    monkeypatch.setattr(wikipedia, "sample", lambda *, offline: asked.append(offline) or paragraphs)
    return asked


# Texts


def test_texts_are_a_sequence_of_strings():
    texts = Texts(("a", "b", "c"), "here", {"available": 9})
    assert isinstance(texts, Sequence)
    assert (len(texts), texts[0], texts[-1], texts[1:]) == (3, "a", "c", ("b", "c"))
    assert list(texts) == ["a", "b", "c"]
    assert "b" in texts
    assert repr(texts) == "Texts(3 of 9 from 'here')"


def test_texts_are_frozen_equal_by_value_and_hashable():
    texts = Texts(("a",), "here", {"n": 1})
    assert texts == Texts(("a",), "here", {"n": 1})
    assert hash(texts) == hash(Texts(("a",), "here", {"n": 1}))
    with pytest.raises(AttributeError):
        texts.source = "there"


def test_the_hash_is_over_lengths_and_bytes():
    expected = hashlib.sha256(
        b"\x01\0\0\0\0\0\0\0a" + b"\x02\0\0\0\0\0\0\0\xc3\xa9" + b"\0\0\0\0\0\0\0\0"
    )
    assert Texts(("a", "é", ""), "", {}).sha256 == expected.hexdigest()


def test_the_hash_survives_a_lone_surrogate():
    assert Texts(("\ud800",), "", {}).sha256 != Texts(("\ud801",), "", {}).sha256


@given(st.lists(st.text(st.characters(), max_size=3)), st.lists(st.text(st.characters())))
def test_the_hash_tells_texts_apart_however_they_are_cut(first, second):
    same = Texts(tuple(first), "", {}).sha256 == Texts(tuple(second), "", {}).sha256
    assert same == (first == second)


def test_the_hash_does_not_depend_on_source_or_selection():
    assert Texts(("a",), "x", {}).sha256 == Texts(("a",), "y", {"n": 1}).sha256


# Files


def test_txt_has_a_text_per_non_blank_line(tmp_path):
    path = write(tmp_path, "t.txt", "\ufeff one \n\n  \r\ntwo\u2028too\nthré")
    assert list(load_texts(path)) == ["one", "two\u2028too", "thré"]


def test_jsonl_has_objects_or_strings(tmp_path):
    lines = ['{"text": " one ", "id": 1}', "", '"two"', '{"text": null}', '{"text": ""}']
    assert list(load_texts(write(tmp_path, "t.jsonl", "\n".join(lines)))) == ["one", "two"]


def test_csv_may_quote_commas_and_lines(tmp_path):
    path = tmp_path / "t.csv"
    pd.DataFrame({"id": [1, 2, 3], "text": THREE}).to_csv(path, index=False)
    assert list(load_texts(path)) == THREE


def test_a_short_csv_row_is_a_blank_text(tmp_path):
    assert list(load_texts(write(tmp_path, "t.csv", "id,text\n1,one\n2\n"))) == ["one"]


def test_parquet_has_a_column(tmp_path):
    path = tmp_path / "t.parquet"
    pd.DataFrame({"id": [1, 2, 3, 4], "text": [*THREE, None]}).to_parquet(path)
    assert list(load_texts(path)) == THREE


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_column_may_have_another_name(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    frame = pd.DataFrame({"text": ["not me"] * 3, "sentence": THREE})
    if suffix == "jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        getattr(frame, f"to_{suffix}")(path)
    assert list(load_texts(path, column="sentence")) == THREE


def test_a_path_may_be_a_string_and_its_extension_upper_case(tmp_path):
    texts = load_texts(str(write(tmp_path, "t.TXT", "one")))
    assert texts.strings == ("one",)
    assert texts.source == str(tmp_path / "t.TXT")


@given(st.lists(st.text(), min_size=1).filter(lambda texts: any(map(str.strip, texts))))
def test_jsonl_brings_back_every_text(texts):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "t.jsonl")
        path.write_text("\n".join(map(json.dumps, texts)), encoding="utf-8")
        expected = [text.strip() for text in texts if text.strip()]
        assert list(load_texts(path)) == expected


@given(st.integers(0, 25), st.integers(1, 25), st.integers(1, 20), st.integers(0, 5), st.data())
def test_what_is_loaded_lies_within_the_bounds_in_order(lower, upper, n, seed, data):
    lengths = data.draw(st.lists(st.integers(1, 20), min_size=1))
    within = [length for length in lengths if lower <= length <= upper]
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), "t.txt", "\n".join("x" * length for length in lengths))
        options = {"min_chars": lower, "max_chars": upper, "seed": seed}
        if n > len(within):
            with pytest.raises(TextsError):
                load_texts(path, n, **text_arguments(options))
            return
        assert [len(text) for text in load_texts(path, **text_arguments(options))] == within
        texts = load_texts(path, n, **text_arguments(options))
    remaining = iter(within)
    assert len(texts) == n
    assert all(len(text) in remaining for text in texts)
    chosen = {**options, "n": n, "available": len(within), "cut": "none", "group": None}
    assert texts.selection == chosen


# Selection


def test_a_sample_is_without_replacement_in_source_order(counted):
    everything = list(load_texts(counted))
    texts = load_texts(counted, 10, seed=3)
    places = [everything.index(text) for text in texts]
    assert places == sorted(set(places))
    assert len(places) == 10


def test_a_sample_depends_on_the_seed_alone(counted):
    assert load_texts(counted, 10, seed=3) == load_texts(counted, 10, seed=3)
    assert load_texts(counted, 10, seed=3).strings != load_texts(counted, 10, seed=4).strings


def test_every_text_is_as_likely_as_another(counted):
    drawn = [len(text) for seed in range(400) for text in load_texts(counted, 5, seed=seed)]
    counts = np.bincount(drawn, minlength=21)[1:]
    assert abs(counts - 100).max() < 4 * np.sqrt(100 * 0.75)


def test_all_of_a_source_is_its_sample_of_full_size(counted):
    assert load_texts(counted, 20).strings == load_texts(counted).strings


def test_the_users_files_have_no_bounds_by_default(counted):
    assert load_texts(counted).selection == {
        "min_chars": None,
        "max_chars": None,
        "n": None,
        "seed": 0,
        "available": 20,
        "cut": "none",
        "group": None,
    }


def test_the_corpora_have_the_bounds_of_the_paper_by_default(corpus):
    texts = load_texts()
    assert [len(text) for text in texts] == [100, 500]
    assert texts.source == "wikipedia-sample"
    assert (texts.selection["min_chars"], texts.selection["max_chars"]) == (100, 500)


def test_a_named_bound_replaces_the_default_one(corpus):
    assert [len(text) for text in load_texts(options=TextOptions(min_chars=0))] == [50, 100, 500]
    assert [len(text) for text in load_texts(options=TextOptions(max_chars=1000))] == [
        100,
        500,
        501,
    ]


def test_offline_reaches_the_bundled_sample(corpus):
    load_texts()
    load_texts(options=TextOptions(offline=True))
    assert corpus == [False, True]


@pytest.mark.bundled
def test_the_bundled_sample_gives_the_thousand_texts_of_the_main_experiment():
    texts = load_texts(n=1000, cut="none")
    assert len(set(texts)) == 1000
    assert all(100 <= len(text) <= 500 for text in texts)
    assert texts.sha256 == load_texts(n=1000, cut="none", options=TextOptions(offline=True)).sha256


# Errors: what came, what is allowed, the call that works

BAD_ARGUMENTS = [
    ({"n": 0}, ["n=0", "a whole number from 1 up", "load_texts(source, n=100)"]),
    ({"n": -3}, ["n=-3", "n=None for all texts"]),
    ({"n": 2.5}, ["n=2.5"]),
    ({"n": True}, ["n=True"]),
    ({"n": 10**5000}, ["n=a number of more than 63 bits"]),
    ({"seed": False}, ["seed=False"]),
    ({"seed": np.True_}, ["seed=np.True_"]),
    ({"min_chars": True}, ["min_chars=True"]),
    ({"max_chars": -(2**70)}, ["max_chars=a number of more than 63 bits"]),
    ({"max_chars": np.float64(5)}, ["max_chars=np.float64(5.0)"]),
    ({"column": 3}, ["column=3 of type int", "column='text'"]),
    ({"offline": "no"}, ["offline='no'", "True or False"]),
    ({"revision": 3}, ["revision=3", "revision='main'"]),
    ({"revision": "main"}, ["belongs to a dataset of the hub", "t.txt", "hf://OWNER/NAME"]),
    ({"n": 4}, ["n=4", "which has 3", "n=3)"]),
    ({"seed": -1}, ["seed=-1", "a whole number from 0 up", "seed=0"]),
    ({"seed": None}, ["seed=None"]),
    ({"min_chars": -1}, ["min_chars=-1", "from 0 up", "min_chars=100"]),
    ({"max_chars": 0}, ["max_chars=0", "from 1 up", "max_chars=500"]),
    ({"min_chars": "9"}, ["min_chars='9'"]),
    (
        {"min_chars": 9, "max_chars": 5},
        ["min_chars=9 is more than max_chars=5", "min_chars=5, max_chars=9"],
    ),
    (
        {"min_chars": 7},
        ["none of the 3 texts", "at least 7 characters", "3 to 5", "min_chars=3, max_chars=5"],
    ),
    ({"max_chars": 2}, ["at most 2 characters"]),
    ({"min_chars": 6, "max_chars": 7}, ["has at least 6 and at most 7 characters"]),
]


@pytest.mark.parametrize(("options", "parts"), BAD_ARGUMENTS)
def test_bad_arguments_are_named_with_the_call_that_works(tmp_path, options, parts):
    path = write(tmp_path, "t.txt", "one\ntwo\nthree")
    with pytest.raises(TextsError) as error:
        load_texts(path, **text_arguments(options))
    assert [part for part in parts if part not in str(error.value)] == []


def test_numpy_integers_are_whole_numbers(tmp_path):
    path = write(tmp_path, "t.txt", "one\ntwo")
    bounds = {"min_chars": np.int8(3), "max_chars": np.uint64(9)}
    texts = load_texts(path, np.int64(1), seed=np.uint8(3), options=TextOptions(**bounds))
    assert texts == load_texts(path, 1, seed=3, options=TextOptions(min_chars=3, max_chars=9))
    numbers = [texts.selection[name] for name in ("n", "seed", "min_chars", "max_chars")]
    assert {type(value) for value in numbers} == {int}


def test_a_bound_beyond_the_default_one_is_named(corpus):
    with pytest.raises(TextsError, match="min_chars=900 is more than max_chars=500"):
        load_texts(options=TextOptions(min_chars=900))


DEEP = "[" * 100_000
BAD_FILES = [
    ("empty.txt", "", ["holds no text", "load_texts("]),
    ("blank.txt", " \n\n", ["holds no text"]),
    ("empty.jsonl", "", ["holds no text"]),
    ("empty.csv", "", ["holds no text"]),
    ("head.csv", "text\n", ["holds no text"]),
    ("t.docx", "one", ["unknown extension '.docx'", "'wikipedia-sample'", ".jsonl", "hf://"]),
    ("bare", "one", ["unknown extension ''"]),
    (
        "latin.txt",
        "one\ncaf\xe9".encode("latin1"),
        ["not UTF-8", "0xe9", "line 2", "iconv -f cp1252"],
    ),
    ("latin.jsonl", b'"caf\xe9"', ["not UTF-8"]),
    ("latin.csv", b"text\ncaf\xe9\n", ["not UTF-8"]),
    ("t.jsonl", '"one"\n{"text": ', ["t.jsonl, line 2 is not valid JSON", '{"text": "..."}']),
    ("deep.jsonl", DEEP, ["line 1 is not valid JSON"]),
    ("huge.jsonl", "9" * 5000, ["line 1 is not valid JSON"]),
    ("t.jsonl", '"one"\n{"a": "b"}', ["line 2 has no column 'text'", "'a'", "column='a'"]),
    ("t.jsonl", "{}", ["has no column 'text'; it has none"]),
    ("t.jsonl", '"one"\n\n7', ["line 3 holds 7 of type int; allowed is text"]),
    ("t.jsonl", '{"text": ["one"]}', ["of type list", "column="]),
    ("t.csv", "id,words\n1,one\n", ["t.csv has no column 'text'", "'id', 'words'"]),
    ("t.csv", 'text\n"one\n', ["is not valid CSV near line 2", 'a quote within is ""']),
    ("t.parquet", b"not parquet at all", ["is not valid Parquet", "to_parquet"]),
]


@pytest.mark.parametrize(("name", "content", "parts"), BAD_FILES)
def test_bad_files_are_named_with_what_works(tmp_path, name, content, parts):
    path = write(tmp_path, name, content)
    with pytest.raises(TextsError) as error:
        load_texts(path)
    message = str(error.value)
    assert [part for part in [name, *parts] if part not in message] == []


@pytest.mark.parametrize(
    ("values", "part"),
    [
        ({"words": ["one"]}, "has no column 'text'; it has 'words'"),
        ({"text": [7]}, "row 0 holds 7"),
    ],
)
def test_bad_parquet_columns_are_named(tmp_path, values, part):
    path = tmp_path / "t.parquet"
    pd.DataFrame(values).to_parquet(path)
    with pytest.raises(TextsError, match=part):
        load_texts(path)


def test_a_missing_file_is_named_with_what_is_allowed(tmp_path):
    with pytest.raises(TextsError) as error:
        load_texts(tmp_path / "gone.txt")
    message = str(error.value)
    assert "gone.txt' is neither a bundled corpus nor a file that exists" in message
    assert "'wikipedia-sample', a path to a .txt, .csv, .tsv, .json, .jsonl, .ndjson (or" in message
    assert "load_texts('texts.txt')" in message


def test_a_misspelt_corpus_is_named():
    with pytest.raises(TextsError, match="'wikipedia' is neither a bundled corpus nor a file"):
        load_texts("wikipedia")


def test_a_folder_is_named(tmp_path):
    with pytest.raises(TextsError, match="is a folder; allowed is"):
        load_texts(tmp_path)


def test_a_list_of_strings_needs_no_loading():
    with pytest.raises(TextsError, match=r"'one' is neither.*record\(model, strings\)"):
        load_texts(["one", "two"])


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, "t.txt", "one")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(TextsError, match=r"t\.txt cannot be read: .*Permission denied"):
        load_texts(path)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    path = write(tmp_path, "t.parquet", "")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(TextsError, match=r'pip install "transformer-dynamics\[parquet\]"'):
        load_texts(path)


def test_a_texts_error_is_for_the_user_and_a_value_error():
    assert issubclass(TextsError, TdynError)
    assert issubclass(TextsError, ValueError)


def test_importing_loads_none_of_the_optional_packages():
    code = (
        "import sys, transformer_dynamics.texts; "
        "print([name for name in ('pandas', 'pyarrow', 'datasets', 'mwparserfromhell', "
        "'torch', 'huggingface_hub') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
