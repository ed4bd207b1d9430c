"""Operators: their definitions, and finding them."""
