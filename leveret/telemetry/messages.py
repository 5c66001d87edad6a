"""Messages: a span for each traced publish and for each traced delivery.

Names and attributes follow OpenTelemetry's conventions for messaging and for RabbitMQ; other attributes begin with
leveret. The span of a publish lasts from its arrival until it is confirmed, or until it is in its queues without
confirm mode; the span of a delivery until it is settled. Both belong to the trace in the headers of the message, if
there is one.
"""

from __future__ import annotations

import logging
from typing import Final

from opentelemetry.trace import Link, SpanContext, SpanKind

from leveret.core.client.party import Party
from leveret.core.client.sampling import OPEN, Tracer
from leveret.core.client.settling import ACK, DISCARD, REQUEUE, RETURN
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message
from leveret.core.message.traceparent import TraceParent
from leveret.core.queue.client import Client, Follower
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.replies import REPLY_PREFIX, REPLY_TO
from leveret.core.turn.clock import Clock
from leveret.telemetry.spans import LONGEST, Attributes, Begun, Spans, Value, context_of, text
from leveret.wire.fields import LONGSTR

OUTCOMES: Final = {
    ACK: "acknowledged",
    REQUEUE: "requeued",
    RETURN: "requeued",
    DISCARD: "rejected",
    OPEN: "outstanding",
}
GENERATED: Final = "amq.gen-"  # prefix of queue names that the broker generates
STATE: Final = b"tracestate"

log = logging.getLogger("leveret.telemetry")


class Publish(Follower):
    """A traced publish. creation: the context to which all spans of the message belong."""

    def __init__(self, spans: Spans, begun: Begun, name: str, attributes: Attributes, outcome: str) -> None:
        self.creation: SpanContext = begun.context if begun.parent is None else begun.parent
        self._spans = spans
        self._begun = begun
        self._name = name
        self._attributes = attributes
        self._outcome = outcome

    def on_published(self, is_confirmed: bool, how: int) -> None:
        """End the span."""
        outcome, error = "confirmed" if is_confirmed else self._outcome, ""
        if how:
            outcome, error = "refused", "nack"
        attributes = {**self._attributes, "leveret.outcome": outcome}
        self._spans.end(self._begun, self._name, SpanKind.PRODUCER, attributes, error=error)


class Delivery:
    """A traced delivery."""

    __slots__ = ("attributes", "begun", "creation", "name")

    def __init__(self, begun: Begun, creation: SpanContext, name: str, attributes: Attributes) -> None:
        self.begun = begun
        self.creation = creation
        self.name = name
        self.attributes = attributes


class MessageTracer(Tracer):
    """Makes the spans of one broker."""

    def __init__(self, spans: Spans, clock: Clock) -> None:
        self._spans = spans
        self._clock = clock

    def published(
        self, client: Client, message: Message, queues: list[Destination], mandatory: bool, parent: TraceParent | None
    ) -> Publish:
        """Begin the span of a publish."""
        begun = self._spans.begin(context_of(parent, _state(message) if parent is not None else ""))
        where = message.address
        named = [queue.name for queue in queues if queue.name]
        attributes = _attributes("publish", "send", client, message, _join(where.exchange, where.routing_key))
        attributes["leveret.queues"] = len(named)
        outcome = "routed" if named else "returned" if mandatory else "unroutable"
        name = f"publish {_join(_known(where.exchange), _known(where.routing_key))}"
        return Publish(self._spans, begun, name, attributes, outcome)

    def delivered(
        self,
        client: Client,
        entry: QueueEntry,
        tag: int,
        no_ack: bool,
        is_get: bool,
        parent: TraceParent | None,
        follower: object,
    ) -> Delivery:
        """Begin the span of a delivery; with no_ack, also end it."""
        message = entry.message
        if isinstance(follower, Publish):
            creation = follower.creation
        else:
            found = context_of(parent, _state(message))
            assert found is not None
            creation = found
        where, queue = message.address, entry.queue.name
        word, kind = ("get", "receive") if is_get else ("deliver", "process")
        attributes = _attributes(word, kind, client, message, _join(where.exchange, where.routing_key, queue))
        attributes["messaging.rabbitmq.message.delivery_tag"] = tag
        attributes["leveret.queue"] = _address(queue)
        attributes["leveret.redelivered"] = entry.redelivered
        if queue.startswith((GENERATED, REPLY_PREFIX)):
            attributes["messaging.destination.temporary"] = True
        if message.arrived_ms:
            attributes["leveret.time_in_queue_ms"] = max(0, self._clock.wall_ms - message.arrived_ms)
        name = f"{word} {_join(_known(where.exchange), _known(where.routing_key), _known(queue))}"
        delivery = Delivery(self._spans.begin(creation), creation, name, attributes)
        if no_ack:
            self._end(delivery, "automatic")
        return delivery

    def settled(self, delivery: object, how: int) -> None:
        """End the span of a delivery."""
        assert isinstance(delivery, Delivery)
        self._end(delivery, OUTCOMES[how])

    def limited(self, count: int) -> None:
        """Log how many spans the limit has left out."""
        log.warning("%d publishes and deliveries were not traced, because there are too many; see --otlp-limit", count)

    def _end(self, delivery: Delivery, outcome: str) -> None:
        attributes = {**delivery.attributes, "leveret.outcome": outcome}
        links = (Link(delivery.creation),)
        self._spans.end(delivery.begun, delivery.name, SpanKind.CONSUMER, attributes, links)


def _attributes(word: str, kind: str, client: Client, message: Message, destination: str) -> dict[str, Value]:
    """The common attributes of publishes and deliveries. word: the operation. kind: its type."""
    assert isinstance(client, Party)
    found: dict[str, Value] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": word,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
        "messaging.message.body.size": message.size,
        "messaging.client.id": text(client.label),
        "leveret.vhost": text(client.vhost.name),
    }
    if message.address.routing_key:
        found["messaging.rabbitmq.destination.routing_key"] = _address(message.address.routing_key)
    properties = message.readable_properties()
    if properties.message_id:
        found["messaging.message.id"] = text(properties.message_id)
    if properties.correlation_id:
        found["messaging.message.conversation_id"] = text(properties.correlation_id)
    return found


def _join(*names: str) -> str:
    """A destination as in the conventions: exchange, routing key and queue, without empty or repeated names."""
    told = [name for place, name in enumerate(names) if name and (place == 0 or name not in names[1:place])]
    return ":".join(map(_address, told)) or "amq.default"


def _address(name: str) -> str:
    """A name that is safe to show. A full reply-to name would let others send replies in place of the server."""
    return REPLY_TO if name.startswith(REPLY_PREFIX) else text(name)


def _known(name: str) -> str:
    """A name for span names, without generated names: they would create a new span name for each temporary queue."""
    return "" if name.startswith(GENERATED) else name


def _state(message: Message) -> str:
    """The header tracestate, empty without one."""
    field = message.header(STATE)
    if field is None or field.kind != LONGSTR or not isinstance(field.value, bytes) or len(field.value) > 2 * LONGEST:
        return ""
    return field.value.decode("latin-1")
