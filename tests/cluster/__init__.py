"""Tests of what nodes of a cluster decide, without a database."""
