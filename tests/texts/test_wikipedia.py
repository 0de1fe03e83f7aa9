import bz2
import json
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transformer_dynamics.errors import AssetError, TextsError
from transformer_dynamics.storage import assets
from transformer_dynamics.texts import wikipedia
from transformer_dynamics.texts.prose import clean
from transformer_dynamics.texts.wikipedia import Paragraph, paragraphs

SHOWN = [
    ("plain", "Light is reflected.", "Light is reflected."),
    ("bold", "'''Albedo''' is a ratio.", "Albedo is a ratio."),
    ("italic", "The ''Iliad'' is old.", "The Iliad is old."),
    ("link", "The [[Moon]] is grey.", "The Moon is grey."),
    ("piped link", "The [[Moon|satellite]] is grey.", "The satellite is grey."),
    ("link trail", "Two [[moon]]s are grey.", "Two moons are grey."),
    ("link with leading colon", "The [[:Moon]] is grey.", "The Moon is grey."),
    ("link with colon", "In [[2001: An Odyssey]] it sings.", "In 2001: An Odyssey it sings."),
    ("sister project", "A [[wikt:moon|moon]] is grey.", "A moon is grey."),
    ("link with style", "The [[Iliad|''Iliad'']] is old.", "The Iliad is old."),
    ("nested tags", "A <small>very <b>small</b></small> one.", "A very small one."),
    ("external title", "See [http://a.example/b the page] here.", "See the page here."),
    ("entity", "Fish &amp; chips&nbsp;&mdash; 5&#32;&lt; 6.", "Fish & chips — 5 < 6."),
    ("superscript", "Some 10<sup>−5</sup> m<sup>2</sup>.", "Some 10⁻⁵ m²."),
    ("subscript", "Water is H<sub>2</sub>O.", "Water is H₂O."),
    ("lang", "The word {{lang|la|albus}} is Latin.", "The word albus is Latin."),
    ("nowrap", "It weighs {{nowrap|5 kg}} dry.", "It weighs 5 kg dry."),
    ("possessive", "The ''Iliad''{{'s}} age.", "The Iliad's age."),
    ("dash", "Here{{snd}}there.", "Here – there."),
    ("convert", "It is {{convert|1200|km|mi}} long.", "It is 1,200 km long."),
    ("convert range", "It is {{convert|5|-|7.5|m|ft}} long.", "It is 5–7.5 m long."),
    ("convert words", "It is {{convert|5|by|7|ft|m|abbr=on}}.", "It is 5 by 7 ft."),
    ("editorial brackets", 'He said "[the] end".', 'He said "[the] end".'),
    ("ellipsis", 'He said "a ... b."', 'He said "a ... b."'),
    ("whitespace", "A  line\nand\tanother.", "A line and another."),
]

UNSEEN = [
    ("comment", "A<!-- secret --> b.", "A b."),
    ("ref", "A b<ref>Smith, p. 5.</ref>.", "A b."),
    ("named ref", 'A b<ref name="s" />, c.', "A b, c."),
    ("ref with template", "A b.<ref>{{cite book|title=T|pages=5}}</ref>", "A b."),
    ("citation", "A b.{{sfn|Smith|1990}}{{Citation needed|date=May 2011}}", "A b."),
    ("template before a period", "A b {{clarify}}.", "A b."),
    ("template before a comma", "A b {{when}}, c.", "A b, c."),
    ("image", "[[File:A.jpg|thumb|200px|A [[big]] caption.]]A b.", "A b."),
    ("image within", "A [[Image:A.jpg|right]]b.", "A b."),
    ("category", "A b.\n[[Category:Things|A]]", "A b."),
    ("interwiki", "A b.\n[[fr:Chose]]\n[[zh-min-nan:Mih]]", "A b."),
    ("untitled link", "A b [http://a.example/b].", "A b."),
    ("infobox", "{{Infobox country\n| name = A\n| area = {{convert|5|km2}}\n}}\nA b.", "A b."),
    ("two boxes", "{{About|b}}{{pp-move}}\n\nA b.", "A b."),
    ("table", '{| class="wikitable"\n|-\n! Head\n|-\n| A cell. || B.\n|}\nA b.', "A b."),
    ("gallery", "<gallery>\nFile:A.jpg|A caption.\n</gallery>\nA b.", "A b."),
    ("heading", "== A heading ==\nA b.", "A b."),
    ("blockquote", "<blockquote>A quotation.</blockquote>\n\nA b.", "A b."),
    ("bullets", "* An item.\n* Another.\nA b.", "A b."),
    ("numbers", "# An item.\n## Another.\n\nA b.", "A b."),
    ("definitions", "; Term: Its meaning.\n: Indented.\n\nA b.", "A b."),
    ("preformatted", " IF a THEN b.\n\nA b.", "A b."),
    ("rule", "----\nA b.", "A b."),
]

HOLES = [
    ("template", "It is {{age|1990}} years old."),
    ("unknown unit", "It is {{convert|5|furlong}} long."),
    ("convert without a number", "It is {{convert|km}} long."),
    ("math", "Here <math>x^2</math> is a square."),
    ("code", "Call <code>f()</code> first."),
    ("superscript of words", "It is x<sup>th</sup> of many."),
    ("bare address", "It is at http://a.example/b today."),
    ("argument", "It is {{{1}}} today."),
    ("template at the start", "{{angbr|a}} It is a letter."),
    ("break", "One line,<br>another line."),
]

TIDIED = [
    ("all gone", "Apollo ({{IPA-el|apollon}}) is a god.", "Apollo is a god."),
    ("part gone", "Apollo ({{lang-el|A}}; Latin: ''Apollo'') is.", "Apollo is."),
    ("innermost gone", "A (b ({{IPA|c}}) d) e.", "A (b d) e."),
    ("empty", "A (<ref>b</ref>) c.", "A c."),
    ("comma left", "A (<ref>b</ref>, ) c.", "A c."),
    ("semicolon left", "A (; <!-- b -->) c.", "A c."),
    ("leading comma", "A (<!-- b -->, c) d.", "A (c) d."),
    ("trailing comma", "A (b, <!-- c -->) d.", "A (b) d."),
    ("inner space", "A ( b ) c.", "A (b) c."),
]

FRAGMENTS = [
    ("lower case", "and so it ended."),
    ("punctuation", ", and so it ended."),
    ("no end", "He said as follows:"),
    ("open parenthesis", "It ended (so."),
    ("open quotation", 'It "ended so.'),
    ("unbalanced style", "The ''Iliad'''s age.''"),
    ("unclosed template", "It {{ended so."),
    ("stray braces", "It ended }} so."),
    ("unclosed link", "It [[ended so."),
    ("unclosed table", "{| class=x\n| It ended so."),
    ("row", "It |- ended so."),
    ("unclosed ref", "It ended <ref>so."),
    ("magic word", "__NOTOC__ It ended so. __NOTOC__"),
    ("caption", "It ended thumb|so."),
    ("footnote", "It ended so.[3] And on."),
    ("two marks", "It ended, <!-- a -->, so."),
    ("empty brackets", "It ended [] so."),
    ("double entity", "It ended&amp;nbsp; so."),
]


def by_name(table):
    return [pytest.param(*row[1:], id=row[0]) for row in table]


@pytest.mark.parametrize(("markup", "text"), by_name(SHOWN))
def test_words_are_kept(markup, text):
    assert clean(markup) == [text]


@pytest.mark.parametrize(("markup", "text"), by_name(UNSEEN))
def test_what_is_no_prose_leaves_no_trace(markup, text):
    assert clean(markup) == [text]


@pytest.mark.parametrize("markup", by_name(HOLES))
def test_a_sentence_with_a_hole_is_dropped(markup):
    assert clean(f"{markup}\n\nThe next one stays.") == ["The next one stays."]


@pytest.mark.parametrize(("markup", "text"), by_name(TIDIED))
def test_parentheses_are_tidied(markup, text):
    assert clean(markup) == [text]


@pytest.mark.parametrize("markup", by_name(FRAGMENTS))
def test_fragments_and_residue_are_dropped(markup):
    assert clean(f"The first one stays.\n\n{markup}") == ["The first one stays."]


def test_paragraphs_are_split_where_mediawiki_splits_them():
    assert clean("One\nline.\n\nTwo.\n* Item.\nThree.\n== H ==\nFour.") == [
        "One line.",
        "Two.",
        "Three.",
        "Four.",
    ]


@given(
    st.lists(st.sampled_from(["{{", "}}", "[[", "]]", "{|", "|-", "|}", "'''", "<ref>", "a b."]))
)
def test_no_residue_gets_through_however_broken_the_markup(pieces):
    for text in clean("It was. " + " ".join(pieces) + " So."):
        assert not re.search(r"\{\{|\}\}|\[\[|\]\]|\{\||\|-|\||''|<", text)


def page(title, text, *, ns=0, redirect=False):
    moved = '<redirect title="B" />' if redirect else ""
    return (
        f"<page><title>{title}</title><ns>{ns}</ns>{moved}"
        f"<revision><id>1</id><text>{text}</text></revision></page>"
    )


@pytest.mark.parametrize("namespace", ["", ' xmlns="http://www.mediawiki.org/xml/export-0.10/"'])
def test_articles_are_read_from_a_dump_of_any_version(tmp_path, namespace):
    pages = [
        page("A", "First &amp;amp; ''best''.\n\nSecond."),
        page("B", "A redirect.", redirect=True),
        page("Talk:A", "A talk page.", ns=1),
        page("C", "Third."),
        page("D", ""),
    ]
    path = tmp_path / "dump.bz2"
    path.write_bytes(bz2.compress(f"<mediawiki{namespace}>{''.join(pages)}</mediawiki>".encode()))
    assert list(paragraphs(path)) == [
        Paragraph("A", "First & best."),
        Paragraph("A", "Second."),
        Paragraph("C", "Third."),
    ]


def test_without_the_parser_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    with pytest.raises(TextsError, match=r'pip install "transformer-dynamics\[wiki\]"'):
        clean("A b.")


@pytest.fixture
def dump(tmp_path, monkeypatch):
    """Stands for the bundled sample; counts how often it is fetched."""
    monkeypatch.setenv("TDYN_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "dump.bz2"
    path.write_bytes(bz2.compress(f"<mediawiki>{page('A', 'Ünï. &#xe000;')}</mediawiki>".encode()))
    fetched = []
    monkeypatch.setattr(assets, "fetch", lambda asset, **_: fetched.append(asset) or path)
    return fetched


def test_the_cleaned_sample_is_kept(dump, tmp_path, monkeypatch):
    monkeypatch.setattr(wikipedia, "clean", lambda text: [text])
    first = wikipedia.sample()
    assert first == (Paragraph("A", "Ünï. \ue000"),)
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    assert wikipedia.sample(offline=True) == first
    assert dump == [assets.WIKIPEDIA_SAMPLE]
    (kept,) = (tmp_path / "cache" / "texts").iterdir()
    assert assets.WIKIPEDIA_SAMPLE.sha256[:12] in kept.name
    assert f"-v{wikipedia.CLEANER_VERSION}." in kept.name


def test_without_the_parser_nothing_is_downloaded(dump, monkeypatch):
    monkeypatch.setitem(sys.modules, "mwparserfromhell", None)
    with pytest.raises(TextsError, match=r"\[wiki\]"):
        wikipedia.sample()
    assert dump == []


@pytest.mark.parametrize("line", ["{", '{"title": "A"}', "[1, 2]", "5"])
def test_a_damaged_cleaned_sample_is_named(dump, tmp_path, line):
    wikipedia.sample()
    (kept,) = (tmp_path / "cache" / "texts").iterdir()
    kept.write_text(json.dumps({"title": "A", "text": "B."}) + f"\n{line}\n", encoding="utf-8")
    with pytest.raises(TextsError, match=r"is damaged .* delete it"):
        wikipedia.sample()


def test_offline_without_the_sample_is_an_asset_error(tmp_path, monkeypatch):
    monkeypatch.setenv("TDYN_CACHE", str(tmp_path))
    with pytest.raises(AssetError, match="run once without --offline"):
        wikipedia.sample(offline=True)


@pytest.mark.bundled
def test_the_bundled_sample_is_prose():
    found = wikipedia.sample()
    assert len({paragraph.title for paragraph in found}) > 80
    assert 2_000 < sum(100 <= len(text) <= 500 for _, text in found) < 2_400
    residue = re.compile(
        r"\{\{|\}\}|\[\[|\]\]|\{\||\|-|\||thumb\||''|</?[a-z]|&\w+;|https?://"
        r"|\(\s*[,;]?\s*\)|\s[,.;]\s|^\W*[a-z]|^[*#:;]|\[\d+\]|==|__[A-Z]"
    )
    assert [text for _, text in found if residue.search(text)] == []
