"""How connections end: silence, patience, the last word, what the log says."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from leveret.core.broker import Broker
from leveret.core.client.conversation import CLOSE, HANG_UP, LEAVE, RESET
from leveret.core.turn.alarms import DISK
from leveret.core.turn.flow_control import CREDIT
from leveret.core.turn.work import PIECE
from leveret.session.base.carrier import STALL_LIMIT
from leveret.session.connection.connection import INPUT_LIMIT, Connection
from leveret.wire.methods import (
    BasicConsume,
    BasicGet,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    BasicRecover,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionSecureOk,
    ConnectionStartOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.writer import HEARTBEAT
from tests.clients.socketless import Peer, encode, handshake, make_broker

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


# -- how a socket ends


def test_who_has_the_last_word() -> None:
    peer = Peer()
    peer.send(ConnectionClose(200, "", 0, 0), channel=0)
    assert (peer.connection.finished, peer.connection.ending) == (True, LEAVE)
    peer = Peer()
    peer.connection.force_close("enough")
    assert not peer.connection.finished
    peer.send(ConnectionCloseOk(), channel=0)
    assert (peer.connection.finished, peer.connection.ending) == (True, HANG_UP)
    connection = Connection(make_broker(), "test", "127.0.0.1", "0")
    connection.receive(b"GET / HTTP/1.1\r\n")
    assert (connection.finished, connection.ending) == (True, HANG_UP)


def silent(broker: Broker) -> Connection:
    """A client that sends no heartbeats."""
    return Peer(broker, heartbeat_s=10).connection


def deaf_to_close(broker: Broker) -> Connection:
    """A client that does not answer connection.close."""
    peer = Peer(broker)
    peer.connection.force_close("enough")
    return peer.connection


@pytest.mark.parametrize("make", [silent, deaf_to_close])
def test_who_does_not_answer_is_reset(make: Callable[[Broker], Connection], caplog: pytest.LogCaptureFixture) -> None:
    broker = make_broker()
    connection = make(broker)
    caplog.clear()
    for second in range(40):
        broker.tick(1000 * second)
    assert (connection.finished, connection.ending) == (True, RESET)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_nobody_waits_for_who_got_no_answer(mistake: str) -> None:
    broker = make_broker()
    connection = Connection(broker, "test", "127.0.0.1", "0")
    MISTAKES[mistake][0](connection)
    broker.tick(3_000)
    assert (connection.finished, connection.ending) == (True, CLOSE)


# -- the answer to a close is heard, whatever a client has to wait for


def paced() -> Peer:
    """A publisher that waits for its queue."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=1), BasicQosOk)
    peer.send(BasicConsume("q"))
    peer.connection.receive(encode(1, BasicPublish("", "q"), b"x") * CREDIT)
    return peer


def blocked() -> Peer:
    """A publisher that waits for space on the disk."""
    peer = Peer()
    peer.broker.alarms.set(DISK, True)
    peer.send(BasicPublish("", "q"), b"x")
    return peer


def sent_too_much() -> Peer:
    """A client whose requests wait, since it does not take the answers."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.send(BasicPublish("", "q"), bytes(2 * STALL_LIMIT))
    peer.send(BasicGet("q"))
    request = encode(1, QueueDeclare("q", passive=True))
    peer.connection.receive(request * (INPUT_LIMIT // len(request) + 1))
    return peer


def giving_back() -> Peer:
    """A client that waits for its many deliveries to be given back."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    for _ in range(5 * PIECE):
        peer.send(BasicPublish("", "q"), b"x")
    peer.send(BasicConsume("q"))
    assert len(peer.got()) > 4 * PIECE
    peer.send(BasicRecover(True))
    request = encode(1, QueueDeclare("q", passive=True))
    peer.connection.receive(request * (INPUT_LIMIT // len(request) + 1))
    return peer


@pytest.mark.parametrize("make", [paced, blocked, sent_too_much, giving_back])
def test_the_answer_to_a_close_is_heard_at_once(make: Callable[[], Peer]) -> None:
    peer = make()
    assert peer.connection.is_paused
    peer.connection.force_close("enough")
    assert not peer.connection.is_paused
    peer.send(ConnectionCloseOk(), channel=0)
    peer.connection.flushed()
    assert peer.connection.finished
    assert not peer.connection.is_paused


def test_who_publishes_a_lot_before_its_last_mistake_does_not_wait() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(BasicQos(prefetch_count=1), BasicQosOk)
    peer.send(BasicConsume("q"))
    peer.connection.receive(encode(1, BasicPublish("", "q"), b"x") * CREDIT + encode(1, ChannelOpen()))
    assert not peer.connection.is_paused
    peer.send(ConnectionCloseOk(), channel=0)
    assert peer.connection.finished
