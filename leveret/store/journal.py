"""Journal: the committed pages in SQLite's write-ahead log, read without SQLite.

A frame is a page with a header of 24 bytes: its number, the size of the database if it ends a transaction, two salts
that all frames since the last restart share, a checksum that goes on from the frame before. SQLite stops at the first
frame that does not fit. That is the unfinished transaction of a power cut, unless transactions follow: each was
synced before the next began, so what is unreadable in front of another one was damaged later.
Source: sqlite.org/fileformat2.html, section 4.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from mypy_extensions import i64

PAGE_BYTES: Final = 16384
HEADER_BYTES: Final = 32
FRAME_BYTES: Final = 24 + PAGE_BYTES
MAGIC: Final = 0x377F0682  # checksums of little-endian words; the next number for big-endian ones
MAX_PAGE: Final = 0xFFFFFFFE


class Journal:
    """What is in a write-ahead log; nothing if it is not there.

    frames: where the last committed content of a page begins, by its number. pages: of the database after the last
    commit, 0 without one. lost: frames that cannot be read, though transactions follow; damage: says so.
    """

    def __init__(self, path: Path) -> None:
        self.frames: dict[int, int] = {}
        self.pages = 0
        self.lost = 0
        self.damage = ""
        try:
            self._file = os.open(path, os.O_RDONLY)
        except FileNotFoundError:
            self._file = -1
            return
        self._order = "<"
        self._pending: dict[int, int] = {}  # frames of a transaction that has not ended
        self._count = max(os.fstat(self._file).st_size - HEADER_BYTES, 0) // FRAME_BYTES
        self._read()

    def content(self, offset: int) -> bytes:
        """A page as it stands in the log. Raises: OSError."""
        return os.pread(self._file, PAGE_BYTES, offset)

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _read(self) -> None:
        header = self._bytes(0, HEADER_BYTES)
        if self._count == 0:
            return
        magic, _, size, _, _, _, sum1, sum2 = struct.unpack(">8I", header)
        self._order = ">" if magic == MAGIC + 1 else "<"
        salts = header[16:24]
        is_whole = magic in (MAGIC, MAGIC + 1) and size == PAGE_BYTES
        if is_whole and checksum(self._order, header[:24], 0, 0) == (sum1, sum2):
            good = self._chain(salts, sum1, sum2)
            if good < self._count:
                self._look_behind(good, salts)
        else:  # it was synced before the first frame was written
            self._look_behind(-1, self._bytes(HEADER_BYTES, 24)[8:16])

    def _chain(self, salts: bytes, sum1: int, sum2: int) -> int:
        """Take the transactions from the beginning. Returns: how many frames fit."""
        for at in range(self._count):
            head = self._bytes(self._offset(at), 24)
            if not _is_frame(head, salts):
                return at
            sum1, sum2 = self._sum(at, head, sum1, sum2)
            if head[16:24] != struct.pack(">2I", sum1, sum2):
                return at
            self._take(at, head)
        return self._count

    def _look_behind(self, good: int, salts: bytes) -> None:
        """Look for transactions behind a frame that does not fit, and take what is whole there."""
        proven = ends = good < 0  # ends: a transaction, at a frame behind the first bad one
        sound: list[int] = []  # or at least not known to be damaged
        before = self._bytes(self._offset(good), 24) if good >= 0 else bytes(24)
        bad = lost = 0 if good < 0 else 1
        chained = False
        for at in range(good + 1, self._count):
            head = self._bytes(self._offset(at), 24)
            if not _is_frame(head, salts):
                bad += 1
            elif not _is_frame(before, salts):
                sound.append(at)  # nothing to check it with
            else:
                sum1, sum2 = struct.unpack(">2I", before[16:24])
                ends = ends or before[4:8] != bytes(4)
                if struct.pack(">2I", *self._sum(at, head, sum1, sum2)) != head[16:24]:
                    bad += 1
                else:
                    sound.append(at)
                    chained = True
                    if ends:
                        proven, lost = True, bad
            before = head
        if not proven or not chained:
            return
        self.lost = lost
        self.damage = f"frame {good + 1} of the write-ahead log cannot be read, but transactions follow"
        for at in sound:
            self._take(at, self._bytes(self._offset(at), 24))

    def _take(self, at: int, head: bytes) -> None:
        number, pages = struct.unpack(">2I", head[:8])
        self._pending[number] = self._offset(at) + 24
        if pages:
            self.frames.update(self._pending)
            self._pending.clear()
            self.pages = pages

    def _sum(self, at: int, head: bytes, sum1: int, sum2: int) -> tuple[int, int]:
        sum1, sum2 = checksum(self._order, head[:8], sum1, sum2)
        return checksum(self._order, self._bytes(self._offset(at) + 24, PAGE_BYTES), sum1, sum2)

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
    """The checksum of SQLite's log, going on from another. order: of bytes in a word, as for struct."""
    first: i64 = sum1
    second: i64 = sum2
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for at in range(0, len(words), 2):
        first = (first + i64(words[at]) + second) & 0xFFFFFFFF
        second = (second + i64(words[at + 1]) + first) & 0xFFFFFFFF
    return int(first), int(second)
