"""Benchmarks of Leveret, alone or compared with other brokers: see README.md."""
