"""Publishes: records the publishes of clients for tests, and applies the rules of injected faults."""

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

KEPT = 10_000  # latest publishes to remember


@dataclass(slots=True)
class Rule:
    """A rule for publishes.

    vhost: the virtual host. applies: whether a publish is affected. left: remaining number of publishes, None for no
    limit. error: for the publisher; None to apply the verdict of core/queue/client.py. hold: receives held confirms.
    """

    vhost: str
    verdict: int
    applies: Callable[[Party, CoreMessage, list[Destination]], bool]
    left: int | None = None
    error: AmqpError | None = None
    hold: Callable[[Confirm], None] | None = None


@dataclass(slots=True)
class _Entry:
    """A publish. Its message is only decoded on demand."""

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
    """The publishes of one broker. rules: the first matching rule applies. recordings: active recordings."""

    def __init__(self) -> None:
        self.rules: list[Rule] = []
        self.recordings: list[Recording] = []
        self._entries: deque[_Entry] = deque(maxlen=KEPT)
        self._holding: Rule | None = None  # of the last publish

    def published(self, vhost: str, exchange: str | None, routing_key: str | None) -> list[Published]:
        """The publishes in a virtual host, oldest first; None for any exchange or routing key."""
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
        """The number of publishes that published() would return."""
        return sum(
            entry.vhost == vhost
            and exchange in (None, entry.message.address.exchange)
            and routing_key in (None, entry.message.address.routing_key)
            for entry in self._entries
        )

    def forget(self, vhost: str) -> None:
        """Forget all publishes in a virtual host."""
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
        """Record a publish and apply the rules. Raises: Refusal."""
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
            raise AmqpError(rule.error.code, rule.error.text)  # a new one, as raising adds a traceback
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
        """Count one use of a rule."""
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0:
                self.rules.remove(rule)

    def on_held(self, confirm: Confirm) -> None:
        """Pass a held confirm to its rule."""
        rule = self._holding
        assert rule is not None
        assert rule.hold is not None
        self._count(rule)
        rule.hold(confirm)

    def on_delivery(self, client: Client, entry: QueueEntry, tag: int, no_ack: bool, is_get: bool) -> None:
        """Record the event."""
        assert isinstance(client, Party)
        for recording in self.recordings:
            recording.delivered(client.label, entry, no_ack)

    def on_settle(self, entry: QueueEntry, how: int) -> None:
        """Record the event."""
        for recording in self.recordings:
            recording.settled(entry, how)
