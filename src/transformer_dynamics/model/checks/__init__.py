"""Checks that what is recorded is what the model of its user computes."""
