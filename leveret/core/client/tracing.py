"""The firehose: while a virtual host is traced, a copy of every publish and delivery goes to amq.rabbitmq.trace.

A copy has the body of the message, and its properties and channel as headers. Messages published to the trace
exchange are not traced. Source: rabbit_trace.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core.client.party import Party
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.message import Message, address
from leveret.core.queue.entry import QueueEntry
from leveret.wire.content import make_content
from leveret.wire.fields import Field, Table, array, long, longstr, short, signedint, table, timestamp
from leveret.wire.properties import BasicProperties

TRACE: Final = "amq.rabbitmq.trace"
PROPERTIES: Final = (  # in the order of RabbitMQ's table
    "cluster_id",
    "app_id",
    "user_id",
    "type",
    "timestamp",
    "message_id",
    "expiration",
    "reply_to",
    "correlation_id",
    "priority",
    "delivery_mode",
    "headers",
    "content_encoding",
    "content_type",
)


def published(party: Party, channel: int, message: Message, queues: list[Destination]) -> None:
    """A client has published a message, which is routed to these queues."""
    routed = array([longstr(queue.name) for queue in queues if queue.name])
    _copy(party, channel, message, f"publish.{message.address.exchange}", "routed_queues", routed)


def delivered(party: Party, channel: int, entry: QueueEntry) -> None:
    """A client has got a message, as a consumer or by basic.get."""
    redelivered = signedint(int(entry.redelivered))
    _copy(party, channel, entry.message, f"deliver.{entry.queue.name}", "redelivered", redelivered)


def _copy(party: Party, channel: int, message: Message, key: str, about: str, value: Field) -> None:
    where = message.address
    if where.exchange == TRACE:
        return
    vhost = party.vhost
    headers: Table = {
        "channel": signedint(channel),
        "connection": longstr(party.name),
        "exchange_name": longstr(where.exchange),
        "node": longstr(party.broker.node),
        "properties": table(_properties(message.readable_properties())),
        about: value,
        "routing_keys": array([longstr(name) for name in where.keys]),
        "user": longstr(party.user.name),
        "vhost": longstr(vhost.name),
    }
    properties = BasicProperties()
    properties.headers = {name: headers[name] for name in sorted(headers)}
    copy = Message(address(TRACE, short(key)), make_content(properties.encode(), message.body()), False)
    hand_out(copy, vhost.exchanges[TRACE].route([key], properties, copy).queues, None)


def _properties(of: BasicProperties) -> Table:
    """The properties that are set, as fields."""
    found: Table = {}
    for name in PROPERTIES:
        value = getattr(of, "message_type" if name == "type" else name)
        if isinstance(value, str):
            found[name] = longstr(value)
        elif isinstance(value, int):
            found[name] = _number(value)
        elif value is not None:
            found[name] = table(value)
    return found


def _number(value: int) -> Field:
    """A number in the smallest type that fits; a large timestamp fits only its own type."""
    if value < 1 << 31:
        return signedint(value)
    return long(value) if value < 1 << 63 else timestamp(value)
