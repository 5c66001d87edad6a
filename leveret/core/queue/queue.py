"""Queue: owns the order of its messages: which are ready or unacknowledged, and which consumer gets the next one.

Between calls: every message is either in `ready` or held by a subscriber; position defines the order; if there is a
ready message and a consumer with room for it, the queue is on the broker's list of dirty queues.
The log only stores messages; a message is confirmed when the log reports that it is durable.

Each command of a client sees the effects of earlier ones, however its bytes arrive: code that examines the queue or
changes its consumers first calls flow(), which delivers messages that consumers wait for. Publishes and acks only mark
the queue; it is pumped at the end of the call, so that many of them share the cost.

Its log may take a while to fetch a paged-out message. Until on_fetched() the head is missing: nothing is delivered or
dropped, and callers that need the head have to wait (NotHereYet, wait_for_log()).
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

PORTIONS: Final = 8  # portions that flow() delivers at most; a consumer with still more room gets the rest later
FORGET: Final = "forget"  # the failed operation on a message, besides the reasons of dead_letter.py


class Queue(BaseQueue):
    """One queue.

    policy, operator_policy: the matching ones; their definitions are in the settings.
    is_fetching: a job fetches more messages into memory. holds: number of pauses in effect.
    retries: returned messages that wait for their delay. in_log: its messages in the log.
    detours: for messages on uncommon paths.
    state: see life.py; fault and deleted tell routing and holders of messages what they need of it.
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
        self._waiting: dict[BackgroundJob, None] | None = None  # jobs that wait for the log to fetch messages
        self.holds: i64 = 0
        # Not part of the state: pending work, which may begin and end in any state.
        self._dirty = False  # it is on the broker's list of dirty queues
        self._is_trimming = False
        self.is_fetching = False
        # Not part of the state either: settings and faults for the hot path; see _read_settings().
        self._keeps_all = is_quorum  # the log stores transient messages too
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
        """Apply new settings: limits drop as much as this turn has room for, and the idle time restarts.

        Messages keep their deadlines. Source: rabbit_amqqueue_process.erl process_args_policy.
        """
        self.settings = settings
        if self.deleted:  # these are for those who look at it
            return
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

    # -- incoming messages

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message. Pay confirm at once, or once the log has a message that must survive a restart.

        A full queue refuses it, or drops messages from its head. If this raises, the message was not taken; hand_out()
        handles the error.
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
                self.flow()  # earlier messages go first, whatever their priority
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
                self.flow()  # to a waiting consumer, before the message expires; with a TTL of 0 now or never
            if expires_now:
                entry.deadline_ms = OVER
        if self._is_limited:
            self._drop_excess()

    def _note_refused(self, message: Message) -> None:
        """Record a publish that the queue refuses."""
        kind = QUEUE_FAULTY if self.fault else QUEUE_FULL
        entry = self.broker.refused.add(self.vhost.name, message.address, kind, self.name, message.size)
        if entry is not None:
            why = f"{self} cannot take it: {self.fault}" if self.deleted else f"{self} is faulty: {self.fault}"
            entry.say(kind, why if self.fault else self._fullness(), message)

    def _fullness(self) -> str:
        """Why it refuses publishes, for the operator."""
        settings = self.settings
        limits = [
            f"{limit} {unit}"
            for limit, unit in ((settings.max_length, "messages"), (settings.max_length_bytes, "bytes"))
            if limit >= 0
        ]
        end = "; this one became a dead letter" if settings.rejects_dead and self._has_letters else ""
        return f"{self} takes no more than {' and '.join(limits)}{end}"

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up. It keeps its old deadline if that is known."""
        self._position = max(self._position, i64(found.position))
        self.in_log.durable = self._position
        self.detours.take_found(self.in_log.found(found))
        self.counters.recovered += 1
        self.touch()

    def rest(self, found: Resting) -> int:
        """Take messages at start-up and leave them paged out. Returns: how many."""
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
        """All messages of the log have been taken; apply the settings, as a policy may have changed meanwhile."""
        self.apply(self.settings)

    def on_durable(self, position: int) -> None:
        """All messages up to this position are in the log."""
        self.in_log.durable = max(self.in_log.durable, i64(position))
        self.broker.budget.retry()
        self._pending.pay(position)
        self.detours.on_durable(position)

    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not store these; their publishers get a nack, and the messages stay in memory only.

        again: they are dropped, except for those that a consumer has or has returned for a retry.
        """
        refused = self.ready.pick(positions)
        if len(self.retries):
            wanted = set(positions)
            refused += [entry for entry in self.retries.items() if entry.position in wanted]
        for entry in refused:
            was_logged = entry.log_id > 0  # and was not only spilled
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
        """Drop a message that the log could not store."""
        self.broker.refusals += 1
        self.counters.removed += 1
        self.forget(entry)

    def _note_unwritten(self, message: Message, again: bool) -> None:
        """Record a publish that the log could not store. again: it has to be published again."""
        entry = self.broker.refused.add(self.vhost.name, message.address, NOT_WRITTEN, self.name, message.size)
        if entry is not None:
            kept = "it has to be published again" if again else f"{self} keeps it in memory until the broker stops"
            entry.say(NOT_WRITTEN, f"it could not be written to the disk; {kept}", message)

    def on_resting(self, position: int) -> None:
        """All spilled messages up to this position are in the log."""
        self.in_log.on_resting(position)

    def on_fetched(self) -> None:
        """The log has fetched messages: continue everything that waited for them."""
        if self.deleted:
            return
        self.touch()
        self.trim_later()
        self.broker.worklist.go_on(self)
        self._end_waiting()

    def wait_for_log(self, job: BackgroundJob) -> None:
        """Continue a job once the log has fetched messages, or the queue has ended."""
        if self._waiting is None:
            self._waiting = {}
        self._waiting[job] = None

    def stop_waiting(self, job: BackgroundJob) -> None:
        """The job no longer waits for the log."""
        if self._waiting is not None:
            self._waiting.pop(job, None)

    def _end_waiting(self) -> None:
        waiting, self._waiting = self._waiting, None
        for job in waiting or ():
            self.broker.background.add(job)

    def on_lost(self, reason: str) -> None:
        """Another node has the queue from now on: this one takes and delivers no messages, and keeps only its name.

        Consumers are cancelled. Publishers are told to send messages again that are not safe yet. Deliveries that
        clients still hold are void; the other node delivers these messages again.
        """
        if self.deleted:
            return
        self._go(TAKEN, reason)
        self._pending.refuse_all()
        self.detours.on_lost(AGAIN)
        self._end()

    def load(self, entry: QueueEntry) -> bool:
        """Fetch the content of a single paged-out message. Returns: whether it could be read; if not, it is lost."""
        return self.in_log.load(entry)

    # -- faults

    def not_taken(self, error: Exception) -> None:
        """Taking a message failed."""
        self.detours.not_taken()
        self.fail("take a message", error)
        self.broker.refusals += 1
        self.counters.refused += 1

    def fail(self, doing: str, error: Exception) -> None:
        """An internal operation of the queue has failed: the queue stops until it is repaired.

        If messages cannot be read from the log now, the queue repairs itself later.
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
        """An operation failed on a message that is neither ready nor held: it waits for repair().

        what: FORGET, RETURN, or the reason why it was to die.
        """
        self.unfinished.append((entry, what))
        self.fail("give back a message" if what == RETURN else "remove a message", error)

    def repair(self) -> None:
        """Repeat what has failed, and continue. If it fails again, the queue becomes faulty again."""
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
            raise lost_queue(self.name, self.vhost.name, self.broker.ownership.home(self.queue_id), self.fault)
        if self.fault:
            raise faulty_queue(self.name, self.vhost.name, self.fault)

    # -- outgoing messages

    def touch(self) -> None:
        """Mark the queue: a change may let messages flow. It is pumped at the end of this call into the broker."""
        if not self._dirty:
            self._dirty = True
            self.broker.dirty.append(self)

    def pump(self) -> None:
        """Deliver ready messages to consumers with room, one each in turn; the rest of many later."""
        self._dirty = False
        if not self.deleted:
            self._give()

    def flow(self) -> None:
        """Deliver what can be delivered, before a client examines the queue or changes its consumers.

        A message that a consumer waits for is never counted, fetched, dropped or expired instead of delivered.
        Cost: nothing if nothing has changed since the last pump(); else one pump(), or several in a large backlog.
        """
        if not self._dirty and not self.is_fetching:
            return
        for _ in range(PORTIONS):
            if (self.is_fetching and not self._fetch_head()) or not self._give():
                break

    def _give(self) -> bool:
        """Deliver a portion. Returns: whether more could be delivered now."""
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
        """As _give(), with a brake, a pause or a fault."""
        if self.holds or self.fault:
            return False
        try:
            return self.detours.give()
        except Exception as error:
            self.fail("deliver messages", error)
            return False

    def deliver(self, portion: i64) -> bool:
        """Deliver some messages, whatever the brake of the queue. Returns: whether more could be delivered now."""
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
        self.flow_control.progress(self.delivered, len(ready))
        if not len(ready):
            return False
        self._expiry.look()
        if left and ready.has_near_head():
            return is_put_off
        self.fetch_later()
        return True

    def _fetch_head(self) -> bool:
        """Fetch the head into memory, with the messages stored beside it in the log. Returns: whether there is one."""
        try:
            return self._has_head()
        except Exception as error:
            self.fail("fetch messages", error)
            return False

    def _has_head(self) -> bool:
        """Whether there is a head, which is then in memory. Raises: Unreadable."""
        try:
            return self.ready.has_head()
        except NotHereYet:
            return False

    def _undelivered(self, consumer: Consumer, entry: QueueEntry, error: Exception) -> None:
        """Handle a consumer that failed to take a message: it gets no more, and its client is closed."""
        consumer.fail("deliver a message", error)
        if consumer.no_ack:
            consumer.counts.take_back(entry.message.size, entry.redelivered)
            self._put_back(entry)
        else:
            self.broker.faults.set_right(Undelivered(consumer, entry))

    def trim(self) -> None:
        """Drop more messages that have expired or exceed a limit."""
        self._is_trimming = False
        self.flow()
        self._expiry.look()
        self._drop_excess()
        self.touch()

    def trim_later(self) -> None:
        """Drop more in the background: one call had too much to drop."""
        if not self._is_trimming:
            self._is_trimming = True
            self.broker.background.add(Trim(self))

    def fetch_later(self) -> None:
        """Continue soon, in a background job: many queues may need this at once, and it takes milliseconds."""
        if not self.is_fetching:
            self.is_fetching = True
            self.broker.background.add(Fetching(self))

    def fetch(self) -> None:
        """Fetch the head into memory, with the messages stored beside it in the log, and deliver."""
        self.is_fetching = False
        if not self.deleted and self._has_head():
            self.touch()

    def clear_head(self) -> bool:
        """Drop expired messages from the head, before a client takes it.

        Returns: whether none is left there; if one is, more calls are needed. Raises: as get().
        """
        if self.durable and self.broker.is_suspended:
            raise NotHereYet("this node may not own the queue any more")
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
        """Take the head for basic.get, after clear_head(); the caller settles it, with no_ack at once.

        Returns: None when there is none, or deliveries are limited now.
        Raises: Refusal FAULTY when the queue is faulty, or has just become so. NotHereYet.
        """
        entry = self._take(0, no_ack) if self.detours.may_get() else None
        if entry is None:
            self.counters.get_empty += 1
        else:
            self.detours.got()
        return entry

    def take_at(self, position: i64) -> QueueEntry | None:
        """Take the ready message with this position; the caller settles it, as after get().

        Returns: None when it is not ready, has expired, or cannot be read any more. Raises: as get().
        Cost: that of Ready.take_at().
        """
        self.flow()
        self.check_fault()
        self._expiry.used()
        return self._take(position, False) if position > 0 else None

    def _take(self, position: i64, no_ack: bool) -> QueueEntry | None:
        """Take a message for a caller that settles it, with no_ack at once. position: 0 for the head."""
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
        """A message taken from the middle; None if it has expired and is given up."""
        if entry is None or not entry.deadline_ms or entry.deadline_ms > self.broker.clock.now_ms:
            return entry
        self.broker.budget.release(entry.message)
        self.broker.share.left -= self.giving_up(entry.message)
        self.counters.expired += 1
        self.die(entry, EXPIRED)
        return None

    def settle(self, entry: QueueEntry) -> None:
        """An unacknowledged message is acknowledged."""
        self._release(entry)
        if self._forgets_easily:
            if entry.log_id:
                self._remove(entry)
        elif not self.deleted:
            self.forget(entry)

    def requeue(self, entry: QueueEntry, failed: bool) -> None:
        """Requeue an unacknowledged message at its old place, marked as redelivered, perhaps after a delay.

        failed: whether this counts for the delivery limit, which may remove the message.
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
        except Exception as error:  # it is requeued without the count
            self.broker.faults.own("count the deliveries of a message", error)
        delay_ms = self._retry_delay_ms(entry, failed)
        if delay_ms:
            self.retries.add(entry, delay_ms)
        else:
            self._put_back(entry)
        self._drop_excess()

    def let_in(self, entry: QueueEntry) -> None:
        """A held message is due: it goes to its place in the order."""
        try:
            self.ready.put_back(entry)
        except Exception as error:
            self.leave(entry, RETURN, error)
        self.touch()

    def look(self) -> None:
        """Drop expired messages from the head, as many as this turn has room for."""
        self._expiry.look()

    def take_back(self, entry: QueueEntry) -> None:
        """A returned message has waited for its delay: it goes to its old place."""
        self._put_back(entry)

    def _put_back(self, entry: QueueEntry) -> None:
        entry.redelivered = True
        try:
            self.ready.put_back(entry)
        except Exception as error:
            self.leave(entry, RETURN, error)
        self.touch()

    def pause(self) -> None:
        """Deliver nothing, and enforce no length limit, until resume(): many messages are about to return.

        This is not the pause of an operator; see Brake.
        """
        self.holds += 1
        self._is_braked = True

    def resume(self) -> None:
        """Continue, unless another pause() is in effect."""
        self.holds -= 1
        self._read_settings()
        if not self.deleted and not self.holds:
            self.touch()
            self._drop_excess()

    def discard(self, entry: QueueEntry) -> None:
        """An unacknowledged message was rejected without requeue."""
        self.counters.rejected += 1
        if entry.consumer is not None:
            entry.consumer.counts.rejected += 1
        self._release(entry)
        if not self.deleted:
            self.die(entry, REJECTED)

    def die(self, entry: QueueEntry, reason: str) -> None:
        """Give up a message: drop or dead-letter it. reason: one of those of dead_letter.py."""
        self.detours.gone(entry.position)
        if self.vhost.observer is not None:
            self._show_death(entry, reason)
        if not self._has_letters:
            self.forget(entry)
        else:
            self.broker.worklist.add(self, entry, reason)
            self.counters.count_letter(reason, self.settings.at_least_once)

    def _show_death(self, entry: QueueEntry, reason: str) -> None:
        """Show the observer a message that is given up."""
        observer = self.vhost.observer
        if observer is not None:
            try:
                observer.on_death(entry, reason)
            except Exception as error:
                self.broker.faults.own(WATCH, error)

    def forget(self, entry: QueueEntry) -> None:
        """Remove a message from the log and from deduplication."""
        self.detours.gone(entry.position)
        if entry.log_id:
            self._remove(entry)

    def _remove(self, entry: QueueEntry) -> None:
        """Remove a message from the log."""
        try:
            self.log.remove(int(entry.log_id), int(entry.position))
        except Exception as error:
            self.leave(entry, FORGET, error)

    def purge(self) -> int:
        """Drop all messages that are ready, wait for a retry, or are held until their time. Returns: how many."""
        self.flow()
        waiting = self.retries.take()
        held = self.detours.purge(waiting)
        line, self.ready = self.ready, self._line()
        count = len(line) + len(waiting) + (0 if held is None else len(held))
        self.counters.removed += count
        self.broker.background.begin(Discard(self.broker, self, line, waiting, held))
        return count

    def drop_held(self, place: int) -> bool:
        """Drop a held message. place: of Holding. Returns: whether it was there."""
        entry = self.detours.take_held(place) if place else None
        if entry is None:
            return False
        self.counters.removed += 1
        self.forget(entry)
        return True

    def browse(self, page: Page, is_backwards: bool = False) -> None:
        """Show the ready messages behind the place of a page, in the order of delivery. Nothing changes.

        is_backwards: those before it, in the reverse order. Raises: Unreadable, NotHereYet.
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
        """Take a ready message that browse() has shown; forget() or return_unused() must follow in the same call.

        Returns: None when it is not ready any more, or has just expired. Raises: Refusal FAULTY.
        Cost: that of Ready.take_at().
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

        A restart undoes this. Returns: whether there was room; None when it is not ready any more, or has just expired.
        Raises: Refusal FAULTY.
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
        """Return a message from take_out() to its old place, unchanged."""
        self.ready.put_back(entry)
        self.touch()

    def unacknowledged(self) -> list[Held]:
        """The unacknowledged deliveries of the queue. Cost: a pass over all those of its virtual host."""
        return [held for client in self.broker.clients(self.vhost) for held in client.held(self)]

    # -- paging

    def page_out(self, keep: i64, want: i64) -> None:
        """Page out what is behind the head, if the log has it.

        keep: bytes of memory that the head may need. want: bytes of the budget to free.
        """
        if not self.detours.deduplicates():
            self.ready.page_out(keep, want)

    def leave_content(self, entry: QueueEntry) -> bool:
        """Page out the content of an unacknowledged message, if the log has it and no observer needs it.

        Returns: False if the message is on its way to the log and can be paged out later, else True.
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
        """Add a consumer."""
        self.flow()
        self._expiry.used()
        consumer.window.cap(self.settings.max_prefetch)
        self.consumers.add(consumer)
        self.vhost.consumers += 1
        self.touch()

    def unsubscribe(self, consumer: Consumer) -> None:
        """Remove a consumer; with the last one, an auto-delete queue is deleted."""
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
        """A consumer may have room again: put it in turn, unless it shares its window with others that wait too."""
        shared = consumer.shared
        if shared.limit and consumer.parked and consumer.active:
            shared.wait(consumer)
            shared.share()
        else:
            self._put_in_turn(consumer)
        if len(self.ready):
            self.touch()

    def set_prefetch(self, consumer: Consumer, limit: i64) -> None:
        """Set the prefetch of an existing consumer, up to the cap; 0 for no limit. It keeps its deliveries."""
        consumer.window.asked = limit
        self._cap(consumer)

    def _cap(self, consumer: Consumer) -> None:
        consumer.window.cap(self.settings.max_prefetch)
        if consumer.parked:
            self.wake(consumer)

    def wake_all(self, consumers: list[Consumer]) -> None:
        """The shared window of these consumers has room, and it is their turn."""
        for consumer in consumers:
            self._put_in_turn(consumer)
        if len(self.ready):
            self.touch()

    def _put_in_turn(self, consumer: Consumer) -> None:
        if self._dirty and consumer.parked:
            self.flow()  # to those that had room before
        self.consumers.wake(consumer)

    def used(self) -> None:
        """A client declared the queue again: its idle time restarts."""
        self._expiry.used()

    def remove(self) -> int:
        """Delete the queue: cancel consumers, drop messages, pay waiting confirms.

        Returns: how many messages were ready.
        """
        count = len(self.ready)
        if self.state != LOST:
            try:
                self.in_log.drop()
            except Exception as error:  # deleted anyway; its messages return in a queue for recovered messages
                self.broker.faults.tell(str(self), "let the log forget it", error)
        self._go(REMOVED, "")
        self._end()
        self.end_counters()
        self.on_durable(int(self._position))
        return count

    def displace(self) -> int:
        """As remove(), for a queue whose place another one takes: publishers must send again what is not safe yet."""
        self._pending.refuse_all()
        self.detours.on_lost(AGAIN)
        return self.remove()

    def end_counters(self) -> None:
        """It counts no more: its virtual host gets its counts."""
        self.counters.removed += self.unacked
        total, past = self.total(), self.vhost.past
        past.of_type(self.settings.queue_type).add(total)
        self.counters.end(total, past.queues)
        self.unacked = 0
        self.unacked_bytes = 0

    def _end(self) -> None:
        """Drop messages, cancel consumers, and stop."""
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
        """The queue has ended: drop the references to it from timers and lines."""
        self._expiry.stop()
        self.retries.stop()
        self.detours.stop()
        self.ready.clear()
        self.in_log.stop()

    # -- inside

    def _go(self, event: int, fault: str) -> None:
        """Change the state. fault: why the queue takes no messages; empty if it does."""
        self.state = LIFE.follow(int(self.state), event)
        self.fault = fault
        self.deleted = self.state == LOST or self.state == DELETED
        self._read_settings()

    def _line(self) -> Ready:
        """An empty line for ready messages."""
        if self.settings.max_priority >= 0:
            return PriorityReady(max(self.settings.max_priority, 1), self.broker.budget, self.in_log)
        return Ready(self.broker.budget, self.in_log)

    def _release(self, entry: QueueEntry) -> None:
        """Take an unacknowledged message from its holder, which may have room for another one now."""
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
        """Cache the settings that the hot path needs."""
        settings = self.settings
        self._looks_inside = settings.message_ttl_ms >= 0 or settings.max_priority >= 0
        self._is_limited = settings.max_length >= 0 or settings.max_length_bytes >= 0
        detours = self.detours
        self._may_divert = self.fault != "" or (self._is_limited and settings.rejects) or detours.looks_at_all()
        self._is_braked = self.holds > 0 or self.fault != "" or detours.slows()
        self._forgets_easily = not self.deleted and detours.duplicates is None
        self._has_letters = settings.dead_letter_exchange is not None

    def _heed_settings(self) -> None:
        """Apply the settings to all parts."""
        is_empty = not (len(self.ready) or len(self.retries) or self.unacked)
        self.detours.heed(0 if is_empty else self._position)
        self._read_settings()
        for consumer in list(self.consumers.all):
            self._cap(consumer)

    def _diverts(self, message: Message, confirm: Confirm | None) -> bool:
        """Whether a message is not added to the line: it is a duplicate, refused, or held until its time."""
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
        """Take a message that is held until this time, when its time to live begins."""
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
        """Whether it takes a message: it is neither faulty nor full."""
        if self.fault:
            return False
        if not (self._is_limited and self.settings.rejects):
            return True
        self.flow()
        return self._has_room(message)

    def _is_over(self, more: i64, more_bytes: i64) -> bool:
        """Whether the waiting messages, the dead letters that must arrive, and so many more exceed a limit.

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
        """Whether a queue that rejects publishes at its limit has room for a message, after deliveries to consumers."""
        if not self._is_over(1, message.size):
            return True
        if self.settings.rejects_dead:
            self.die(QueueEntry(message, self, 0, 0), MAXLEN)
        return False

    def _drop_excess(self) -> None:
        """Drop messages above a limit from the head, after deliveries to consumers; not too many at once.

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
            self.fail("drop messages above a limit", error)

    def _pop_oldest(self) -> QueueEntry | None:
        """Take the message to drop at a limit: the head, or if none is ready, the held message that is due first.

        Returns: None when there is neither, or the head is still being fetched.
        """
        if self._has_head():
            return self.ready.pop()
        return None if len(self.ready) else self.detours.take_held(0)

    def _has_failed_too_often(self, entry: QueueEntry) -> bool:
        """Count a failed delivery. Returns: whether the message has reached the delivery limit, and was removed.

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
        """The delay of a returned message in milliseconds; 0 for none. failed: it counts for the delivery limit.

        The more deliveries have failed, the longer. Source: rabbit_fifo.erl (should_delay, calculate_ready_at).
        """
        settings = self.settings
        if not (settings.delays_failed if failed else settings.delays_returned):
            return 0
        return min(settings.retry_min_ms * max(int(entry.failures), 1), settings.retry_max_ms)

    def _read_properties(self, entry: QueueEntry) -> bool:
        """Set the deadline and the priority of a message.

        Returns: whether it expires at once unless a consumer waits for it.
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
