"""A subscriber behind a pipe: it holds no objects of the broker, and identifies deliveries by queue and position."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from leveret.core.broker import Broker
from leveret.core.message.message import Message, address
from leveret.core.queue.lent import Borrower, Lent
from leveret.core.queue.queue import Queue
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties

FAR_END = """
import json, sys
for line in sys.stdin:
    sent = json.loads(line)
    if sent["body"] == "keep":
        answer = "keep"
    elif sent["body"] == "reject":
        answer = "discard"
    elif sent["body"].startswith("again") and not sent["redelivered"]:
        answer = "requeue"
    else:
        answer = "settle"
    print(json.dumps([answer, sent["queue"], sent["position"]]), flush=True)
"""


class Pipe(Borrower):
    """The near end of a process that answers each message with a line. heard: bodies in the order of arrival."""

    def __init__(self, broker: Broker) -> None:
        self.lent = Lent(broker, self)
        self.heard: list[str] = []
        self.ended: list[str] = []
        self.failures: list[str] = []
        self.has_room = True
        self._broker = broker
        self._answers = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", FAR_END], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def lend(self, tag: str, queue_id: int, position: int, message: Message, redelivered: bool) -> None:
        """Write a line."""
        body = message.body().decode()
        if body == "break":
            raise OSError("broken pipe")
        self.heard.append(body)
        self._answers += 1
        assert self.process.stdin is not None
        line = {"tag": tag, "queue": queue_id, "position": position, "body": body, "redelivered": redelivered}
        self.process.stdin.write(json.dumps(line) + "\n")
        self.process.stdin.flush()

    def can_take(self) -> bool:
        """Return what the test has set."""
        return self.has_room

    def cancelled(self, tag: str) -> None:
        """Record the call."""
        self.ended.append(tag)

    def fail(self, doing: str, error: Exception) -> None:
        """Record the call."""
        self.failures.append(doing)

    def work(self) -> None:
        """Execute the commands of the far end, until there are no more."""
        self._broker.settle()
        assert self.process.stdout is not None
        while self._answers:
            self._answers -= 1
            answer, queue_id, position = json.loads(self.process.stdout.readline())
            if answer == "settle":
                assert self.lent.settle(queue_id, position)
            elif answer == "discard":
                assert self.lent.discard(queue_id, position)
            elif answer == "requeue":
                assert self.lent.requeue(queue_id, position, True)
            self._broker.settle()


@pytest.fixture
def broker() -> Broker:
    """A new broker."""
    log = MemoryLog()
    return Broker(log, log, Clock(), seed=1, node="leveret@test")


@pytest.fixture
def pipe(broker: Broker) -> Iterator[Pipe]:
    """A subscriber of that broker."""
    pipe = Pipe(broker)
    yield pipe
    assert pipe.process.stdin is not None
    assert pipe.process.stdout is not None
    pipe.process.stdin.close()
    pipe.process.stdout.close()
    pipe.process.wait()


def declare(broker: Broker, name: str) -> Queue:
    return broker.vhosts["/"].declare_queue(name, False, False, False, {}, 1)


def publish(queue: Queue, *bodies: str) -> None:
    for body in bodies:
        queue.publish(
            Message(address("", queue.name), make_content(BasicProperties().encode(), body.encode()), False), None
        )


def test_it_settles_rejects_and_requeues(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    publish(queue, "1", "again 2", "reject", "3")
    pipe.lent.subscribe(queue, "tag", 2)
    pipe.work()
    assert sorted(pipe.heard) == ["1", "3", "again 2", "again 2", "reject"]
    assert (len(queue.ready), int(queue.unacked), len(pipe.lent), int(broker.budget.used)) == (0, 0, 0, 0)


def test_it_is_lent_no_more_than_its_prefetch(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    publish(queue, "keep", "keep", "keep")
    pipe.lent.subscribe(queue, "tag", 2)
    pipe.work()
    assert (len(pipe.heard), len(pipe.lent), len(queue.ready)) == (2, 2, 1)
    assert pipe.lent.settle(queue.queue_id, 1)
    broker.settle()
    assert (len(pipe.heard), len(pipe.lent), len(queue.ready)) == (3, 2, 0)


def test_a_token_counts_once_and_a_wrong_one_never(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    publish(queue, "keep")
    pipe.lent.subscribe(queue, "tag", 0)
    broker.settle()
    assert not pipe.lent.settle(queue.queue_id, 2)
    assert not pipe.lent.discard(queue.queue_id + 1, 1)
    assert pipe.lent.settle(queue.queue_id, 1)
    assert not pipe.lent.requeue(queue.queue_id, 1, False)
    assert int(queue.unacked) == 0


def test_what_it_had_goes_back_in_order_when_it_ends(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    publish(queue, "1", "2", "3")
    pipe.lent.subscribe(queue, "tag", 2)
    broker.settle()
    pipe.lent.end()
    broker.settle()
    found = []
    while (entry := queue.get()) is not None:
        found.append((entry.message.body(), entry.redelivered))
        queue.settle(entry)
    assert found == [(b"1", True), (b"2", True), (b"3", False)]
    assert (len(queue.consumers), len(pipe.lent)) == (0, 0)


def test_it_waits_for_room_and_hears_of_the_end_of_its_queue(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    pipe.has_room = False
    publish(queue, "1")
    pipe.lent.subscribe(queue, "tag", 0)
    broker.settle()
    assert pipe.heard == []
    pipe.has_room = True
    pipe.lent.wake()
    broker.settle()
    assert pipe.heard == ["1"]
    broker.vhosts["/"].delete_queue("q", False, False, 1)
    assert pipe.ended == ["tag"]
    assert pipe.lent.settle(queue.queue_id, 1)  # it was lent; nothing happens any more
    assert pipe.failures == []


def test_what_cannot_be_sent_goes_back_once(broker: Broker, pipe: Pipe) -> None:
    queue = declare(broker, "q")
    publish(queue, "keep", "break", "behind")
    pipe.lent.subscribe(queue, "tag", 0)
    broker.settle()
    assert (pipe.heard, pipe.failures, len(pipe.lent)) == (["keep"], ["deliver a message"], 1)
    assert (len(queue.ready), int(queue.unacked)) == (2, 1)
    pipe.lent.end()
    broker.settle()
    assert [entry.message.body() for entry in queue.ready.items()] == [b"keep", b"break", b"behind"]
    assert (len(queue.ready), int(queue.unacked), len(queue.consumers)) == (3, 0, 0)


@pytest.mark.parametrize("ends", [True, False])
def test_what_was_lent_of_a_queue_that_is_gone_needs_no_memory(broker: Broker, pipe: Pipe, ends: bool) -> None:
    queue = declare(broker, "q")
    publish(queue, "1", "2", "3")
    pipe.lent.subscribe(queue, "tag", 3)
    broker.settle()
    broker.vhosts["/"].remove_queue(queue)
    if ends:
        pipe.lent.end()
    else:
        for position, verb in enumerate((pipe.lent.settle, pipe.lent.discard), 1):
            assert verb(queue.queue_id, position)
        assert pipe.lent.requeue(queue.queue_id, 3, True)
    assert (len(pipe.lent), int(broker.budget.used)) == (0, 0)
