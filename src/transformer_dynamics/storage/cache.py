"""Folder of fetched and converted files."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """Return the folder of the variable TDYN_CACHE, or the user's cache folder."""
    named = os.environ.get("TDYN_CACHE")
    return (
        Path(named).expanduser() if named else platformdirs.user_cache_path("transformer-dynamics")
    )
