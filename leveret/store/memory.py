"""Logs in memory: for brokers without a data directory, and as the reference in tests."""

from __future__ import annotations

from collections.abc import Iterator

from mypy_extensions import i64

from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import LogListener, MessageLog, Recovered
from leveret.core.message.message import Message
from leveret.core.turn.alarms import BEHIND_BYTES
from leveret.store.news import News


class Kept:
    """Simulated disk contents: definitions, and for each queue its messages and its highest delivered position."""

    def __init__(self) -> None:
        self.definitions: dict[tuple[str, str], bytes] = {}
        self.messages: dict[int, dict[int, Recovered]] = {}
        self.delivered: dict[int, int] = {}


class MemoryLog(MessageLog, DefinitionLog):
    """Stores only the events to report at the next flush.

    hold: delay the events until release(), like a slow disk. kept: stores everything else, for the log of a broker
    that continues after this one.
    """

    def __init__(self, hold: bool = False, kept: Kept | None = None) -> None:
        self._hold = hold
        self._kept = kept
        self._news = News()  # appended messages are durable as soon as that is reported
        self._size: i64 = 0  # bytes of delayed contents

    @property
    def listener(self) -> LogListener | None:
        """The listener for events of the log."""
        return self._news.listener

    @listener.setter
    def listener(self, listener: LogListener | None) -> None:
        """Set the listener."""
        self._news.listener = listener

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Durable at the next flush."""
        self._news.durable[queue_id] = position
        if self._hold:
            self._size += len(message.content)
        if self._kept is not None:
            found = Recovered(queue_id, position, message, False, deadline_ms, level)
            self._kept.messages.setdefault(queue_id, {})[position] = found

    def remove(self, queue_id: int, position: int) -> None:
        """Gone at once."""
        if self._kept is not None and queue_id in self._kept.messages:
            self._kept.messages[queue_id].pop(position, None)

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """Noted at once."""
        if self._kept is not None:
            found = self._kept.messages.get(queue_id, {}).get(position)
            if found is not None:
                found.counts = counts

    def delivered(self, queue_id: int, position: int) -> None:
        """Noted at once."""
        if self._kept is not None:
            self._kept.delivered[queue_id] = max(position, self._kept.delivered.get(queue_id, 0))

    def drop(self, queue_id: int) -> None:
        """Gone at once, with its unreported events."""
        self._news.durable.pop(queue_id, None)
        if self._kept is not None:
            self._kept.messages.pop(queue_id, None)
            self._kept.delivered.pop(queue_id, None)

    def flush(self) -> None:
        """Report to the listener that everything is durable."""
        if not self._hold:
            self.release()
        elif self._size > BEHIND_BYTES:
            self._news.tell_behind(True)

    def release(self) -> None:
        """Report delayed events to the listener."""
        self._news.tell()
        if self._hold:
            self._size = 0
            self._news.tell_behind(False)

    def recover(self) -> Iterator[Recovered]:
        """The stored messages."""
        found: list[Recovered] = []
        if self._kept is not None:
            for queue_id, messages in self._kept.messages.items():
                delivered = self._kept.delivered.get(queue_id, 0)
                for position in sorted(messages):
                    message = messages[position]
                    message.redelivered = position <= delivered
                    found.append(message)
        return iter(found)

    def close(self) -> None:
        """Do nothing."""

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Durable at the next flush."""
        if self._kept is not None:
            self._kept.definitions[kind, key] = value
        self._news.revision += 1
        return self._news.revision

    def delete(self, kind: str, key: str) -> int:
        """Durable at the next flush."""
        if self._kept is not None:
            self._kept.definitions.pop((kind, key), None)
        self._news.revision += 1
        return self._news.revision

    def load(self) -> list[tuple[str, str, bytes]]:
        """The stored definitions."""
        if self._kept is None:
            return []
        return [(kind, key, value) for (kind, key), value in self._kept.definitions.items()]
