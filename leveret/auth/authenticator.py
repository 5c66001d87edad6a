"""Authenticator: what the server asks who a client is."""

from __future__ import annotations

from typing import Protocol

from leveret.core.access import User


class LoginRefused(Exception):
    """The credentials are not good; the text is for the log, never for the client."""


class Authenticator(Protocol):
    """Checks names and passwords. peer_is_local: whether the client is on this machine."""

    def authenticate_now(self, name: str, password: str, peer_is_local: bool) -> User | None:
        """The user of these credentials; None when only authenticate() can tell. Raises: LoginRefused."""

    async def authenticate(self, name: str, password: str, peer_is_local: bool) -> User:
        """The user of these credentials, however long that takes. Raises: LoginRefused."""
