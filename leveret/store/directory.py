"""Directories that survive a power cut, with the names of the files in them."""

from __future__ import annotations

import os
from pathlib import Path


def make_directory(directory: Path) -> None:
    """Create a directory and its parents, unless they exist; its name survives a power cut.

    SQLite syncs files and their names; the name of the directory itself is in its parent.
    Raises: OSError when it cannot be created.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # it contains password hashes
    for path in missing or [directory]:  # its creator may not have synced its name
        sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Sync the names in a directory to the disk."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        os.sync()  # an unreadable directory, or a file system that cannot sync directories
