"""Running models: the backend protocol, the reference interpreter, and verification."""
