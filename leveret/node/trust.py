"""Which directories may be trusted: those that nobody else can have filled or put there.

Whoever can write to a data directory decides to which socket commands send the hashes of passwords. Root, and the
user who runs the command, are nobody else.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from leveret.store.directory import make_directory
from leveret.store.owner import user_name


class Untrusted(Exception):
    """A directory may not be trusted; the text says why. is_foreign: only because it belongs to another user."""

    def __init__(self, text: str, is_foreign: bool = False) -> None:
        super().__init__(text)
        self.is_foreign = is_foreign


def claim(directory: Path) -> None:
    """Make a data directory, unless it is there, and make sure that it is ours. Raises: Untrusted."""
    with contextlib.suppress(OSError):  # the store, which needs it, says so
        make_directory(directory)
    check(directory, False)


def check(directory: Path, may_be_foreign: bool) -> None:
    """Make sure that nobody but its owner, and those whom the owner lets, could put anything into a directory.

    may_be_foreign: whether another user than this one and root may be the owner. A directory that is not there, or
    cannot be looked at, is left to those who use it. Raises: Untrusted.
    """
    ours = (os.geteuid(), 0)
    try:
        found = directory.stat()
        owners = {found.st_uid, directory.lstat().st_uid}  # of a link too
        for parent in directory.resolve().parents:
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise Untrusted(f"everybody can replace '{directory}', since everybody may write to '{parent}'")
    except OSError:
        return
    if found.st_mode & stat.S_IWOTH:
        raise Untrusted(f"everybody may write to '{directory}'")
    for owner in sorted(owners.difference(ours)):
        if not may_be_foreign:
            raise Untrusted(f"'{directory}' belongs to {user_name(owner)}", True)
        if found.st_mode & stat.S_IWGRP:
            raise Untrusted(f"'{directory}' belongs to {user_name(owner)}, and a group may write to it")


def may_answer(uid: int, directory: Path) -> bool:
    """Whether a user may be the one whose broker listens on a socket that a directory has, or leads to."""
    try:
        return uid in (os.geteuid(), 0, directory.stat().st_uid)
    except OSError:
        return False
