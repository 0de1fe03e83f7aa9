"""Array kernels that several measures share."""
