"""Tests of the store floor: logs in memory and on disk."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
