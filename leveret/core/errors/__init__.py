"""Refusals and errors, and their texts."""
