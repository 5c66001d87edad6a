"""Tests of everything that reads bytes from strangers, fed with nonsense."""
