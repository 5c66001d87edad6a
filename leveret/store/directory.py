"""The data directory and the files in it: after a power cut they have to be there, and only their owner may read them.

Messages and the hashes of passwords are in them. Whoever makes a file says so by private(), so that it does not matter
what the umask is and who may enter the directory.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

PRIVATE: Final = 0o600
OTHERS: Final = 0o077


def make_directory(directory: Path) -> None:
    """Make a directory and those above it, if they are not there; its name survives a power cut.

    SQLite syncs files and their names; the name of the directory itself is in the one above.
    Raises: OSError when it cannot be made.
    """
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)  # there are password hashes in it
    for path in missing or [directory]:  # whoever made it may not have synced its name
        sync_directory(path.parent)


def private(path: str | os.PathLike[str], flags: int = os.O_RDWR | os.O_CREAT) -> int:
    """Open a file that only its owner may read and write; one that was made otherwise becomes so.

    A pipe or a device stays as it is. Can be the opener of open(). Raises: OSError.
    """
    descriptor = os.open(path, flags | os.O_CLOEXEC, PRIVATE)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode) and mode & OTHERS:
            os.fchmod(descriptor, mode & PRIVATE)
    except PermissionError:
        pass  # the file is somebody else's, who lets us write to it
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def make_private(path: Path) -> None:
    """Make an empty file that only its owner may read, unless it is there; SQLite gives its logs the same rights.

    Raises: OSError.
    """
    os.close(private(path))


def tighten(directory: Path, name: str) -> None:
    """Let nobody but the owner read the files whose names begin so, whoever made them.

    Others may lie in the same directory, and are not ours to change.
    """
    for path in directory.glob(f"{name}*"):
        with contextlib.suppress(OSError):  # it has just gone, or is somebody else's
            mode = path.lstat().st_mode
            if stat.S_ISREG(mode) and mode & OTHERS:
                path.chmod(mode & PRIVATE)


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
