"""Which queue a method means and whether it may be used: missing, exclusive, the last declared; bindings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.clients.method import Method
from tests.clients.methods import (
    ExchangeDeclare,
    QueueBind,
    QueueBindOk,
    QueueDeclare,
    QueueDelete,
    QueueDeleteOk,
    QueuePurge,
    QueuePurgeOk,
    QueueUnbind,
    QueueUnbindOk,
)
from tests.clients.methods_basic import (
    BasicCancel,
    BasicConsume,
    BasicGet,
)
from tests.clients.peer import LOCKED, Channel, Peer

from .conftest import Names

LOCKED_OUT: dict[str, Callable[[str], Method]] = {
    "declare": lambda name: QueueDeclare(queue=name, exclusive=True),
    "declare as shared": lambda name: QueueDeclare(queue=name),
    "passive declare": lambda name: QueueDeclare(queue=name, passive=True),
    "bind": lambda name: QueueBind(queue=name, exchange="amq.direct"),
    "unbind": lambda name: QueueUnbind(queue=name, exchange="amq.direct"),
    "purge": lambda name: QueuePurge(queue=name),
    "delete": lambda name: QueueDelete(queue=name),
    "consume": lambda name: BasicConsume(queue=name),
    "get": lambda name: BasicGet(queue=name),
}


@pytest.mark.parametrize("use", LOCKED_OUT)
def test_exclusive_queues_belong_to_their_connection(
    connect: Callable[..., Peer], channel: Channel, queue: str, use: str
) -> None:
    channel.bind(queue, "amq.direct")
    stranger = connect().channel()
    stranger.expect_refused(LOCKED_OUT[use](queue), 405, LOCKED.format(queue))


def test_exclusive_queues_can_be_used_on_all_channels_of_their_connection(peer: Peer, queue: str) -> None:
    other = peer.channel(2)
    other.queue(queue)
    other.bind(queue, "amq.direct", queue)
    other.consume(queue)


def test_exclusive_queues_take_messages_from_everybody(
    connect: Callable[..., Peer], channel: Channel, queue: str
) -> None:
    connect().channel().publish(queue, b"x")
    channel.expect_ready(queue, 1)


MISSING: dict[str, tuple[Callable[[str], Method], str]] = {
    "passive declare": (lambda name: QueueDeclare(queue=name, passive=True), "queue"),
    "bind": (lambda name: QueueBind(queue=name, exchange="amq.direct"), "queue"),
    "bind, nowait": (lambda name: QueueBind(queue=name, exchange="amq.direct", nowait=True), "queue"),
    "bind to a missing exchange": (lambda name: QueueBind(queue=name, exchange=name), "exchange"),
    "purge": (lambda name: QueuePurge(queue=name), "queue"),
    "consume": (lambda name: BasicConsume(queue=name), "queue"),
    "get": (lambda name: BasicGet(queue=name), "queue"),
}


@pytest.mark.parametrize("use", MISSING)
def test_missing_queues(channel: Channel, names: Names, use: str) -> None:
    name = names.plain()
    make, kind = MISSING[use]
    channel.expect_refused(make(name), 404, f"no {kind} '{name}' in vhost '/'")


def test_delete_and_unbind_of_what_is_missing(channel: Channel, names: Names, queue: str) -> None:
    name = names.plain()
    assert channel.call(QueueDelete(queue=name)) == QueueDeleteOk(message_count=0)
    channel.call(QueueDelete(queue=name, if_unused=True, if_empty=True))
    for unbind in (
        QueueUnbind(queue=name, exchange=name),
        QueueUnbind(queue=queue, exchange=name),
        QueueUnbind(queue=queue, exchange="amq.direct", routing_key="behaviour-never"),
    ):
        assert channel.call(unbind) == QueueUnbindOk()


WRONG_BINDINGS: dict[str, tuple[QueueBind, str]] = {
    "topic": (
        QueueBind(exchange="amq.topic", routing_key="#.#.#"),
        "Topic binding key '#.#.#' uses 3 '#' wildcards, at most 2 are allowed",
    ),
    "headers": (
        QueueBind(exchange="amq.headers", arguments={"x-match": "some"}),
        'Invalid x-match field value <<"some">>; expected all, any, all-with-x, or any-with-x',
    ),
}


@pytest.mark.parametrize("case", WRONG_BINDINGS)
def test_a_binding_is_looked_at_before_the_owner_of_its_queue(
    connect: Callable[..., Peer], queue: str, case: str
) -> None:
    bind, text = WRONG_BINDINGS[case]
    stranger = connect().channel()
    stranger.expect_refused(replace(bind, queue=queue), 406, text)
    stranger.expect_refused(replace(bind, queue=f"{queue}-missing"), 404, f"no queue '{queue}-missing' in vhost '/'")


def test_strangers_may_unbind_what_was_never_bound(connect: Callable[..., Peer], queue: str) -> None:
    unbind = QueueUnbind(queue=queue, exchange="amq.direct", routing_key="behaviour-never")
    connect().channel().call(unbind)


def test_exclusive_queues_are_for_all_channels_of_their_connection(peer: Peer, channel: Channel, queue: str) -> None:
    other = peer.channel(2)
    other.queue(queue)
    other.bind(queue, "amq.direct", queue)
    channel.publish(queue, b"x", exchange="amq.direct")
    channel.expect_ready(queue, 1)
    assert other.get(queue).body == b"x"
    other.consume(queue)
    other.call(QueuePurge(queue=queue))
    channel.call(QueueDelete(queue=queue))


def test_publishes_reach_exclusive_queues_of_others(connect: Callable[..., Peer], channel: Channel, queue: str) -> None:
    stranger = connect().channel()
    stranger.confirm()
    stranger.confirmed(queue, b"x")
    assert channel.bodies(queue) == [b"x"]


def test_missing_exchange_is_told_before_a_missing_queue(channel: Channel, names: Names) -> None:
    name = names.plain()
    bind = QueueBind(queue=name, exchange=f"{name}-exchange")
    channel.expect_refused(bind, 404, f"no exchange '{name}-exchange' in vhost '/'")


def test_bind_to_a_missing_exchange(channel: Channel, names: Names, queue: str) -> None:
    name = names.plain()
    channel.expect_refused(QueueBind(queue=queue, exchange=name), 404, f"no exchange '{name}' in vhost '/'")


@pytest.mark.parametrize("kind", [QueueBind, QueueUnbind])
def test_default_exchange_cannot_be_bound(channel: Channel, queue: str, kind: type[QueueBind | QueueUnbind]) -> None:
    text = "operation not permitted on the default exchange"
    channel.expect_refused(kind(queue=queue, exchange="", routing_key="x"), 403, text)


def test_bindings_are_unique(channel: Channel, queue: str) -> None:
    for arguments in ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {}):
        for _ in range(2):
            bind = QueueBind(queue=queue, exchange="amq.direct", routing_key=queue, arguments=arguments)
            assert channel.call(bind) == QueueBindOk()
    channel.publish(queue, b"x", exchange="amq.direct")
    assert channel.bodies(queue) == [b"x"]
    channel.call(QueueUnbind(queue=queue, exchange="amq.direct", routing_key=queue, arguments={"b": 2, "a": 1}))
    channel.publish(queue, b"y", exchange="amq.direct")
    assert channel.bodies(queue) == [b"y"]
    channel.call(QueueUnbind(queue=queue, exchange="amq.direct", routing_key=queue))
    channel.publish(queue, b"z", exchange="amq.direct")
    assert channel.bodies(queue) == []


NAMELESS: list[Method] = [
    QueueBind(exchange="amq.direct"),
    QueueUnbind(exchange="amq.direct"),
    QueuePurge(),
    QueueDelete(),
    BasicGet(),
    BasicConsume(),
]


@pytest.mark.parametrize("method", NAMELESS, ids=lambda method: type(method).__name__)
def test_empty_name_without_a_queue_declared_before(peer: Peer, channel: Channel, queue: str, method: Method) -> None:
    peer.channel(2).expect_refused(method, 404, "no previously declared queue")


def test_empty_name_means_the_queue_declared_last(channel: Channel) -> None:
    channel.queue()
    queue = channel.queue()
    channel.call(QueueBind(exchange="amq.direct"))
    channel.publish(queue, b"1", b"2", b"3", exchange="amq.direct")
    assert channel.get("", no_ack=True).body == b"1"
    channel.call(QueueUnbind(exchange="amq.direct", routing_key=queue))
    channel.publish(queue, b"4", exchange="amq.direct")
    assert channel.call(QueuePurge()) == QueuePurgeOk(message_count=2)
    channel.consume("", "tag")
    assert channel.consumers(queue) == 1
    channel.call(BasicCancel(consumer_tag="tag"))
    channel.call(QueueDelete())
    channel.expect_refused(BasicGet(), 404, f"no queue '{queue}' in vhost '/'")


def test_empty_name_after_a_passive_declare(channel: Channel, names: Names) -> None:
    first, second = channel.queue(names.plain()), channel.queue(names.plain())
    channel.call(QueueDeclare(queue=first, passive=True))
    channel.call(QueueDelete())
    channel.call(QueueDeclare(queue=second, passive=True))


def test_empty_name_means_nothing_on_a_channel_opened_again(channel: Channel) -> None:
    channel.queue()
    channel.close()
    channel.open()
    channel.expect_refused(BasicGet(), 404, "no previously declared queue")


def test_empty_name_with_a_routing_key_binds_that_key(channel: Channel) -> None:
    queue = channel.queue()
    channel.call(QueueBind(exchange="amq.direct", routing_key=f"{queue}-key"))
    channel.publish(queue, b"no", exchange="amq.direct")
    channel.publish(f"{queue}-key", b"yes", exchange="amq.direct")
    assert channel.bodies(queue) == [b"yes"]


def test_queue_names_and_exchange_names_are_apart(channel: Channel, names: Names) -> None:
    name = names.exchange()
    channel.queue(name)
    channel.exchange(name, "direct")
    channel.call(ExchangeDeclare(exchange=name, passive=True))
