"""Carrier: a connection, as its channels see it.

It is the party that owns the channels (core/client/party.py), sends their output, and limits their work in a turn.
For the begin and end of a connection see connection/. Methods that are called for each message are defined here
instead of being abstract, so that compiled code calls them directly.
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

OUTPUT_LIMIT: Final = 256 * 1024  # bytes waiting to be sent; above that consumers get no more messages
STALL_LIMIT: Final = 1024 * 1024  # the same; above that no more requests are handled
TURN_METHODS: Final = 200  # methods, without publishes and acks, before the next client's turn
FEW_ROUTE_BYTES: Final = 16 << 10  # below that dropping cached routes is not worth it


class Confirming(Publisher):
    """The publishing half of a channel, as its connection sees it."""

    @abstractmethod
    def flush(self) -> None:
        """Write the confirms that are due."""


class Carrier(Conversation):
    """A connection, as its channels see it.

    name: both addresses, for the log. method_id: of the current frame, for error replies.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        super().__init__(broker, name)
        self.client_properties: Table = {}
        self.capabilities: frozenset[str] = frozenset()
        self.writer = FrameWriter()
        self.unflushed: list[Confirming] = []  # channels with confirms to send
        self.method_id: i64 = 0
        self.waits: list[Wait] = []  # unfinished requests
        self.turn_methods: i64 = 0  # handled in this turn
        # Not part of the state table: other objects turn each of these on and off at any time.
        self.sends_parts = False  # the last read contained a part of a content
        self.is_awake = False  # the driver knows that there is output or a changed attribute
        self.is_writable = True  # the socket accepts more
        self.is_choked = False  # a consumer found the output full
        self.is_stalled = False  # requests wait: for the client to read replies, for the next turn, or for a Wait

    @property
    def label(self) -> str:
        """The display name: the client property connection_name, or both addresses."""
        given = self.client_properties.get("connection_name")
        return given.text if given is not None and given.kind == LONGSTR else self.name

    # -- output

    def wake(self) -> None:
        """Notify the driver: there is output, or an attribute that it reads has changed."""
        if not self.is_awake:
            self.is_awake = True
            self.broker.awake.append(self)

    def can_take(self) -> bool:
        """Whether a consumer may send another message."""
        if self.is_writable and self.writer.size() < OUTPUT_LIMIT:
            return True
        self.is_choked = True
        return False

    def check_output(self) -> None:
        """Stop handling requests while the client does not read the replies."""
        if self.writer.size() >= STALL_LIMIT:
            self.is_stalled = True

    # -- requests

    def decode(self, payload: bytes) -> Method:
        """Decode a method other than a publish or ack, after applying the effects of those before it.

        Raises: AmqpError 503 for an unknown method, 501 for one that cannot be decoded.
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
        """Count slow work; after TURN_METHODS, the rest of this read waits for the next turn."""
        self.turn_methods += methods
        if self.turn_methods >= TURN_METHODS:
            self.is_stalled = True
            self.wake()

    @abstractmethod
    def forget_channel(self, number: int) -> None:
        """The channel has ended: free its number."""

    @abstractmethod
    def fail_channel(self, number: int, refusal: Refusal, method_id: int = 0) -> None:
        """Close an open channel for a soft error. method_id: of an earlier method that caused it; 0 for none."""


class Wait(BackgroundJob):
    """A request that is done in pieces; later requests of its client wait for it."""

    def start(self, carrier: Carrier) -> None:
        """Do a piece now; if more is left, the connection waits."""
        if self not in carrier.waits and not carrier.broker.background.begin(self):
            self.hold(carrier)

    def hold(self, carrier: Carrier) -> None:
        """Make the connection wait."""
        if self not in carrier.waits:
            carrier.waits.append(self)
            carrier.is_stalled = True

    def end(self, carrier: Carrier) -> None:
        """Let the connection continue."""
        if self in carrier.waits:
            carrier.waits.remove(self)
            carrier.wake()

    @abstractmethod
    def finish(self) -> None:
        """Do the rest at once: the client is gone."""
