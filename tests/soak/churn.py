"""Churn: connections, channels, queues, exchanges, bindings and consumers that come and go."""

from __future__ import annotations

import random
from collections.abc import Callable

from tests.clients.methods import (
    ChannelClose,
    ChannelCloseOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDelete,
    QueuePurge,
    QueueUnbind,
)
from tests.clients.methods_basic import BasicCancel, BasicCancelOk, BasicDeliver
from tests.clients.peer import Channel, Peer
from tests.soak.field import Field

LIVES = 20  # rounds of one connection
CROWD = 250  # messages, more than all channels of a connection take
PAUSE_S = 0.15


def topology(field: Field, chance: random.Random) -> None:
    """Durable and transient queues and exchanges, bound, unbound, used a little, and deleted."""
    number = 0
    while field.publishing.is_set():
        peer, channel = field.channel()
        for _ in range(LIVES):
            if not field.publishing.is_set():
                break
            number += 1
            _round(channel, f"churn.{number}", chance)
            field.count("rounds")
            field.rest(PAUSE_S)
        peer.close()


def _round(channel: Channel, name: str, chance: random.Random) -> None:
    """Declare, use and delete some things; nothing is left."""
    durable = chance.random() < 0.3
    type_ = chance.choice(("direct", "topic", "fanout", "headers", "x-consistent-hash"))
    inner = f"{name}.inner"
    channel.call(ExchangeDeclare(exchange=name, type=type_, durable=durable))
    channel.call(ExchangeDeclare(exchange=inner, type="fanout", durable=durable, auto_delete=True))
    channel.call(ExchangeBind(destination=inner, source=name, routing_key="1"))
    arguments = chance.choice(({}, {"x-expires": 60_000}, {"x-max-length": 3}, {"x-max-priority": 3}))
    channel.call(QueueDeclare(queue=name, durable=durable, arguments=arguments))
    for key in "12":
        channel.call(QueueBind(queue=name, exchange=name, routing_key=key))
    channel.call(QueueBind(queue=name, exchange=inner))
    channel.call(QueueUnbind(queue=name, exchange=name, routing_key="2"))
    channel.publish("1", *(chance.randbytes(100) for _ in range(5)), exchange=name, delivery_mode=chance.choice((1, 2)))
    dice = chance.random()
    if dice < 0.3:
        tag = channel.consume(name, no_ack=True)
        channel.send(BasicCancel(consumer_tag=tag))
        while not isinstance(reply := channel.next(), BasicCancelOk):
            assert isinstance(reply, BasicDeliver), reply
    elif dice < 0.5:
        channel.call(QueuePurge(queue=name))
    elif dice < 0.8:
        channel.drain(name)
    channel.call(QueueDelete(queue=name))
    channel.call(ExchangeDelete(exchange=name))


def channels(field: Field, chance: random.Random) -> None:
    """Channels that open, fail, take messages they never settle, and close, on connections that do likewise."""
    while field.publishing.is_set():
        peer, channel = field.channel()
        queue = channel.queue(exclusive=False)
        channel.publish(queue, *(chance.randbytes(50) for _ in range(CROWD)))
        for number in range(2, 2 + LIVES):
            if not field.publishing.is_set():
                break
            _life(peer, number, queue, chance)
            field.count("channels")
            field.rest(PAUSE_S / 2)
        channel.call(QueueDelete(queue=queue))
        peer.link.close() if chance.random() < 0.5 else peer.close()


def _life(peer: Peer, number: int, queue: str, chance: random.Random) -> None:
    """Of one channel."""
    channel = peer.channel(number)
    channel.prefetch(chance.randint(1, 10))
    channel.consume(queue)
    channel.expect(BasicDeliver)
    dice = chance.random()
    if dice < 0.3:
        channel.send(QueueDeclare(queue="churn.nowhere", passive=True))
        while not isinstance(channel.next(), ChannelClose):
            pass  # deliveries
        channel.send(ChannelCloseOk())
    elif dice < 0.7:
        channel.send(ChannelClose(reply_code=200, reply_text="bye"))
        while not isinstance(channel.next(), ChannelCloseOk):
            pass  # deliveries; otherwise it ends with its connection


CHURN: list[Callable[[Field, random.Random], None]] = [topology, channels, channels]
