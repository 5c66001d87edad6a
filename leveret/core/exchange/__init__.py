"""Exchanges: they receive messages and route them to queues."""
