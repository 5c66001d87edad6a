"""Pages: a defensive reader of SQLite's file format, without SQLite.

A file is a sequence of pages. A table is a tree of pages: leaves with rows, and inner pages that point to them. The
part of a row that does not fit goes into a chain of overflow pages. Free pages form a list. In files with auto_vacuum,
pointer map pages record the use and the parent of each page, so a page is identified even if its parent is lost.
Nothing here writes, and invalid bytes of any kind raise only BadPage.
Source: sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from leveret.store.rescue.journal import Journal
from leveret.store.schema import PAGE_BYTES

MAGIC: Final = b"SQLite format 3\0"
LOCK_PAGE: Final = (1 << 30) // PAGE_BYTES + 1  # never used
MAP_PAGES: Final = PAGE_BYTES // 5  # described by one map page

INNER_INDEX: Final = 2  # kinds of tree pages
INNER_TABLE: Final = 5
LEAF_INDEX: Final = 10
LEAF_TABLE: Final = 13

ROOT: Final = 1  # uses of a page in the map
FREE: Final = 2
OVERFLOW: Final = 4  # except the first of a chain
TREE: Final = 5

MOST: Final = PAGE_BYTES - 35  # bytes of a row that stay in a table leaf
MOST_INDEX: Final = (PAGE_BYTES - 12) * 64 // 255 - 23
LEAST: Final = (PAGE_BYTES - 12) * 32 // 255 - 23
MAX_ROW: Final = 1_000_000_000  # bytes, as SQLite's SQLITE_MAX_LENGTH
MAX_GROWTH: Final = 1024  # pages per frame of the log: many pages of a large row may be free again before it is written
MAX_ZEROS: Final = 64 << 20  # in place of unreadable bytes
IN_CHAIN: Final = PAGE_BYTES - 4  # bytes of a row in an overflow page

Value = int | bytes | str | float | None


class BadPage(Exception):
    """The bytes are not valid for SQLite's format."""


class Row:
    """A row. missing: number of unreadable bytes, which are zero."""

    __slots__ = ("missing", "row_id", "values")

    def __init__(self, row_id: int, values: list[Value], missing: int) -> None:
        self.row_id = row_id
        self.values = values
        self.missing = missing


class PageFile:
    """A database file, overlaid with the committed pages of its write-ahead log. count: of its pages.

    is_cut: whether the file is shorter than its header says. has_map: whether it has map pages; another program may
    have rewritten the file without them. Raises: OSError when the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            self.journal = Journal(path.with_name(path.name + "-wal"))
            self.bytes = os.fstat(self._file).st_size
        except BaseException:
            os.close(self._file)
            raise
        there = -(-self.bytes // PAGE_BYTES)
        self.count = max(there, min(max(self.journal.frames, default=0), there + 4 * self.journal.count + 64))
        self.is_cut = False
        self._map_at = 0  # the map page read last
        self._map = b""
        if self.journal.pages and not self.journal.damage:
            if self.journal.pages > there + (self.journal.count + 64) * MAX_GROWTH:
                self.journal.damage = "the write-ahead log says that the file is larger than it can be"
            else:
                self.count = self.journal.pages
        elif not self.journal.frames:
            head = self._read(1)
            said = int.from_bytes(head[28:32], "big")
            if head[:16] == MAGIC and head[24:28] == head[92:96] and said:
                self.is_cut = said > self.bytes // PAGE_BYTES
                if not self.is_cut:
                    self.count = said

        self.has_map = self.says_map() or self._read(2)[:1] == bytes((ROOT,))

    def says_map(self) -> bool:
        """Whether, by its header, the file has map pages."""
        return self.header()[52:56] != bytes(4)

    def is_map(self, number: int) -> bool:
        """Whether a page is a map page."""
        return self.has_map and number == map_page(number)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
        self.journal.close()

    def header(self) -> bytes:
        """The first 100 bytes, padded with zeros."""
        return self._read(1).ljust(100, b"\0")[:100]

    def page(self, number: int) -> bytes:
        """A page. Raises: BadPage when it does not exist, or the disk cannot read it."""
        if not 0 < number <= self.count:
            raise BadPage(f"page {number}: does not exist")
        found = self._read(number)
        if len(found) != PAGE_BYTES:
            raise BadPage(f"page {number}: cannot be read")
        return found

    def _read(self, number: int) -> bytes:
        offset = self.journal.frames.get(number)
        try:
            if offset is not None:
                return self.journal.content(offset)
            return os.pread(self._file, PAGE_BYTES, (number - 1) * PAGE_BYTES)
        except OSError:
            return b""

    def use(self, number: int) -> tuple[int, int]:
        """The use and parent of a page by the map; (0, 0) if unknown."""
        if not self.has_map:
            return 0, 0
        at = map_page(number)
        if at != self._map_at:
            self._map_at = at
            try:
                self._map = self.page(at)
            except BadPage:
                self._map = b""
        entry = self._map[5 * (number - at - 1) : 5 * (number - at)] if number > at else b""
        if len(entry) != 5 or not ROOT <= entry[0] <= TREE:
            return 0, 0
        return entry[0], int.from_bytes(entry[1:], "big")

    def next_in_chain(self, number: int) -> int:
        """By the map, the page after an unreadable overflow page; 0 if there is none."""
        wanted = bytes((OVERFLOW,)) + number.to_bytes(4, "big")
        for at in range(2, self.count + 1, MAP_PAGES + 1):
            place = at + (1 if at == LOCK_PAGE else 0)
            try:
                content = self.page(place)
            except BadPage:
                continue
            found = content.find(wanted)
            while found >= 0:
                if found % 5 == 0 and place + found // 5 + 1 <= self.count:
                    return place + found // 5 + 1
                found = content.find(wanted, found + 1)
        return 0

    def row(self, page: bytes, at: int) -> Row:
        """The row in a cell of a table leaf. Raises: BadPage."""
        size, pos = varint(page, at)
        row_id, pos = varint(page, pos)
        local = in_leaf(size, MOST)
        if pos + local > PAGE_BYTES or size > min(self.count * PAGE_BYTES, MAX_ROW):
            raise BadPage("a row does not fit")
        payload = page[pos : pos + local]
        missing = 0
        if local < size:
            if pos + local + 4 > PAGE_BYTES:
                raise BadPage("a row does not fit")
            first = int.from_bytes(page[pos + local : pos + local + 4], "big")
            parts = [payload]
            missing = self._chain(parts, first, size - local)
            payload = b"".join(parts)
        if row_id >= 1 << 63:
            row_id -= 1 << 64
        return Row(row_id, values(payload), missing)

    def _chain(self, parts: list[bytes], number: int, left: int) -> int:
        """Append the content of overflow pages, with zeros for unreadable bytes. Returns: how many are unreadable."""
        missing = 0
        seen: set[int] = set()
        while left:
            size = min(left, IN_CHAIN)
            following = 0
            part = b""
            if 0 < number <= self.count and number not in seen:
                seen.add(number)
                try:
                    content = self.page(number)
                    following, part = int.from_bytes(content[:4], "big"), content[4 : 4 + size]
                except BadPage:
                    pass
                if left > size and (not 0 < following <= self.count or self.use(following) != (OVERFLOW, number)):
                    known = self.next_in_chain(number)
                    following = known or following
            if not part:
                if not following:  # the chain is lost
                    if left > MAX_ZEROS:
                        raise BadPage("too much of a row is unreadable")
                    parts.append(bytes(left))
                    return missing + left
                part = bytes(size)
                missing += size
            parts.append(part)
            left -= size
            number = following
        return missing


class TreePage:
    """A page of a tree. cells: offset of each; children: the pages below it. Raises: BadPage.

    After problem(), keys: row ids of a table in order; in an inner page, the last row id below each child except the
    last child; overflow: the number of pages of each chain.
    """

    __slots__ = ("_first", "cells", "children", "content", "keys", "kind", "overflow")

    def __init__(self, number: int, content: bytes) -> None:
        start = 100 if number == 1 else 0
        self._first = start
        self.content = content
        self.kind = content[start]
        if self.kind not in (INNER_INDEX, INNER_TABLE, LEAF_INDEX, LEAF_TABLE):
            raise BadPage(f"page {number}: is not a tree page")
        is_inner = self.kind in (INNER_INDEX, INNER_TABLE)
        count = int.from_bytes(content[start + 3 : start + 5], "big")
        first = start + (12 if is_inner else 8)
        if first + 2 * count > PAGE_BYTES:
            raise BadPage(f"page {number}: has too many cells")
        self.cells = [int.from_bytes(content[at : at + 2], "big") for at in range(first, first + 2 * count, 2)]
        self.children: list[int] = []
        self.overflow: list[int] = []
        self.keys: list[int] = []
        if is_inner:
            self.children = [int.from_bytes(content[at : at + 4], "big") for at in self.cells]
            self.children.append(int.from_bytes(content[start + 8 : start + 12], "big"))

    def problem(self, above: int = -1, last: int = 1 << 64) -> str:
        """The damage of its cells, empty for none. Row ids must be greater than above, and at most last."""
        if not self.cells and self.children:
            return "an inner page is empty"
        taken = 0
        for at in self.cells:
            try:
                taken += max(self._cell(at), 4)
            except BadPage as error:
                return str(error)
        for key in self.keys:
            if not above < key <= last:
                return "rows are out of order"
            above = key
        return "" if taken == self._content_bytes() else "its cells do not fill it as its header says"

    def _content_bytes(self) -> int:
        """The total bytes of its cells by its header; -1 if inconsistent."""
        content, first = self.content, self._first
        start = int.from_bytes(content[first + 5 : first + 7], "big")
        left = PAGE_BYTES - start - content[first + 7]
        block = int.from_bytes(content[first + 1 : first + 3], "big")
        while block:  # free ones, in order
            if block < start or block + 4 > PAGE_BYTES:
                return -1
            size = int.from_bytes(content[block + 2 : block + 4], "big")
            left -= size
            following = int.from_bytes(content[block : block + 2], "big")
            if following and following < block + size + 4:
                return -1
            block = following
        return left

    def _cell(self, at: int) -> int:
        """The size of a cell in bytes. Raises: BadPage."""
        pos = at + (4 if self.children else 0)
        size, pos = varint(self.content, pos)
        if self.kind == INNER_TABLE:
            self.keys.append(size)
            local, more = 0, 0
        else:
            if self.kind == LEAF_TABLE:
                key, pos = varint(self.content, pos)
                self.keys.append(key)
            most = MOST if self.kind == LEAF_TABLE else MOST_INDEX
            local = in_leaf(size, most)
            more = -(-(size - local) // IN_CHAIN)
        if more:
            self.overflow.append(more)
            pos += 4
        if pos + local > PAGE_BYTES:
            raise BadPage("a cell does not fit")
        return pos + local - at


def map_page(number: int) -> int:
    """The number of the map page that describes a page."""
    at = (number - 2) // (MAP_PAGES + 1) * (MAP_PAGES + 1) + 2
    return at + 1 if at == LOCK_PAGE else at


def in_leaf(size: int, most: int) -> int:
    """The bytes of a row or key of this size that are stored in the tree page."""
    if size <= most:
        return size
    local = LEAST + (size - LEAST) % IN_CHAIN
    return local if local <= most else LEAST


def varint(data: bytes, pos: int) -> tuple[int, int]:
    """A number and its end. Raises: BadPage."""
    number = 0
    for count in range(9):
        if pos >= len(data):
            raise BadPage("a number does not end")
        byte = data[pos]
        pos += 1
        if count == 8:
            return number << 8 | byte, pos
        number = number << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return number, pos


def values(record: bytes) -> list[Value]:
    """Decode the values of a row. Raises: BadPage."""
    end, pos = varint(record, 0)
    if end > len(record) or end > PAGE_BYTES:
        raise BadPage("a row is not a valid record")
    kinds: list[int] = []
    while pos < end:
        kind, pos = varint(record, pos)
        kinds.append(kind)
    found: list[Value] = []
    pos = end
    for kind in kinds:
        size = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0, 0, 0)[kind] if kind < 12 else (kind - 12) // 2
        if pos + size > len(record) or kind in (10, 11):
            raise BadPage("a row is not a valid record")
        part = record[pos : pos + size]
        pos += size
        if kind == 0:
            found.append(None)
        elif kind < 7:
            found.append(int.from_bytes(part, "big", signed=True))
        elif kind == 7:
            found.append(0.0)  # unused in Leveret's tables
        elif kind < 10:
            found.append(kind - 8)
        elif kind % 2 == 0:
            found.append(part)
        else:
            try:
                found.append(part.decode())
            except UnicodeDecodeError:
                raise BadPage("a text is not UTF-8") from None
    if pos != len(record):
        raise BadPage("a row is not a valid record")
    return found
