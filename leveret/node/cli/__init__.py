"""The command line: one file for each noun, `leveret users` in users.py."""

from leveret.node.cli.root import app

__all__ = ["app"]
