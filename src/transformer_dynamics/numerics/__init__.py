"""Array kernels that several measures share, each of them here and nowhere else."""
