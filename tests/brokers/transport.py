"""What the protocol of a connection is given in place of a socket, and of the users of a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from leveret.core.access.user import User
from tests.clients.socketless import everybody


class Everybody:
    """Lets everybody in. user: as whom; unless it is given, each as one who may do everything in "/"."""

    def __init__(self, user: User | None = None) -> None:
        self._user = user

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """Whoever it is."""
        return self._user or everybody()

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """Never needed."""
        raise NotImplementedError


class Wire(asyncio.Transport):
    """A socket that takes everything, and knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.sent: list[bytes] = []  # by call
        self.ended_after: int | None = None  # bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no limit."""

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Remember it."""
        self.sent.append(b"".join(list_of_data))

    def is_closing(self) -> bool:
        """Never."""
        return False

    def can_write_eof(self) -> bool:
        """It can."""
        return True

    def write_eof(self) -> None:
        """Nothing is sent any more."""
        self.ended_after = sum(map(len, self.sent))

    def pause_reading(self) -> None:
        """Not before it is resumed."""
        self.is_read = False

    def resume_reading(self) -> None:
        """From now on."""
        self.is_read = True
