"""The user who runs the broker, as far as its data directory tells, so that root can check what that user may read."""

from __future__ import annotations

import contextlib
import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from leveret.store.owner import user_name


@dataclass(frozen=True)
class ServiceUser:
    """A user. name: for texts. groups: all groups, the primary one first. is_this: whether it is the current user.

    is_guess: whether the service may run as another user, because root asks and there is no data directory.
    """

    uid: int
    name: str
    groups: tuple[int, ...]
    is_this: bool
    is_guess: bool = False

    @contextlib.contextmanager
    def acting(self) -> Iterator[None]:
        """In this block, root has the rights of this user. Import before it what the block uses.

        Raises: OSError when root may not take these rights.
        """
        if self.is_this:
            yield
            return
        with contextlib.ExitStack() as back:
            before = os.getgroups()
            os.setgroups(self.groups)
            back.callback(os.setgroups, before)
            back.callback(os.setegid, os.getegid())
            os.setegid(self.groups[0])
            os.seteuid(self.uid)
            back.callback(os.seteuid, 0)
            yield


def service_user(directory: Path | None) -> ServiceUser:
    """For root the owner of the data directory, if there is one. Otherwise the current user."""
    is_root = os.geteuid() == 0
    owner = None
    with contextlib.suppress(OSError):
        owner = None if directory is None else directory.stat()
    if is_root and owner is not None and owner.st_uid != 0:
        return ServiceUser(owner.st_uid, user_name(owner.st_uid), _groups(owner), False)
    groups = (os.getegid(), *os.getgroups())
    return ServiceUser(os.geteuid(), "this user", groups, True, is_root and owner is None)


def _groups(owner: os.stat_result) -> tuple[int, ...]:
    """The groups of the user of a directory: those of the account, as a service manager sets them."""
    try:
        account = pwd.getpwuid(owner.st_uid)
    except KeyError:
        return (owner.st_gid,)
    others = os.getgrouplist(account.pw_name, account.pw_gid)
    return (account.pw_gid, *(group for group in others if group != account.pw_gid))
