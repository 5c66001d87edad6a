"""Counters and statistics."""
