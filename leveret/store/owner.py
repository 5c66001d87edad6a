"""Lets root act with the rights of a directory's owner.

The owner of a directory can put links to anything into it. So root uses only the owner's rights there; and the files
that it creates belong to the owner, whose broker can use them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def as_owner(directory: Path) -> Iterator[None]:
    """In this block, restrict a process of root to the rights of the directory's owner.

    Nothing changes for other users, or if the directory is root's or does not exist.
    Raises: OSError when the owner cannot reach the directory, or root may not change its rights.
    """
    try:
        found = directory.stat()
    except OSError:  # reported on its first use
        found = None
    if found is None or os.geteuid() != 0 or found.st_uid == 0:
        yield
        return
    owner = user_name(found.st_uid)
    with contextlib.ExitStack() as back:
        try:
            back.callback(os.setgroups, os.getgroups())
            os.setgroups([found.st_gid])
            back.callback(os.setegid, os.getegid())
            os.setegid(found.st_gid)
            back.callback(os.seteuid, 0)
            os.seteuid(found.st_uid)
        except PermissionError as error:
            back.pop_all()
            text = f"it belongs to {owner}, whose rights root may not take here; run the command as that user"
            raise PermissionError(error.errno, text, os.fspath(directory)) from None
        if not os.access(directory, os.X_OK, effective_ids=True):
            text = f"it belongs to {owner}, who cannot get there; let that user pass, or move it"
            raise PermissionError(errno.EACCES, text, os.fspath(directory))
        yield


def user_name(uid: int) -> str:
    """The name of a user id, as error text."""
    try:
        return f"the user '{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return f"the user with the number {uid}"
