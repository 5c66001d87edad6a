"""Disk: what a power cut may leave of the files that record.c has recorded.

The model is the promise of POSIX, no more. What was synced is there. Of what was written to a file since its last sync
any part may be there, in sectors of 512 bytes. A name is there once its directory was synced after it was made; until
then every new, removed or changed name may be there or not, whatever was synced of the file itself.
Bytes beside those that were written are safe, which is what SQLite calls powersafe overwrite and takes for granted.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

OPEN, WRITE, TRUNCATE, SYNC, UNLINK, RENAME, MKDIR, UNKNOWN, START = range(1, 10)
FLAG_CREATE, FLAG_TRUNCATE, FLAG_DIRECTORY = 1, 2, 4
SECTOR = 512
SHARED_MEMORY = "-shm"  # SQLite's index of its log: mapped into memory, never synced, and made anew by who comes first
_HEAD = struct.Struct("<IIQQ")


WORTHLESS = (SHARED_MEMORY, "space-reserve")
"""Files of which nobody reads what a crash has left: SQLite makes its index anew, and the reserve has no contents."""


class Entry(NamedTuple):
    """One entry of a record. end: length of the record with it."""

    kind: int
    file: int
    offset: int
    data: bytes
    end: int


def entries(record: bytes) -> list[Entry]:
    """All whole entries of a record."""
    found = []
    at = 0
    while at + _HEAD.size <= len(record):
        kind, file, offset, size = _HEAD.unpack_from(record, at)
        start = at + _HEAD.size
        at = start + size
        if at > len(record):
            break
        found.append(Entry(kind, file, offset, record[start:at], at))
    return found


class Write(NamedTuple):
    """Bytes at a place; None for the end of the file there."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        """Do it."""
        if self.data is None:
            del content[self.offset :]
        end = self.offset + len(self.data or b"")
        content.extend(bytes(max(0, end - len(content))))
        if self.data is not None:
            content[self.offset : end] = self.data

    def sectors(self) -> list[Write]:
        """The same, sector by sector."""
        if self.data is None:
            return [self]
        cuts = range(-self.offset % SECTOR or SECTOR, len(self.data), SECTOR)
        starts = [0, *cuts]
        return [
            Write(self.offset + start, self.data[start:end])
            for start, end in zip(starts, [*cuts, len(self.data)], strict=True)
        ]


Name = tuple[str, "Node | None"]  # a name in a directory, and what it stands for from then on
Change: TypeAlias = tuple[Name, ...]  # of a directory, at once


@dataclass(eq=False)
class Node:
    """A file or a directory: what of it is safe, and what came since."""

    is_directory: bool
    content: bytearray = field(default_factory=bytearray)
    writes: list[Write] = field(default_factory=list)
    names: dict[str, Node] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    live: dict[str, Node] = field(default_factory=dict)  # the names as the process sees them

    def sync(self) -> None:
        """All that came is safe."""
        for write in self.writes:
            write.apply(self.content)
        self.writes.clear()
        for change in self.changes:
            _rename(self.names, change)
        self.changes.clear()

    def change(self, *change: Name) -> None:
        """Names appear, or vanish."""
        self.changes.append(change)
        _rename(self.live, change)


def _rename(names: dict[str, Node], change: Change) -> None:
    for name, node in change:
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


class Whim:
    """How a disk chooses what it keeps of that which was not synced.

    share: of the sectors, and of the changes of names. torn: sectors of one write may part.
    is_prefix: the first are kept up to some point, and no others.
    """

    def __init__(self, seed: str) -> None:
        self._chance = random.Random(seed)
        self.share = self._chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
        self.torn = self._chance.random() < 0.5
        self.is_prefix = self._chance.random() < 0.3

    @classmethod
    def keeping(cls, share: float) -> Whim:
        """One that keeps all, 1.0, or nothing, 0.0."""
        whim = cls("")
        whim.share, whim.torn, whim.is_prefix = share, False, False
        return whim

    def __str__(self) -> str:
        return f"share {self.share}, {'torn' if self.torn else 'whole'}{', a prefix' if self.is_prefix else ''}"

    def writes(self, made: list[Write]) -> list[Write]:
        """Those that are kept."""
        pieces = [sector for write in made for sector in write.sectors()] if self.torn else made
        if self.is_prefix:
            return pieces[: self._chance.randint(0, len(pieces))]
        return [piece for piece in pieces if self._chance.random() < self.share]

    def garbage(self) -> bytes:
        """What may be in a file that is mapped into memory."""
        return self._chance.randbytes(self._chance.choice((0, 1000, 32768)))

    def changes(self, made: list[Change]) -> list[Change]:
        """Those that are kept."""
        if self.is_prefix:
            return made[: self._chance.randint(0, len(made))]
        return [change for change in made if self._chance.random() < self.share]


class Disk:
    """The files below a directory, as the entries of a record change them.

    honest: whether a sync of this path counts; a dishonest one makes nothing safe.
    """

    def __init__(self, honest: Callable[[str], bool] = lambda _: True) -> None:
        self.top = Node(is_directory=True)
        self._honest = honest
        self._files: dict[int, tuple[str, Node]] = {}

    def replay(self, entry: Entry) -> None:
        """The next entry of the record."""
        if entry.kind == START:
            self._files.clear()
        elif entry.kind == OPEN:
            self._open(entry)
        elif entry.kind == WRITE:
            self._files[entry.file][1].writes.append(Write(entry.offset, entry.data))
        elif entry.kind == TRUNCATE:
            self._files[entry.file][1].writes.append(Write(entry.offset, None))
        elif entry.kind == SYNC:
            path, node = self._files[entry.file]
            if self._honest(path):
                node.sync()
        elif entry.kind == UNLINK:
            folder, name = self._folder(entry.data.decode())
            folder.change((name, None))
        elif entry.kind == RENAME:
            old, new = entry.data.decode().split("\0")
            folder, name = self._folder(old)
            target, new_name = self._folder(new)
            assert folder is target, "a move between directories"
            folder.change((new_name, folder.live[name]), (name, None))
        elif entry.kind == MKDIR:
            folder, name = self._folder(entry.data.decode())
            folder.change((name, Node(is_directory=True)))
        elif not self._files[entry.file][0].endswith(WORTHLESS):
            raise AssertionError(f"the record has what cannot be replayed: {entry.data!r}")

    def _open(self, entry: Entry) -> None:
        path = entry.data.decode()
        if not path:
            self._files[entry.file] = (path, self.top)
            return
        folder, name = self._folder(path)
        if name not in folder.live:
            assert entry.offset & FLAG_CREATE, f"{path} was not made under record"
            folder.change((name, Node(is_directory=False)))
        node = folder.live[name]
        if entry.offset & FLAG_TRUNCATE:
            node.writes.append(Write(0, None))
        self._files[entry.file] = (path, node)

    def _folder(self, path: str) -> tuple[Node, str]:
        """The directory of a path, and the name in it."""
        node = self.top
        parts = PurePosixPath(path).parts
        for part in parts[:-1]:
            node = node.live[part]
        return node, parts[-1]

    def cut(self, whim: Whim) -> Image:
        """What is left when the power fails now."""
        return Image(self.top, whim)


class Image:
    """Files and directories after a power cut: contents by path, None for a directory."""

    def __init__(self, top: Node, whim: Whim) -> None:
        self.contents: dict[str, bytes | None] = {}
        self._add("", top, whim)

    def _add(self, path: str, node: Node, whim: Whim) -> None:
        names = dict(node.names)
        for change in whim.changes(node.changes):
            _rename(names, change)
        for name, inner in sorted(names.items()):
            where = f"{path}/{name}".lstrip("/")
            if inner.is_directory:
                self.contents[where] = None
                self._add(where, inner, whim)
            else:
                content = bytearray(inner.content)
                for write in whim.writes(inner.writes):
                    write.apply(content)
                self.contents[where] = whim.garbage() if name.endswith(SHARED_MEMORY) else bytes(content)

    def write(self, directory: Path) -> None:
        """Make these files below a directory."""
        directory.mkdir(parents=True)
        for path, content in self.contents.items():
            if content is None:
                (directory / path).mkdir()
            else:
                (directory / path).write_bytes(content)
