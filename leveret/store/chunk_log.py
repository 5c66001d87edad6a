"""ChunkLog: the MessageLog and DefinitionLog over a ChunkStore, which is a file or a database.

The core's side: collects a group, passes it to the committer when that is free, and reports the
result to the listener. A message that is acknowledged before its group is passed on never reaches the store.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from librt.strings import read_i64_be
from mypy_extensions import i64

from leveret.core.counting.disk import DiskCounters
from leveret.core.definition.log import DefinitionLog
from leveret.core.message.log import LogListener, MessageLog, NotHereYet, Recovered, Resting
from leveret.core.message.message import Message
from leveret.core.turn.alarms import BEHIND_BYTES
from leveret.store.chunk import MAX_POSITION, Label, Place
from leveret.store.chunk_store import ChunkStore, Found, GroupWriter, Messages, WriteError
from leveret.store.committer import Committer
from leveret.store.group import Group
from leveret.store.index import Index
from leveret.store.news import News
from leveret.store.shards import shard_of_queue
from leveret.store.unfinished import refuse_unfinished

LOAD_BYTES: Final = 32 << 20  # of contents that are loaded into memory at start-up
GROUP_BYTES: Final = 4 << 20  # of messages in one commit; sealing more would take long
PROGRESS_S: Final = 2.0

log = logging.getLogger("leveret.store")


class ChunkLog(MessageLog, DefinitionLog):
    """The log in a store, whose shards other nodes may share. Shards come and go while the log is in use.

    notify: called in another thread when the core's thread should call on_committed().
    load_bytes: approximate size of the contents that recover() loads into memory; the rest stays in the store.
    failed_bytes: of the group that could not be written, at least 1; 0 while writing works.
    Raises: StoreError when the store cannot be used.
    """

    def __init__(self, store: ChunkStore, notify: Callable[[], None], load_bytes: int = LOAD_BYTES) -> None:
        self._news = News()
        self._store = store
        self._notify = notify
        self._committer: GroupWriter | None = None
        self._shard_count = store.shard_count
        self._owned = store.owned  # None: all shards
        self._leaving: set[int] = set()  # released shards whose move is not written yet
        self._dropped: set[int] = set()  # ids of queues of unread shards
        self._group = self._empty()
        self._full: deque[Group] = deque()  # earlier ones that are full
        self._full_bytes: i64 = 0
        self._index = Index()
        self._reader = store.reader(notify)  # now: later there may be no file descriptor for it
        self._load_bytes = load_bytes
        self._delivered: dict[int, int] = {}  # highest position by queue id, in this run
        self._marks: dict[int, int] = {}  # the same, of earlier runs
        self._all_again = False  # earlier runs may have delivered all
        self._has_recovered = store.is_new
        self._revision = 0
        self._gathering = 0  # open groups of definition changes
        self._has_gathered = False  # the group contains such changes, and must wait
        self._moved_from = 0  # number of entries in the group before a transfer
        self._is_writing = False
        self._has_news = False  # of groups whose results were taken
        self._writing_bytes: i64 = 0
        self._is_behind = False
        self.failed_bytes = 0
        self.counters = DiskCounters()
        self._handed_s = 0.0  # when the current group was passed on

    @property
    def listener(self) -> LogListener | None:
        """The listener for events of the log."""
        return self._news.listener

    @listener.setter
    def listener(self, listener: LogListener | None) -> None:
        """Set the listener."""
        self._news.listener = listener

    def owns(self, queue_id: int) -> bool:
        """Whether the messages of a queue are this node's."""
        return self._owned is None or queue_id < 0 or self._shard(queue_id) in self._owned

    def shards(self) -> set[int]:
        """The shards of this node, without those that it has released."""
        return set(range(self._shard_count)) if self._owned is None else self._owned

    def _shard(self, queue_id: int) -> int:
        if queue_id < 0:
            return self._store.transient_shard
        return int(shard_of_queue(queue_id, self._shard_count))

    def _empty(self) -> Group:
        return Group(self._shard_count, self._store.transient_shard)

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Store a message."""
        self._group.append(queue_id, position, message, deadline_ms, level)

    def remove(self, queue_id: int, position: int) -> None:
        """Delete a message."""
        if self._owned is None or self.owns(queue_id):
            self._group.remove(queue_id, position)

    def counted(self, queue_id: int, position: int, counts: int) -> None:
        """Store the counts of a returned message."""
        if self.owns(queue_id):
            self._group.count(queue_id, position, counts)

    def transfer(self, begins: bool) -> None:
        """Begin or end a transfer between queues: its messages are not refused when writing fails."""
        if begins:
            self._moved_from = len(self._group.entries)
        else:
            self._group.moved += self._group.entries[self._moved_from :]

    def delivered(self, queue_id: int, position: int) -> None:
        """Note the highest delivered position; written at close(). After a crash all messages count as delivered."""
        if position > self._delivered.get(queue_id, 0) and (self._owned is None or self.owns(queue_id)):
            self._delivered[queue_id] = position

    def drop(self, queue_id: int) -> None:
        """Delete all messages of a queue."""
        if not self.owns(queue_id):
            return
        if self._shard(queue_id) in self._store.unread:
            self._dropped.add(queue_id)
        self._delivered.pop(queue_id, None)
        self._marks.pop(queue_id, None)
        if self._has_recovered:
            self._group.drop(queue_id)
        else:
            self._group.drop_unseen(queue_id)

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Set a definition."""
        return self._define(kind, key, value, is_new)

    def delete(self, kind: str, key: str) -> int:
        """Delete a definition."""
        return self._define(kind, key, None, False)

    def _define(self, kind: str, key: str, value: bytes | None, is_new: bool) -> int:
        self._revision += 1
        if self._gathering and not self._has_gathered:
            self._has_gathered = True
            if self._group.has_work():  # earlier changes do not wait
                self._fill_up()
        self._group.define(kind, key, value, is_new)
        self._group.revision = self._revision
        return self._revision

    def _fill_up(self) -> None:
        """Close this group, and begin another one."""
        self._full_bytes += self._group.size
        self._full.append(self._group)
        self._group = self._empty()

    def gather(self, gathers: bool) -> None:
        """Begin or end a group of definition changes. From its first change on, the log holds all later changes too."""
        self._gathering += 1 if gathers else -1
        self._has_gathered = self._has_gathered and self._gathering > 0

    def flush(self) -> None:
        """Pass the group to the committer; if that is busy, later."""
        self._tell_behind()
        if self._is_writing:
            if self._has_gathered:
                return
            if self._group.size > GROUP_BYTES or self._group.is_large():
                self._fill_up()
            return
        if not (self._full or (self._group.has_work() and not self._has_gathered)):
            return
        if self._committer is None:
            self._committer = self._store.writer(self._notify) or Committer(self._store, self._notify)
        group = self._next()
        self._is_writing = True
        self._writing_bytes = group.size
        self._seal(group)
        self._handed_s = time.perf_counter()
        self._committer.commit(group)

    def _seal(self, group: Group) -> None:
        group.seal(self._index, self._store.owned)
        for entry in group.foreign:
            entry.message = None
            self._news.refuse(int(entry.queue_id), int(entry.position), "another node has the queue")

    def _has_work(self) -> bool:
        return len(self._full) > 0 or self._group.has_work()

    def _next(self) -> Group:
        """Take the oldest group."""
        if self._full:
            group = self._full.popleft()
            self._full_bytes -= group.size
        else:
            group, self._group = self._group, self._empty()
        return group

    def flush_urgent(self) -> bool:
        """Pass the group to the committer if it is urgent. Returns: whether a non-urgent group stays."""
        if self._is_writing or self._full or self._group.is_urgent() or not self._group.has_work():
            self.flush()
            return False
        return True

    def on_committed(self) -> None:
        """Report the results of written groups, and fetched messages, to the listener."""
        self._tell()
        for queue_id in self._reader.arrived():
            if self.owns(queue_id):
                self._news.tell_fetched(queue_id)
        self._tell_behind()
        if not self.failed_bytes:
            self.flush_urgent()  # the driver calls again for the rest

    def try_again(self) -> None:
        """Retry after a failure, for instance of a full disk. With nothing to write, clear the failure."""
        if self._has_work() or self._is_writing:
            self.flush()
        elif self.failed_bytes:
            self._works_again()

    def load(self) -> list[tuple[str, str, bytes]]:
        """All definitions, oldest first. Raises: StoreError, also for a store that is an unfinished copy."""
        definitions = self._store.definitions()
        refuse_unfinished(definitions, self._store.place)
        return definitions

    def damaged(self) -> list[tuple[str, str, str]]:
        """The damaged definitions that load() omitted."""
        return self._store.damaged_definitions

    def recover(self) -> Iterator[Recovered | Resting]:
        """All messages: the first ones complete, the rest only as described in the heads of their chunks.

        Logs its progress when it takes long.
        """
        store = self._store
        self._has_recovered = True
        self._marks = store.delivered()
        self._all_again = not store.was_clean
        left: i64 = self._load_bytes
        progress = Progress()
        displaced: list[tuple[Found, list[Label]]] = []
        for number, chunk in enumerate(store.chunks()):
            progress.tell(number, store.chunk_count)
            labels = self._left(chunk)
            if not self._enter(chunk.chunk_id, labels):
                displaced.append((chunk, labels))
                continue
            if left > 0:
                for label in labels:
                    left -= label.length
                yield from self._load(chunk, labels)
            else:
                yield from _resting(labels)
        ends: dict[int, int] = {}
        for chunk, labels in displaced:
            yield from self._displace(chunk, labels, ends)
        if store.aside():
            log.warning("damaged chunks set aside: %d; run leveret check for details", store.aside())
        self._lower_marks()
        self._reader.recovered()

    def gain(self, shards: list[int]) -> None:
        """From now on these shards belong to this node. absorb() brings their messages, and absorbed() ends that."""
        if not self._leaving.isdisjoint(shards):  # they have come back before their move was reported
            self._take_results()
            self._forget(self._leaving.intersection(shards))
        if self._owned is not None:
            self._owned = self._owned.union(shards)
        if self._store.owned is not None:
            self._store.owned = self._store.owned.union(shards)
        self._store.unread = self._store.unread.union(shards)

    def absorb(self, found: list[Found], marks: dict[int, int], was_clean: bool) -> Iterator[Recovered | Resting]:
        """The messages of chunks of gained shards. All stay paged out, so that nothing is read.

        found: the next chunks of each shard; together with those of earlier calls, all its chunks in order.
        marks: the highest delivered position by queue, of all earlier owners. was_clean: otherwise all messages may
        have been delivered.
        Until absorbed(), nothing may be appended for queues of these shards, nor may these be released. A chunk whose
        messages are out of order is set aside. One that is read at the start of a log can be moved (recover()).
        """
        taken: list[Recovered | Resting] = []
        queues: dict[int, None] = {}
        for chunk in found:
            labels = self._left(chunk)
            if self._enter(chunk.chunk_id, labels):
                for resting in _resting(labels):
                    queues[resting.queue_id] = None
                    if resting.queue_id not in self._dropped:
                        taken.append(resting)
            else:
                log.error("chunk %d is out of order: its messages are set aside", chunk.chunk_id)
                self._group.aside[chunk.chunk_id] = "its messages are out of order"
        for queue_id in queues:
            if queue_id in self._dropped:
                self._group.drop(queue_id)
                continue
            last = self._index.last(queue_id)
            mark = min(marks.get(queue_id, 0), last) if was_clean else last
            if mark:
                self._marks[queue_id] = mark
        return iter(taken)

    def absorbed(self, shards: list[int]) -> None:
        """All messages of these gained shards are absorbed: from now on their queues can be used."""
        self._store.unread = self._store.unread.difference(shards)
        self._dropped = {queue_id for queue_id in self._dropped if self._shard(queue_id) in self._store.unread}

    def release(self, shards: list[int], to: int) -> None:
        """Hand shards to another node, behind all changes of them so far. to: the id of that node.

        Their queues have been stopped, and nothing is appended for them any more. Messages that are not written yet
        are written before, though their publishers were told to send them again: windows of deduplication contain
        them. From now on the log ignores everything that concerns these shards, and reports only what it refuses.
        """
        owned = self.shards()
        leaving = owned.intersection(shards)
        if not leaving:
            return
        self._owned = owned - leaving
        if self._store.owned is None:
            self._store.owned = owned
        self._leaving |= leaving
        self._group.moves += [(shard, to) for shard in sorted(leaving)]
        marks = self._last_marks()
        for queue_id in self._queues_in(leaving, marks):
            self._group.marks[queue_id] = marks[queue_id]

    def _queues_in(self, shards: set[int], marks: dict[int, int]) -> list[int]:
        """The queues of some shards that have marks."""
        return [queue_id for queue_id in marks if self._shard(queue_id) in shards]

    def _forget(self, shards: set[int]) -> None:
        """Forget shards that another node has now."""
        if not shards or self._store.owned is None:
            return
        self._leaving -= shards
        self._store.owned = self._store.owned - shards
        self._index.leave(shards, self._shard_count)
        for marks in (self._marks, self._delivered):
            for queue_id in self._queues_in(shards, marks):
                del marks[queue_id]

    def _left(self, chunk: Found) -> list[Label]:
        """The messages of a chunk that are left. Sets it aside if it is damaged, and deletes it if there are none."""
        if chunk.damage:
            log.error("the messages of chunk %d cannot be read, and are set aside: %s", chunk.chunk_id, chunk.damage)
            self._group.aside[chunk.chunk_id] = chunk.damage
            self._group.emptied.append(chunk.chunk_id)
        labels = [label for label in chunk.head.labels if label.places]
        if chunk.head.count and not labels:
            self._group.emptied.append(chunk.chunk_id)
        return labels

    def _enter(self, chunk_id: int, labels: list[Label]) -> bool:
        """Add messages of a chunk to the index. Returns: whether they are in order; if not, they are not added."""
        entered = self._index.open(chunk_id)
        if not self._is_in_order(labels):
            return False
        for label in labels:
            for place in label.places:
                self._index.enter(entered, place)
        return True

    def _is_in_order(self, labels: list[Label]) -> bool:
        """Whether the positions of each queue are valid and above those in earlier chunks."""
        highest: dict[int, int] = {}
        owner: i64 = 0
        last: i64 = 0
        for label in labels:
            for place in label.places:
                if place.queue_id != owner:
                    highest[int(owner)] = int(last)
                    owner = place.queue_id
                    known = highest.get(int(owner))
                    last = known if known is not None else self._index.last(int(owner))
                if owner > 0 and (place.position <= last or place.position > MAX_POSITION):
                    return False
                last = place.position
        return True

    def _displace(self, chunk: Found, labels: list[Label], last: dict[int, int]) -> Iterator[Recovered]:
        """Move the messages of an out-of-order chunk behind all others of their queues, and write them again.

        Damage can change the id of a chunk, or bring back messages that were removed from an earlier one.
        last: highest position so far of messages moved like this, by queue.
        """
        log.error("chunk %d is out of order: its messages are moved to the end of their queues", chunk.chunk_id)
        messages = self._messages(chunk, labels)
        for label, message in zip(labels, messages.found, strict=True):
            for place in label.places:
                queue_id = int(place.queue_id)
                if message is None:
                    self._group.aside[chunk.chunk_id] = messages.damage
                elif queue_id > 0:
                    position = last.get(queue_id, self._index.last(queue_id)) + 1
                    last[queue_id] = position
                    deadline_ms, level = int(place.deadline_ms), int(place.level)
                    self._group.append(queue_id, position, message, deadline_ms, level)
                    yield Recovered(queue_id, position, message, True, deadline_ms, level)
        self._group.emptied.append(chunk.chunk_id)

    def _load(self, chunk: Found, labels: list[Label]) -> Iterator[Recovered]:
        """The messages of a chunk, in full."""
        messages = self._messages(chunk, labels)
        for label, message in zip(labels, messages.found, strict=True):
            for place in label.places:
                if message is None:
                    self._lose(chunk.chunk_id, int(place.queue_id), [int(place.position)], messages.damage)
                else:
                    yield self._recovered(place, message)

    def _messages(self, chunk: Found, labels: list[Label]) -> Messages:
        return self._reader.load(chunk.chunk_id, chunk.head, labels)

    def _recovered(self, place: Place, message: Message) -> Recovered:
        queue_id, position = int(place.queue_id), int(place.position)
        again = self._all_again or position <= self._marks.get(queue_id, 0)  # an earlier run may have delivered it
        found = Recovered(queue_id, position, message, again, int(place.deadline_ms), int(place.level))
        found.counts = place.counts
        return found

    def _lower_marks(self) -> None:
        """Limit the delivery marks to the last message of each queue: a higher mark would cover future messages.

        After an unclean end all messages may have been delivered; the marks note that for the next clean end.
        """
        marks: dict[int, int] = {}
        for queue_id in self._index.queues():
            last = self._index.last(queue_id)
            mark = last if self._all_again else min(self._marks.get(queue_id, 0), last)
            if mark:
                marks[queue_id] = mark
        self._marks = marks
        self._all_again = False

    def _last_marks(self) -> dict[int, int]:
        """The highest delivered position of each queue, in this run or earlier."""
        marks = dict(self._marks)
        for queue_id, position in self._delivered.items():  # may be lower, after a requeue
            marks[queue_id] = max(position, marks.get(queue_id, 0))
        return marks

    def can_rest(self) -> bool:
        """Whether messages can be paged out: always."""
        return True

    def extent(self, queue_id: int, position: int) -> int:
        """The last position in the chunk that has this one."""
        return self._index.extent(queue_id, position)

    def fetch(self, queue_id: int, positions: bytes, only_looks: bool = False) -> list[Recovered]:
        """Read messages from their chunks."""
        if not self.owns(queue_id):
            return []
        wanted = unpack_positions(positions)
        parts: list[list[int]] = []  # each in one chunk
        at = 0
        while at < len(wanted):
            end = max(bisect_right(wanted, self._index.extent(queue_id, wanted[at])), at + 1)
            parts.append(wanted[at:end])
            at = end
        is_here = True
        for part in parts:
            is_here = self._reader.prepare(self._index.find(queue_id, part[0]), queue_id, part) and is_here
        if not is_here:
            raise NotHereYet("the messages are being fetched")
        found: list[Recovered] = []
        for part in parts:
            found += self._fetch(queue_id, part, only_looks)
        self.counters.reads += 1
        self.counters.read += len(found)
        return found

    def _fetch(self, queue_id: int, wanted: list[int], only_looks: bool) -> list[Recovered]:
        """Read messages from one chunk."""
        chunk_id = self._index.find(queue_id, wanted[0])
        found: list[Recovered] = []
        messages = self._reader.read(chunk_id, queue_id, wanted)
        for label, message in zip(messages.labels, messages.found, strict=True):
            if message is not None:
                found += [self._recovered(place, message) for place in label.places]
        if len(found) < len(wanted) and not only_looks:
            read = {recovered.position for recovered in found}
            self._lose(chunk_id, queue_id, [position for position in wanted if position not in read], messages.damage)
        return found

    def _lose(self, chunk_id: int, queue_id: int, positions: list[int], reason: str) -> None:
        """Drop unreadable messages: set their chunk aside, and remove them."""
        place = f"{positions[0]} to {positions[-1]}" if len(positions) > 1 else str(positions[0])
        log.error(
            "%d messages cannot be read, and are set aside: chunk %d, queue id %d, position %s: %s",
            *(len(positions), chunk_id, queue_id, place, reason),
        )
        self._group.aside[chunk_id] = reason
        for position in positions:
            self._group.remove(queue_id, position)

    def close(self) -> None:
        """Write pending changes, and close the store."""
        self._store.leave()
        if self._committer is not None:
            self._committer.close()
            self._tell()
        while self._has_work():
            group = self._next()
            self._seal(group)
            try:
                self._store.write(group)
            except WriteError as error:
                log.error("cannot write to %s: %s; the last changes are lost", self._store.place, error)
                break
            self._succeeded(group)
            self._news.tell()  # removes dead letters from their sources once the copies are safe
        self._reader.close()
        has_seen_all = self._has_recovered and not self._all_again
        marks = self._last_marks()
        for queue_id in self._queues_in(self._store.unread, marks):
            del marks[queue_id]
        self._store.close(marks if has_seen_all else None)

    def _tell(self) -> None:
        self._take_results()
        if self._has_news:
            self._has_news = False
            self._news.tell()

    def _take_results(self) -> None:
        """Take the results of written groups, without reporting them."""
        if self._committer is None:
            return
        for group, error in self._committer.results():
            self._has_news = True
            self._count(error)
            self._is_writing = False
            self._writing_bytes = 0
            if error:
                self._failed(group, error)
            else:
                self._succeeded(group)

    def _count(self, error: str) -> None:
        counters = self.counters
        counters.commits += 1
        counters.commit_s += time.perf_counter() - self._handed_s
        if error:
            counters.failed += 1
        else:
            counters.written += self._writing_bytes

    def _succeeded(self, group: Group) -> None:
        if self.failed_bytes:
            self._works_again()
        if group.conflicts:
            self._note_conflicts(group)
        self._news.revision = max(self._news.revision, group.revision)
        self._settled(group)
        if group.moves:
            self._forget(self._leaving.intersection([shard for shard, _ in group.moves]))

    def _note_conflicts(self, group: Group) -> None:
        """Report the definitions that another node has created first. Each change has a revision of its own."""
        found = {(kind, key): value for kind, key, value in group.conflicts}
        first = group.revision - len(group.definitions) + 1
        for number, (kind, key, _, is_new) in enumerate(group.definitions):
            value = found.get((kind, key))
            if is_new and value is not None:
                self._news.conflicts.append((kind, key, value, first + number))

    def _works_again(self) -> None:
        self.failed_bytes = 0
        log.warning("writing to %s works again", self._store.place)

    def _tell_behind(self) -> None:
        """Notify the listener when the backlog exceeds BEHIND_BYTES, and when it falls below half of that."""
        size = self._writing_bytes + self._full_bytes + self._group.size
        is_behind = size > (BEHIND_BYTES // 2 if self._is_behind else BEHIND_BYTES)
        if is_behind != self._is_behind and self._news.tell_behind(is_behind):
            self._is_behind = is_behind

    def _failed(self, group: Group, error: str) -> None:
        """Refuse the messages of a failed group; moved messages and everything else go into the next group."""
        if not self.failed_bytes:
            log.error("cannot write to %s: %s; messages are refused until that works", self._store.place, error)
        self.failed_bytes = max(int(group.size), 1)
        (self._full[0] if self._full else self._group).carry_over(group)
        for chunk_id, entries in reversed(group.written):
            self._index.forget(chunk_id, {int(entry.queue_id) for entry in entries})
        moved = {(int(entry.queue_id), int(entry.position)) for entry in group.moved}
        for entry in group.entries:
            if entry.message is not None and (int(entry.queue_id), int(entry.position)) not in moved:
                self._news.refuse(int(entry.queue_id), int(entry.position), error)
        self._settled(group)  # messages no longer needed count as durable

    def _settled(self, group: Group) -> None:
        """Mark the messages of a group as durable, except refused ones and those of released shards."""
        news = self._news
        for queue_id, strip in group.strips.items():
            if strip.highest and not (self._leaving and self._shard(queue_id) in self._leaving):
                news.durable[queue_id] = max(int(strip.highest), news.durable.get(queue_id, 0))


class Progress:
    """Logs the progress of a long start."""

    def __init__(self) -> None:
        self._next_s = time.monotonic() + PROGRESS_S

    def tell(self, done: int, total: int) -> None:
        """Log that done of total chunks are read, every PROGRESS_S."""
        now_s = time.monotonic()
        if now_s >= self._next_s:
            self._next_s = now_s + PROGRESS_S
            log.warning("starting: %d of %d chunks of messages are read", done, total)


def _resting(labels: list[Label]) -> list[Resting]:
    """The messages of a chunk by queue and priority, as described in its head."""
    found: dict[tuple[int, int], Resting] = {}
    resting: Resting | None = None
    for label in labels:
        for place in label.places:
            if resting is None or resting.queue_id != place.queue_id or resting.level != place.level:
                queue_id, level = int(place.queue_id), int(place.level)
                resting = found.get((queue_id, level))
                if resting is None:
                    resting = found[queue_id, level] = Resting(queue_id, level, int(place.deadline_ms))
            resting.add(place.position, label.size)
    return list(found.values())


def unpack_positions(positions: bytes) -> list[int]:
    """Decode a list of positions, 8 bytes each."""
    found: list[int] = []
    pos: i64 = 0
    while pos < len(positions):
        found.append(int(read_i64_be(positions, pos)))
        pos += 8
    return found
