"""Handshake: from the protocol header to connection.open-ok.

        HEADER     waiting for the first eight bytes
        START      connection.start is sent
        LOGIN      the driver checks the credentials; no frame is handled meanwhile
        REFUSED    the credentials were wrong; final
    TUNE       connection.tune is sent
    OPEN       the client may choose a virtual host
    DONE       connection.open-ok is sent

A failure before DONE is answered as in RabbitMQ: a wrong protocol header with the right one; a failed login with 403 if
the client supports that; everything else without a reply, by closing the socket.
Source: rabbit_reader.erl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.access.user import check_open
from leveret.core.client.conversation import HANG_UP, LoginRequest
from leveret.core.errors.refusals import node_connection_limit
from leveret.core.turn.states import StateTable
from leveret.session.base.errors import AmqpError
from leveret.session.connection.life import Life
from leveret.wire.arguments import Method
from leveret.wire.constants import (
    ACCESS_REFUSED,
    CHANNEL_ERROR,
    CHANNEL_MAX,
    COMMAND_INVALID,
    FRAME_MAX,
    FRAME_MIN_SIZE,
    HEARTBEAT_S,
    NOT_ALLOWED,
    PROTOCOL_HEADER,
    SYNTAX_ERROR,
)
from leveret.wire.fields import LONGSTR, DecodeError, Table, boolean, decode_table, longstr, table
from leveret.wire.methods import (
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
)
from leveret.wire.reader import FrameReader
from leveret.wire.versions import AMQP_VERSION

if TYPE_CHECKING:
    from leveret.core.access.user import User

HEADER: Final = 0
START: Final = 1
LOGIN: Final = 2
REFUSED: Final = 3
TUNE: Final = 4
OPEN: Final = 5
DONE: Final = 6

GREETED: Final = 0
ASKED: Final = 1
TURNED_AWAY: Final = 2
LET_IN: Final = 3
TUNED: Final = 4
OPENED: Final = 5

STATES: Final = StateTable(
    "a handshake",
    ("awaiting the header", "starting", "logging in", "refused", "tuning", "opening", "done"),
    ("the header", "connection.start-ok", "a wrong login", "a right login", "connection.tune-ok", "connection.open"),
    {
        HEADER: {GREETED: START},
        START: {ASKED: LOGIN},
        LOGIN: {TURNED_AWAY: REFUSED, LET_IN: TUNE},
        REFUSED: {},
        TUNE: {TUNED: OPEN},
        OPEN: {OPENED: DONE},
        DONE: {},
    },
)

ACCEPTED_HEADERS: Final = (PROTOCOL_HEADER, b"AMQP\x01\x01\x00\x09")
CAPABILITIES: Final = (
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
    "accept_consumer_cancel_ok",
)


def server_properties(node: str, product_version: str) -> Table:
    """The server properties of connection.start. Clients derive the supported features from product and version."""
    return {
        "capabilities": table({name: boolean(True) for name in CAPABILITIES}),
        "cluster_name": longstr(node),
        "copyright": longstr("The Leveret authors"),
        "information": longstr("Licensed under the Apache License 2.0"),
        "platform": longstr(f"Leveret {product_version}"),
        "product": longstr("RabbitMQ"),
        "version": longstr(AMQP_VERSION),
    }


class Handshake:
    """The handshake of one connection."""

    __slots__ = ("_connection", "_mechanism", "state")
    __deletable__ = ("_connection",)

    def __init__(self, connection: Life) -> None:
        self._connection = connection
        self._mechanism = ""
        self.state: i64 = HEADER

    def go(self, event: int) -> None:
        """Change the state. Raises: RuntimeError when the event cannot happen now."""
        self.state = STATES.follow(int(self.state), event)

    def begin(self, reader: FrameReader) -> bool:
        """Check the protocol header once its eight bytes have arrived. Returns: whether frames may follow.

        If it is wrong, send ours and end the connection.
        """
        data = reader.skip(8)
        if data is None:
            reader.keep(8)
            return False
        connection = self._connection
        if data not in ACCEPTED_HEADERS:
            connection.writer.raw(PROTOCOL_HEADER)
            connection.finish(f"spoke another protocol: {_protocol(data)}", HANG_UP)
            return False
        properties = server_properties(connection.broker.node, connection.version)
        connection.writer.method(0, ConnectionStart(0, 9, properties, b"PLAIN AMQPLAIN", b"en_US"))
        connection.wake()
        self.go(GREETED)
        return True

    def method(self, method: Method) -> None:
        """Handle a method on channel 0 before the connection is open. Raises: AmqpError."""
        if isinstance(method, ConnectionStartOk) and self.state == START:
            self._start_ok(method)
        elif isinstance(method, ConnectionTuneOk) and self.state == TUNE:
            self._tune_ok(method)
        elif isinstance(method, ConnectionOpen) and self.state == OPEN:
            self._open(method)
        else:
            state = "opening" if self.state == OPEN else "tuning" if self.state == TUNE else "starting"
            raise AmqpError(CHANNEL_ERROR, f"unexpected method in connection state {state}")

    def forget(self) -> None:
        """The connection has ended: drop the reference to it."""
        del self._connection

    def accepted(self, user: User) -> None:
        """The login was accepted."""
        connection = self._connection
        connection.user = user
        connection.writer.method(0, ConnectionTune(CHANNEL_MAX, FRAME_MAX, HEARTBEAT_S))
        connection.wake()
        self.go(LET_IN)

    def refused(self) -> AmqpError | None:
        """The login failed. Returns: the error to send, or None if the client does not support it."""
        self.go(TURNED_AWAY)
        if "authentication_failure_close" not in self._connection.capabilities:
            return None
        text = f"Login was refused using authentication mechanism {self._mechanism}."
        return AmqpError(ACCESS_REFUSED, f"{text} For details see the broker logfile.")

    def _start_ok(self, method: ConnectionStartOk) -> None:
        connection = self._connection
        connection.client_properties = method.client_properties
        capabilities = method.client_properties.get("capabilities")
        if capabilities is not None and isinstance(capabilities.value, dict):
            connection.capabilities = frozenset(
                [name for name, field in capabilities.value.items() if field.value is True]
            )
        self._mechanism = method.mechanism
        if method.mechanism == "PLAIN":
            user, password = _plain(method.response)
        elif method.mechanism == "AMQPLAIN":
            user, password = _amqplain(method.response)
        else:
            raise AmqpError(COMMAND_INVALID, f"unknown authentication mechanism '{method.mechanism}'")
        self.go(ASKED)
        connection.mechanism = method.mechanism
        connection.login_request = LoginRequest(user, password, method.mechanism, connection.peer)

    def _tune_ok(self, method: ConnectionTuneOk) -> None:
        connection = self._connection
        if 0 < method.frame_max < FRAME_MIN_SIZE:
            text = f"lower than the minimum allowed value ({FRAME_MIN_SIZE})"
            raise AmqpError(NOT_ALLOWED, f"negotiated frame_max = {method.frame_max} is {text}")
        _check_maximum("frame_max", method.frame_max, FRAME_MAX)
        _check_maximum("channel_max", method.channel_max, CHANNEL_MAX)
        connection.tuned(method.channel_max, method.frame_max, method.heartbeat)
        self.go(TUNED)

    def _open(self, method: ConnectionOpen) -> None:
        connection = self._connection
        name = method.virtual_host
        broker = connection.broker
        if 0 < broker.max_connections <= broker.open_connections:
            raise node_connection_limit(broker.max_connections)
        vhost = broker.vhosts.get(name)
        if vhost is None:
            raise AmqpError(NOT_ALLOWED, f"vhost {name} not found")
        check_open(connection.user, vhost.name, vhost.limits, vhost.connections)
        connection.vhost = vhost
        self.go(OPENED)
        connection.writer.method(0, ConnectionOpenOk())
        connection.opened()


def _check_maximum(name: str, value: int, limit: int) -> None:
    if value == 0:
        text = f"negotiated {name} = 0 (no limit) is higher than the maximum allowed value ({limit})"
        raise AmqpError(NOT_ALLOWED, text)
    if value > limit:
        text = f"negotiated {name} = {value} is higher than the maximum allowed value ({limit})"
        raise AmqpError(NOT_ALLOWED, text)


def _plain(response: bytes) -> tuple[str, str]:
    parts = response.split(b"\x00")
    if len(parts) != 3 or parts[0]:
        raise AmqpError(SYNTAX_ERROR, "response does not contain a null-separated user and password")
    return parts[1].decode("utf-8", "surrogateescape"), parts[2].decode("utf-8", "surrogateescape")


def _amqplain(response: bytes) -> tuple[str, str]:
    """Decode a field table without its length prefix."""
    try:
        fields = decode_table(response, 0, len(response))
    except DecodeError:
        fields = {}
    user, password = fields.get("LOGIN"), fields.get("PASSWORD")
    if user is None or password is None or user.kind != LONGSTR or password.kind != LONGSTR:
        raise AmqpError(SYNTAX_ERROR, "response does not contain LOGIN and PASSWORD")
    return user.text, password.text


def _protocol(data: bytes) -> str:
    """The likely protocol of a wrong header, for the log."""
    if data[:4] == b"AMQP":
        return f"AMQP {'.'.join(str(octet) for octet in data[4:])}"
    if data[:1] == b"\x16":
        return "TLS on a port without TLS"
    if data[:4] in (b"GET ", b"POST", b"HEAD", b"PUT "):
        return "HTTP"
    return repr(data)
