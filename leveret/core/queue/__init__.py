"""Queues: their messages, consumers and settings."""
