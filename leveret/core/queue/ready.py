"""The ready messages of a queue, in their order.

New messages are added at the end. A returned message goes to its old place: the order is by position. That place is
before all messages that were never delivered, since the head is always delivered first; unless the message was taken
from the middle, or held until a time.
When memory is short, the messages behind the head may be paged out to the log; see core/message/budget.py.
"""

from __future__ import annotations

from abc import abstractmethod
from bisect import bisect_left, bisect_right, insort
from heapq import heappop, heappush
from operator import itemgetter
from typing import Final

from librt.strings import BytesWriter, read_i64_be, write_i64_be
from mypy_extensions import i64

from leveret.core.message.budget import COST, MAX_HEAD, Budget
from leveret.core.queue.browsing import Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.fifo import Fifo
from leveret.core.queue.run import RUN_BYTES, RUN_MESSAGES, UNKNOWN, Run, single

MANY: Final = 1 << 40
STUB: Final = 512  # bytes of a content; with less, paging it out saves no memory


class Source:
    """The source of paged-out messages."""

    @abstractmethod
    def extent(self, entry: QueueEntry) -> i64:
        """The last position that is stored together with a message; 0 when it is not stored safely.

        A message that the log does not have has no log_id afterwards.
        """

    @abstractmethod
    def spill(self, entry: QueueEntry) -> bool:
        """Send a message to the log that is not there yet, so that it can be paged out. Returns: whether it may."""

    @abstractmethod
    def fetch(self, run: Run, only_looks: bool = False) -> list[QueueEntry]:
        """Read paged-out messages, in order, without those that cannot be read any more.

        Unreadable messages are lost afterwards, unless only_looks, which changes nothing.
        """

    @abstractmethod
    def revive(self, entry: QueueEntry, found: QueueEntry) -> None:
        """Restore the content of a returned message. found: as it was fetched."""


class Ready:
    """One line of messages in order of position. size: bytes of all bodies; resident: approximate bytes in memory.

    In order: _returned, _fresh, _segments, _tail. A segment that is not a Run could not be paged out.
    _later is merged with _segments and _tail, by position; while it is not empty, there is a _tail.
    Messages in _returned and _later may be paged out one by one, as Message.is_at_rest tells.
    """

    __slots__ = (
        "_behind",
        "_budget",
        "_fresh",
        "_later",
        "_returned",
        "_returned_bytes",
        "_segments",
        "_sent",
        "_source",
        "_tail",
        "resident",
        "size",
    )

    def __init__(self, budget: Budget, source: Source | None = None) -> None:
        self.size: i64 = 0
        self.resident: i64 = 0
        self._budget = budget
        self._source = source
        self._fresh = Fifo()
        self._returned: list[tuple[int, QueueEntry]] = []  # heap by position; all before those in _fresh
        self._later: list[tuple[int, QueueEntry]] = []  # returned to the middle, in order of position
        self._returned_bytes: i64 = 0  # of the contents in memory of these two
        self._segments: list[Run | Fifo] = []
        self._tail: Fifo | None = None  # for new messages while there are segments
        self._sent: i64 = 0  # messages at the front of _tail that are in the log, or on their way
        self._behind: i64 = 0  # messages in _segments, _tail and _later

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returned) + int(self._behind)

    def push(self, entry: QueueEntry) -> None:
        """Add a new message at the end."""
        message = entry.message
        size: i64 = len(message.content)
        self.size += message.size
        self.resident += size + COST
        holders = message.holders  # Budget.hold(), inlined
        message.holders = holders + 1
        self._budget.used += size + COST if holders == 0 else i64(COST)
        if self._tail is None:
            self._fresh.push(entry)
        else:
            self._tail.push(entry)
            self._behind += 1

    def put_back(self, entry: QueueEntry) -> None:
        """Add a message that was taken before, or was held elsewhere, at its place."""
        self._count(entry)
        self._returned_bytes += len(entry.message.content)
        if self._has_before(entry.position):
            self._insert(entry)
        else:
            heappush(self._returned, (int(entry.position), entry))

    def has_head(self) -> bool:
        """Whether there is a next message; it is then in memory. Must be called before first() and pop()."""
        while self._returned:
            if self._returned[0][1].message.content:
                return True
            self._revive()
        if len(self._fresh):
            return True
        return self._fill() and (not self._returned or self.has_head())

    def has_near_head(self) -> bool:
        """Whether there is a next message that need not be fetched."""
        if self._returned:
            return len(self._returned[0][1].message.content) > 0
        return len(self._fresh) > 0 or self._fill(False)

    def deadline_ms(self) -> i64:
        """When the next message expires; 0 for never or without one; UNKNOWN if it must be fetched to find out."""
        if self._returned:
            return self._returned[0][1].deadline_ms
        if len(self._fresh):
            return self._fresh.first().deadline_ms
        if self._is_later_next():
            return self._later[0][1].deadline_ms
        for segment in self._segments:
            if isinstance(segment, Run):
                return segment.deadline_ms
            if len(segment):
                return segment.first().deadline_ms
        if self._tail is not None and len(self._tail):
            return self._tail.first().deadline_ms
        return 0

    def at_rest(self) -> tuple[int, int]:
        """The number of messages paged out in runs, and bytes of their bodies; without those paged out one by one."""
        runs = [segment for segment in self._segments if isinstance(segment, Run)]
        return sum([int(run.count) for run in runs]), sum([int(run.size) for run in runs])

    def came_back(self) -> int:
        """The number of returned messages that are ready."""
        return len(self._returned) + len(self._later)

    def first(self) -> QueueEntry:
        """The next message. Raises: IndexError when there is none."""
        if not self._returned and not len(self._fresh):
            self._fill()
        return self._returned[0][1] if self._returned else self._fresh.first()

    def pop(self) -> QueueEntry:
        """Take the next message, which the budget no longer counts. Raises: IndexError when there is none."""
        entry = self.take()
        self._budget.release(entry.message)
        return entry

    def take(self) -> QueueEntry:
        """Take the next message, which the budget still counts. Raises: IndexError when there is none."""
        if self._returned:
            entry = heappop(self._returned)[1]
            self._returned_bytes -= len(entry.message.content)
        else:
            if not len(self._fresh):
                self._fill()
                if self._returned:
                    return self.take()
            entry = self._fresh.pop()
        message = entry.message
        self.size -= message.size
        self.resident -= len(message.content) + COST
        return entry

    def take_at(self, position: i64, shown: QueueEntry | None = None) -> QueueEntry | None:
        """Take the message with this position, wherever it is, as take() does. Messages paged out beside it remain so.

        shown: as browse() has shown it, so that a paged-out message need not be read again.
        Returns: None when it is not here, or cannot be read any more. Raises: Unreadable, without any change.
        Cost: a search; for a paged-out message, reading it and copying the positions of its run, else see
        Fifo.take_at(); for a returned message, a pass over all returned ones.
        """
        entry = _take(self._fresh, position)
        if entry is None and self._behind:
            entry = self._take_behind(position, shown)
        if entry is None:
            self._returned.sort()  # a sorted list is a heap
            entry = self._take_returned(self._returned, position, shown)
        if entry is not None:
            message = entry.message
            self.size -= message.size
            self.resident -= len(message.content) + COST
        return entry

    def _take_behind(self, position: i64, shown: QueueEntry | None) -> QueueEntry | None:
        """Take a message from behind the fresh ones."""
        entry: QueueEntry | None = None
        at = self._segment_behind(position - 1)
        if at < len(self._segments):
            segment = self._segments[at]
            if isinstance(segment, Run):
                entry = self._take_resting(segment, position, shown)
                if not segment.count:
                    del self._segments[at]
            else:
                entry = _take(segment, position)
                if not len(segment):
                    del self._segments[at]
        elif self._tail is not None:
            index = self._tail.find(position)
            if index >= 0:
                entry = self._tail.take_at(index)
                if index < self._sent:
                    self._sent -= 1
        if entry is not None:
            self._behind -= 1
            return entry
        before = len(self._later)
        entry = self._take_returned(self._later, position, shown)
        self._behind -= before - len(self._later)
        return entry

    def _take_resting(self, run: Run, position: i64, shown: QueueEntry | None) -> QueueEntry | None:
        """Take a message from a run that ends behind it."""
        start = run.offset_behind(position - 1)
        if read_i64_be(run.positions, start) != position:
            return None
        if shown is not None:
            if not start:
                run.deadline_ms = UNKNOWN
            run.remove(position, shown.message.size)
            self.size -= shown.message.size
            self._count(shown)
            return shown
        assert self._source is not None
        part = Run(run.log_id, 0)
        part.extend(run.positions[start : start + (8 if start else 16)], 0)  # the second one tells the next deadline
        found = self._source.fetch(part, True)
        if len(found) < part.count:
            found = self._sift(run)
        at = bisect_left(found, int(position), key=_position)
        if at == len(found) or found[at].position != position:
            return None
        entry = found[at]
        if read_i64_be(run.positions, 0) == position and at + 1 < len(found):
            run.deadline_ms = found[at + 1].deadline_ms
        run.remove(position, entry.message.size)
        self.size -= entry.message.size
        self._count(entry)
        return entry

    def _sift(self, run: Run) -> list[QueueEntry]:
        """Fetch a run with unreadable messages, and remove these from it. Returns: the readable ones."""
        assert self._source is not None
        found = self._source.fetch(run)
        positions = BytesWriter()
        size: i64 = 0
        for entry in found:
            write_i64_be(positions, entry.position)
            size += entry.message.size
        self._behind -= run.count - len(found)
        self.size -= run.size - size
        run.clear()
        run.extend(positions.getvalue(), size)
        if found:
            run.deadline_ms = found[0].deadline_ms
        return found

    def _take_returned(
        self, line: list[tuple[int, QueueEntry]], position: i64, shown: QueueEntry | None
    ) -> QueueEntry | None:
        """Take a returned message. line: the returned messages, in order."""
        at = bisect_left(line, int(position), key=itemgetter(0))
        if at == len(line) or line[at][0] != position:
            return None
        entry = line[at][1]
        if entry.message.content:
            self._returned_bytes -= len(entry.message.content)
            del line[at]
            return entry
        assert self._source is not None
        if shown is None:
            found = self._source.fetch(single(entry.log_id, position, entry.message.size))
            shown = found[0] if found else None
        del line[at]
        return entry if self._renew(entry, shown) else None

    def items(self) -> list[QueueEntry]:
        """All messages in memory, in order. Cost: a copy."""
        found = [entry for _, entry in sorted(self._returned)] + self._fresh.items()
        for segment in self._segments:
            if isinstance(segment, Fifo):
                found += segment.items()
        if self._tail is not None:
            found += self._tail.items()
        if self._later:
            found += [entry for _, entry in self._later]
            found.sort(key=_position)
        return found

    def pick(self, positions: list[int]) -> list[QueueEntry]:
        """The messages in memory with one of these positions, in no order.

        Cost: a search for each, and a pass over all returned messages.
        """
        found: list[QueueEntry] = []
        lines: list[Fifo] = [self._fresh]
        lines += [segment for segment in self._segments if isinstance(segment, Fifo)]
        if self._tail is not None:
            lines.append(self._tail)
        for line in lines:
            line.pick(positions, found)
        if (self._returned or self._later) and len(found) < len(positions):
            wanted = set(positions)
            found += [entry for position, entry in self._returned + self._later if position in wanted]
        return found

    def browse(self, page: Page) -> bool:
        """Show the messages behind the place of a page, in order. Paged-out messages do not stay in memory.

        Returns: whether there was room for all. Cost: proportional to the messages shown and to all returned ones.
        """
        self._returned.sort()  # a sorted list is a heap
        if not self._show_returned(self._returned, page):
            return False
        until = page.until
        at: i64 = bisect_right(self._later, int(page.position), key=itemgetter(0))
        while at < len(self._later) and self._later[at][0] <= until:
            page.until = self._later[at][0]
            try:
                is_shown = self._show_fresh(page) and self._show_returned(self._later, page)
            finally:
                page.until = until
            if not is_shown:
                return False
            at += 1
        return self._show_fresh(page)

    def place_before(self, position: i64, count: i64) -> i64:
        """A place before a position; 0 without earlier messages.

        Between them are at most count messages of each kind: in _returned, in _later, and elsewhere.
        Cost: a pass over all segments and all returned messages.
        """
        self._returned.sort()  # a sorted list is a heap
        found: i64 = 0
        for line in (self._returned, self._later):
            at: i64 = bisect_left(line, int(position), key=itemgetter(0)) - count
            if at >= 0:
                found = max(found, i64(line[at][0]) - 1)
        if self._tail is not None:
            at = self._tail.behind(position - 1)
            if at >= count:
                return max(found, self._tail.at(at - count).position - 1)
            count -= at
        for segment in reversed(self._segments):
            if isinstance(segment, Fifo):
                at = segment.behind(position - 1)
                if at >= count:
                    return max(found, segment.at(at - count).position - 1)
            else:
                at = segment.offset_behind(position - 1) // 8
                if at >= count:
                    return max(found, read_i64_be(segment.positions, (at - count) * 8) - 1)
            count -= at
        at = self._fresh.behind(position - 1)
        return max(found, self._fresh.at(at - count).position - 1) if at >= count else found

    def browse_back(self, page: Page) -> bool:
        """As browse(), but the messages before the place of a page, backwards.

        Pages may contain fewer messages or bytes than their limits.
        """
        average = self.size // max(len(self), 1) + 1
        count: i64 = max(min(page.limit - len(page.messages), page.size_limit // (average + average // 4 + 1)), 1)
        while not page.is_full():
            place = self.place_before(page.position, count)
            part = Page(page.level, place, page.position - 1, MANY if count == 1 else page.limit, page.size_limit)
            if count == 1:
                part.size_limit = MANY
            if not self.browse(part) and count > 1:
                count = count // 2  # too many for one part, or too large
                continue
            page.show_reversed(part)
            page.position = place + 1
            if not place:
                return True
        return False

    def _show_returned(self, line: list[tuple[int, QueueEntry]], page: Page) -> bool:
        """Show returned messages. line: these, in order."""
        at: i64 = bisect_right(line, int(page.position), key=itemgetter(0))
        while at < len(line) and line[at][0] <= page.until:
            if page.is_full():
                return False
            entry = line[at][1]
            if entry.message.content:
                page.add(entry)
                at += 1
                continue
            run, end = _resting_from(line, at)
            if not self._show(run, page):
                return False
            at = end
        return True

    def _show_fresh(self, page: Page) -> bool:
        """Show messages that were not returned."""
        if not self._fresh.show(page):
            return False
        at = self._segment_behind(page.position)
        while at < len(self._segments):
            segment = self._segments[at]
            if not (segment.show(page) if isinstance(segment, Fifo) else self._show(segment, page)):
                return False
            if _last(segment) > page.until:
                return True
            at += 1
        return self._tail is None or self._tail.show(page)

    def _segment_behind(self, position: i64) -> i64:
        """The number of the first segment with a message behind a position."""
        low: i64 = 0
        high: i64 = len(self._segments)
        while low < high:
            middle = (low + high) // 2
            if _last(self._segments[middle]) <= position:
                low = middle + 1
            else:
                high = middle
        return low

    def _show(self, run: Run, page: Page) -> bool:
        start, end = run.offset_behind(page.position), run.offset_behind(page.until)
        if start >= end:
            return True
        last = min(end, start + 8 * page.room_to_read(run.size))
        if start == last:
            return False
        part = Run(run.log_id, 0)
        part.extend(run.positions[start:last], 0)
        assert self._source is not None
        found = self._source.fetch(part, True)
        for entry in found:
            page.add(entry)
        page.missing += part.count - len(found)
        page.position = read_i64_be(run.positions, last - 8)
        return last == end

    def page_out(self, keep: i64, want: i64) -> None:
        """Page out what the log has stored, from behind the head.

        Messages that are not in the log yet are sent there, and can be paged out later.
        keep: bytes of memory that the head may need. want: bytes of the budget to free.
        """
        source = self._source
        if source is None:
            return
        target = self._budget.used - want
        if self._returned_bytes > keep:
            self._rest_returned(source, keep, target)
        tail = self._tail
        if tail is None:
            count = self._head_count(keep)
            if len(self._fresh) <= count:
                return
            tail = self._tail = self._fresh.split(count)
            self._sent = 0
            self._behind += len(tail)
        else:
            self._rest_head(source, keep, target)
        self._rest(source, tail, target)
        if len(tail) and self._budget.used > target:
            self._spill(tail, source, self._budget.used - target)

    def _rest(self, source: Source, line: Fifo, target: i64) -> None:
        """Page out messages of a line, behind the paged-out ones, until the budget is at the target."""
        run: Run | None = None
        positions = BytesWriter()
        size: i64 = 0
        extent: i64 = 0
        while len(line) and self._budget.used > target:
            entry = line.first()
            if run is None or run.log_id != entry.log_id or entry.position > extent:
                self._seal(run, positions, size)
                run = None
                if not entry.log_id:
                    self._sent = 0
                    if not source.spill(entry):
                        self._stay(line.pop())
                        continue
                extent = source.extent(entry)
                if not extent:
                    if entry.log_id:
                        break
                    self._stay(line.pop())
                    continue
                run = Run(entry.log_id, entry.deadline_ms)
                positions = BytesWriter()
                size = 0
            line.pop()
            self._sent = max(self._sent - 1, 0)
            write_i64_be(positions, entry.position)
            message = entry.message
            size += message.size
            self.resident -= len(message.content) + COST
            self._budget.release(message)
        self._seal(run, positions, size)

    def _head_count(self, keep: i64) -> i64:
        """The number of messages at the head that need at most keep bytes."""
        count: i64 = 0
        most: i64 = min(len(self._fresh), MAX_HEAD)
        while count < most:
            keep -= len(self._fresh.at(count).message.content) + COST
            if keep < 0:
                break
            count += 1
        return count

    def _rest_head(self, source: Source, keep: i64, target: i64) -> None:
        """Page out the excess of the head, before the paged-out messages."""
        count = self._head_count(keep)
        if len(self._fresh) <= count + (
            MAX_HEAD if count == MAX_HEAD else 0
        ):  # a run may be somewhat longer than a head
            return
        behind, self._segments = self._segments, []
        line = self._fresh.split(count)
        self._behind += len(line)
        self._rest(source, line, target)
        if len(line):
            self._segments.append(line)
        self._segments += behind

    def _rest_returned(self, source: Source, keep: i64, target: i64) -> None:
        """Page out the contents of returned messages, but not of those that go next."""
        self._returned.sort()  # a sorted list is a heap
        for _, entry in self._returned + self._later:
            if self._budget.used <= target:
                break
            size: i64 = len(entry.message.content)
            keep -= size
            if keep < 0 and may_rest(entry) and source.extent(entry):
                self.resident -= size
                self._returned_bytes -= size
                entry.message = self._budget.rest(entry.message)

    def _revive(self) -> None:
        """Fetch the contents of the next returned messages. Messages that cannot be read any more are dropped."""
        self._returned.sort()  # a sorted list is a heap
        run, end = _resting_from(self._returned, 0)
        assert self._source is not None
        found = {entry.position: entry for entry in self._source.fetch(run)}
        waiting, self._returned = self._returned[:end], self._returned[end:]
        for place in waiting:
            entry = place[1]
            if self._renew(entry, found.get(entry.position)):
                self._returned_bytes += len(entry.message.content)
                heappush(self._returned, place)

    def _renew(self, entry: QueueEntry, found: QueueEntry | None) -> bool:
        """Restore the content of a returned message. found: as it was fetched; without it, the message is dropped."""
        message = entry.message
        self.size -= message.size
        self.resident -= COST
        self._budget.release(message)
        if found is None:
            return False
        assert self._source is not None
        self._source.revive(entry, found)
        self._count(entry)
        return True

    def _has_before(self, position: i64) -> bool:
        """Whether a message that was never delivered, or is in _later, is before a position."""
        if len(self._fresh):
            return self._fresh.first().position < position
        return 0 < self._first_behind() < position or (len(self._later) > 0 and self._later[0][0] < position)

    def _insert(self, entry: QueueEntry) -> None:
        """Return a message to the middle that was taken from there."""
        self._make_way(entry.position)
        if self._tail is None:
            self._tail = Fifo()
            self._sent = 0
        insort(self._later, (int(entry.position), entry))
        self._behind += 1

    def _make_way(self, position: i64) -> None:
        """Move fresh messages behind a position out of _fresh."""
        fresh = self._fresh
        if not len(fresh) or fresh.last().position < position:
            return
        line = fresh.split(min(fresh.behind(position), i64(MAX_HEAD)))
        self._behind += len(line)
        if not self._segments and (self._tail is None or not len(self._tail)):
            self._tail = line
            self._sent = 0
        else:
            self._segments.insert(0, line)

    def _first_behind(self) -> i64:
        """The first position in _segments and _tail; 0 when both are empty."""
        if self._segments:
            segment = self._segments[0]
            return segment.first().position if isinstance(segment, Fifo) else read_i64_be(segment.positions, 0)
        return self._tail.first().position if self._tail is not None and len(self._tail) else 0

    def _is_later_next(self) -> bool:
        """Whether a message in _later is next after the fresh ones."""
        if not self._later:
            return False
        first = self._first_behind()
        return first == 0 or self._later[0][0] < first

    def _bring_later(self) -> None:
        """Move the next messages from _later to _returned."""
        first = self._first_behind()
        end = bisect_left(self._later, int(first), key=itemgetter(0)) if first else len(self._later)
        self._returned += self._later[:end]  # a sorted list is a heap
        del self._later[:end]
        self._behind -= end

    def rest(self, run: Run, level: i64) -> None:
        """Add paged-out messages, behind all others. level: their priority."""
        if self._tail is not None and len(self._tail):
            self._segments.append(self._tail)
            self._tail = None
        if self._tail is None:
            self._tail = Fifo()
        self._sent = 0
        self._behind += run.count
        self.size += run.size
        self._append(run)

    def take_runs(self) -> list[Run]:
        """Take all runs, unread."""
        found: list[Run] = []
        kept: list[Run | Fifo] = []
        for segment in self._segments:
            if isinstance(segment, Run):
                found.append(segment)
                self._behind -= segment.count
                self.size -= segment.size
            else:
                kept.append(segment)
        self._segments = kept
        return found

    def clear(self) -> None:
        """The queue has ended: drop the references to it."""
        self._source = None

    def _count(self, entry: QueueEntry) -> None:
        message = entry.message
        self.size += message.size
        self.resident += len(message.content) + COST
        self._budget.hold(message)

    def _seal(self, run: Run | None, positions: BytesWriter, size: i64) -> None:
        if run is not None:
            run.extend(positions.getvalue(), size)
            self._append(run)

    def _append(self, run: Run) -> None:
        """Add a run at the end; small ones are merged."""
        last = self._segments[-1] if self._segments else None
        if isinstance(last, Run) and last.log_id == run.log_id and last.is_small():
            last.extend(run.positions, run.size)
        else:
            self._segments.append(run)

    def _stay(self, entry: QueueEntry) -> None:
        """Keep a message that cannot be paged out at its place among those that are."""
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, Fifo):
            last = Fifo()
            self._segments.append(last)
        last.push(entry)

    def _spill(self, tail: Fifo, source: Source, want: i64) -> None:
        """Send messages of this many bytes to the log."""
        while want > 0 and self._sent < len(tail):
            entry = tail.at(self._sent)
            if not entry.log_id and not source.spill(entry):
                return
            want -= len(entry.message.content) + COST
            self._sent += 1

    def _fill(self, fetches: bool = True) -> bool:
        """Make the next segment the head, unless it must be fetched and may not. Returns: whether there is one."""
        while not len(self._fresh):
            if self._later and self._is_later_next():
                self._bring_later()
                return fetches or len(self._returned[0][1].message.content) > 0
            if self._segments:
                segment = self._segments[0]
                if isinstance(segment, Run) and not fetches:
                    return False
                if isinstance(segment, Run):
                    self._load(segment)
                    del self._segments[0]
                else:
                    del self._segments[0]
                    self._behind -= len(segment)
                    self._fresh = segment
            elif self._tail is not None:
                self._behind -= len(self._tail)
                self._fresh = self._tail
                self._tail = Fifo() if self._later else None
                self._sent = 0
            else:
                return False
            if self._later:
                self._make_way(self._later[0][0])
        return True

    def _load(self, run: Run) -> None:
        assert self._source is not None
        found = self._source.fetch(run)  # first: if it fails, nothing has changed
        self._behind -= run.count
        self.size -= run.size
        for entry in found:
            self._count(entry)
            self._fresh.push(entry)


def may_rest(entry: QueueEntry) -> bool:
    """Whether paging out the content of a single message is worthwhile."""
    return entry.log_id != 0 and len(entry.message.content) >= STUB


def _resting_from(line: list[tuple[int, QueueEntry]], at: i64) -> tuple[Run, i64]:
    """The run of paged-out messages among the returned ones, from an index on; and the index behind it.

    line: must be in order.
    """
    first = line[at][1]
    run = Run(first.log_id, first.deadline_ms)
    positions = BytesWriter()
    size: i64 = 0
    count: i64 = 0
    while at < len(line) and count < RUN_MESSAGES and (size < RUN_BYTES or not count):
        entry = line[at][1]
        if entry.message.content or entry.log_id != run.log_id:
            break
        write_i64_be(positions, entry.position)
        size += entry.message.size
        count += 1
        at += 1
    run.extend(positions.getvalue(), size)
    return run, at


def _take(line: Fifo, position: i64) -> QueueEntry | None:
    """Take the message with a position from a line, if it is there."""
    index = line.find(position)
    return line.take_at(index) if index >= 0 else None


def _position(entry: QueueEntry) -> int:
    return int(entry.position)


def _last(segment: Run | Fifo) -> i64:
    """The last position in a segment, which is never empty."""
    if isinstance(segment, Fifo):
        return segment.last().position
    return read_i64_be(segment.positions, len(segment.positions) - 8)
