"""x-delayed-message: an exchange that routes a message only when the milliseconds in its header x-delay are over.

Until then the message rests with the exchange, in a queue of its own that nobody sees. If the exchange is durable,
every delayed message survives a restart, whatever its delivery mode, and is confirmed when it is safe; what became due
in between goes out at once. When it is due, the message is routed as the exchange's bindings are then, with x-delay
negated, and the log forgets it when every queue that got it has it safe. A queue that refuses it because it is full
gets it later, unless the refused message became a dead letter.
Source: rabbit_exchange_type_delayed_message.erl, rabbit_delayed_message.erl of the community plugin.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core import agenda
from leveret.core.agenda import Agenda
from leveret.core.bounds import DELAY_MS
from leveret.core.clock import Timed, Timer
from leveret.core.gate import Gate
from leveret.core.hand_out import hand_out
from leveret.core.message import Message
from leveret.core.ports import Confirm, ConfirmListener, Recovered, Resting
from leveret.core.queue import Queue
from leveret.wire import content as frames
from leveret.wire.fields import Table, long
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.core.exchange import Exchange

SHARE: Final = 1000  # messages that go out in one call; the rest follows a millisecond later
RETRY_MS: Final = 1000  # until a message goes out again that a queue has refused
AGAIN: Final = 1  # timer token


def delay_of(headers: Table | None) -> int:
    """The delay that a message asks for, in milliseconds; 0 for none."""
    field = headers.get("x-delay") if headers is not None else None
    if field is None:
        return 0
    value = field.value
    if isinstance(value, float):
        if value >= DELAY_MS.most:  # and infinity
            return DELAY_MS.most
        return int(value) if value > 0 else 0
    return DELAY_MS.of(field, 0)


class Pending:
    """A message that waits. pending_id: what cancel() wants. due_ms: milliseconds since 1970."""

    __slots__ = ("due_ms", "message", "pending_id")

    def __init__(self, place: int, message: Message) -> None:
        self.pending_id = place
        self.due_ms = agenda.due_ms(place)
        self.message = message


class DelayedMessages(Queue):
    """The messages of one exchange that are not due yet: a queue in name only."""

    def __init__(self, exchange: Exchange, queue_id: int) -> None:
        name = f"amq.delayed.{exchange.name}"
        super().__init__(exchange.vhost, name, queue_id, exchange.durable, 0, False, {}, exchange.origin)
        self._exchange = exchange
        self._agenda = Agenda()
        self._refused: deque[Departure] = deque()
        self._alarm = Alarm(self)
        self._alarm_ms: i64 = 0  # when it rings for what is due, 0 when it does not
        self._due: Timer | None = None
        self._again: Timer | None = None
        self.gates_passed = 0  # the gates of the exchange that a message has passed when it comes here

    # -- messages come in

    def publish(self, message: Message, confirm: Confirm | None) -> None:
        """Take a message until it is due."""
        position = self._position + 1
        self._position = position
        due_ms = self.broker.clock.wall_ms + delay_of(message.properties().headers)
        self._agenda.add(agenda.place(due_ms, int(position)), message)
        if self.durable:
            self.broker.log.append(self.queue_id, int(position), message, due_ms)
            if confirm is not None:
                self._unsafe.add(position, confirm)
        elif confirm is not None:
            confirm.pay()
        self._set_alarm()

    def restore(self, found: Recovered) -> None:
        """Take a message from the log at start-up; one with a position that no agenda has is left there."""
        if found.position > agenda.POSITIONS:
            self.broker.explain(f"a message of {self} has position {found.position}, which cannot be; it is left out")
            return
        self._position = max(self._position, i64(found.position))
        self._agenda.add(agenda.place(found.deadline_ms, found.position), found.message)
        self._set_alarm()

    def rest(self, found: Resting) -> int:
        """Take messages from the log at start-up: the agenda wants all of them."""
        messages = self.broker.log.fetch(self.queue_id, found.positions())
        for message in messages:
            self.restore(message)
        return len(messages)

    # -- messages go out

    def go(self) -> None:
        """Route what is due, but not too much at once."""
        if self.deleted:
            return
        self._alarm_ms = 0
        now_ms = self.broker.clock.wall_ms
        count = 0
        while len(self._agenda) and count < SHARE:
            place = self._agenda.first()
            if agenda.due_ms(place) > now_ms:
                break
            message = self._agenda.take(place)
            assert message is not None
            self._send(Departure(self, agenda.position(place), message))
            count += 1
        self._set_alarm()

    def route(self, message: Message, properties: BasicProperties) -> list[Queue]:
        """Where a message goes now that it is due."""
        return self._exchange.route(message.address.keys, properties, message, self.gates_passed).queues

    def arrived(self, position: int) -> None:
        """A message is safe where it went."""
        if self.durable and not self.deleted:
            self.broker.log.remove(self.queue_id, position)

    def retry(self, departure: Departure) -> None:
        """A message was refused: it goes out again a little later."""
        if self.deleted:
            return
        if not self._refused:
            self._call_again()
        self._refused.append(departure)

    def go_again(self) -> None:
        """Those that were refused have their next chance, but not too many at once."""
        for _ in range(min(SHARE, len(self._refused))):
            self._send(self._refused.popleft())
        if self._refused:
            self._call_again()

    def _send(self, departure: Departure) -> None:
        try:
            departure.send()
        except Exception as error:
            departure.fail("send a delayed message", error)

    def ring_later(self, error: Exception) -> None:
        """What was due could not be sent: look again a little later."""
        self.broker.faults.own("send delayed messages", error)
        self._again = self.broker.timers.call_at(self.broker.clock.now_ms + RETRY_MS, self._alarm)
        if self._refused:
            self._call_again()

    def _call_again(self) -> None:
        self._again = self.broker.timers.call_at(self.broker.clock.now_ms + RETRY_MS, self._alarm, AGAIN)

    # -- for the operator

    def waiting(self) -> int:
        """How many messages wait."""
        return len(self._agenda)

    def page(self, behind: int, limit: int) -> list[Pending]:
        """Some of those that wait, the ones due first in front. behind: pending_id of the last one seen, 0 at first."""
        return [Pending(place, message) for place, message in self._agenda.behind(behind, limit)]

    def cancel(self, pending_id: int) -> bool:
        """Drop a message that waits. Returns: whether it was there."""
        if self._agenda.take(pending_id) is None:
            return False
        self.arrived(agenda.position(pending_id))
        return True

    def purge(self) -> int:
        """Drop everything that waits. Returns: how many."""
        count = 0
        while len(self._agenda):
            self.cancel(self._agenda.first())
            count += 1
        return count

    def remove(self) -> int:
        """The exchange is deleted, and what waits with it. Returns: how many."""
        count = len(self._agenda)
        self._agenda = Agenda()
        self._refused.clear()
        self._alarm.stop()
        self.broker.timers.cancel(self._due)
        self.broker.timers.cancel(self._again)
        super().remove()
        return count

    def _set_alarm(self) -> None:
        if not len(self._agenda):
            return
        clock = self.broker.clock
        at_ms: i64 = clock.now_ms + max(agenda.due_ms(self._agenda.first()) - clock.wall_ms, 1)
        if not self._alarm_ms or at_ms < self._alarm_ms:
            self._alarm_ms = at_ms
            self.broker.timers.cancel(self._due)
            self._due = self.broker.timers.call_at(int(at_ms), self._alarm)


class Alarm(Timed):
    """Rings when messages of an exchange are due, or have another chance."""

    def __init__(self, delayed: DelayedMessages) -> None:
        self._delayed: DelayedMessages | None = delayed

    def on_timer(self, token: int) -> None:
        """It is time."""
        if self._delayed is None:
            return
        if token == AGAIN:
            self._delayed.go_again()
        else:
            self._delayed.go()

    def fail(self, doing: str, error: Exception) -> None:
        """It rings again, a little later."""
        if self._delayed is not None:
            self._delayed.ring_later(error)

    def stop(self) -> None:
        """The exchange has ended; nothing may hold on to it."""
        self._delayed = None


class Departure(ConfirmListener):
    """A message that is due, until it is safe where it goes."""

    __slots__ = ("_delayed", "_message", "_open", "_position", "_safe", "_targets", "_wanted")

    def __init__(self, delayed: DelayedMessages, position: int, message: Message) -> None:
        self._delayed = delayed
        self._position = position
        self._message = message
        self._targets: list[Queue] = []
        self._safe: dict[Queue, None] = {}  # those that have it, so that they do not get it again
        self._open: i64 = 0
        self._wanted = False  # whether a queue that refused it has to get it later

    def send(self) -> None:
        """Route it, and wait until it has arrived."""
        old = self._message
        properties = old.properties()
        headers = properties.headers if properties.headers is not None else {}
        headers["x-delay"] = long(-delay_of(headers))
        content = frames.replace_properties(old.content, properties.encode())
        message = Message(old.address, content, old.persistent, old.has_died)
        self._targets = [queue for queue in self._delayed.route(message, properties) if queue not in self._safe]
        self._wanted = False
        self._open = len(self._targets) + 1
        for tag, queue in enumerate(self._targets):
            hand_out(message, [queue], Confirm(self, tag, 1))
        self._settled()

    def confirmed(self, tag: i64) -> None:
        """One queue has it safe."""
        self._safe[self._targets[tag]] = None
        self._settled()

    def refused(self, tag: i64) -> None:
        """One queue did not take it."""
        if not self._targets[tag].settings.rejects_dead:
            self._wanted = True
        self._settled()

    def fail(self, doing: str, error: Exception) -> None:
        """It could not be sent, or hear that it has arrived: it goes out again a little later."""
        self._delayed.broker.faults.own("send a delayed message", error)
        self._delayed.retry(self)

    def _settled(self) -> None:
        self._open -= 1
        if self._open == 0:
            if self._wanted:
                self._delayed.retry(self)
            else:
                self._delayed.arrived(self._position)


class Delay(Gate):
    """Holds back what is not due yet. delayed: what is held back."""

    def __init__(self, exchange: Exchange, gates_passed: int) -> None:
        if not exchange.log_id:
            exchange.log_id = exchange.vhost.broker.new_id()
        self.delayed = DelayedMessages(exchange, exchange.log_id)
        self.delayed.gates_passed = gates_passed

    def admit(self, message: Message, properties: BasicProperties) -> list[Queue] | None:
        """Hold back what asks for it."""
        return [self.delayed] if delay_of(properties.headers) else None

    def open(self) -> None:
        """Make the log's news and messages find their way."""
        self.delayed.broker.queues[self.delayed.queue_id] = self.delayed

    def close(self) -> None:
        """Drop what waits."""
        del self.delayed.broker.queues[self.delayed.queue_id]
        self.delayed.remove()
