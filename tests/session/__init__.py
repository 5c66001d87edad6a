"""Tests of the session floor, driven by bytes without a socket."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
