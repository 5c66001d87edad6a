"""Directories: after a power cut they have to be there, with the names of the files in them."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, if they are not there; its name survives a power cut.

    SQLite syncs files and their names; the name of the directory itself is in the one above.
    Raises: OSError when it cannot be made.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # there are password hashes in it
    for path in missing or [directory]:  # whoever made it may not have synced its name
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make names in a directory survive a power cut."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        os.sync()  # a directory that may not be read, or a file system that syncs none
