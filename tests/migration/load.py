"""Load: publishers that go on while a broker is killed and comes back, and know what was confirmed to them."""

from __future__ import annotations

import random
import threading
import time
import zlib
from dataclasses import dataclass, field

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.wire import content as frames
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import make_content
from leveret.wire.fields import Table, long, longstr
from leveret.wire.methods import (
    BasicAck,
    BasicNack,
    BasicPublish,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeDeclare,
    ExchangeDeclareOk,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from leveret.wire.properties import BasicProperties
from tests.migration.houses import House

EXCHANGE = "house"
PRIORITIES = 4
IN_FLIGHT = 50


@dataclass(frozen=True)
class Line:
    """A queue that is moved, and what is published to it. exchange: empty for the default one."""

    name: str
    arguments: Table = field(default_factory=dict)
    exchange: str = ""
    has_priorities: bool = False
    auto_delete: bool = False

    def key(self, number: int) -> str:
        """The routing key of a message."""
        return self.name if not self.exchange else f"{self.name}.{number % 5}"

    def priority(self, number: int) -> int:
        """The priority of a message."""
        return number * 7 % PRIORITIES if self.has_priorities else 0


LINES = (
    Line("plain"),
    Line("routed", exchange=EXCHANGE),
    Line("voted", {"x-queue-type": longstr(b"quorum")}, EXCHANGE),
    Line("urgent", {"x-max-priority": long(PRIORITIES)}, EXCHANGE, has_priorities=True),
    Line("leaving", exchange=EXCHANGE, auto_delete=True),
)


def declare(client: AmqpClient, lines: tuple[Line, ...] = LINES) -> None:
    """The queues, empty."""
    client.call(ExchangeDeclare(EXCHANGE, "topic", durable=True), ExchangeDeclareOk)
    for line in lines:
        client.call(QueueDelete(line.name), QueueDeleteOk)
        arguments = {"x-queue-type": longstr(b"classic"), **line.arguments}
        declaration = QueueDeclare(line.name, durable=True, auto_delete=line.auto_delete, arguments=arguments)
        client.call(declaration, QueueDeclareOk)
        if line.exchange:
            client.call(QueueBind(line.name, EXCHANGE, f"{line.name}.#"), QueueBindOk)


def body_of(number: int, size: int) -> bytes:
    """The body of a message, which says whether it is whole."""
    content = b"%d:" % number + random.Random(number).randbytes(size)
    return content + zlib.crc32(content).to_bytes(4, "big")


def number_of(body: bytes) -> int:
    """Which message has this body."""
    assert zlib.crc32(body[:-4]) == int.from_bytes(body[-4:], "big"), "a body is damaged"
    return int(body.partition(b":")[0])


def properties_of(line: Line, number: int) -> BasicProperties:
    """Those of a message."""
    found = BasicProperties()
    found.delivery_mode = 2
    found.message_id = f"{line.name}-{number}"
    found.content_type = "application/octet-stream"
    found.timestamp = 1_700_000_000 + number
    if line.has_priorities:
        found.priority = line.priority(number)
    if number % 3:
        found.headers = {"number": long(number), "queue": longstr(line.name.encode())}
    return found


class Publisher:
    """Publishes to one queue, each number once. confirmed: numbers that the broker has. sent: how many there are."""

    def __init__(self, house: House, line: Line, sizes: tuple[int, ...] = (20, 200, 2000), per_s: int = 0) -> None:
        self._house = house
        self._line = line
        self._sizes = sizes
        self._per_s = per_s
        self.confirmed: set[int] = set()
        self.sent = 0
        self._client: AmqpClient | None = None
        self._waiting: dict[int, int] = {}  # numbers by tags
        self._tag = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def publish(self, count: int) -> None:
        """Publish so many, and wait for their confirms. Raises: AmqpError."""
        until = self.sent + count
        while self.sent < until or self._waiting:
            while self.sent < until and len(self._waiting) < 10 * IN_FLIGHT:
                self._put()
            self._take()

    def start(self) -> None:
        """Publish until stop(), also when the broker goes away and comes back."""
        self._thread.start()

    def stop(self) -> None:
        """End, when what was sent is confirmed or lost."""
        self._stopping.set()
        self._thread.join()

    def _run(self) -> None:
        began_s, before = time.monotonic(), self.sent
        while not self._stopping.is_set():
            try:
                if len(self._waiting) < IN_FLIGHT:
                    self._put()
                self._take(0 if len(self._waiting) < IN_FLIGHT else 1.0)
                ahead_s = (self.sent - before) / self._per_s - (time.monotonic() - began_s)
                if ahead_s > 0:
                    self._stopping.wait(ahead_s)
            except AmqpError:
                self._lose()
                self._stopping.wait(0.1)
                began_s, before = time.monotonic(), self.sent
        try:
            while self._waiting:
                self._take()
        except AmqpError:
            self._lose()

    def _lose(self) -> None:
        if self._client is not None:
            self._client.drop()
        self._client = None
        self._waiting.clear()

    def _put(self) -> None:
        if self._client is None:
            self._client = self._house.client()
            self._client.call(ConfirmSelect(), ConfirmSelectOk)
            self._tag = 0
        line, number = self._line, self.sent
        content = make_content(
            properties_of(line, number).encode(), body_of(number, self._sizes[number % len(self._sizes)]), FRAME_MAX
        )
        self.sent += 1
        self._tag += 1
        self._waiting[self._tag] = number
        self._client.put(BasicPublish(line.exchange, line.key(number)), content)
        self._client.flush()

    def _take(self, patience_s: float = 10.0) -> None:
        """Take confirms."""
        if self._client is None:
            return
        got = self._client.next(patience_s)
        while got is not None:
            method = got.method
            if isinstance(method, BasicAck | BasicNack):
                tag = int(method.delivery_tag)
                for each in [each for each in self._waiting if each <= tag] if method.multiple else [tag]:
                    number = self._waiting.pop(each)
                    if isinstance(method, BasicAck):
                        self.confirmed.add(number)
            got = self._client.next(0)


__all__ = ["EXCHANGE", "LINES", "Line", "Publisher", "body_of", "declare", "frames", "number_of", "properties_of"]
