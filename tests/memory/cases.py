"""Cases: clients let a broker hold much more than its memory budget allows.

Each fills a broker of its own, and checks that the broker has done what it should: it holds everything, or it has said
no. What is measured is the most resident memory that the process ever had.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.brokers.process import Server
from tests.clients.codec import Properties
from tests.clients.methods import (
    ChannelClose,
    ConfirmSelect,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDelete,
    TxCommit,
    TxSelect,
)
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack, BasicPublish
from tests.clients.peer import Channel, Peer

BUDGET_MB = 20
PATIENCE_S = 120.0
MB = 1_000_000
LEVELS = 10  # of priority
QUIETLY = ("--log-level", "error")


@dataclass(frozen=True)
class Found:
    """What a case has shown. idle_mb, peak_mb: resident memory before it, and at most. what: became of it."""

    case: str
    idle_mb: float
    peak_mb: float
    what: str


class Broker:
    """A broker with a small budget, on a data directory that is removed at the end."""

    def __init__(self) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="leveret-memory-")
        data = str(Path(self._directory.name) / "data")
        self.server = Server.start("--data-dir", data, "--memory-budget", str(BUDGET_MB * MB), *QUIETLY)
        self.idle_mb = self.memory_mb("VmRSS")

    def close(self) -> int:
        """End it. Returns: its exit code."""
        code = self.server.stop()
        self._directory.cleanup()
        return code

    def channel(self) -> Channel:
        """A new connection with a channel."""
        channel = Peer((self.server.host, self.server.port)).login().channel()
        channel.link.socket.settimeout(PATIENCE_S)
        return channel

    def memory_mb(self, key: str) -> float:
        """Resident memory of the process: VmRSS now, or VmHWM at most."""
        lines = Path(f"/proc/{self.server.process.pid}/status").read_text().splitlines()
        return round(int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024, 1)


Case = Callable[[Broker, float], str]


def publish(channel: Channel, queue: str, size: int, exchange: str = "", **properties: object) -> None:
    """Send a persistent message, or another one."""
    properties.setdefault("delivery_mode", 2)
    message = BasicPublish(
        exchange=exchange,
        routing_key=queue,
        body=bytes(size),
        properties=Properties(**properties),  # type: ignore[arg-type]
    )
    channel.send(message)


def confirmed(channel: Channel, count: int, patience: float = PATIENCE_S) -> None:
    """Wait until so many publishes are settled."""
    while channel.expect(BasicAck, patience).delivery_tag < count:
        pass


def fill(broker: Broker, queue: str, count: int, size: int, exchange: str = "", **properties: object) -> None:
    """Publish so many messages, a few at a time, and wait until they are confirmed."""
    channel = broker.channel()
    channel.call(ConfirmSelect())
    for number in range(count):
        publish(channel, queue, size, exchange, priority=number % LEVELS, **properties)
        if number % 8 == 7:
            confirmed(channel, number + 1)
    if count % 8:
        confirmed(channel, count)
    channel.link.close()


def large(broker: Broker, share: float, has_priorities: bool) -> str:
    """Persistent messages of 1 MB in one queue."""
    count = int(250 * share)
    channel = broker.channel()
    arguments = {"x_max_priority": LEVELS} if has_priorities else {}
    queue = channel.queue("large", exclusive=False, durable=True, **arguments)
    fill(broker, queue, count, MB)
    channel.expect_ready(queue, count)
    for _ in range(count):
        assert len(channel.get(queue, no_ack=True).body) == MB
    return f"{count} messages rested, and came back"


def many_queues(broker: Broker, share: float) -> str:
    """A message of 0.9 MB in each of many queues."""
    count = int(300 * share)
    channel = broker.channel()
    for number in range(count):
        channel.queue(f"q{number}", exclusive=False, durable=True)
        fill(broker, f"q{number}", 1, 900_000)
    for number in range(count):
        assert len(channel.get(f"q{number}", no_ack=True).body) == 900_000
    return f"{count} messages rested, and came back"


def unacked(broker: Broker, share: float, persistent: bool) -> str:
    """Deliveries of 0.5 MB that a consumer does not acknowledge."""
    count = int(300 * share)
    consumer = broker.channel()
    queue = consumer.queue("unacked", exclusive=False, durable=True)
    consumer.consume(queue, "tag")
    publisher = broker.channel()
    publisher.call(ConfirmSelect())
    sent = 0
    with suppress(TimeoutError):
        for number in range(count):
            publish(publisher, queue, 500_000, delivery_mode=2 if persistent else 1)
            confirmed(publisher, number + 1, PATIENCE_S if persistent else 5)
            consumer.expect(BasicDeliver, PATIENCE_S)
            sent = number + 1
    if not persistent:
        assert sent < count
        return f"the publisher waits after {sent}"
    assert sent == count
    consumer.send(BasicNack(delivery_tag=0, multiple=True, requeue=True))
    assert len(consumer.deliveries(count)) == count
    return f"{count} deliveries rested, and came again"


def transaction(broker: Broker, share: float) -> str:
    """A transaction with messages of 0.5 MB."""
    count = int(300 * share)
    channel = broker.channel()
    queue = channel.queue("tx", exclusive=False, durable=True)
    channel.call(TxSelect())
    with suppress(OSError):
        for _ in range(count):
            publish(channel, queue, 500_000)
        channel.send(TxCommit())
    closed = channel.expect(ChannelClose)
    assert closed.reply_code == 406
    return "refused: 406 " + closed.reply_text


def delayed(broker: Broker, share: float) -> str:
    """Delayed messages of 0.5 MB."""
    count = int(300 * share)
    channel = broker.channel()
    arguments = {"x-delayed-type": "fanout"}
    channel.call(ExchangeDeclare(exchange="later", type="x-delayed-message", durable=True, arguments=arguments))
    queue = channel.queue("delayed", exclusive=False, durable=True)
    channel.call(QueueBind(queue=queue, exchange="later"))
    delay_ms = int(20_000 * share + 3000)
    fill(broker, "", count, 500_000, exchange="later", headers={"x-delay": delay_ms})
    time.sleep(delay_ms / 1000)
    channel.expect_ready(queue, count)
    return f"{count} messages rested, and went out"


def history(broker: Broker, share: float) -> str:
    """Messages of 0.5 MB in an exchange that remembers the last ones."""
    count = int(300 * share)
    channel = broker.channel()
    arguments = {"x-recent-history-length": 1 << 40}
    channel.call(ExchangeDeclare(exchange="recent", type="x-recent-history", arguments=arguments))
    fill(broker, "", count, 500_000, exchange="recent")
    queue = channel.queue("history", exclusive=False)
    channel.call(QueueBind(queue=queue, exchange="recent"))
    ready = channel.ready(queue)
    assert 0 < ready < count
    channel.call(ExchangeDelete(exchange="recent"))
    return f"the last {ready} are remembered"


def letters(broker: Broker, share: float) -> str:
    """Dead letters of 0.5 MB that must arrive, and for which their queue has no room."""
    count = int(300 * share)
    channel = broker.channel()
    target = channel.queue("full", exclusive=False, durable=True, x_max_length=1, x_overflow="reject-publish")
    source = channel.queue(
        "source",
        exclusive=False,
        durable=True,
        x_queue_type="quorum",
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=target,
        x_dead_letter_strategy="at-least-once",
        x_overflow="reject-publish",
    )
    fill(broker, source, count, 500_000)
    for _ in range(count):
        got = channel.get(source)
        channel.send(BasicNack(delivery_tag=got.delivery_tag, requeue=False))
    assert len(channel.drain(target)) == 1
    channel.call(QueueDelete(queue=target))
    channel.queue(target, exclusive=False, durable=True)
    channel.expect_ready(target, count - 1)
    return f"{count} letters waited, and arrived"


def deduplication(broker: Broker, share: float) -> str:
    """A window of many long values."""
    count = int(300_000 * share)
    channel = broker.channel()
    arguments = {"x-cache-size": 10 * MB}
    channel.call(ExchangeDeclare(exchange="once", type="x-message-deduplication", arguments=arguments))
    sent = 0
    with suppress(TimeoutError):
        for number in range(0, count, 1000):
            for each in range(number, number + 1000):
                publish(channel, "", 0, "once", headers={"x-deduplication-header": f"{each:0200}"}, delivery_mode=1)
            channel.call(QueueDelete(queue="none"))
            sent = number + 1000
    return f"{sent} values are remembered, and the publisher waits" if sent < count else f"{sent} values are remembered"


def routes(broker: Broker, share: float) -> str:
    """Connections that publish with many routing keys."""
    count = int(60 * share)
    channels = [broker.channel() for _ in range(count)]
    for channel in channels:
        for number in range(4000):
            publish(channel, f"{number:0200}", 0, "amq.topic", delivery_mode=1)
        channel.call(QueueDelete(queue="none"))
    return f"{count} connections with 4000 keys of 200 bytes each"


def replies(broker: Broker, share: float) -> str:
    """Replies of 100 kB to a requester that does not read."""
    count = int(3000 * share)
    requester, server = broker.channel(), broker.channel()
    queue = server.queue("rpc", exclusive=False)
    requester.consume("amq.rabbitmq.reply-to", "tag", no_ack=True)
    requester.send(BasicPublish(routing_key=queue, body=b"?", properties=Properties(reply_to="amq.rabbitmq.reply-to")))
    server.expect_ready(queue, 1)
    address = server.get(queue, no_ack=True).properties.reply_to or ""
    server.call(ConfirmSelect())
    refused = 0
    for _ in range(count):
        publish(server, address, 100_000, delivery_mode=1)
        answer = server.next()
        refused += isinstance(answer, BasicNack)
    assert refused
    return f"{refused} of {count} are refused"


def exclusive_queues(broker: Broker, share: float) -> str:
    """Exclusive queues that come and go on one connection."""
    count = int(50_000 * share)
    channel = broker.channel()
    for number in range(count):
        channel.queue(f"own{number}")
        channel.call(QueueDelete(queue=f"own{number}"))
    return f"{count} queues came and went"


CASES: dict[str, Case] = {
    "large": partial(large, has_priorities=False),
    "large-priorities": partial(large, has_priorities=True),
    "many-queues": many_queues,
    "unacked": partial(unacked, persistent=True),
    "unacked-transient": partial(unacked, persistent=False),
    "transaction": transaction,
    "delayed": delayed,
    "recent-history": history,
    "dead-letters": letters,
    "deduplication": deduplication,
    "routes": routes,
    "replies": replies,
    "exclusive-queues": exclusive_queues,
}


def run(name: str, share: float) -> Found:
    """One case on a broker of its own."""
    broker = Broker()
    try:
        what = CASES[name](broker, share)
        found = Found(name, broker.idle_mb, broker.memory_mb("VmHWM"), what)
    finally:
        code = broker.close()
    assert code == 0
    return found
