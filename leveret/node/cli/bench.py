"""leveret bench: how many messages go through a queue of a broker in a second, and how long one takes."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from leveret.node.amqp import AmqpClient, AmqpError, Got
from leveret.node.cli.amqp import connect_amqp
from leveret.node.cli.output import AsJson, progress, refuse
from leveret.node.cli.queues import Vhost
from leveret.node.cli.target import Target, at_broker
from leveret.node.printable import say, say_json
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicNack,
    BasicQos,
    BasicQosOk,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from leveret.wire.properties import BasicProperties

STAMP: Final = struct.Struct(">d")
WINDOW: Final = 1_000  # messages that may be unconfirmed
BATCH: Final = 50
PREFETCH: Final = 500
ACK_EVERY: Final = 50
SINGLES: Final = 200  # messages that are sent one by one
EXPIRES_MS: Final = 60_000  # after which the broker removes the queue, if this command was killed
PATIENCE_S: Final = 30.0


@at_broker
def bench(
    target: Target,
    messages: Annotated[int, typer.Option(min=1, max=10_000_000, help="How many are sent.")] = 10_000,
    body: Annotated[int, typer.Option("--size", min=8, max=16 << 20, help="Bytes of each.")] = 128,
    durable: Annotated[
        bool, typer.Option("--durable", help="Persistent messages, which have to reach the disk.")
    ] = False,
    kind: Annotated[str, typer.Option("--type", help="Type of the queue: classic or quorum.")] = "classic",
    vhost: Vhost = "/",
    as_json: AsJson = False,
) -> None:
    """Send messages through a queue of its own and measure rate and latency. The queue is removed afterwards.

    One publisher with confirms, one consumer with acks. This command needs a processor too, and is often what is slow.
    """
    durable = durable or kind == "quorum"
    name = f"leveret-bench-{os.urandom(6).hex()}"
    publisher = connect_amqp(target, vhost)
    consumer = connect_amqp(target, vhost)
    try:
        arguments: Table = {"x-expires": long(EXPIRES_MS), "x-queue-type": longstr(kind.encode())}
        publisher.call(QueueDeclare(name, durable=durable, arguments=arguments), QueueDeclareOk)
        publisher.call(ConfirmSelect(), ConfirmSelectOk)
        consumer.call(BasicQos(0, PREFETCH), BasicQosOk)
        consumer.call(BasicConsume(name), BasicConsumeOk)
        properties = BasicProperties()
        properties.delivery_mode = 2 if durable else 1
        run = _Run(publisher, consumer, name, properties.encode(), body)
        latencies = run.one_by_one(min(SINGLES, messages))
        found = run.many(messages)
    except AmqpError as error:
        refuse(f"{error}; the measurement has ended")
    finally:
        _remove(publisher, name)
        consumer.close()
    facts: dict[str, object] = {"messages": messages, "size": body, "durable": durable, "type": kind}
    _tell(facts, {**found, **_percentiles(latencies)}, as_json)


def _remove(client: AmqpClient, name: str) -> None:
    try:
        client.call(QueueDelete(name), QueueDeleteOk)
    except AmqpError:
        return  # it goes by itself
    finally:
        client.close()


class _Run:
    """Messages on their way from one client to the other."""

    def __init__(self, publisher: AmqpClient, consumer: AmqpClient, queue: str, properties: bytes, size: int) -> None:
        self._publisher = publisher
        self._consumer = consumer
        self._queue = queue
        self._properties = properties
        self._padding = bytes(size - STAMP.size)
        self._failure: AmqpError | None = None
        self._ended_s = 0.0
        self._tag = 0  # of the last message
        self._waiting: dict[int, None] = {}  # tags of messages that are not confirmed
        self._taken = 0  # messages that the consumer had before many()

    def one_by_one(self, count: int) -> list[float]:
        """How long each took from its publisher to its consumer: milliseconds. Raises: AmqpError."""
        found: list[float] = []
        for _ in range(count):
            self._publish()
            self._publisher.flush()
            found.append(self._take() * 1000)
            self._consumer.send(BasicAck(len(found)))
            while self._waiting:
                self._settle(self._publisher.next(PATIENCE_S))
        self._taken = count
        return found

    def many(self, count: int) -> dict[str, float]:
        """Rates of as many messages as go through. Raises: AmqpError."""
        taking = threading.Thread(target=self._take_all, args=(count,), daemon=True)
        began_s = time.perf_counter()
        taking.start()
        sent = 0
        with progress("Sending") as tell:
            while sent < count or self._waiting:
                while sent < count and len(self._waiting) < WINDOW:
                    for _ in range(min(BATCH, count - sent)):
                        self._publish()
                        sent += 1
                    self._publisher.flush()
                self._settle(self._publisher.next(PATIENCE_S))
                tell(sent - len(self._waiting), count)
        published_s = time.perf_counter() - began_s
        taking.join(PATIENCE_S)
        if self._failure is not None:
            raise self._failure
        if not self._ended_s:
            raise AmqpError("not all messages came through")
        return {
            "published_per_s": round(count / published_s, 1),
            "consumed_per_s": round(count / (self._ended_s - began_s), 1),
        }

    def _publish(self) -> None:
        self._tag += 1
        self._waiting[self._tag] = None
        body = STAMP.pack(time.perf_counter()) + self._padding
        self._publisher.publish("", self._queue, self._properties, body)

    def _settle(self, got: Got | None) -> None:
        """Take a confirm. Raises: AmqpError."""
        if got is None:
            raise AmqpError("the broker confirms no message")
        if isinstance(got.method, BasicNack):
            raise AmqpError("the broker refused a message")
        if isinstance(got.method, BasicAck):
            tag = got.method.delivery_tag
            settled = [each for each in self._waiting if each <= tag] if got.method.multiple else [tag]
            for each in settled:
                self._waiting.pop(each, None)

    def _take(self) -> float:
        """Take a message. Returns: how old it is, in seconds. Raises: AmqpError."""
        while True:
            got = self._consumer.next(PATIENCE_S)
            if got is None:
                raise AmqpError("no message came through")
            if isinstance(got.method, BasicDeliver):
                sent_s: float = STAMP.unpack_from(got.body)[0]
                return time.perf_counter() - sent_s

    def _take_all(self, count: int) -> None:
        """In a thread of its own: take all messages."""
        try:
            for number in range(1, count + 1):
                self._take()
                if number % ACK_EVERY == 0 or number == count:
                    self._consumer.send(BasicAck(self._taken + number, True))
            self._ended_s = time.perf_counter()
        except AmqpError as error:
            self._failure = error


def _percentiles(found: Sequence[float]) -> dict[str, float]:
    """What so many of a hundred need at most: milliseconds."""
    ordered = sorted(found)
    return {
        f"latency_p{part}_ms": round(ordered[min(len(ordered) * part // 100, len(ordered) - 1)], 3)
        for part in (50, 95, 99)
    }


def _tell(facts: dict[str, object], found: dict[str, float], as_json: bool) -> None:
    if as_json:
        say_json({**facts, **found})
        return
    kind = f"{'durable' if facts['durable'] else 'transient'} {facts['type']} queue"
    say(f"{facts['messages']:,} messages of {facts['size']} bytes through a {kind}:")
    say(f"  published and confirmed  {found['published_per_s']:>12,.0f} messages/s")
    say(f"  consumed and acked       {found['consumed_per_s']:>12,.0f} messages/s")
    latency = "  ".join(f"{part} {found[f'latency_{part}_ms']:.2f} ms" for part in ("p50", "p95", "p99"))
    say(f"  latency, one by one      {latency}")
