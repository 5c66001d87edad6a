"""leveret bench: measure message throughput and latency through a queue of a broker."""

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
WINDOW: Final = 1_000  # unconfirmed messages at most
BATCH: Final = 50
PREFETCH: Final = 500
ACK_EVERY: Final = 50
SINGLES: Final = 200  # messages for measuring latency
EXPIRES_MS: Final = 60_000  # after which the broker deletes the queue, if this command was killed
PATIENCE_S: Final = 30.0


@at_broker
def bench(
    target: Target,
    messages: Annotated[int, typer.Option(min=1, max=10_000_000, help="Number of messages.")] = 10_000,
    body: Annotated[int, typer.Option("--size", min=8, max=16 << 20, help="Body size in bytes.")] = 128,
    durable: Annotated[bool, typer.Option("--durable", help="Use a durable queue and persistent messages.")] = False,
    kind: Annotated[str, typer.Option("--type", help="Type of the queue: classic or quorum.")] = "classic",
    vhost: Vhost = "/",
    as_json: AsJson = False,
) -> None:
    """Send messages through a temporary queue and measure throughput and latency.

    Uses one publisher with confirms and one consumer with acknowledgements. The command itself is often the bottleneck.
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
        refuse(f"{error}; the benchmark was aborted")
    finally:
        _remove(publisher, name)
        consumer.close()
    facts: dict[str, object] = {"messages": messages, "size": body, "durable": durable, "type": kind}
    _tell(facts, {**found, **_percentiles(latencies)}, as_json)


def _remove(client: AmqpClient, name: str) -> None:
    try:
        client.call(QueueDelete(name), QueueDeleteOk)
    except AmqpError:
        return  # it expires
    finally:
        client.close()


class _Run:
    """Sends messages from one client to the other and measures."""

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
        self._taken = 0  # messages that the consumer received before many()

    def one_by_one(self, count: int) -> list[float]:
        """The latency of each message from publisher to consumer in milliseconds. Raises: AmqpError."""
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
        """Messages per second at full speed. Raises: AmqpError."""
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
            raise AmqpError("not all messages arrived")
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
        """Process a confirm. Raises: AmqpError."""
        if got is None:
            raise AmqpError("the broker sent no confirm in time")
        if isinstance(got.method, BasicNack):
            raise AmqpError("the broker rejected a message")
        if isinstance(got.method, BasicAck):
            tag = got.method.delivery_tag
            settled = [each for each in self._waiting if each <= tag] if got.method.multiple else [tag]
            for each in settled:
                self._waiting.pop(each, None)

    def _take(self) -> float:
        """Receive a message. Returns: its age in seconds. Raises: AmqpError."""
        while True:
            got = self._consumer.next(PATIENCE_S)
            if got is None:
                raise AmqpError("no message arrived in time")
            if isinstance(got.method, BasicDeliver):
                sent_s: float = STAMP.unpack_from(got.body)[0]
                return time.perf_counter() - sent_s

    def _take_all(self, count: int) -> None:
        """Receive all messages. Runs in a separate thread."""
        try:
            for number in range(1, count + 1):
                self._take()
                if number % ACK_EVERY == 0 or number == count:
                    self._consumer.send(BasicAck(self._taken + number, True))
            self._ended_s = time.perf_counter()
        except AmqpError as error:
            self._failure = error


def _percentiles(found: Sequence[float]) -> dict[str, float]:
    """The latency percentiles in milliseconds."""
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
    say(f"  published and confirmed   {found['published_per_s']:>12,.0f} messages/s")
    say(f"  consumed and acknowledged {found['consumed_per_s']:>12,.0f} messages/s")
    latency = "  ".join(f"{part} {found[f'latency_{part}_ms']:.2f} ms" for part in ("p50", "p95", "p99"))
    say(f"  latency, one at a time    {latency}")
