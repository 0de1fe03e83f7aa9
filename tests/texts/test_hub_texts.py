import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from huggingface_hub import constants

from transformer_dynamics.errors import TextsError
from transformer_dynamics.texts import TextOptions, load_texts, text_arguments
from transformer_dynamics.texts import hub as texts_hub


class Hub(SimpleNamespace):
    """Stands for the package datasets, which is optional: one dataset with a split "test"."""

    def __init__(self):
        super().__init__(
            config=SimpleNamespace(HF_HUB_OFFLINE=False), asked=[], offline=[], options=[], bytes=10
        )

    def load_dataset_builder(self, name, config, **version):
        return SimpleNamespace(info=SimpleNamespace(download_size=self.bytes))

    def load_dataset(self, name, config, *, split, **options):
        self.asked.append((name, config, split))
        self.options.append(options)
        self.offline.append((self.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE))
        if split != "test":
            raise ValueError(f"Unknown split {split!r}. Should be one of ['test'].")
        lengths = enumerate((50, 100, 500, 501), start=1)
        return HubTable([{"text": "x" * length, "line": line} for line, length in lengths])


class HubTable(list):
    @property
    def column_names(self):
        return list(self[0])

    def select_columns(self, names):
        return ({name: row[name] for name in names} for row in self)


@pytest.fixture
def hub(monkeypatch):
    stand_in = Hub()
    monkeypatch.setitem(sys.modules, "datasets", stand_in)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    return stand_in


@pytest.mark.parametrize(
    ("source", "asked"),
    [
        ("hf://me/it", ("me/it", None, "test")),
        ("hf://me/it:raw", ("me/it", "raw", "test")),
        ("hf://me/it:raw:test", ("me/it", "raw", "test")),
        ("hf://me/it::test", ("me/it", None, "test")),
        ("hf://it", ("it", None, "test")),
    ],
)
def test_a_hub_name_has_a_configuration_and_a_split(hub, source, asked):
    texts = load_texts(source)
    assert hub.asked == [asked]
    assert [len(text) for text in texts] == [100, 500]
    assert texts.source == source


@pytest.mark.parametrize("source", ["hf://", "hf:///", "hf://a/b:c:d:e", "hf://:raw"])
def test_a_hub_name_without_a_dataset_is_refused(hub, source):
    with pytest.raises(TextsError, match="names no dataset; allowed is 'hf://OWNER/NAME") as error:
        load_texts(source)
    assert "load_texts('hf://Salesforce/wikitext:wikitext-2-raw-v1:test')" in str(error.value)


def test_a_missing_split_names_those_that_exist(hub):
    with pytest.raises(TextsError) as error:
        load_texts("hf://me/it:raw:dev")
    assert "'hf://me/it:raw:dev' (configuration raw, split dev)" in str(error.value)
    assert "Should be one of ['test']" in str(error.value)


def test_a_missing_hub_column_names_those_that_exist(hub):
    with pytest.raises(TextsError, match="has no column 'words'; it has 'text', 'line'"):
        load_texts("hf://me/it", column="words")


def test_a_hub_column_without_text_is_refused(hub):
    with pytest.raises(TextsError, match="row 0 holds 1 of type int"):
        load_texts("hf://me/it", column="line")


def test_offline_holds_for_the_block_alone(hub):
    load_texts("hf://me/it", options=TextOptions(offline=True))
    load_texts("hf://me/it")
    assert hub.offline == [(True, True), (False, False)]
    assert (hub.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == (False, False)


def test_offline_is_undone_after_an_error_that_says_what_to_do(hub):
    with pytest.raises(
        TextsError, match=r"could not be loaded offline.*run once without --offline"
    ):
        load_texts("hf://me/it::dev", options=TextOptions(offline=True))
    assert (hub.config.HF_HUB_OFFLINE, constants.HF_HUB_OFFLINE) == (False, False)


def test_an_offline_mode_of_the_users_own_is_left_on(hub):
    hub.config.HF_HUB_OFFLINE = True
    load_texts("hf://me/it")
    assert hub.offline == [(True, False)]
    assert hub.config.HF_HUB_OFFLINE


def test_without_datasets_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(TextsError, match=r'pip install "transformer-dynamics\[datasets\]"'):
        load_texts("hf://me/it")


def test_a_revision_is_passed_on_and_stored(hub):
    texts = load_texts("hf://me/it", 1, options=TextOptions(revision="v2"))
    assert hub.options == [{"revision": "v2"}]
    assert texts.selection["revision"] == "v2"
    assert load_texts("hf://me/it").selection["revision"] is None


def test_a_slice_in_place_of_the_configuration_is_refused_with_the_name_that_works(hub):
    with pytest.raises(TextsError, match=r"load_texts\('hf://me/it::test\[:2\]'\)"):
        load_texts("hf://me/it:test[:2]")


@pytest.mark.parametrize(
    ("split", "rows"),
    [
        ("train", ("train", 0, None)),
        ("train[:100]", ("train", 0, 100)),
        ("train[10:]", ("train", 10, None)),
        ("train[10:100]", ("train", 10, 100)),
        ("train[:10%]", ("train[:10%]", 0, None)),
        ("train[-5:]", ("train[-5:]", 0, None)),
        ("train[:5]+test[:5]", ("train[:5]+test[:5]", 0, None)),
    ],
)
def test_a_slice_is_part_of_the_split(split, rows):
    name = texts_hub.HubName.parse(f"hf://me/it:raw:{split}")
    assert (name.dataset, name.config, name.split) == ("me/it", "raw", split)
    assert name.rows == rows


@pytest.mark.parametrize(
    ("name", "n", "size", "streams", "first_rows"),
    [
        ("hf://me/it", None, None, False, None),
        ("hf://me/it", 1, 10**9, False, None),
        ("hf://me/it", 1, 10**9 + 1, True, 100_000),
        ("hf://me/it", 1, None, True, 100_000),
        ("hf://me/it::test[:3]", None, None, True, None),
        ("hf://me/it::test[0:]", 1, None, True, None),
    ],
)
def test_a_large_dataset_is_streamed_if_its_last_row_is_known(
    hub, name, n, size, streams, first_rows
):
    hub.bytes = size
    texts = load_texts(name, n)
    assert hub.options == [{"streaming": True} if streams else {}]
    assert texts.selection["first_rows"] == first_rows


def test_offline_reads_the_same_rows_without_streaming(hub, monkeypatch):
    monkeypatch.setattr(texts_hub, "FIRST_ROWS", 2)
    hub.bytes = None
    online, offline = (
        load_texts("hf://me/it", 1, options=TextOptions(offline=offline))
        for offline in (False, True)
    )
    assert hub.options == [{"streaming": True}, {}]
    assert online == offline
    assert online.strings == ("x" * 100,)
    assert (online.selection["first_rows"], online.selection["available"]) == (2, 1)


def test_more_texts_than_the_first_rows_hold_are_refused_with_the_slice(hub, monkeypatch):
    monkeypatch.setattr(texts_hub, "FIRST_ROWS", 3)
    hub.bytes = None
    with pytest.raises(TextsError, match=r"has 2 texts in its first 3 rows within.*train\[:30\]"):
        load_texts("hf://me/it", 3)
    assert len(load_texts("hf://me/it::test[0:]", 2)) == 2


# The package datasets itself, on a folder


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A dataset of 50 rows, its split `train` in two files."""
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    rows = [
        {"text": f"row {row}", "doc": {"text": f"inner {row}"}, "turns": [{"said": f"turn {row}"}]}
        for row in range(50)
    ]
    (tmp_path / "data").mkdir()
    for part, which in enumerate((rows[:20], rows[20:])):
        lines = "\n".join(map(json.dumps, which))
        (tmp_path / "data" / f"train-{part}.jsonl").write_text(lines)
    return "hf://./data"


def _rows(texts):
    return [int(text.split()[-1]) for text in texts]


def _load(source, n=None, **options):
    return load_texts(source, n, **text_arguments({"min_chars": 0, **options}))


@pytest.mark.parametrize("size", [0, 10**9])
@pytest.mark.parametrize(
    ("split", "expected"),
    [
        ("train", range(50)),
        ("train[:30]", range(30)),
        ("train[15:25]", range(15, 25)),
        ("train[45:]", range(45, 50)),
        ("train[:10%]", range(5)),
        ("train[-5:]", range(45, 50)),
    ],
)
def test_a_slice_has_the_same_rows_whole_and_streamed(folder, monkeypatch, size, split, expected):
    monkeypatch.setattr(texts_hub, "_is_large", lambda *_: size == 0)
    assert _rows(_load(f"{folder}::{split}")) == list(expected)
    assert _rows(_load(f"{folder}::{split}", len(expected))) == list(expected)


def test_a_stream_stops_after_the_first_rows(folder, monkeypatch):
    monkeypatch.setattr(texts_hub, "FIRST_ROWS", 30)
    texts = _load(f"{folder}::train", 10, seed=1)
    assert max(_rows(texts)) < 30
    assert texts.selection["available"] == 30
    drawn = np.sort(np.random.default_rng(1).choice(30, size=10, replace=False))
    assert _rows(texts) == list(drawn)


@pytest.mark.parametrize("n", [None, 50])
@pytest.mark.parametrize(("column", "word"), [("doc.text", "inner"), ("turns.0.said", "turn")])
def test_a_dotted_path_reaches_nested_columns(folder, column, word, n):
    assert list(_load(f"{folder}::train", n, column=column)) == [f"{word} {n}" for n in range(50)]


def test_a_missing_nested_column_is_named(folder):
    with pytest.raises(TextsError, match=r"row 0 has no column 'doc.body'; it has 'doc.text'"):
        _load(f"{folder}::train", column="doc.body")
    with pytest.raises(TextsError, match="has no column 'body'; it has 'text', 'doc', 'turns'"):
        _load(f"{folder}::train", 5, column="body")
