"""Recordings on disk: chunks, shards, checks, and opening what is whole."""
