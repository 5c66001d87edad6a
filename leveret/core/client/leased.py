"""LeasedConsumer: a consumer of a client without a connection, which polls repeatedly, as HTTP clients do.

Messages are delivered only when the client requests them, so that none waits for an absent client. From then on they
are outstanding, as on a channel, until they are settled. The lease runs while no request is open and the client is
silent. A client that only follows a stream counts as silent, so the lease runs while messages are outstanding.
When the lease expires, or a message is outstanding for longer than its queue allows, the consumer ends and all its
messages are requeued. It counts as a connection for the limits of connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from leveret.core.access.user import User, check_open
from leveret.core.broker import Broker
from leveret.core.client.party import Party
from leveret.core.client.receiver import Receiver
from leveret.core.client.settling import REQUEUE, RETURN, settle, settling
from leveret.core.counting.counters import ChannelCounters
from leveret.core.errors.bounds import MAX_MS
from leveret.core.errors.refusals import Refusal
from leveret.core.message.message import Message
from leveret.core.queue.client import Held
from leveret.core.queue.consumers import Consumer
from leveret.core.queue.entry import EntryOwner, QueueEntry
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import PIECE
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import Table

NOBODY: Final = 0  # no request is open
CALLER: Final = 1  # a request waits for an answer
FOLLOWER: Final = 2  # a stream gets all messages
CHECK_MS: Final = 60_000  # interval of checks of the delivery timeout
LEASE_OVER: Final = "its lease has run out"


class Arrival:
    """A delivered message. message: with its content, even if that is paged out meanwhile."""

    __slots__ = ("message", "redelivered", "tag")

    def __init__(self, tag: i64, entry: QueueEntry) -> None:
        self.tag: i64 = tag
        self.message: Message = entry.message
        self.redelivered = entry.redelivered


class LeasedParty(Party):
    """The owner of a consumer, as the broker sees it. host: the address from which the consumer was created."""

    def __init__(self, broker: Broker, host: str, user: User, vhost: VirtualHost) -> None:
        super().__init__(broker, f"HTTP consumer of {user.name} from {host}")
        self.host = host
        self.user = user
        self.vhost = vhost
        self.leased: LeasedConsumer | None = None  # from its start to its end
        self._has_failed = False

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """The unacknowledged deliveries of its consumer."""
        return [] if self.leased is None else self.leased.receiver.held(queue, None)

    def release(self, want: i64) -> None:
        """Page out contents of unacknowledged deliveries."""
        if self.leased is not None:
            budget = self.broker.budget
            self.leased.receiver.unacked.leave_contents(budget, budget.used - want)

    def force_close(self, reason: str) -> None:
        """End the consumer, on request of an administrator, or with its user or virtual host."""
        if self.leased is not None:
            self.leased.end(reason)
            self.broker.settle()

    def fail(self, doing: str, error: Exception) -> None:
        """An action for it has failed: end the consumer."""
        if not self._has_failed:
            self._has_failed = True
            self.broker.faults.tell(self.name, doing, error)
            self.broker.faults.close(self)

    def close_failed(self) -> None:
        """End the consumer after a fault of the broker."""
        if self.leased is not None:
            self.leased.end("something has failed inside the broker")


class LeasedReceiver(Receiver):
    """Its deliveries. wanted: messages that may still come. room: bytes of bodies that may; the last may exceed it."""

    __slots__ = ("arrived", "leased", "room", "wanted")

    def __init__(self, party: LeasedParty) -> None:
        super().__init__(party, ChannelCounters(0, party.counters))
        self.leased: LeasedConsumer | None = None  # from its start to its end
        self.arrived: list[Arrival] = []
        self.wanted: i64 = 0
        self.room: i64 = 0

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Keep the message for the next request."""
        is_first = not len(self.unacked)
        tag = self.hold(consumer, entry)
        self.arrived.append(Arrival(tag, entry))
        self.wanted -= 1
        self.room -= entry.message.size
        if self.party.vhost.is_watched:
            self.show(entry, consumer.no_ack)
        if self.leased is not None:
            self.leased.has_got(is_first)

    def can_take(self) -> bool:
        """Whether more messages are requested."""
        return self.wanted > 0 and self.room > 0

    def answer_get(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        """Not called: all its messages come from its consumer."""

    def cancelled(self, consumer: Consumer) -> None:
        """The queue has ended."""
        self.forget(consumer)
        if self.leased is not None:
            self.leased.end("its queue is gone")


class LeasedConsumer:
    """One consumer, until `over` gives the reason of its end.

    lease_ms: how long its client may be silent. heard_ms: when the client was last active, on the core's clock.
    attended: one of the numbers above. on_news: called when a message has come or the consumer has ended, in the middle
    of that: it may only take notes.
    """

    def __init__(
        self,
        party: LeasedParty,
        lease_ms: int,
        queue: str,
        tag: str = "",
        prefetch: int = 1,
        exclusive: bool = False,
        arguments: Table | None = None,
    ) -> None:
        """Consume a queue. tag: empty for a generated one. prefetch: how many messages may be outstanding.

        Raises: Refusal, as Receiver.consume(), and NOT_ALLOWED when no connection could be opened.
        """
        vhost = party.vhost
        check_open(party.user, vhost.name, vhost.limits, vhost.connections)
        self.broker = party.broker
        self.party = party
        self.lease_ms = lease_ms
        self.heard_ms = party.broker.clock.now_ms
        self.attended: i64 = NOBODY
        self.over = ""
        self.on_news: Callable[[], None] = _no_news
        self.receiver = LeasedReceiver(party)
        self.receiver.prefetch = prefetch
        try:
            self.consumer = self.receiver.consume(queue, tag, False, exclusive, {} if arguments is None else arguments)
        except Refusal:
            self.receiver.counters.end()
            raise
        self._watch = LeaseWatch(self)
        self._returning: i64 = 0  # jobs that are requeuing messages
        party.leased = self.receiver.leased = self
        self.broker.connections[party.number] = party
        self.broker.leased += 1
        party.user.connections += 1
        vhost.connections += 1
        self.receiver.start(self.consumer)
        self.heard()

    def end(self, why: str) -> None:
        """End the consumer and requeue its messages, marked as redelivered. why: as in "its lease has run out"."""
        if self.over:
            return
        self.over = why
        self._watch.stop()
        party, receiver, consumer = self.party, self.receiver, self.consumer
        consumer.active = False  # so that it gets none of the requeued messages
        self._returning += 1
        self._give_back([entry for _, entry in receiver.unacked.take_all()], RETURN)
        receiver.cancel(consumer.tag)
        receiver.arrived.clear()
        receiver.wanted = 0
        party.leased = receiver.leased = None
        self.broker.connections.pop(party.number, None)
        self.broker.leased -= 1
        party.user.connections -= 1
        party.vhost.connections -= 1
        self.given_back()
        news, self.on_news = self.on_news, _no_news
        news()

    # -- calls of the client

    def heard(self) -> None:
        """The client is active: restart the lease."""
        self.heard_ms = self.broker.clock.now_ms
        self._look()

    def attend(self, who: int) -> None:
        """Set who attends: one of the numbers above."""
        self.attended = who
        self.heard()

    def ask(self, count: int, size: int) -> None:
        """Request messages, up to a count and to bytes of bodies; 0 for no more."""
        if not self.over:
            self.receiver.wanted = count
            self.receiver.room = size
            if count:
                self.consumer.queue.wake(self.consumer)

    def take(self) -> list[Arrival]:
        """The messages since the last call."""
        receiver = self.receiver
        arrived, receiver.arrived = receiver.arrived, []
        return arrived

    def settle(self, tag: i64, how: int) -> bool:
        """Settle a delivery. how: one of those of settling.py. Returns: whether it was outstanding."""
        receiver = self.receiver
        if not receiver.unacked.has(tag):
            return False
        settle(receiver.unacked.take(tag), how, receiver.counters)
        return True

    def give_back(self, tags: list[int], how: int = REQUEUE) -> int:
        """Requeue deliveries as if they were never delivered. Returns: how many were outstanding."""
        unacked = self.receiver.unacked
        entries = [unacked.take(tag) for tag in tags if unacked.has(tag)]
        self._give_back(entries, how)
        return len(entries)

    def outstanding(self) -> list[int]:
        """The tags of unsettled deliveries, in order."""
        return [tag for tag, _ in self.receiver.unacked.outstanding()]

    # -- events of the core

    def has_got(self, is_first: bool) -> None:
        """A message has come. is_first: none was outstanding before."""
        if is_first:
            if self.attended == FOLLOWER:
                self.heard_ms = self.broker.clock.now_ms
            self._look()
        self.on_news()

    def look(self) -> None:
        """Check the timeouts. Called by its watch."""
        now_ms = self.broker.clock.now_ms
        oldest = self.receiver.unacked.oldest()
        if oldest is not None:
            allowed_ms = self._allowed_ms()
            if oldest.sent_ms + allowed_ms <= now_ms:
                self.end(f"a message was not settled within {allowed_ms} ms")
                return
        if self._is_running() and self.heard_ms + self.lease_ms <= now_ms:
            self.end(LEASE_OVER)
            return
        self._look()

    def fail(self, doing: str, error: Exception) -> None:
        """An action for it has failed: end the consumer."""
        self.party.fail(doing, error)

    def given_back(self) -> None:
        """A requeue is complete; after the last one, its counters end."""
        self._returning -= 1
        if self.over and not self._returning:
            self.receiver.counters.end()
            self.party.end_counters()

    # -- inside

    def _is_running(self) -> bool:
        """Whether the lease runs."""
        if self.attended == CALLER:
            return False
        return self.attended == NOBODY or len(self.receiver.unacked) > 0

    def _allowed_ms(self) -> int:
        """The delivery timeout in milliseconds."""
        own_ms = self.consumer.queue.consumer_timeout_ms()
        return min(own_ms if own_ms >= 0 else self.broker.consumer_timeout_ms or MAX_MS, MAX_MS)

    def _look(self) -> None:
        """Schedule the next check."""
        if self.over:
            return
        due_ms = self.broker.clock.now_ms + CHECK_MS
        if self._is_running():
            due_ms = min(due_ms, self.heard_ms + self.lease_ms)
        oldest = self.receiver.unacked.oldest()
        if oldest is not None:
            due_ms = min(due_ms, int(oldest.sent_ms) + self._allowed_ms())
        self._watch.call_at(due_ms)

    def _give_back(self, entries: list[QueueEntry], how: int) -> None:
        if entries:
            self._returning += 1
            self.broker.background.begin(GivingBack(self, entries, how))


class LeaseWatch(Timed):
    """Calls look() of a consumer when it is due, perhaps earlier."""

    __slots__ = ("_due_ms", "_leased", "_timer")

    def __init__(self, leased: LeasedConsumer) -> None:
        self._leased: LeasedConsumer | None = leased
        self._timer: Timer | None = None
        self._due_ms = 0  # when that timer is due

    def call_at(self, due_ms: int) -> None:
        """Call at this time at the latest."""
        leased = self._leased
        if leased is None or (self._timer is not None and self._due_ms <= due_ms):
            return
        timers = leased.broker.timers
        timers.cancel(self._timer)
        self._due_ms = due_ms
        self._timer = timers.call_at(due_ms, self)

    def stop(self) -> None:
        """The consumer has ended."""
        if self._leased is not None:
            self._leased.broker.timers.cancel(self._timer)
        self._leased = None
        self._timer = None

    def on_timer(self, token: int) -> None:
        """Check the consumer."""
        self._timer = None
        if self._leased is not None:
            self._leased.look()

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the consumer."""
        if self._leased is not None:
            self._leased.fail(doing, error)


class GivingBack(BackgroundJob):
    """Requeues deliveries in pieces; the queue is paused meanwhile, so their order is kept."""

    __slots__ = ("_at", "_entries", "_how", "_leased", "_queue")

    def __init__(self, leased: LeasedConsumer, entries: list[QueueEntry], how: int) -> None:
        self._leased = leased
        self._entries = entries
        self._how = how
        self._at = 0
        self._queue = entries[0].queue  # the queue of all of them
        self._queue.pause()

    def work(self) -> bool:
        """Requeue some. Returns: whether none is left."""
        left: i64 = PIECE
        while self._at < len(self._entries) and left > 0:
            entry = self._entries[self._at]
            self._at += 1
            left -= settling(entry, self._how)
            settle(entry, self._how, self._leased.receiver.counters)
        self._leased.broker.share.left -= PIECE - left
        if self._at < len(self._entries):
            return False
        self._release()
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Report the fault to the consumer; the job continues."""
        self._leased.fail(doing, error)

    def give_up(self) -> None:
        """It has failed too often: resume the queue and end the job."""
        self._release()

    def _release(self) -> None:
        """Resume the queue and end the job."""
        self._queue.resume()
        self._leased.given_back()


def _no_news() -> None:
    """Does nothing."""
