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

from leveret.core import deaths
from leveret.core.clock import Timed
from leveret.core.deaths import Deaths
from leveret.core.hand_out import hand_out
from leveret.core.message import Message, Stored, address
from leveret.core.ports import Confirm, ConfirmListener
from leveret.wire import patch
from leveret.wire.fields import DecodeError, short

if TYPE_CHECKING:
    from leveret.core.broker import Broker
    from leveret.core.queue import Queue

REJECTED: Final = "rejected"
EXPIRED: Final = "expired"
MAXLEN: Final = "maxlen"
DELIVERY_LIMIT: Final = "delivery_limit"

SHARE: Final = 256  # letters of earlier calls that one call works off
MAX_SHARE: Final = 1024  # with those that it has made itself
MANY: Final = 10_000  # letters on their way, above which publishers wait until it is half as many
RETRY_MS: Final = 1000  # after which a letter that must arrive is sent again
TRIES: Final = 3  # of a letter that fails inside the broker
MAX_EXPLAINED: Final = 10_000


class DeadLetter(ConfirmListener):
    """One message that died, until its copies are safe or it is given up."""

    __slots__ = (
        "_died_s",
        "_failures",
        "_has_refusals",
        "_has_to_wait",
        "_is_lost",
        "_is_sending",
        "_open",
        "_safe",
        "_targets",
        "reason",
        "stored",
    )

    def __init__(self, stored: Stored, reason: str, died_s: int) -> None:
        self.stored = stored
        self.reason = reason
        self._died_s = died_s
        self._failures: i64 = 0
        self._targets: list[Queue] = []
        self._safe: dict[Queue, None] = {}  # those that have it, so that they do not get it again
        self._open: i64 = 0
        self._is_sending = False
        self._has_refusals = False
        self._has_to_wait = False  # a queue is faulty
        self._is_lost = False  # a log did not take a copy

    def send(self) -> None:
        """Publish it, as the settings of its queue are now."""
        queue = self.stored.queue
        settings = queue.settings
        name = settings.dead_letter_exchange
        if name is None:
            self._done()
            return
        exchange = queue.vhost.exchanges.get(name)
        if exchange is None:
            self._stranded("no exchange", f"exchange '{name}' does not exist; declare it, or name another one")
            return
        message = self._copy(name, settings.dead_letter_routing_key)
        found = exchange.route(message.address.keys, None, message).queues
        targets = found
        if self.reason != REJECTED:
            before = Deaths(message.content)
            targets = [each for each in found if not before.is_cycle(each.name.encode("utf-8", "surrogateescape"))]
        if not targets:
            if found:
                what = f"it would come back to queue '{found[0].name}' without having been rejected: a cycle; "
                self._stranded("cycle", what + "let the dead letters end in another queue, or reject them")
            else:
                key = message.address.routing_key
                what = f"exchange '{name}' leads nowhere with routing key '{key}'; bind a queue to it"
                self._stranded("no route", what)
        elif self.stored.log_id or settings.at_least_once:
            self._hand_over(message, targets)
        else:
            hand_out(message, targets, None)

    def _copy(self, exchange: str, routing_key: str | None) -> Message:
        """The message as it is published."""
        old = self.stored.message
        queue = self.stored.queue.name.encode("utf-8", "surrogateescape")
        try:
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        except (DecodeError, IndexError):  # it goes on without what cannot be read
            old = old.without_properties()
            headers = deaths.recorded(old, queue, self.reason.encode(), self._died_s)
        if routing_key is not None:
            where = address(exchange, short(routing_key))
        else:
            where = address(exchange, old.address.routing_key, old.address.copies, old.address.hidden)
        return Message(where, patch.with_headers(old.content, headers, False), old.persistent, True)

    # -- hand-over

    def _hand_over(self, message: Message, targets: list[Queue]) -> None:
        """Publish it to those who do not have it, and wait for all of them."""
        self._targets = [target for target in targets if target not in self._safe]
        self._has_refusals = False
        self._has_to_wait = False
        self._is_lost = False
        self._is_sending = True
        self._open = len(self._targets) + 1
        for tag, target in enumerate(self._targets):
            hand_out(message, [target], Confirm(self, tag, 1))
        self._is_sending = False
        self._settled()

    def confirmed(self, tag: i64) -> None:
        """One queue has it safe."""
        self._safe[self._targets[tag]] = None
        self._settled()

    def refused(self, tag: i64) -> None:
        """One queue is full or faulty, which it says at once, or its log has failed, which it says later."""
        self._has_refusals = True
        if self._targets[tag].fault:
            self._has_to_wait = True
        elif not self._is_sending:
            self._is_lost = True
        self._settled()

    def fail(self, doing: str, error: Exception) -> None:
        """It could not be sent, or hear of its copies: it is sent again, and after some times left to its queue."""
        queue = self.stored.queue
        queue.broker.faults.own("send a dead letter", error)
        self._failures += 1
        if self._failures < TRIES:
            queue.broker.worklist.retry(self)
        elif not queue.deleted:
            queue.unfinished.append((self.stored, self.reason))

    def _settled(self) -> None:
        self._open -= 1
        if self._open:
            return
        queue = self.stored.queue
        if self._has_to_wait or (self._has_refusals and queue.settings.at_least_once):
            queue.broker.worklist.retry(self)
        elif not self._is_lost:  # the log of the source keeps that for the next start
            self._done()

    def _stranded(self, kind: str, what: str) -> None:
        """There is nowhere to send it."""
        queue = self.stored.queue
        worklist = queue.broker.worklist
        if queue.settings.at_least_once:
            worklist.explain(queue, kind, f"a dead letter waits, because {what}")
            worklist.retry(self)
        else:
            worklist.explain(queue, kind, f"a dead letter ({self.reason}) was dropped, because {what}")
            self._done()

    def _done(self) -> None:
        if not self.stored.queue.deleted:
            self.stored.queue.forget(self.stored)


class Worklist(Timed):
    """The dead letters that are still to be published, oldest first."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._letters: deque[DeadLetter] = deque()
        self._new: i64 = 0  # added since the last share() was asked for
        self._refused: deque[DeadLetter] = deque()  # those that must arrive, and are sent again later
        self._explained: set[tuple[int, str]] = set()

    def __len__(self) -> int:
        return len(self._letters)

    def add(self, stored: Stored, reason: str) -> None:
        """A message died in a queue with a dead letter exchange."""
        self._new += 1
        self._letters.append(DeadLetter(stored, reason, self._broker.clock.today_ms // 1000))

    def share(self) -> int:
        """How many letters this call has to work off, so that publishers cannot outrun them."""
        share = min(SHARE + int(self._new), MAX_SHARE)
        self._new = 0
        return share

    def work_off(self, share: int) -> int:
        """Send so many, or all. Returns: how many."""
        count = min(share, len(self._letters))
        for _ in range(count):
            letter = self._letters.popleft()
            try:
                letter.send()
            except Exception as error:
                letter.fail("send a dead letter", error)
        return count

    def retry(self, letter: DeadLetter) -> None:
        """Send it again after a while."""
        if letter.stored.queue.deleted:
            return
        if not self._refused:
            self._call_later()
        self._refused.append(letter)

    def fail(self, doing: str, error: Exception) -> None:
        """Those that were refused have their next chance later."""
        self._broker.faults.own("send dead letters again", error)
        if self._refused:
            self._call_later()

    def on_timer(self, token: int) -> None:
        """Those that were refused first have their next chance."""
        for _ in range(min(SHARE, len(self._refused))):
            self._letters.append(self._refused.popleft())
        if self._refused:
            self._call_later()

    def _call_later(self) -> None:
        self._broker.timers.call_at(self._broker.clock.now_ms + RETRY_MS, self)

    def explain(self, queue: Queue, kind: str, what: str) -> None:
        """Tell the operator, once for a queue and a kind of reason."""
        if (queue.queue_id, kind) in self._explained:
            return
        if len(self._explained) >= MAX_EXPLAINED:
            self._explained.clear()
        self._explained.add((queue.queue_id, kind))
        text = f"queue '{queue.name}' in vhost '{queue.vhost.name}': {what}. This is said once for the queue."
        self._broker.explanations.append(text)
