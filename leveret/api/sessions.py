"""Sessions of browsers that have logged in, identified by a cookie.

The cookie holds a random token, of which only a hash is stored. A session ends after LIFETIME_S, when the user is
deleted or gets a new password, and when there are too many sessions. Requests with a cookie that change something must
also send a CSRF token, to show that no other site sent them. It is computed from the first token, and only the answer
to the login contains it.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from leveret.auth.addresses import is_loopback
from leveret.core.access.user import Credential, User
from leveret.core.access.users import Users

LIFETIME_S: Final = 8 * 3600.0
MOST: Final = 1_000  # sessions at once; a new one ends the oldest
MOST_OF_USER: Final = 20


@dataclass(eq=False)
class Session:
    """One session. credential: the user's at login. is_local: begun on this machine, and valid only there. until_s: its
    end.
    """

    user: User
    credential: Credential
    is_local: bool
    until_s: float
    digest: bytes


class Sessions:
    """The sessions of one API. now: a monotonic clock, in seconds."""

    def __init__(self, users: Users, now: Callable[[], float] = time.monotonic) -> None:
        self._users = users
        self._now = now
        self._key = os.urandom(32)
        self._sessions: dict[bytes, Session] = {}  # by the hash of the token, the oldest first

    def __len__(self) -> int:
        return len(self._sessions)

    def begin(self, user: User, host: str) -> str:
        """Begin a session for a user who has just logged in. host: the client's address. Returns: the token."""
        for session in list(self._sessions.values()):
            if not self.is_good(session):
                self.end(session)
        own = [session for session in self._sessions.values() if session.user is user]
        if len(own) >= MOST_OF_USER:
            self.end(own[0])
        if len(self._sessions) >= MOST:
            self.end(next(iter(self._sessions.values())))
        token = secrets.token_urlsafe(32)
        digest = _digest(token)
        until_s = self._now() + LIFETIME_S
        self._sessions[digest] = Session(user, user.credential, is_loopback(host), until_s, digest)
        return token

    def find(self, token: str, host: str) -> Session | None:
        """The session of a token; None if it has ended. host: the client's address."""
        session = self._sessions.get(_digest(token))
        if session is None or (session.is_local and not is_loopback(host)):
            return None
        if not self.is_good(session):
            self.end(session)
            return None
        return session

    def is_good(self, session: Session) -> bool:
        """Whether the session is still valid."""
        user = session.user
        return (
            self._sessions.get(session.digest) is session
            and session.until_s > self._now()
            and self._users.get(user.name) is user
            and user.credential is session.credential
        )

    def end(self, session: Session) -> None:
        """End a session."""
        self._sessions.pop(session.digest, None)

    def csrf_token(self, token: str) -> str:
        """The CSRF token that must accompany the cookie with this token in requests that change something."""
        return hmac.new(self._key, token.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()

    def is_csrf_token(self, token: str, given: str) -> bool:
        """Whether the given CSRF token belongs to this token."""
        return hmac.compare_digest(self.csrf_token(token).encode(), given.encode("utf-8", "surrogateescape"))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
