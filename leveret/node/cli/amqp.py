"""AmqpClient: a plain AMQP 0-9-1 client for commands, with one channel, that waits for each answer.

To the broker of this machine it goes through the control socket, without a password; to one elsewhere through the port
that its HTTP API names.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, TypeVar

from leveret.node.cli.asking import Broker, local_link, where
from leveret.node.cli.output import refuse
from leveret.node.cli.remote import CONNECT_S, Place, Unreachable, make_context
from leveret.node.cli.target import BrokerError, Target
from leveret.wire.constants import FRAME_BODY, FRAME_HEADER, FRAME_MAX, FRAME_METHOD, PROTOCOL_HEADER
from leveret.wire.content import make_content
from leveret.wire.fields import boolean, longstr, table
from leveret.wire.methods import (
    BasicPublish,
    ChannelClose,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
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

CHANNEL = 1
ANSWER_S = 30.0
SOME = 1 << 18  # bytes in one read
CAPABILITIES = ("basic.nack", "consumer_cancel_notify", "publisher_confirms", "authentication_failure_close")


class AmqpError(Exception):
    """The broker has closed the connection or the channel, or does not answer; the text says why."""


@dataclass
class Got:
    """A method, with its content if it has one."""

    method: Method
    properties: BasicProperties | None = None
    body: bytes = b""


class AmqpClient:
    """An open connection with its channel. Raises: AmqpError from whatever waits."""

    def __init__(self, raw: socket.socket, user: str, password: str, vhost: str) -> None:
        self._socket = raw
        self._reader = FrameReader(0)
        self._writer = FrameWriter()
        self._writer.frame_max = FRAME_MAX
        self._waiting: deque[Got] = deque()
        self._partial: Got | None = None
        self._left = 0
        raw.settimeout(ANSWER_S)
        self._send_bytes(PROTOCOL_HEADER)
        self.wait(ConnectionStart)
        about: Any = {
            "capabilities": table({name: boolean(True) for name in CAPABILITIES}),
            "product": longstr(b"leveret command"),
        }
        response = f"\0{user}\0{password}".encode("utf-8", "surrogateescape")
        self.send(ConnectionStartOk(about, "PLAIN", response, "en_US"), 0)
        self.wait(ConnectionTune)
        self.send(ConnectionTuneOk(16, FRAME_MAX, 0), 0)
        self.send(ConnectionOpen(vhost), 0)
        self.wait(ConnectionOpenOk)
        self.call(ChannelOpen(), ChannelOpenOk)

    def call(self, method: Method, answer: type[M]) -> M:
        """Send a method, and wait for its answer."""
        self.send(method)
        return self.wait(answer)

    def send(self, method: Method, channel: int = CHANNEL) -> None:
        """Send a method that nobody answers."""
        self._writer.method(channel, method)
        self._send_bytes(self._writer.take())

    def publish(self, exchange: str, key: str, properties: bytes, body: bytes) -> None:
        """Put a message to those that flush() sends."""
        self._writer.method(CHANNEL, BasicPublish(exchange, key))
        self._writer.content(CHANNEL, make_content(properties, body, FRAME_MAX))

    def flush(self) -> None:
        """Send what was published."""
        self._send_bytes(self._writer.take())

    def wait(self, kind: type[M]) -> M:
        """The next method of a kind; others, as deliveries, are kept for next()."""
        others: deque[Got] = deque()
        deadline = time.monotonic() + ANSWER_S
        while True:
            got = self.next(deadline - time.monotonic())
            if got is None:
                raise AmqpError("the broker does not answer")
            if isinstance(got.method, kind):
                self._waiting.extendleft(reversed(others))
                return got.method
            others.append(got)

    def next(self, patience_s: float) -> Got | None:
        """What comes next; None when nothing comes in time."""
        deadline = time.monotonic() + patience_s
        while not self._waiting:
            left = deadline - time.monotonic()
            if left < 0 and patience_s > 0:
                return None
            if not self._is_ready(max(left, 0)):
                return None
            self._receive()
        return self._waiting.popleft()

    def _is_ready(self, patience_s: float) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(select.select([self._socket], [], [], patience_s)[0])

    def _receive(self) -> None:
        try:
            data = self._socket.recv(SOME)
        except OSError as error:
            raise AmqpError(f"the connection to the broker broke: {error.strerror or error}") from None
        if not data:
            raise AmqpError("the broker closed the connection")
        reader = self._reader
        reader.feed(data)
        while reader.next():
            self._take(int(reader.kind), reader.payload())
        reader.rest()

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == FRAME_METHOD:
            method = decode(payload)
            assert method is not None
            self._check(method)
            self._partial = Got(method)
            if not method_has_content(method):
                self._waiting.append(self._partial)
        elif kind == FRAME_HEADER and self._partial is not None:
            self._left = int.from_bytes(payload[4:12], "big")
            self._partial.properties = BasicProperties.parse(payload[12:])
            self._end_content()
        elif kind == FRAME_BODY and self._partial is not None:
            self._left -= len(payload)
            self._partial.body += payload
            self._end_content()

    def _end_content(self) -> None:
        if self._left == 0 and self._partial is not None:
            self._waiting.append(self._partial)
            self._partial = None

    def _check(self, method: Method) -> None:
        if isinstance(method, ConnectionClose | ChannelClose):
            raise AmqpError(f"{method.reply_code} {method.reply_text}")

    def _send_bytes(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise AmqpError(f"the connection to the broker broke: {error.strerror or error}") from None

    def close(self) -> None:
        """End it: what was delivered and not acknowledged is ready again."""
        with contextlib.suppress(AmqpError):
            self.send(ConnectionClose(200, "done"), 0)
            self.wait(ConnectionCloseOk)
        self._socket.close()


def method_has_content(method: Method) -> bool:
    """Whether a header and perhaps a body follow it."""
    return type(method).__name__ in ("BasicDeliver", "BasicGetOk", "BasicReturn")


def connect_amqp(target: Target, vhost: str) -> AmqpClient:
    """A client of the broker that is meant; the command ends if there is none, or it does not let the user in."""
    try:
        if target.is_remote:
            place, ca_file = where(target)
            return AmqpClient(_dial(target, place, ca_file), place.user, place.password or "", vhost)
        link = local_link(target)
        link.ask("amqp", {})
        return AmqpClient(link.detach(), "", "", vhost)
    except (AmqpError, BrokerError) as error:
        refuse(str(error))


def _dial(target: Target, place: Place, ca_file: str) -> socket.socket:
    """A connection to the AMQP port of a broker elsewhere, with TLS if its API has that."""
    from leveret.node.cli.remote import RemoteBroker

    try:
        context = make_context(ca_file) if place.scheme == "https" else None
        broker = Broker(RemoteBroker(place, ca_file), place)
    except Unreachable as error:
        refuse(str(error))
    listeners = broker.get("/overview", {"columns": "listeners"})["listeners"]
    broker.close()
    protocol = "amqp" if context is None else "amqp/ssl"
    ports = [each["port"] for each in listeners if each["protocol"] == protocol]
    if not ports:
        refuse(f"{place.shown} names no port for {protocol}, which this needs")
    try:
        raw = socket.create_connection((place.host, ports[0]), CONNECT_S)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return raw if context is None else context.wrap_socket(raw, server_hostname=place.host)
    except OSError as error:
        refuse(f"cannot connect to {place.host}:{ports[0]} for AMQP, which this needs: {error.strerror or error}")
