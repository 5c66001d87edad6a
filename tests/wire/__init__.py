"""Tests of the wire floor: bytes, frames, tables."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
