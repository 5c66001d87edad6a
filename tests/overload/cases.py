"""Cases: one client, or some, ask a lot of a broker. What comes before the yield is not measured.

Each takes a Field and the share of its full size that it is to have, and checks that the broker did what it should.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from tests.clients.methods import (
    QueueDelete,
    QueuePurge,
)
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicConsume,
    BasicConsumeOk,
    BasicNack,
    BasicRecover,
    BasicRecoverOk,
)
from tests.clients.peer import Channel
from tests.overload import declared, letters, load
from tests.overload.field import PATIENCE_S, Field, Found, blast, durable, take, wait_for

Case = Callable[[Field, float], Iterator[None]]

MILLION = 1_000_000
MANY = 100_000


# -- a queue that ends, or is emptied


def purge(field: Field, share: float, persistent: bool) -> Iterator[None]:
    """A purge of a million messages."""
    count = int(MILLION * share)
    channel = field.channel()
    queue = durable(channel, "purged")
    field.fill(channel, queue, count, persistent=persistent)
    yield
    assert channel.call(QueuePurge(queue=queue)).message_count == count
    assert channel.ready(queue) == 0


def delete(field: Field, share: float, persistent: bool) -> Iterator[None]:
    """A queue with a million messages is deleted."""
    count = int(MILLION * share)
    channel = field.channel()
    queue = durable(channel, "deleted")
    field.fill(channel, queue, count, persistent=persistent)
    yield
    assert channel.call(QueueDelete(queue=queue)).message_count == count


def expire(field: Field, share: float) -> Iterator[None]:
    """A million messages expire at once."""
    count = int(MILLION * share)
    channel = field.channel()
    ttl_ms = int(4000 + 20_000 * share)
    while True:
        queue = durable(channel, "expired", x_message_ttl=ttl_ms)
        blast(channel, queue, count, 16)
        if channel.ready(queue) == count:
            break
        channel.call(QueueDelete(queue=queue))  # the first ones have expired before the last ones came
        ttl_ms *= 2
    yield
    wait_for(channel, queue, 0)


def shorten(field: Field, share: float) -> Iterator[None]:
    """A policy says that a queue with a million messages may have ten."""
    count = int(MILLION * share)
    channel = field.channel()
    queue = durable(channel, "long")
    field.fill(channel, queue, count)
    yield
    field.verb("set_policy", vhost="/", name="short", pattern="^long$", definition={"max-length": 10})
    wait_for(channel, queue, 10)


# -- many deliveries without an acknowledgement


def holding(field: Field, share: float, count: int, **arguments: object) -> tuple[Channel, str, int]:
    """A consumer that has so many deliveries. Returns: its channel, the queue, how many."""
    count = int(count * share)
    channel = field.channel()
    queue = durable(channel, "held", **arguments)
    field.fill(channel, queue, count)
    channel.send(BasicConsume(queue=queue, consumer_tag="holder"))
    channel.expect(BasicConsumeOk)
    assert take(channel, count) == count
    return channel, queue, count


def death(field: Field, share: float, count: int) -> Iterator[None]:
    """The connection of a consumer that holds many messages dies."""
    channel, queue, count = holding(field, share, count)
    other = field.channel()
    yield
    channel.link.close()
    wait_for(other, queue, count)


def recover(field: Field, share: float) -> Iterator[None]:
    """basic.recover of many messages, which come again."""
    channel, _, count = holding(field, share, MANY)
    channel.send(BasicCancel(consumer_tag="holder"))
    channel.next()
    yield
    channel.send(BasicRecover(requeue=True))
    channel.expect(BasicRecoverOk, PATIENCE_S)
    wait_for(channel, "held", count)


def nack(field: Field, share: float) -> Iterator[None]:
    """One basic.nack for many messages, which come again."""
    channel, _, count = holding(field, share, MANY)
    yield
    channel.send(BasicNack(delivery_tag=count, multiple=True, requeue=True))
    assert take(channel, count) == 2 * count


def ack(field: Field, share: float) -> Iterator[None]:
    """One basic.ack for many messages."""
    channel, queue, count = holding(field, share, MANY)
    yield
    channel.send(BasicAck(delivery_tag=count, multiple=True))
    assert channel.ready(queue) == 0


def reject(field: Field, share: float) -> Iterator[None]:
    """One basic.nack sends many messages to a dead letter exchange."""
    channel, _, count = holding(field, share, MANY, x_dead_letter_exchange="", x_dead_letter_routing_key="dead")
    other = field.channel()
    dead = durable(other, "dead")
    yield
    channel.send(BasicNack(delivery_tag=count, multiple=True, requeue=False))
    wait_for(other, dead, count)


CASES: dict[str, Case] = {
    "purge": partial(purge, persistent=False),
    "purge-persistent": partial(purge, persistent=True),
    "delete": partial(delete, persistent=False),
    "delete-persistent": partial(delete, persistent=True),
    "expire": expire,
    "shorten": shorten,
    "death-10k": partial(death, count=10_000),
    "death-100k": partial(death, count=MANY),
    "recover-100k": recover,
    "nack-100k": nack,
    "ack-100k": ack,
    "reject-100k": reject,
    "chain-3000": partial(letters.chain, queues=3000, messages=1),
    "chain-500x20": partial(letters.chain, queues=500, messages=20),
    "headers-recover": letters.recover,
    "headers-history": letters.history,
    "headers-expire": letters.expire,
    "import-10k": partial(declared.import_queues, count=10_000, atomic=False),
    "import-20k-atomic": partial(declared.import_queues, count=20_000, atomic=True),
    "export-20k": declared.export_queues,
    "policy-20k": declared.policy,
    "delete-vhost-10k": declared.drop_vhost,
    "declares-10x1000": declared.declares,
    "fanout-5000": declared.fanout,
    "connects-1000": declared.connects,
    "flood-1": partial(load.flood, publishers=1, size=16, persistent=False, consumers=False),
    "flood-20": partial(load.flood, publishers=20, size=16, persistent=False, consumers=False),
    "flood-20-slow": partial(load.flood, publishers=20, size=100, persistent=False, consumers=True),
    "flood-4-persistent": partial(load.flood, publishers=4, size=1000, persistent=True, consumers=False),
    "deaf-20": load.deaf,
    "large": partial(load.large, persistent=False),
    "large-persistent": partial(load.large, persistent=True),
}


def run(name: str, share: float, niceness: int = 0) -> tuple[Found, int]:
    """One case on a broker of its own. Returns: what was found, and the exit code of the broker."""
    field = Field(niceness)
    try:
        case = CASES[name](field, share)
        next(case)
        field.begin()
        for _ in case:
            raise AssertionError("a case yields once")
        found = field.end(name)
    finally:
        code = field.close()
    return found, code
