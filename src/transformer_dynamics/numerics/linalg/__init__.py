"""Decompositions of matrices: leading eigenvectors, Schur forms."""
