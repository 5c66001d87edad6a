"""Decide which directories to trust: those that no other user can create or write to.

A user who can write to a data directory decides to which socket commands send password hashes. Root and the user who
runs the command are trusted.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from leveret.store.directory import make_directory
from leveret.store.owner import user_name


class Untrusted(Exception):
    """A directory cannot be trusted. The text says why. is_foreign: only because it belongs to another user."""

    def __init__(self, text: str, is_foreign: bool = False) -> None:
        super().__init__(text)
        self.is_foreign = is_foreign


def claim(directory: Path) -> None:
    """Create a data directory if it does not exist, and check that it is ours. Raises: Untrusted."""
    with contextlib.suppress(OSError):  # the store reports it later
        make_directory(directory)
    check(directory, False)


def check(directory: Path, may_be_foreign: bool) -> None:
    """Check that only the owner of a directory, and users that the owner permits, can write to it.

    may_be_foreign: whether the owner may be a user other than this one and root. Accepts a directory that does not
    exist or cannot be inspected. Raises: Untrusted.
    """
    ours = (os.geteuid(), 0)
    try:
        found = directory.stat()
        owners = {found.st_uid, directory.lstat().st_uid}  # of a link too
        for parent in directory.resolve().parents:
            mode = parent.stat().st_mode
            if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
                raise Untrusted(f"any user can replace '{directory}', because any user can write to '{parent}'")
    except OSError:
        return
    if found.st_mode & stat.S_IWOTH:
        raise Untrusted(f"any user can write to '{directory}'")
    for owner in sorted(owners.difference(ours)):
        if not may_be_foreign:
            raise Untrusted(f"'{directory}' belongs to {user_name(owner)}", True)
        if found.st_mode & stat.S_IWGRP:
            raise Untrusted(f"'{directory}' belongs to {user_name(owner)}, and a group can write to it")


def may_answer(uid: int, directory: Path) -> bool:
    """Whether to trust a broker run by this user on a socket in a directory, or named by one."""
    try:
        return uid in (os.geteuid(), 0, directory.stat().st_uid)
    except OSError:
        return False
