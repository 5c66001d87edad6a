"""Queue: the owner of order. What is ready, what is unacknowledged, who gets the next message.

Between calls: every message is in `ready` or held by a subscriber, never both; position decides the order; if there
is a ready message and a consumer that can take it, the queue is on the broker's list of dirty queues.
The log behind it only remembers; a message is confirmed when the log says that it is durable.

What a client sends later sees what came before, however its bytes arrive: whoever looks at the queue or changes its
consumers lets flow() first what a consumer waits for. Publishes and acks only mark the queue, which is pumped at the
end of the call, so that many of them share the cost.

A queue whose own work fails is faulty: it takes and gives no message, and says why, until somebody has it repaired.
What it could not finish with waits for that, and persistent messages are in the log in any case.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.errors import hints
from leveret.core.errors.amqp import faulty_queue, locked_queue
from leveret.core.message.message import Message, Stored
from leveret.core.policy.arguments import QUORUM, QueueSettings
from leveret.core.policy.checks import expiration_error
from leveret.core.ports import Confirm, Recovered, Resting, Unreadable
from leveret.core.queue import limits
from leveret.core.queue.browsing import Page
from leveret.core.queue.consumers import Consumer, Consumers
from leveret.core.queue.dead_letter import EXPIRED, REJECTED
from leveret.core.queue.discard import Litter, trim_later
from leveret.core.queue.expiry import OVER, Expiry
from leveret.core.queue.fetching import fetch_later
from leveret.core.queue.in_log import InLog
from leveret.core.queue.pending_confirms import Unsafe
from leveret.core.queue.priority import PriorityReady
from leveret.core.queue.ready import Ready, may_rest
from leveret.core.queue.retries import Retries
from leveret.core.turn.faults import sentence
from leveret.core.turn.flow_control import Pace
from leveret.core.turn.work import PIECE, giving_up
from leveret.wire import patch
from leveret.wire.content import EXPIRATION_FLAG, property_flags
from leveret.wire.fields import Table

if TYPE_CHECKING:
    from leveret.core.errors.hints import Origin
    from leveret.core.exchange.exchange import Binding
    from leveret.core.policy.policy import Policy
    from leveret.core.vhost import VirtualHost


PORTION: Final = 2 * PIECE  # messages that are delivered at once: a millisecond or two
PORTIONS: Final = 8  # that flow while somebody waits to look; a consumer that could take still more gets it later
FORGET: Final = "forget"  # what a queue could not do with a message, beside the reasons of dead_letter.py
RETURN: Final = "return"


class Queue:
    """One queue.

    queue_id: its name in the logs. owner: the connection's number if exclusive, else 0.
    unacked: messages that subscribers hold. delivered: messages ever sent or fetched.
    letters: dead ones that must arrive elsewhere, and have not; letter_bytes: of their bodies.
    is_trimming, is_fetching: a chore of litter.py or fetching.py goes on.
    holds: how many want nothing to be delivered for now.
    retries: messages that came back and have to wait. in_log: what the log has of it.
    policy, operator_policy: those that apply; what they say is in the settings.
    fault: why it is faulty, empty when it is not. unfinished: messages of which something failed, and what.
    """

    def __init__(
        self,
        vhost: VirtualHost,
        name: str,
        queue_id: int,
        durable: bool,
        owner: int,
        auto_delete: bool,
        arguments: Table,
        origin: Origin,
    ) -> None:
        self.vhost = vhost
        self.broker = vhost.broker
        self.origin = origin
        self.name = name
        self.queue_id = queue_id
        self.durable = durable
        self.owner = owner
        self.auto_delete = auto_delete
        self.arguments = arguments
        self.settings = QueueSettings(arguments, {})
        self.policy: Policy | None = None
        self.operator_policy: Policy | None = None
        self.bindings: dict[Binding, None] = {}
        self.consumers = Consumers(self.settings.single_active, self.settings.queue_type == QUORUM)
        self.in_log = InLog(self)
        self.ready = self._line()
        self.retries = Retries(self)
        self.unacked: i64 = 0
        self.letters: i64 = 0
        self.letter_bytes: i64 = 0
        self.delivered: i64 = 0
        self.pace = Pace()
        self.deleted = False
        self._position: i64 = 0
        self._keeps_all = self.settings.queue_type == QUORUM  # transient messages too
        self.fault = ""
        self.unfinished: list[tuple[Stored, str]] = []
        self._looks_inside = False
        self._is_limited = False
        self._may_refuse = False
        self._read_settings()
        self._dirty = False
        self._unsafe = Unsafe()
        self.is_trimming = False
        self.is_fetching = False
        self.holds: i64 = 0
        self._expiry = Expiry(self)
        self._expiry.watch_idle()

    def check_owner(self, owner: int) -> None:
        """Raises: AmqpError 405 when the queue is exclusive to another connection."""
        if self.owner and self.owner != owner:
            raise locked_queue(self.name, self.vhost.name, hints.locked(self.origin, True))

    def apply(self, settings: QueueSettings) -> None:
        """Take other settings at once: limits drop as much as this turn has room for, and the idle time starts anew.

        A message keeps the deadline that it came with. Source: rabbit_amqqueue_process.erl process_args_policy.
        """
        self.settings = settings
        self._read_settings()
        self._expiry.used()
        self._expiry.watch_idle()
        share = self.broker.share
        if share.left <= 0 and self._is_limited:
            trim_later(self)
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
        if self._may_refuse and not self._takes(message):
            self.broker.refusals += 1
            if confirm is not None:
                confirm.refuse()
            return
        if not message.arrived_ms:
            message.arrived_ms = self.broker.clock.wall_ms
        position = self._position + 1
        self._position = position
        logged = self.durable and (message.persistent or self._keeps_all)
        stored = Stored(message, self, position, self.queue_id if logged else 0)
        expires_now = False
        looks_inside = self._looks_inside or property_flags(message.content) & EXPIRATION_FLAG != 0
        if looks_inside:
            expires_now = self._read_properties(stored)
            if self._dirty and self.consumers.all:
                self.flow()  # what came before goes before, whatever its priority
        if logged:
            self.in_log.append(stored)
        self.ready.push(stored)
        if confirm is not None:
            if logged:
                self._unsafe.add(position, confirm)
            else:
                confirm.pay()
        if not self._dirty:
            self.touch()
        if looks_inside and stored.deadline_ms:
            if self.consumers.all:
                self.flow()  # to one that waits: before it expires, and with a TTL of 0 now or never
            if expires_now:
                stored.deadline_ms = OVER
        if self._is_limited:
            self._drop_excess()

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up. Its deadline is the old one if it is known."""
        self._position = max(self._position, i64(found.position))
        self.in_log.durable = self._position
        self.ready.push(self.in_log.found(found))
        self.touch()

    def rest(self, found: Resting) -> int:
        """Take messages at start-up and leave them in the log. Returns: how many."""
        self._position = max(self._position, found.last)
        self.in_log.durable = self._position
        run = self.in_log.run(found)
        self.ready.rest(run, found.level)
        self.touch()
        return int(run.count)

    def on_durable(self, position: int) -> None:
        """The log has everything up to this position."""
        self.in_log.durable = max(self.in_log.durable, i64(position))
        self.broker.budget.retry()
        self._unsafe.pay(position)

    def on_refused(self, positions: list[int]) -> None:
        """The log could not take these; their publishers hear a nack, the messages stay as transient ones."""
        refused = self.ready.pick(positions)
        if len(self.retries):
            wanted = set(positions)
            refused += [stored for stored in self.retries.items() if stored.position in wanted]
        for stored in refused:
            stored.log_id = 0
        self._unsafe.refuse(positions)

    # -- faults

    def fail(self, doing: str, error: Exception) -> None:
        """Something that the queue did for itself has failed: it does nothing more until it is repaired.

        If messages cannot be read from the log now, that is tried again by itself.
        """
        if self.deleted or self.fault:
            return
        self.fault = f"cannot {doing}: {sentence(error)}"
        self._may_refuse = True
        if isinstance(error, Unreadable):
            self.broker.faults.own(f"read messages of {self}", error)
            self._expiry.repair_later()
        else:
            self.broker.faults.tell(str(self), doing, error)

    def leave(self, stored: Stored, what: str, error: Exception) -> None:
        """Something could not be done with a message that nobody holds and that is not ready: it waits for repair().

        what: FORGET, RETURN, or the reason why it was to die.
        """
        self.unfinished.append((stored, what))
        self.fail("give back a message" if what == RETURN else "remove a message", error)

    def repair(self) -> None:
        """Try again what has failed, and go on. What fails again makes the queue faulty again."""
        self.fault = ""
        self._read_settings()
        unfinished, self.unfinished = self.unfinished, []
        for stored, what in unfinished:
            if what == RETURN:
                self._put_back(stored)
            elif what == FORGET:
                self.forget(stored)
            else:
                self.die(stored, what)
        self.retries.watch()
        self.touch()
        self.flow()

    def check_fault(self) -> None:
        """Raises: AmqpError 541 for the channel when the queue is faulty."""
        if self.fault:
            raise faulty_queue(self.name, self.vhost.name, self.fault)

    def __str__(self) -> str:
        return f"queue '{self.name}' in vhost '{self.vhost.name}'"

    # -- messages go out

    def touch(self) -> None:
        """Something changed that may let messages flow: look at it at the end of this call into the broker."""
        if not self._dirty:
            self._dirty = True
            self.broker.dirty.append(self)

    def pump(self) -> None:
        """Give ready messages to the consumers that can take them, one each in turn, and the rest of many later."""
        self._dirty = False
        self._give()

    def flow(self) -> None:
        """Let flow what can flow, before somebody looks at the queue or changes its consumers.

        A message that a consumer waits for is never counted, fetched, dropped or expired instead of delivered.
        Cost: nothing if nothing has changed since the last pump(); else that, or some of them where much flows.
        """
        if not self._dirty and not self.is_fetching:
            return
        for _ in range(PORTIONS):
            if self.is_fetching:
                self._fetch_head()
            if not self._give():
                break

    def _give(self) -> bool:
        """Deliver a portion. Returns: whether there is more that could be delivered now."""
        if self.holds or self.fault:
            return False
        try:
            if not self.consumers.all:
                self._expiry.look()
                return False
            return self._deliver()
        except Exception as error:
            self.fail("deliver messages", error)
            return False

    def _deliver(self) -> bool:
        ready = self.ready
        consumers = self.consumers
        budget = self.broker.budget
        logged: i64 = 0
        share = self.broker.share
        is_put_off = False
        left: i64 = PORTION
        while left and ready.has_near_head():
            consumer = consumers.next()
            if consumer is None:
                break
            stored = ready.take()
            if stored.deadline_ms and stored.deadline_ms < self.broker.clock.now_ms:
                budget.let_go(stored.message)
                share.left -= giving_up(self, stored.message)
                self.die(stored, EXPIRED)
                if share.left <= 0:
                    trim_later(self)
                    is_put_off = True
                    break
                continue
            left -= 1
            try:
                if consumer.no_ack:
                    budget.let_go(stored.message)
                    consumer.subscriber.deliver(consumer, stored)
                    self.forget(stored)
                else:
                    if stored.log_id > 0 and stored.position > logged:
                        logged = stored.position
                    consumer.window.used += 1
                    consumer.shared.used += 1
                    stored.consumer = consumer
                    self.unacked += 1
                    consumer.subscriber.deliver(consumer, stored)
            except Exception as error:
                self._undelivered(consumer, stored, error)
        self.delivered += PORTION - left
        if logged:
            self.broker.log.delivered(self.queue_id, int(logged))
        self.pace.progress(self.delivered, len(ready))
        if not len(ready):
            return False
        self._expiry.look()
        if left and ready.has_near_head():
            return is_put_off
        fetch_later(self)
        return True

    def _fetch_head(self) -> None:
        """Bring the head into memory, with what rests beside it in the log."""
        try:
            self.ready.has_head()
        except Exception as error:
            self.fail("fetch messages", error)

    def _undelivered(self, consumer: Consumer, stored: Stored, error: Exception) -> None:
        """A consumer failed to take a message: it gets no more, and its client is closed."""
        consumer.fail("deliver a message", error)
        if consumer.no_ack:
            self._put_back(stored)
        else:
            self.broker.faults.undelivered(consumer, stored)

    def trim(self) -> None:
        """Throw away more of what has expired or is too much."""
        self.is_trimming = False
        self.flow()
        self._expiry.look()
        self._drop_excess()
        self.touch()

    def clear_head(self) -> bool:
        """Drop expired messages from the head, since somebody is about to take it.

        Returns: whether none is left there; more calls are needed if one is. Raises: as get().
        """
        self.flow()
        self.check_fault()
        self._expiry.used()
        try:
            return self._expiry.look()
        except Exception as error:
            self.fail("fetch a message", error)
            self.check_fault()
            raise

    def get(self) -> Stored | None:
        """Take the head for basic.get, behind clear_head(); the caller settles it, or releases it at once with no_ack.

        Raises: AmqpError 541 for the channel when the queue is faulty, or has just become so.
        """
        stored: Stored | None = None
        try:
            if self.ready.has_head():
                stored = self.ready.take()
                self._expiry.look()
                if stored.log_id > 0:
                    self.broker.log.delivered(self.queue_id, int(stored.position))
        except Exception as error:
            if stored is not None:
                self.broker.budget.let_go(stored.message)
                self._put_back(stored)
            self.fail("fetch a message", error)
            self.check_fault()
        if stored is not None:
            self.delivered += 1
            self.unacked += 1
        return stored

    def settle(self, stored: Stored) -> None:
        """An unacknowledged message is done with."""
        self._release(stored)
        if not self.deleted:
            self.forget(stored)

    def requeue(self, stored: Stored, failed: bool) -> None:
        """An unacknowledged message goes back to its old place, marked as redelivered, perhaps after a while.

        failed: whether this counts for the delivery limit, which may end the message.
        """
        self._release(stored)
        if self.deleted:
            return
        try:
            if failed and limits.fail(stored):
                return
            self.in_log.count(stored, failed)
        except Exception as error:  # it goes back without
            self.broker.faults.own("count the deliveries of a message", error)
        delay_ms = limits.retry_delay_ms(stored, failed)
        if delay_ms:
            self.retries.add(stored, delay_ms)
        else:
            self._put_back(stored)
        self._drop_excess()

    def take_back(self, stored: Stored) -> None:
        """A message that came back has waited long enough: it goes to its old place."""
        self._put_back(stored)

    def _put_back(self, stored: Stored) -> None:
        stored.redelivered = True
        try:
            self.ready.put_back(stored)
        except Exception as error:
            self.leave(stored, RETURN, error)
        self.touch()

    def pause(self) -> None:
        """Deliver nothing, and drop nothing that is too much, until resume(): many messages are about to come back."""
        self.holds += 1

    def resume(self) -> None:
        """Go on, if nobody else wants a pause."""
        self.holds -= 1
        if not self.deleted and not self.holds:
            self.touch()
            self._drop_excess()

    def discard(self, stored: Stored) -> None:
        """An unacknowledged message was rejected."""
        self._release(stored)
        if not self.deleted:
            self.die(stored, REJECTED)

    def die(self, stored: Stored, reason: str) -> None:
        """A message is given up. reason: one of those of dead_letter.py."""
        if self.settings.dead_letter_exchange is None:
            self.forget(stored)
        else:
            self.broker.worklist.add(stored, reason)

    def forget(self, stored: Stored) -> None:
        """Nothing has to remember this message any longer."""
        if stored.log_id:
            try:
                self.broker.log.remove(int(stored.log_id), int(stored.position))
            except Exception as error:
                self.leave(stored, FORGET, error)

    def purge(self) -> int:
        """Drop everything that is ready, or waits to be delivered again. Returns: how many."""
        self.flow()
        line, self.ready = self.ready, self._line()
        waiting = self.retries.take()
        count = len(line) + len(waiting)
        self.broker.chores.begin(Litter(self, line, waiting))
        return count

    def browse(self, page: Page) -> None:
        """Show what is ready behind the place of a page, in the order in which it would go. Nothing changes."""
        if page.until < 0:
            page.until = self._position
        page.is_last = self.ready.browse(page)

    # -- messages rest in the log

    def page_out(self, keep: i64, want: i64) -> None:
        """Leave what is behind the head to the log, if it rests there.

        keep: bytes of memory that the head may need. want: bytes of the budget that should be free afterwards.
        """
        self.ready.page_out(keep, want)

    def leave_content(self, stored: Stored) -> bool:
        """Leave the content of an unacknowledged message to the log, if it rests there and nobody watches.

        Returns: whether that can be said now: what is on its way to the log can rest later.
        """
        if self.deleted or self.vhost.witness is not None or not may_rest(stored):
            return True
        if not self.in_log.extent(stored):
            return False
        self.broker.budget.rest(stored)
        return True

    # -- consumers

    def subscribe(self, consumer: Consumer) -> None:
        """A consumer begins."""
        self.flow()
        self._expiry.used()
        self.consumers.add(consumer)
        self.touch()

    def unsubscribe(self, consumer: Consumer) -> None:
        """A consumer ends; the last one takes an auto-delete queue with it."""
        self.flow()
        self.consumers.remove(consumer)
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
        self.deleted = True
        line, self.ready = self.ready, Ready(self.broker.budget)
        waiting = self.retries.take()
        count = len(line)
        consumers = self.consumers.all
        self.consumers = Consumers(False)
        try:
            self.in_log.drop()
        except Exception as error:  # it is gone all the same; its messages come back in a queue for what was salvaged
            self.broker.faults.tell(str(self), "let the log forget it", error)
        self.stop()
        self.broker.chores.begin(Litter(self, line, waiting))
        for consumer in consumers:
            consumer.parked = True
            consumer.active = False
            consumer.shared.forget(consumer)
            try:
                consumer.subscriber.cancelled(consumer)
            except Exception as error:
                consumer.subscriber.fail("cancel a consumer", error)
        self.unacked = 0
        self.on_durable(int(self._position))
        return count

    def stop(self) -> None:
        """The queue has ended: no timer and no line holds on to it."""
        self._expiry.stop()
        self.retries.stop()
        self.ready.clear()
        self.in_log.stop()

    # -- inside

    def _line(self) -> Ready:
        """An empty line for what is ready."""
        if self.settings.max_priority >= 0:
            return PriorityReady(max(self.settings.max_priority, 1), self.broker.budget, self.in_log)
        return Ready(self.broker.budget, self.in_log)

    def _release(self, stored: Stored) -> None:
        """An unacknowledged message leaves its holder, who may have room for another now."""
        self.unacked -= 1
        self.broker.budget.let_go(stored.message)
        consumer = stored.consumer
        if consumer is not None:
            stored.consumer = None
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
        self._may_refuse = self.fault != "" or (self._is_limited and settings.rejects)

    def _takes(self, message: Message) -> bool:
        """Whether it takes a message at all: it is neither faulty nor full."""
        if self.fault:
            return False
        self.flow()
        return limits.has_room(self, message)

    def _drop_excess(self) -> None:
        if self._is_limited and not self.settings.rejects and not self.holds:
            try:
                limits.drop_excess(self)
            except Exception as error:
                self.fail("drop what is too much", error)

    def _read_properties(self, stored: Stored) -> bool:
        """Note when a message expires, and its priority. Returns: whether it does so unless a consumer waits for it.

        Source: rabbit_amqqueue_process.erl (attempt_delivery comes before drop_expired_msgs).
        """
        ttl_ms: i64 = self.settings.message_ttl_ms
        content = stored.message.content
        expiration = patch.expiration(content)
        if expiration is not None:
            text = expiration.decode("utf-8", "surrogateescape")
            if expiration_error(text) is None:
                own_ms: i64 = int(text)
                ttl_ms = own_ms if ttl_ms < 0 else min(ttl_ms, own_ms)
        if ttl_ms >= 0:
            stored.deadline_ms = max(self.broker.clock.now_ms + ttl_ms, 1)
        if self.settings.max_priority >= 0:
            stored.level = min(patch.priority(content), max(self.settings.max_priority, 1))
        return ttl_ms == 0
