"""Figures of single units as orbits."""
