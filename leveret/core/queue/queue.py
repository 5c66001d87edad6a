"""Queue: the owner of order. What is ready, what is unacknowledged, who gets the next message.

Between calls: every message is in `ready` or held by a subscriber, never both; position decides the order; if there
is a ready message and a consumer that can take it, the queue is on the broker's list of dirty queues.
The log behind it only remembers; a message is confirmed when the log says that it is durable.

What a client sends later sees what came before, however its bytes arrive: whoever looks at the queue or changes its
consumers lets flow() first what a consumer waits for. Publishes and acks only mark the queue, which is pumped at the
end of the call, so that many of them share the cost.

Its log may take a while to bring a message that rests there. Until on_fetched() the head is not here yet: nothing is
delivered or dropped, and whoever asks for the head has to wait (NotHereYet, wait_for_log()).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.errors import diagnostics
from leveret.core.errors.diagnostics import Origin
from leveret.core.errors.refusals import faulty_queue, locked_queue, lost_queue
from leveret.core.message.confirm import AGAIN, DEAD, FULL, UNSAFE, Confirm
from leveret.core.message.log import NotHereYet, Recovered, Resting, Unreadable
from leveret.core.message.message import Message
from leveret.core.message.refused import NOT_WRITTEN, QUEUE_FAULTY, QUEUE_FULL
from leveret.core.policy.arguments import QUORUM, QueueSettings
from leveret.core.policy.checks import expiration_error
from leveret.core.policy.policy import Policy
from leveret.core.queue.base import BaseQueue
from leveret.core.queue.browsing import TOP, Page
from leveret.core.queue.client import WATCH, Held
from leveret.core.queue.consumers import Consumer, Consumers
from leveret.core.queue.dead_letter import DELIVERY_LIMIT, EXPIRED, MAXLEN, REJECTED
from leveret.core.queue.detours import PORTION, RETURN, Detours
from leveret.core.queue.discard import Discard
from leveret.core.queue.entry import FAILURE, MAX_FAILURES, Home, QueueEntry
from leveret.core.queue.expiry import OVER, Expiry
from leveret.core.queue.front import FrontReady
from leveret.core.queue.in_log import InLog
from leveret.core.queue.jobs import Fetching, Trim, Undelivered
from leveret.core.queue.life import DELETED, FAILED, LIFE, LOST, REMOVED, REPAIRED, RUNNING, TAKEN
from leveret.core.queue.pending_confirms import PendingConfirms
from leveret.core.queue.priority import PriorityReady
from leveret.core.queue.ready import Ready, may_rest
from leveret.core.queue.retries import Retries
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.faults import sentence
from leveret.core.turn.work import PIECE
from leveret.wire import patch
from leveret.wire.content import EXPIRATION_FLAG, property_flags
from leveret.wire.fields import Table

PORTIONS: Final = 8  # that flow while somebody waits to look; a consumer that could take still more gets it later
FORGET: Final = "forget"  # what a queue could not do with a message, beside the reasons of dead_letter.py


class Queue(BaseQueue):
    """One queue.

    policy, operator_policy: those that apply; what they say is in the settings.
    is_fetching: a job brings more into memory. holds: how many want nothing to be delivered for now.
    retries: messages that came back and have to wait. in_log: what the log has of it.
    detours: for messages that do not go the usual way.
    state: see life.py; what routing and holders of messages have to know of it is in fault and deleted.
    """

    def __init__(
        self,
        vhost: Home,
        broker: Surroundings,
        name: str,
        queue_id: int,
        durable: bool,
        owner: int,
        auto_delete: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        super().__init__(vhost, broker, name, queue_id, durable, owner, auto_delete, arguments, origin)
        self.state: i64 = RUNNING
        self.policy: Policy | None = None
        self.operator_policy: Policy | None = None
        is_quorum = self.settings.queue_type == QUORUM
        self.consumers = Consumers(self.settings.single_active, is_quorum)
        self.in_log = InLog(self)
        self.ready = self._line()
        self.retries = Retries(self)
        self._position: i64 = 0
        self._pending = PendingConfirms()
        self.detours = Detours(self, self._pending)
        self._waiting: dict[BackgroundJob, None] | None = None  # for what the log fetches
        self.holds: i64 = 0
        # No states: what is on its way for it, which may begin and end in any state.
        self._dirty = False  # it is on the broker's list
        self._is_trimming = False
        self.is_fetching = False
        # No states either: what the hot path has to know of settings and fault; see _read_settings().
        self._keeps_all = is_quorum  # transient messages too
        self._looks_inside = False
        self._is_limited = False
        self._may_divert = False
        self._is_braked = False
        self._forgets_easily = False
        self._has_letters = False
        self._expiry = Expiry(self)
        self._heed_settings()
        self._expiry.watch_idle()

    def check_owner(self, owner: int) -> None:
        """Raises: Refusal LOCKED when the queue is exclusive to another connection."""
        if self.owner and self.owner != owner:
            raise locked_queue(self.name, self.vhost.name, diagnostics.locked(self.origin, True))

    def apply(self, settings: QueueSettings) -> None:
        """Take other settings at once: limits drop as much as this turn has room for, and the idle time starts anew.

        A message keeps the deadline that it came with. Source: rabbit_amqqueue_process.erl process_args_policy.
        """
        self.settings = settings
        self._heed_settings()
        self._expiry.used()
        self._expiry.watch_idle()
        share = self.broker.share
        if share.left <= 0 and self._is_limited:
            self.trim_later()
            return
        before = len(self.ready)
        self._drop_excess()
        share.left -= before - len(self.ready)

    # -- messages come in

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message. confirm is paid at once, or when the log has it if it must survive a restart.

        A full queue refuses it, or drops from its head. Whatever this raises, the message was not taken; that is dealt
        with by hand_out().
        """
        if self._may_divert and self._diverts(message, confirm):
            return
        if not message.arrived_ms:
            message.arrived_ms = self.broker.clock.wall_ms
        position = self._position + 1
        self._position = position
        logged = self.durable and (message.persistent or self._keeps_all)
        entry = QueueEntry(message, self, position, self.queue_id if logged else 0)
        expires_now = False
        looks_inside = self._looks_inside or property_flags(message.content) & EXPIRATION_FLAG != 0
        if looks_inside:
            expires_now = self._read_properties(entry)
            if self._dirty and self.consumers.all:
                self.flow()  # what came before goes before, whatever its priority
        if logged:
            self.in_log.append(entry)
        self.ready.push(entry)
        counters = self.counters
        counters.published += 1
        counters.bytes_in += message.size
        if confirm is not None:
            if logged:
                self._pending.add(position, confirm)
            else:
                confirm.pay()
        if not self._dirty:
            self.touch()
        if looks_inside and entry.deadline_ms:
            if self.consumers.all:
                self.flow()  # to one that waits: before it expires, and with a TTL of 0 now or never
            if expires_now:
                entry.deadline_ms = OVER
        if self._is_limited:
            self._drop_excess()

    def _note_refused(self, message: Message) -> None:
        """Let it be known who has published what the queue does not take."""
        kind = QUEUE_FAULTY if self.fault else QUEUE_FULL
        entry = self.broker.refused.add(self.vhost.name, message.address, kind, self.name, message.size)
        if entry is not None:
            entry.say(kind, f"{self} is faulty: {self.fault}" if self.fault else self._fullness(), message)

    def _fullness(self) -> str:
        """Why it refuses what comes in, for people."""
        settings = self.settings
        limits = [
            f"{limit} {unit}"
            for limit, unit in ((settings.max_length, "messages"), (settings.max_length_bytes, "bytes"))
            if limit >= 0
        ]
        end = "; this one became a dead letter" if settings.rejects_dead and self._has_letters else ""
        return f"{self} takes no more than {' and '.join(limits)}{end}"

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up. Its deadline is the old one if it is known."""
        self._position = max(self._position, i64(found.position))
        self.in_log.durable = self._position
        self.detours.take_found(self.in_log.found(found))
        self.counters.recovered += 1
        self.touch()

    def rest(self, found: Resting) -> int:
        """Take messages at start-up and leave them in the log. Returns: how many."""
        if self.detours.looks_at_all():
            return self.detours.take_resting(found)
        self._position = max(self._position, found.last)
        self.in_log.durable = self._position
        run = self.in_log.run(found)
        self.ready.rest(run, found.level)
        self.counters.recovered += run.count
        self.touch()
        return int(run.count)

    def recovered(self) -> None:
        """All have been taken that the log kept; a policy may have come while they were not there."""
        self.apply(self.settings)

    def on_durable(self, position: int) -> None:
        """The log has everything up to this position."""
        self.in_log.durable = max(self.in_log.durable, i64(position))
        self.broker.budget.retry()
        self._pending.pay(position)
        self.detours.on_durable(position)

    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not take these; their publishers hear a nack, the messages stay as transient ones.

        again: they do not stay, but for those that somebody has already, or waits to get once more.
        """
        refused = self.ready.pick(positions)
        if len(self.retries):
            wanted = set(positions)
            refused += [entry for entry in self.retries.items() if entry.position in wanted]
        for entry in refused:
            was_logged = entry.log_id > 0  # and was not there only to rest
            entry.log_id = 0
            if was_logged:
                self._note_unwritten(entry.message, again)
            if again and was_logged and self.ready.take_at(entry.position) is entry:
                self.broker.budget.release(entry.message)
                self._unsaved(entry)
        how = AGAIN if again else UNSAFE
        for entry in self.detours.on_refused(positions, again, how):
            self._unsaved(entry)
        self._pending.refuse(positions, how)

    def _unsaved(self, entry: QueueEntry) -> None:
        """A message that the log could not take is not to stay."""
        self.broker.refusals += 1
        self.counters.removed += 1
        self.forget(entry)

    def _note_unwritten(self, message: Message, again: bool) -> None:
        """Let it be known who has published what the log could not take. again: it has to be published again."""
        entry = self.broker.refused.add(self.vhost.name, message.address, NOT_WRITTEN, self.name, message.size)
        if entry is not None:
            kept = "it has to be published again" if again else f"{self} has it only until the broker ends"
            entry.say(NOT_WRITTEN, f"it could not be written to the disk; {kept}", message)

    def on_resting(self, position: int) -> None:
        """The log has everything that is there to rest up to this position."""
        self.in_log.on_resting(position)

    def on_fetched(self) -> None:
        """What was not here yet is here: go on with all that waited for it."""
        if self.deleted:
            return
        self.touch()
        self.trim_later()
        self.broker.worklist.go_on(self)
        self._end_waiting()

    def wait_for_log(self, job: BackgroundJob) -> None:
        """Let a job go on once the log has brought what is not here yet, or the queue has ended."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[job] = None

    def stop_waiting(self, job: BackgroundJob) -> None:
        """It does not wait for the log any more."""
        if self._waiting is not None:
            self._waiting.pop(job, None)

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        for job in waiting or ():
            self.broker.background.add(job)

    def on_lost(self, reason: str) -> None:
        """Another node has the queue from now on: here it gives and takes nothing, and ends but for its name.

        Consumers are told. Publishers hear that what was not safe yet has to be sent again. What clients have is not
        theirs any more, and comes again from who has the queue now.
        """
        if self.deleted:
            return
        self._go(TAKEN, reason)
        self._pending.refuse_all()
        self.detours.on_lost(AGAIN)
        self._end()

    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single message that rests. Returns: whether it could be read, or is gone."""
        return self.in_log.load(entry)

    # -- faults

    def not_taken(self, error: Exception) -> None:
        """A message could not be taken."""
        self.detours.not_taken()
        self.fail("take a message", error)
        self.broker.refusals += 1
        self.counters.refused += 1

    def fail(self, doing: str, error: Exception) -> None:
        """Something that the queue did for itself has failed: it does nothing more until it is repaired.

        If messages cannot be read from the log now, that is tried again by itself.
        """
        if self.state != RUNNING:
            return
        self._go(FAILED, f"cannot {doing}: {sentence(error)}")
        if isinstance(error, Unreadable):
            self.broker.faults.own(f"read messages of {self}", error)
            self._expiry.repair_later()
        else:
            self.broker.faults.tell(str(self), doing, error)

    def leave(self, entry: QueueEntry, what: str, error: Exception) -> None:
        """Something could not be done with a message that nobody holds and that is not ready: it waits for repair().

        what: FORGET, RETURN, or the reason why it was to die.
        """
        self.unfinished.append((entry, what))
        self.fail("give back a message" if what == RETURN else "remove a message", error)

    def repair(self) -> None:
        """Try again what has failed, and go on. What fails again makes the queue faulty again."""
        if self.deleted:
            return
        self._go(REPAIRED, "")
        unfinished, self.unfinished = self.unfinished, []
        for entry, what in unfinished:
            if what == RETURN:
                self._put_back(entry)
            elif what == FORGET:
                self.forget(entry)
            else:
                self.die(entry, what)
        self.retries.watch()
        self.detours.watch()
        self.touch()
        self.flow()

    def check_fault(self) -> None:
        """Raises: Refusal FAULTY, or UNKNOWN when the queue is lost."""
        if self.state == LOST:
            raise lost_queue(self.name, self.vhost.name, self.fault)
        if self.fault:
            raise faulty_queue(self.name, self.vhost.name, self.fault)

    # -- messages go out

    def touch(self) -> None:
        """Something changed that may let messages flow: look at it at the end of this call into the broker."""
        if not self._dirty:
            self._dirty = True
            self.broker.dirty.append(self)

    def pump(self) -> None:
        """Give ready messages to the consumers that can take them, one each in turn, and the rest of many later."""
        self._dirty = False
        if not self.deleted:
            self._give()

    def flow(self) -> None:
        """Let flow what can flow, before somebody looks at the queue or changes its consumers.

        A message that a consumer waits for is never counted, fetched, dropped or expired instead of delivered.
        Cost: nothing if nothing has changed since the last pump(); else that, or some of them where much flows.
        """
        if not self._dirty and not self.is_fetching:
            return
        for _ in range(PORTIONS):
            if (self.is_fetching and not self._fetch_head()) or not self._give():
                break

    def _give(self) -> bool:
        """Deliver a portion. Returns: whether there is more that could be delivered now."""
        if self._is_braked:
            return self._give_braked()
        try:
            if not self.consumers.all:
                self._expiry.look()
                return False
            return self.deliver(PORTION)
        except Exception as error:
            self.fail("deliver messages", error)
            return False

    def _give_braked(self) -> bool:
        """As _give(), where not everything may go."""
        if self.holds or self.fault:
            return False
        try:
            return self.detours.give()
        except Exception as error:
            self.fail("deliver messages", error)
            return False

    def deliver(self, portion: i64) -> bool:
        """Deliver some messages, whatever brakes the queue. Returns: whether more could be delivered now."""
        ready = self.ready
        consumers = self.consumers
        budget = self.broker.budget
        logged: i64 = 0
        share = self.broker.share
        is_put_off = False
        left = portion
        while left and ready.has_near_head():
            consumer = consumers.next()
            if consumer is None:
                break
            entry = ready.take()
            if entry.deadline_ms and entry.deadline_ms < self.broker.clock.now_ms:
                budget.release(entry.message)
                share.left -= self.giving_up(entry.message)
                self.counters.expired += 1
                self.die(entry, EXPIRED)
                if share.left <= 0:
                    self.trim_later()
                    is_put_off = True
                    break
                continue
            left -= 1
            counts = consumer.counts
            counts.delivered += 1
            counts.bytes_out += entry.message.size
            if entry.redelivered:
                counts.redelivered += 1
            try:
                if consumer.no_ack:
                    budget.release(entry.message)
                    consumer.subscriber.deliver(consumer, entry)
                    if not self._forgets_easily:
                        self.forget(entry)
                    elif entry.log_id:
                        self._remove(entry)
                else:
                    if entry.log_id > 0 and entry.position > logged:
                        logged = entry.position
                    consumer.window.used += 1
                    consumer.shared.used += 1
                    entry.consumer = consumer
                    self.unacked += 1
                    self.unacked_bytes += entry.message.size
                    consumer.subscriber.deliver(consumer, entry)
            except Exception as error:
                self._undelivered(consumer, entry, error)
        self.delivered += portion - left
        if logged:
            self.log.delivered(self.queue_id, int(logged))
        self.pace.progress(self.delivered, len(ready))
        if not len(ready):
            return False
        self._expiry.look()
        if left and ready.has_near_head():
            return is_put_off
        self.fetch_later()
        return True

    def _fetch_head(self) -> bool:
        """Bring the head into memory, with what rests beside it in the log. Returns: whether there is one now."""
        try:
            return self._has_head()
        except Exception as error:
            self.fail("fetch messages", error)
            return False

    def _has_head(self) -> bool:
        """Whether there is a head, and it is in memory now. Raises: Unreadable."""
        try:
            return self.ready.has_head()
        except NotHereYet:
            return False

    def _undelivered(self, consumer: Consumer, entry: QueueEntry, error: Exception) -> None:
        """A consumer failed to take a message: it gets no more, and its client is closed."""
        consumer.fail("deliver a message", error)
        if consumer.no_ack:
            consumer.counts.take_back(entry.message.size, entry.redelivered)
            self._put_back(entry)
        else:
            self.broker.faults.set_right(Undelivered(consumer, entry))

    def trim(self) -> None:
        """Throw away more of what has expired or is too much."""
        self._is_trimming = False
        self.flow()
        self._expiry.look()
        self._drop_excess()
        self.touch()

    def trim_later(self) -> None:
        """One call was not enough for what has to go from the queue."""
        if not self._is_trimming:
            self._is_trimming = True
            self.broker.background.add(Trim(self))

    def fetch_later(self) -> None:
        """Go on soon: many may want that at once, and it takes milliseconds."""
        if not self.is_fetching:
            self.is_fetching = True
            self.broker.background.add(Fetching(self))

    def fetch(self) -> None:
        """Bring the head into memory, with what rests beside it in the log, and let it flow."""
        self.is_fetching = False
        if not self.deleted and self._has_head():
            self.touch()

    def clear_head(self) -> bool:
        """Drop expired messages from the head, since somebody is about to take it.

        Returns: whether none is left there; more calls are needed if one is. Raises: as get().
        """
        self.flow()
        self.check_fault()
        self._expiry.used()
        try:
            return self._expiry.clear() and not self.detours.holds_head()
        except NotHereYet:
            raise
        except Exception as error:
            self.fail("fetch a message", error)
            self.check_fault()
            raise

    def get(self, no_ack: bool = False) -> QueueEntry | None:
        """Take the head for basic.get, behind clear_head(); the caller settles it, with no_ack at once.

        Returns: None when there is none, or nothing may go now.
        Raises: Refusal FAULTY when the queue is faulty, or has just become so. NotHereYet.
        """
        entry = self._take(0, no_ack) if self.detours.may_get() else None
        if entry is None:
            self.counters.get_empty += 1
        else:
            self.detours.got()
        return entry

    def take_at(self, position: i64) -> QueueEntry | None:
        """Take the message with this position from among those that are ready; the caller settles it, as behind get().

        Returns: None when it is not ready, has expired, or cannot be read any more. Raises: as get().
        Cost: that of Ready.take_at().
        """
        self.flow()
        self.check_fault()
        self._expiry.used()
        return self._take(position, False) if position > 0 else None

    def _take(self, position: i64, no_ack: bool) -> QueueEntry | None:
        """Take a message for somebody who settles it, with no_ack at once. position: 0 for the head."""
        entry: QueueEntry | None = None
        try:
            if position:
                entry = self._unexpired(self.ready.take_at(position))
            elif self.ready.has_head():
                entry = self.ready.take()
            self._expiry.look()
            if entry is not None and entry.log_id > 0:
                self.log.delivered(self.queue_id, int(entry.position))
        except NotHereYet:
            raise
        except Exception as error:
            if entry is not None:
                self.broker.budget.release(entry.message)
                self._put_back(entry)
            self.fail("fetch a message", error)
            self.check_fault()
        if entry is not None:
            self.delivered += 1
            self.unacked += 1
            counters = self.counters
            self.unacked_bytes += entry.message.size
            counters.bytes_out += entry.message.size
            if entry.redelivered:
                counters.redelivered += 1
            if no_ack:
                counters.got_no_ack += 1
            else:
                counters.got += 1
        return entry

    def _unexpired(self, entry: QueueEntry | None) -> QueueEntry | None:
        """What was taken from the middle, unless it has expired there, and dies."""
        if entry is None or not entry.deadline_ms or entry.deadline_ms > self.broker.clock.now_ms:
            return entry
        self.broker.budget.release(entry.message)
        self.broker.share.left -= self.giving_up(entry.message)
        self.counters.expired += 1
        self.die(entry, EXPIRED)
        return None

    def settle(self, entry: QueueEntry) -> None:
        """An unacknowledged message is done with."""
        self._release(entry)
        if self._forgets_easily:
            if entry.log_id:
                self._remove(entry)
        elif not self.deleted:
            self.forget(entry)

    def requeue(self, entry: QueueEntry, failed: bool) -> None:
        """An unacknowledged message goes back to its old place, marked as redelivered, perhaps after a while.

        failed: whether this counts for the delivery limit, which may end the message.
        """
        self.counters.requeued += 1
        if entry.consumer is not None:
            entry.consumer.counts.requeued += 1
        self._release(entry)
        if self.deleted:
            return
        try:
            if failed and self._has_failed_too_often(entry):
                return
            self.in_log.count(entry, failed)
        except Exception as error:  # it goes back without
            self.broker.faults.own("count the deliveries of a message", error)
        delay_ms = self._retry_delay_ms(entry, failed)
        if delay_ms:
            self.retries.add(entry, delay_ms)
        else:
            self._put_back(entry)
        self._drop_excess()

    def let_in(self, entry: QueueEntry) -> None:
        """A message was held until its time, which has come: it goes to the place that it would have had."""
        try:
            self.ready.put_back(entry)
        except Exception as error:
            self.leave(entry, RETURN, error)
        self.touch()

    def look(self) -> None:
        """Drop what has expired at the head, as much as this turn has room for."""
        self._expiry.look()

    def take_back(self, entry: QueueEntry) -> None:
        """A message that came back has waited long enough: it goes to its old place."""
        self._put_back(entry)

    def _put_back(self, entry: QueueEntry) -> None:
        entry.redelivered = True
        try:
            self.ready.put_back(entry)
        except Exception as error:
            self.leave(entry, RETURN, error)
        self.touch()

    def pause(self) -> None:
        """Deliver nothing, and drop nothing that is too much, until resume(): many messages are about to come back.

        Not what an operator calls a paused queue; see Brake.
        """
        self.holds += 1
        self._is_braked = True

    def resume(self) -> None:
        """Go on, if nobody else wants a pause."""
        self.holds -= 1
        self._read_settings()
        if not self.deleted and not self.holds:
            self.touch()
            self._drop_excess()

    def discard(self, entry: QueueEntry) -> None:
        """An unacknowledged message was rejected."""
        self.counters.rejected += 1
        if entry.consumer is not None:
            entry.consumer.counts.rejected += 1
        self._release(entry)
        if not self.deleted:
            self.die(entry, REJECTED)

    def die(self, entry: QueueEntry, reason: str) -> None:
        """A message is given up. reason: one of those of dead_letter.py."""
        self.detours.gone(entry.position)
        if self.vhost.observer is not None:
            self._show_death(entry, reason)
        if not self._has_letters:
            self.forget(entry)
        else:
            self.broker.worklist.add(self, entry, reason)
            self.counters.count_letter(reason, self.settings.at_least_once)

    def _show_death(self, entry: QueueEntry, reason: str) -> None:
        """Let the observer see a message that is given up."""
        observer = self.vhost.observer
        if observer is not None:
            try:
                observer.on_death(entry, reason)
            except Exception as error:
                self.broker.faults.own(WATCH, error)

    def forget(self, entry: QueueEntry) -> None:
        """Nothing has to remember this message any longer."""
        self.detours.gone(entry.position)
        if entry.log_id:
            self._remove(entry)

    def _remove(self, entry: QueueEntry) -> None:
        """The log has to forget this message."""
        try:
            self.log.remove(int(entry.log_id), int(entry.position))
        except Exception as error:
            self.leave(entry, FORGET, error)

    def purge(self) -> int:
        """Drop everything that is ready, waits to be delivered again, or is held until its time. Returns: how many."""
        self.flow()
        waiting = self.retries.take()
        held = self.detours.purge(waiting)
        line, self.ready = self.ready, self._line()
        count = len(line) + len(waiting) + (0 if held is None else len(held))
        self.counters.removed += count
        self.broker.background.begin(Discard(self.broker, self, line, waiting, held))
        return count

    def drop_held(self, place: int) -> bool:
        """Throw away a message that waits for its time. place: of Holding. Returns: whether it was there."""
        entry = self.detours.take_held(place) if place else None
        if entry is None:
            return False
        self.counters.removed += 1
        self.forget(entry)
        return True

    def browse(self, page: Page, is_backwards: bool = False) -> None:
        """Show what is ready behind the place of a page, in the order in which it would go. Nothing changes.

        is_backwards: in front of it, in the reverse order. Raises: Unreadable, NotHereYet.
        """
        if page.until < 0:
            page.until = self._position
        has_front = isinstance(self.ready, FrontReady)
        if is_backwards:
            if page.level != TOP:
                page.position = min(page.position, page.until + 1)
            page.is_last = (page.level == TOP and not has_front) or self.ready.browse_back(page)
        else:
            if page.level == TOP and not has_front:
                page.level, page.position = TOP - 1, 0
            page.is_last = self.ready.browse(page)

    def take_out(self, shown: QueueEntry) -> QueueEntry | None:
        """Take a message out of the ready ones that browse() has shown; in the same call, forget() or return_unused()
        follow. Returns: None when it is not ready any more, or has just expired. Raises: Refusal FAULTY.

        Cost: as that of Ready.take_at().
        """
        self.flow()
        self.check_fault()
        entry = self.ready.take_at(shown.position, shown)
        if entry is None:
            return None
        self.broker.budget.release(entry.message)
        self.touch()  # there may be another head, which expires at another time
        if entry.deadline_ms and entry.deadline_ms <= self.broker.clock.now_ms:
            self.broker.share.left -= self.giving_up(entry.message)
            self.counters.expired += 1
            self.die(entry, EXPIRED)
            return None
        return entry

    def put_in_front(self, shown: QueueEntry) -> bool | None:
        """Put a message that browse() has shown in front of all others, behind those that were put there before.

        It is not kept over a restart. Returns: whether there was room; None when it is not ready any more, or has just
        expired. Raises: Refusal FAULTY.
        """
        entry = self.take_out(shown)
        if entry is None:
            return None
        ready = self.ready
        if not isinstance(ready, FrontReady):
            ready = self.ready = FrontReady(ready, self.broker.budget)
        if ready.put_in_front(entry):
            return True
        self.return_unused(entry)
        return False

    def return_unused(self, entry: QueueEntry) -> None:
        """A message that take_out() has taken goes to its old place, as it was."""
        self.ready.put_back(entry)
        self.touch()

    def unacknowledged(self) -> list[Held]:
        """Who holds messages of it that wait for an ack. Cost: a look at all that wait in its virtual host."""
        return [held for client in self.broker.clients(self.vhost) for held in client.held(self)]

    # -- messages rest in the log

    def page_out(self, keep: i64, want: i64) -> None:
        """Leave what is behind the head to the log, if it rests there.

        keep: bytes of memory that the head may need. want: bytes of the budget that should be free afterwards.
        """
        if not self.detours.deduplicates():
            self.ready.page_out(keep, want)

    def leave_content(self, entry: QueueEntry) -> bool:
        """Leave the content of an unacknowledged message to the log, if it rests there and no observer needs it.

        Returns: whether that can be said now: what is on its way to the log can rest later.
        """
        observer = self.vhost.observer
        if self.deleted or (observer is not None and observer.needs_contents) or not may_rest(entry):
            return True
        if self.detours.deduplicates():
            return True
        if not self.in_log.extent(entry):
            return False
        entry.message = self.broker.budget.rest(entry.message)
        return True

    # -- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """A consumer begins."""
        self.flow()
        self._expiry.used()
        consumer.window.cap(self.settings.max_prefetch)
        self.consumers.add(consumer)
        self.vhost.consumers += 1
        self.touch()

    def unsubscribe(self, consumer: Consumer) -> None:
        """A consumer ends; the last one takes an auto-delete queue with it."""
        self.flow()
        self.consumers.remove(consumer)
        self.vhost.consumers -= 1
        self.counters.end_consumer(consumer.counts)
        self._expiry.used()
        self._expiry.watch_idle()
        if self.auto_delete and not self.consumers.all and not self.deleted:
            self.vhost.remove_queue(self)
        else:
            self.touch()

    def wake(self, consumer: Consumer) -> None:
        """A consumer may have room again: it is in turn, if it does not share its window with others that wait too."""
        shared = consumer.shared
        if shared.limit and consumer.parked and consumer.active:
            shared.wait(consumer)
            shared.share()
        else:
            self._put_in_turn(consumer)
        if len(self.ready):
            self.touch()

    def set_prefetch(self, consumer: Consumer, limit: i64) -> None:
        """Let a consumer that is there have another window, capped as any; 0 for no limit. It loses nothing it has."""
        consumer.window.asked = limit
        self._cap(consumer)

    def _cap(self, consumer: Consumer) -> None:
        consumer.window.cap(self.settings.max_prefetch)
        if consumer.parked:
            self.wake(consumer)

    def wake_all(self, consumers: list[Consumer]) -> None:
        """There is room in the window that these share, and it is their turn."""
        for consumer in consumers:
            self._put_in_turn(consumer)
        if len(self.ready):
            self.touch()

    def _put_in_turn(self, consumer: Consumer) -> None:
        if self._dirty and consumer.parked:
            self.flow()  # to those who had room before
        self.consumers.wake(consumer)

    def used(self) -> None:
        """Somebody declared the queue again: its idle time starts anew."""
        self._expiry.used()

    def remove(self) -> int:
        """The queue is deleted: consumers are told, messages are gone, confirms that wait are paid.

        Returns: how many messages were ready.
        """
        count = len(self.ready)
        if self.state != LOST:
            try:
                self.in_log.drop()
            except Exception as error:  # it is gone all the same; its messages come back in a queue for what was saved
                self.broker.faults.tell(str(self), "let the log forget it", error)
        self._go(REMOVED, "")
        self._end()
        self.counters.removed += self.unacked
        total, past = self.total(), self.vhost.past
        past.of_type(self.settings.queue_type).add(total)
        self.counters.end(total, past.queues)
        self.unacked = 0
        self.unacked_bytes = 0
        self.on_durable(int(self._position))
        return count

    def _end(self) -> None:
        """Messages go, consumers are told, and nothing more happens."""
        waiting = self.retries.take()
        held = self.detours.purge([])
        line, self.ready = self.ready, Ready(self.broker.budget)
        counters = self.counters
        counters.removed += len(line) + len(waiting) + (0 if held is None else len(held))
        consumers = self.consumers.all
        self.consumers = Consumers(False)
        self.vhost.consumers -= len(consumers)
        self.stop()
        self.unfinished.clear()
        self.broker.background.begin(Discard(self.broker, self, line, waiting, held))
        self.broker.worklist.go_on(self)
        self._end_waiting()
        for consumer in consumers:
            counters.end_consumer(consumer.counts)
            consumer.parked = True
            consumer.active = False
            consumer.shared.forget(consumer)
            try:
                consumer.subscriber.cancelled(consumer)
            except Exception as error:
                consumer.subscriber.fail("cancel a consumer", error)

    def stop(self) -> None:
        """The queue has ended: no timer and no line holds on to it."""
        self._expiry.stop()
        self.retries.stop()
        self.detours.stop()
        self.ready.clear()
        self.in_log.stop()

    # -- inside

    def _go(self, event: int, fault: str) -> None:
        """Change the state. fault: why the queue takes nothing, if it takes nothing."""
        self.state = LIFE.follow(int(self.state), event)
        self.fault = fault
        self.deleted = self.state == LOST or self.state == DELETED
        self._read_settings()

    def _line(self) -> Ready:
        """An empty line for what is ready."""
        if self.settings.max_priority >= 0:
            return PriorityReady(max(self.settings.max_priority, 1), self.broker.budget, self.in_log)
        return Ready(self.broker.budget, self.in_log)

    def _release(self, entry: QueueEntry) -> None:
        """An unacknowledged message leaves its holder, who may have room for another now."""
        self.unacked -= 1
        self.unacked_bytes -= entry.message.size
        self.broker.budget.release(entry.message)
        consumer = entry.consumer
        if consumer is not None:
            entry.consumer = None
            consumer.window.used -= 1
            shared = consumer.shared
            shared.used -= 1
            if consumer.parked:
                self.wake(consumer)
            if shared.limit:
                shared.share()

    def _read_settings(self) -> None:
        """Note what the hot path asks of the settings."""
        settings = self.settings
        self._looks_inside = settings.message_ttl_ms >= 0 or settings.max_priority >= 0
        self._is_limited = settings.max_length >= 0 or settings.max_length_bytes >= 0
        detours = self.detours
        self._may_divert = self.fault != "" or (self._is_limited and settings.rejects) or detours.looks_at_all()
        self._is_braked = self.holds > 0 or self.fault != "" or detours.slows()
        self._forgets_easily = not self.deleted and detours.duplicates is None
        self._has_letters = settings.dead_letter_exchange is not None

    def _heed_settings(self) -> None:
        """Let all parts follow the settings."""
        is_empty = not (len(self.ready) or len(self.retries) or self.unacked)
        self.detours.heed(0 if is_empty else self._position)
        self._read_settings()
        for consumer in list(self.consumers.all):
            self._cap(consumer)

    def _diverts(self, message: Message, confirm: Confirm | None) -> bool:
        """Whether a message does not go into the line: it is known already, refused, or held until its time."""
        detours = self.detours
        duplicates = detours.duplicates
        value = None if duplicates is None else duplicates.value(message)
        if detours.is_known(value, message, confirm):
            return True
        if not self._takes(message):
            self.broker.refusals += 1
            self.counters.refused += 1
            self._note_refused(message)
            if confirm is not None:
                confirm.refuse(AGAIN if self.fault else DEAD if self.settings.rejects_dead else FULL)
            return True
        position = self._position + 1
        if duplicates is not None and value is not None:
            duplicates.claim(value, position)
        due_ms = detours.due_ms(message, position)
        if due_ms:
            self._hold(message, confirm, due_ms)
        return due_ms > 0

    def _hold(self, message: Message, confirm: Confirm | None, due_ms: int) -> None:
        """Take a message that waits until this time, from when on it has its time to live."""
        clock, holding = self.broker.clock, self.detours.holding
        assert holding is not None
        if not message.arrived_ms:
            message.arrived_ms = clock.wall_ms
        self._position += 1
        logged = self.durable and (message.persistent or self._keeps_all)
        entry = QueueEntry(message, self, self._position, self.queue_id if logged else 0)
        self._read_properties(entry)
        if entry.deadline_ms:
            entry.deadline_ms += due_ms - clock.today_ms
        if logged:
            self.in_log.append(entry)
        holding.add(entry, due_ms)
        self.counters.published += 1
        self.counters.bytes_in += message.size
        if confirm is not None:
            if logged:
                self._pending.add(entry.position, confirm)
            else:
                confirm.pay()
        if self._is_limited:
            self._drop_excess()

    def _takes(self, message: Message) -> bool:
        """Whether it takes a message at all: it is neither faulty nor full."""
        if self.fault:
            return False
        if not (self._is_limited and self.settings.rejects):
            return True
        self.flow()
        return self._has_room(message)

    def _is_over(self, more: i64, more_bytes: i64) -> bool:
        """Whether the messages that wait, the dead letters that must arrive, and so many more, exceed a limit.

        Source: rabbit_fifo.erl is_over_limit.
        """
        settings = self.settings
        if settings.max_length >= 0:
            count: i64 = len(self.ready) + len(self.retries) + self.detours.held() + self.letters
            if count + more > settings.max_length:
                return True
        size: i64 = self.ready.size + self.retries.size + self.detours.held_bytes() + self.letter_bytes
        return settings.max_length_bytes >= 0 and size + more_bytes > settings.max_length_bytes

    def _has_room(self, message: Message) -> bool:
        """Whether a queue that refuses what is too much takes this message; consumers have had their chance."""
        if not self._is_over(1, message.size):
            return True
        if self.settings.rejects_dead:
            self.die(QueueEntry(message, self, 0, 0), MAXLEN)
        return False

    def _drop_excess(self) -> None:
        """Drop from the head what is too much, once consumers have had their chance; not too much at once.

        Source: rabbit_amqqueue_process.erl maybe_drop_head.
        """
        if not self._is_limited or self.settings.rejects or self.holds:
            return
        try:
            if self._is_over(0, 0):
                self.flow()
                left: i64 = PIECE
                while self._is_over(0, 0):
                    if left <= 0:
                        self.trim_later()
                        return
                    entry = self._pop_oldest()
                    if entry is None:
                        return
                    left -= self.giving_up(entry.message)
                    self.counters.dropped += 1
                    self.die(entry, MAXLEN)
        except Exception as error:
            self.fail("drop what is too much", error)

    def _pop_oldest(self) -> QueueEntry | None:
        """Take what goes first when there is too much: the head, or if nothing is ready what would be there first.

        Returns: None when there is neither, or the head is not here yet.
        """
        if self._has_head():
            return self.ready.pop()
        return None if len(self.ready) else self.detours.take_held(0)

    def _has_failed_too_often(self, entry: QueueEntry) -> bool:
        """Count a delivery that failed. Returns: whether the message had its last chance, and is gone.

        Source: rabbit_fifo.erl (delivery limit).
        """
        if entry.failures < MAX_FAILURES:
            entry.counts += FAILURE
        limit = self.settings.delivery_limit
        if limit < 0 or int(entry.failures) <= limit:
            return False
        self.counters.exhausted += 1
        self.die(entry, DELIVERY_LIMIT)
        return True

    def _retry_delay_ms(self, entry: QueueEntry, failed: bool) -> int:
        """How long a message has to wait that came back; 0 for not at all. failed: it counts for the delivery limit.

        The more deliveries have failed, the longer. Source: rabbit_fifo.erl (should_delay, calculate_ready_at).
        """
        settings = self.settings
        if not (settings.delays_failed if failed else settings.delays_returned):
            return 0
        return min(settings.retry_min_ms * max(int(entry.failures), 1), settings.retry_max_ms)

    def _read_properties(self, entry: QueueEntry) -> bool:
        """Note when a message expires, and its priority. Returns: whether it does so unless a consumer waits for it.

        Source: rabbit_amqqueue_process.erl (attempt_delivery comes before drop_expired_msgs).
        """
        ttl_ms: i64 = self.settings.message_ttl_ms
        content = entry.message.content
        expiration = patch.expiration(content)
        if expiration is not None:
            text = expiration.decode("utf-8", "surrogateescape")
            if expiration_error(text) is None:
                own_ms: i64 = int(text)
                ttl_ms = own_ms if ttl_ms < 0 else min(ttl_ms, own_ms)
        if ttl_ms >= 0:
            entry.deadline_ms = max(self.broker.clock.now_ms + ttl_ms, 1)
        if self.settings.max_priority >= 0:
            entry.level = min(patch.priority(content), max(self.settings.max_priority, 1))
        return ttl_ms == 0
