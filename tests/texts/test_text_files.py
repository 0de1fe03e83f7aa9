"""Files of texts: every kind that is read, on values; what is broken or foreign is refused."""

import csv
import gzip
import json
import os
import pickle
import string
import tempfile
import threading
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from transformer_dynamics.errors import TdynError, TextsError
from transformer_dynamics.texts import load_texts, text_arguments

TEXTS = ["one", "two, too; with\ttab | bar", 'three "quoted"\nlines', "vier — fünf"]
POINTER = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d" * 32 + b"\nsize 12345\n"
)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(name, content):
    path = Path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def refusal(source, **options):
    with pytest.raises(TextsError) as error:
        load_texts(source, **text_arguments(options))
    return str(error.value)


# Delimited tables


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("columns", [["text"], ["id", "text"], ["text", "a", "b c"]])
def test_the_delimiter_of_a_csv_file_is_found(delimiter, columns):
    frame = pd.DataFrame({name: TEXTS if name == "text" else range(4) for name in columns})
    # A table of one column has no delimiter; its fields are quoted as a comma needs it.
    frame.to_csv("t.csv", index=False, sep="," if len(columns) == 1 else delimiter)
    assert list(load_texts("t.csv")) == TEXTS


def test_tsv_is_separated_by_tabs():
    pd.DataFrame({"a;b": [1, 2, 3, 4], "text": TEXTS}).to_csv("t.tsv", index=False, sep="\t")
    assert list(load_texts("t.tsv")) == TEXTS
    assert "has no column 'b'; it has 'a;b', 'text'" in refusal("t.tsv", column="b")


def test_a_column_that_two_delimiters_give_is_refused():
    message = refusal(write("t.csv", "text,x|text\none,two|three\n"))
    assert "separated by a comma or by a vertical bar" in message


def test_a_missing_column_is_named_with_those_of_the_likeliest_delimiter():
    assert "has no column 'text'; it has 'id', 'x', 'a,b'" in refusal(write("t.csv", "id;x;a,b\n"))


def test_a_row_with_more_fields_than_the_header_is_refused():
    message = refusal(write("t.csv", "text\nfine\nhello, world\n"))
    assert "t.csv, line 3 has 2 fields, but the header has 1" in message


def test_a_column_that_occurs_twice_is_refused():
    message = refusal(write("t.csv", "text,text\none,two\n"))
    assert "has 2 columns with the name 'text'" in message


def test_blank_lines_before_the_header_are_skipped():
    assert list(load_texts(write("t.csv", "\n\ntext\n\none\n"))) == ["one"]


def test_fields_may_be_longer_than_the_limit_of_the_csv_module():
    previous = csv.field_size_limit(131_072)
    try:
        write("t.csv", f"text\n{'x' * 200_000}\n")
        found = []
        threads = [
            threading.Thread(target=lambda: found.append(len(load_texts("t.csv")[0])))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [200_000] * 4
    finally:
        csv.field_size_limit(previous)


# JSON


@pytest.mark.parametrize(
    "value",
    [
        ["one", "two", None],
        [{"text": "one"}, {"text": "two", "id": 2}, {"text": None}],
        {"text": ["one", "two", None], "id": [1, 2, 3]},
        ["one", {"text": "two"}],
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_a_list_or_an_object_with_a_list(value, indent):
    assert list(load_texts(write("t.json", json.dumps(value, indent=indent)))) == ["one", "two"]


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ('{"text": "one"}', ["t.json, 'text' is 'one' of type str", "a list of strings"]),
        ('{"text": {"0": "one"}}', ["of type dict"]),
        ('"one"', ["t.json is 'one' of type str"]),
        ("7", ["t.json is 7 of type int"]),
        ("null", ["of type NoneType"]),
        ('["one", 7]', ["t.json, item 2 holds 7 of type int"]),
        ('{"text": ["one", ["two"]]}', ["t.json, 'text', item 2 holds ['two'] of type list"]),
        ('[{"words": "one"}]', ["t.json, item 1 has no column 'text'; it has 'words'"]),
        ('{"words": ["one"]}', ["t.json has no column 'text'; it has 'words'"]),
        ('{"text": "one"}\n{"text": "two"}', ["is not valid JSON", "extension .jsonl"]),
        ("[" * 100_000, ["is not valid JSON"]),
        ("", ["holds no text"]),
        ("[]", ["holds no text"]),
    ],
)
def test_other_json_is_refused(content, parts):
    message = refusal(write("t.json", content))
    assert [part for part in parts if part not in message] == []


def test_jsonl_that_is_one_value_is_refused_with_the_other_extension():
    assert "extension .json" in refusal(write("t.jsonl", json.dumps(["one"], indent=1)))


def test_ndjson_is_jsonl():
    assert list(load_texts(write("t.ndjson", '"one"\n{"text": "two"}\n'))) == ["one", "two"]


# Nested columns

ROW = {
    "doc": {"text": "inner", "none": None},
    "doc.id": "exact",
    "messages": [{"content": "first"}, {"content": "second"}],
    "empty": [],
}
NESTED = [
    ("doc.text", "inner"),
    ("messages.0.content", "first"),
    ("messages.1.content", "second"),
    ("doc.id", "exact"),
]


@pytest.mark.parametrize(("column", "text"), NESTED)
@pytest.mark.parametrize("extension", ["jsonl", "json", "parquet"])
def test_a_dotted_path_reaches_a_nested_text(extension, column, text):
    frame = pd.DataFrame([ROW, ROW])
    if extension == "parquet":
        frame.to_parquet("t.parquet")
    else:
        frame.to_json(f"t.{extension}", orient="records", lines=extension == "jsonl")
    assert list(load_texts(f"t.{extension}", column=column)) == [text, text]


def test_a_missing_value_on_the_path_is_a_blank_text():
    rows = [{"doc": None}, {"doc": {"text": None}}, ROW]
    write("t.jsonl", "\n".join(map(json.dumps, rows)))
    assert list(load_texts("t.jsonl", column="doc.text")) == ["inner"]


@pytest.mark.parametrize(
    ("column", "part"),
    [
        ("doc.body", "has no column 'doc.body'; it has 'doc.text', 'doc.none'"),
        ("messages.2.content", "it has 'messages.0', 'messages.1'"),
        ("messages.-1.content", "it has 'messages.0', 'messages.1'"),
        ("empty.0", "has no column 'empty.0'; it has none"),
        ("doc.text.more", "has no column 'doc.text.more'; it has none"),
        ("doc", "holds {'text': 'inner', 'none': None} of type dict"),
        ("", "has no column ''"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused(column, part):
    assert part in refusal(write("t.jsonl", json.dumps(ROW)), column=column)


# Compression

CONTENTS = {
    "txt": "one\ntwo\n",
    "csv": "text\none\ntwo\n",
    "tsv": "id\ttext\n1\tone\n2\ttwo\n",
    "json": '["one", "two"]',
    "jsonl": '"one"\n"two"',
    "ndjson": '"one"\n"two"',
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_file_may_be_compressed_with_gzip(kind):
    write(f"t.{kind}", CONTENTS[kind])
    write(f"t.{kind}.GZ", gzip.compress(CONTENTS[kind].encode(), mtime=0))
    assert load_texts(f"t.{kind}").strings == ("one", "two")
    assert load_texts(f"t.{kind}.GZ").strings == ("one", "two")


def test_every_truncated_gzip_file_is_refused():
    whole = gzip.compress("\n".join(map(str, range(1000))).encode())
    for length in range(1, len(whole), 7):
        message = refusal(write("t.txt.gz", whole[:length]))
        assert "is truncated" in message if length > 1 else "t.txt.gz" in message


def test_a_damaged_gzip_file_is_refused():
    whole = gzip.compress(b"one\ntwo\n" * 100, mtime=0)
    assert "is damaged" in refusal(write("t.txt.gz", whole[:-5] + b"\0" + whole[-4:]))
    assert "is damaged" in refusal(write("t.txt.gz", whole + b"more"))


@pytest.mark.parametrize(
    ("name", "content", "parts"),
    [
        ("t.txt.gz", b"one\n", ["is not compressed with gzip", "load_texts('t.txt')"]),
        (
            "t.txt",
            gzip.compress(b"one\n", mtime=0),
            ["is compressed with gzip", "load_texts('t.txt.gz')"],
        ),
        (
            "t.txt.gz",
            gzip.compress(gzip.compress(b"one", mtime=0), mtime=0),
            ["decompress it once: gunzip t.txt.gz"],
        ),
        ("data/t.txt.gz", b"one\n", ["load_texts('data/t.txt')"]),
        ("data/t.txt", gzip.compress(b"one\n", mtime=0), ["load_texts('data/t.txt.gz')"]),
        ("t.gz", gzip.compress(b"one\n", mtime=0), ["unknown extension '.gz'"]),
        ("t.tar.gz", gzip.compress(b"one\n", mtime=0), ["unknown extension '.tar.gz'"]),
        ("t.parquet.gz", gzip.compress(b"one\n", mtime=0), ["unknown extension '.parquet.gz'"]),
        ("t.txt.gz", gzip.compress(POINTER, mtime=0), ["git lfs pull"]),
        (
            "t.txt.gz",
            gzip.compress(b"caf\xe9", mtime=0),
            ["gunzip -c t.txt.gz | iconv", "> utf-8.txt"],
        ),
    ],
)
def test_gzip_and_the_extension_must_agree(name, content, parts):
    message = refusal(write(name, content))
    assert [part for part in parts if part not in message] == []


# Encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("kind", CONTENTS)
def test_unicode_with_a_byte_order_mark_is_read(kind, encoding):
    content = CONTENTS[kind].replace("one", "añ — 日本 𝄞")
    assert list(load_texts(write(f"t.{kind}", content.encode(encoding)))) == ["añ — 日本 𝄞", "two"]


@pytest.mark.parametrize("mark", ["utf-16le", "utf-16be"])
def test_both_byte_orders_of_utf_16_are_read(mark):
    assert list(load_texts(write("t.txt", "\ufeffone\n日本".encode(mark)))) == ["one", "日本"]


@pytest.mark.parametrize("encoding", ["utf-16le", "utf-16be"])
@pytest.mark.parametrize("text", ["one\ntwo\n", "日本語の文。\n次の文。\n"])
def test_utf_16_without_a_mark_is_refused_with_the_right_conversion(encoding, text):
    message = refusal(write("t.txt", text.encode(encoding)))
    assert f"iconv -f {encoding} -t utf-8 t.txt > utf-8.txt" in message
    assert "cp1252" not in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"\xff\xfeo\0n", "damaged or truncated"),
        (b"\xff\xfe\0\xd8a\0", "damaged or truncated"),
        ("\ufeffa\0b".encode("utf-16le"), "holds a NUL character (character 2)"),
        (b"one\0two", "holds a NUL byte (byte 4 of 7)"),
        (b"one\n" * 10 + b"\0", "tr -d '\\000' < t.txt > clean.txt"),
    ],
)
def test_damaged_unicode_is_refused(content, part):
    assert part in refusal(write("t.txt", content))


def test_another_encoding_is_not_guessed():
    message = refusal(write("t.txt", "naïve “café”".encode("cp1252")))
    assert "if it is Windows-1252: iconv -f cp1252 -t utf-8 t.txt > utf-8.txt" in message
    assert "latin1" not in message
    message = refusal(write("t.txt", "ノート".encode("shift-jis")))
    assert "iconv -f ENCODING" in message
    assert "1252" not in message


def test_the_commands_quote_the_path():
    assert "iconv -f cp1252 -t utf-8 'my file.txt'" in refusal(write("my file.txt", b"caf\xe9"))


# Files that are something else


def _foreign(folder):
    pd.DataFrame({"text": ["one"]}).to_parquet(folder / "parquet")
    with zipfile.ZipFile(folder / "ZIP", "w") as archive:
        archive.writestr("t.txt", "one")
    (folder / "pickle").write_bytes(pickle.dumps(["one"]))
    save_file({"weights": np.zeros(3, np.float32)}, folder / "safetensors")
    np.save(folder / "NumPy", np.zeros(3))
    (folder / "NumPy.npy").rename(folder / "NumPy")
    (folder / "PDF").write_bytes(b"%PDF-1.7\n...")
    (folder / "Git LFS").write_bytes(POINTER)
    return ["parquet", "ZIP", "pickle", "safetensors", "NumPy", "PDF", "Git LFS"]


@pytest.mark.parametrize("kind", CONTENTS)
def test_a_binary_file_is_not_read_as_text(tmp_path, kind):
    for name in _foreign(tmp_path):
        message = refusal(write(f"t.{kind}", Path(name).read_bytes()))
        assert f"t.{kind} is a" in message
        assert name.lower() in message.lower()


def test_a_pointer_of_git_lfs_is_refused_as_parquet():
    assert "git lfs pull" in refusal(write("t.parquet", POINTER))


def test_a_text_about_git_lfs_is_a_text():
    line = "version https://git-lfs.github.com/spec/v1 is the first line"
    assert list(load_texts(write("t.txt", line))) == [line]


def test_damaged_parquet_is_refused(tmp_path):
    pd.DataFrame({"text": ["one" * 100] * 100}).to_parquet("whole.parquet")
    whole = Path("whole.parquet").read_bytes()
    assert "is not valid Parquet" in refusal(write("t.parquet", whole[: len(whole) // 2]))
    assert "is not valid Parquet" in refusal(write("t.parquet", b""))


def test_a_changed_byte_is_found_where_parquet_has_checksums():
    options = {"compression": None, "write_page_checksum": True, "use_dictionary": False}
    pd.DataFrame({"text": ["one", "two"]}).to_parquet("whole.parquet", **options)
    whole = Path("whole.parquet").read_bytes()
    assert list(load_texts("whole.parquet")) == ["one", "two"]
    damaged = whole.replace(b"\3\0\0\0two", b"\3\0\0\0twa")  # in the page, after its length
    assert damaged != whole
    assert "is not valid Parquet" in refusal(write("t.parquet", damaged))


# Paths


def test_a_pattern_is_its_files_in_sorted_order():
    for name in ("data/b.txt", "data/a.txt", "sub/c.txt", "data/d.csv"):
        write(name, f"from {Path(name).name}")
    texts = load_texts("data/*.txt")
    assert list(texts) == ["from a.txt", "from b.txt"]
    assert (texts.source, texts.selection["files"]) == ("data/*.txt", 2)
    assert list(load_texts("**/[ac].txt")) == ["from a.txt", "from c.txt"]


def test_a_list_is_its_files_in_the_order_given():
    for name in ("b.txt", "a.txt"):
        write(name, f"from {name}")
    texts = load_texts(["b.txt", Path("a.txt")])
    assert list(texts) == ["from b.txt", "from a.txt"]
    assert (texts.source, texts.selection["files"]) == ("b.txt, a.txt", 2)
    assert list(load_texts(("b.txt", "*.txt"))) == ["from b.txt", "from a.txt", "from b.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file():
    write("a1.txt", "other")
    assert list(load_texts(write("a[1].txt", "this"))) == ["this"]


def test_home_is_expanded(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("t.txt", "one")
    monkeypatch.chdir("/")
    assert list(load_texts("~/t.txt")) == list(load_texts(Path("~/*.txt"))) == ["one"]


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("*.txt", ["no file matches the pattern '*.txt'", "load_texts('data/*.txt')"]),
        ("a\0b/*.txt", ["no file matches the pattern"]),
        ("a\0b.txt", ["is neither a bundled corpus nor a file"]),
        ("x" * 5000, ["is neither a bundled corpus nor a file"]),
        ("~nobody-of-this-name/t.txt", ["is neither a bundled corpus nor a file"]),
        ("", ["'' is neither a bundled corpus nor a file"]),
        (".", [". is a folder", "load_texts('./*.txt')"]),
        ("/dev/null", ["is a device"]),
        ([], ["source is an empty list", "record(model, strings)"]),
        (["t.txt", 3], ["source is a list that holds int"]),
        (["wikipedia-sample"], ["'wikipedia-sample' is neither"]),
        (3, ["source is of type int"]),
        (b"t.txt", ["source is of type bytes"]),
        (None, ["source is of type NoneType"]),
        (
            "s3://b/t.txt",
            ["the scheme s3://", "aws s3 cp s3://b/t.txt texts.txt", "load_texts('texts.txt')"],
        ),
        ("gs://b/t.txt", ["the scheme gs://", "gcloud storage cp"]),
        ("https://x.org/t.txt", ["the scheme https://", "curl -L"]),
        ("https://x.org/t.txt?a=*", ["the scheme https://"]),
        ("abfs://b/t.txt", ["Download the file first, then"]),
        ("file:///t.txt", ["Name the path alone"]),
        (Path("s3://b/t.txt"), ["the scheme s3://"]),
        (Path("hf://me/it"), ["load_texts('hf://OWNER/NAME')"]),
        (["hf://me/it"], ["a string, not a path"]),
        ("https://huggingface.co/datasets/me/it/x", ["load_texts('hf://me/it')"]),
    ],
)
def test_a_source_that_is_no_file_is_refused(source, parts):
    message = refusal(source)
    assert [part for part in parts if part not in message] == []


# Anything a user may pass

ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.binary(max_size=20)
    | st.text(st.characters(exclude_characters="*"), max_size=40)
    | st.text("hf://:[]%+-0ate", max_size=20).map("hf://:".__add__)
    | st.just(np.arange(3))
    | st.just(pd.DataFrame({"text": ["one"]})),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)
EXTENSIONS = [f".{kind}{end}" for kind in CONTENTS for end in ("", ".gz")] + [".parquet", ".doc"]
LETTERS = string.ascii_lowercase + ',;|\t"\n{}[]:.\0é日'
COLUMNS = st.sampled_from(["text", "text.0", "a.b", ""]) | st.text(max_size=3)


def _contents():
    value = st.recursive(
        st.none() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["text", "a", "b", "0"]), inner, max_size=3)
        ),
        max_leaves=6,
    )
    text = st.text(LETTERS, max_size=40)
    table = st.builds("text{}\n{}".format, st.sampled_from(["", ",a", ";a", "\ta", "|a"]), text)
    strings = text | table | value.map(json.dumps)
    encodings = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16le", "utf-32"])
    encoded = st.builds(str.encode, strings, encodings)
    raw = encoded | st.binary(max_size=40) | st.just(POINTER)
    return raw | raw.map(gzip.compress) | raw.map(lambda each: gzip.compress(each, mtime=0)[:-3])


ARGUMENTS = ["source", "n", "column", "seed", "min_chars", "max_chars", "revision", "offline"]


@settings(deadline=None, max_examples=100)
@given(st.dictionaries(st.sampled_from(ARGUMENTS), ANYTHING, min_size=1, max_size=2))
def test_no_argument_gives_a_foreign_error(options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t.txt")
        Path(path).write_text("one\ntwo")
        try:
            texts = load_texts(**{"source": path, **text_arguments(options)})
        except TdynError:
            return
    assert set(texts) <= {"one", "two"}
    assert "source" not in options


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(content=_contents(), extension=st.sampled_from(EXTENSIONS), column=COLUMNS)
def test_what_is_read_stands_in_the_file_or_the_file_is_refused(content, extension, column):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, f"t{extension}")
        Path(path).write_bytes(content)
        try:
            texts = load_texts(path, column=column)
        except TextsError:
            return
    written = _text(gzip.decompress(content) if extension.endswith(".gz") else content)
    for text in texts:
        forms = {text, text.replace('"', '""'), text.replace("\n", "\r\n")}
        forms |= {json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]}
        assert any(form in written for form in forms)


def _text(content):
    for mark, encoding in ((b"\xff\xfe\0\0", "utf-32"), (b"\xff\xfe", "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding)
    return content.decode("utf-8-sig")


@settings(deadline=None)
@given(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_every_text_comes_back_from_every_kind_of_table(texts):
    kept = [text.strip() for text in texts if text.strip()]
    frame = pd.DataFrame({"id": range(len(texts)), "text": pd.Series(texts, dtype=object)})
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "t")
        with open(f"{path}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file, delimiter=";").writerows([["id", "text"], *frame.values.tolist()])
        frame.to_json(f"{path}.jsonl.gz", orient="records", lines=True)
        Path(f"{path}.json").write_text(json.dumps(texts), encoding="utf-16")
        frame.to_parquet(f"{path}.parquet")
        for extension in ("csv", "jsonl.gz", "json", "parquet"):
            if kept:
                assert list(load_texts(f"{path}.{extension}")) == kept
            else:
                assert "holds no text" in refusal(f"{path}.{extension}")
