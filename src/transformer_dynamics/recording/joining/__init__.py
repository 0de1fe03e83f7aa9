"""Recordings and moments of several sets of texts, joined into one."""
