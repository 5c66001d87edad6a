"""Clients that do not take what they asked for, and bodies in crumbs."""

from __future__ import annotations

import pytest

from leveret.session.base.carrier import OUTPUT_LIMIT, STALL_LIMIT, TURN_METHODS
from leveret.session.connection.connection import INPUT_LIMIT
from leveret.wire.content import body_start
from leveret.wire.methods import (
    BasicConsume,
    BasicConsumeOk,
    BasicGet,
    BasicGetOk,
    BasicPublish,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.writer import LARGE
from tests.clients.socketless import Peer, encode


def with_messages(size: int, count: int) -> Peer:
    """A client with a queue q of so many messages."""
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    for _ in range(count):
        peer.send(BasicPublish("", "q"), bytes(size))
    return peer


def test_requests_wait_while_the_answers_are_too_many() -> None:
    peer = with_messages(100_000, 100)
    peer.connection.receive(encode(1, BasicGet("q")) * 100)
    assert STALL_LIMIT <= peer.connection.writer.size() < STALL_LIMIT + 200_000
    assert len(peer.got()) == 100


def test_a_client_that_takes_nothing_is_read_no_more() -> None:
    peer = with_messages(10_000, 500)
    connection = peer.connection
    connection.pause_writing()
    request = encode(1, BasicGet("q", no_ack=True))
    sent = 0
    while not connection.is_paused:
        connection.receive(request)
        sent += 1
        assert connection.writer.size() < STALL_LIMIT + 20_000
        assert sent < 2 * INPUT_LIMIT // len(request)
    assert connection.data_to_send() == []
    connection.resume_writing()
    found = peer.got()
    assert len(found) == sent
    assert [type(got.method) for got in found].count(BasicGetOk) == 500
    assert not connection.is_paused


def test_many_methods_are_looked_at_in_turns() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    answer = len(encode(1, QueueDeclareOk("q", 0, 0)))
    peer.connection.receive(encode(1, QueueDeclare("q", passive=True)) * 1200)
    assert peer.connection.writer.size() == TURN_METHODS * answer
    peer.connection.receive(encode(1, QueueDeclare("last")))
    assert peer.connection.writer.size() == TURN_METHODS * answer
    assert len(peer.got()) == 1201


def test_methods_that_wait_for_their_turn_count_when_the_client_goes() -> None:
    peer = Peer()
    request = encode(1, QueueDeclare("q", passive=False, nowait=True))
    last = encode(1, BasicPublish("", "q"), b"last words")
    peer.connection.receive(request * 1200 + last)
    peer.connection.lost()
    assert len(peer.broker.vhosts["/"].queues["q"].ready) == 1


def test_heartbeats_count_while_requests_wait() -> None:
    peer = Peer(heartbeat_s=10)
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.send(BasicPublish("", "q"), bytes(2 * STALL_LIMIT))
    peer.connection.pause_writing()
    peer.send(BasicGet("q"))
    for second in range(5, 200, 5):
        peer.connection.receive(b"\x08\x00\x00\x00\x00\x00\x00\xce")
        peer.broker.tick(1000 * second)
        assert not peer.connection.finished
    for second in range(200, 235, 5):
        peer.broker.tick(1000 * second)
    assert peer.connection.finished


def test_a_consumer_that_takes_nothing_holds_little() -> None:
    peer = with_messages(10_000, 500)
    peer.connection.pause_writing()
    peer.send(BasicConsume("q", "c"))
    assert peer.connection.writer.size() < OUTPUT_LIMIT + 20_000
    peer.connection.resume_writing()
    assert len(peer.got()) == 501


def test_many_consumers_take_turns_and_go() -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(BasicQos(0, 1, False), BasicQosOk)
    count = 3000
    for number in range(count):
        peer.send(BasicConsume("q", f"{number}", nowait=number > 0))
    peer.expect(BasicConsumeOk)
    for _ in range(count + 1):
        peer.send(BasicPublish("", "q"), b"")
    assert len(peer.got()) == count
    queue = peer.broker.vhosts["/"].queues["q"]
    assert (len(queue.consumers), queue.unacked, len(queue.ready)) == (count, count, 1)
    peer.connection.lost()
    assert len(queue.consumers) == 0
    peer.broker.finish()
    assert (queue.unacked, len(queue.ready)) == (0, count + 1)


@pytest.mark.parametrize("at_once", [True, False])
def test_a_body_in_crumbs_is_kept_in_one_piece(at_once: bool) -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    body = bytes(range(256)) * 40
    whole = encode(1, BasicPublish("", "q"), body)
    start = whole.rindex(body) - 7
    crumbs = b"".join([b"\x03\x00\x01\x00\x00\x00\x01" + bytes((octet,)) + b"\xce" for octet in body])
    stream = whole[:start] + crumbs
    step = len(stream) if at_once else 1000
    for piece in [stream[at : at + step] for at in range(0, len(stream), step)]:
        peer.connection.receive(piece)
    content = peer.broker.vhosts["/"].queues["q"].ready.first().message.content
    assert len(content) - body_start(content) < len(body) + 100
    peer.send(BasicGet("q"))
    assert peer.got()[0].body == body


@pytest.mark.parametrize("sizes", [(1, 5000, 1, 1, 3000), (1023, 1024, 1023, 1), (0, 1, 0, 4088, 1), (4089,), (1,)])
def test_crumbs_and_large_frames_keep_their_order(sizes: tuple[int, ...]) -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    parts = [bytes((number,)) * size for number, size in enumerate(sizes)]
    body = b"".join(parts)
    whole = encode(1, BasicPublish("", "q"), body)
    start = whole.rindex(body) - 7
    peer.connection.receive(whole[:start])
    for part in parts:
        peer.connection.receive(b"\x03\x00\x01" + len(part).to_bytes(4, "big") + part + b"\xce")
    peer.send(BasicGet("q"))
    assert peer.got()[0].body == body


@pytest.mark.parametrize("channel", [1, 2])
def test_a_large_body_leaves_in_its_place(channel: int) -> None:
    bodies = [b"before", bytes(3 * LARGE), b"between", b"x" * LARGE, b"behind"]
    peer = Peer()
    peer.open(2)
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    for body in bodies:
        peer.send(BasicPublish("", "q"), body)
    for _ in bodies:
        peer.send(BasicGet("q", no_ack=True), channel=channel)
    assert [(got.channel, got.body) for got in peer.got() if got.body is not None] == [(channel, b) for b in bodies]
