"""Explain the route of a message, step by step."""
