"""Split, scores and findings of the autoencoder measure."""
