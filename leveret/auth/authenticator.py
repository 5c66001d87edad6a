"""Authenticator: the interface for checking credentials."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leveret.core.access.user import User


class LoginRefused(Exception):
    """The credentials are invalid; the text is for the log, never for the client."""


class TooBusy(Exception):
    """Too many passwords wait to be checked; a later attempt may succeed. The text is for the log."""

    def __init__(self) -> None:
        super().__init__("too many passwords wait to be checked")


class ClientGone(Exception):
    """The client has closed its socket during the check. The text is for the log."""

    def __init__(self) -> None:
        super().__init__("the client has closed the socket")


class Authenticator(Protocol):
    """Checks names and passwords. host: the address of the client."""

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """The user of these credentials; None when authenticate() must decide. Raises: LoginRefused."""

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The user of these credentials; may take a while.

        is_gone: whether the client has closed its socket. Raises: LoginRefused, TooBusy, ClientGone.
        """
