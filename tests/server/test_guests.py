"""Those who have not logged in: who gets a place, who makes room, and what is known of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import ssl
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import trustme
import uvloop

from leveret.auth.authenticator import LoginRefused
from leveret.core.access.user import User
from leveret.server import guests, listener, places
from leveret.server.driver import Driver
from leveret.server.guests import Guests
from leveret.server.listener import Listener
from leveret.server.openings import OPENINGS
from leveret.server.transport import ClientProtocol
from leveret.session.connection.connection import Connection
from leveret.wire.constants import PROTOCOL_HEADER
from leveret.wire.methods import ChannelOpen, QueueDeclare
from tests.clients.socketless import encode, everybody, handshake, make_broker

RESET = b"\1\0\0\0\0\0\0\0"  # SO_LINGER: a close is a reset
LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
PATIENCE_S = 60.0


class Doorman:
    """Notes from where clients come, and lets everybody in once it is told to."""

    def __init__(self) -> None:
        self.hosts: list[str] = []
        self.is_open = asyncio.Event()
        self.is_quick = True

    def authenticate_now(self, name: str, password: str, host: str) -> User | None:
        """At once, if it is quick."""
        self.hosts.append(host)
        return everybody() if self.is_quick else None

    async def authenticate(self, name: str, password: str, host: str, is_gone: Callable[[], bool]) -> User:
        """When it is open."""
        await self.is_open.wait()
        if is_gone():
            raise LoginRefused("gone")
        return everybody()


class House:
    """A listener, and all that is behind it."""

    def __init__(self, most: int, most_sockets: int, context: ssl.SSLContext | None) -> None:
        self.doorman = Doorman()
        self.driver = Driver(make_broker(), asyncio.get_running_loop())
        self.guests = Guests(lambda: ClientProtocol(self.driver, self.doorman, OPENINGS), most, most_sockets)
        self.listener = Listener(self.guests, context)
        self.listener.listen("0.0.0.0", 0, 1000)
        self.port = self.listener.address[1]

    def knock(self, host: str, data: bytes = b"") -> socket.socket:
        """A socket of a client from this address, which has sent something."""
        client = socket.socket()
        client.bind((host, 0))
        client.connect(("127.0.0.1", self.port))
        client.setblocking(False)
        client.sendall(data)
        return client

    def queues(self) -> set[str]:
        """What has been declared."""
        return set(self.driver.broker.vhosts["/"].queues)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something."""
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.005)


@contextlib.asynccontextmanager
async def house(
    most: int = 100, most_sockets: int = 100, context: ssl.SSLContext | None = None
) -> AsyncIterator[House]:
    """A house to come to."""
    found = House(most, most_sockets, context)
    try:
        yield found
    finally:
        found.listener.close()
        found.guests.close()
        await found.driver.shut_down("the test is over", 0)
        await found.until(lambda: found.guests.sockets == 0)
        assert (found.guests.places.taken, found.guests.tls_places.taken) == (0, 0)


def run(new_loop: Any, scenario: Callable[[], Any]) -> None:
    """In a loop of this kind."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


async def is_closed(client: socket.socket) -> bool:
    """Whether the broker has closed a socket; what it sent before is thrown away."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await loop.sock_recv(client, 65536):
                pass
    except ConnectionResetError:
        pass
    return True


async def answers(client: socket.socket) -> bool:
    """Whether the broker speaks AMQP with a client."""
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(client, PROTOCOL_HEADER)
    async with asyncio.timeout(PATIENCE_S):
        return b"RabbitMQ" in await loop.sock_recv(client, 65536)


def opening(queue: str) -> bytes:
    """All that a client sends to declare a queue."""
    return b"".join([*handshake(), encode(1, ChannelOpen()), encode(1, QueueDeclare(queue))])


@LOOPS
def test_the_address_of_who_has_gone_at_once_is_known(new_loop: Any) -> None:
    """The system tells no address of a socket that was reset, but of one that is taken from it."""

    async def scenario() -> None:
        async with house() as home:
            for number in range(20):
                client = home.knock("127.0.0.7", opening(f"q{number}"))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
            await asyncio.sleep(0.1)
            other = home.knock("127.0.0.8", opening("last"))
            await home.until(lambda: "last" in home.queues())
            other.close()
            assert set(home.doorman.hosts) <= {"127.0.0.7", "127.0.0.8"}

    run(new_loop, scenario)


@LOOPS
def test_who_fills_the_places_is_in_his_own_way(new_loop: Any) -> None:
    async def scenario() -> None:
        async with house(most=5) as home:
            many = [home.knock("127.0.0.2") for _ in range(10)]
            await home.until(lambda: home.guests.sockets == 5)
            for client in many[5:]:
                assert await is_closed(client)
            others = [home.knock("127.0.0.3"), home.knock("127.0.0.4")]
            for client in others:
                assert await answers(client)
            for client in many[:2]:  # the oldest
                assert await is_closed(client)
            assert await answers(many[2])
            assert home.guests.places.taken == 5
            for client in [*many, *others]:
                client.close()

    run(new_loop, scenario)


@LOOPS
def test_places_are_for_who_has_not_logged_in(new_loop: Any) -> None:
    async def scenario() -> None:
        async with house(most=2) as home:
            clients = []
            for number in range(10):
                clients.append(home.knock("127.0.0.2", opening(f"q{number}")))
                await home.until(lambda number=number: f"q{number}" in home.queues())  # type: ignore[misc]
            assert (home.guests.places.taken, home.guests.sockets) == (0, 10)
            for client in clients:
                client.close()

    run(new_loop, scenario)


@LOOPS
def test_who_has_logged_in_makes_no_room(new_loop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PATIENCE_S", 0.0)

    async def scenario() -> None:
        async with house(most_sockets=3) as home:
            inside = home.knock("127.0.0.2", opening("inside"))
            await home.until(lambda: "inside" in home.queues())
            idle = [home.knock("127.0.0.2") for _ in range(2)]
            await home.until(lambda: home.guests.sockets == 3)
            second = home.knock("127.0.0.3", opening("second"))
            await home.until(lambda: "second" in home.queues())
            assert await is_closed(idle[0])
            third = home.knock("127.0.0.4", opening("third"))
            await home.until(lambda: "third" in home.queues())
            assert await is_closed(idle[1])
            late = home.knock("127.0.0.5")
            assert await is_closed(late)
            assert len(home.driver.protocols) == 3
            for client in (inside, second, third, late, *idle):
                client.close()

    run(new_loop, scenario)


@LOOPS
def test_what_is_sent_before_the_login_waits_in_the_system(new_loop: Any) -> None:
    """A client that sends all it has at once is read as soon as it has logged in, and no sooner."""

    async def scenario() -> None:
        async with house() as home:
            home.doorman.is_quick = False
            declares = b"".join(encode(1, QueueDeclare(f"q{number}", nowait=True)) for number in range(5000))
            client = home.knock("127.0.0.2")
            sent = asyncio.ensure_future(asyncio.get_running_loop().sock_sendall(client, opening("first") + declares))
            await home.until(lambda: bool(home.doorman.hosts))
            await asyncio.sleep(0.2)
            (protocol,) = home.driver.protocols.values()
            assert not protocol.is_reading
            connection = protocol.conversation
            assert isinstance(connection, Connection)
            assert len(protocol._put_by) + len(connection.reader.data) < 3 * guests.PIECE
            assert home.queues() == set()
            home.doorman.is_open.set()
            await sent
            await home.until(lambda: len(home.queues()) == 5001)
            client.close()

    run(new_loop, scenario)


@LOOPS
@pytest.mark.parametrize("how", ["close", "reset", "shutdown"])
def test_who_has_gone_while_nothing_is_read_is_noticed(new_loop: Any, how: str) -> None:
    async def scenario() -> None:
        async with house() as home:
            home.doorman.is_quick = False
            client = home.knock("127.0.0.2", opening("q") + bytes(20_000))
            await home.until(lambda: bool(home.doorman.hosts))
            (protocol,) = home.driver.protocols.values()
            assert not protocol._is_gone()
            if how == "shutdown":
                client.shutdown(socket.SHUT_WR)
            else:
                if how == "reset":
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                client.close()
            await home.until(protocol._is_gone)
            home.doorman.is_open.set()
            client.close()

    run(new_loop, scenario)


@LOOPS
def test_nobody_who_has_gone_waits_for_the_garbage_collector(new_loop: Any) -> None:
    async def scenario() -> None:
        async with house() as home:
            kept: list[weakref.ref[object]] = []
            for number in range(3):
                clients = [home.knock("127.0.0.2"), home.knock("127.0.0.2", opening(f"q{number}"))]
                await home.until(lambda number=number: f"q{number}" in home.queues())  # type: ignore[misc]
                for protocol in home.driver.protocols.values():
                    assert protocol.guest is not None
                    kept += [weakref.ref(protocol), weakref.ref(protocol.guest)]
                del protocol
                for client in clients:
                    client.close()
                await home.until(lambda: home.guests.sockets == 0)
            await asyncio.sleep(0.05)
            assert len(kept) == 12
            assert [each() for each in kept if each() is not None] == []

    gc.collect()
    gc.disable()
    try:
        run(new_loop, scenario)
    finally:
        gc.enable()


# -- TLS


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """Whom clients trust."""
    return trustme.CA()


@pytest.fixture
def context(authority: trustme.CA) -> ssl.SSLContext:
    """Of the broker."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    """Of a client."""
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def greeting(client: socket.socket, context: ssl.SSLContext) -> bool:
    """Whether the broker speaks AMQP with a client over TLS."""
    async with asyncio.timeout(PATIENCE_S):
        reader, writer = await asyncio.open_connection(sock=client, ssl=context, server_hostname="localhost")
        writer.write(PROTOCOL_HEADER)
        found = b"RabbitMQ" in await reader.readuntil(b"en_US\xce")
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return found


@LOOPS
def test_who_does_not_agree_on_tls_is_in_his_own_way(
    new_loop: Any, context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with house(context=context) as home:
            home.guests.tls_places.most = 3
            many = [home.knock("127.0.0.2", b"\x16\x03\x01") for _ in range(6)]
            await home.until(lambda: home.guests.sockets == 6)
            assert home.guests.tls_places.taken == 3
            other = home.knock("127.0.0.3")
            assert await greeting(other, trusting)
            assert await is_closed(many[0])
            await home.until(lambda: home.guests.tls_places.taken == 3)  # the first of those who wait has begun
            for client in many[1:5]:
                client.close()
            assert await greeting(home.knock("127.0.0.2"), trusting)
            many[5].close()

    run(new_loop, scenario)


@LOOPS
def test_many_that_agree_on_tls_do_so_one_after_the_other(
    new_loop: Any, context: ssl.SSLContext, trusting: ssl.SSLContext
) -> None:
    async def scenario() -> None:
        async with house(context=context) as home:
            home.guests.tls_places.most = 2
            clients = [home.knock("127.0.0.2") for _ in range(20)]
            assert all(await asyncio.gather(*[greeting(client, trusting) for client in clients]))

    run(new_loop, scenario)


@LOOPS
def test_a_handshake_has_one_limit_of_time(
    new_loop: Any, context: ssl.SSLContext, trusting: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What TLS takes is not there for AMQP, and who waits for TLS does not wait for longer."""
    monkeypatch.setattr(guests, "HANDSHAKE_MS", 500)

    async def scenario() -> None:
        async with house(context=context) as home:
            home.guests.tls_places.most = 1
            clients = [home.knock("127.0.0.2") for _ in range(3)]
            for client in clients:
                assert await is_closed(client)
                client.close()

    run(new_loop, scenario)


# -- the system is short of something


class Short(socket.socket):
    """A port at which the system has nothing left for a client, as often as it is told to."""

    shortages = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """As of any other port, at last."""
        if self.shortages:
            self.shortages -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().accept()


@LOOPS
def test_a_port_outlives_a_shortage(
    new_loop: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(listener, "RETRY_S", 0.01)

    async def scenario() -> None:
        async with house() as home:
            home.listener.close()
            short = Short()
            short.bind(("127.0.0.1", 0))
            short.listen()
            short.setblocking(False)
            short.shortages = 3
            home.listener._sockets.append(short)
            home.listener.begin()
            home.port = home.listener.address[1]
            client = home.knock("127.0.0.2", opening("q"))
            await home.until(lambda: "q" in home.queues())
            client.close()
            assert caplog.text.count("cannot accept new clients: Too many open files; they wait") == 3

    run(new_loop, scenario)
