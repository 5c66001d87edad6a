"""Queues: declaring, counting, purging, deleting, and the empty name that means the last one."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.methods import (
    ConfirmSelect,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
)
from tests.clients.methods_basic import (
    BasicAck,
    BasicCancel,
    BasicPublish,
)
from tests.clients.peer import LOCKED, Channel, Peer

from .conftest import Names


def gone(channel: Channel, queue: str) -> None:
    """Check that a queue does not exist."""
    channel.expect_refused(QueueDeclare(queue=queue, passive=True), 404, f"no queue '{queue}' in vhost '/'")


@pytest.mark.parametrize("durable", [False, True])
@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("auto_delete", [False, True])
def test_declare(channel: Channel, names: Names, durable: bool, exclusive: bool, auto_delete: bool) -> None:
    name = names.queue()
    declare = QueueDeclare(queue=name, durable=durable, exclusive=exclusive, auto_delete=auto_delete)
    for _ in range(2):
        assert channel.call(declare) == QueueDeclareOk(queue=name, message_count=0, consumer_count=0)
    assert channel.call(QueueDelete(queue=name)) == QueueDeleteOk(message_count=0)
    gone(channel, name)


def test_names_given_by_the_broker(channel: Channel) -> None:
    given = [channel.queue() for _ in range(3)]
    assert len(set(given)) == 3
    assert all(re.fullmatch(r"amq\.gen-[A-Za-z0-9_-]{22}", name) for name in given)


@pytest.mark.parametrize("suffix", ["-é☃😀", "- a,b;c/d?%20", "n" * 255])
def test_unusual_names(channel: Channel, names: Names, suffix: str) -> None:
    name = (names.plain() + suffix)[:255]
    channel.queue(name)
    channel.publish(name, b"x")
    assert channel.bodies(name) == [b"x"]
    missing = f"{name[:60]}-missing"
    channel.expect_refused(QueueDeclare(queue=missing, passive=True), 404, f"no queue '{missing}' in vhost '/'")


def test_line_breaks_are_removed_from_names_but_not_from_keys(channel: Channel, names: Names) -> None:
    name = names.plain()
    broken = f"{name[:5]}\r\n{name[5:]}"
    assert channel.queue(broken) == name
    channel.call(QueueBind(queue=broken, exchange="amq.\r\ndirect", routing_key=f"{name}\n"))
    channel.publish(f"{name}\n", b"x", exchange="amq.direct")
    assert channel.bodies(name) == [b"x"]
    channel.call(QueueUnbind(queue=broken, exchange="amq.\ndirect", routing_key=f"{name}\n"))
    channel.publish(f"{name}\n", b"x", exchange="amq.direct")
    assert channel.bodies(name) == []
    channel.call(QueueDelete(queue=broken))
    gone(channel, name)


def test_reserved_names(channel: Channel) -> None:
    name = "amq.behaviour"
    text = f"queue name '{name}' contains reserved prefix 'amq.*'"
    channel.expect_refused(QueueDeclare(queue=name, exclusive=True), 403, text)
    gone(channel, name)


def test_names_given_by_the_broker_are_reserved(channel: Channel) -> None:
    name = channel.queue()
    text = f"queue name '{name}' contains reserved prefix 'amq.*'"
    channel.expect_refused(QueueDeclare(queue=name, exclusive=True), 403, text)
    assert channel.call(QueueDeclare(queue=name, passive=True)).queue == name


def test_passive_declare_looks_at_the_name_only(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"one", b"two")
    channel.consume(channel.queue())
    channel.expect_ready(queue, 2)
    passive = QueueDeclare(queue=queue, passive=True, durable=True, auto_delete=True, arguments={"x-expires": 5})
    assert channel.call(passive) == QueueDeclareOk(queue=queue, message_count=2, consumer_count=0)


def test_passive_declare_without_name(channel: Channel) -> None:
    channel.queue()
    gone(channel, "")


def test_declare_counts_ready_messages_and_consumers(peer: Peer, channel: Channel, queue: str) -> None:
    channel.publish(queue, b"1", b"2", b"3")
    channel.get(queue)
    channel.expect_ready(queue, 2)
    consumer = peer.channel(2)
    consumer.prefetch(1)
    consumer.consume(queue)
    consumer.deliveries(1)
    channel.expect_ready(queue, 1)
    assert channel.declare(queue) == QueueDeclareOk(queue=queue, message_count=1, consumer_count=1)


INEQUIVALENT = [
    ({"durable": False}, "'durable' for {}: received 'false' but current is 'true'"),
    ({"auto_delete": True}, "'auto_delete' for {}: received 'true' but current is 'false'"),
    ({"durable": False, "auto_delete": True}, "'durable' for {}: received 'false' but current is 'true'"),
    (
        {"auto_delete": True, "arguments": {"x-max-length": 5}},
        "'auto_delete' for {}: received 'true' but current is 'false'",
    ),
]


@pytest.mark.parametrize(("change", "text"), INEQUIVALENT, ids=str)
def test_declare_again_differently(channel: Channel, names: Names, change: dict[str, Any], text: str) -> None:
    name = channel.queue(names.queue(), exclusive=False, durable=True)
    channel.expect_refused(
        QueueDeclare(**{"queue": name, "durable": True, **change}),
        406,
        "inequivalent arg " + text.format(f"queue '{name}' in vhost '/'"),
    )


def test_declare_again_with_another_exclusiveness(channel: Channel, names: Names, queue: str) -> None:
    channel.expect_refused(QueueDeclare(queue=queue), 405, LOCKED.format(queue))
    channel.expect_refused(QueueDeclare(queue=queue, auto_delete=True), 405, LOCKED.format(queue))
    shared = channel.queue(names.queue(), exclusive=False)
    channel.expect_refused(QueueDeclare(queue=shared, exclusive=True), 405, LOCKED.format(shared))


def test_durable_means_nothing_for_exclusive_queues(channel: Channel, queue: str) -> None:
    channel.queue(queue, durable=True)
    channel.queue(queue, durable=False)


def test_purge_takes_ready_messages_only(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"1", b"2", b"3")
    first = channel.get(queue)
    assert channel.call(QueuePurge(queue=queue)) == QueuePurgeOk(message_count=2)
    assert channel.call(QueuePurge(queue=queue)) == QueuePurgeOk(message_count=0)
    channel.send(BasicAck(delivery_tag=first.delivery_tag))
    channel.close()
    channel.open()
    assert channel.bodies(queue) == []


def test_purged_message_numbers_do_not_confuse_requeue(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"kept", b"purged")
    channel.get(queue)
    channel.call(QueuePurge(queue=queue))
    channel.close()
    channel.open()
    assert channel.bodies(queue) == [b"kept"]


def test_purge_does_not_remove_line_breaks(channel: Channel, queue: str) -> None:
    broken = f"{queue[:5]}\r\n{queue[5:]}"
    channel.expect_refused(QueuePurge(queue=broken), 404, f"no queue '{broken}' in vhost '/'")


def test_delete_counts_ready_messages(channel: Channel, names: Names) -> None:
    queue = channel.queue(names.plain())
    channel.publish(queue, b"1", b"2", b"3")
    channel.get(queue)
    assert channel.call(QueueDelete(queue=queue)) == QueueDeleteOk(message_count=2)


def test_delete_if_empty(channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x")
    delete = QueueDelete(queue=queue, if_empty=True)
    channel.expect_refused(delete, 406, f"queue '{queue}' in vhost '/' not empty")
    channel.get(queue, no_ack=True)
    assert channel.call(delete) == QueueDeleteOk(message_count=0)


def test_delete_if_empty_looks_at_ready_messages(peer: Peer, channel: Channel, queue: str) -> None:
    channel.publish(queue, b"x")
    channel.get(queue)
    peer.channel(2).call(QueueDelete(queue=queue, if_empty=True))


def test_delete_if_unused(peer: Peer, channel: Channel, queue: str) -> None:
    tag = channel.consume(queue)
    delete = QueueDelete(queue=queue, if_unused=True)
    other = peer.channel(2)
    other.expect_refused(delete, 406, f"queue '{queue}' in vhost '/' in use")
    channel.call(BasicCancel(consumer_tag=tag))
    other.call(delete)


def test_delete_if_empty_is_checked_before_if_unused(channel: Channel, queue: str) -> None:
    channel.prefetch(1)
    channel.consume(queue)
    channel.publish(queue, b"1", b"2")
    channel.deliveries(1)
    channel.expect_ready(queue, 1)
    channel.expect_refused(
        QueueDelete(queue=queue, if_empty=True, if_unused=True),
        406,
        f"queue '{queue}' in vhost '/' not empty",
    )


def test_delete_forgets_messages_and_bindings(channel: Channel, queue: str) -> None:
    channel.bind(queue, "amq.direct", queue)
    channel.publish(queue, b"old")
    channel.call(QueueDelete(queue=queue))
    channel.queue(queue)
    channel.publish(queue, b"new", exchange="amq.direct")
    assert channel.bodies(queue) == []


def test_nowait(channel: Channel, names: Names) -> None:
    name = names.plain()
    channel.send(
        QueueDeclare(queue=name, exclusive=True, nowait=True),
        QueueBind(queue=name, exchange="amq.direct", routing_key=name, nowait=True),
        BasicPublish(exchange="amq.direct", routing_key=name, body=b"x"),
        QueuePurge(queue=name, nowait=True),
        QueueDelete(queue=name, nowait=True),
        ConfirmSelect(nowait=True),
    )
    gone(channel, name)


def test_auto_delete_after_the_last_consumer(peer: Peer, channel: Channel, names: Names) -> None:
    name, other = names.queue(), peer.channel(2)
    channel.call(QueueDeclare(queue=name, auto_delete=True))
    tag = channel.consume(name)
    other.consume(name)
    channel.call(BasicCancel(consumer_tag=tag))
    channel.call(QueueDeclare(queue=name, passive=True))
    other.close()
    gone(channel, name)


@pytest.mark.parametrize("end", ["consumer", "connection"])
def test_exclusive_and_auto_delete_goes_with_either(
    connect: Callable[..., Peer], channel: Channel, names: Names, end: str
) -> None:
    name, owner = names.plain(), connect()
    declaring = owner.channel()
    declaring.call(QueueDeclare(queue=name, exclusive=True, auto_delete=True))
    if end == "consumer":
        declaring.call(BasicCancel(consumer_tag=declaring.consume(name)))
        gone(declaring, name)
    else:
        owner.close()
        gone(channel, name)


def test_auto_delete_never_before_the_first_consumer(channel: Channel, names: Names) -> None:
    name = names.queue()
    channel.call(QueueDeclare(queue=name, auto_delete=True))
    channel.publish(name, b"x")
    channel.get(name, no_ack=True)
    channel.close()
    channel.open()
    channel.call(QueueDeclare(queue=name, passive=True))


def test_auto_delete_queue_can_be_declared_again(channel: Channel, names: Names) -> None:
    name = names.queue()
    for _ in range(2):
        channel.call(QueueDeclare(queue=name, auto_delete=True))
        channel.call(BasicCancel(consumer_tag=channel.consume(name)))
        gone(channel, name)
