"""Exchanges, and what they do with messages before and while they route them."""
