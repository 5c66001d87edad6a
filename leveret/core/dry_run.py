"""A broker for dry runs: same rules, no clients, nothing stored."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.broker import Broker
from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import MessageLog, Recovered
from leveret.core.message.message import Message
from leveret.core.turn.clock import Clock


class NoLog(MessageLog, DefinitionLog):
    """A log that stores nothing and reports nothing."""

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Store nothing."""

    def remove(self, queue_id: int, position: int) -> None:
        """Do nothing."""

    def delivered(self, queue_id: int, position: int) -> None:
        """Do nothing."""

    def drop(self, queue_id: int) -> None:
        """Do nothing."""

    def flush(self) -> None:
        """Do nothing."""

    def recover(self) -> Iterator[Recovered]:
        """Return nothing."""
        return iter(())

    def close(self) -> None:
        """Do nothing."""

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Store nothing."""
        return 0

    def delete(self, kind: str, key: str) -> int:
        """Do nothing."""
        return 0

    def load(self) -> list[tuple[str, str, bytes]]:
        """Return nothing."""
        return []


def dry_run_broker(broker: Broker) -> Broker:
    """An empty broker with the same clock and node name."""
    log = NoLog()
    return Broker(log, log, Clock(broker.clock.now_ms, broker.clock.today_ms), 1, broker.node)
