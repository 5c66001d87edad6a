"""Messages taken from anywhere in a partly paged-out queue: the queue behaves like a list in memory."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from leveret.core.message.budget import COST
from leveret.core.message.message import Message, address
from leveret.core.queue.browsing import BOTTOM, END, TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.queue import Queue
from leveret.core.queue.run import UNKNOWN
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties
from tests.brokers.run import START_MS
from tests.clients.socketless import held_bytes
from tests.session.test_paging import Backlog

LIMIT = 20_000
ADDRESS = address("", "q")
LEVELS = 3
AT = st.integers(0, 1 << 20)


@dataclass
class Item:
    """A message in the model. again: whether it is redelivered; None for unknown."""

    number: int
    position: int
    level: int
    kept: bool
    deadline_ms: int
    size: int
    again: bool | None = False
    front: int = 0  # where it was put in front of all others

    @property
    def place(self) -> tuple[int, int]:
        """Its place in the order."""
        return (-TOP, self.front) if self.front else (-self.level, self.position)


def number(stored: QueueEntry) -> int:
    """The number of a message."""
    return int(stored.message.body().split()[0])


class Middle(RuleBasedStateMachine):
    """A queue on a disk, and a list."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()
        self.now_ms = 5_000
        self.kind: dict[str, object] = {}
        self.load_bytes = 0
        self.published = 0
        self.ready: list[Item] = []
        self.held: list[tuple[QueueEntry, Item]] = []
        self.gone: list[int] = []
        self.steps = 0  # since everything was lost
        self.mark = 0  # up to here a restart may take messages for delivered
        self.in_front = 0  # so many were put there
        self.place = (-TOP, 0)  # where somebody who browses goes on

    @initialize(
        kind=st.sampled_from([{}, {}, {"x_max_priority": LEVELS}, {"x_queue_type": "quorum"}]),
        load_bytes=st.sampled_from([0, 1 << 20]),
    )
    def begin(self, kind: dict[str, object], load_bytes: int) -> None:
        """The queue."""
        self.kind, self.load_bytes = kind, load_bytes
        self.start()
        self.life.queue("q", **kind)
        for persistent, priority in ((True, 0), (False, 1), (True, 1)):
            self.publish(20, persistent, priority, 0, 700)
        self.life.safe()

    def start(self) -> None:
        """A broker with a small budget."""
        loads = type("Loads", (Backlog,), {"load_bytes": self.load_bytes})
        self.life: Backlog = loads(Path(self.directory.name), START_MS)
        self.life.broker.budget.limit = LIMIT
        self.life.pass_ms(self.now_ms - self.life.now_ms)

    @property
    def queue(self) -> Queue:
        """The queue."""
        return self.life.broker.vhosts["/"].queues["q"]

    def turns(self) -> None:
        """Process all consequences."""
        broker = self.life.broker
        broker.tick(self.now_ms)
        while broker.is_busy():
            broker.tick(self.now_ms)
        broker.log.flush()
        self.steps += 1
        while self.ready and 0 < self.ready[0].deadline_ms <= self.now_ms:
            self.gone.append(self.ready.pop(0).position)  # at the head, messages expire

    # -- events

    @rule(
        count=st.integers(1, 30),
        persistent=st.booleans(),
        priority=st.integers(0, LEVELS),
        ttl_ms=st.sampled_from([0, 0, 0, 10, 40]),
        size=st.sampled_from([10, 700]),
    )
    def publish(self, count: int, persistent: bool, priority: int, ttl_ms: int, size: int) -> None:
        """Publish some messages with the same properties."""
        properties = BasicProperties()
        properties.priority = priority
        properties.delivery_mode = 2 if persistent else 1
        properties.expiration = str(ttl_ms) if ttl_ms else None
        for _ in range(count):
            self.published += 1
            body = b"%d " % self.published + bytes(size)
            self.queue.publish(Message(ADDRESS, make_content(properties.encode(), body, FRAME_MAX), persistent), None)
            level = priority if "x_max_priority" in self.kind else 0
            kept = persistent or "x_queue_type" in self.kind
            deadline_ms = self.now_ms + ttl_ms if ttl_ms else 0
            position = int(self.queue._position)
            self.ready.append(Item(self.published, position, level, kept, deadline_ms, len(body)))
        self.order()
        self.turns()

    @rule()
    def get(self) -> None:
        """Get the head."""
        assert self.queue.clear_head()
        self.check_taken(self.queue.get(), self.ready.pop(0) if self.ready else None)

    def take(self, at: int) -> None:
        """Take a ready message, if it has not expired."""
        item = self.ready.pop(at % len(self.ready))
        stored = self.queue.take_at(item.position)
        if 0 < item.deadline_ms <= self.now_ms:
            self.gone.append(item.position)
            assert stored is None
            self.turns()
        else:
            self.check_taken(stored, item)

    @rule(at=AT, count=st.sampled_from([1, 1, 1, 2, 20]))
    def take_forward(self, at: int, count: int) -> None:
        """Take some consecutive ready messages."""
        for _ in range(count):
            if self.ready:
                at = min(at % len(self.ready), len(self.ready) - 1)
                self.take(at)

    @rule(at=AT, step=st.integers(1, 3))
    def take_backward(self, at: int, step: int) -> None:
        """Take some consecutive ready messages, backwards."""
        for _ in range(10):
            if self.ready:
                at = at % len(self.ready)
                self.take(at)
                at = max(at - step, 0)

    @rule(at=AT, other=st.sampled_from([-1, 0, 1 << 62]))
    def take_what_is_not_there(self, at: int, other: int) -> None:
        """Take a message that is not ready."""
        positions = [*self.gone, *(item.position for _, item in self.held), other]
        position = positions[at % len(positions)]
        if position not in [item.position for item in self.ready]:
            assert self.queue.take_at(position) is None
            self.turns()

    def check_taken(self, stored: QueueEntry | None, item: Item | None) -> None:
        """Check that it is the expected message."""
        if item is None:
            assert stored is None
            return
        assert stored is not None
        assert (stored.position, stored.level, stored.deadline_ms) == (item.position, item.level, item.deadline_ms)
        assert number(stored) == item.number
        assert item.again in (None, stored.redelivered)
        if item.kept:
            self.mark = max(self.mark, item.position)
        self.held.append((stored, item))
        self.turns()

    @rule(at=AT, count=st.integers(1, 10), backward=st.booleans())
    def requeue(self, at: int, count: int, backward: bool) -> None:
        """Requeue some messages."""
        at %= len(self.held) + 1
        some = self.held[at : at + count]
        del self.held[at : at + count]
        for stored, item in reversed(some) if backward else some:
            self.queue.requeue(stored, False)
            item.again = True
            item.front = 0
            self.ready.append(item)
        self.order()
        self.turns()

    @rule(at=AT, rejects=st.booleans())
    def settle(self, at: int, rejects: bool) -> None:
        """Acknowledge or reject a message."""
        if not self.held:
            return
        stored, item = self.held.pop(at % len(self.held))
        self.queue.discard(stored) if rejects else self.queue.settle(stored)
        self.gone.append(item.position)
        self.turns()

    @rule(at=AT)
    def leave_content(self, at: int) -> None:
        """Page out a held message and those behind it."""
        for stored, _ in self.held[at % (len(self.held) + 1) :]:
            self.queue.leave_content(stored)

    @rule(keep=st.sampled_from([0, 0, 2_000, 10_000]), want=st.sampled_from([2_000, 10_000, 1 << 20]))
    def page_out(self, keep: int, want: int) -> None:
        """Page out what can be paged out."""
        self.queue.page_out(keep, want)

    @rule()
    def commit(self) -> None:
        """Wait until everything is on the disk."""
        self.life.safe()

    @rule(ms=st.integers(1, 20))
    def wait(self, ms: int) -> None:
        """Let time pass."""
        self.now_ms += ms
        self.life.pass_ms(ms)
        self.turns()

    @precondition(lambda self: self.steps > 20)
    @rule()
    def purge(self) -> None:
        """Purge the queue."""
        assert self.queue.purge() == len(self.ready)
        self.gone += [item.position for item in self.ready]
        self.ready.clear()
        self.steps = 0
        self.turns()

    @rule(limit=st.integers(1, 30), anew=st.booleans())
    def browse(self, limit: int, anew: bool) -> None:
        """Browse the next page, or the first one."""
        level, position = (-TOP, 0) if anew else self.place
        page = Page(-level, position, -1, limit, 1 << 20)
        self.queue.browse(page)
        start = (level if "x_max_priority" in self.kind or level == -TOP else 0, position)
        behind = [(item.position, item.number) for item in self.ready if item.place > start]
        shown = [(stored.position, number(stored)) for stored in page.messages]
        assert shown == (behind if page.is_last else behind[: len(shown)])
        assert page.missing == 0
        self.place = (-TOP, 0) if page.is_last else (-int(page.level), int(page.position))

    @rule(limit=st.integers(1, 30), until=AT)
    def browse_back(self, limit: int, until: int) -> None:
        """Browse all pages, the newest message first."""
        until %= int(self.queue._position) + 2
        level, position = BOTTOM, END
        shown: list[tuple[int, int]] = []
        while True:
            page = Page(level, position, until, limit, 1_500)
            self.queue.browse(page, True)
            shown += [(int(stored.position), number(stored)) for stored in page.messages]
            assert len(page.messages) <= 3 * limit
            assert page.is_last or page.messages
            if page.is_last:
                break
            level, position = int(page.level), int(page.position)
        wanted = [(item.position, item.number) for item in reversed(self.ready) if item.front or item.position <= until]
        assert shown == wanted

    @rule(at=AT, count=st.integers(1, 30), step=st.integers(1, 3), deletes=st.booleans())
    def take_out(self, at: int, count: int, step: int, deletes: bool) -> None:
        """Delete browsed messages, or return them unchanged."""
        messages: list[QueueEntry] = []
        page = Page(TOP, 0, -1, 1 << 20, 1 << 20)
        while True:
            self.queue.browse(page)
            messages += page.messages
            if page.is_last:
                break
            page = Page(page.level, page.position, -1, 1 << 20, 1 << 20)
        for shown in messages[at % (len(messages) + 1) :][:count:step]:
            item = next(item for item in self.ready if item.position == shown.position)
            entry = self.queue.take_out(shown)
            if 0 < item.deadline_ms <= self.now_ms:
                assert entry is None
            else:
                assert entry is not None
                assert number(entry) == item.number
                assert (entry.position, entry.level, entry.deadline_ms) == (item.position, item.level, item.deadline_ms)
                if not deletes:
                    self.queue.return_unused(entry)
                    item.front = 0
                    self.order()
                    continue
                self.queue.forget(entry)
            self.ready.remove(item)
            self.gone.append(item.position)
        self.turns()

    @rule(at=AT, count=st.integers(1, 10))
    def put_in_front(self, at: int, count: int) -> None:
        """Put browsed messages in front of all others."""
        page = Page(TOP, 0, -1, 1 << 20, 1 << 20)
        self.queue.browse(page)
        for shown in page.messages[at % (len(page.messages) + 1) :][:count]:
            item = next(item for item in self.ready if item.position == shown.position)
            if 0 < item.deadline_ms <= self.now_ms:
                assert self.queue.put_in_front(shown) is None
                self.ready.remove(item)
                self.gone.append(item.position)
            else:
                assert self.queue.put_in_front(shown)
                self.in_front += 1
                item.front = self.in_front
        self.order()
        self.turns()

    @precondition(lambda self: self.steps > 20)
    @rule()
    def restart(self) -> None:
        """Stop cleanly and restart."""
        self.life.safe()
        self.life.end()
        self.start()
        for _, item in self.held:
            item.again = True
        last = max((item.position for item in self.ready + [item for _, item in self.held] if item.kept), default=0)
        self.ready += [item for _, item in self.held]
        self.in_front = 0
        self.ready = [item for item in self.ready if item.kept]
        for item in self.ready:
            item.front = 0
        self.mark = min(self.mark, last)
        for item in self.ready:
            if not item.again and item.position <= self.mark:
                item.again = None
        self.held, self.gone, self.place = [], [], (-TOP, 0)
        self.steps = 0
        self.order()
        self.turns()

    def order(self) -> None:
        """Restore the order."""
        self.ready.sort(key=lambda item: item.place)

    # -- invariants

    @invariant()
    def counts(self) -> None:
        """Check counts, bytes, and the budget."""
        ready = self.queue.ready
        assert len(ready) == len(self.ready)
        assert ready.size == sum(item.size for item in self.ready)
        assert ready.deadline_ms() in (UNKNOWN, self.ready[0].deadline_ms if self.ready else 0)
        assert self.queue.unacked == len(self.held)
        in_memory = ready.items()
        by_position = {item.position: item.place for item in self.ready}
        places = [by_position[int(stored.position)] for stored in in_memory]
        assert places == sorted(places)
        assert ready.resident == sum(COST + len(stored.message.content) for stored in in_memory)
        held = sum(COST + len(stored.message.content) for stored, _ in self.held)
        assert held_bytes(self.life.broker) == ready.resident + held
        assert not self.queue.fault
        assert not ready.has_near_head() or self.ready

    def teardown(self) -> None:
        """Check that all messages come in order, and none is left."""
        if not hasattr(self, "life"):
            return
        try:
            while self.ready:
                self.get()
            self.get()
            for stored, _ in self.held:
                self.queue.settle(stored)
            self.held.clear()
            self.counts()
            assert held_bytes(self.life.broker) == 0
            self.restart()
            self.counts()
            assert len(self.queue.ready) == 0
        finally:
            self.life.end()
            self.directory.cleanup()


TestMiddle = Middle.TestCase
TestMiddle.settings = settings(max_examples=60, stateful_step_count=50)
