"""Conversation: one client and its protocol, as its socket sees it: bytes come in and go out.

The socket (server/transport.py) passes on incoming bytes, sends outgoing ones, and closes on request; it knows no
protocol. The first bytes of a client determine its protocol: an Opening maps a prefix to a protocol.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Final

from leveret.core.access.user import User
from leveret.core.broker import Broker
from leveret.core.client.party import Party
from leveret.core.turn.turn import Sink
from leveret.wire.content import Piece

# What happens to the socket when the conversation has ended.
HANG_UP: Final = 0  # the client can read the broker's last bytes in peace: what it still sends is read and discarded
LEAVE: Final = 1  # the same, but the client should close the socket, and has a moment to do so
CLOSE: Final = 2  # close at once
RESET: Final = 3  # the client has not answered: its next send must fail


class LoginRequest:
    """The credentials of a client. peer: its address."""

    __slots__ = ("mechanism", "password", "peer", "user")

    def __init__(self, user: str, password: str, mechanism: str, peer: str) -> None:
        self.user = user
        self.password = password
        self.mechanism = mechanism
        self.peer = peer


class Conversation(Party, Sink):
    """One connected client.

    connected_ms: since when, in milliseconds since 1970. ending: what happens to its socket once it has finished.
    login_request: a pending login, to be answered with login() or refuse(). mechanism: of the last login.
    has_failed: a fault was reported for it, and no other one will be; not part of the state.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        super().__init__(broker, name)
        self.ending = HANG_UP
        self.login_request: LoginRequest | None = None
        self.mechanism = ""
        self.connected_ms = broker.clock.today_ms
        self.has_failed = False

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether it has ended: the remaining bytes are sent, and the socket ends as `ending` says."""

    @property
    @abstractmethod
    def is_paused(self) -> bool:
        """Whether its socket should not be read now."""

    # -- bytes

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Process bytes from the client, completely, before this returns."""

    def due(self) -> int:
        """The number of bytes still missing of a large item, which should be passed on in one piece."""
        return 0

    def take_back(self) -> int:
        """Return unused bytes at the end of the last input. Returns: how many; they must be passed in again."""
        return 0

    @abstractmethod
    def data_to_send(self) -> list[Piece]:
        """All bytes to send now, in pieces. It is off the `awake` list of its broker afterwards."""

    @abstractmethod
    def wake(self) -> None:
        """Request a flush at the end of the turn."""

    @abstractmethod
    def flushed(self) -> None:
        """All bytes are sent; consumers may continue, unless pause_writing() was called meanwhile."""

    @abstractmethod
    def not_flushed(self) -> None:
        """Sending failed: it may request a flush again."""

    @abstractmethod
    def pause_writing(self) -> None:
        """The socket takes no more for now."""

    @abstractmethod
    def resume_writing(self) -> None:
        """The socket takes more again."""

    # -- the life of its client

    @abstractmethod
    def has_waited(self, spent_ms: int) -> None:
        """The client has used some of its time to begin, for TLS."""

    @abstractmethod
    def login(self, user: User) -> None:
        """The login was successful."""

    @abstractmethod
    def refuse(self, reason: str) -> None:
        """The login was refused. reason: for the log."""

    @abstractmethod
    def set_in_flow(self, is_in_flow: bool) -> None:
        """Stop or resume processing input."""

    def seems_alive(self, now_ms: int) -> None:
        """Treat heartbeats as sent and received at this time."""

    @abstractmethod
    def finish(self, why: str, ending: int) -> None:
        """Process no more input, and write nothing after the pending bytes. why: for the log."""

    @abstractmethod
    def lost(self) -> None:
        """The socket is closed; earlier input still counts."""


class Opening:
    """The start of a protocol. first: the bytes with which each of its clients begins.

    begin: creates the conversation with a client, from its name for the log and its address.
    """

    __slots__ = ("begin", "first")

    def __init__(self, first: bytes, begin: Callable[[Broker, str, str], Conversation]) -> None:
        self.first = first
        self.begin = begin


def chosen(openings: list[Opening], first: bytes) -> Opening | None:
    """The protocol of a client. first: its bytes so far. Returns: the first opening if no other one matches.

    None while more bytes are needed.
    """
    is_certain = True
    for opening in openings[1:]:
        if first.startswith(opening.first):
            return opening
        if opening.first.startswith(first):
            is_certain = False
    return openings[0] if is_certain else None
