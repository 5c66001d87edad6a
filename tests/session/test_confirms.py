"""Confirms, Unacked and tx: what is settled, under which tag, and in how many frames."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.client.unacked import Unacked
from leveret.core.counting.counters import ClientCounters
from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.message.message import Message, address
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.session.publish.confirms import Confirms
from leveret.store.memory import MemoryLog
from leveret.wire.content import make_content
from leveret.wire.fields import longstr
from leveret.wire.methods import (
    BasicAck,
    BasicGet,
    BasicNack,
    BasicPublish,
    ChannelClose,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from leveret.wire.properties import BasicProperties
from leveret.wire.writer import FrameWriter
from tests.clients.socketless import Parser, Peer, make_broker


def flushed(confirms: Confirms) -> list[tuple[str, int, bool]]:
    """What a flush writes."""
    writer = FrameWriter()
    confirms.flush(writer, 1, ClientCounters())
    found: list[tuple[str, int, bool]] = []
    for got in Parser().feed(writer.take()):
        assert isinstance(got.method, BasicAck | BasicNack)
        kind = "ack" if isinstance(got.method, BasicAck) else "nack"
        found.append((kind, got.method.delivery_tag, got.method.multiple))
    return found


def test_one_frame_covers_all_that_is_safe() -> None:
    confirms = Confirms()
    for tag in (2, 1, 3):
        confirms.confirmed(tag)
    assert flushed(confirms) == [("ack", 3, True)]
    assert flushed(confirms) == []
    confirms.confirmed(5)
    assert flushed(confirms) == [("ack", 5, False)]
    confirms.confirmed(4)
    assert flushed(confirms) == [("ack", 4, False)]
    assert confirms.settled == 5


def test_a_refused_tag_is_not_covered() -> None:
    confirms = Confirms()
    for tag in (1, 2, 4):
        confirms.confirmed(tag)
    confirms.refused(3)
    assert flushed(confirms) == [("ack", 2, True), ("ack", 4, False), ("nack", 3, False)]


@given(st.lists(st.sampled_from(["next", "ack", "nack", "flush"]), max_size=80), st.data())
def test_every_tag_is_settled_once_and_rightly(steps: list[str], data: st.DataObject) -> None:
    confirms = Confirms()
    latest = 0
    open_tags: list[int] = []
    truth: dict[int, str] = {}
    told: dict[int, str] = {}
    for step in [*steps, "flush"]:
        if step == "next":
            latest += 1
            open_tags.append(latest)
        elif step == "flush":
            for kind, tag, multiple in flushed(confirms):
                covered = [each for each in range(1, tag + 1) if each not in told] if multiple else [tag]
                assert not told.keys() & set(covered)
                told.update(dict.fromkeys(covered, kind))
            assert told == truth
        elif open_tags:
            tag = open_tags.pop(data.draw(st.integers(0, len(open_tags) - 1)))
            truth[tag] = step
            if step == "ack":
                confirms.confirmed(tag)
            else:
                confirms.refused(tag)
    assert latest - confirms.settled == len(open_tags)


def test_a_durable_message_is_confirmed_when_it_is_durable() -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    peer.send(QueueDeclare("q", durable=True))
    assert peer.got() == []
    log.release()
    peer.expect(QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    properties = BasicProperties()
    properties.delivery_mode = 2
    peer.send(BasicPublish("", "q"), b"1", properties)
    peer.send(BasicPublish("", "q"), b"2")
    assert peer.expect(BasicAck).delivery_tag == 2
    log.release()
    assert peer.expect(BasicAck).delivery_tag == 1
    peer.send(BasicPublish("", "q"), b"3", properties)
    peer.send(QueueDelete("q"))
    assert peer.got() == []
    log.release()
    kinds = {type(got.method) for got in peer.got()}
    assert kinds == {BasicAck, QueueDeleteOk}


def test_a_quorum_queue_confirms_transient_messages_when_they_are_durable() -> None:
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    peer.send(QueueDeclare("q", durable=True, arguments={"x-queue-type": longstr("quorum")}))
    log.release()
    peer.expect(QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    peer.send(BasicPublish("", "q"), b"1")
    assert peer.got() == []
    log.release()
    assert peer.expect(BasicAck).delivery_tag == 1


def test_refused_by_the_log() -> None:
    log = MemoryLog(hold=True)
    broker = make_broker(log)
    peer = Peer(broker)
    peer.send(QueueDeclare("q", durable=True))
    log.release()
    peer.expect(QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    properties = BasicProperties()
    properties.delivery_mode = 2
    for _ in range(2):
        peer.send(BasicPublish("", "q"), b"x", properties)
    broker.news.on_refused(broker.vhosts["/"].queues["q"].queue_id, [1], "disk full", False)
    assert peer.expect(BasicNack).delivery_tag == 1
    log.release()
    assert peer.expect(BasicAck).delivery_tag == 2
    peer.send(BasicGet("q"))
    assert [got.body for got in peer.got()] == [b"x"]


# -- Unacked


def make_queue_and_message() -> tuple[Queue, Message]:
    """Something to be delivered."""
    queue = make_broker().vhosts["/"].make_queue("q", False, 0, False, {})
    return queue, Message(address("", "q"), make_content(b"\x00\x00", b""), False)


def filled(count: int) -> tuple[Unacked, list[QueueEntry]]:
    """So many deliveries, tags from 1."""
    queue, message = make_queue_and_message()
    unacked = Unacked()
    stored = [QueueEntry(message, queue, position, 0) for position in range(1, count + 1)]
    for tag, each in enumerate(stored, 1):
        unacked.add(tag, each)
    return unacked, stored


def test_take_one() -> None:
    unacked, stored = filled(2)
    assert unacked.take(2) is stored[1]
    for tag in (0, 2, 3):
        with pytest.raises(Refusal, match=f"unknown delivery tag {tag}") as caught:
            unacked.take(tag)
        assert caught.value.kind == UNFIT
    assert len(unacked) == 1


def test_take_many() -> None:
    unacked, stored = filled(5)
    unacked.take(2)
    assert unacked.take_up_to(3) == [(1, stored[0]), (3, stored[2])]
    with pytest.raises(Refusal, match="unknown delivery tag 3"):
        unacked.take_up_to(3)
    assert unacked.take_up_to(0) == [(4, stored[3]), (5, stored[4])]
    assert unacked.take_up_to(0) == []


def test_what_is_given_back_is_in_order_again() -> None:
    unacked, stored = filled(4)
    taken = [(tag, unacked.take(tag)) for tag in (3, 1)]
    unacked.give_back(taken)
    assert unacked.take_all() == list(enumerate(stored, 1))
    assert len(unacked) == 0


@given(st.lists(st.tuples(st.sampled_from(["add", "skip", "take", "take up to", "all"]), st.integers(1, 3000))))
def test_unacked_is_as_a_dictionary(steps: list[tuple[str, int]]) -> None:
    queue, message = make_queue_and_message()
    unacked = Unacked()
    model: dict[int, QueueEntry] = {}
    tag = 0
    for step, number in steps:
        if step == "add":
            for _ in range(number):
                tag += 1
                model[tag] = QueueEntry(message, queue, tag, 0)
                unacked.add(tag, model[tag])
        elif step == "skip":
            tag += number
        elif step == "all":
            assert unacked.take_all() == list(model.items())
            model.clear()
        elif model:
            chosen = list(model)[number % len(model)]
            if step == "take":
                assert unacked.take(chosen) is model.pop(chosen)
            else:
                assert unacked.take_up_to(chosen) == [(each, model.pop(each)) for each in list(model) if each <= chosen]
        assert len(unacked) == len(model)
        assert unacked.oldest() is next(iter(model.values()), None)


@pytest.mark.parametrize("order", ["forwards", "backwards", "every other first"])
def test_acks_in_any_order(order: str) -> None:
    unacked, stored = filled(5000)
    tags = list(range(1, 5001))
    if order == "backwards":
        tags.reverse()
    elif order == "every other first":
        tags = tags[1::2] + tags[::2]
    for left, tag in zip(range(4999, -1, -1), tags, strict=True):
        assert unacked.take(tag) is stored[tag - 1]
        assert len(unacked) == left


@pytest.mark.parametrize("tag", [7, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("method", [80, 120, 90], ids=["ack", "nack", "reject"])
def test_a_tag_that_is_not_outstanding_is_named(method: int, tag: int) -> None:
    peer = Peer(make_broker())
    peer.connection.receive(struct.pack(">BHIHHQBB", 1, 1, 13, 60, method, tag, 0, 0xCE))
    error = peer.expect(ChannelClose)
    assert (error.reply_code, error.reply_text.split(" - ")[1].split("\n")[0]) == (406, f"unknown delivery tag {tag}")
