"""Carrier: a connection, as its channels know it.

It is the party whose the channels are (core/client/party.py), takes what they send, and lets them have no more than
their share of a turn. How a connection begins and ends is no business of theirs: see connection/. What they call for
each message is here and not abstract, so that it is called directly when compiled.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.broker import Broker
from leveret.core.client.conversation import Conversation
from leveret.core.client.publisher import Publisher
from leveret.core.errors.refusals import Refusal
from leveret.core.turn.background import BackgroundJob
from leveret.session.base.errors import AmqpError
from leveret.wire.arguments import Method
from leveret.wire.constants import COMMAND_INVALID, FRAME_ERROR
from leveret.wire.fields import LONGSTR, DecodeError, Table
from leveret.wire.methods import decode
from leveret.wire.reader import binary
from leveret.wire.writer import FrameWriter

OUTPUT_LIMIT: Final = 256 * 1024  # bytes waiting to be sent, from which on consumers get no more
STALL_LIMIT: Final = 1024 * 1024  # the same, from which on nothing more is answered
TURN_METHODS: Final = 200  # methods, publishes and acks apart, after which others have their turn
FEW_ROUTE_BYTES: Final = 16 << 10  # that are not worth forgetting


class Confirming(Publisher):
    """The publishing half of a channel, as its connection knows it."""

    @abstractmethod
    def flush(self) -> None:
        """Write the confirms that are to be sent."""


class Carrier(Conversation):
    """What a channel needs of its connection.

    name: both addresses, for the log. method_id: of the frame at hand, for error replies.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        super().__init__(broker, name)
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.writer = FrameWriter()
        self.unflushed: list[Confirming] = []  # channels with confirms to send
        self.method_id: i64 = 0
        self.waits: list[Wait] = []  # that go on
        self.turn_methods: i64 = 0  # looked at in this turn
        # No states: each of these is turned on and off by somebody else, at any time of the connection's life.
        self.sends_parts = False  # the client, of a content, in this read
        self.is_awake = False  # the driver knows that there is something to send, or to look at
        self.is_writable = True  # the socket takes more
        self.is_choked = False  # a consumer found no room
        self.is_stalled = False  # requests wait: for answers to be taken, for the next turn, or for one of them

    @property
    def label(self) -> str:
        """What it is called: as its client said (the property connection_name), or both addresses."""
        given = self.client_properties.get("connection_name")
        return given.text if given is not None and given.kind == LONGSTR else self.name

    # -- what is sent

    def wake(self) -> None:
        """There is something to send, or an attribute that the driver looks at has changed."""
        if not self.is_awake:
            self.is_awake = True
            self.broker.awake.append(self)

    def can_take(self) -> bool:
        """Whether a consumer may have another message."""
        if self.is_writable and self.writer.size() < OUTPUT_LIMIT:
            return True
        self.is_choked = True
        return False

    def check_output(self) -> None:
        """Look at no more requests while the client does not take the answers to those before."""
        if self.writer.size() >= STALL_LIMIT:
            self.is_stalled = True

    # -- what is asked

    def decode(self, payload: bytes) -> Method:
        """Read a method, any but publishes and acks, and let it see what came before it.

        Raises: AmqpError 503 for one that does not exist, 501 for one that cannot be read.
        """
        self.count_method()
        self.broker.flow()
        try:
            method = decode(payload)
        except DecodeError as error:
            text = str(error)
            if text.startswith("Malformed"):
                self.method_id = 0
                raise AmqpError(FRAME_ERROR, text) from None
            raise AmqpError(FRAME_ERROR, f"cannot decode {binary(payload[4:])}") from None
        if method is None:
            raise AmqpError(COMMAND_INVALID, "unimplemented method")
        return method

    def count_method(self, methods: i64 = 1) -> None:
        """Something that takes its time: after much of it, the rest of this read waits for the next turn."""
        self.turn_methods += methods
        if self.turn_methods >= TURN_METHODS:
            self.is_stalled = True
            self.wake()

    @abstractmethod
    def forget_channel(self, number: int) -> None:
        """The channel has ended, and its number is free again."""

    @abstractmethod
    def fail_channel(self, number: int, refusal: Refusal) -> None:
        """Close an open channel for a soft error that no method of it has caused."""


class Wait(BackgroundJob):
    """A request that takes more than one piece, behind which what else its client has asked for waits."""

    def start(self, carrier: Carrier) -> None:
        """Do a piece of it now; if there is more, the connection waits for that."""
        if self not in carrier.waits and not carrier.broker.background.begin(self):
            self.hold(carrier)

    def hold(self, carrier: Carrier) -> None:
        """Let the connection wait."""
        if self not in carrier.waits:
            carrier.waits.append(self)
            carrier.is_stalled = True

    def end(self, carrier: Carrier) -> None:
        """The connection need not wait any longer."""
        if self in carrier.waits:
            carrier.waits.remove(self)
            carrier.wake()

    @abstractmethod
    def finish(self) -> None:
        """Do what is left at once: the client is gone."""
