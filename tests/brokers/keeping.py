"""KeepingLog: a MessageLog for tests that want to see what a broker would find again after a crash."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.broker import Broker
from leveret.core.message.log import MessageLog, Recovered
from leveret.core.message.message import Message
from leveret.core.turn.clock import Clock
from leveret.store.memory import MemoryLog


class KeepingLog(MessageLog):
    """kept: bodies of what it was asked to keep, by queue and position. hold: as of MemoryLog."""

    def __init__(self, hold: bool = False) -> None:
        self.memory = MemoryLog(hold)
        self.kept: dict[tuple[int, int], bytes] = {}

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Keep it."""
        self.memory.append(queue_id, position, message, deadline_ms, level)
        self.kept[queue_id, position] = message.body()

    def remove(self, queue_id: int, position: int) -> None:
        """Keep it no longer."""
        del self.kept[queue_id, position]

    def delivered(self, queue_id: int, position: int) -> None:
        """Nothing to keep."""

    def drop(self, queue_id: int) -> None:
        """Keep nothing of the queue."""
        self.memory.drop(queue_id)
        self.kept = {place: body for place, body in self.kept.items() if place[0] != queue_id}

    def flush(self) -> None:
        """Say what is durable, unless that is held back."""
        self.memory.flush()

    def recover(self) -> Iterator[Recovered]:
        """Nothing survived."""
        return self.memory.recover()

    def close(self) -> None:
        """Nothing to do."""

    def of(self, queue_id: int) -> list[bytes]:
        """What is kept for a queue, in order."""
        return [body for (owner, _), body in sorted(self.kept.items()) if owner == queue_id]

    def broker(self) -> Broker:
        """A broker that uses this log, at time 0."""
        broker = Broker(self, self.memory, Clock(), seed=1, node="test")
        self.memory.listener = broker.news
        return broker
