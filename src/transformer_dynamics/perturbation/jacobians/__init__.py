"""Jacobians of the steps over depth, and what follows from them."""
