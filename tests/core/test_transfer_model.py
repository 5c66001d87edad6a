"""Moves, copies and deletions of messages in partly paged-out queues, against plain lists.

After a crash at any time, a safe message is in exactly one queue, once.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from leveret.core.client.transfer import DONE, GONE, REFUSED, Transfer
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message, address
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.wire.content import make_content
from leveret.wire.fields import boolean, longstr
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS
from tests.session.test_paging import Backlog

LIMIT = 20_000
FULL = 30  # messages that the queue `full` takes
QUEUES = ("plain", "priority", "unique", "quorum", "full")
ORDERED = ("plain", "unique", "full")  # in which messages stand as they came
ADDRESS = address("", "q")
AT = st.integers(0, 1 << 20)
NAME = st.sampled_from(QUEUES)


class Transfers(RuleBasedStateMachine):
    """Queues on a disk, and for each a list of message numbers in the order of arrival."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now_ms = 5_000
        self.published = 0
        self.lists: dict[str, list[int]] = {name: [] for name in QUEUES}
        self.transient: set[int] = set()
        self.safe: set[int] = set()  # numbers that a crash must not touch
        self.copied: set[int] = set()

    @initialize()
    def begin(self) -> None:
        """The queues."""
        self.start()
        self.life.queue("plain")
        self.life.queue("priority", x_max_priority=3)
        arguments = {"x-message-deduplication": boolean(True)}
        self.life.broker.vhosts["/"].make_queue("unique", True, 0, False, arguments)
        self.life.queue("quorum", x_queue_type="quorum")
        self.life.queue("full", x_max_length=FULL, x_overflow="reject-publish")
        self.life.safe()

    def start(self) -> None:
        """A broker with a small budget."""
        self.life: Backlog = type("Loads", (Backlog,), {"load_bytes": 0})(Path(self.directory.name), START_MS)
        self.life.broker.budget.limit = LIMIT
        self.life.pass_ms(self.now_ms - self.life.now_ms)

    def queue(self, name: str) -> Queue:
        """A queue."""
        return self.life.broker.vhosts["/"].queues[name]

    def turns(self) -> None:
        """Process all consequences."""
        broker = self.life.broker
        broker.tick(self.now_ms)
        while broker.is_busy():
            broker.tick(self.now_ms)
        broker.log.flush()

    def chosen(self, name: str, at: int, count: int, step: int) -> list[tuple[int, QueueEntry]]:
        """Some messages of a queue and their places in it, as browsing shows them."""
        found: list[QueueEntry] = []
        page = Page(TOP, 0, -1, 50, 1 << 20)
        while True:
            self.queue(name).browse(page)
            found += page.messages
            if page.is_last:
                return list(enumerate(found))[at % (len(found) + 1) :][:count:step]
            page = Page(page.level, page.position, page.until, 50, 1 << 20)

    # -- events

    @rule(
        name=NAME, count=st.integers(1, 30), persistent=st.sampled_from([True, True, False]), size=st.integers(0, 700)
    )
    def publish(self, name: str, count: int, persistent: bool, size: int) -> None:
        """Publish some messages, each with a unique value."""
        for _ in range(count):
            self.published += 1
            properties = BasicProperties()
            properties.delivery_mode = 2 if persistent else 1
            properties.headers = {"x-deduplication-header": longstr(str(self.published))}
            body = b"%d " % self.published + bytes(size)
            message = Message(ADDRESS, make_content(properties.encode(), body), persistent)
            self.queue(name).publish(message, None)
            if name != "full" or len(self.lists[name]) < FULL:
                self.lists[name].append(self.published)
                if not persistent:
                    self.transient.add(self.published)
        self.turns()

    @rule(source=NAME, to=NAME, at=AT, count=st.integers(1, 40), step=st.integers(1, 3))
    def move(self, source: str, to: str, at: int, count: int, step: int) -> None:
        """Move some to another queue, or to the end of their own."""
        transfer = Transfer(self.queue(source))
        destinations: list[Destination] = [self.queue(to)]
        for gone, (place, shown) in enumerate(self.chosen(source, at, count, step)):
            number = number_of(shown)
            has_room = to != "full" or source == "full" or len(self.lists["full"]) < FULL
            outcome = transfer.move(shown, None, destinations)
            assert outcome == (DONE if has_room else REFUSED)
            if has_room:
                self.leave(source, number, place - gone)
                self.take(to, number)
            assert transfer.move(shown, None, destinations) == (GONE if has_room else REFUSED)
        self.turns()
        self.life.safe()
        assert transfer.waiting == 0

    def leave(self, name: str, number: int, place: int) -> None:
        """A message leaves a queue. place: where it stands; a copy of it may stand in another place."""
        if name in ORDERED:
            assert self.lists[name].pop(place) == number
        else:
            self.lists[name].remove(number)

    def take(self, name: str, number: int) -> None:
        """A queue gets a message, unless it is a duplicate."""
        if name != "unique" or number not in self.lists[name]:
            self.lists[name].append(number)

    @rule(source=NAME, to=NAME, at=AT, count=st.integers(1, 10))
    def copy(self, source: str, to: str, at: int, count: int) -> None:
        """Copy some to another queue."""
        transfer = Transfer(self.queue(source))
        for _, shown in self.chosen(source, at, count, 1):
            number = number_of(shown)
            has_room = to != "full" or len(self.lists["full"]) < FULL
            assert transfer.copy(shown.message, [self.queue(to)]) == (DONE if has_room else REFUSED)
            self.copied.add(number)
            self.safe.discard(number)
            if has_room:
                self.take(to, number)
        self.turns()

    @rule(source=NAME, at=AT, count=st.integers(1, 40), step=st.integers(1, 3))
    def delete(self, source: str, at: int, count: int, step: int) -> None:
        """Delete some."""
        transfer = Transfer(self.queue(source))
        for gone, (place, shown) in enumerate(self.chosen(source, at, count, step)):
            assert transfer.delete(shown) == DONE
            self.leave(source, number_of(shown), place - gone)
            self.safe.discard(number_of(shown))
            assert transfer.delete(shown) == GONE
        self.turns()

    @rule(name=NAME, keep=st.sampled_from([0, 2_000]), want=st.sampled_from([10_000, 1 << 20]))
    def page_out(self, name: str, keep: int, want: int) -> None:
        """Page out what can be paged out."""
        self.queue(name).page_out(keep, want)

    @rule()
    def commit(self) -> None:
        """Wait until everything is on the disk."""
        self.life.safe()
        self.safe = {number for numbers in self.lists.values() for number in numbers} - self.transient - self.copied

    @rule()
    def crash(self) -> None:
        """Check what a start finds after a crash behind a commit."""
        while self.life.log._is_writing:
            self.life.wait_for_commit()
        with tempfile.TemporaryDirectory() as copy:
            for file in Path(self.directory.name).glob("leveret.db*"):
                shutil.copy(file, copy)
            life = Backlog(Path(copy), START_MS)
            found = [number for name in QUEUES for number in numbers_in(life.broker.vhosts["/"].queues[name])]
            life.end()
        for number in self.safe:
            assert found.count(number) == 1

    # -- invariants

    @invariant()
    def is_alike(self) -> None:
        """Check that all queues have the messages of the lists, in that order."""
        if not hasattr(self, "life"):
            return
        for name in QUEUES:
            if name in ORDERED:
                assert numbers_in(self.queue(name)) == self.lists[name]
            else:
                assert sorted(numbers_in(self.queue(name))) == sorted(self.lists[name])
            assert not self.queue(name).fault

    def teardown(self) -> None:
        """Check that all durable messages survive a clean stop."""
        if hasattr(self, "life"):
            self.life.safe()
            self.life.end()
            self.start()
            for name in QUEUES:
                kept = [number for number in self.lists[name] if number not in self.transient or name == "quorum"]
                assert sorted(numbers_in(self.queue(name))) == sorted(kept)
            self.life.end()
        self.directory.cleanup()


def number_of(entry: QueueEntry) -> int:
    """The number of a message."""
    return int(entry.message.body().split()[0])


def numbers_in(queue: Queue) -> list[int]:
    """The numbers of the ready messages, in order."""
    found: list[int] = []
    page = Page(TOP, 0, -1, 500, 1 << 20)
    while True:
        queue.browse(page)
        found += [number_of(entry) for entry in page.messages]
        if page.is_last:
            return found
        page = Page(page.level, page.position, page.until, 500, 1 << 20)


TestTransfers = Transfers.TestCase
TestTransfers.settings = settings(max_examples=40, stateful_step_count=40)
