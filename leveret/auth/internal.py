"""InternalAuthenticator: who a client is, by the users that the broker itself knows.

Argon2 is computed in threads of its own, a few at a time; whoever was checked once is remembered under a fast hash
with a key of this process, so that a thousand clients that come back at once cost one computation.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from leveret.auth.authenticator import Authenticator, LoginRefused
from leveret.auth.passwords import fits, is_slow
from leveret.core.access import Credential, User
from leveret.core.users import Users

THREADS: Final = 2  # Argon2 computations at once: each takes megabytes


class InternalAuthenticator(Authenticator):
    """Checks names and passwords. loopback_users: names that may only connect from this machine."""

    def __init__(self, users: Users, loopback_users: Collection[str]) -> None:
        self._users = users
        self._loopback_users = frozenset(loopback_users)
        self._key = os.urandom(32)
        self._known: dict[str, tuple[Credential, bytes]] = {}  # by user: what fitted, and the mark of its password
        self._running: dict[tuple[str, bytes], asyncio.Future[bool]] = {}
        self._threads: ThreadPoolExecutor | None = None

    def authenticate_now(self, name: str, password: str, peer_is_local: bool) -> User | None:
        """The user of these credentials; None when only authenticate() can tell. Raises: LoginRefused."""
        user = self._users.get(name)
        if user is None:
            raise _invalid(name)
        if not password:
            raise LoginRefused(f"user '{name}' attempted to log in with a blank password")
        if is_slow(user.credential):
            if not self._is_known(user, password):
                return None
        elif not fits(user.credential, password):
            raise _invalid(name)
        self._check_address(name, peer_is_local)
        return user

    async def authenticate(self, name: str, password: str, peer_is_local: bool) -> User:
        """The user of these credentials. Raises: LoginRefused."""
        user = self.authenticate_now(name, password, peer_is_local)
        while user is None:
            await self._compute(name, password)
            user = self.authenticate_now(name, password, peer_is_local)
        return user

    async def _compute(self, name: str, password: str) -> None:
        """Check a password against a slow hash, and remember it. Raises: LoginRefused when it does not fit."""
        user = self._users.get(name)
        if user is None:
            raise _invalid(name)
        credential = user.credential
        mark = self._mark(password)
        computation = self._running.get((credential.hash, mark))
        if computation is None:
            if self._threads is None:
                self._threads = ThreadPoolExecutor(THREADS, "leveret-password")
            loop = asyncio.get_running_loop()
            computation = loop.run_in_executor(self._threads, fits, credential, password)
            self._running[credential.hash, mark] = computation
            computation.add_done_callback(lambda _: self._running.pop((credential.hash, mark), None))
        if not await asyncio.shield(computation):
            raise _invalid(name)
        self._known[name] = (credential, mark)

    def _is_known(self, user: User, password: str) -> bool:
        known = self._known.get(user.name)
        if known is None:
            return False
        credential, mark = known
        return credential is user.credential and hmac.compare_digest(mark, self._mark(password))

    def _mark(self, password: str) -> bytes:
        return hashlib.blake2b(password.encode("utf-8", "surrogateescape"), key=self._key).digest()

    def _check_address(self, name: str, peer_is_local: bool) -> None:
        if name in self._loopback_users and not peer_is_local:
            raise LoginRefused(f"user '{name}' can only connect via localhost")


def _invalid(name: str) -> LoginRefused:
    return LoginRefused(f"user '{name}' - invalid credentials")
