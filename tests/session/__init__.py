"""Tests of the session floor, driven by bytes without a socket."""
