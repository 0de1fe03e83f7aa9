"""Perturbed states of the last token, followed through depth."""
