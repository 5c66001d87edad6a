"""Alarms, frame by frame: who is read no more, who is told what, and who notices nothing.

The order of the frames is what RabbitMQ 4.3.6 answered; node/test_full_disk.py has real disks.
"""

from __future__ import annotations

import pytest

from leveret.core.broker import Broker
from leveret.core.turn.alarms import BEHIND, BEHIND_BYTES, DISK, LETTERS, MEMORY
from leveret.session.connection.connection import LITTLE_BYTES, LITTLE_MESSAGES
from leveret.store.memory import MemoryLog
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicPublish,
    ConfirmSelect,
    ConfirmSelectOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    Method,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import CAPABILITIES, Peer, encode, make_broker

INFORMED = (*CAPABILITIES, "connection.blocked")
PUBLISH = BasicPublish("", "q")


def publisher(broker: Broker | None = None, heartbeat_s: int = 0) -> Peer:
    """A client that wants to be told and has a queue q and confirms."""
    peer = Peer(broker, heartbeat_s, INFORMED)
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    return peer


def said(peer: Peer) -> list[str]:
    """What came, in a word or two for each method."""
    return [_word(got.method) for got in peer.got()]


def _word(method: Method | None) -> str:
    if method is None:
        return "heartbeat"
    if isinstance(method, ConnectionBlocked):
        return method.reason
    if isinstance(method, BasicAck):
        return f"ack to {method.delivery_tag}" if method.multiple else f"ack {method.delivery_tag}"
    return type(method).__name__


@pytest.mark.parametrize(
    ("alarms", "reason"),
    [((MEMORY,), "low on memory"), ((DISK,), "low on disk"), ((MEMORY, DISK), "low on disk & memory")],
)
def test_who_publishes_is_told_and_read_no_more(alarms: tuple[int, ...], reason: str) -> None:
    peer = publisher()
    for alarm in alarms:
        assert peer.broker.alarms.set(alarm, True)
    assert said(peer) == []
    assert not peer.connection.is_paused
    peer.send(PUBLISH, b"x")
    assert said(peer) == [reason, "ack 1"]  # what was read is handled
    assert peer.connection.is_paused
    for alarm in alarms[:-1]:
        peer.broker.alarms.set(alarm, False)
        assert said(peer) == []
        assert peer.connection.is_paused
    peer.broker.alarms.set(alarms[-1], False)
    assert said(peer) == ["ConnectionUnblocked"]
    assert not peer.connection.is_paused


def test_the_reason_is_told_once() -> None:
    peer = publisher()
    peer.broker.alarms.set(DISK, True)
    peer.send(PUBLISH, b"x")
    assert said(peer) == ["low on disk", "ack 1"]
    assert not peer.broker.alarms.set(DISK, True)
    peer.broker.alarms.set(MEMORY, True)
    peer.send(PUBLISH, b"y")  # was on its way
    peer.broker.alarms.set(DISK, False)
    assert said(peer) == ["ack 2"]
    peer.broker.alarms.set(MEMORY, False)
    assert said(peer) == ["ConnectionUnblocked"]


def test_every_alarm_waits_for_a_publish_of_its_own() -> None:
    peer = publisher()
    for number in (1, 2):
        peer.broker.alarms.set(MEMORY, True)
        assert said(peer) == []
        assert not peer.connection.is_paused
        peer.send(PUBLISH, b"x")
        assert said(peer) == ["low on memory", f"ack {number}"]
        peer.broker.alarms.set(MEMORY, False)
        assert said(peer) == ["ConnectionUnblocked"]


def test_who_does_not_know_the_frame_gets_none() -> None:
    peer = Peer()
    peer.broker.alarms.set(DISK, True)
    peer.send(PUBLISH, b"x")
    assert peer.connection.is_paused
    peer.broker.alarms.set(DISK, False)
    assert said(peer) == []
    assert not peer.connection.is_paused


def test_connecting_consuming_and_declaring_go_on() -> None:
    sender = publisher()
    for _ in range(3):
        sender.send(PUBLISH, b"x")
    sender.got()
    sender.broker.alarms.set(DISK, True)
    sender.broker.alarms.set(MEMORY, True)
    peer = Peer(sender.broker, capabilities=INFORMED)
    peer.call(QueueDeclare("other"), QueueDeclareOk)
    peer.send(BasicConsume("q", "c"))
    assert said(peer) == ["BasicConsumeOk", "BasicDeliver", "BasicDeliver", "BasicDeliver"]
    peer.send(BasicAck(0, multiple=True))
    assert peer.call(QueueDeclare("q", passive=True), QueueDeclareOk).message_count == 0
    assert not peer.connection.is_paused
    sender.send(PUBLISH, b"y")
    assert said(peer) == ["BasicDeliver"]
    assert not peer.connection.is_paused


def test_the_content_header_blocks_and_the_method_does_not() -> None:
    peer = publisher()
    frames = encode(1, PUBLISH, b"x")
    method = 7 + int.from_bytes(frames[3:7], "big") + 1
    header = method + 7 + int.from_bytes(frames[method + 3 : method + 7], "big") + 1
    peer.broker.alarms.set(DISK, True)
    peer.connection.receive(frames[:method])
    assert said(peer) == []
    assert not peer.connection.is_paused
    peer.connection.receive(frames[method:header])
    assert said(peer) == ["low on disk"]
    assert peer.connection.is_paused
    peer.broker.alarms.set(DISK, False)
    peer.connection.receive(frames[header:])
    assert said(peer) == ["ConnectionUnblocked", "ack 1"]


def test_a_body_on_its_way_blocks() -> None:
    peer = publisher()
    frames = encode(1, PUBLISH, b"x" * 200_000)
    peer.connection.receive(frames[:150_000])
    peer.broker.alarms.set(DISK, True)
    assert said(peer) == []
    peer.connection.receive(frames[150_000:160_000])  # no whole frame yet
    assert not peer.connection.is_paused
    peer.connection.receive(frames[160_000:])
    assert peer.connection.is_paused
    assert said(peer) == ["low on disk", "ack 1"]


def test_what_came_before_the_alarm_does_not_block() -> None:
    peer = publisher()
    peer.connection.receive(encode(1, PUBLISH, b"x" * 200_000))
    peer.broker.alarms.set(DISK, True)
    assert said(peer) == ["ack 1"]
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    assert not peer.connection.is_paused


def test_silence_of_a_blocked_client_is_forgiven() -> None:
    peer = publisher(heartbeat_s=10)
    peer.broker.alarms.set(DISK, True)
    peer.send(PUBLISH, b"x")
    assert len(said(peer)) == 2
    for second in range(1, 101):
        peer.broker.tick(second * 1000)
    assert not peer.connection.finished
    assert "heartbeat" in said(peer)  # we do send heartbeats
    peer.broker.alarms.set(DISK, False)
    for second in range(101, 110):
        peer.broker.tick(second * 1000)
    assert not peer.connection.finished
    for second in range(110, 131):
        peer.broker.tick(second * 1000)
    assert peer.connection.finished


def test_a_blocked_client_that_is_closed_can_answer() -> None:
    peer = publisher()
    peer.broker.alarms.set(DISK, True)
    peer.send(PUBLISH, b"x")
    peer.got()
    peer.connection.force_close("shutdown")
    assert not peer.connection.is_paused
    peer.expect(ConnectionClose)
    peer.broker.alarms.set(DISK, False)
    assert said(peer) == []
    peer.send(ConnectionCloseOk(), channel=0)
    assert peer.connection.finished


def test_a_blocked_client_that_is_gone_is_forgotten() -> None:
    peer = publisher()
    peer.broker.alarms.set(DISK, True)
    peer.send(PUBLISH, b"x")
    assert peer.broker.alarms.blocked() == 1
    peer.connection.lost()
    assert peer.broker.alarms.blocked() == 0


def test_the_news_does_not_wait_for_replies_that_wait_for_the_disk() -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log), 10, INFORMED)
    peer.broker.alarms.set(DISK, True)
    peer.send(QueueDeclare("durable", durable=True))
    peer.send(PUBLISH, b"x")
    assert said(peer) == ["low on disk"]
    peer.broker.tick(5_000)
    assert said(peer) == ["heartbeat"]
    peer.broker.alarms.set(DISK, False)
    assert said(peer) == ["ConnectionUnblocked"]
    log.release()
    assert peer.expect(QueueDeclareOk).queue == "durable"


def test_who_fills_a_log_that_is_behind_waits_without_a_frame() -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log), capabilities=INFORMED)
    peer.send(QueueDeclare("q", durable=True))
    peer.got()
    log.release()
    peer.expect(QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    properties = BasicProperties()
    properties.delivery_mode = 2
    piece = BEHIND_BYTES // 8
    for _ in range(9):
        assert not peer.connection.is_paused
        peer.send(PUBLISH, bytes(piece), properties)
        assert said(peer) == []
    peer.send(PUBLISH, b"", properties)  # the next one
    assert peer.connection.is_paused
    assert said(peer) == []
    other = Peer(peer.broker)
    other.call(QueueDeclare("q", passive=True), QueueDeclareOk)
    log.release()
    assert said(peer) == ["ack to 10"]
    assert not peer.connection.is_paused


def test_who_waits_for_the_log_is_told_of_an_alarm() -> None:
    peer = publisher()
    peer.broker.alarms.set(BEHIND, True)
    peer.send(PUBLISH, bytes(LITTLE_BYTES))
    assert said(peer) == ["ack 1"]
    assert peer.connection.is_paused
    peer.broker.alarms.set(MEMORY, True)
    assert said(peer) == ["low on memory"]
    peer.broker.alarms.set(MEMORY, False)
    assert said(peer) == ["ConnectionUnblocked"]
    assert peer.connection.is_paused
    peer.broker.alarms.set(BEHIND, False)
    assert said(peer) == []
    assert not peer.connection.is_paused


@pytest.mark.parametrize("alarm", [BEHIND, LETTERS])
def test_who_sends_little_does_not_wait_for_those_who_send_much(alarm: int) -> None:
    peer = publisher()
    peer.broker.alarms.set(alarm, True)
    peer.send(PUBLISH, b"x")
    assert said(peer) == ["ack 1"]
    assert not peer.connection.is_paused
    peer.connection.receive(encode(1, PUBLISH, b"x") * (LITTLE_MESSAGES + 1))
    assert peer.connection.is_paused
    peer.broker.alarms.set(alarm, False)
    assert not peer.connection.is_paused
