"""Figures of single units and their communities."""
