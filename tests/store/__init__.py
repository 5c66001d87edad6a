"""Tests of the store floor: logs in memory and on disk."""
