"""LeasedConsumer: a consumer of somebody who has no connection, and comes again and again, as a client of HTTP does.

Messages come only as far as they are asked for, so that none waits for somebody who does not ask. From then on they are
outstanding, as on a channel, until they are settled. The lease runs while nobody attends and nothing is heard of the
client; somebody who follows a stream is not heard by that, so that it runs all the same while messages are outstanding.
When it runs out, or a message is outstanding for longer than its queue allows, the consumer ends: all that it holds
goes back to the queue. It counts as a connection wherever those are limited.
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

NOBODY: Final = 0  # attends
CALLER: Final = 1  # waits for an answer
FOLLOWER: Final = 2  # gets all that comes
CHECK_MS: Final = 60_000  # after which the time that a delivery may wait for its ack is looked at again
LEASE_OVER: Final = "its lease has run out"


class Arrival:
    """A message that has come. message: with its content, even if the log has that alone meanwhile."""

    __slots__ = ("message", "redelivered", "tag")

    def __init__(self, tag: i64, entry: QueueEntry) -> None:
        self.tag: i64 = tag
        self.message: Message = entry.message
        self.redelivered = entry.redelivered


class LeasedParty(Party):
    """Who a consumer belongs to, as the broker sees it. host: the address that the consumer was made from."""

    def __init__(self, broker: Broker, host: str, user: User, vhost: VirtualHost) -> None:
        super().__init__(broker, f"HTTP consumer of {user.name} from {host}")
        self.host = host
        self.user = user
        self.vhost = vhost
        self.leased: LeasedConsumer | None = None  # once it has begun, until it is over
        self._has_failed = False

    def held(self, queue: EntryOwner | None) -> list[Held]:
        """What its consumer has, and has not settled."""
        return [] if self.leased is None else self.leased.receiver.held(queue, None)

    def release(self, want: i64) -> None:
        """Leave contents of deliveries that wait for an ack to the log."""
        if self.leased is not None:
            budget = self.broker.budget
            self.leased.receiver.unacked.leave_contents(budget, budget.used - want)

    def force_close(self, reason: str) -> None:
        """End the consumer for an administrator, with its user, or with its virtual host."""
        if self.leased is not None:
            self.leased.end(reason)
            self.broker.settle()

    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: the consumer ends."""
        if not self._has_failed:
            self._has_failed = True
            self.broker.faults.tell(self.name, doing, error)
            self.broker.faults.close(self)

    def close_failed(self) -> None:
        """End the consumer for a fault of the broker."""
        if self.leased is not None:
            self.leased.end("something has failed inside the broker")


class LeasedReceiver(Receiver):
    """What it gets. wanted: how many more messages may come; room: bytes of bodies, of which the last may have more."""

    __slots__ = ("arrived", "leased", "room", "wanted")

    def __init__(self, party: LeasedParty) -> None:
        super().__init__(party, ChannelCounters(0, party.counters))
        self.leased: LeasedConsumer | None = None  # once it has begun, until it is over
        self.arrived: list[Arrival] = []
        self.wanted: i64 = 0
        self.room: i64 = 0

    def deliver(self, consumer: Consumer, entry: QueueEntry) -> None:
        """Keep it for whoever asks."""
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
        """Whether more is asked for."""
        return self.wanted > 0 and self.room > 0

    def answer_get(self, tag: i64, entry: QueueEntry, no_ack: bool) -> None:
        """Not called: it gets nothing but what its consumer does."""

    def cancelled(self, consumer: Consumer) -> None:
        """The queue is gone."""
        self.forget(consumer)
        if self.leased is not None:
            self.leased.end("its queue is gone")


class LeasedConsumer:
    """One, from the beginning until it is `over`, which says why.

    lease_ms: how long nothing may be heard of its client. heard_ms: when something was, on the core's clock.
    attended: who attends, one of the numbers above. on_news: called when a message has come, or it is over, in the
    middle of that: it may only take notes.
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
        """Consume a queue. tag: empty for one that nobody has. prefetch: how many messages may be outstanding.

        Raises: Refusal, as Receiver.consume(), and NOT_ALLOWED where no connection could be opened.
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
        self._returning: i64 = 0  # jobs that give something back
        party.leased = self.receiver.leased = self
        self.broker.connections[party.number] = party
        self.broker.leased += 1
        party.user.connections += 1
        vhost.connections += 1
        self.receiver.start(self.consumer)
        self.heard()

    def end(self, why: str) -> None:
        """It is over: what it holds goes back, marked as redelivered. why: as in "its lease has run out"."""
        if self.over:
            return
        self.over = why
        self._watch.stop()
        party, receiver, consumer = self.party, self.receiver, self.consumer
        consumer.active = False  # it takes nothing of what is put back now
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

    # -- its client

    def heard(self) -> None:
        """The client is there: the lease runs anew."""
        self.heard_ms = self.broker.clock.now_ms
        self._look()

    def attend(self, who: int) -> None:
        """Somebody attends from now on, or nobody does any more. who: one of the numbers above."""
        self.attended = who
        self.heard()

    def ask(self, count: int, size: int) -> None:
        """Let so many messages come, and so many bytes of bodies; 0 for no more."""
        if not self.over:
            self.receiver.wanted = count
            self.receiver.room = size
            if count:
                self.consumer.queue.wake(self.consumer)

    def take(self) -> list[Arrival]:
        """What has come since the last time."""
        receiver = self.receiver
        arrived, receiver.arrived = receiver.arrived, []
        return arrived

    def settle(self, tag: i64, how: int) -> bool:
        """Settle a delivery; how: one of those of settling.py. Returns: whether it was outstanding."""
        receiver = self.receiver
        if not receiver.unacked.has(tag):
            return False
        settle(receiver.unacked.take(tag), how, receiver.counters)
        return True

    def give_back(self, tags: list[int], how: int = REQUEUE) -> int:
        """Let deliveries go back to the queue, as if nobody had got them. Returns: how many were outstanding."""
        unacked = self.receiver.unacked
        entries = [unacked.take(tag) for tag in tags if unacked.has(tag)]
        self._give_back(entries, how)
        return len(entries)

    def outstanding(self) -> list[int]:
        """The tags of what is not settled, in order."""
        return [tag for tag, _ in self.receiver.unacked.outstanding()]

    # -- what the core tells

    def has_got(self, is_first: bool) -> None:
        """A message has come. is_first: nothing was outstanding before."""
        if is_first:
            if self.attended == FOLLOWER:
                self.heard_ms = self.broker.clock.now_ms
            self._look()
        self.on_news()

    def look(self) -> None:
        """See whether its time is up. Called by its watch."""
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
        """Something that was done for it has failed: it ends."""
        self.party.fail(doing, error)

    def given_back(self) -> None:
        """Something that was to go back is back; behind the last of it, nothing more is counted."""
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
        """How long a delivery may be outstanding."""
        own_ms = self.consumer.queue.consumer_timeout_ms()
        return min(own_ms if own_ms >= 0 else self.broker.consumer_timeout_ms or MAX_MS, MAX_MS)

    def _look(self) -> None:
        """Have it looked at when that is due."""
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
    """Calls look() of a consumer when that is due, perhaps earlier."""

    __slots__ = ("_due_ms", "_leased", "_timer")

    def __init__(self, leased: LeasedConsumer) -> None:
        self._leased: LeasedConsumer | None = leased
        self._timer: Timer | None = None
        self._due_ms = 0  # of that timer

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
        """It is over."""
        if self._leased is not None:
            self._leased.broker.timers.cancel(self._timer)
        self._leased = None
        self._timer = None

    def on_timer(self, token: int) -> None:
        """It is due."""
        self._timer = None
        if self._leased is not None:
            self._leased.look()

    def fail(self, doing: str, error: Exception) -> None:
        """The consumer has failed."""
        if self._leased is not None:
            self._leased.fail(doing, error)


class GivingBack(BackgroundJob):
    """Deliveries that go back to their queue in pieces; it delivers nothing meanwhile, so their order is as before."""

    __slots__ = ("_at", "_entries", "_how", "_leased", "_queue")

    def __init__(self, leased: LeasedConsumer, entries: list[QueueEntry], how: int) -> None:
        self._leased = leased
        self._entries = entries
        self._how = how
        self._at = 0
        self._queue = entries[0].queue  # of all of them
        self._queue.pause()

    def work(self) -> bool:
        """Give some back. Returns: whether nothing is left."""
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
        """The consumer has failed; what it holds goes on being given back."""
        self._leased.fail(doing, error)

    def give_up(self) -> None:
        """Whoever waits for it goes on."""
        self._release()

    def _release(self) -> None:
        """All are back in their places."""
        self._queue.resume()
        self._leased.given_back()


def _no_news() -> None:
    """Nobody wants to know."""
