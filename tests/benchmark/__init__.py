"""Tests of the benchmark: what it asks for, what it makes of numbers, and one run from end to end."""
