"""Tests of everything that reads bytes from strangers, fed with nonsense."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
