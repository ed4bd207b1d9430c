"""Rewrites of a model. A pass never changes the model it is given, and never reads a file."""
