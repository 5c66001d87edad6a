"""Limits of users and virtual hosts: connections, channels, queues."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from tests.clients.administration import PASSWORD, Administration
from tests.clients.link import Line
from tests.clients.methods import ChannelClose, ChannelOpen, ConnectionOpen, ConnectionOpenOk, QueueDeclare
from tests.clients.methods_basic import BasicGet
from tests.clients.peer import Peer, plain, start_ok
from tests.clients.waiting import eventually

VHOST = f"behaviour-limits-{os.getpid():x}"
USER = f"behaviour-limited-{os.getpid():x}"
OTHER = f"behaviour-other-{os.getpid():x}"

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
    for limit in ("max-connections", "max-queues"):
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
