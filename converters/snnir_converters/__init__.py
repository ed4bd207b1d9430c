"""Frontends and targets of snnir, each loaded on demand by snnir's plugin registry."""
