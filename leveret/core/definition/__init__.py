"""Definitions as they rest in the log."""
