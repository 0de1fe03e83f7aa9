"""Files that are whole or not there, results on disk, bundled files."""
