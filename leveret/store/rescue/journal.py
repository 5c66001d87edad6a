"""Journal: the committed pages in SQLite's write-ahead log, read without SQLite.

A frame is a page with a header of 24 bytes: its number, the size of the database if it ends a transaction, two salts
that all frames since the last restart share, and a checksum that continues that of the frame before. SQLite stops at
the first invalid frame. That is the unfinished transaction of a power cut, unless transactions follow: each was
synced before the next began, so an unreadable frame before another transaction was damaged later.
Source: sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from leveret.store.schema import PAGE_BYTES

HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24 + PAGE_BYTES
MAGIC: Final = 0x377F0682  # checksums of little-endian words; the next number for big-endian ones
MAX_PAGE: Final = 0xFFFFFFFE


class Journal:
    """The content of a write-ahead log; empty if the file does not exist.

    frames: offset of the last committed content of each page, by page number. pages: of the database after the last
    commit, 0 without one. count: of all frames. lost: number of unreadable frames before later transactions;
    damage: the description of that.
    """

    def __init__(self, path: Path) -> None:
        self.frames: dict[int, int] = {}
        self.pages = 0
        self.lost = 0
        self.damage = ""
        self.count = 0
        try:
            self._file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self._file = -1
            return
        self._order = "<"
        self._is_broken = False  # whether the header is damaged
        self._last = b""  # checksum of the last valid frame
        self._pending: dict[int, int] = {}  # frames of a transaction that has not ended
        self.count = max(os.fstat(self._file).st_size - HEADER_BYTES, 0) // FRAME_BYTES
        self._read()

    def content(self, offset: int) -> bytes:
        """The page at an offset of the log. Raises: OSError."""
        return os.pread(self._file, PAGE_BYTES, offset)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        header = self._bytes(0, HEADER_BYTES)
        if self.count == 0:
            return
        magic, _, size, _, _, _, sum1, sum2 = struct.unpack(">8I", header)
        self._order = ">" if magic == MAGIC + 1 else "<"
        salts = header[16:24]
        is_whole = magic in (MAGIC, MAGIC + 1) and size == PAGE_BYTES
        if is_whole and checksum(self._order, header[:24], 0, 0) == (sum1, sum2):
            good = self._chain(salts, header[24:32])
            if good < self.count:
                self._look_behind(good, salts)
        else:  # damaged: it was synced before the first frame was written
            self._is_broken = True
            self._look_behind(0, self._bytes(HEADER_BYTES, 24)[8:16])

    def _chain(self, salts: bytes, before: bytes) -> int:
        """Read the transactions from the beginning. Returns: how many frames are valid."""
        self._last = before
        for at in range(self.count):
            head = self._bytes(self._offset(at), 24)
            if not _is_frame(head, salts) or self._sum(at, head, self._last) != head[16:24]:
                return at
            self._last = head[16:24]
            self._take(at, head)
        return self.count

    def _look_behind(self, bad: int, salts: bytes) -> None:
        """Look for transactions after an invalid frame, and take the intact frames there.

        A frame is intact if its checksum continues that of the frame before, either as stored there or as computed. If
        neither is known, it counts as intact.
        """
        ends = proven = self._is_broken  # ends: a transaction ends at the invalid frame or later
        sound: set[int] = set()
        lost = chained = 0
        before = [self._last] if self._last else []  # possible checksums of the frame before
        is_known = bool(before)  # one of them is right
        for at in range(bad, self.count):
            head = self._bytes(self._offset(at), 24)
            computed = [self._sum(at, head, each) for each in before]
            if not _is_frame(head, salts):
                before = computed[:1]
                is_known = False
                continue
            if head[16:24] in computed:
                sound.add(at)
                if at > bad:
                    chained += 1
                    proven = proven or ends
                    if computed.index(head[16:24]) == 0:
                        sound.add(at - 1)  # only its salts or its stored checksum are damaged
                before = [head[16:24]]
                if proven:
                    lost = at + 1 - bad - len(sound)
            else:
                if not is_known:
                    sound.add(at)
                before = [*computed[:1], head[16:24]]
            is_known = head[16:24] in computed
            ends = ends or head[4:8] != bytes(4)
        if not proven or not chained:
            return
        self.lost = lost
        where = "the header" if self._is_broken else f"frame {bad + 1}"
        self.damage = f"{where} of the write-ahead log cannot be read, but transactions follow"
        for at in sorted(sound):
            self._take(at, self._bytes(self._offset(at), 24))

    def _take(self, at: int, head: bytes) -> None:
        number, pages = struct.unpack(">2I", head[:8])
        self._pending[number] = self._offset(at) + 24
        if pages:
            self.frames.update(self._pending)
            self._pending.clear()
            self.pages = pages

    def _sum(self, at: int, head: bytes, before: bytes) -> bytes:
        """The checksum of a frame, computed from that of the frame before."""
        sum1, sum2 = struct.unpack(">2I", before)
        sum1, sum2 = checksum(self._order, head[:8], sum1, sum2)
        return struct.pack(">2I", *checksum(self._order, self._bytes(self._offset(at) + 24, PAGE_BYTES), sum1, sum2))

    def _offset(self, at: int) -> int:
        return HEADER_BYTES + at * FRAME_BYTES

    def _bytes(self, offset: int, count: int) -> bytes:
        """Bytes of the file; zeros where it cannot be read."""
        try:
            found = os.pread(self._file, count, offset)
        except OSError:
            found = b""
        return found.ljust(count, b"\0")


def _is_frame(head: bytes, salts: bytes) -> bool:
    return head[8:16] == salts and 0 < int.from_bytes(head[:4], "big") <= MAX_PAGE


def checksum(order: str, data: bytes, sum1: int, sum2: int) -> tuple[int, int]:
    """The checksum of SQLite's log, continued from another one. order: byte order, as in struct."""
    first, second = sum1, sum2
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + words[at] + second) & 0xFFFFFFFF
        second = (second + words[at + 1] + first) & 0xFFFFFFFF
    return first, second
