"""A log that could not write: every publisher hears what became of its message, and what is kept has an order."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core.broker import Broker
from leveret.core.errors.administration import InvalidError
from leveret.core.message.log import Unreadable
from leveret.core.message.message import Message, address
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.clock import Clock
from leveret.management.messages import export_messages
from leveret.store.chunk_log import ChunkLog
from leveret.store.rescue.salvage import open_database
from leveret.wire.content import make_content
from leveret.wire.fields import boolean
from leveret.wire.methods import BasicAck, BasicConsume, BasicGet, BasicNack, ConfirmSelect, ConfirmSelectOk
from tests.brokers.promises import kept
from tests.brokers.shortage import no_descriptors
from tests.session.test_paging import Backlog

UNWRITABLE = 256  # a priority that fits into no chunk
LIMIT = 20_000


def spoil(backlog: Backlog) -> None:
    """Let the next commit fail."""
    message = Message(address("", "nobody"), make_content(b"\x00\x00", b""), True)
    backlog.log.append(1, 1, message, 0, UNWRITABLE)


def test_what_was_acked_before_its_commit_failed_is_confirmed(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    peer = backlog.peer
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    peer.send(BasicConsume("q", "tag"))
    for number in range(5):
        backlog.publish("q", b"%d" % number)
    peer.got()
    for tag in (1, 2, 4):
        peer.send(BasicAck(tag))
    spoil(backlog)
    backlog.safe()
    settled: dict[int, str] = {}
    for got in peer.got():
        method = got.method
        assert isinstance(method, BasicAck | BasicNack)
        first = min(set(range(1, 6)) - settled.keys()) if method.multiple else method.delivery_tag
        for tag in range(first, method.delivery_tag + 1):
            settled[tag] = type(method).__name__
    assert settled == {1: "BasicAck", 2: "BasicAck", 3: "BasicNack", 4: "BasicAck", 5: "BasicNack"}
    backlog.publish("q", b"later")
    backlog.safe()
    assert [type(got.method) for got in peer.got() if got.body is None] == [BasicAck]
    backlog.end()


def test_what_was_refused_rests_no_more_but_keeps_its_place(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    backlog.broker.budget.limit = LIMIT
    for start in range(0, 100, 10):
        for number in range(start, start + 10):
            backlog.publish("q", b"%d" % number + bytes(1000), delivery_mode=1 + number % 2)
        if start in (20, 50):
            spoil(backlog)
        backlog.safe()
    assert backlog.at_rest("q") > 40
    for _ in range(20):
        backlog.broker.settle()
        backlog.safe()
    got = [backlog.get("q").body or b"" for _ in range(100)]
    assert [int(body.rstrip(b"\0")) for body in got] == list(range(100))
    backlog.end()


def test_nothing_rests_behind_what_came_after_it(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    queue = backlog.broker.vhosts["/"].queues["q"]
    message = Message(address("", "q"), make_content(b"\x00\x00", b"1"), False)
    first, second, third = (QueueEntry(message, queue, position, 0) for position in (1, 2, 3))
    assert queue.in_log.spill(second)
    assert not queue.in_log.spill(first)
    assert queue.in_log.spill(third)
    assert (first.log_id, second.log_id, third.log_id) == (0, -queue.queue_id, -queue.queue_id)
    backlog.end()


def test_an_export_says_that_messages_cannot_be_read_now(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    backlog.broker.budget.limit = LIMIT
    backlog.fill("q", 0, 100)
    assert backlog.at_rest("q") > 0
    backlog.log._reader.close()
    with no_descriptors(), pytest.raises(InvalidError, match=r"messages cannot be read now: .*; try again"):
        kept(export_messages(backlog.broker, "q"))
    assert kept(export_messages(backlog.broker, "q"))["missing"] == 0
    backlog.end()


def test_a_queue_that_cannot_read_now_goes_on_by_itself(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    backlog.broker.budget.limit = LIMIT
    backlog.fill("q", 0, 100)
    queue = backlog.broker.vhosts["/"].queues["q"]
    backlog.log._reader.close()
    with no_descriptors():
        while not queue.fault:
            backlog.peer.send(BasicGet("q", True))
            backlog.peer.got()
    left = len(queue.ready)
    assert left > 50
    backlog.pass_ms(1000)
    assert not queue.fault
    backlog.peer.open(2)  # the other one was closed with 541
    backlog.peer.send(BasicConsume("q", "tag", no_ack=True), channel=2)
    assert sum(got.body is not None for got in backlog.peer.got()) == left
    backlog.end()


def test_a_start_does_not_leave_out_what_it_cannot_read_now(tmp_path: Path) -> None:
    backlog = Backlog(tmp_path)
    arguments = {"x-message-deduplication": boolean(True)}
    backlog.broker.vhosts["/"].make_queue("q", True, 0, False, arguments)
    backlog.fill("q", 0, 10)
    backlog.end()
    log = ChunkLog(open_database(tmp_path), lambda: None, 0)
    log._reader.close()
    with no_descriptors(), pytest.raises(Unreadable, match="10 messages cannot be read now"):
        Broker(log, log, Clock(), 1, "test").recover()
    log.close()
    again = Backlog(tmp_path)
    assert again.ready("q") == 10
    again.end()
