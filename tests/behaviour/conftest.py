"""Fixtures of the behaviour tests: connections, channels, and names that are deleted afterwards."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.clients.administration import Administration, ControlSocket, ManagementApi
from tests.clients.codec import PROTOCOL_HEADER
from tests.clients.methods import ExchangeDelete, QueueDelete
from tests.clients.peer import Channel, Peer

_numbers = itertools.count(1)


class Names:
    """Gives out names that no other test uses, and deletes what was declared under them."""

    def __init__(self) -> None:
        self._prefix = f"behaviour-{os.getpid():x}-{next(_numbers)}"
        self._count = itertools.count(1)
        self.queues: list[str] = []
        self.exchanges: list[str] = []

    def plain(self) -> str:
        """Return a unique name for something that cleans up after itself."""
        return f"{self._prefix}-{next(self._count)}"

    def queue(self) -> str:
        """Return a unique queue name; the queue is deleted after the test."""
        self.queues.append(self.plain())
        return self.queues[-1]

    def exchange(self) -> str:
        """Return a unique exchange name; the exchange is deleted after the test."""
        self.exchanges.append(self.plain())
        return self.exchanges[-1]

    def delete(self, address: tuple[str, int]) -> None:
        """Delete everything that got a name to be deleted."""
        if not self.queues and not self.exchanges:
            return
        peer = Peer(address).login()
        channel = peer.channel()
        for exchange in self.exchanges:
            channel.call(ExchangeDelete(exchange=exchange))
        for queue in self.queues:
            channel.call(QueueDelete(queue=queue))
        peer.link.close()


@pytest.fixture(scope="session", autouse=True)
def loiterer(amqp_address: tuple[str, int]) -> Iterator[Peer]:
    """A connection made first of all, which never goes on after the protocol header."""
    peer = Peer(amqp_address)
    peer.link.send_bytes(PROTOCOL_HEADER)
    yield peer
    peer.link.close()


@pytest.fixture(scope="module")
def administration(amqp_address: tuple[str, int], amqp_control: str | None) -> Iterator[Administration]:
    """Users, virtual hosts and so on, taken away after the tests of the file."""
    administration: Administration
    if os.environ.get("LEVERET_TEST_PEER") == "rabbitmq":
        host, port = amqp_address
        default = f"http://{host}:{port + 10000}"
        administration = ManagementApi(os.environ.get("LEVERET_TEST_MANAGEMENT", default))
    elif amqp_control is not None:
        administration = ControlSocket(amqp_control)
    else:
        pytest.skip("the broker has no control socket that the tests know")
    yield administration
    administration.clear()


@pytest.fixture
def names(amqp_address: tuple[str, int]) -> Iterator[Names]:
    """Unique names for this test."""
    names = Names()
    yield names
    names.delete(amqp_address)


@pytest.fixture
def dial(amqp_address: tuple[str, int], names: Names) -> Iterator[Callable[[], Peer]]:
    """Make TCP connections on which nothing was said yet; closed after the test."""
    peers: list[Peer] = []

    def connect() -> Peer:
        peers.append(Peer(amqp_address))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.link.close()


@pytest.fixture
def connect(dial: Callable[[], Peer]) -> Callable[..., Peer]:
    """Open connections; the arguments are those of `Peer.login`."""

    def connect(*args: Any, **kwargs: Any) -> Peer:
        return dial().login(*args, **kwargs)

    return connect


@pytest.fixture
def peer(connect: Callable[..., Peer]) -> Peer:
    """An open connection."""
    return connect()


@pytest.fixture
def channel(peer: Peer) -> Channel:
    """An open channel, number 1 of `peer`."""
    return peer.channel()


@pytest.fixture
def queue(channel: Channel, names: Names) -> str:
    """An exclusive queue declared on `channel`."""
    return channel.queue(names.plain())


@pytest.fixture
def dead(channel: Channel, names: Names) -> str:
    """The queue where dead letters end."""
    return channel.queue(names.plain())


@pytest.fixture
def source(channel: Channel, names: Names, dead: str) -> str:
    """A queue whose dead letters go to `dead` by way of the default exchange."""
    return channel.queue(names.plain(), x_dead_letter_exchange="", x_dead_letter_routing_key=dead)
