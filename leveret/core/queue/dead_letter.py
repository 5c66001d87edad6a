"""Dead letters: messages that a queue gives up, on their way through its dead letter exchange.

A message dies inside another call, for example a publish. There it is only added to the broker's Worklist, which is
processed at the end of the call, a bounded share at a time: there is no recursion, and a cycle is plain data.
The log of the source queue removes a message only when its copy is safe in every queue that took it.
Source: rabbit_dead_letter.erl, mc.erl (record_death, is_death_cycle), rabbit_fifo_dlx_worker.erl.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from mypy_extensions import i64

from leveret.core.message import deaths
from leveret.core.message.budget import Holder
from leveret.core.message.confirm import AGAIN, UNSAFE, Confirm, ConfirmListener
from leveret.core.message.cost import sending
from leveret.core.message.deaths import Deaths
from leveret.core.message.destination import Destination, hand_out
from leveret.core.message.log import NotHereYet, Unreadable
from leveret.core.message.message import Message, address
from leveret.core.queue.entry import QueueEntry
from leveret.core.turn.clock import Timed
from leveret.core.turn.work import HANDING_OUT
from leveret.wire import patch
from leveret.wire.fields import DecodeError, short

if TYPE_CHECKING:
    from leveret.core.queue.base import BaseQueue
    from leveret.core.queue.surroundings import Surroundings

REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"

MANY: Final = 10_000  # pending letters above which publishers wait, until half of them are left
RETRY_MS: Final = 1000  # before letters that must arrive are sent again
WRITE_MS: Final = 20  # pause while too much waits to be written, or is in memory
TRIES_EACH: Final = 16  # letters of one queue that may be refused again before the next queue has its turn
TRIES_ALL: Final = 256  # the same for all queues, before a pause
TRIES: Final = 3  # attempts for a letter that fails inside the broker
MAX_EXPLAINED: Final = 10_000
WORTH_IT: Final = 64 << 10  # bytes of contents; with less, waiting letters are not paged out


class DeadLetter(ConfirmListener):
    """One dead message, until its copies are safe or it is given up."""

    __slots__ = (
        "_counts",
        "_died_s",
        "_failures",
        "_has_to_wait",
        "_is_held",
        "_is_lost",
        "_is_refused",
        "_open",
        "_safe",
        "_targets",
        "entry",
        "queue",
        "reason",
    )

    def __init__(self, queue: BaseQueue, entry: QueueEntry, reason: str, died_s: int) -> None:
        self.queue = queue
        self.entry = entry
        self.reason = reason
        self._is_held = True
        queue.broker.budget.hold(entry.message)
        self._counts = queue.settings.at_least_once  # it counts for the limits of the queue
        if self._counts:
            queue.letters += 1
            queue.letter_bytes += entry.message.size
        self._died_s = died_s
        self._failures: i64 = 0
        self._targets: list[Destination] = []
        self._safe: dict[Destination, None] = {}  # queues that have it and must not get it again
        self._open: i64 = 0
        self._is_refused = False
        self._has_to_wait = False  # a queue cannot take it now
        self._is_lost = False  # a copy was not written, and is only in memory

    def send(self) -> None:
        """Publish it, according to the current settings of its queue. Raises: NotHereYet."""
        queue = self.queue
        share = queue.broker.share
        if queue.deleted and queue.fault:  # another node has the queue, with this message
            self.end()
            return
        if self.entry.message.is_at_rest and (queue.deleted or not queue.load(self.entry)):
            self._done()  # it cannot be read any more
            return
        share.left -= sending(self.entry.message)
        settings = queue.settings
        name = settings.dead_letter_exchange
        if name is None:
            self._done()
            return
        message = self._copy(name, settings.dead_letter_routing_key)
        found = queue.vhost.route_letter(name, message, len(self._safe) > 0)
        if found is None:
            self._stranded("no exchange", f"exchange '{name}' does not exist; declare it, or choose another one")
            return
        share.left -= HANDING_OUT * len(found)
        targets = found
        if self.reason != REJECTED:
            before = Deaths(message.content)
            targets = [each for each in found if not before.is_cycle(each.name.encode("utf-8", "surrogateescape"))]
        if len(targets) < len(found) and not _name_of(targets):
            hand_out(message, targets, None)  # to observers
            targets = []
        if not targets:
            if _name_of(found):
                what = f"it would return to queue '{_name_of(found)}' without a rejection: a cycle; "
                self._stranded("cycle", what + "route the dead letters to another queue, or reject them")
            else:
                key = message.address.routing_key
                what = f"no queue is bound to exchange '{name}' for routing key '{key}'; bind one"
                self._stranded("no route", what)
        elif self.entry.log_id or settings.at_least_once or _is_one_lost(targets):
            self._hand_over(message, targets)
        else:
            hand_out(message, targets, None)
            self.end()

    def _copy(self, exchange: str, routing_key: str | None) -> Message:
        """The copy to publish."""
        old = self.entry.message
        queue = self.queue.name.encode("utf-8", "surrogateescape")
        try:
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        except (DecodeError, IndexError):  # it is sent without the unreadable properties
            old = old.without_properties()
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        if routing_key is not None:
            where = address(short(exchange), short(routing_key))  # no exchange has a longer name: it is not routed then
        else:
            where = address(short(exchange), old.address.routing_key, old.address.copies, old.address.hidden)
        return Message(where, patch.with_headers(old.content, headers, False), old.persistent, True)

    # -- publishing

    def _hand_over(self, message: Message, targets: list[Destination]) -> None:
        """Publish it to the queues that do not have it, and wait for all of them."""
        self._targets = [target for target in targets if target not in self._safe]
        self._is_refused = False
        self._has_to_wait = False
        self._open = len(self._targets) + 1
        for tag, target in enumerate(self._targets):
            hand_out(message, [target], Confirm(self, tag, 1))
        self._settled()

    def confirmed(self, tag: i64) -> None:
        """One queue has stored it."""
        self._safe[self._targets[tag]] = None
        self._settled()

    def refused(self, tag: i64, how: int) -> None:
        """One queue did not take it."""
        if how == UNSAFE:
            self._safe[self._targets[tag]] = None  # it must not get it again
            self._is_lost = True
        elif how == AGAIN:
            self._has_to_wait = True
        else:
            self._is_refused = True
        self._settled()

    def fail(self, doing: str, error: Exception) -> None:
        """Sending it or counting its confirms failed: send it again, and after TRIES attempts leave it to its queue."""
        queue = self.queue
        queue.broker.faults.own("send a dead letter", error)
        if not isinstance(error, Unreadable):
            self._failures += 1
        if self._failures < TRIES:
            queue.broker.worklist.retry(self)
            return
        if not queue.deleted:
            queue.unfinished.append((self.entry, self.reason))
        self.end()

    def _settled(self) -> None:
        self._open -= 1
        if self._open:
            return
        queue = self.queue
        if self._has_to_wait or (self._is_refused and queue.settings.at_least_once):
            queue.broker.worklist.retry(self)
        elif self._is_lost:  # the log of the source keeps it for the next start
            self.end()
        else:
            self._done()

    def _stranded(self, kind: str, what: str) -> None:
        """It cannot be routed."""
        queue = self.queue
        worklist = queue.broker.worklist
        if queue.settings.at_least_once:
            worklist.explain(queue, kind, f"a dead letter waits, because {what}")
            worklist.retry(self)
        else:
            worklist.explain(queue, kind, f"a dead letter ({self.reason}) was dropped, because {what}")
            self._done()

    def end(self) -> None:
        """It is not sent again, and no longer counts for the limits of its queue."""
        if self._is_held:
            self._is_held = False
            self.queue.broker.budget.release(self.entry.message)
        if self._counts:
            self._counts = False
            queue = self.queue
            queue.letters -= 1
            queue.letter_bytes -= self.entry.message.size

    def _done(self) -> None:
        self.end()
        if not self.queue.deleted:
            self.queue.forget(self.entry)


class Waiting:
    """Letters of one queue that must arrive and were refused.

    left: letters in this round. tries: how many may still fail in it.
    """

    __slots__ = ("left", "letters", "tries")

    def __init__(self) -> None:
        self.letters: deque[DeadLetter] = deque()
        self.left: i64 = 0
        self.tries: i64 = 0


class Worklist(Timed, Holder):
    """The pending dead letters, oldest first.

    Refused letters are sent again in a round every second: queue by queue, as fast as the targets take them, until some
    are refused again. They raise no alarm, which would stop all publishers because one queue is full: they count as
    waiting messages, for the limits of the queue they died in and for the memory alarm.
    """

    def __init__(self, broker: Surroundings) -> None:
        self._broker = broker
        self._letters: deque[DeadLetter] = deque()
        self._refused: dict[BaseQueue, Waiting] = {}  # by the queue they died in
        self._round: deque[BaseQueue] = deque()  # queues whose turn is still to come
        self._goes_on = False  # a round is in progress
        self._content_bytes: i64 = 0  # of refused letters in memory
        self._tries: i64 = 0  # failures of all queues left before a pause
        self._explained: set[tuple[int, str]] = set()
        self._unfetched: dict[BaseQueue, list[DeadLetter]] = {}  # queues that wait for their log, with their letters

    def __len__(self) -> int:
        return len(self._letters)

    def is_busy(self) -> bool:
        """Whether there is something to send now."""
        return len(self._letters) > 0 or self._goes_on

    def add(self, queue: BaseQueue, entry: QueueEntry, reason: str) -> None:
        """Add a message that died in a queue with a dead letter exchange."""
        self._letters.append(DeadLetter(queue, entry, reason, self._broker.clock.today_ms // 1000))

    def work_off(self) -> None:
        """Send the pending letters and some refused ones, as long as this turn has room for them."""
        share = self._broker.share
        left: i64 = len(self._letters)
        while left and share.left > 0:
            left -= 1
            self._send(self._letters.popleft())
        if self._goes_on:
            self._send_again()  # at least one
            while self._goes_on and share.left > 0 and not self._letters:
                self._send_again()

    def _send(self, letter: DeadLetter) -> None:
        if letter.queue in self._unfetched:
            self._unfetched[letter.queue].append(letter)  # behind earlier ones
            return
        try:
            letter.send()
        except NotHereYet:
            self._unfetched[letter.queue] = [letter]
        except Exception as error:
            letter.fail("send a dead letter", error)

    def _send_again(self) -> None:
        """Send one refused letter again."""
        queue = self._round[0]
        waiting = self._refused[queue]
        letter = waiting.letters.popleft()
        self._content_bytes -= len(letter.entry.message.content)
        waiting.left -= 1
        if queue.deleted:
            self._broker.share.left -= 1
            letter.end()
        else:
            self._send(letter)
        if not waiting.letters:
            del self._refused[queue]
        if waiting.left <= 0 or waiting.tries <= 0:
            self._round.popleft()
        if not self._round or self._tries <= 0:
            self._goes_on = False
            if self._refused:
                self._call_later()
        elif self._broker.is_short():  # paged-out letters are sent no faster than their copies can be written
            self._goes_on = False
            self._call_later(WRITE_MS)

    def retry(self, letter: DeadLetter) -> None:
        """Send a letter again later."""
        queue = letter.queue
        if queue.deleted:
            letter.end()
            return
        if not self._refused and not self._goes_on:
            self._call_later()
        waiting = self._refused.get(queue)
        if waiting is None:
            waiting = self._refused[queue] = Waiting()
        waiting.letters.append(letter)
        if self._broker.budget.used > self._broker.budget.limit:
            queue.leave_content(letter.entry)
        self._content_bytes += len(letter.entry.message.content)
        waiting.tries -= 1
        self._tries -= 1

    def go_on(self, queue: BaseQueue) -> None:
        """The log of a queue has fetched messages, or has ended: send the letters that waited for it."""
        letters = self._unfetched.pop(queue, None)
        if letters is not None:
            self._letters.extendleft(reversed(letters))

    def release(self, want: i64) -> None:
        """Page out refused letters. Cost: a pass over all of them, if enough are in memory."""
        if self._content_bytes < WORTH_IT:
            return
        budget = self._broker.budget
        target = budget.used - want
        for queue, waiting in self._refused.items():
            for letter in waiting.letters:
                if budget.used <= target:
                    return
                size = len(letter.entry.message.content)
                queue.leave_content(letter.entry)
                self._content_bytes -= size - len(letter.entry.message.content)

    def fail(self, doing: str, error: Exception) -> None:
        """Send the refused letters again later."""
        self._broker.faults.own("send dead letters again", error)
        if self._refused and not self._goes_on:
            self._call_later()

    def on_timer(self, token: int) -> None:
        """Start a round for the refused letters, or continue after a pause."""
        if not self._round:
            for queue, waiting in self._refused.items():
                waiting.left = len(waiting.letters)
                waiting.tries = TRIES_EACH
                self._round.append(queue)
        self._tries = TRIES_ALL
        self._goes_on = len(self._round) > 0

    def _call_later(self, after_ms: int = RETRY_MS) -> None:
        self._broker.timers.call_at(self._broker.clock.now_ms + after_ms, self)

    def explain(self, queue: BaseQueue, kind: str, what: str) -> None:
        """Log an explanation, once for each queue and kind of reason."""
        if (queue.queue_id, kind) in self._explained:
            return
        if len(self._explained) >= MAX_EXPLAINED:
            self._explained.clear()
        self._explained.add((queue.queue_id, kind))
        text = f"queue '{queue.name}' in vhost '{queue.vhost.name}': {what}. This is logged once for the queue."
        self._broker.explanations.append(text)


def _is_one_lost(queues: list[Destination]) -> bool:
    """Whether another node has one of the queues, so that a letter has to wait."""
    is_lost = False
    for queue in queues:
        is_lost = is_lost or (queue.deleted and queue.fault != "")
    return is_lost


def _name_of(queues: list[Destination]) -> str:
    """The name of the first real queue; observers have none."""
    for queue in queues:
        if queue.name:
            return queue.name
    return ""
