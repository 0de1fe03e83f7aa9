"""Perturbed states of the last token, followed over depth."""
