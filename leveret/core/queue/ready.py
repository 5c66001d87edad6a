"""The messages of a queue that wait for a consumer, in their order.

New messages come in at the end. One that comes back goes to its old place: the order is kept by position. That place
is in front of everything that was never delivered, since the head is always delivered first; unless the message was
taken from the middle, or held until a time.
When memory is short, what is behind the head may be left to rest in the log; see core/message/budget.py.
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
STUB: Final = 512  # bytes of a content from which on what stays of a message in memory is less


class Source:
    """Where messages come from that rest in the log."""

    @abstractmethod
    def extent(self, entry: QueueEntry) -> i64:
        """The last position that rests together with a message; 0 when it does not rest safely.

        One that the log does not have at all has no log_id afterwards.
        """

    @abstractmethod
    def spill(self, entry: QueueEntry) -> bool:
        """Let the log have a message that it has not yet, so that it can rest there. Returns: whether it may."""

    @abstractmethod
    def fetch(self, run: Run, only_looks: bool = False) -> list[QueueEntry]:
        """Messages that rest, in order; without those that cannot be read any more.

        These are gone then, unless somebody only looks, who leaves all as it is.
        """

    @abstractmethod
    def revive(self, entry: QueueEntry, found: QueueEntry) -> None:
        """A message that came back without its content has it again. found: as it was fetched."""


class Ready:
    """One line of messages in order of position. size: bytes of all bodies; resident: bytes in memory, about.

    In order: _returned, _fresh, _segments, _tail. What is not at rest among the segments could not be left to the log.
    _later has its place among _segments and _tail, by position; while there is something in it, there is a _tail.
    Those in _returned and _later may be at rest one by one, as Message.is_at_rest says.
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
        self._later: list[tuple[int, QueueEntry]] = []  # taken from the middle and come back, in order of position
        self._returned_bytes: i64 = 0  # of the contents of these two in memory
        self._segments: list[Run | Fifo] = []
        self._tail: Fifo | None = None  # where new ones come in while there are segments
        self._sent: i64 = 0  # of those in _tail, so many at the front are in the log or on their way
        self._behind: i64 = 0  # messages in _segments, _tail and _later

    def __len__(self) -> int:
        return len(self._fresh) + len(self._returned) + int(self._behind)

    def push(self, entry: QueueEntry) -> None:
        """A new message, at the end."""
        message = entry.message
        size: i64 = len(message.content)
        self.size += message.size
        self.resident += size + COST
        holders = message.holders  # as Budget.hold() does it, without the detour
        message.holders = holders + 1
        self._budget.used += size + COST if holders == 0 else i64(COST)
        if self._tail is None:
            self._fresh.push(entry)
        else:
            self._tail.push(entry)
            self._behind += 1

    def put_back(self, entry: QueueEntry) -> None:
        """A message that was taken before, or was held elsewhere, to its place."""
        self._count(entry)
        self._returned_bytes += len(entry.message.content)
        if self._has_before(entry.position):
            self._insert(entry)
        else:
            heappush(self._returned, (int(entry.position), entry))

    def has_head(self) -> bool:
        """Whether there is a next one; it is in memory then. To be asked before first() and pop()."""
        while self._returned:
            if self._returned[0][1].message.content:
                return True
            self._revive()
        if len(self._fresh):
            return True
        return self._fill() and (not self._returned or self.has_head())

    def has_near_head(self) -> bool:
        """Whether there is a next one, and it need not be fetched."""
        if self._returned:
            return len(self._returned[0][1].message.content) > 0
        return len(self._fresh) > 0 or self._fill(False)

    def deadline_ms(self) -> i64:
        """When the next one expires, 0 for never or if there is none, UNKNOWN if it has to be fetched to know that."""
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
        """How many rest in the log together, and bytes of their bodies; without those that rest one by one."""
        runs = [segment for segment in self._segments if isinstance(segment, Run)]
        return sum([int(run.count) for run in runs]), sum([int(run.size) for run in runs])

    def came_back(self) -> int:
        """How many were taken before, and wait to be taken again."""
        return len(self._returned) + len(self._later)

    def first(self) -> QueueEntry:
        """The next to go. Raises: IndexError when there is none."""
        if not self._returned and not len(self._fresh):
            self._fill()
        return self._returned[0][1] if self._returned else self._fresh.first()

    def pop(self) -> QueueEntry:
        """Take the next, which is held here no more. Raises: IndexError when there is none."""
        entry = self.take()
        self._budget.release(entry.message)
        return entry

    def take(self) -> QueueEntry:
        """Take the next, and hold it: the budget still counts it. Raises: IndexError when there is none."""
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
        """Take the one with this position, wherever it is, and hold it as take() does. What rests beside it goes on so.

        shown: as browse() has shown it, so that one that rests need not be read again.
        Returns: None when it is not here, or cannot be read any more. Raises: Unreadable, and all is as it was.
        Cost: a search; if it rests, it is read and the positions of its run are copied, else see Fifo.take_at(); for
        one that came back, a look at all that did.
        """
        entry = _take(self._fresh, position)
        if entry is None and self._behind:
            entry = self._take_behind(position, shown)
        if entry is None:
            self._returned.sort()  # which leaves it a heap
            entry = self._take_returned(self._returned, position, shown)
        if entry is not None:
            message = entry.message
            self.size -= message.size
            self.resident -= len(message.content) + COST
        return entry

    def _take_behind(self, position: i64, shown: QueueEntry | None) -> QueueEntry | None:
        """Take one from behind what is fresh."""
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
        """Take one from a run that ends behind it."""
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
        part.extend(run.positions[start : start + (8 if start else 16)], 0)  # the second: it tells the next deadline
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
        """Fetch a run of which not all can be read any more: only what can stays in it. Returns: that."""
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
        """Take one that came back. line: those that did, in order."""
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
        """All that are in memory, in order. Cost: a copy."""
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
        """Those in memory that have one of these positions, in no order.

        Cost: a search for each, and a look at all that consumers gave back.
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
        """Show what is behind the place of a page, in order. Nothing is taken, nothing that rests stays in memory.

        Returns: whether there was room for it. Cost: of what is shown, and of all that consumers gave back.
        """
        self._returned.sort()  # which leaves it a heap
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
        """A place behind which, and in front of a position, are no more than so many messages, or of those that came
        back; 0 where there is nothing else in front.

        Cost: a look at all segments, and at all that consumers gave back.
        """
        self._returned.sort()  # which leaves it a heap
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
        """As browse(), but what is in front of the place of a page, from there on backwards.

        Pages are shown as they are, and not filled up to the last message or byte.
        """
        average = self.size // max(len(self), 1) + 1
        count: i64 = max(min(page.limit - len(page.messages), page.size_limit // (average + average // 4 + 1)), 1)
        while not page.is_full():
            place = self.place_before(page.position, count)
            part = Page(page.level, place, page.position - 1, MANY if count == 1 else page.limit, page.size_limit)
            if count == 1:
                part.size_limit = MANY
            if not self.browse(part) and count > 1:
                count = count // 2  # they are too many for one part, or too large
                continue
            page.show_reversed(part)
            page.position = place + 1
            if not place:
                return True
        return False

    def _show_returned(self, line: list[tuple[int, QueueEntry]], page: Page) -> bool:
        """Show what came back. line: that, in order."""
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
        """Show what did not come back."""
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
        """The number of the first segment that has something behind a position."""
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
        """Leave to the log what rests there safely, from behind the head.

        What could rest there, but is not there yet, is sent there and can be left to it later.
        keep: bytes of memory that the head may need. want: bytes of the budget that should be free afterwards.
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
        """Leave messages of a line to the log, behind those that rest, until the budget needs no more than a target."""
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
        """How many messages of the head need no more than so many bytes."""
        count: i64 = 0
        most: i64 = min(len(self._fresh), MAX_HEAD)
        while count < most:
            keep -= len(self._fresh.at(count).message.content) + COST
            if keep < 0:
                break
            count += 1
        return count

    def _rest_head(self, source: Source, keep: i64, target: i64) -> None:
        """Leave to the log what is too much at the front, in front of what rests."""
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
        """Leave the contents of messages that came back to the log, but of those that go next."""
        self._returned.sort()  # which leaves it a heap
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
        """Fetch the contents of the next messages that came back. Those that cannot be read any more are gone."""
        self._returned.sort()  # which leaves it a heap
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
        """A message that came back has its content again. found: as it was fetched; without that, it is gone."""
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
        """Whether something that was never delivered, or is in _later, is before a position."""
        if len(self._fresh):
            return self._fresh.first().position < position
        return 0 < self._first_behind() < position or (len(self._later) > 0 and self._later[0][0] < position)

    def _insert(self, entry: QueueEntry) -> None:
        """A message that was taken from the middle goes back there."""
        self._make_way(entry.position)
        if self._tail is None:
            self._tail = Fifo()
            self._sent = 0
        insort(self._later, (int(entry.position), entry))
        self._behind += 1

    def _make_way(self, position: i64) -> None:
        """Let nothing be fresh that is behind a position."""
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
        """The first position in _segments and _tail; 0 when there is nothing."""
        if self._segments:
            segment = self._segments[0]
            return segment.first().position if isinstance(segment, Fifo) else read_i64_be(segment.positions, 0)
        return self._tail.first().position if self._tail is not None and len(self._tail) else 0

    def _is_later_next(self) -> bool:
        """Whether behind what is fresh comes something that was taken from the middle and is back."""
        if not self._later:
            return False
        first = self._first_behind()
        return first == 0 or self._later[0][0] < first

    def _bring_later(self) -> None:
        """What is next has come back."""
        first = self._first_behind()
        end = bisect_left(self._later, int(first), key=itemgetter(0)) if first else len(self._later)
        self._returned += self._later[:end]  # which leaves it a heap
        del self._later[:end]
        self._behind -= end

    def rest(self, run: Run, level: i64) -> None:
        """Messages that rest in the log already, behind all others. level: their priority."""
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
        """Take all that rests, unread."""
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
        """The queue has ended: nobody is held on to."""
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
        """A run, behind the others; small ones become one."""
        last = self._segments[-1] if self._segments else None
        if isinstance(last, Run) and last.log_id == run.log_id and last.is_small():
            last.extend(run.positions, run.size)
        else:
            self._segments.append(run)

    def _stay(self, entry: QueueEntry) -> None:
        """A message that cannot rest keeps its place among those that do."""
        last = self._segments[-1] if self._segments else None
        if not isinstance(last, Fifo):
            last = Fifo()
            self._segments.append(last)
        last.push(entry)

    def _spill(self, tail: Fifo, source: Source, want: i64) -> None:
        """Send so many bytes of messages to the log."""
        while want > 0 and self._sent < len(tail):
            entry = tail.at(self._sent)
            if not entry.log_id and not source.spill(entry):
                return
            want -= len(entry.message.content) + COST
            self._sent += 1

    def _fill(self, fetches: bool = True) -> bool:
        """Bring the next segment to the front, if it may be fetched or need not be. Returns: if there is one now."""
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
        found = self._source.fetch(run)  # first: what fails leaves all as it was
        self._behind -= run.count
        self.size -= run.size
        for entry in found:
            self._count(entry)
            self._fresh.push(entry)


def may_rest(entry: QueueEntry) -> bool:
    """Whether it is worth the while to leave the content of a single message to the log."""
    return entry.log_id != 0 and len(entry.message.content) >= STUB


def _resting_from(line: list[tuple[int, QueueEntry]], at: i64) -> tuple[Run, i64]:
    """Those that came back and rest, from a place among these on, as a run; and where it ends.

    What came back has to be in order.
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
    """Take the one with a position from a line, if it is there."""
    index = line.find(position)
    return line.take_at(index) if index >= 0 else None


def _position(entry: QueueEntry) -> int:
    return int(entry.position)


def _last(segment: Run | Fifo) -> i64:
    """The last position in a segment, which is never empty."""
    if isinstance(segment, Fifo):
        return segment.last().position
    return read_i64_be(segment.positions, len(segment.positions) - 8)
