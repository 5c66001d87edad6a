"""Peer: a client made of bytes for the broker without a socket; time passes only when a test says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

from leveret.core.access.user import Credential, Permission, User
from leveret.core.broker import Broker
from leveret.core.policy.matching import Matcher
from leveret.core.turn.clock import Clock
from leveret.session.connection.connection import Connection
from leveret.store.memory import MemoryLog
from leveret.wire.constants import FRAME_BODY, FRAME_HEADER, FRAME_MAX, FRAME_METHOD, PROTOCOL_HEADER
from leveret.wire.content import make_content
from leveret.wire.fields import Table, boolean, table
from leveret.wire.methods import (
    ChannelOpen,
    ChannelOpenOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    Method,
    decode,
)
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import FrameReader
from leveret.wire.writer import FrameWriter

M = TypeVar("M", bound=Method)

CAPABILITIES = ("consumer_cancel_notify", "basic.nack", "publisher_confirms", "authentication_failure_close")


def make_broker(log: MemoryLog | None = None) -> Broker:
    """A broker in memory, at time 0. log: for a test that decides itself when messages are durable."""
    log = log or MemoryLog()
    broker = Broker(log, log, Clock(), seed=1, node="test")
    log.listener = broker.news
    return broker


def turn(broker: Broker) -> None:
    """The end of a turn of the event loop, as the driver does it."""
    broker.share.begin()
    broker.settle()
    if broker.is_busy():
        broker.work()
    broker.log.flush()


def held_bytes(broker: Broker) -> int:
    """Bytes of the memory budget that messages need; without those of cached routes."""
    clients = broker.connections.values()
    return int(broker.budget.used) - sum(client.routes_bytes for client in clients if isinstance(client, Connection))


def everybody() -> User:
    """A user who may do everything."""
    user = User("guest", Credential("", ""), ())
    user.permissions["/"] = Permission(".*", ".*", ".*", Matcher(print))
    return user


def encode(channel: int, method: Method, body: bytes | None = None, properties: BasicProperties | None = None) -> bytes:
    """The frames of a method, and of its content if there is a body."""
    writer = FrameWriter()
    writer.frame_max = FRAME_MAX
    writer.method(channel, method)
    if body is not None:
        writer.content(channel, make_content((properties or BasicProperties()).encode(), body, FRAME_MAX))
    return writer.take()


def handshake(heartbeat_s: int = 0, capabilities: tuple[str, ...] = CAPABILITIES, vhost: str = "/") -> list[bytes]:
    """Everything a client says until its connection is open, in the four pieces it comes in."""
    about: Table = {"capabilities": table({name: boolean(True) for name in capabilities})}
    return [
        PROTOCOL_HEADER,
        encode(0, ConnectionStartOk(about, "PLAIN", b"\x00guest\x00guest", "en_US")),
        encode(0, ConnectionTuneOk(2047, FRAME_MAX, heartbeat_s)),
        encode(0, ConnectionOpen(vhost)),
    ]


@dataclass
class Got:
    """A method from the broker, with its content if it has one; method is None for a heartbeat."""

    channel: int
    method: Method | None
    properties: BasicProperties | None = None
    body: bytes | None = None


class Parser:
    """Puts frames back together."""

    def __init__(self) -> None:
        self._reader = FrameReader(0)

    def feed(self, data: bytes) -> list[Got]:
        """What is complete in these bytes, which must end with a whole frame."""
        reader = self._reader
        found: list[Got] = []
        left = 0
        reader.feed(data)
        while reader.next():
            payload, channel = reader.payload(), int(reader.channel)
            if reader.kind == FRAME_METHOD:
                assert left == 0
                method = decode(payload)
                assert method is not None
                found.append(Got(channel, method))
            elif reader.kind == FRAME_HEADER:
                assert found[-1].channel == channel
                left = int.from_bytes(payload[4:12], "big")
                found[-1].properties = BasicProperties.parse(payload[12:])
                found[-1].body = b""
            elif reader.kind == FRAME_BODY:
                left -= len(payload)
                found[-1].body = (found[-1].body or b"") + payload
            else:
                found.append(Got(channel, None))
        assert left == 0
        assert reader.skip(1) is None, "half a frame"
        reader.rest()
        return found


class Peer:
    """One client with an open connection and its channel 1. user: one who may do everything, unless it is given."""

    def __init__(
        self,
        broker: Broker | None = None,
        heartbeat_s: int = 0,
        capabilities: tuple[str, ...] = CAPABILITIES,
        user: User | None = None,
        vhost: str = "/",
    ) -> None:
        self.broker = broker or make_broker()
        self.connection = Connection(self.broker, "test", "127.0.0.1", "0")
        self._parser = Parser()
        for piece in handshake(heartbeat_s, capabilities, vhost):
            self.connection.receive(piece)
            if self.connection.login_request is not None:
                self.connection.login(user or everybody())
        kinds = [type(got.method) for got in self.got()]
        assert kinds == [ConnectionStart, ConnectionTune, ConnectionOpenOk]
        self.open(1)

    def open(self, channel: int) -> None:
        """Open a channel."""
        self.send(ChannelOpen(), channel=channel)
        self.expect(ChannelOpenOk)

    def send(
        self,
        method: Method,
        body: bytes | None = None,
        properties: BasicProperties | None = None,
        channel: int = 1,
    ) -> None:
        """Send a method."""
        self.connection.receive(encode(channel, method, body, properties))

    def raw(self) -> bytes:
        """All bytes from the broker since the last time."""
        parts: list[bytes] = []
        while True:
            turn(self.broker)
            if self.connection not in self.broker.awake:
                if self.broker.is_busy():
                    continue
                return b"".join(parts)
            self.broker.awake.remove(self.connection)
            parts += [bytes(piece) for piece in self.connection.data_to_send()]
            self.connection.flushed()

    def got(self) -> list[Got]:
        """All methods from the broker since the last time."""
        return self._parser.feed(self.raw())

    def expect(self, kind: type[M]) -> M:
        """The one method that came since the last time."""
        found = self.got()
        assert len(found) == 1, found
        method = found[0].method
        assert isinstance(method, kind), found
        return method

    def call(self, method: Method, kind: type[M], channel: int = 1) -> M:
        """Send a method; its answer is all that comes."""
        self.send(method, channel=channel)
        return self.expect(kind)
