"""Tests of administration, on brokers without sockets and without disks."""

from hypothesis import settings

settings.register_profile("leveret", deadline=None)
settings.load_profile("leveret")
