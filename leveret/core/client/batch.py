"""Batch: publishes several messages for an errand, and records the outcome of each."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from leveret.core.client.errand import Errand
from leveret.core.client.publisher import Publisher
from leveret.core.counting.counters import ChannelCounters
from leveret.core.exchange.exchange import Route
from leveret.core.message.message import Address, Message, address
from leveret.wire.properties import BasicProperties

OPEN: Final = 0  # outcome of a message: not known yet
SAFE: Final = 1
UNROUTED: Final = 2  # no queue got it
REFUSED: Final = 3  # a queue did not take it


class Batch(Publisher):
    """The batch of one errand. outcomes: of its messages, in order of publishing. is_settled: none is open."""

    __slots__ = ("_open", "_where", "outcomes")

    def __init__(self, errand: Errand) -> None:
        super().__init__(errand, ChannelCounters(0, errand.counters), None)
        self.wants_confirms = True
        self.outcomes: list[int] = []
        self._open: i64 = 0
        self._where: Address | None = None

    @property
    def is_settled(self) -> bool:
        """Whether the outcomes of all messages are known."""
        return self._open == 0

    def post(self, exchange: str, key: str, properties: BasicProperties, body: bytes) -> None:
        """Publish another message; it has no outcome if it is refused. Raises: Refusal, as Publisher.publish()."""
        where = address(exchange, key)
        self._where = where
        self.outcomes.append(OPEN)
        self._open += 1
        try:
            self.publish_parts(where.encoded, properties, body)
        except BaseException:
            self.outcomes.pop()
            self._open -= 1
            raise

    def end(self) -> None:
        """End the batch."""
        self.party.count_routes()
        self.counters.end()

    def resolve(self, target: bytes) -> Route:
        """The route of the current message. Raises: Refusal."""
        assert self._where is not None
        return self.route_to(self._where, True)

    def named(self, target: bytes) -> Address | None:
        """The address of the current message."""
        return self._where

    def returned(self, message: Message) -> None:
        """No queue gets the current message."""
        self.outcomes[-1] = UNROUTED

    def confirmed(self, tag: i64) -> None:
        """A message is safe, or was not routed."""
        if self.outcomes[tag - 1] == OPEN:
            self.outcomes[tag - 1] = SAFE
        self._open -= 1

    def refused(self, tag: i64, how: int) -> None:
        """A queue did not take a message."""
        self.outcomes[tag - 1] = REFUSED
        self._open -= 1
