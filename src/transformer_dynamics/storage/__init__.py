"""Atomic writing of files, results on disk, and bundled files."""
