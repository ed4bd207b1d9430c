"""The model in memory. Knows nothing of files."""
