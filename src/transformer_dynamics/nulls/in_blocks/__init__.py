"""Nulls of a recording that is larger than the memory."""
