"""InternalAuthenticator: checks credentials against the broker's own users.

A correct password is accepted at once if its hash is fast, or if it was checked before: it is cached under a fast
hash with a key of this process, so that a thousand reconnecting clients cost one computation of Argon2. Every other
check costs exactly one, whatever is wrong and whether the user exists, so that the time does not reveal user names.
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
        self._known: dict[str, tuple[Credential, bytes]] = {}  # by user: credential and keyed hash of the password
        self._history = History(now)
        self._line = Line(self._history)
        self._nobody = impossible()

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """The user of these credentials; None when authenticate() must decide."""
        user = self._check_quickly(name, password, host)
        if user is None:
            return None
        place, who = site(host), self._mark(name)
        if self._history.delay_s(place, who) and not self._history.has_succeeded(place, who):
            return None  # a missing delay would confirm a correct guess to an attacker
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
        """The user, for a correct password without a slow check; otherwise None."""
        user = self._users.get(name)
        if user is None or not password or not self._may_come(name, host):
            return None
        is_right = self._is_known(user, password) if is_slow(user.credential) else fits(user.credential, password)
        return user if is_right else None

    async def _look_closely(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The user, after a slow check of the password. Raises: LoginRefused, TooBusy, ClientGone."""
        user = self._users.get(name)
        credential = user.credential if user is not None and is_slow(user.credential) else self._nobody
        who, mark = self._mark(name), self._mark(password)
        work = functools.partial(fits, credential, password or "?")  # an empty one would take no time
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
        """A keyed hash of a name or a password: short, and worthless without the key."""
        return hashlib.blake2b(text.encode("utf-8", "surrogateescape"), key=self._key, digest_size=32).digest()

    def _may_come(self, name: str, host: str) -> bool:
        return name not in self._loopback_users or is_loopback(host)


def _invalid(name: str) -> LoginRefused:
    return LoginRefused(f"user '{name}' - invalid credentials")
