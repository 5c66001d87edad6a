"""SeenValues: the deduplication window; bounded in number of values and, optionally, in time.

Values are stored in batches, one batch for each call into the broker. A durable window writes each batch as one value
of the DefinitionLog, in the same transaction as the messages of that call, and deletes it when all its values have
expired. So the window contains every confirmed message after any crash, and no lost message. A duplicate of a message
that is not safe yet is confirmed when the original is.
"""

from __future__ import annotations

import json
from collections import deque
from typing import Final

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64

from leveret.core.definition.form import DEDUPLICATION
from leveret.core.definition.log import Journal
from leveret.core.errors.bounds import MILLISECONDS
from leveret.core.message.confirm import AGAIN, Confirm
from leveret.core.message.hashing import shortened
from leveret.core.queue.surroundings import Surroundings
from leveret.core.turn.background import BackgroundJob
from leveret.core.turn.work import PIECE
from leveret.wire.arguments import ArgumentReader
from leveret.wire.fields import write_longstr

BATCH: Final = 1024  # values in a batch at most
COST: Final = 200  # approximate overhead of a value in memory, in bytes
OVER: Final = 1  # a time in the past
TRIM: Final = 16  # values that are removed for each new one, at most


class ValueBatch:
    """Some values, in the order in which they were seen.

    first: sequence number of the first value. gone: how many at the front have been removed.
    is_saved: whether the DefinitionLog has the batch.
    """

    __slots__ = ("first", "gone", "is_saved", "size", "values")

    def __init__(self, first: int) -> None:
        self.first = first
        self.values: list[bytes] = []
        self.gone = 0
        self.is_saved = False
        self.size: i64 = 0  # approximate memory of its values, in bytes

    def add(self, value: bytes) -> i64:
        """Add a value. Returns: its approximate memory in bytes."""
        self.values.append(value)
        size: i64 = COST + len(value)
        self.size += size
        return size

    @property
    def end(self) -> int:
        """Sequence number of the first value after the batch."""
        return self.first + len(self.values)


class Reservation:
    """A value whose message is on its way to its queues.

    ttl_ms: how long to remember it, 0 for as long as there is room. confirms: of duplicates; they share the fate of
    the message.
    """

    __slots__ = ("confirms", "ttl_ms")

    def __init__(self, ttl_ms: int) -> None:
        self.ttl_ms = ttl_ms
        self.confirms: list[Confirm] = []


class SeenValues(Journal):
    """The values of one exchange. name: vhost and exchange, for a window that survives a restart; None for others."""

    def __init__(self, broker: Surroundings, size: int, name: tuple[str, str] | None) -> None:
        self._broker = broker
        self._size = size
        self._name = name
        self._seen: dict[bytes, tuple[int, int]] = {}  # sequence number, and expiry (0 for never)
        self._reserved: dict[bytes, Reservation] = {}
        self._batches: deque[ValueBatch] = deque((ValueBatch(0),))  # new values go to the last one
        self._waits_for_save = False
        self._safe_end = 0  # values with lower numbers are durable
        self._unsafe: deque[tuple[int, int]] = deque()  # of written batches: revision and end
        self._echoes: deque[tuple[int, Confirm]] = deque()  # of duplicates: number that must be safe, ascending

    @property
    def is_durable(self) -> bool:
        """Whether it survives a restart."""
        return self._name is not None

    def __len__(self) -> int:
        return len(self._seen)

    def has(self, value: bytes) -> bool:
        """Whether a value is in the window, or is reserved."""
        if value in self._reserved:
            return True
        seen = self._seen.get(value)
        return seen is not None and (seen[1] == 0 or seen[1] > self._broker.clock.wall_ms)

    def is_safe(self, value: bytes) -> bool:
        """Whether the message of a value in the window is in its queues and, if durable, the value is on disk."""
        if value in self._reserved:
            return False
        return self._name is None or self._seen[value][0] < self._safe_end

    def when_safe(self, value: bytes | None, confirm: Confirm) -> None:
        """Confirm a duplicate when its value is safe, or refuse it when the value is discarded."""
        reservation = self._reserved.get(value) if value is not None else None
        if reservation is not None:
            reservation.confirms.append(confirm)
        elif self._name is None:
            confirm.pay()
        else:
            self._wait(confirm)

    def _wait(self, confirm: Confirm) -> None:
        """Send a confirm when all values so far are safe."""
        self._echoes.append((self._batches[-1].end - 1, confirm))

    def on_durable(self, revision: int) -> None:
        """The DefinitionLog is durable up to this revision."""
        while self._unsafe and self._unsafe[0][0] <= revision:
            self._safe_end = self._unsafe.popleft()[1]
        while self._echoes and self._echoes[0][0] < self._safe_end:
            self._echoes.popleft()[1].pay()

    def reserve(self, value: bytes, ttl_ms: int) -> None:
        """Reserve a new value, whose message is about to be put into queues."""
        self._reserved[value] = Reservation(ttl_ms)

    def keep(self, value: bytes) -> None:
        """The message of a reserved value was accepted: add the value."""
        reservation = self._reserved.pop(value, None)
        if reservation is None:
            return  # the exchange was deleted meanwhile
        self.add(value, self._broker.clock.wall_ms + reservation.ttl_ms if reservation.ttl_ms else 0)
        for confirm in reservation.confirms:
            if self._name is None:
                confirm.pay()
            else:
                self._wait(confirm)

    def release(self, value: bytes) -> None:
        """The message of a reserved value was refused: refuse its duplicates too."""
        reservation = self._reserved.pop(value, None)
        if reservation is not None:
            for confirm in reservation.confirms:
                confirm.refuse(AGAIN)

    def add(self, value: bytes, over_ms: int) -> None:
        """Add a new value. over_ms: expiry in milliseconds since 1970; 0 for as long as there is room."""
        batch = self._batches[-1]
        if len(batch.values) >= BATCH:
            self.save()
            batch = self._batches[-1]
        self._seen[value] = (batch.end, over_ms)
        self._broker.budget.used += batch.add(value)
        self._trim()
        if self._name is not None and not self._waits_for_save:
            self._waits_for_save = True
            self._broker.unsaved.append(self)

    def save(self) -> None:
        """Write the current batch, and begin another one."""
        self._waits_for_save = False
        batch = self._batches[-1]
        if not batch.values:
            return
        if self._name is not None:
            self._unsafe.append((self._broker.keep(DEDUPLICATION, self._key(batch), self._packed(batch)), batch.end))
            batch.is_saved = True
        self._batches.append(ValueBatch(batch.end))
        self._trim()

    def fail(self, doing: str, error: Exception) -> None:
        """Writing failed: discard the values that are not durable, so that later ones can be written."""
        self._broker.faults.own(doing, error)
        self.lose()

    def lose(self) -> None:
        """The log has failed: discard values that are not durable, since their messages may be lost and sent again."""
        end = self._batches[-1].end
        while self._batches and self._batches[-1].first >= self._safe_end:
            self._forget(self._batches.pop())
        self._batches.append(ValueBatch(end))
        self._unsafe.clear()
        self._safe_end = end
        echoes, self._echoes = self._echoes, deque()
        for _, confirm in echoes:
            confirm.refuse(AGAIN)

    def clear(self) -> None:
        """Discard the window, also on disk. Its memory is freed in pieces."""
        for value in list(self._reserved):
            self.release(value)
        seen, self._seen = self._seen, {}
        batches, self._batches = self._batches, deque((ValueBatch(self._batches[-1].end),))
        for batch in batches:
            self._delete(batch)
        self._safe_end = 0
        self.lose()
        self._broker.background.begin(Forgetting(self._broker, seen, batches))

    def restore(self, first: int, value: bytes) -> None:
        """Restore a batch from the log at start-up; called in the order of writing."""
        values: list[tuple[int, bytes]] = []
        reader = ArgumentReader(value, 0)
        while not reader.is_at_end():
            values.append((MILLISECONDS.nearest(reader.u64()), shortened(reader.longstr())))
        batch = self._batches[-1]
        batch.first = first
        batch.is_saved = True
        now_ms = self._broker.clock.wall_ms
        for over_ms, seen in values:
            if over_ms == 0 or over_ms > now_ms:
                self._seen[seen] = (batch.end, over_ms)
            self._broker.budget.used += batch.add(seen)
        self._safe_end = batch.end
        self._batches.append(ValueBatch(batch.end))
        self._trim(len(self._seen) + BATCH)

    def _trim(self, most: int = TRIM) -> None:
        """Remove the oldest values that are too many or expired, at most `most` of them."""
        now_ms = self._broker.clock.wall_ms
        while True:
            batch = self._batches[0]
            while batch.gone < len(batch.values):
                if most == 0:
                    return
                most -= 1
                value = batch.values[batch.gone]
                seen = self._seen.get(value)
                if seen is not None and seen[0] == batch.first + batch.gone:
                    if len(self._seen) <= self._size and (seen[1] == 0 or seen[1] > now_ms):
                        return
                    del self._seen[value]
                batch.gone += 1
            if len(self._batches) == 1:
                return
            self._batches.popleft()
            self._delete(batch)

    def _forget(self, batch: ValueBatch) -> None:
        for at, value in enumerate(batch.values):
            seen = self._seen.get(value)
            if seen is not None and seen[0] == batch.first + at:
                del self._seen[value]
        self._delete(batch)

    def _delete(self, batch: ValueBatch) -> None:
        self._broker.budget.used -= batch.size
        if batch.is_saved:
            self._broker.unkeep(DEDUPLICATION, self._key(batch))

    def _key(self, batch: ValueBatch) -> str:
        assert self._name is not None
        return json.dumps([*self._name, str(batch.first)])

    def _packed(self, batch: ValueBatch) -> bytes:
        out = BytesWriter()
        for at, value in enumerate(batch.values):
            seen = self._seen.get(value)
            write_i64_be(out, seen[1] if seen is not None and seen[0] == batch.first + at else OVER)
            write_longstr(out, value)
        return out.getvalue()


class Forgetting(BackgroundJob):
    """Frees the memory of discarded values."""

    def __init__(self, broker: Surroundings, seen: dict[bytes, tuple[int, int]], batches: deque[ValueBatch]) -> None:
        self._broker = broker
        self._seen = seen
        self._batches = batches

    def work(self) -> bool:
        """Free some. Returns: whether all are freed."""
        left = PIECE
        while left > 0 and self._batches:
            values = self._batches[-1].values
            while values and left > 0:
                self._seen.pop(values.pop(), None)
                left -= 1
            if not values:
                self._batches.pop()
        self._broker.share.left -= PIECE - left
        return left > 0

    def fail(self, doing: str, error: Exception) -> None:
        """Report a failure."""
        self._broker.faults.own(doing, error)
