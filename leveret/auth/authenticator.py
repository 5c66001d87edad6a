"""Authenticator: what the server asks who a client is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from leveret.core.access.user import User


class LoginRefused(Exception):
    """The credentials are not good; the text is for the log, never for the client."""


class TooBusy(Exception):
    """Too many passwords wait to be checked; whoever asks again later may be answered. The text is for the log."""

    def __init__(self) -> None:
        super().__init__("too many passwords wait to be checked")


class ClientGone(Exception):
    """The client has closed its socket, so nobody wants to know any more who it was. The text is for the log."""

    def __init__(self) -> None:
        super().__init__("the client has closed the socket")


class Authenticator(Protocol):
    """Checks names and passwords. host: the address of the client."""

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """The user of these credentials; None when only authenticate() can tell. Raises: LoginRefused."""

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """The user of these credentials, however long that takes.

        is_gone: whether the client has closed its socket. Raises: LoginRefused, TooBusy, ClientGone.
        """
