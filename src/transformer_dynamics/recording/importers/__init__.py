"""States captured by other tools, as recordings."""
