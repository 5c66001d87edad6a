"""Publishes: what clients did with messages, for tests to look at, and the rules by which publishes go wrong."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from leveret.core.client.party import Party
from leveret.core.message.confirm import Confirm
from leveret.core.message.destination import Destination
from leveret.core.message.message import Message as CoreMessage
from leveret.core.queue.client import HOLD, PASS, REFUSE, STRAY, Client, Observer
from leveret.core.queue.entry import QueueEntry
from leveret.session.base.errors import AmqpError
from leveret.testing.messages import Published, details

if TYPE_CHECKING:
    from leveret.management.recording import Recording

KEPT = 10_000  # publishes that are remembered: the last ones


@dataclass(slots=True)
class Rule:
    """What becomes of some publishes.

    vhost: where. applies: of which. left: of how many more, None for any number. error: what their publishers get,
    None for the verdict of core/queue/client.py. hold: who gets the confirms that are held.
    """

    vhost: str
    verdict: int
    applies: Callable[[Party, CoreMessage, list[Destination]], bool]
    left: int | None = None
    error: AmqpError | None = None
    hold: Callable[[Confirm], None] | None = None


@dataclass(slots=True)
class _Entry:
    """A publish. Its message is not decoded before somebody wants to see it."""

    vhost: str
    message: CoreMessage
    queues: tuple[str, ...]
    outcome: str
    mandatory: bool
    connection: str

    def shown(self) -> Published:
        return Published(
            **details(self.message),
            queues=self.queues,
            outcome=self.outcome,
            mandatory=self.mandatory,
            connection=self.connection,
        )


class Publishes(Observer):
    """Of one broker. rules: the first that applies holds. recordings: who writes everything down."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.recordings: list[Recording] = []
        self._entries: deque[_Entry] = deque(maxlen=KEPT)
        self._holding: Rule | None = None  # of the last publish

    def published(self, vhost: str, exchange: str | None, routing_key: str | None) -> list[Published]:
        """What was published in a virtual host, oldest first; None for any exchange or routing key."""
        return [
            entry.shown()
            for entry in self._entries
            if entry.vhost == vhost
            and exchange in (None, entry.message.address.exchange)
            and routing_key in (None, entry.message.address.routing_key)
        ]

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.rules.clear()

    def last(self) -> Published:
        """The last publish."""
        return self._entries[-1].shown()

    def count(self, vhost: str, exchange: str | None, routing_key: str | None) -> int:
        """How many publishes published() would show."""
        return sum(
            entry.vhost == vhost
            and exchange in (None, entry.message.address.exchange)
            and routing_key in (None, entry.message.address.routing_key)
            for entry in self._entries
        )

    def forget(self, vhost: str) -> None:
        """A virtual host is gone, with what was published there."""
        self._entries = deque((entry for entry in self._entries if entry.vhost != vhost), maxlen=KEPT)

    def note(
        self,
        connection: str,
        vhost: str,
        message: CoreMessage,
        queues: list[Destination],
        outcome: str,
        mandatory: bool,
    ) -> None:
        """Remember a publish. connection: empty for none."""
        names = [queue.name for queue in queues if queue.name]
        self._entries.append(_Entry(vhost, message, tuple(names), outcome, mandatory, connection))
        for recording in self.recordings:
            recording.published(connection, vhost, message, names, outcome)

    # -- Observer

    def on_publish(self, client: Client, message: CoreMessage, queues: list[Destination], mandatory: bool) -> int:
        """Remember it, and let it go wrong if a rule says so. Raises: Refusal."""
        assert isinstance(client, Party)
        rule = self._rule(client, message, queues)
        verdict = PASS if rule is None else rule.verdict
        if rule is not None and rule.error is not None:
            outcome = "refused"
        elif verdict == REFUSE:
            outcome = "nacked"
        elif verdict == STRAY or not queues:
            outcome = "returned" if mandatory else "unroutable"
        else:
            outcome = "routed"
        reached = queues if outcome == "routed" else []
        self.note(client.label, client.vhost.name, message, reached, outcome, mandatory)
        if rule is not None and rule.error is not None:
            raise AmqpError(rule.error.code, rule.error.text)  # a new one: it gets a traceback
        self._holding = rule
        return verdict

    def _rule(self, client: Party, message: CoreMessage, queues: list[Destination]) -> Rule | None:
        for rule in self.rules:
            if rule.vhost == client.vhost.name and rule.applies(client, message, queues):
                if rule.verdict != HOLD:
                    self._count(rule)
                return rule
        return None

    def _count(self, rule: Rule) -> None:
        """A rule was used."""
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0:
                self.rules.remove(rule)

    def on_held(self, confirm: Confirm) -> None:
        """Hand it to who wanted it."""
        rule = self._holding
        assert rule is not None
        assert rule.hold is not None
        self._count(rule)
        rule.hold(confirm)

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Write it down."""
        assert isinstance(client, Party)
        for recording in self.recordings:
            recording.delivered(client.label, entry, no_ack)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Write it down."""
        for recording in self.recordings:
            recording.settled(entry, how)
