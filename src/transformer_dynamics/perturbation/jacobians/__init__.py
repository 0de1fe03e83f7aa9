"""Jacobians of steps over depth: spectra, ranks, Lyapunov exponents, lens."""
