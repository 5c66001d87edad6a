"""How connections end that did not go as they should: silence, patience, what the log says, mistakes of our own."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from leveret.session.connection import Connection
from leveret.wire.methods import (
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionSecureOk,
    ConnectionStartOk,
)
from leveret.wire.writer import HEARTBEAT
from tests.session.peer import Peer, encode, handshake, make_broker

LOGGER = "leveret.connection"


def refuse(connection: Connection) -> None:
    """A wrong password of a client that does not understand the close."""
    for piece in handshake(capabilities=())[:2]:
        connection.receive(piece)
    connection.refuse("wrong password")


def say(method: ConnectionStartOk | ConnectionSecureOk) -> Callable[[Connection], None]:
    """A wrong answer to connection.start."""

    def mistake(connection: Connection) -> None:
        connection.receive(handshake()[0])
        connection.receive(encode(0, method))

    return mistake


MISTAKES = {
    "wrong password": (refuse, "login refused"),
    "unknown mechanism": (
        say(ConnectionStartOk({}, "X", b"", "")),
        "COMMAND_INVALID - unknown authentication mechanism 'X'",
    ),
    "no PLAIN response": (say(ConnectionStartOk({}, "PLAIN", b"guest", "")), "SYNTAX_ERROR - response"),
    "out of turn": (say(ConnectionSecureOk(b"")), "CHANNEL_ERROR - unexpected method in connection state starting"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_three_seconds_of_silence(mistake: str, caplog: pytest.LogCaptureFixture) -> None:
    make, logged = MISTAKES[mistake]
    broker = make_broker()
    connection = Connection(broker, "test", "127.0.0.1", "0")
    with caplog.at_level(logging.WARNING, LOGGER):
        make(connection)
    assert any(logged in record.message for record in caplog.records)
    connection.data_to_send()  # connection.start
    connection.receive(encode(1, ChannelOpen()))
    broker.tick(2_999)
    assert not connection.finished
    broker.tick(3_000)
    assert connection.finished
    assert connection.data_to_send() == []


@pytest.mark.parametrize("answered", [False, True])
def test_a_refused_login_may_be_answered(answered: bool) -> None:
    broker = make_broker()
    connection = Connection(broker, "test", "127.0.0.1", "0")
    for piece in handshake()[:2]:
        connection.receive(piece)
    connection.refuse("wrong password")
    broker.tick(2_999)
    assert not connection.finished
    if answered:
        connection.receive(encode(0, ConnectionCloseOk()))
    else:
        broker.tick(3_000)
    assert connection.finished


@pytest.mark.parametrize(("heartbeat_s", "patience_ms"), [(0, 30_000), (10, 10_000), (600, 30_000)])
def test_patience_for_close_ok(heartbeat_s: int, patience_ms: int) -> None:
    peer = Peer(heartbeat_s=heartbeat_s)
    peer.send(ChannelOpen())
    peer.expect(ConnectionClose)
    for now_ms in range(1000, patience_ms, 1000):
        peer.connection.receive(HEARTBEAT)
        peer.broker.tick(now_ms)
    assert not peer.connection.finished
    peer.broker.tick(patience_ms)
    assert peer.connection.finished


def test_after_a_broken_frame_nothing_is_read() -> None:
    peer = Peer()
    peer.connection.receive(HEARTBEAT[:-1] + b"\x00" + encode(0, ConnectionCloseOk()))
    peer.expect(ConnectionClose)
    peer.send(ConnectionCloseOk(), channel=0)
    peer.broker.tick(2_999)
    assert not peer.connection.finished
    peer.broker.tick(3_000)
    assert peer.connection.finished


# -- what the log says


def test_who_comes_and_goes_in_silence_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        Connection(make_broker(), "test", "127.0.0.1", "0").lost()
    assert caplog.records == []


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"GET / HTTP/1.1\r\n", "HTTP"),
        (b"\x16\x03\x01\x00\xfb\x01\x00\x00", "TLS on a port without TLS"),
        (b"AMQP\x03\x01\x00\x00", "AMQP 3.1.0.0"),
        (b"SSH-2.0-x", "b'SSH-2.0-'"),
    ],
)
def test_other_protocols_are_named(data: bytes, name: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, LOGGER):
        Connection(make_broker(), "test", "127.0.0.1", "0").receive(data)
    assert [record.message for record in caplog.records] == [f"connection test: spoke another protocol: {name}"]


def test_a_socket_that_is_cut_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    peer = Peer()
    with caplog.at_level(logging.WARNING, LOGGER):
        peer.connection.lost()
    text = "connection test: client closed the socket without connection.close"
    assert [record.message for record in caplog.records] == [text]
