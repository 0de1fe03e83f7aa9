"""Figures of the dimension of the stream."""
