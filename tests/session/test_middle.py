"""Messages that are taken from the middle of a queue, and all that may be wrong with them there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.errors.refusals import Refusal
from leveret.core.message.message import Message, address
from leveret.core.queue.queue import Queue
from leveret.store.database import FILE_NAME
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import make_content
from leveret.wire.fields import boolean, longstr
from leveret.wire.methods import BasicConsume, BasicConsumeOk, BasicDeliver
from leveret.wire.properties import BasicProperties
from tests.brokers.keeping import KeepingLog
from tests.brokers.shortage import no_descriptors
from tests.clients.socketless import Peer, held_bytes, make_broker
from tests.session.test_paging import PADDING, Backlog

LIMIT = 20_000


class Failing(KeepingLog):
    """A log that does not want to know what was delivered."""

    def delivered(self, queue_id: int, position: int) -> None:
        """Fail."""
        raise OSError("no space left")


@pytest.fixture
def backlog(tmp_path: Path) -> Backlog:
    """The queue q, in which most of 100 messages rest, in chunks of 20. The position of a message is its number + 1."""
    backlog = Backlog(tmp_path)
    backlog.queue("q")
    backlog.broker.budget.limit = LIMIT
    for first in range(0, 100, 20):
        backlog.fill("q", first, 20)
    assert backlog.at_rest("q") > 80
    return backlog


def queue_of(backlog: Backlog) -> Queue:
    """The queue q."""
    return backlog.broker.vhosts["/"].queues["q"]


def text(body: bytes, value: str = "", ttl_ms: int = 0) -> Message:
    """A persistent message. value: for deduplication."""
    properties = BasicProperties()
    properties.expiration = str(ttl_ms) if ttl_ms else None
    properties.delivery_mode = 2
    properties.headers = {"x-deduplication-header": longstr(value)} if value else None
    return Message(address("", "q"), make_content(properties.encode(), body, FRAME_MAX), True)


def test_the_others_go_on_resting(backlog: Backlog, tmp_path: Path) -> None:
    queue = queue_of(backlog)
    resting = backlog.at_rest("q")
    for position in (60, 61, 100, 59):
        stored = queue.take_at(position)
        assert stored is not None
        assert stored.message.body() == b"%d" % (position - 1) + PADDING
        queue.settle(stored)
    assert queue.take_at(60) is None
    assert backlog.at_rest("q") == resting - 3  # the last one did not rest
    assert (backlog.ready("q"), queue.unacked) == (96, 0)
    left = [number for number in range(100) if number not in (58, 59, 60, 99)]
    backlog.end()
    again = Backlog(tmp_path)
    assert again.numbers("q") == left
    again.end()


def test_a_consumer_that_waits_comes_first() -> None:
    peer = Peer()
    queue = peer.broker.vhosts["/"].make_queue("q", False, 0, False, {})
    peer.call(BasicConsume("q", "tag", no_ack=True), BasicConsumeOk)
    queue.publish(text(b"x"), None)
    assert queue.take_at(1) is None
    assert isinstance(peer.got()[0].method, BasicDeliver)


def test_one_that_cannot_be_read_any_more(backlog: Backlog, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    queue = queue_of(backlog)
    chunk_id = backlog.log._index.find(queue.queue_id, 50)
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as sql:
        sql.execute("UPDATE chunks SET data = x'00' WHERE id = ?", (chunk_id,))
    assert queue.take_at(50) is None
    assert not queue.fault
    assert f"20 messages cannot be read, and are set aside: chunk {chunk_id}" in caplog.text
    assert "20 messages of queue 'q' in vhost '/' cannot be read, and are left out" in backlog.broker.explanations
    assert backlog.ready("q") == 80
    assert backlog.numbers("q") == [*range(40), *range(60, 100)]
    assert held_bytes(backlog.broker) == 0
    backlog.end()


def test_one_that_came_back_and_cannot_be_read_any_more(backlog: Backlog, tmp_path: Path) -> None:
    queue = queue_of(backlog)
    for position in (50, 90):
        stored = queue.take_at(position)
        assert stored is not None
        assert queue.leave_content(stored)
        assert stored.message.is_at_rest
        queue.requeue(stored, False)
    size = queue.ready.size
    with closing(sqlite3.connect(tmp_path / FILE_NAME, isolation_level=None)) as sql:
        chunk_id = backlog.log._index.find(queue.queue_id, 50)
        sql.execute("UPDATE chunks SET data = x'00' WHERE id = ?", (chunk_id,))
    assert queue.take_at(50) is None
    assert (backlog.ready("q"), queue.ready.size) == (99, size - len(b"49" + PADDING))
    stored = queue.take_at(90)
    assert stored is not None
    assert (stored.message.body(), stored.redelivered) == (b"89" + PADDING, True)
    queue.requeue(stored, False)
    assert [backlog.number("q") for _ in range(40)] == list(range(40))
    assert backlog.number("q") == 60
    backlog.end()


def test_one_that_cannot_be_read_now(backlog: Backlog) -> None:
    queue = queue_of(backlog)
    before = backlog.at_rest("q"), backlog.ready("q"), queue.ready.size, held_bytes(backlog.broker)
    backlog.log._reader.close()
    with no_descriptors(), pytest.raises(Refusal, match="messages cannot be read now"):
        queue.take_at(50)
    assert (backlog.at_rest("q"), backlog.ready("q"), queue.ready.size, held_bytes(backlog.broker)) == before
    with pytest.raises(Refusal, match="messages cannot be read now"):
        queue.take_at(1)
    backlog.pass_ms(1000)
    stored = queue.take_at(50)
    assert stored is not None
    queue.settle(stored)
    assert backlog.numbers("q") == [*range(49), *range(50, 100)]
    backlog.end()


def test_one_of_which_the_log_cannot_be_told_goes_back() -> None:
    broker = Failing().broker()
    queue = broker.vhosts["/"].make_queue("q", True, 0, False, {})
    for number in range(5):
        queue.publish(text(b"%d" % number), None)
    used = broker.budget.used
    with pytest.raises(Refusal, match="no space left"):
        queue.take_at(3)
    assert [stored.position for stored in queue.ready.items()] == [1, 2, 3, 4, 5]
    assert (queue.unacked, broker.budget.used) == (0, used)


def test_what_has_expired_is_not_given() -> None:
    broker = make_broker()
    queue = broker.vhosts["/"].make_queue("q", True, 0, False, {})
    for ttl_ms in (0, 10, 0, 10, 50, 0):
        queue.publish(text(b"x", ttl_ms=ttl_ms), None)
    each = broker.budget.used // 6
    broker.tick(10)
    assert len(queue.ready) == 6
    assert queue.take_at(4) is None
    assert (len(queue.ready), queue.unacked) == (5, 0)
    assert 4 * each < broker.budget.used < 6 * each
    stored = queue.take_at(1)
    assert stored is not None
    queue.settle(stored)
    assert [stored.position for stored in queue.ready.items()] == [3, 5, 6]
    stored = queue.take_at(3)
    assert stored is not None
    queue.settle(stored)
    broker.tick(50)
    assert [stored.position for stored in queue.ready.items()] == [6]
    assert broker.budget.used < 2 * each
    assert queue.take_at(6) is not None


def test_deduplication() -> None:
    broker = make_broker()
    queue = broker.vhosts["/"].make_queue("q", True, 0, False, {"x-message-deduplication": boolean(True)})
    for value in "abc":
        queue.publish(text(value.encode(), value), None)
    stored = queue.take_at(2)
    assert stored is not None
    queue.publish(text(b"again", "b"), None)
    assert len(queue.ready) == 2
    queue.requeue(stored, False)
    assert [item.message.body() for item in queue.ready.items()] == [b"a", b"b", b"c"]
    stored = queue.take_at(2)
    assert stored is not None
    queue.settle(stored)
    queue.publish(text(b"again", "b"), None)
    assert [item.message.body() for item in queue.ready.items()] == [b"a", b"c", b"again"]
