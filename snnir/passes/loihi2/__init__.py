"""Lowering to domain ``loihi2``."""
