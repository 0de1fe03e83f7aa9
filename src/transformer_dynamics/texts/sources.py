"""Names of sources of texts, and the files of a path, a pattern or a list of both."""

from __future__ import annotations

import glob
import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from transformer_dynamics.errors import TextsError

WIKIPEDIA = "wikipedia-sample"
HUB = "hf://"
PLAIN_KINDS = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson")
"""Extensions of text files; each may be followed by .gz."""
ALLOWED = (
    f"{WIKIPEDIA!r}, a path to a {', '.join(PLAIN_KINDS)} (or any of these .gz) or .parquet file, "
    f"a pattern such as 'data/*.txt', a list of paths, or '{HUB}OWNER/NAME[:CONFIG[:SPLIT]]'"
)

Source = str | Path | Sequence[str | Path]

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]+):/")
_DOWNLOADS = {
    "s3": "aws s3 cp {} texts.txt",
    "gs": "gcloud storage cp {} texts.txt",
    "http": "curl -L -o texts.txt {}",
    "https": "curl -L -o texts.txt {}",
}
_HUB_PAGE = re.compile(r"https?://(www\.)?huggingface\.co/datasets/(?P<name>[\w.-]+/[\w.-]+)")


def is_on_hub(source: object) -> bool:
    """Return whether the source is a dataset of the Hugging Face hub."""
    return isinstance(source, str) and source.startswith(HUB)


def is_bundled(source: object) -> bool:
    """Return whether the source is the bundled Wikipedia sample."""
    return isinstance(source, str) and source == WIKIPEDIA


def is_one_file(source: Source) -> bool:
    """Return whether the source is the path of one file, not a pattern or a list."""
    return isinstance(source, (str, Path)) and os.path.isfile(os.path.expanduser(source))


def name_of(source: Source) -> str:
    """Return the source as one string, for the provenance."""
    if isinstance(source, (str, Path)):
        return str(source)
    return ", ".join(map(str, source))


def shown(source: Source) -> str:
    """Return the source as written in a call, shortened to two paths for a long list."""
    if isinstance(source, (str, Path)):
        return repr(str(source))
    listed = [repr(str(each)) for each in source]
    return f"[{', '.join(listed if len(listed) <= 3 else [*listed[:2], '...'])}]"


def check_source(source: object) -> None:
    """Refuse an argument that is neither a name, a path nor a list of paths.

    Raises:
        TextsError: it has another type, or the list is empty.
    """
    if isinstance(source, (list, tuple)):
        wrong = [type(each).__name__ for each in source if not isinstance(each, (str, Path))]
        if source and not wrong:
            return
        came = f"source is a list that holds {wrong[0]}" if wrong else "source is an empty list"
    elif isinstance(source, (str, Path)):
        return
    else:
        came = f"source is of type {type(source).__name__}"
    raise TextsError(
        f"{came}; allowed is {ALLOWED}. Strings in memory need no loading: record(model, strings)"
    )


def files_of(source: Source) -> list[Path]:
    """Return the files of a path, a pattern, or a list of both.

    An existing file is never read as a pattern, even if its name contains `*`, `?` or `[`. The
    files of a pattern are in the order of their sorted paths; `**` matches folders at any depth.

    Raises:
        TextsError: no file exists under the name.
    """
    if isinstance(source, (str, Path)):
        return _matches(str(source), "")
    hint = ". Strings in memory need no loading: record(model, strings)"
    return [file for each in source for file in _matches(str(each), hint)]


def _matches(name: str, hint: str) -> list[Path]:
    path = os.path.expanduser(name)
    if os.path.isfile(path):
        return [Path(path)]
    if os.path.isdir(path):
        raise _folder(name or ".")
    _check_is_no_url(name)
    if glob.has_magic(name):
        return _files_matching(name, path)
    if os.path.exists(path):
        raise TextsError(
            f"{name!r} is a device, a pipe or a socket; allowed is a file on disk. Save the texts "
            "to a file first: load_texts('texts.txt')"
        )
    raise TextsError(
        f"{name!r} is neither a bundled corpus nor a file that exists; allowed is {ALLOWED}: "
        f"load_texts('texts.txt'){hint}"
    )


def _files_matching(name: str, pattern: str) -> list[Path]:
    try:
        matches = sorted(glob.glob(pattern, recursive=True))
    except ValueError:  # a NUL character in a folder's name
        matches = []
    files = [Path(match) for match in matches if os.path.isfile(match)]
    if not files:
        raise TextsError(
            f"no file matches the pattern {name!r}; in a pattern * matches any characters and ** "
            "folders at any depth: load_texts('data/*.txt')"
        )
    return files


def _folder(name: str) -> TextsError:
    pattern = f"{name.rstrip('/')}/*.txt"
    return TextsError(
        f"{name} is a folder; allowed is {ALLOWED}. Name the files in it with a pattern: "
        f"load_texts({pattern!r})"
    )


def _check_is_no_url(name: str) -> None:
    url = _URL.match(name)
    if url is None:
        return
    scheme = url["scheme"].lower()
    page = _HUB_PAGE.match(name)
    if page:
        remedy = f"a dataset of the hub has a shorter name: load_texts('{HUB}{page['name']}')"
    elif scheme == "hf":
        remedy = (
            f"a dataset of the hub is named by a string, not a path, that begins with {HUB!r}: "
            f"load_texts('{HUB}OWNER/NAME')"
        )
    elif scheme == "file":
        remedy = "name the path alone: load_texts('/folder/texts.txt')"
    else:
        tool = _DOWNLOADS.get(scheme)
        command = f" ({tool.format(shlex.quote(name))})" if tool else ""
        remedy = f"download the file first{command}, then load_texts('texts.txt')"
    raise TextsError(
        f"{name!r} is an address with the scheme {scheme}://, which cannot be read; allowed is "
        f"{ALLOWED}. {remedy[0].upper()}{remedy[1:]}"
    )
