"""Definitions as the log stores them."""
