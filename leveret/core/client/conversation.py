"""Conversation: one client in its protocol, as its socket sees it: bytes come in, and bytes go out.

The socket (server/transport.py) passes on what comes, sends what there is to send, and closes as it is told; it knows
no protocol. Which one a client speaks is said by its first bytes: an Opening is what begins with some.
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

# What becomes of the socket of a conversation that has ended.
HANG_UP: Final = 0  # the client has the last word of the broker in peace: what it still sends is read and thrown away
LEAVE: Final = 1  # the same, but the client is the one to close the socket, which it is given a moment for
CLOSE: Final = 2  # nobody waits for anything
RESET: Final = 3  # the client has not answered: what it sends next has to fail, not to vanish


class LoginRequest:
    """What a client says about itself. peer: its address."""

    __slots__ = ("mechanism", "password", "peer", "user")

    def __init__(self, user: str, password: str, mechanism: str, peer: str) -> None:
        self.user = user
        self.password = password
        self.mechanism = mechanism
        self.peer = peer


class Conversation(Party, Sink):
    """One client that is connected.

    connected_ms: since when, in milliseconds since 1970. ending: of its socket, once it has finished.
    login_request: a login that is to be answered with login() or refuse(). mechanism: of the last one.
    has_failed: a fault was told of it; no state, as it lasts through all that follow, and no other is told.
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
        """Whether it has ended: what is left is sent, and the socket ends as `ending` says."""

    @property
    @abstractmethod
    def is_paused(self) -> bool:
        """Whether its socket should not be read now."""

    # -- bytes

    @abstractmethod
    def receive(self, data: bytes) -> None:
        """Take bytes from the client; their whole consequence is computed before this returns."""

    def due(self) -> int:
        """How many bytes of something large are still to come, which are best passed on in one piece."""
        return 0

    def take_back(self) -> int:
        """Let go of bytes at the end of what came last that are no use yet. Returns: how many; they come again."""
        return 0

    @abstractmethod
    def data_to_send(self) -> list[Piece]:
        """All that has to be sent now, in pieces. It is off the `awake` list of its broker afterwards."""

    @abstractmethod
    def wake(self) -> None:
        """Have it flushed at the end of the turn."""

    @abstractmethod
    def flushed(self) -> None:
        """What was to be sent is; unless pause_writing() was said meanwhile, consumers may go on."""

    @abstractmethod
    def not_flushed(self) -> None:
        """It could not be sent: the driver may be asked again."""

    @abstractmethod
    def pause_writing(self) -> None:
        """The socket takes no more for now."""

    @abstractmethod
    def resume_writing(self) -> None:
        """The socket takes more again."""

    # -- the life of its client

    @abstractmethod
    def has_waited(self, spent_ms: int) -> None:
        """The client has used up some of the time that it has to begin, for TLS."""

    @abstractmethod
    def login(self, user: User) -> None:
        """The login request was good."""

    @abstractmethod
    def refuse(self, reason: str) -> None:
        """The login request was not good. reason: for the log."""

    @abstractmethod
    def set_in_flow(self, paced: bool) -> None:
        """Look at nothing more that the client sends, for now; or go on."""

    def seems_alive(self, now_ms: int) -> None:
        """Take the client for one that was heard, and has heard something, at this time."""

    @abstractmethod
    def finish(self, why: str, ending: int) -> None:
        """Nothing more is looked at, or written after what is already waiting. why: for the log."""

    @abstractmethod
    def lost(self) -> None:
        """The socket is gone; what came before its end still counts."""


class Opening:
    """How a protocol begins. first: the bytes with which every client of it does.

    begin: makes the conversation with a client, of its name for the log and its address.
    """

    __slots__ = ("begin", "first")

    def __init__(self, first: bytes, begin: Callable[[Broker, str, str], Conversation]) -> None:
        self.first = first
        self.begin = begin


def chosen(openings: list[Opening], first: bytes) -> Opening | None:
    """Who speaks like this. first: what has come so far. Returns: the first of them where it is none of the others.

    None while that cannot be told yet.
    """
    is_certain = True
    for opening in openings[1:]:
        if first.startswith(opening.first):
            return opening
        if opening.first.startswith(first):
            is_certain = False
    return openings[0] if is_certain else None
