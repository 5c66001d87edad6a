"""Dead letters: messages that a queue gives up, on their way through its dead letter exchange.

A message dies inside another call, a publish perhaps. There it is only put on the broker's Worklist; what is on that
is published at the end of the call, a bounded share of it: there is no recursion, and a cycle is plain data.
The log of the source forgets a message only when its copy is safe in every queue that took it.
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

MANY: Final = 10_000  # letters on their way, above which publishers wait until it is half as many
RETRY_MS: Final = 1000  # after which letters that must arrive are sent again
WRITE_MS: Final = 20  # after which one goes on while too much waits to be written, or is in memory
TRIES_EACH: Final = 16  # of the letters of one queue that may be refused again before the next one has its turn
TRIES_ALL: Final = 256  # the same of all, before a pause
TRIES: Final = 3  # of a letter that fails inside the broker
MAX_EXPLAINED: Final = 10_000
WORTH_IT: Final = 64 << 10  # bytes of contents, below which letters that wait are not asked for memory


class DeadLetter(ConfirmListener):
    """One message that died, until its copies are safe or it is given up."""

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
        self._counts = queue.settings.at_least_once  # for the limits of the queue
        if self._counts:
            queue.letters += 1
            queue.letter_bytes += entry.message.size
        self._died_s = died_s
        self._failures: i64 = 0
        self._targets: list[Destination] = []
        self._safe: dict[Destination, None] = {}  # those that have it, so that they do not get it again
        self._open: i64 = 0
        self._is_refused = False
        self._has_to_wait = False  # a queue cannot take it now
        self._is_lost = False  # a log did not take a copy, which is there until the broker ends

    def send(self) -> None:
        """Publish it, as the settings of its queue are now. Raises: NotHereYet."""
        queue = self.queue
        share = queue.broker.share
        if queue.deleted and queue.fault:  # who has the queue now has it too
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
            self._stranded("no exchange", f"exchange '{name}' does not exist; declare it, or name another one")
            return
        share.left -= HANDING_OUT * len(found)
        targets = found
        if self.reason != REJECTED:
            before = Deaths(message.content)
            targets = [each for each in found if not before.is_cycle(each.name.encode("utf-8", "surrogateescape"))]
        if len(targets) < len(found) and not _name_of(targets):
            hand_out(message, targets, None)  # to who only wants to know
            targets = []
        if not targets:
            if _name_of(found):
                what = f"it would come back to queue '{_name_of(found)}' without having been rejected: a cycle; "
                self._stranded("cycle", what + "let the dead letters end in another queue, or reject them")
            else:
                key = message.address.routing_key
                what = f"exchange '{name}' leads nowhere with routing key '{key}'; bind a queue to it"
                self._stranded("no route", what)
        elif self.entry.log_id or settings.at_least_once:
            self._hand_over(message, targets)
        else:
            hand_out(message, targets, None)
            self.end()

    def _copy(self, exchange: str, routing_key: str | None) -> Message:
        """The message as it is published."""
        old = self.entry.message
        queue = self.queue.name.encode("utf-8", "surrogateescape")
        try:
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        except (DecodeError, IndexError):  # it goes on without what cannot be read
            old = old.without_properties()
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        if routing_key is not None:
            where = address(short(exchange), short(routing_key))  # no exchange has a longer name: it goes nowhere then
        else:
            where = address(short(exchange), old.address.routing_key, old.address.copies, old.address.hidden)
        return Message(where, patch.with_headers(old.content, headers, False), old.persistent, True)

    # -- hand-over

    def _hand_over(self, message: Message, targets: list[Destination]) -> None:
        """Publish it to those who do not have it, and wait for all of them."""
        self._targets = [target for target in targets if target not in self._safe]
        self._is_refused = False
        self._has_to_wait = False
        self._open = len(self._targets) + 1
        for tag, target in enumerate(self._targets):
            hand_out(message, [target], Confirm(self, tag, 1))
        self._settled()

    def confirmed(self, tag: i64) -> None:
        """One queue has it safe."""
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
        """It could not be sent, or hear of its copies: it is sent again, and after some times left to its queue."""
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
        elif self._is_lost:  # the log of the source keeps that for the next start
            self.end()
        else:
            self._done()

    def _stranded(self, kind: str, what: str) -> None:
        """There is nowhere to send it."""
        queue = self.queue
        worklist = queue.broker.worklist
        if queue.settings.at_least_once:
            worklist.explain(queue, kind, f"a dead letter waits, because {what}")
            worklist.retry(self)
        else:
            worklist.explain(queue, kind, f"a dead letter ({self.reason}) was dropped, because {what}")
            self._done()

    def end(self) -> None:
        """It is not sent again, and its queue has room for another message."""
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
    """Letters of one queue that must arrive, and were refused. left: in this round; tries: that may fail in it."""

    __slots__ = ("left", "letters", "tries")

    def __init__(self) -> None:
        self.letters: deque[DeadLetter] = deque()
        self.left: i64 = 0
        self.tries: i64 = 0


class Worklist(Timed, Holder):
    """The dead letters that are still to be published, oldest first.

    Those that were refused have a round every second: of each queue, they are sent as fast as others take them, until
    some are refused again. No alarm counts them, which would stop all publishers for one queue that is full: they are
    messages that wait, count for the limits of the queue they died in, and for the alarm about memory.
    """

    def __init__(self, broker: Surroundings) -> None:
        self._broker = broker
        self._letters: deque[DeadLetter] = deque()
        self._refused: dict[BaseQueue, Waiting] = {}  # by the queue they died in
        self._round: deque[BaseQueue] = deque()  # those whose turn is still to come
        self._goes_on = False  # a round does
        self._content_bytes: i64 = 0  # that those which were refused have in memory
        self._tries: i64 = 0  # of all, that may fail before a pause
        self._explained: set[tuple[int, str]] = set()
        self._unfetched: dict[BaseQueue, list[DeadLetter]] = {}  # those of which the log has not brought all yet

    def __len__(self) -> int:
        return len(self._letters)

    def is_busy(self) -> bool:
        """Whether there is something to send now."""
        return len(self._letters) > 0 or self._goes_on

    def add(self, queue: BaseQueue, entry: QueueEntry, reason: str) -> None:
        """A message died in a queue with a dead letter exchange."""
        self._letters.append(DeadLetter(queue, entry, reason, self._broker.clock.today_ms // 1000))

    def work_off(self) -> None:
        """Send those that are there now, and some of those that were refused, as long as this turn has room for it."""
        share = self._broker.share
        left: i64 = len(self._letters)
        while left and share.left > 0:
            left -= 1
            self._send(self._letters.popleft())
        if self._goes_on:
            self._send_again()  # one in any case
            while self._goes_on and share.left > 0 and not self._letters:
                self._send_again()

    def _send(self, letter: DeadLetter) -> None:
        if letter.queue in self._unfetched:
            self._unfetched[letter.queue].append(letter)  # behind those before it
            return
        try:
            letter.send()
        except NotHereYet:
            self._unfetched[letter.queue] = [letter]
        except Exception as error:
            letter.fail("send a dead letter", error)

    def _send_again(self) -> None:
        """Give one that was refused its next chance."""
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
        elif self._broker.is_short():  # what rests goes no faster than its copies can be written
            self._goes_on = False
            self._call_later(WRITE_MS)

    def retry(self, letter: DeadLetter) -> None:
        """Send it again after a while."""
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
        """The log of a queue has brought something, or will bring nothing more: send what waited for that."""
        letters = self._unfetched.pop(queue, None)
        if letters is not None:
            self._letters.extendleft(reversed(letters))

    def release(self, want: i64) -> None:
        """Leave the contents of those that were refused to the log. Cost: a look at all of them, if they have some."""
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
        """Those that were refused have their next chance later."""
        self._broker.faults.own("send dead letters again", error)
        if self._refused and not self._goes_on:
            self._call_later()

    def on_timer(self, token: int) -> None:
        """Those that were refused have their next chance, from where the last pause came."""
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
        """Tell the operator, once for a queue and a kind of reason."""
        if (queue.queue_id, kind) in self._explained:
            return
        if len(self._explained) >= MAX_EXPLAINED:
            self._explained.clear()
        self._explained.add((queue.queue_id, kind))
        text = f"queue '{queue.name}' in vhost '{queue.vhost.name}': {what}. This is said once for the queue."
        self._broker.explanations.append(text)


def _name_of(queues: list[Destination]) -> str:
    """The name of the first real queue; none of those that only want to know has one."""
    for queue in queues:
        if queue.name:
            return queue.name
    return ""
