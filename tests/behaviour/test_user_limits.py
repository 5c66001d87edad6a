"""Limits of users and virtual hosts: connections, channels, queues, exchanges, bindings, consumers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.clients.administration import PASSWORD, Administration
from tests.clients.link import Line
from tests.clients.methods import (
    ChannelClose,
    ChannelOpen,
    ConnectionOpen,
    ConnectionOpenOk,
    ExchangeBind,
    ExchangeDeclare,
    ExchangeDelete,
    QueueBind,
    QueueDeclare,
    QueueDelete,
)
from tests.clients.methods_basic import BasicCancel, BasicConsume, BasicGet
from tests.clients.peer import Peer, plain, start_ok
from tests.clients.waiting import eventually
from tests.marks import differs_from_rabbitmq

VHOST = f"behaviour-limits-{os.getpid():x}"
USER = f"behaviour-limited-{os.getpid():x}"
OTHER = f"behaviour-other-{os.getpid():x}"

OUR_OWN = differs_from_rabbitmq("it has no such limit")

Open = Callable[..., Peer]


@pytest.fixture(scope="module", autouse=True)
def made(administration: Administration) -> None:
    """A virtual host, a user who may use it, and one who may not."""
    administration.add_vhost(VHOST)
    for user in (USER, OTHER):
        administration.add_user(user)
    administration.permit(USER, VHOST)


@pytest.fixture(autouse=True)
def unlimited(administration: Administration) -> Iterator[None]:
    """No limit is left over from one test to the next."""
    yield
    of_vhost = ["max-connections", "max-queues"]
    if os.environ.get("LEVERET_TEST_PEER") != "rabbitmq":
        of_vhost += ["max-exchanges", "max-bindings", "max-consumers"]
    for limit in of_vhost:
        administration.limit_vhost(VHOST, limit, -1)
    for limit in ("max-connections", "max-channels"):
        administration.limit_user(USER, limit, -1)


@pytest.fixture
def ask(dial: Callable[[], Peer]) -> Open:
    """Ask to open a connection; the answer is still to come."""

    def ask(user: str = USER, vhost: str = VHOST) -> Peer:
        peer = dial()
        peer.negotiate(start_ok(response=plain(user, PASSWORD)))
        peer.send(ConnectionOpen(virtual_host=vhost))
        return peer

    return ask


def expect_open(ask: Open) -> None:
    """Open a connection as soon as the end of another one is noticed."""
    eventually(lambda: isinstance(ask().next(), ConnectionOpenOk))


def vhost_full(limit: int, user: str = USER) -> str:
    """Return the text of a refusal."""
    return f"access to vhost '{VHOST}' refused for user '{user}': connection limit ({limit}) is reached"


USER_FULL = f"connection refused for user '{USER}': user connection limit (1) is reached"


@pytest.mark.parametrize("limit", [0, 1])
def test_connections_of_a_virtual_host(ask: Open, administration: Administration, limit: int) -> None:
    first = ask()
    first.expect(ConnectionOpenOk)
    administration.limit_vhost(VHOST, "max-connections", limit)
    ask().expect_closed(530, vhost_full(limit), by=ConnectionOpen)
    ask(OTHER).expect_closed(530, vhost_full(limit, OTHER), by=ConnectionOpen)
    first.channel()
    first.close()
    if limit:
        expect_open(ask)


def test_connections_of_a_user(ask: Open, administration: Administration) -> None:
    first = ask()
    first.expect(ConnectionOpenOk)
    administration.limit_user(USER, "max-connections", 1)
    ask().expect_closed(530, USER_FULL, by=ConnectionOpen)
    ask(vhost="none").expect_closed(530, "vhost none not found", by=ConnectionOpen)
    ask(vhost="/").expect_closed(530, USER_FULL, by=ConnectionOpen)
    administration.limit_vhost(VHOST, "max-connections", 1)
    ask().expect_closed(530, vhost_full(1), by=ConnectionOpen)
    administration.limit_vhost(VHOST, "max-connections", -1)
    first.close()
    expect_open(ask)


def test_access_to_a_virtual_host(ask: Open) -> None:
    ask(OTHER).expect_closed(530, f"access to vhost '{VHOST}' refused for user '{OTHER}'", by=ConnectionOpen)


def test_channels_of_a_user(ask: Open, administration: Administration) -> None:
    first, second = ask(), ask()
    for peer in (first, second):
        peer.expect(ConnectionOpenOk)
    administration.limit_user(USER, "max-channels", 2)
    channel = first.channel(1)
    second.channel(1)
    channel.send(BasicGet(queue="none"))
    channel.expect(ChannelClose)  # not answered: the channel still counts
    Line(second.link, 2).send(ChannelOpen())
    text = f"number of channels opened for user '{USER}' has reached the maximum allowed user limit of 2"
    second.expect_closed(530, text)


def test_queues_of_a_virtual_host(ask: Open, administration: Administration) -> None:
    peer = ask()
    peer.expect(ConnectionOpenOk)
    channel = peer.channel()
    administration.limit_vhost(VHOST, "max-queues", 1)
    channel.queue("one")
    channel.queue("one")
    text = f"cannot declare queue 'two': queue limit in vhost '{VHOST}' (1) is reached"
    channel.expect_refused(QueueDeclare(queue="two", exclusive=True), 406, text)
    text = f"invalid arg 'x-message-ttl' for queue 'two' in vhost '{VHOST}': {{value_negative,-1}}"
    channel.expect_refused(QueueDeclare(queue="two", exclusive=True, arguments={"x-message-ttl": -1}), 406, text)
    administration.limit_vhost(VHOST, "max-queues", 0)
    channel.expect_refused(
        QueueDeclare(queue="two", exclusive=True),
        406,
        f"cannot declare queue 'two': queue limit in vhost '{VHOST}' (0) is reached",
    )


@OUR_OWN
def test_exchanges_of_a_virtual_host(ask: Open, administration: Administration) -> None:
    peer = ask()
    peer.expect(ConnectionOpenOk)
    channel = peer.channel()
    administration.limit_vhost(VHOST, "max-exchanges", 1)
    for _ in range(2):
        channel.call(ExchangeDeclare(exchange="one", type="direct"))
    declare = ExchangeDeclare(exchange="two", type="direct")
    text = f"cannot declare exchange 'two': exchange limit in vhost '{VHOST}' (1) is reached"
    channel.expect_refused(declare, 406, text)
    wrong = ExchangeDeclare(exchange="two", type="none")
    channel.expect_refused(wrong, 406, "invalid exchange type 'none'")
    channel.call(ExchangeDelete(exchange="one"))
    channel.call(declare)
    channel.call(ExchangeDelete(exchange="two"))
    administration.limit_vhost(VHOST, "max-exchanges", 0)
    text = f"cannot declare exchange 'two': exchange limit in vhost '{VHOST}' (0) is reached"
    channel.expect_refused(declare, 406, text)


@OUR_OWN
def test_bindings_of_a_virtual_host(ask: Open, administration: Administration) -> None:
    peer = ask()
    peer.expect(ConnectionOpenOk)
    channel = peer.channel()
    queue = channel.queue()
    channel.call(QueueBind(queue=queue, exchange="amq.fanout"))
    administration.limit_vhost(VHOST, "max-bindings", 1)
    channel.call(QueueBind(queue=queue, exchange="amq.fanout"))
    text = "cannot bind {} to exchange 'amq.topic': binding limit in vhost '" + VHOST + "' (1) is reached"
    bind = QueueBind(queue=queue, exchange="amq.topic", routing_key="#")
    channel.expect_refused(bind, 406, text.format(f"queue '{queue}'"))
    bind_exchange = ExchangeBind(source="amq.topic", destination="amq.direct")
    channel.expect_refused(bind_exchange, 406, text.format("exchange 'amq.direct'"))
    channel.call(QueueDelete(queue=queue))  # and its binding
    other = channel.queue()
    channel.call(QueueBind(queue=other, exchange="amq.topic", routing_key="#"))


@OUR_OWN
def test_consumers_of_a_virtual_host(ask: Open, administration: Administration) -> None:
    peer = ask()
    peer.expect(ConnectionOpenOk)
    channel, other = peer.channel(1), peer.channel(2)
    queue, second = channel.queue(), channel.queue()
    channel.consume(queue, "one")
    administration.limit_vhost(VHOST, "max-consumers", 1)
    text = f"cannot consume from queue '{second}': consumer limit in vhost '{VHOST}' (1) is reached"
    other.expect_refused(BasicConsume(queue=second), 406, text)
    channel.call(BasicCancel(consumer_tag="one"))
    other.consume(second, "two")
    channel.expect_refused(BasicConsume(queue=second), 406, text)
    other.call(QueueDelete(queue=second))  # and its consumer
    other.expect(BasicCancel)
    channel.consume(queue, "three")
    channel.close()
    other.consume(queue, "four")


def test_zero_allows_none(ask: Open, administration: Administration) -> None:
    peer = ask()
    peer.expect(ConnectionOpenOk)
    administration.limit_user(USER, "max-connections", 0)
    text = f"connection refused for user '{USER}': user connection limit (0) is reached"
    ask().expect_closed(530, text, by=ConnectionOpen)
    administration.limit_user(USER, "max-channels", 0)
    Line(peer.link, 1).send(ChannelOpen())
    text = f"number of channels opened for user '{USER}' has reached the maximum allowed user limit of 0"
    peer.expect_closed(530, text)


def test_negative_limits_are_none(ask: Open, administration: Administration) -> None:
    for limit in ("max-connections", "max-queues"):
        administration.limit_vhost(VHOST, limit, -5)
    for limit in ("max-connections", "max-channels"):
        administration.limit_user(USER, limit, -5)
    for _ in range(2):
        peer = ask()
        peer.expect(ConnectionOpenOk)
        peer.channel(1)
        assert peer.channel(2).queue()


@pytest.mark.parametrize("limit", [(1 << 63) - 1, 1 << 63, 10**20, -(10**20)])
def test_limits_of_any_size(administration: Administration, ask: Open, limit: int) -> None:
    for name in ("max-connections", "max-queues"):
        administration.limit_vhost(VHOST, name, limit)
    for name in ("max-connections", "max-channels"):
        administration.limit_user(USER, name, limit)
    peer = ask()
    peer.expect(ConnectionOpenOk)
    assert peer.channel().queue()
