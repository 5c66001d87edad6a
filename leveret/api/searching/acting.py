"""Actions on the messages that a walk has found, a few at a time.

Few messages are in transfer at a time, and a crash leaves each of them in one place (core/client/transfer.py).
"""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import Final

from leveret.api.errors import bad_request, not_found
from leveret.api.searching.candidate import Candidate
from leveret.core.access.user import READ, WRITE, User
from leveret.core.client.transfer import DONE, GONE, Transfer
from leveret.core.exchange.exchange import Exchange
from leveret.core.exchange_types.kinds import TOPIC
from leveret.core.message.destination import Destination, give_up
from leveret.core.message.message import Message
from leveret.core.message.redrive import origin_of, sent_back
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.wire.fields import DecodeError

REASONS: Final = 20  # distinct reasons for skipped messages; others are counted together
DEFAULT_EXCHANGE: Final = ""


class Tally:
    """The results of an action. skipped: number of skipped messages, by reason."""

    def __init__(self) -> None:
        self.done = 0
        self.gone = 0
        self.refused = 0
        self.skipped: Counter[str] = Counter()

    def skip(self, reason: str) -> None:
        """Count a skipped message."""
        known = reason in self.skipped or len(self.skipped) < REASONS
        self.skipped[reason if known else "other reasons"] += 1

    def count(self, outcome: int) -> None:
        """Count a message. outcome: an outcome of Transfer."""
        if outcome == DONE:
            self.done += 1
        elif outcome == GONE:
            self.gone += 1
        else:
            self.refused += 1


class Action:
    """An action on messages. tally: its results. verb, where: words around the count in the log.

    publishes: whether it publishes messages, and so must wait while publishers are blocked.
    """

    verb = ""
    where = ""
    publishes = True

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.transfer = Transfer(queue)
        self.tally = Tally()

    def told(self) -> str:
        """The result, for the log."""
        return f"{self.verb} {self.tally.done} messages of {self.queue}{self.where}"

    @abstractmethod
    def do(self, candidate: Candidate, is_dry: bool) -> None:
        """Act on one message, or only count it in a dry run. Raises: Refusal."""


class Delete(Action):
    """Deletes messages without dead-lettering them."""

    verb = "deleted"
    publishes = False

    def do(self, candidate: Candidate, is_dry: bool) -> None:
        """Delete one message."""
        self.tally.count(DONE if is_dry else self.transfer.delete(candidate.entry))


class ToFront(Action):
    """Moves messages to the front of their queue, in their order."""

    verb, where = "moved", " to its front"

    def do(self, candidate: Candidate, is_dry: bool) -> None:
        """Move one message to the front."""
        self.tally.count(DONE if is_dry else self.transfer.put_in_front(candidate.entry))


class Target:
    """The target of an action. Creating one raises Refusal or ApiError if the user may not use it."""

    text = ""

    @abstractmethod
    def find(self, message: Message, is_dry: bool) -> list[Destination]:
        """The destinations of one message. Raises: Refusal FORBIDDEN for a routing key."""


class ToQueue(Target):
    """A queue as target, without routing."""

    def __init__(self, queue: Queue) -> None:
        self.text = f"to {queue}"
        self._found: list[Destination] = [queue]

    def find(self, message: Message, is_dry: bool) -> list[Destination]:
        """The queue."""
        return self._found


class ToExchange(Target):
    """An exchange as target, which routes the messages. key: replaces the routing keys of a message."""

    def __init__(self, exchange: Exchange, key: str | None, user: User) -> None:
        self.text = f"to {exchange}"
        self._exchange = exchange
        self._key = key
        self._user = user

    def find(self, message: Message, is_dry: bool) -> list[Destination]:
        """The queues to which the exchange routes the message. Raises: Refusal FORBIDDEN."""
        exchange = self._exchange
        keys = [self._key] if self._key is not None else message.address.keys
        if exchange.kind == TOPIC:
            self._user.check_topics(WRITE, exchange.name, keys, exchange.vhost.name)
        return exchange.route(keys, None, None if is_dry else message).queues


class Send(Action):
    """Moves or copies messages to a target. Call aim() first."""

    def __init__(self, queue: Queue, keeps: bool) -> None:
        super().__init__(queue)
        self._keeps = keeps
        self._target: Target | None = None

    def aim(self, target: Target) -> None:
        """Set the target."""
        self._target = target
        self.verb, self.where = "copied" if self._keeps else "moved", f" {target.text}"

    def made(self, candidate: Candidate) -> Message:
        """The message to send. Raises: DecodeError if it cannot be made."""
        return candidate.entry.message

    def do(self, candidate: Candidate, is_dry: bool) -> None:
        """Send one message. Raises: Refusal."""
        assert self._target is not None
        try:
            message = self.made(candidate)
        except DecodeError as error:
            self.tally.skip(str(error))
            return
        found = self._target.find(message, is_dry)
        if not found:
            self.tally.skip("it reaches no queue")
        elif is_dry:
            self.tally.count(DONE)
        elif self._keeps:
            self.tally.count(self.transfer.copy(message, found))
        else:
            outcome = self.transfer.move(candidate.entry, message, found)
            if outcome != DONE:
                give_up(message, found)
            self.tally.count(outcome)


class Redrive(Action):
    """Sends dead letters back to the queues in which they died. most: how often one may be sent back."""

    def __init__(self, queue: Queue, vhost: VirtualHost, most: int) -> None:
        super().__init__(queue)
        self.verb, self.where = "sent", " back to where they died"
        self._vhost = vhost
        self._most = most

    def do(self, candidate: Candidate, is_dry: bool) -> None:
        """Send one dead letter back."""
        origin = origin_of(candidate.entry.message)
        if origin is None:
            self.tally.skip("it does not name the queue in which it died")
            return
        if origin.redriven >= self._most:
            self.tally.skip(f"it was already sent back {'once' if self._most == 1 else f'{self._most} times'}")
            return
        home = self._vhost.queues.get(origin.queue)
        if home is None or home.deleted:
            self.tally.skip(f"queue '{origin.queue[:60]}' no longer exists")
            return
        if home is self.queue:
            self.tally.skip("it died in this queue")
            return
        if home.owner:
            self.tally.skip(f"queue '{origin.queue[:60]}' is exclusive")
            return
        if is_dry:
            self.tally.count(DONE)
            return
        try:
            message = sent_back(candidate.entry.message, origin)
        except DecodeError as error:
            self.tally.skip(str(error))
            return
        self.transfer.check(home)
        self.tally.count(self.transfer.move(candidate.entry, message, [home]))


def source(vhost: VirtualHost, user: User, name: str) -> Queue:
    """The queue to search, if the user may read from it. Raises: ApiError 404, Refusal FORBIDDEN, LOCKED, FAULTY."""
    user.check(READ, "queue", name, vhost.name)
    return _shared(vhost, name)


def _shared(vhost: VirtualHost, name: str) -> Queue:
    queue = vhost.queues.get(name)
    if queue is None:
        raise not_found(f"there is no queue '{name[:255]}' in virtual host '{vhost.name}'")
    queue.check_owner(0)
    queue.check_fault()
    return queue


def queue_target(vhost: VirtualHost, user: User, name: str, transfer: Transfer) -> Target:
    """A queue as target, if the user may publish to the default exchange. Raises: ApiError 404, Refusal."""
    user.check(WRITE, "exchange", DEFAULT_EXCHANGE, vhost.name)
    queue = _shared(vhost, name)
    transfer.check(queue)
    return ToQueue(queue)


def exchange_target(vhost: VirtualHost, user: User, name: str, key: str | None) -> Target:
    """An exchange as target, if the user may publish to it. Raises: ApiError 404, 400, Refusal."""
    user.check(WRITE, "exchange", name, vhost.name)
    exchange = vhost.exchanges.get(name)
    if exchange is None:
        raise not_found(f"there is no exchange '{name[:255]}' in virtual host '{vhost.name}'")
    if exchange.internal:
        raise bad_request(f"exchange '{name[:255]}' is internal: clients cannot publish to it")
    return ToExchange(exchange, key, user)
