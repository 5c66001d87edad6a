"""Tests of the core floor: routing, order, queues, time."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
