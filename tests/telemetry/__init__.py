"""Tests of spans, with a collector that gets them."""
