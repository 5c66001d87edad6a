"""Tests of brokers as processes, and of the command line."""
