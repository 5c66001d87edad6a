"""The client of commands: signs of life, errors of the channel, contents as they came."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator

import pytest

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import make_content
from leveret.wire.methods import (
    BasicGet,
    BasicGetOk,
    BasicPublish,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.brokers.process import Server

HEARTBEAT_S = 1
NONE = BasicProperties().encode()


@pytest.fixture
def server() -> Iterator[Server]:
    """A broker."""
    found = Server.start("--memory")
    yield found
    found.process.send_signal(signal.SIGCONT)
    found.stop()


def connect(server: Server, heartbeat_s: int = 0) -> AmqpClient:
    """A client."""
    raw = socket.create_connection((server.host, server.port))
    return AmqpClient(raw, "guest", "guest", "/", heartbeat_s)


def test_signs_of_life_keep_a_connection(server: Server) -> None:
    client = connect(server, HEARTBEAT_S)
    deadline = time.monotonic() + 5 * HEARTBEAT_S
    while time.monotonic() < deadline:
        assert client.next(0.1) is None
    client.call(QueueDeclare("q"), QueueDeclareOk)
    client.close()


def test_a_broker_without_a_sign_of_life_is_gone(server: Server) -> None:
    client = connect(server, HEARTBEAT_S)
    server.process.send_signal(signal.SIGSTOP)
    with pytest.raises(AmqpError, match="stopped answering"):
        client.call(QueueDeclare("q"), QueueDeclareOk)
    client.drop()


def test_the_channel_can_be_opened_again(server: Server) -> None:
    client = connect(server)
    for _ in range(3):
        with pytest.raises(AmqpError, match="no queue 'q' in vhost '/'") as found:
            client.call(QueueDeclare("q", passive=True), QueueDeclareOk)
        assert (found.value.code, found.value.is_channel) == (404, True)
        client.reopen()
    assert client.call(QueueDeclare("q"), QueueDeclareOk).message_count == 0
    client.close()


@pytest.mark.parametrize("size", [0, 1, FRAME_MAX - 8, FRAME_MAX - 7, 1 << 20, 5_000_001])
@pytest.mark.parametrize("cut", [FRAME_MAX, 4096])
def test_contents_come_as_they_went(server: Server, size: int, cut: int) -> None:
    client = connect(server)
    client.call(QueueDeclare("q"), QueueDeclareOk)
    client.call(ConfirmSelect(), ConfirmSelectOk)
    body = bytes(index % 251 for index in range(1000)) * (size // 1000) + bytes(size % 1000)
    for each in (body, b"next"):
        client.put(BasicPublish("", "q"), make_content(NONE, each, cut))
    client.flush()
    for each in (body, b"next"):
        client.send(BasicGet("q", True))
        got = client.take(BasicGetOk)
        assert got.body == each
        assert got.properties.encode() == NONE
    client.close()


def test_a_socket_that_speaks_something_else() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 2)
    theirs.shutdown(socket.SHUT_WR)
    with pytest.raises(AmqpError, match="closed the connection"):
        AmqpClient(ours, "guest", "guest", "/")
    ours.close()
    theirs.close()
