"""Attempts: counters of successful and failed logins."""

from __future__ import annotations

from collections.abc import Callable

from leveret.auth.authenticator import Authenticator, LoginRefused
from leveret.core.access.user import User

AMQP = "amqp091"
HTTP = "http"


class Attempts:
    """The counters of one protocol. Attempts without a result, because the client has gone, do not count."""

    def __init__(self) -> None:
        self.succeeded = 0
        self.failed = 0

    def clear(self) -> None:
        """Reset the counters."""
        self.succeeded = self.failed = 0


class CountingAuthenticator(Authenticator):
    """Delegates to another authenticator, and counts its results."""

    def __init__(self, inner: Authenticator, attempts: Attempts) -> None:
        self._inner = inner
        self._attempts = attempts

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """See Authenticator."""
        try:
            user = self._inner.authenticate_now(name, password, host)
        except LoginRefused:
            self._attempts.failed += 1
            raise
        if user is not None:
            self._attempts.succeeded += 1
        return user

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """See Authenticator."""
        try:
            user = await self._inner.authenticate(name, password, host, is_gone)
        except LoginRefused:
            self._attempts.failed += 1
            raise
        self._attempts.succeeded += 1
        return user
