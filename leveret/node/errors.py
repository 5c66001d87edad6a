"""Errors of a node."""


class StartError(Exception):
    """The node cannot start. The text says why, and what to do."""
