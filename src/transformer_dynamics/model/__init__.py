"""The residual stream of a model: where its sites are, and how to read states there."""
