"""Messages, publishes, deliveries and consumers for tests, as immutable values."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from typing import Any

from leveret.core.message.message import Message as CoreMessage
from leveret.core.policy.checks import expiration_error
from leveret.management.arguments import BadArgument, from_json, to_json
from leveret.wire.fields import Field, Table, array, longstr, table
from leveret.wire.properties import BasicProperties

SHOWN = 60  # characters of a body in a representation
SHOWN_VALUE = 200  # of anything else
TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "user_id",
    "app_id",
)
NUMBERS = ("delivery_mode", "priority", "timestamp")


@dataclass(frozen=True, slots=True)
class Message:
    """One message. headers: as Python values. timestamp: seconds since 1970. type: the property with that name.

    redelivered: it was delivered to a consumer before.
    """

    body: bytes
    exchange: str = ""
    routing_key: str = ""
    headers: dict[str, object] = field(default_factory=dict)
    content_type: str | None = None
    content_encoding: str | None = None
    correlation_id: str | None = None
    reply_to: str | None = None
    expiration: str | None = None
    message_id: str | None = None
    type: str | None = None
    user_id: str | None = None
    app_id: str | None = None
    delivery_mode: int | None = None
    priority: int | None = None
    timestamp: int | None = None
    redelivered: bool = False

    @property
    def text(self) -> str:
        """The body as UTF-8. Raises: UnicodeDecodeError."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON. Raises: ValueError."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        said = [_shown(self.body)]
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            if value is not None and value is not False and value not in ({}, (), ""):
                said.append(f"{each.name}={_cut(repr(value), SHOWN_VALUE)}")
        return f"{type(self).__name__}({', '.join(said)})"


@dataclass(frozen=True, slots=True, repr=False)
class Published(Message):
    """A publish.

    queues: the queues that it reached. outcome: "routed"; "unroutable", it reached no queue; "returned", the same for a
    mandatory publish; "nacked", or "refused" with an error, by an injected fault. mandatory: as published. connection:
    its origin, empty for the test itself.
    """

    queues: tuple[str, ...] = ()
    outcome: str = "routed"
    mandatory: bool = False
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """An unacknowledged delivery. connection, channel: of the receiver. tag: its delivery tag."""

    message: Message
    queue: str
    connection: str
    channel: int
    tag: int


@dataclass(frozen=True, slots=True)
class Consumer:
    """A consumer of a queue. prefetch: 0 for no limit. unacked: number of unacknowledged deliveries."""

    tag: str
    connection: str
    prefetch: int
    no_ack: bool
    unacked: int


def _shown(body: bytes) -> str:
    try:
        shown = repr(body.decode())
    except UnicodeDecodeError:
        shown = repr(body)
    return shown if len(shown) <= SHOWN else f"{shown[:SHOWN]}... ({len(body)} bytes)"


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}..."


def details(message: CoreMessage, redelivered: bool = False) -> dict[str, Any]:
    """The arguments of Message or Published for a message."""
    properties = message.readable_properties()
    found: dict[str, Any] = {name: getattr(properties, name) for name in (*TEXTS, *NUMBERS)}
    return {
        **found,
        "body": message.body(),
        "exchange": message.address.exchange,
        "routing_key": message.address.routing_key,
        "headers": to_json(properties.headers or {}),
        "type": properties.message_type,
        "redelivered": redelivered,
    }


def more_keys(headers: dict[str, Any] | None, name: str) -> tuple[str, ...]:
    """Routing keys from the header CC or BCC. Raises: TypeError if it is not a list."""
    keys = (headers or {}).get(name, [])
    if not isinstance(keys, list | tuple):
        raise TypeError(f"the header {name} must be a list of routing keys, not {keys!r}")
    return tuple(map(str, keys))


def encode(headers: dict[str, Any] | None, given: dict[str, Any]) -> bytes:
    """Properties as bytes. given: by their names in Message.

    Raises: TypeError for one that does not exist, ValueError for one that cannot be sent.
    """
    properties = BasicProperties()
    if headers:
        properties.headers = to_table({name: value for name, value in headers.items() if name != "BCC"})
    for name, value in given.items():
        if name not in (*TEXTS, *NUMBERS, "type"):
            known = ", ".join(sorted((*TEXTS, *NUMBERS, "type", "headers")))
            raise TypeError(f"a message has no property '{name}'; choose from {known}")
        if name in NUMBERS and not isinstance(value, int | None):
            raise TypeError(f"{name} must be a number, not {value!r}")
        if name not in NUMBERS and not isinstance(value, str | None):
            raise TypeError(f"{name} must be text, not {value!r}")
        setattr(properties, "message_type" if name == "type" else name, value)
    if properties.expiration is not None:
        reason = expiration_error(properties.expiration)
        if reason:
            raise ValueError(f"invalid expiration {properties.expiration!r}: {reason}")
    try:
        return properties.encode()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"these properties cannot be sent: {error}") from None


def to_table(values: dict[str, Any] | None) -> Table:
    """Headers or arguments as a table: bytes become long strings, other values as in JSON. Raises: ValueError."""
    try:
        return {name: _field(name, value) for name, value in (values or {}).items()}
    except BadArgument as error:
        raise ValueError(f"{error.path.lstrip('.')}: {error.reason}") from None


def _field(path: str, value: object) -> Field:
    if isinstance(value, bytes):
        return longstr(value)
    if isinstance(value, list | tuple):
        return array([_field(f"{path}[{at}]", item) for at, item in enumerate(value)])
    if isinstance(value, dict):
        return table({name: _field(f"{path}.{name}", item) for name, item in value.items()})
    if value is None or isinstance(value, bool | int | float | str):
        return from_json({path: value})[path]
    raise ValueError(f"{path}: AMQP has no type for {value!r}")
