"""Exchanges: where messages come in, and where they go from there."""
