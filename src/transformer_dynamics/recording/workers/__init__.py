"""Workers that record one recording together: its growing folder, claims, progress."""
