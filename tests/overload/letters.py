"""Cases in which little is asked for that costs much: dead letters on a long way, messages with many headers."""

from __future__ import annotations

from collections.abc import Iterator

from tests.clients.codec import Properties
from tests.clients.methods import ExchangeBind, ExchangeDeclare, QueueDeclare
from tests.clients.methods_basic import BasicConsume, BasicConsumeOk, BasicPublish, BasicRecover, BasicRecoverOk
from tests.clients.peer import Channel
from tests.overload.field import PATIENCE_S, Field, durable, take, wait_for

HEADERS = {f"h{number:05}": number for number in range(10_500)}  # 126 kB, most of what fits into a frame


def chain(field: Field, share: float, queues: int, messages: int) -> Iterator[None]:
    """Messages go from queue to queue, each of which lets them expire at once."""
    count = max(1, int(queues * share))
    channel = field.channel()
    for number in range(count):
        arguments = {
            "x-message-ttl": 0,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": f"chain-{number + 1}",
        }
        channel.send(QueueDeclare(queue=f"chain-{number}", nowait=True, arguments=arguments))
    end = channel.queue(f"chain-{count}", exclusive=False)
    yield
    channel.publish("chain-0", *[b"x"] * messages)
    wait_for(channel, end, messages)


def send(channel: Channel, exchange: str, key: str, count: int) -> None:
    """Publish so many messages with many headers."""
    properties = Properties(headers=HEADERS)
    publish = BasicPublish(exchange=exchange, routing_key=key, body=b"x", properties=properties)
    data = publish.frames(channel.number, channel.link.frame_max)
    channel.link.socket.settimeout(PATIENCE_S)
    for _ in range(count):
        channel.link.socket.sendall(data)


def recover(field: Field, share: float) -> Iterator[None]:
    """basic.recover of messages whose headers say how often they came."""
    count = max(1, int(300 * share))
    channel = field.channel()
    queue = durable(channel, "counted", x_queue_type="quorum")
    send(channel, "", queue, count)
    wait_for(channel, queue, count)
    channel.send(BasicConsume(queue=queue, consumer_tag="holder"))
    channel.expect(BasicConsumeOk)
    assert take(channel, count) == count
    yield
    channel.send(BasicRecover(requeue=True))
    channel.expect(BasicRecoverOk, PATIENCE_S)
    assert take(channel, count) == 2 * count


def history(field: Field, share: float) -> Iterator[None]:
    """An exchange gives what it remembers to another one that is bound to it."""
    count = max(1, int(300 * share))
    channel = field.channel()
    length = {"x-recent-history-length": count}
    channel.call(ExchangeDeclare(exchange="remembers", type="x-recent-history", arguments=length))
    channel.call(ExchangeDeclare(exchange="later", type="fanout"))
    queue = channel.queue("late", exclusive=False)
    channel.bind(queue, "later")
    send(channel, "remembers", "", count)
    channel.ready(queue)
    yield
    channel.call(ExchangeBind(destination="later", source="remembers"))
    wait_for(channel, queue, count)


def expire(field: Field, share: float) -> Iterator[None]:
    """Messages expire and become dead letters, all at once."""
    count = max(1, int(1000 * share))
    channel = field.channel()
    dead = channel.queue("dead", exclusive=False)
    ttl_ms = int(4000 + 6000 * share)
    queue = channel.queue(
        "dying",
        exclusive=False,
        x_message_ttl=ttl_ms,
        x_dead_letter_exchange="",
        x_dead_letter_routing_key=dead,
    )
    send(channel, "", queue, count)
    wait_for(channel, queue, count)
    yield
    wait_for(channel, dead, count)
