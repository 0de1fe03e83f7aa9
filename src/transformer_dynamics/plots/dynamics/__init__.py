"""Figures of maps and rotations fitted over depth."""
