"""Tests of the wire floor: bytes, frames, tables."""
