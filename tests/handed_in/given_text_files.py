"""Files of texts, by kind: what is read, and what is refused."""

import gzip
import json
import pickle
from pathlib import Path

import pandas as pd

from handed_in.given import Given
from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts import load_texts, text_arguments

TITLE = "Files of texts"
TEXTS = ["one", "two; with, marks", "three"]
LINES = "\n".join(TEXTS)
ROWS = [{"id": n, "text": text} for n, text in enumerate(TEXTS)]
CHATS = [{"messages": [{"role": "user", "content": text}]} for text in TEXTS]
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 12345\n"


def _write(name, content):
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_bytes(content if isinstance(content, bytes) else content.encode())


def _taken(what, files, happens, **options):
    def check(_):
        for name, content in files.items():
            _write(name, content)
            assert list(load_texts(name, **text_arguments(options))) == TEXTS

    return Given(what, happens, check)


def _refused(what, source, content=None, **options):
    def check(_):
        if content is not None:
            _write(source, content)
        load_texts(source, **text_arguments(options))

    return Given(what, "", check, TextsError)


def _csv(delimiter):
    return pd.DataFrame(ROWS).to_csv(index=False, sep=delimiter)


def _parquet(_):
    pd.DataFrame(ROWS).to_parquet("texts.parquet")
    assert list(load_texts("texts.parquet")) == TEXTS


def _pattern(_):
    for name, text in zip(("data/3.txt", "data/1.txt", "data/2.txt"), "cab", strict=True):
        _write(name, text)
    texts = load_texts("data/*.txt")
    assert (list(texts), texts.selection["files"]) == (["a", "b", "c"], 3)


def _list_of_paths(_):
    _write("b.txt", "b")
    _write("a.csv", "text\na\n")
    assert list(load_texts(["b.txt", Path("a.csv")])) == ["b", "a"]


def _folder(_):
    _write("data/a.txt", "a")
    load_texts("data")


def _groups(_):
    _write("texts.csv", _csv(","))
    _write("texts.jsonl", CHAT_GROUPS)
    assert load_texts("texts.csv", group="id").groups == ("0", "1", "2")
    assert load_texts("texts.jsonl", group="from.page").groups == ("x", "", "x")


def _cut(_):
    _write("texts.txt", "One sentence, of some words, ends here.\nToo short.")
    for seed in range(9):
        cut, whole = load_texts("texts.txt", cut="random", seed=seed)
        assert cut in ("One sentence, of some", "One sentence, of some words, ends")
        assert whole == "Too short."


KINDS = {
    "txt": LINES,
    "csv": _csv(","),
    "tsv": _csv("\t"),
    "json": json.dumps(TEXTS),
    "jsonl": "\n".join(map(json.dumps, TEXTS)),
}
CHAT_GROUPS = "\n".join(
    json.dumps({"text": text, "from": {"page": page}})
    for text, page in zip(TEXTS, ("x", None, "x"), strict=True)
)
CHAT_LINES = "\n".join(map(json.dumps, CHATS))

CASES = [
    _taken("`.txt`", {"texts.txt": LINES}, "each line that is not blank is a text"),
    _taken(
        "`.csv` with commas",
        {"texts.csv": _csv(",")},
        "the column `text`, or the one that `column=` names",
    ),
    _taken(
        "`.csv` with semicolons, tabs or vertical bars",
        {"a.csv": _csv(";"), "b.csv": _csv("\t"), "c.csv": _csv("|")},
        "the delimiter is the one under which the header has the column",
    ),
    _taken("`.tsv`", {"texts.tsv": _csv("\t")}, "the column; fields are separated by tabs"),
    _taken(
        "a `.csv` field of a million characters",
        {"texts.csv": f"text\n{'x' * 10**6}\n" + "\n".join(f'"{text}"' for text in TEXTS)},
        "read; `TextOptions(max_chars=)` leaves it out",
        max_chars=1000,
    ),
    _taken(
        "`.jsonl` or `.ndjson`",
        {f"texts.{kind}": "\n".join(map(json.dumps, ROWS)) for kind in ("jsonl", "ndjson")},
        "each line is a string or an object with the column",
    ),
    _taken(
        "`.json`, a list",
        {"a.json": json.dumps(ROWS), "b.json": json.dumps(TEXTS)},
        "each item is a string or an object with the column",
    ),
    _taken(
        "`.json`, an object",
        {"texts.json": json.dumps({"text": TEXTS, "id": [1, 2, 3]})},
        "the list under the column",
    ),
    Given("`.parquet`", "the column; needs the extra `[parquet]`", _parquet),
    _taken(
        '`column="messages.0.content"`',
        {"chats.jsonl": CHAT_LINES, "chats.json": json.dumps(CHATS)},
        "the nested text in `.json`, `.jsonl`, `.parquet` and hub datasets; a column with exactly "
        "this name takes precedence",
        column="messages.0.content",
    ),
    Given(
        '`group="article"`',
        "the column (or the nested value) with the group of each text, text or numbers; intervals "
        "and splits go by group; a blank one is a group of its own",
        _groups,
    ),
    Given(
        '`cut="random"`',
        "each text ends at a seeded random word, the fourth at least, never the last, and in no "
        "punctuation; shorter texts stay whole; the default of `wikipedia-sample`",
        _cut,
    ),
    _taken(
        "`.txt.gz`, `.csv.gz`, `.tsv.gz`, `.json.gz`, `.jsonl.gz`",
        {
            f"texts.{kind}.gz": gzip.compress(content.encode(), mtime=0)
            for kind, content in KINDS.items()
        },
        "decompressed, then read as the same kind",
    ),
    _taken(
        "UTF-8 or UTF-16 with a byte order mark",
        {"a.txt": LINES.encode("utf-8-sig"), "b.txt": LINES.encode("utf-16")},
        "decoded; the mark is not part of the text",
    ),
    Given('a pattern, `"data/*.txt"`', "the files it matches, in sorted order", _pattern),
    Given("a list of paths", "the files, in the order of the list", _list_of_paths),
    _refused("a pattern without a match", "data/*.txt"),
    Given("a folder of texts", "", _folder, TextsError),
    _refused("a file that does not exist", "text.txt"),
    _refused("a file with an unknown extension", "texts.docx", "one"),
    _refused("groups of texts without columns", "texts.txt", "one", group="article"),
    _refused("an unknown cut", "texts.txt", "one", cut="half"),
    _refused("an address on the web", "https://example.org/texts.txt"),
    _refused("an object on S3", "s3://bucket/texts.txt"),
    _refused("text in Windows-1252", "texts.txt", "one\ncafé".encode("cp1252")),
    _refused("UTF-16 without a byte order mark", "texts.txt", LINES.encode("utf-16le")),
    _refused("NUL bytes in a text", "texts.txt", b"one\ntwo\0\n"),
    _refused("a truncated gzip file", "texts.txt.gz", gzip.compress(LINES.encode(), mtime=0)[:-9]),
    _refused("a pointer of Git LFS", "texts.parquet", POINTER),
    _refused("a pickle named `.txt`", "texts.txt", pickle.dumps(TEXTS)),
    _refused("a Parquet file named `.txt`", "texts.txt", b"PAR1\x15\x04\x15"),
    _refused("a column that is not in the table", "texts.csv", _csv(","), column="sentence"),
    _refused("a column of numbers", "texts.jsonl", json.dumps(ROWS[0]), column="id"),
    _refused("a row with more fields than the header", "texts.csv", "text\nHello, world\n"),
    _refused("a quote that is never closed", "texts.csv", 'id,text\n1,one\n2,"two\n3,three\n'),
    _refused("a line that is no JSON", "texts.jsonl", '"one"\ntwo\n'),
    _refused("a `.json` value without a list", "texts.json", '{"text": "one"}'),
    _refused("a file without a text", "texts.txt", "\n\n"),
    _refused("`n=True`", "texts.txt", LINES, n=True),
]
