"""Texts cut at a seeded random word, and the groups that texts are read with."""

import json
import unicodedata

import pandas as pd
import pytest

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts import TextOptions, cut_texts, load_texts, text_arguments, wikipedia
from transformer_dynamics.texts.wikipedia import Paragraph

WORDS = [f"w{place}" for place in range(10)]
TEXT = " ".join(WORDS) + "."
MANY = [f"{TEXT[:-1]} {number}." for number in range(300)]


@pytest.fixture
def corpus(monkeypatch):
    """Stands for the bundled sample: two articles of three paragraphs each."""
    paragraphs = tuple(
        Paragraph(title, f"{title} {number} " + "and some words more " * 6 + "in the end.")
        for title in ("Moon", "Sun")
        for number in range(3)
    )
    monkeypatch.setattr(wikipedia, "sample", lambda *, offline: paragraphs)
    return paragraphs


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(MANY))
    return path


def test_a_cut_is_behind_a_word_from_the_fourth_to_the_last_but_one():
    cuts = {cut_texts([TEXT], seed=seed)[0] for seed in range(200)}
    assert cuts == {" ".join(WORDS[:count]) for count in range(4, 10)}


def test_every_allowed_word_is_as_likely():
    counts = [len(cut_texts([TEXT], seed=seed)[0].split()) for seed in range(1200)]
    # 200 are expected of each of six; five standard deviations are 65.
    assert all(abs(counts.count(count) - 200) < 65 for count in range(4, 10))


def test_the_same_seed_gives_the_same_texts_and_another_seed_others():
    assert cut_texts(MANY, seed=3) == cut_texts(MANY, seed=3)
    assert cut_texts(MANY, seed=3) != cut_texts(MANY, seed=4)


def test_the_cut_of_a_text_does_not_depend_on_the_others(file):
    whole = dict(zip(MANY, load_texts(file, cut="random"), strict=True))
    backwards = cut_texts(MANY[::-1])
    assert backwards == [whole[text] for text in MANY[::-1]]
    some = load_texts(file, 40, cut="random")
    kept = load_texts(file, 40)
    assert list(some) == [whole[text] for text in kept]


def test_no_cut_behind_punctuation():
    text = "One, two. three; four, five) six: seven, eight! nine, ten."
    assert cut_texts([text]) == [text]
    text = "One two three four, five six, seven."
    assert {cut_texts([text], seed=seed)[0] for seed in range(50)} == {"One two three four, five"}


@pytest.mark.parametrize(
    "text", ["", "One.", "One two three four.", "山の上に月が出ている。", "… … … … … …"]
)
def test_what_cannot_be_cut_is_left_whole(text):
    assert cut_texts([text]) == [text]


@pytest.mark.parametrize(
    "text",
    [
        "Η γάτα κάθισε πάνω στο χαλί και κοιμήθηκε εκεί.",
        "बिल्ली चटाई पर बैठी और वहीं सो गई थी।",
        "Cafe\u0301 ole\u0301 re\u0301sume\u0301 ide\u0301e passe\u0301 ne\u0301 cafe\u0301.",
        "a\u00a0b\u2003c d e f g h.",
        "lone \ud800 surrogates are cut as well as others are.",
    ],
)
def test_cuts_of_any_script_end_between_words(text):
    for seed in range(20):
        (cut,) = cut_texts([text], seed=seed)
        assert text.startswith(cut)
        assert text[len(cut)].isspace()
        assert unicodedata.category(cut[-1])[0] in "LMN"
        assert 4 <= len(cut.split()) < len(text.split())


def test_the_selection_names_the_cut(file):
    file.write_text(f"{TEXT}\nToo short.\n{TEXT}")
    texts = load_texts(file, cut="random", seed=5)
    assert {"cut": "random", "seed": 5, "left_whole": 1}.items() <= texts.selection.items()
    assert texts[1] == "Too short."
    whole = load_texts(file)
    assert (list(whole), whole.selection["cut"]) == ([TEXT, "Too short.", TEXT], "none")
    assert "left_whole" not in whole.selection


def test_bounds_hold_before_the_cut(file):
    file.write_text(f"{TEXT}\nToo short.")
    texts = load_texts(file, cut="random", options=TextOptions(min_chars=len(TEXT)))
    assert len(texts) == 1
    assert len(texts[0]) < len(TEXT)


def test_the_bundled_sample_is_cut_and_grouped_by_article(corpus):
    texts = load_texts()
    assert (texts.selection["cut"], texts.selection["group"]) == ("random", "article")
    assert texts.groups == ("Moon",) * 3 + ("Sun",) * 3
    assert list(texts) == cut_texts([paragraph.text for paragraph in corpus])
    assert list(load_texts(cut="none")) == [paragraph.text for paragraph in corpus]


def test_a_sample_keeps_the_groups_of_its_texts(corpus):
    texts = load_texts(n=3, seed=1, cut="none")
    assert texts.groups == tuple(text.split()[0] for text in texts)


@pytest.mark.bundled
def test_the_bundled_sample_ends_in_words():
    texts = load_texts(n=512)
    assert texts.selection["left_whole"] == 0
    assert all(text[-1].isalnum() for text in texts)
    assert 80 < len(set(texts.groups)) < 107


ROWS = [{"doc": 1, "text": "a"}, {"doc": None, "text": " "}, {"doc": 2, "text": "b"}]
ROWS += [{"doc": None, "text": "c"}, {"doc": 1, "text": "d"}]
LISTED = {name: [row[name] for row in ROWS] for name in ("doc", "text")}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("t.jsonl", "\n".join(map(json.dumps, ROWS))),
        ("t.json", json.dumps(ROWS)),
        ("t.json", json.dumps(LISTED)),
        ("t.csv", 'doc,text\n1,a\n," "\n2,b\n,c\n1,d\n'),
        ("t.tsv", "text\tdoc\na\t1\nb\t2\nc\nd\t1\n"),
    ],
)
def test_groups_are_read_with_their_texts(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    texts = load_texts(tmp_path / name, group="doc")
    assert list(texts) == ["a", "b", "c", "d"]
    assert texts.groups == ("1", "2", "", "1")
    assert texts.selection["group"] == "doc"
    assert load_texts(tmp_path / name).groups is None


def test_groups_of_a_parquet_file_may_be_nested(tmp_path):
    rows = [{"text": text, "from": {"page": page}} for text, page in zip("abc", "xxy", strict=True)]
    pd.DataFrame(rows).to_parquet(tmp_path / "t.parquet")
    assert load_texts(tmp_path / "t.parquet", group="from.page").groups == ("x", "x", "y")


REFUSED = [
    ("t.txt", "a", {"group": "doc"}, ["without columns", "groups=groups"]),
    ("t.json", '["a"]', {"group": "doc"}, ["without columns"]),
    ("t.csv", "text,doc\na,1", {"group": "page"}, ["no column 'page'", "group='text'"]),
    ("t.jsonl", '{"text": "a", "doc": [1]}', {"group": "doc"}, ["[1]", "list", "group='title'"]),
    ("t.json", '{"text": ["a"], "doc": [1, 2]}', {"group": "doc"}, ["2 entries", "1 texts"]),
    ("t.csv", "text\na", {"group": ["x"]}, ["group=['x']", "record(model, texts, groups=groups)"]),
    ("t.csv", "text\na", {"cut": "half"}, ["cut='half'", "none, random", "cut='random'"]),
]


@pytest.mark.parametrize(("name", "content", "options", "said"), REFUSED)
def test_what_is_refused(name, content, options, said, tmp_path):
    (tmp_path / name).write_text(content)
    with pytest.raises(TextsError) as caught:
        load_texts(tmp_path / name, **text_arguments(options))
    assert all(words in str(caught.value) for words in said), str(caught.value)


def test_a_column_of_groups_is_not_asked_of_the_bundled_sample(corpus):
    with pytest.raises(TextsError, match="its groups are always the articles"):
        load_texts(group="title")


def test_ids_have_no_words_to_cut_at():
    with pytest.raises(TextsError, match="token ids and states have no words"):
        cut_texts([[1, 2, 3]])
