"""RemoteLog: a MessageLog that is far away. It takes its time, does not take everything, and may be taken away."""

from __future__ import annotations

from collections.abc import Iterator

from leveret.core.message.log import LogListener, MessageLog, NotHereYet, Recovered
from leveret.core.message.message import Message
from leveret.core.queue.queue import Queue


class RemoteLog(MessageLog):
    """listener: who is told. stored: what is safe, by queue and position. asked: what it has to fetch, by queue.

    on_its_way: what was appended and is neither safe nor refused, by queue and position.
    dropped: queues of which it was told to forget everything.
    """

    def __init__(self, listener: LogListener | None = None) -> None:
        self.listener = listener
        self.stored: dict[int, dict[int, Recovered]] = {}
        self.on_its_way: dict[int, dict[int, Recovered | None]] = {}
        self.asked: dict[int, set[int]] = {}
        self.dropped: set[int] = set()
        self._here: dict[int, set[int]] = {}
        self._delivered: dict[int, int] = {}
        self.is_lost = False

    # -- what a queue asks

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Send it."""
        self._check()
        last = max([0, *self.stored.get(queue_id, ()), *self.on_its_way.get(queue_id, ())])
        assert position > last, f"position {position} of queue {queue_id} comes behind {last}"
        assert message.content
        found = Recovered(queue_id, position, message, False, deadline_ms, level)
        self.on_its_way.setdefault(queue_id, {})[position] = found

    def remove(self, queue_id: int, position: int) -> None:
        """What is on its way will be safe for nothing."""
        self._check()
        self.stored.get(queue_id, {}).pop(position, None)
        if position in self.on_its_way.get(queue_id, {}):
            self.on_its_way[queue_id][position] = None

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """Note it."""
        self._check()
        found = self.stored.get(queue_id, {}).get(position) or self.on_its_way.get(queue_id, {}).get(position)
        if found is not None:
            found.counts = counts

    def delivered(self, queue_id: int, position: int) -> None:
        """Note it."""
        self._check()
        self._delivered[queue_id] = max(position, self._delivered.get(queue_id, 0))

    def drop(self, queue_id: int) -> None:
        """Forget all of a queue."""
        self._check()
        self.dropped.add(queue_id)
        for each in (self.stored, self.on_its_way, self.asked, self._here):
            each.pop(queue_id, None)

    def flush(self) -> None:
        """It sends by itself."""

    def can_rest(self) -> bool:
        """What is safe can rest."""
        return True

    def extent(self, queue_id: int, position: int) -> int:
        """Everything that is safe rests together."""
        self._check()
        stored = self.stored.get(queue_id, {})
        return max(stored) if position in stored else 0

    def fetch(self, queue_id: int, positions: bytes, only_looks: bool = False) -> list[Recovered]:
        """What bring() has brought; all else has to be fetched."""
        self._check()
        wanted = {int.from_bytes(positions[at : at + 8], "big") for at in range(0, len(positions), 8)}
        if not wanted <= self._here.get(queue_id, set()):
            self.asked.setdefault(queue_id, set()).update(wanted)
            raise NotHereYet("the messages are on their way")
        self._here[queue_id] -= wanted
        stored = self.stored.get(queue_id, {})
        found = [stored[position] for position in sorted(wanted) if position in stored]
        for each in found:
            each.redelivered = each.position <= self._delivered.get(queue_id, 0)
        return found

    def recover(self) -> Iterator[Recovered]:
        """What is safe."""
        for queue_id, stored in sorted(self.stored.items()):
            for position, found in sorted(stored.items()):
                found.redelivered = position <= self._delivered.get(queue_id, 0)
                yield found

    def close(self) -> None:
        """Let go."""

    # -- what happens far away

    def commit(self) -> None:
        """All that is on its way arrives."""
        for queue_id, waiting in list(self.on_its_way.items()):
            for position, found in waiting.items():
                if found is not None:
                    self.stored.setdefault(queue_id, {})[position] = found
            last = max(waiting, default=0)
            waiting.clear()
            if last:
                self._told().on_durable(queue_id, last)

    def refuse(self, again: bool) -> list[int]:
        """Nothing of what is on its way arrives. Returns: positions of what was to survive, and was not removed."""
        refused: list[int] = []
        for queue_id, waiting in list(self.on_its_way.items()):
            positions = [position for position, found in waiting.items() if found is not None]
            last = max(waiting, default=0)
            waiting.clear()
            if positions:
                self._told().on_refused(queue_id, positions, "there is no room", again)
            if last:
                self._told().on_durable(queue_id, last)
            refused += positions if queue_id > 0 else []
        return refused

    def bring(self) -> bool:
        """What was asked for comes. Returns: whether anything was."""
        asked, self.asked = self.asked, {}
        for queue_id, positions in asked.items():
            self._here.setdefault(queue_id, set()).update(positions)
            self._told().on_fetched(queue_id)
        return bool(asked)

    def lose(self, queue: Queue) -> None:
        """Another node has the queue."""
        self.is_lost = True
        self.on_its_way.clear()
        self._told().on_lost(queue.queue_id, "node b has taken it over")

    def _told(self) -> LogListener:
        assert self.listener is not None
        return self.listener

    def _check(self) -> None:
        assert not self.is_lost, "nobody asks a log for anything that is not theirs any more"
