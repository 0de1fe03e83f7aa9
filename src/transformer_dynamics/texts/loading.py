"""Load texts: read a source, keep texts within bounds, draw a sample, and cut its texts.

All sources are treated alike: texts are read and stripped, texts whose length in characters lies
within bounds are kept, a seeded sample is drawn without replacement in the source's order, and, if
requested, each text is cut at a random word (see `cutting`). Texts may carry a group, such as an
article: texts of one group resemble each other, so intervals and splits are taken over groups.

Source: arXiv 2502.12131, which keeps the texts of WikiText of 100 to 500 characters; these are
the default bounds of the corpora. The user's own files have no default bounds.

Limits: no tokens (see `texts.inputs`), no removal of duplicates, no files larger than memory.
"""

from __future__ import annotations

from transformer_dynamics.texts import wikipedia
from transformer_dynamics.texts.collection import Texts
from transformer_dynamics.texts.cutting import check_cut, cut_texts
from transformer_dynamics.texts.files.columns import Columns, Entry
from transformer_dynamics.texts.files.readers import read_file
from transformer_dynamics.texts.hub import read_hub
from transformer_dynamics.texts.options import (
    TextOptions,
    check_column,
    check_group,
    check_revision,
    whole_number,
)
from transformer_dynamics.texts.selection import Bounds, sample, texts_within
from transformer_dynamics.texts.sources import (
    WIKIPEDIA,
    Source,
    check_source,
    files_of,
    is_bundled,
    is_on_hub,
    is_one_file,
    name_of,
)

ARTICLE = "article"
"""Meaning of the groups of the bundled sample: the article of each paragraph."""

Selection = dict[str, int | str | None]
DEFAULTS = TextOptions()


def load_texts(
    source: Source = WIKIPEDIA,
    n: int | None = None,
    *,
    column: str = "text",
    group: str | None = None,
    cut: str | None = None,
    seed: int = 0,
    options: TextOptions = DEFAULTS,
) -> Texts:
    """Load texts from a corpus, from files or from a dataset of the Hugging Face hub.

    Args:
        source: "wikipedia-sample"; a file (.txt, .csv, .tsv, .json, .jsonl, .ndjson, also with
            .gz, or .parquet); a pattern of paths, `data/*.txt`, or a list of paths; or a dataset,
            "hf://OWNER/NAME[:CONFIG[:SPLIT]]" (by default the split "test"), with a slice if
            needed: "hf://OWNER/NAME::train[:1000]".
        n: size of the sample, drawn without replacement. None: all texts. From a dataset of the
            hub of more than 1 GB or of unknown size, without a slice, the sample is drawn from
            the first 100,000 rows.
        column: column of the texts in a table, in objects or in a dataset; outside .csv and .tsv
            also a dotted path into nested values, "messages.0.content".
        group: column of the groups (article, document, speaker), as `column`. A text with a blank
            group is a group of its own. None: no groups; for "wikipedia-sample" the article.
        cut: "random" ends each text at a random word from the fourth to the last but one;
            "none" leaves it whole. None: "random" for "wikipedia-sample", otherwise "none".
        seed: seed of the sample and of the cut.
        options: bounds on the length, revision of a dataset, offline mode.

    Raises:
        TextsError: an argument is not allowed, or a file is broken or has a wrong extension. Files
            are UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        AssetError: the bundled sample cannot be fetched.

    Examples:
        >>> load_texts("wikipedia-sample", n=1000)  # doctest: +SKIP
        >>> load_texts("stimuli/*.csv", column="sentence")  # doctest: +SKIP
    """
    check_source(source)
    if n is not None:
        n = whole_number("n", n, 1, "load_texts(source, n=100), or n=None for all texts")
    seed = whole_number("seed", seed, 0, "load_texts(source, n=100, seed=0)")
    check_column(column)
    check_revision(source, options.revision)
    check_group(source, group)
    check_cut(cut)
    bounds = Bounds.of(source, options)
    entries, selection = _read(source, Columns(column, group), n, options)
    kept = texts_within(entries, bounds, source)
    chosen = sample(kept, n, seed, source, selection.get("first_rows"))
    label = ARTICLE if is_bundled(source) else group
    strings, cutting = _cut([text for text, _ in chosen], cut, source, seed)
    groups = None if label is None else tuple(group for _, group in chosen)
    selected: Selection
    selected = {"min_chars": bounds.lower, "max_chars": bounds.upper, "n": n, "seed": seed}
    selected |= {"available": len(kept), **selection, "group": label, **cutting}
    return Texts(tuple(strings), name_of(source), selected, groups)


def _cut(
    texts: list[str], cut: str | None, source: Source, seed: int
) -> tuple[list[str], Selection]:
    """Cut the texts if requested; return them with the entries of the selection on the cut."""
    cut = cut or ("random" if is_bundled(source) else "none")
    if cut == "none":
        return texts, {"cut": cut}
    shorter = cut_texts(texts, seed=seed)
    n_whole = sum(before == after for before, after in zip(texts, shorter, strict=True))
    return shorter, {"cut": cut, "left_whole": n_whole}


def _read(
    source: Source, columns: Columns, n: int | None, options: TextOptions
) -> tuple[list[Entry], Selection]:
    """Read all texts and groups of a source, with the entries of the selection on the reading."""
    if is_bundled(source):
        sample = wikipedia.sample(offline=options.offline)
        return [(paragraph.text, paragraph.title) for paragraph in sample], {}
    if isinstance(source, str) and is_on_hub(source):
        revision, offline = options.revision, options.offline
        entries, first_rows = read_hub(source, columns, n=n, revision=revision, offline=offline)
        return entries, {"revision": revision, "first_rows": first_rows}
    files = files_of(source)
    entries = [entry for file in files for entry in read_file(file, columns)]
    return entries, {} if is_one_file(source) else {"files": len(files)}
