"""The rights of the owner of a directory, for root.

Whoever owns a directory may put links into it that lead anywhere. Root does there what the owner might do himself, and
what it makes belongs to him, so that his broker can use it.
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
    """Let this process, if it is root's, have only the rights of the owner of a directory in this block.

    Nothing changes for other users, or if the directory is root's or not there.
    Raises: OSError when the owner cannot get there, or root may not do this.
    """
    try:
        found = directory.stat()
    except OSError:  # whoever uses it finds out
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
    """Whose number this is, for people."""
    try:
        return f"the user '{pwd.getpwuid(uid).pw_name}'"
    except KeyError:
        return f"the user with the number {uid}"
