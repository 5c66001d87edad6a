"""A broker to try things out on: it has the same rules, no clients, and nothing of it is kept."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.broker import Broker
from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import MessageLog, Recovered
from leveret.core.message.message import Message
from leveret.core.turn.clock import Clock


class NoLog(MessageLog, DefinitionLog):
    """Keeps nothing and tells nothing."""

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Nothing is kept."""

    def remove(self, queue_id: int, position: int) -> None:
        """Nothing is kept."""

    def delivered(self, queue_id: int, position: int) -> None:
        """Nothing is kept."""

    def drop(self, queue_id: int) -> None:
        """Nothing is kept."""

    def flush(self) -> None:
        """There is nothing to write."""

    def recover(self) -> Iterator[Recovered]:
        """Nothing was kept."""
        return iter(())

    def close(self) -> None:
        """There is nothing to let go of."""

    def put(self, kind: str, key: str, value: bytes) -> int:
        """Nothing is kept."""
        return 0

    def delete(self, kind: str, key: str) -> int:
        """Nothing is kept."""
        return 0

    def load(self) -> list[tuple[str, str, bytes]]:
        """Nothing was kept."""
        return []


def dry_run_broker(broker: Broker) -> Broker:
    """An empty broker at the same time of day, under the same name."""
    log = NoLog()
    return Broker(log, log, Clock(broker.clock.now_ms, broker.clock.today_ms), 1, broker.node)
