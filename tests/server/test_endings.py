"""How sockets end: a client that still has something to say is heard out, one that does not answer is reset."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
import trustme
import uvloop

from leveret.core.turn.alarms import DISK
from leveret.server import transport
from leveret.server.driver import Driver
from leveret.server.openings import OPENINGS
from leveret.server.transport import ClientProtocol
from leveret.wire.constants import PROTOCOL_HEADER
from leveret.wire.methods import (
    BasicConsume,
    BasicPublish,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
)
from leveret.wire.writer import HEARTBEAT
from tests.brokers.transport import Everybody
from tests.clients.socketless import encode, handshake, make_broker
from tests.clients.waiting import eventually

T = TypeVar("T")

PATIENCE_S = 60.0
BYE = encode(0, ConnectionClose(200, "bye", 0, 0))
CLOSE_OK = encode(0, ConnectionCloseOk())
MESSAGE = encode(1, BasicPublish("", "q"), bytes(4000))


class Running:
    """A broker on an event loop in a thread. trusting: what clients need for TLS."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.Thread(target=loop.run_forever)
        self.thread.start()
        self.driver = self.call(lambda: Driver(make_broker(), loop))
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("localhost").configure_cert(context)
        self.trusting = ssl.create_default_context()
        authority.configure_trust(self.trusting)
        self._servers: list[asyncio.Server] = []
        self._plain, self._tls = self._listen(None), self._listen(context)
        self._clients = contextlib.ExitStack()

    def call(self, function: Callable[[], T]) -> T:
        """Call something on the loop."""

        async def called() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(called(), self.loop).result(PATIENCE_S)

    def _listen(self, context: ssl.SSLContext | None) -> tuple[str, int]:
        making = self.loop.create_server(
            lambda: ClientProtocol(self.driver, Everybody(), OPENINGS), "127.0.0.1", 0, ssl=context
        )
        server = asyncio.run_coroutine_threadsafe(making, self.loop).result(PATIENCE_S)
        self._servers.append(server)
        host, port = server.sockets[0].getsockname()
        return host, port

    def dial(self, tls: bool = False, window: int = 0) -> socket.socket:
        """A socket. window: bytes that the kernel takes for a client that does not read, about."""
        raw = socket.socket()
        if window:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        raw.settimeout(PATIENCE_S)
        raw.connect(self._tls if tls else self._plain)
        return self._clients.enter_context(self.trusting.wrap_socket(raw, server_hostname="localhost") if tls else raw)

    def connect(self, heartbeat_s: int = 0, tls: bool = False, window: int = 0) -> socket.socket:
        """A socket with an open connection, a channel and a queue q."""
        client = self.dial(tls, window)
        header, start_ok, tune_ok, opening = handshake(heartbeat_s)
        for asked in [header, start_ok, tune_ok + opening, encode(1, ChannelOpen()), encode(1, QueueDeclare("q"))]:
            client.sendall(asked)
            client.recv(1 << 16)
        return client

    def skip(self, seconds: int) -> None:
        """Let time pass, in which clients are silent."""
        self.call(lambda: self.driver.skip(1000 * seconds, False))

    def is_deserted(self) -> bool:
        """Whether no socket is open."""
        return not self.driver.protocols

    def stop(self) -> None:
        """The end."""
        self._clients.close()
        for server in self._servers:
            self.call(server.close)
        asyncio.run_coroutine_threadsafe(self.driver.shut_down("the end", 0), self.loop).result(PATIENCE_S)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    running = Running(request.param())
    yield running
    running.stop()


def rest(client: socket.socket) -> bytes:
    """What comes until the end, which is no reset."""
    data = b""
    while piece := client.recv(1 << 16):
        data += piece
    return data


def say_much(client: socket.socket) -> None:
    """A lot that nobody wants to hear, which takes a while."""
    for _ in range(40):
        client.sendall(50 * MESSAGE)
        time.sleep(0.005)


# -- heard out


@pytest.mark.parametrize("tls", [False, True])
def test_what_comes_behind_the_close_of_a_client_does_no_harm(running: Running, tls: bool) -> None:
    client = running.connect(tls=tls)
    client.sendall(BYE)
    assert client.recv(len(CLOSE_OK)) == CLOSE_OK
    say_much(client)
    client.settimeout(0.01)
    with contextlib.suppress(TimeoutError):
        assert client.recv(100) == b""
    client.close()
    eventually(running.is_deserted, PATIENCE_S)


def test_what_comes_behind_close_ok_does_no_harm(running: Running) -> None:
    client = running.connect()
    client.sendall(encode(1, ChannelOpen()))
    assert b"second 'channel.open'" in client.recv(1 << 16)
    client.sendall(CLOSE_OK)
    say_much(client)
    assert rest(client) == b""
    client.close()
    eventually(running.is_deserted, PATIENCE_S)


def test_what_comes_behind_another_protocol_does_no_harm(running: Running) -> None:
    client = running.dial()
    client.sendall(b"POST / HTTP/1.1\r\n\r\n")
    assert client.recv(8) == PROTOCOL_HEADER
    say_much(client)
    assert rest(client) == b""
    client.close()
    eventually(running.is_deserted, PATIENCE_S)


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_forgets_to_close_keeps_nothing(
    running: Running, tls: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LINGER_S", 1.0)
    client = running.connect(tls=tls)
    client.sendall(BYE)
    assert rest(client) == CLOSE_OK
    eventually(running.is_deserted, PATIENCE_S)


def test_a_client_that_never_stops_is_cut_off(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LINGER_S", 0.5)
    client = running.connect()
    client.sendall(BYE)
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(ConnectionResetError, BrokenPipeError):
        while time.monotonic() < deadline:
            client.sendall(MESSAGE)
            time.sleep(0.001)
    eventually(running.is_deserted, PATIENCE_S)


def test_a_blocked_publisher_can_answer_at_the_end(running: Running) -> None:
    client = running.connect()
    running.call(lambda: running.driver.broker.alarms.set(DISK, True))
    client.sendall(MESSAGE)
    (protocol,) = running.driver.protocols.values()
    eventually(lambda: protocol.conversation.is_paused, PATIENCE_S)
    client.sendall(MESSAGE)
    ending = asyncio.run_coroutine_threadsafe(running.driver.shut_down("the end", 2 * PATIENCE_S), running.loop)
    assert b"CONNECTION_FORCED - the end" in client.recv(1 << 16)
    client.sendall(CLOSE_OK)
    assert rest(client) == b""
    ending.result(PATIENCE_S)


# -- reset


def until_reset(client: socket.socket) -> None:
    """Read until the connection is reset, below TLS, whose reset is an end to Python."""
    raw = socket.socket(fileno=os.dup(client.fileno()))
    raw.settimeout(PATIENCE_S)
    with raw, pytest.raises(ConnectionResetError):
        rest(raw)


@pytest.mark.parametrize("tls", [False, True])
def test_silence_is_answered_with_a_reset(running: Running, tls: bool, caplog: pytest.LogCaptureFixture) -> None:
    client = running.connect(heartbeat_s=5, tls=tls)
    running.skip(30)
    until_reset(client)
    assert any("missed heartbeats from client, timeout: 5s" in text for text in warnings(caplog))


def test_a_close_that_nobody_answers_ends_in_a_reset(running: Running, caplog: pytest.LogCaptureFixture) -> None:
    client = running.connect()
    client.sendall(encode(1, ChannelOpen()))
    assert b"second 'channel.open'" in client.recv(1 << 16)
    running.skip(40)
    until_reset(client)
    assert any("closed without an answer from the client" in text for text in warnings(caplog))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log says at the default level."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


# -- clients that take nothing


def with_much_to_take(running: Running, tls: bool = False) -> socket.socket:
    """A consumer that has not read anything of several megabytes."""
    publisher, client = running.connect(), running.connect(tls=tls, window=4096)
    client.sendall(encode(1, BasicConsume("q", no_ack=True)))
    for _ in range(40):
        publisher.sendall(encode(1, BasicPublish("", "q"), bytes(200_000)))
    publisher.close()
    eventually(lambda: len(running.driver.protocols) == 1, PATIENCE_S)
    return client


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_takes_nothing_is_cut_off_whatever_it_says(
    running: Running, tls: bool, caplog: pytest.LogCaptureFixture
) -> None:
    client = with_much_to_take(running, tls)
    running.call(lambda: running.driver.limit_sending(1.0))
    deadline = time.monotonic() + PATIENCE_S
    with contextlib.suppress(OSError):
        while time.monotonic() < deadline:
            client.sendall(HEARTBEAT)
            time.sleep(0.05)
    eventually(running.is_deserted, PATIENCE_S)
    assert any("the client has accepted no data for 1 s" in text for text in warnings(caplog))
    queue = running.driver.broker.vhosts["/"].queues["q"]
    assert not queue.consumers.all


@pytest.mark.parametrize("tls", [False, True])
def test_a_client_that_takes_little_stays(running: Running, tls: bool) -> None:
    client = with_much_to_take(running, tls)
    running.call(lambda: running.driver.limit_sending(2.0))
    end = time.monotonic() + 4.0
    taken = 0
    while time.monotonic() < end:
        taken += len(client.recv(20_000))
        time.sleep(0.05)
    assert 0 < taken < 40 * 200_000  # it could not get everything in that time
    assert not running.is_deserted()


def test_time_that_is_skipped_does_not_count(running: Running) -> None:
    client = with_much_to_take(running)
    running.call(lambda: running.driver.limit_sending(PATIENCE_S))
    for _ in range(10):
        running.skip(3600)
    assert not running.is_deserted()
    client.close()


def test_who_has_nothing_to_take_stays(running: Running) -> None:
    client = running.connect()
    running.call(lambda: running.driver.limit_sending(0.2))
    time.sleep(1.0)
    client.sendall(BYE)
    assert client.recv(100) == CLOSE_OK
