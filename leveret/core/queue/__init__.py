"""Queues: the owners of order."""
