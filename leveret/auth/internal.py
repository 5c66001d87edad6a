"""InternalAuthenticator: who a client is, by the users that the broker itself knows.

A right password is answered at once, if its hash is a cheap one or it was checked before: it is remembered under a fast
hash with a key of this process, so that a thousand clients that come back at once cost one computation of Argon2.
Everything else costs exactly one, whatever is wrong and whether there is such a user, so that the time tells no names.
"""

from __future__ import annotations

import asyncio
import functools
import hashlib
import hmac
import os
import time
from collections.abc import Callable, Collection

from leveret.auth.addresses import is_loopback, site
from leveret.auth.authenticator import Authenticator, LoginRefused
from leveret.auth.history import History
from leveret.auth.line import Line
from leveret.auth.passwords import fits, impossible, is_slow
from leveret.core.access.user import Credential, User
from leveret.core.access.users import Users


class InternalAuthenticator(Authenticator):
    """Checks names and passwords. loopback_users: names that may only connect from this machine."""

    def __init__(
        self, users: Users, loopback_users: Collection[str], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._users = users
        self._loopback_users = frozenset(loopback_users)
        self._key = os.urandom(32)
        self._known: dict[str, tuple[Credential, bytes]] = {}  # by user: what fitted, and the mark of its password
        self._history = History(now)
        self._line = Line(self._history)
        self._nobody = impossible()

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """The user of these credentials; None when only authenticate() can tell."""
        user = self._check_quickly(name, password, host)
        if user is None:
            return None
        place, who = site(host), self._mark(name)
        if self._history.delay_s(place, who) and not self._history.has_succeeded(place, who):
            return None  # otherwise somebody who guesses would be told that this guess is right by not being delayed
        self._history.succeeded(place, who)
        return user

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The user of these credentials. Raises: LoginRefused, TooBusy, ClientGone."""
        place, who = site(host), self._mark(name)
        while delay_s := self._history.delay_s(place, who):
            await asyncio.sleep(delay_s)
        user = self._check_quickly(name, password, host)
        if user is None:
            try:
                user = await self._look_closely(name, password, host, is_gone)
            except LoginRefused:
                self._history.failed(place, who)
                raise
        self._history.succeeded(place, who)
        return user

    def _check_quickly(self, name: str, password: str, host: str) -> User | None:
        """The user of a right password that needs no slow check; None for all else."""
        user = self._users.get(name)
        if user is None or not password or not self._may_come(name, host):
            return None
        is_right = self._is_known(user, password) if is_slow(user.credential) else fits(user.credential, password)
        return user if is_right else None

    async def _look_closely(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The user of a password that needs a slow check, or is not good. Raises: LoginRefused, TooBusy, ClientGone."""
        user = self._users.get(name)
        credential = user.credential if user is not None and is_slow(user.credential) else self._nobody
        who, mark = self._mark(name), self._mark(password)
        work = functools.partial(fits, credential, password or "?")  # an empty one takes no time
        has_fitted = await self._line.check((who, credential.hash, mark), site(host), who, work, is_gone)
        if user is None or self._users.get(name) is not user:
            raise _invalid(name)
        if not password:
            raise LoginRefused(f"user '{name}' attempted to log in with a blank password")
        if credential is self._nobody:
            has_fitted = fits(user.credential, password)
        if not has_fitted or (credential is not self._nobody and credential is not user.credential):
            raise _invalid(name)
        if not self._may_come(name, host):
            raise LoginRefused(f"user '{name}' can only connect via localhost")
        if credential is not self._nobody:
            self._known[name] = (credential, mark)
        return user

    def _is_known(self, user: User, password: str) -> bool:
        known = self._known.get(user.name)
        if known is None:
            return False
        credential, mark = known
        return credential is user.credential and hmac.compare_digest(mark, self._mark(password))

    def _mark(self, text: str) -> bytes:
        """What stands for a name or a password: short, and of no use to whoever reads it."""
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()

    def _may_come(self, name: str, host: str) -> bool:
        return name not in self._loopback_users or is_loopback(host)


def _invalid(name: str) -> LoginRefused:
    return LoginRefused(f"user '{name}' - invalid credentials")
