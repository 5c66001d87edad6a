"""Measuring Leveret, alone and beside other brokers: see README.md."""
