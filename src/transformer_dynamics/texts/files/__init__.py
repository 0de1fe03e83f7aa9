"""Readers of text files: plain text, tables, JSON and Parquet."""
