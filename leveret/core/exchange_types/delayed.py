"""x-delayed-message: an exchange that routes a message after the delay in its header x-delay, in milliseconds.

Until then the exchange stores the message in a hidden queue. If the exchange is durable, every delayed message
survives a restart, whatever its delivery mode, and is confirmed when it is safe; messages that became due while the
broker was down are sent at once. A due message is routed by the bindings of that moment, with x-delay negated, and is
deleted from the log when all queues that got it have it safe. A queue that refuses it because it is full gets it
later, unless the refused message became a dead letter.
Source: rabbit_exchange_type_delayed_message.erl, rabbit_delayed_message.erl of the community plugin.
"""

from __future__ import annotations

from collections import deque
from typing import Final, cast

from mypy_extensions import i64

from leveret.core.errors.bounds import DELAY_MS
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange.interceptor import Interceptor
from leveret.core.message import schedule
from leveret.core.message.budget import Holder
from leveret.core.message.confirm import AGAIN, FULL, UNSAFE, Confirm, ConfirmListener
from leveret.core.message.cost import freeing, sending
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.log import Logged, NotHereYet, Recovered, Resting
from leveret.core.message.message import Message
from leveret.core.message.refused import QUEUE_FAULTY
from leveret.core.message.schedule import Schedule
from leveret.core.queue.pending_confirms import PendingConfirms
from leveret.core.queue.ready import STUB
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.clock import Timed, Timer
from leveret.core.turn.work import HANDING_OUT, PIECE
from leveret.wire import patch
from leveret.wire.fields import DecodeError, Field
from leveret.wire.properties import BasicProperties

X_DELAY: Final = b"x-delay"
RETRY_MS: Final = 1000  # between attempts for messages that a queue has refused
TRIES: Final = 256  # how many of these may be refused again before a pause
WRITE_MS: Final = 20  # between messages while too much waits to be written, or is in memory
REFUSED: Final = 1  # timer token
WORTH_IT: Final = 64 << 10  # bytes of contents; below that, paging out is not worth it


def delay_of(field: Field | None) -> int:
    """The delay in a header x-delay, in milliseconds; 0 for none."""
    if field is None:
        return 0
    value = field.value
    if isinstance(value, float):
        if value >= DELAY_MS.most:  # and infinity
            return DELAY_MS.most
        return int(value) if value > 0 else 0
    return DELAY_MS.of(field, 0)


class Pending:
    """A delayed message. pending_id: for cancel(). due_ms: milliseconds since 1970."""

    __slots__ = ("due_ms", "message", "pending_id")

    def __init__(self, place: int, message: Message) -> None:
        self.pending_id = place
        self.due_ms = schedule.due_ms(place)
        self.message = message


class DelayedMessages(Destination, Logged, Holder):
    """The messages of one exchange that are not due yet. log_id: of these messages in the MessageLog."""

    def __init__(self, exchange: Exchange, log_id: int, passed: int) -> None:
        super().__init__(f"amq.delayed.{exchange.name}")
        self.broker = exchange.vhost.broker
        self.log_id = log_id
        self._exchange = exchange
        self._passed = passed  # how many interceptors of the exchange a message has passed before
        self._position: i64 = 0
        self._durable: i64 = 0  # the log has everything up to this position, except what it refused
        self._pending = PendingConfirms()
        self._schedule = Schedule()
        self._refused: deque[Departure] = deque()
        self._round = 0  # how many of them are still to be retried in this round
        self._tries = 0  # how many may fail before a pause
        self._is_going = False  # a job sends due messages
        self._content_bytes: i64 = 0  # in memory, of messages not due yet
        self._alarm = Alarm(self)
        self._alarm_ms: i64 = 0  # when it fires for due messages, 0 when not set
        self._due: Timer | None = None
        self._again: Timer | None = None

    def __str__(self) -> str:
        return f"the delayed messages of exchange '{self._exchange.name}' in vhost '{self._exchange.vhost.name}'"

    @property
    def is_durable(self) -> bool:
        """Whether they survive a restart."""
        return self._exchange.durable

    # -- incoming messages

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Store a message until it is due, or refuse it while another node has the others."""
        if self.fault:
            self._refuse(message, confirm)
            return
        message.arrived_ms = self.broker.clock.wall_ms
        position = self._position + 1
        self._position = position
        due_ms = self.broker.clock.wall_ms + delay_of(message.header(X_DELAY))
        self._hold(schedule.place(due_ms, int(position)), message)
        if self._exchange.durable:
            self.broker.log.append(self.log_id, int(position), message, due_ms)
            if confirm is not None:
                self._pending.add(position, confirm)
        elif confirm is not None:
            confirm.pay()
        self._set_alarm()

    def restore(self, found: Recovered) -> None:
        """Restore a message from the log at start-up; one with an invalid position stays there."""
        if found.position > schedule.POSITIONS:
            self.broker.explain(f"a message of {self} has the invalid position {found.position} and is skipped")
            return
        self._position = max(self._position, i64(found.position))
        self._durable = self._position
        self._hold(schedule.place(found.deadline_ms, found.position), found.message)

    def rest(self, found: Resting) -> int:
        """Restore messages from the log at start-up: the schedule needs all of them."""
        messages = self.broker.log.fetch(self.log_id, found.positions())
        for message in messages:
            self.restore(message)
        return len(messages)

    def recovered(self) -> None:
        """All messages of the log have been restored: those that are due go out."""
        self._set_alarm()

    def on_durable(self, position: int) -> None:
        """The log has everything up to this position."""
        self._durable = max(self._durable, i64(position))
        self.broker.budget.retry()
        self._pending.pay(position)

    def on_resting(self, position: int) -> None:
        """Do nothing: no message here is only paged out."""

    def on_refused(self, positions: list[int], again: bool) -> None:
        """The log could not write these: publishers get a nack; the messages stay until the broker stops."""
        self._pending.refuse(positions, UNSAFE)

    def on_fetched(self) -> None:
        """Do nothing: unsent messages are retried in any case."""

    def on_lost(self, reason: str) -> None:
        """Another node has the messages, and sends them.

        Publishers are told to send again what is not safe yet, and what they would delay from now on.
        """
        if self.deleted:
            return
        self.fault = reason
        self.deleted = True
        self._stop()
        self._pending.refuse_all()
        refused, self._refused = self._refused, deque()
        self._release(refused)

    def refuse_unsafe(self) -> None:
        """Tell publishers to send again what is not safe yet: another exchange takes the place of this one."""
        self._pending.refuse_all()

    def _refuse(self, message: Message, confirm: Confirm | None) -> None:
        self.broker.refusals += 1
        exchange = self._exchange
        entry = self.broker.refused.add(exchange.vhost.name, message.address, QUEUE_FAULTY, self.name, message.size)
        if entry is not None:
            entry.say(QUEUE_FAULTY, f"{self} are on another node: {self.fault}", message)
        if confirm is not None:
            confirm.refuse(AGAIN)

    def not_taken(self, error: Exception) -> None:
        """Report that a message could not be accepted."""
        self.broker.refusals += 1
        self.fail("accept a message", error)

    def fail(self, doing: str, error: Exception) -> None:
        """Report a failure; the messages keep waiting."""
        self.broker.faults.own(f"{doing} for {self}", error)

    # -- memory

    def _hold(self, place: int, message: Message) -> None:
        self._schedule.add(place, message)
        self._content_bytes += len(message.content)
        self.broker.budget.hold(message)

    def _take(self, place: int) -> Message | None:
        message = cast("Message | None", self._schedule.take(place))
        if message is not None:
            self._content_bytes -= len(message.content)
        return message

    def release(self, want: i64) -> None:
        """Page contents out, beginning with those due last. Cost: linear in the messages, if any has content."""
        if self._content_bytes < WORTH_IT or not self._exchange.durable:
            return
        budget = self.broker.budget
        target = budget.used - want
        for places, messages in self._schedule.blocks():
            for at in range(len(places) - 1, -1, -1):
                if budget.used <= target:
                    return
                message = cast(Message, messages[at])
                if not message.content:
                    continue
                position = schedule.position(places[at])
                is_safe = position <= self._durable and self.broker.log.extent(self.log_id, position) > 0
                if is_safe and len(message.content) >= STUB:
                    self._content_bytes -= len(message.content)
                    messages[at] = budget.rest(message)

    def load(self, message: Message, position: int, only_looks: bool = False) -> Message | None:
        """The message with its content, read from the log if needed; None when it is damaged. Raises: Unreadable."""
        if message.content:
            return message
        found = self.broker.log.fetch(self.log_id, position.to_bytes(8, "big"), only_looks)
        if not found and not only_looks:
            self.broker.explain(f"a message of {self} cannot be read and is skipped")
        return found[0].message if found else None

    # -- outgoing messages

    def go(self) -> None:
        """Route due messages, in pieces."""
        if self.deleted:
            return
        self._alarm_ms = 0
        self._send_later()

    def go_again(self) -> None:
        """Retry refused messages, until some are refused again."""
        self._again = None
        self._round = len(self._refused)
        self._tries = TRIES
        self._send_later()

    def _send_later(self) -> None:
        if not self._is_going:
            self._is_going = True
            self.broker.background.begin(Going(self))

    def go_on(self) -> bool:
        """Send some due messages. Returns: whether that was all for now."""
        share = self.broker.share
        while not self.deleted and share.left > 0:
            if len(self._schedule) and schedule.due_ms(self._schedule.first()) <= self.broker.clock.wall_ms:
                place = self._schedule.first()
                message = self._take(place)
                assert message is not None
                self._send(Departure(self, schedule.position(place), message))
            elif self._round > 0:
                self._send(self._refused.popleft())
                self._round = self._round - 1 if self._tries > 0 else 0
                if self._round == 0 and self._refused:
                    self._call_again()
            else:
                break
            if self.broker.is_short():  # send no faster than the log can write
                self.put_off(WRITE_MS)
                return True
        else:
            if not self.deleted:
                return False
        self._is_going = False
        self._set_alarm()
        return True

    def route(self, message: Message) -> list[Destination]:
        """The destinations of a due message."""
        return self._exchange.route(message.address.keys, None, message, self._passed).queues

    def arrived(self, position: int) -> None:
        """A message is safe in its queues: delete it from the log."""
        if self._exchange.durable and not self.deleted:
            self.broker.log.remove(self.log_id, position)

    def retry(self, departure: Departure) -> None:
        """A message was refused: send it again later."""
        if self.deleted:
            departure.end()
            return
        if self._round == 0:
            self._call_again()
        self._refused.append(departure)
        self._tries -= 1

    def _send(self, departure: Departure) -> None:
        try:
            departure.send()
        except NotHereYet:  # its content is being fetched
            self.retry(departure)
        except Exception as error:
            departure.fail("send a delayed message", error)

    def ring_later(self, error: Exception) -> None:
        """Due messages could not be sent: try again later."""
        self.broker.faults.own("send delayed messages", error)
        self.put_off(RETRY_MS)

    def put_off(self, for_ms: int) -> None:
        """Pause for for_ms milliseconds."""
        self._is_going = False
        self._round = 0
        self.broker.timers.cancel(self._due)
        self._due = self.broker.timers.call_at(self.broker.clock.now_ms + for_ms, self._alarm)
        if self._refused:
            self._call_again()

    def _call_again(self) -> None:
        if self._again is None:
            self._again = self.broker.timers.call_at(self.broker.clock.now_ms + RETRY_MS, self._alarm, REFUSED)

    # -- for the operator

    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._schedule)

    def page(self, behind: int, limit: int) -> list[Pending]:
        """Some waiting messages, earliest first. behind: pending_id of the last one seen, 0 at first."""
        found: list[Pending] = []
        for place, message in self._schedule.behind(behind, limit):
            whole = self.load(cast(Message, message), schedule.position(place), True)
            if whole is not None:
                found.append(Pending(place, whole))
        return found

    def cancel(self, pending_id: int) -> bool:
        """Drop a waiting message. Returns: whether it existed."""
        message = self._take(pending_id)
        if message is None:
            return False
        self.broker.budget.release(message)
        self.arrived(schedule.position(pending_id))
        return True

    def purge(self) -> int:
        """Drop all waiting messages. Returns: how many."""
        count = len(self._schedule)
        self._release(deque())
        return count

    def _release(self, refused: deque[Departure]) -> None:
        """Discard the waiting messages and the refused ones, in pieces."""
        waiting, self._schedule = self._schedule, Schedule()
        self._content_bytes = 0
        self.broker.background.begin(Discarding(self, waiting, refused))

    def remove(self) -> int:
        """The exchange is deleted: discard the waiting messages. Returns: how many."""
        count = len(self._schedule)
        self._stop()
        self.deleted = True
        if self._exchange.durable and not self.fault:
            try:
                self.broker.log.drop(self.log_id)
            except Exception as error:  # gone anyway, or back after a restart in a salvage queue
                self.broker.faults.tell(str(self), "delete them from the log", error)
        self._pending.pay(int(self._position))
        refused, self._refused = self._refused, deque()
        self._release(refused)
        return count

    def _stop(self) -> None:
        """Send nothing any more."""
        self._alarm.stop()
        self.broker.timers.cancel(self._due)
        self.broker.timers.cancel(self._again)

    def renew(self) -> DelayedMessages:
        """An empty one that takes the messages from the log again, until take_place() puts it in place."""
        return DelayedMessages(self._exchange, self.log_id, self._passed)

    def take_place(self, old: DelayedMessages) -> None:
        """The messages are here again: take the place of the one that had lost them."""
        for interceptor in self._exchange.interceptors:
            if isinstance(interceptor, Delay) and interceptor.delayed is old:
                interceptor.replace(self)

    def _set_alarm(self) -> None:
        if not len(self._schedule):
            return
        clock = self.broker.clock
        at_ms: i64 = clock.now_ms + max(schedule.due_ms(self._schedule.first()) - clock.wall_ms, 1)
        if not self._alarm_ms or at_ms < self._alarm_ms:
            self._alarm_ms = at_ms
            self.broker.timers.cancel(self._due)
            self._due = self.broker.timers.call_at(int(at_ms), self._alarm)


class Alarm(Timed):
    """Fires when messages of an exchange are due, or are to be retried."""

    def __init__(self, delayed: DelayedMessages) -> None:
        self._delayed: DelayedMessages | None = delayed

    def on_timer(self, token: int) -> None:
        """Send due messages, or retry refused ones."""
        if self._delayed is None:
            return
        if token == REFUSED:
            self._delayed.go_again()
        else:
            self._delayed.go()

    def fail(self, doing: str, error: Exception) -> None:
        """Try again later."""
        if self._delayed is not None:
            self._delayed.ring_later(error)

    def stop(self) -> None:
        """The exchange is deleted: drop the reference to it."""
        self._delayed = None


class Going(BackgroundJob):
    """Sends due messages."""

    def __init__(self, delayed: DelayedMessages) -> None:
        self._delayed = delayed

    def work(self) -> bool:
        """Send some. Returns: whether all are sent for now."""
        return self._delayed.go_on()

    def fail(self, doing: str, error: Exception) -> None:
        """Report a failure; unsent messages stay."""
        self._delayed.broker.faults.own("send delayed messages", error)

    def give_up(self) -> None:
        """Try again later."""
        self._delayed.put_off(RETRY_MS)


class Discarding(BackgroundJob):
    """Discards messages of an exchange. refused: those of them that a queue refused."""

    def __init__(self, delayed: DelayedMessages, waiting: Schedule, refused: deque[Departure]) -> None:
        self._delayed = delayed
        self._waiting = waiting
        self._refused = refused

    def work(self) -> bool:
        """Discard some. Returns: whether all are gone."""
        left: i64 = PIECE
        while left > 0 and len(self._waiting):
            place = self._waiting.first()
            message = cast(Message, self._waiting.take(place))
            left -= freeing(message)
            self._delayed.broker.budget.release(message)
            self._delayed.arrived(schedule.position(place))
        while left > 0 and self._refused:
            self._refused.popleft().end()
            left -= 1
        self._delayed.broker.share.left -= PIECE - left
        return left > 0

    def fail(self, doing: str, error: Exception) -> None:
        """Report that some could not be discarded."""
        self._delayed.broker.faults.own("discard delayed messages", error)


class Departure(ConfirmListener):
    """A due message, until it is safe in its queues."""

    __slots__ = (
        "_delayed",
        "_is_lost",
        "_message",
        "_open",
        "_position",
        "_safe",
        "_targets",
        "_wanted",
    )

    def __init__(self, delayed: DelayedMessages, position: int, message: Message) -> None:
        self._delayed = delayed
        self._position = position
        self._message = message
        self._targets: list[Destination] = []
        self._safe: dict[Destination, None] = {}  # those that have it and must not get it again
        self._open: i64 = 0
        self._wanted = False  # whether a queue that refused it must get it later
        self._is_lost = False  # a log did not write a copy, which exists until the broker stops

    def send(self) -> None:
        """Route it, and wait for the confirms of its queues."""
        delayed = self._delayed
        old = delayed.load(self._message, self._position)
        if old is None:
            self._arrived()
            return
        if old is not self._message:
            self.end()
            self._message = old
            delayed.broker.budget.hold(old)
        share = delayed.broker.share
        share.left -= sending(old)
        try:
            start, end = patch.header_range(old.content)
            delay = patch.long_value(-delay_of(patch.header(old.content, X_DELAY)))
            headers = patch.replaced(old.content, start, end, X_DELAY, delay)
            content = patch.with_headers(old.content, headers, True)
        except (DecodeError, IndexError):  # send it unchanged
            content = old.content
        message = Message(old.address, content, old.persistent, old.has_died)
        self._targets = [queue for queue in self._delayed.route(message) if queue not in self._safe]
        share.left -= HANDING_OUT * len(self._targets)
        self._wanted = False
        self._open = len(self._targets) + 1
        for tag, queue in enumerate(self._targets):
            hand_out(message, [queue], Confirm(self, tag, 1))
        self._settled()

    def confirmed(self, tag: i64) -> None:
        """One queue has it safe."""
        self._safe[self._targets[tag]] = None
        self._settled()

    def refused(self, tag: i64, how: int) -> None:
        """One queue refused it."""
        if how == FULL or how == AGAIN:
            self._wanted = True
        else:
            self._safe[self._targets[tag]] = None  # it must not get it again
            if how == UNSAFE:
                self._is_lost = True
        self._settled()

    def fail(self, doing: str, error: Exception) -> None:
        """Sending it or processing a confirm failed: send it again later."""
        self._delayed.broker.faults.own("send a delayed message", error)
        self._delayed.retry(self)

    def _settled(self) -> None:
        self._open -= 1
        if self._open == 0:
            if self._wanted:
                self._delayed.retry(self)
            elif self._is_lost:  # keep it in the exchange's log for the next start
                self.end()
            else:
                self._arrived()

    def end(self) -> None:
        """Release its memory: it is not sent any more."""
        self._delayed.broker.budget.release(self._message)

    def _arrived(self) -> None:
        self.end()
        self._delayed.arrived(self._position)


class Delay(Interceptor):
    """Delays messages with a header x-delay. delayed: the waiting messages."""

    def __init__(self, exchange: Exchange, passed: int) -> None:
        if not exchange.log_id:
            exchange.log_id = exchange.vhost.broker.new_id()
        self.delayed = DelayedMessages(exchange, exchange.log_id, passed)

    def admit(self, message: Message, properties: BasicProperties) -> list[Destination] | None:
        """Delay a message that has a delay."""
        return [self.delayed] if properties.headers and delay_of(properties.headers.get("x-delay")) else None

    def open(self) -> None:
        """Register for events of the log and for memory requests."""
        self.delayed.broker.logged[self.delayed.log_id] = self.delayed
        self.delayed.broker.holders[self.delayed] = None

    def replace(self, delayed: DelayedMessages) -> None:
        """From now on, other messages wait here: those that another node has given back."""
        self.delayed.broker.holders.pop(self.delayed, None)
        self.delayed = delayed
        self.open()

    def close(self) -> None:
        """Unregister, and drop the waiting messages."""
        del self.delayed.broker.logged[self.delayed.log_id]
        self.delayed.broker.holders.pop(self.delayed, None)
        self.delayed.remove()
