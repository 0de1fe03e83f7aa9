"""Forward passes that carry replaced states of one token through a model."""
