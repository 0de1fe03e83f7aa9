"""The paper's preset: its texts where the hub is reached, bundled ones otherwise."""

import pytest

from transformer_dynamics.errors import TextsError
from transformer_dynamics.paper import preset
from transformer_dynamics.texts import TextOptions, Texts


class Loader:
    """Substitute for `load_texts`: a hub that is reached or not, 300 bundled texts."""

    def __init__(self, reached):
        self.reached, self.calls = reached, []

    def __call__(self, source, n=None, **options):
        self.calls.append((source, n, options))
        if source.startswith("hf://") and not self.reached:
            raise TextsError("no network")
        available = 5000 if source.startswith("hf://") else 300
        if n is not None and n > available:
            raise TextsError("too many")
        count = available if n is None else n
        return Texts(("word " * 30,) * count, source, {"available": available})


@pytest.fixture
def hub(monkeypatch):
    loader = Loader(reached=True)
    monkeypatch.setattr(preset, "load_texts", loader)
    return loader


@pytest.fixture
def no_hub(monkeypatch):
    loader = Loader(reached=False)
    monkeypatch.setattr(preset, "load_texts", loader)
    return loader


def test_the_paper_has_a_thousand_texts_of_wikitext_of_100_to_500_characters(hub):
    found = preset.paper_texts(seed=7)
    ((source, n, options),) = hub.calls
    assert source == "hf://Salesforce/wikitext:wikitext-2-raw-v1:train"
    assert n == len(found.texts) == 1000
    assert options == {"cut": "none", "seed": 7, "options": TextOptions(100, 500)}
    assert "WikiText-2" in found.note


def test_without_the_hub_the_bundled_texts_take_their_place_and_it_is_said(no_hub):
    found = preset.paper_texts()
    assert found.texts.source == "wikipedia-sample"
    assert len(found.texts) == 300
    for words in ("could not be loaded", "300 bundled texts", "no network"):
        assert words in found.note


def test_what_the_user_chose_wins(hub):
    found = preset.paper_texts({"samples": 20, "min_chars": 5, "offline": True})
    ((source, n, options),) = hub.calls
    assert (source, n, len(found.texts)) == (preset.WIKITEXT, 20, 20)
    rare = TextOptions(min_chars=5, max_chars=500, offline=True)
    assert options == {"cut": "none", "seed": 0, "options": rare}
    own = preset.paper_texts({"texts": "mine.txt"})
    assert own.texts.source == "mine.txt"
    assert len(own.texts) == 300
    assert "as given" in own.note


def test_a_source_of_the_user_that_is_not_there_is_no_reason_to_fall_back(no_hub):
    with pytest.raises(TextsError, match="no network"):
        preset.paper_texts({"texts": "hf://some/where"})


def test_options_of_the_hub_alone_are_left_out_of_the_fallback(no_hub):
    preset.paper_texts({"revision": "main", "column": "page", "samples": 9})
    source, n, options = no_hub.calls[-1]
    assert (source, n) == ("wikipedia-sample", 9)
    assert options == {"cut": "none", "seed": 0, "options": TextOptions(100, 500)}
