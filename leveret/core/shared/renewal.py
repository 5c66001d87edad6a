"""Renewal: queues that leave this node, and that come (back) to it.

A queue that another node has is lost (core/queue/life.py) and stays so: consumers, deliveries and dead letters of it
are void for good. When this node owns it again, a new queue of the same definition takes the messages from the log.
Only when it has all of them does it take the place of the lost one, with the bindings, so nobody sees it incomplete.
Delayed messages of an exchange go the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from mypy_extensions import i64

from leveret.core.broker import Broker
from leveret.core.exchange_types.delayed import DelayedMessages
from leveret.core.message.log import Logged, NotHereYet, Recovered, Resting, Unreadable
from leveret.core.queue.life import LOST
from leveret.core.queue.ownership import Renewing
from leveret.core.queue.queue import Queue
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.work import PIECE
from leveret.core.vhost import VirtualHost

RESTORE: Final = "restore messages from the log"


class Renewals:
    """The queues that leave a broker and come back. A failure of one does not affect the others."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._renewals: dict[int, Renewal] = {}

    def lose(self, queue_ids: Iterable[int], reason: str) -> None:
        """Another node has these queues from now on. reason: for operators. Others than durable ones stay."""
        broker = self._broker
        for queue_id in queue_ids:
            renewal = self._renewals.get(queue_id)
            if renewal is not None:
                renewal.cancel(reason)
            found = broker.logged.get(queue_id)
            if found is None or not _is_durable(found):
                continue
            try:
                found.on_lost(reason)
                broker.log.drop(-queue_id)  # its transient messages end here
            except Exception as error:
                found.fail("stop", error)

    def renew(self, queue_ids: Iterable[int]) -> None:
        """Messages of these queues follow; those that are not lost stay as they are."""
        broker = self._broker
        for queue_id in queue_ids:
            found = broker.logged.get(queue_id)
            if queue_id in self._renewals or not isinstance(found, Queue | DelayedMessages) or not _is_lost(found):
                continue
            try:
                renewal = Renewal(broker, self._renewals, found)
            except Exception as error:
                broker.faults.tell(str(found), "renew it", error)
                continue
            self._renewals[queue_id] = renewal
            broker.renewals[queue_id] = renewal

    def take(self, batch: Iterable[Recovered | Resting]) -> list[int]:
        """Messages from the log, for each queue in the order of positions.

        Returns: ids of queues that are not being renewed: they do not exist, or not any more.
        """
        strangers: dict[int, None] = {}
        given: dict[Renewal, None] = {}
        for found in batch:
            renewal = self._renewals.get(found.queue_id)
            if renewal is None:
                strangers[found.queue_id] = None
            else:
                renewal.give(found)
                given[renewal] = None
        for renewal in given:
            renewal.go_on()
        return list(strangers)

    def serve(self, queue_ids: Iterable[int]) -> None:
        """All messages of these queues have come: they serve as soon as they have taken them."""
        for queue_id in queue_ids:
            renewal = self._renewals.get(queue_id)
            if renewal is not None:
                renewal.has_all = True
                renewal.go_on()


class Renewal(BackgroundJob, Renewing):
    """The renewal of one queue, or of the delayed messages of one exchange. has_all: no more messages follow."""

    def __init__(self, broker: Broker, renewals: dict[int, Renewal], old: Queue | DelayedMessages) -> None:
        self.has_all = False
        self._broker = broker
        self._renewals = renewals
        self._old = old
        self._queue_id = old.queue_id if isinstance(old, Queue) else old.log_id
        self._new = _renewed(old)
        self._found: deque[Recovered | Resting] = deque()
        self._is_going = False
        self._is_over = False

    def give(self, found: Recovered | Resting) -> None:
        """Messages that go_on() will take."""
        new = self._new
        if isinstance(found, Resting) and (isinstance(new, DelayedMessages) or new.detours.looks_at_all()):
            self._found += _pieces(found)  # these are read, which may have to wait
        else:
            self._found.append(found)

    def go_on(self) -> None:
        """Take what is there, now or soon."""
        if not self._is_going:
            self._is_going = True
            self._broker.background.begin(self)

    def on_fetched(self) -> None:
        """Messages that it waited for have arrived."""
        self.go_on()

    def work(self) -> bool:
        """Take some messages; after the last ones, let the queue serve. Returns: whether that is all for now."""
        is_done = self._is_over or self._work()
        if is_done:
            self._is_going = False
        return is_done

    def _work(self) -> bool:
        if self._broker.logged.get(self._queue_id) is not self._old:
            self._drop()
            return True
        left: i64 = PIECE
        while self._found and left > 0:
            try:
                left -= self._take(self._found[0])
            except NotHereYet:
                return True
            except Unreadable:
                raise
            except Exception as error:  # its messages stay in the log
                self._new.fail(RESTORE, error)
            self._found.popleft()
        self._broker.share.left -= PIECE - left
        if self._found:
            return False
        if self.has_all:
            self._serve()
        return True

    def _take(self, found: Recovered | Resting) -> i64:
        """Take messages. Returns: what it cost. Raises: NotHereYet before any of them is taken."""
        count: i64 = 1
        new = self._new
        if isinstance(found, Resting):
            count = new.rest(found)
            if isinstance(new, Queue) and not new.detours.looks_at_all():
                count = 1  # they were not read
        else:
            new.restore(found)
        budget = self._broker.budget
        if budget.is_over():
            lines = self._broker.lines()
            budget.relieve([*lines, new] if isinstance(new, Queue) else lines, list(self._broker.holders))
        return count

    def _serve(self) -> None:
        """Take the place of the lost one."""
        self._end()
        old, new = self._old, self._new
        if isinstance(old, Queue) and isinstance(new, Queue):
            assert isinstance(old.vhost, VirtualHost)
            old.vhost.take_place(old, new)
        elif isinstance(old, DelayedMessages) and isinstance(new, DelayedMessages):
            new.take_place(old)
        try:
            new.recovered()
        except Exception as error:
            new.fail("apply its policies and arguments", error)

    def _drop(self) -> None:
        """The queue was deleted, or another one has taken its name: its messages go, too."""
        self.cancel("it was deleted")
        self._broker.log.drop(self._queue_id)

    def cancel(self, reason: str) -> None:
        """The queue stays lost. reason: for operators."""
        if not self._is_over:
            self._end()
            self._new.on_lost(reason)

    def _end(self) -> None:
        self._is_over = True
        self._found.clear()
        del self._renewals[self._queue_id]
        del self._broker.renewals[self._queue_id]

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault; what has failed is tried again."""
        self._broker.faults.tell(str(self._old), RESTORE, error)

    def give_up(self) -> None:
        """The queue stays lost: incomplete, it must not serve."""
        self._is_going = False
        self.cancel("its messages cannot be read")
        self._broker.explain(f"{self._old} stays unavailable: its messages cannot be read from the log")


def _renewed(old: Queue | DelayedMessages) -> Queue | DelayedMessages:
    """An empty one for the messages of a lost one. Raises: any exception."""
    if isinstance(old, DelayedMessages):
        return old.renew()
    assert isinstance(old.vhost, VirtualHost)
    return old.vhost.renew_queue(old)


def _pieces(found: Resting) -> list[Recovered | Resting]:
    """The same messages in pieces of PIECE."""
    positions = found.positions()
    pieces: list[Recovered | Resting] = []
    for start in range(0, len(positions), 8 * PIECE):
        piece = Resting(found.queue_id, found.level, found.deadline_ms)
        for at in range(start, min(start + 8 * PIECE, len(positions)), 8):
            piece.add(int.from_bytes(positions[at : at + 8], "big"), 0)
        pieces.append(piece)
    return pieces


def _is_durable(found: Logged) -> bool:
    if isinstance(found, Queue):
        return found.durable
    return isinstance(found, DelayedMessages) and found.is_durable


def _is_lost(found: Queue | DelayedMessages) -> bool:
    return found.state == LOST if isinstance(found, Queue) else found.fault != ""
