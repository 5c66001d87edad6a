"""Group: what happened since the last commit, and is written in one transaction."""

from __future__ import annotations

from leveret.core.message import Message
from leveret.store.chunk import Entry


class Group:
    """Built by the core's thread, then handed to the committer, who alone uses it from then on.

    highest: by queue, the last position that is durable once the group is, removed ones included.
    revision: of the definitions in it.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.removed: list[tuple[int, int]] = []
        self.dropped: list[int] = []
        self.delivered: dict[int, int] = {}
        self.definitions: list[tuple[str, str, bytes | None]] = []
        self.highest: dict[int, int] = {}
        self.revision = 0
        self._places: dict[int, dict[int, Entry]] = {}  # by queue and position, of entries

    def has_work(self) -> bool:
        """Whether somebody waits for this to be durable. What consumers were given alone is no reason to write."""
        return bool(self.highest or self.removed or self.dropped or self.definitions)

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int) -> None:
        """A message for a queue. One that goes to several queues in a row is kept once."""
        entry = self.entries[-1] if self.entries else None
        if entry is None or entry.message is not message or len(entry.places) == 0xFFFF:
            entry = Entry(message, [])
            self.entries.append(entry)
        entry.places.append((queue_id, position, deadline_ms))
        self.highest[queue_id] = position
        places = self._places.get(queue_id)
        if places is None:
            places = self._places[queue_id] = {}
        places[position] = entry

    def remove(self, queue_id: int, position: int) -> None:
        """A message that need not be kept. If it is still in this group, it never will be written."""
        places = self._places.get(queue_id)
        entry = places.pop(position, None) if places is not None else None
        if entry is None:
            self.removed.append((queue_id, position))
        else:
            entry.remove(queue_id, position)

    def drop(self, queue_id: int) -> None:
        """A queue that is deleted."""
        places = self._places.pop(queue_id, None)
        if places is not None:
            for position, entry in places.items():
                entry.remove(queue_id, position)
        self.highest.pop(queue_id, None)
        self.delivered.pop(queue_id, None)
        self.dropped.append(queue_id)

    def carry_over(self, failed: Group) -> None:
        """Take what must not be lost from a group that could not be written, in front of what is here."""
        self.removed = failed.removed + self.removed
        self.dropped = failed.dropped + self.dropped
        self.definitions = failed.definitions + self.definitions
        self.delivered = {**failed.delivered, **self.delivered}
        self.revision = max(self.revision, failed.revision)
