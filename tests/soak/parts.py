"""Parts: what a soak does with a broker, each in threads of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, TypeAlias

from tests.clients.codec import Properties
from tests.clients.ledger import Letter, key_of
from tests.clients.methods import ExchangeDeclare, QueueBind, QueueDeclare, TxCommit, TxRollback, TxSelect
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicPublish
from tests.clients.peer import Channel
from tests.soak.churn import CHURN
from tests.soak.field import LISTEN_S, Consumer, Field, Publisher

Part: TypeAlias = Callable[[Field, random.Random], None]

TTL_MS = 500
MAX_DELAY_MS = 3000
LATE_S = 15.0
REPLY_TO = "amq.rabbitmq.reply-to"
CALLS = 50  # of one client
FAN = "soak.fan"
UNORDERED = frozenset({"soak.rejected", "soak.due", "soak.spent"})

QUEUES: dict[str, dict[str, Any]] = {
    "soak.durable": {},
    "soak.slow": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "soak.rejected"},
    "soak.rejected": {},
    "soak.priority": {"x-max-priority": 4},
    "soak.brief": {"x-message-ttl": TTL_MS, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "soak.late"},
    "soak.late": {},
    "soak.own": {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "soak.spent"},
    "soak.spent": {},
    "soak.due": {},
    "soak.once": {},
    "soak.copy.1": {},
    "soak.copy.2": {},
    "soak.tx": {},
}


def declare(channel: Channel) -> None:
    """Declare what is there all the time."""
    for queue, arguments in QUEUES.items():
        channel.call(QueueDeclare(queue=queue, durable=True, arguments=arguments))
    for exchange, type_, extra, queues in (
        ("soak.later", "x-delayed-message", {"x-delayed-type": "direct"}, ["soak.due"]),
        ("soak.unique", "x-message-deduplication", {"x-cache-size": 2000, "x-cache-ttl": 5000}, ["soak.once"]),
        ("soak.copies", "topic", {}, ["soak.copy.1", "soak.copy.2"]),
    ):
        channel.call(ExchangeDeclare(exchange=exchange, type=type_, durable=True, arguments=extra))
        for queue in queues:
            channel.call(QueueBind(queue=queue, exchange=exchange, routing_key=""))
    channel.exchange(FAN, "fanout")


def _delayed(letter: Letter, chance: random.Random) -> Properties:
    delay_ms = chance.randrange(MAX_DELAY_MS)
    due = time.monotonic() + delay_ms / 1000
    return Properties(delivery_mode=2, message_id=repr(due), headers={"x-delay": delay_ms})


def _is_due(field: Field, letter: Letter, message: BasicDeliver) -> None:
    late_s = time.monotonic() - float(message.properties.message_id or "0")
    if late_s < -0.002:  # the broker counts whole milliseconds
        field.wrong("early", f"{letter.key} came {-late_s:.3f} s before it was due")
    elif late_s > LATE_S and not message.redelivered:
        field.wrong("late", f"{letter.key} came {late_s:.1f} s after it was due")


def _has_expired(field: Field, letter: Letter, message: BasicDeliver) -> None:
    deaths = (message.properties.headers or {}).get("x-death")
    if not deaths or deaths[0]["reason"] != "expired" or deaths[0]["count"] != 1:
        field.wrong("death", f"{letter.key} has x-death {deaths}")


def _brief(_letter: Letter, chance: random.Random) -> Properties:
    return Properties(delivery_mode=chance.choice((1, 2)), expiration=str(chance.randrange(1500)))


def _unique(letter: Letter, _chance: random.Random) -> Properties:
    return Properties(delivery_mode=2, headers={"x-deduplication-header": f"{letter.key}"})


def fan_out(field: Field, chance: random.Random) -> None:
    """Transient messages for exclusive queues that come and go."""
    peer, channel = field.channel()
    number = 0
    while field.publishing.is_set():
        for _ in range(chance.randint(1, 10)):
            number += 1
            channel.publish("", Letter((90, number), ()).body(chance.choice((10, 100, 1000))), exchange=FAN)
        field.count("published", 10)
        field.rest(0.2)
    peer.close()


def subscribe(field: Field, chance: random.Random) -> None:
    """A subscriber with an exclusive queue, and another after a while; none of them misses a message."""
    while field.publishing.is_set():
        peer, channel = field.channel()
        queue = channel.queue()
        channel.bind(queue, FAN)
        channel.consume(queue, no_ack=True)
        until = time.monotonic() + 1 + 9 * chance.random()
        last = 0
        while field.publishing.is_set() and time.monotonic() < until:
            try:
                message = channel.expect(BasicDeliver, LISTEN_S)
            except TimeoutError:
                continue
            key = key_of(message.body)
            if key is None or (last and key[1] != last + 1) or message.redelivered:
                field.wrong("fanout", f"{key} came after {last}")
            last = key[1] if key is not None else 0
            field.count("delivered")
        peer.link.close()


def serve(field: Field, _chance: random.Random) -> None:
    """Answer requests."""
    peer, channel = field.channel()
    channel.queue("soak.rpc", exclusive=False)
    channel.consume("soak.rpc")
    while field.listening.is_set():
        try:
            request = channel.expect(BasicDeliver, LISTEN_S)
        except TimeoutError:
            continue
        about = request.properties
        channel.publish(about.reply_to or "", request.body[::-1], correlation_id=about.correlation_id)
        channel.send(BasicAck(delivery_tag=request.delivery_tag))
    peer.close()


def call(field: Field, chance: random.Random) -> None:
    """Ask, by direct reply-to and by a reply queue; each client connects, and goes."""
    number = 0
    field.rest(1)  # until there is somebody to ask
    while field.publishing.is_set():
        peer, channel = field.channel()
        reply_to = REPLY_TO if chance.random() < 0.5 else channel.queue()
        channel.consume(reply_to, no_ack=True)
        for _ in range(CALLS):
            if not field.publishing.is_set():
                break
            number += 1
            body = chance.randbytes(chance.choice((10, 1000, 100_000)))
            channel.publish("soak.rpc", body, reply_to=reply_to, correlation_id=str(number))
            reply = channel.expect(BasicDeliver)
            if reply.body != body[::-1] or reply.properties.correlation_id != str(number):
                field.wrong("reply", f"call {number} got the reply of {reply.properties.correlation_id}")
            field.count("calls")
            field.rest(0.1)
        peer.close()


def commit(field: Field, chance: random.Random) -> None:
    """Transactions, some of which are rolled back: then none of their messages may come."""
    peer, channel = field.channel()
    channel.call(TxSelect())
    number = 0
    while field.publishing.is_set():
        letters = []
        is_kept = chance.random() < 0.7
        for _ in range(chance.randint(1, 10)):
            number += 1
            letter = Letter((91, number), (("soak.tx",),))
            if is_kept:
                field.book.send(letter)
            letters.append(letter)
        bodies = [letter.body(chance.choice((10, 1000))) for letter in letters]
        channel.send(
            *(BasicPublish(routing_key="soak.tx", properties=Properties(delivery_mode=2), body=body) for body in bodies)
        )
        if is_kept:
            channel.call(TxCommit())
            for letter in letters:
                field.book.confirm(letter)
        else:
            channel.call(TxRollback())
        field.rest(0.5)
    peer.close()


PARTS: dict[str, list[Part]] = {
    "durable": [
        Publisher(1, (("soak.durable",),), batch=20, large=True).run,
        Consumer("soak.durable", requeue=0.02, hoard=20).run,
    ],
    "slow": [
        Publisher(2, (("soak.slow", "soak.rejected"),), batch=5, pause_s=0.3).run,
        Consumer("soak.slow", prefetch=20, requeue=0.3, reject=0.1, pause_s=0.03).run,
        Consumer("soak.rejected", hoard=5).run,
    ],
    "priority": [
        Publisher(3, (("soak.priority",),), batch=10, priorities=5).run,
        Consumer("soak.priority", prefetch=5, requeue=0.05).run,
    ],
    "time": [
        Publisher(4, (("soak.late",),), key="soak.brief").run,
        Publisher(5, (("soak.spent",),), key="soak.own", pause_s=0.4, properties=_brief).run,
        Consumer("soak.late", hoard=10, check=_has_expired).run,
        Consumer("soak.spent", check=_has_expired).run,
    ],
    "delayed": [
        Publisher(6, (("soak.due",),), exchange="soak.later", properties=_delayed).run,
        Consumer("soak.due", check=_is_due).run,
    ],
    "unique": [
        Publisher(7, (("soak.once",),), exchange="soak.unique", times=2, batch=5, properties=_unique).run,
        Consumer("soak.once").run,
    ],
    "topic": [
        Publisher(8, (("soak.copy.1",), ("soak.copy.2",)), exchange="soak.copies", batch=5).run,
        Consumer("soak.copy.1", hoard=10).run,
        Consumer("soak.copy.2", requeue=0.1).run,
    ],
    "fanout": [fan_out, subscribe, subscribe, subscribe],
    "rpc": [serve, call, call],
    "tx": [commit, Consumer("soak.tx", hoard=5).run],
    "churn": CHURN,
}
