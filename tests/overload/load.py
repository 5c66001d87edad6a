"""Cases in which more comes in than consumers take, or more at a time than is good for others."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

from tests.clients.method import Method
from tests.clients.methods import QueueDelete
from tests.clients.methods_basic import BasicAck
from tests.clients.peer import Channel
from tests.overload.field import PATIENCE_S, Field, blast, block, durable, take

LOAD_S = 10.0  # of a steady load at full size
LARGE = 16 << 20


class Load:
    """Publishers that send the same bytes again and again, each in a thread of its own, for some seconds."""

    def __init__(self, channels: list[Channel], data: list[bytes], seconds: float) -> None:
        self._until = time.monotonic() + seconds
        self._threads = [
            threading.Thread(target=self._send, args=(channel, piece))
            for channel, piece in zip(channels, data, strict=True)
        ]
        self.sent = [0] * len(channels)
        self._channels = channels

    def run(self) -> None:
        """Send, and wait for the end."""
        for thread in self._threads:
            thread.start()
        for thread in self._threads:
            thread.join()

    def _send(self, channel: Channel, data: bytes) -> None:
        channel.link.socket.settimeout(PATIENCE_S)
        at = self._channels.index(channel)
        while not self.sent[at] or time.monotonic() < self._until:
            channel.link.socket.sendall(data)
            self.sent[at] += 1


def flood(field: Field, share: float, publishers: int, size: int, persistent: bool, consumers: bool) -> Iterator[None]:
    """Publishers send as fast as they can; consumers, if there are any, take their time."""
    channels = [field.channel() for _ in range(publishers)]
    queues = [durable(channel, f"flooded-{number}") for number, channel in enumerate(channels)]
    data = [
        block(channel, queue, max(1, 200_000 // (size + 60)), size, persistent)
        for channel, queue in zip(channels, queues, strict=True)
    ]
    slow = [_slow_consumer(field, queue) for queue in queues] if consumers else []
    yield
    load = Load(channels, data, LOAD_S * share)
    load.run()
    for channel, queue in zip(channels, queues, strict=True):
        left = channel.call(QueueDelete(queue=queue)).message_count
        assert left > 0 or consumers  # who may have had time for all of it
    for channel in slow:
        channel.link.close()


def _slow_consumer(field: Field, queue: str) -> Channel:
    channel = field.channel()
    channel.prefetch(100)
    channel.consume(queue)
    threading.Thread(target=_ack_slowly, args=(channel,), daemon=True).start()
    return channel


def _ack_slowly(channel: Channel) -> None:
    try:
        while True:
            tag = take(channel, 100)
            time.sleep(0.02)
            channel.send(BasicAck(delivery_tag=tag, multiple=True))
    except (OSError, AssertionError):
        return  # the case is over


def deaf(field: Field, share: float) -> Iterator[None]:
    """Consumers stop reading while their queues are filled."""
    consumers = [field.channel() for _ in range(20)]
    queues = [durable(channel, f"deaf-{number}") for number, channel in enumerate(consumers)]
    for channel, queue in zip(consumers, queues, strict=True):
        channel.link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        channel.consume(queue, no_ack=True)
    publishers = [field.channel() for _ in queues]
    count = max(4000, int(20_000 * share))
    yield
    for channel, queue in zip(publishers, queues, strict=True):
        blast(channel, queue, count, 1000)
    for channel, queue in zip(publishers, queues, strict=True):
        channel.ready(queue)  # answered when all before it was looked at
    for channel in consumers:
        channel.link.close()
    for channel, queue in zip(publishers, queues, strict=True):
        channel.call(QueueDelete(queue=queue))


def large(field: Field, share: float, persistent: bool) -> Iterator[None]:
    """Bodies of 16 MiB go through, one after the other."""
    publisher, consumer = field.channel(), field.channel()
    queue = durable(publisher, "large")
    consumer.prefetch(1)
    consumer.consume(queue)
    data = block(publisher, queue, 1, LARGE, persistent)
    count = max(2, int(30 * share))
    yield
    sender = threading.Thread(target=_send_all, args=(publisher, data, count))
    sender.start()
    for tag in range(1, count + 1):
        assert take(consumer, 1) == tag
        answer: Method = BasicAck(delivery_tag=tag)
        consumer.send(answer)
    sender.join()


def _send_all(channel: Channel, data: bytes, count: int) -> None:
    channel.link.socket.settimeout(PATIENCE_S)
    for _ in range(count):
        channel.link.socket.sendall(data)
