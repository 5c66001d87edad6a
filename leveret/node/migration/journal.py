"""Journal: records each batch on disk before it is sent, so that a killed migration can resume.

For each batch it stores the fingerprints of its letters (letter.py), and whether they were about to be acknowledged.
It keeps only the last HISTORY letters: a killed broker forgets only its latest acknowledgements. The file is locked
while in use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from leveret.node.migration.letter import PRINT_BYTES

FORMAT: Final = 1
HISTORY: Final = 200_000  # letters
SENT: Final = 0  # states of a batch: it may be in the target; nothing was acknowledged
SENT_EXACTLY: Final = 1  # the same, and if it is in the target, so is a marker for it
SETTLED: Final = 2  # it is in the target, or assumed to be; it may have been acknowledged
SCHEMA: Final = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
    "CREATE TABLE places (place INTEGER PRIMARY KEY, vhost BLOB NOT NULL, queue BLOB NOT NULL, moved INTEGER NOT NULL,"
    " again INTEGER NOT NULL, UNIQUE (vhost, queue))",
    "CREATE TABLE batches (number INTEGER PRIMARY KEY, place INTEGER NOT NULL, state INTEGER NOT NULL,"
    " again INTEGER NOT NULL, prints BLOB NOT NULL)",
)


class JournalError(Exception):
    """The journal cannot be used. The text says why, and what to do."""


@dataclass(frozen=True)
class Pending:
    """A batch in an unknown state. is_exact: the target can tell. again: number of marked letters."""

    number: int
    is_exact: bool
    vhost: str
    queue: str
    again: int
    prints: Counter[bytes]


class Journal:
    """The journal of one migration. name: unique to it. last: number of the last batch; numbers only grow.

    All methods raise JournalError.
    """

    def __init__(self, path: Path, source: str, target: str) -> None:
        """source, target: names of the brokers; refuses a journal of other brokers."""
        self.path = path
        self._kept: deque[tuple[int, int]] = deque()  # batch numbers with their letter counts
        self._count = 0  # letters in them
        self._places: dict[tuple[str, str], int] = {}
        with self._explained():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
            self._file = sqlite3.connect(path, isolation_level=None, timeout=1.0)
        try:
            with self._explained():
                for pragma in ("locking_mode = EXCLUSIVE", "journal_mode = WAL", "synchronous = FULL"):
                    self._file.execute(f"PRAGMA {pragma}")
                self._open(source, target)
        except JournalError:
            self._file.close()
            raise

    def _open(self, source: str, target: str) -> None:
        version = self._file.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, FORMAT):
            raise JournalError(f"{self.path} has format {version}, but only {FORMAT} is supported; name another file")
        with self._change():
            if not version:
                for statement in SCHEMA:
                    self._file.execute(statement)
                for pair in (("source", source), ("target", target), ("name", secrets.token_hex(8))):
                    self._file.execute("INSERT INTO meta VALUES (?, ?)", pair)
                self._file.execute(f"PRAGMA user_version = {FORMAT}")
        meta = dict(self._file.execute("SELECT key, value FROM meta"))
        if (meta.get("source"), meta.get("target")) != (source, target):
            whose = f"from {meta.get('source')} to {meta.get('target')}"
            raise JournalError(f"{self.path} is the journal of a migration {whose}; name another file with --journal")
        self.name = str(meta["name"])
        for place, vhost, queue in self._file.execute("SELECT place, vhost, queue FROM places"):
            self._places[_text(vhost), _text(queue)] = place
        self.last = 0
        for number, size in self._file.execute("SELECT number, length(prints) FROM batches ORDER BY number"):
            self._keep(number, size // PRINT_BYTES)
            self.last = number

    def pending(self) -> Pending | None:
        """The last batch, if it is not settled."""
        with self._explained():
            found = self._file.execute(
                "SELECT number, state, vhost, queue, batches.again, prints FROM batches JOIN places USING (place)"
                " WHERE state != ?",
                (SETTLED,),
            ).fetchone()
        if found is None:
            return None
        number, state, vhost, queue, again, prints = found
        return Pending(number, state == SENT_EXACTLY, _text(vhost), _text(queue), again, _cut(prints))

    def begin(self, vhost: str, queue: str, prints: list[bytes], again: int, is_exact: bool) -> int:
        """Record a batch before it is sent. again: number of marked letters. is_exact: the batch contains a marker.

        Returns: its number, once it is on disk.
        """
        with self._explained(), self._change():
            place = self._place(vhost, queue)
            number = self.last + 1
            row = (number, place, SENT_EXACTLY if is_exact else SENT, again, b"".join(prints))
            self._file.execute("INSERT INTO batches VALUES (?, ?, ?, ?, ?)", row)
            self.last = number
            self._keep(number, len(prints))
            if self._count > HISTORY and len(self._kept) > 1:
                while self._count > HISTORY and len(self._kept) > 1:
                    self._count -= self._kept.popleft()[1]
                self._file.execute("DELETE FROM batches WHERE number < ?", (self._kept[0][0],))
        return number

    def settle(self, number: int, moved: int, again: int) -> None:
        """Record that a batch is about to be acknowledged. Returns once that is on disk.

        moved: number of letters stored. again: how many of these may be duplicates.
        """
        with self._explained(), self._change():
            self._file.execute("UPDATE batches SET state = ? WHERE number = ?", (SETTLED, number))
            self._file.execute(
                "UPDATE places SET moved = moved + ?, again = again + ?"
                " WHERE place = (SELECT place FROM batches WHERE number = ?)",
                (moved, again, number),
            )

    def forget(self, number: int) -> None:
        """Remove a batch of which nothing is in the target."""
        with self._explained(), self._change():
            self._file.execute("DELETE FROM batches WHERE number = ?", (number,))

    def prints(self, vhost: str, queue: str) -> Counter[bytes]:
        """The fingerprints of all letters sent from a queue."""
        place = self._places.get((vhost, queue))
        found: Counter[bytes] = Counter()
        with self._explained():
            for (prints,) in self._file.execute("SELECT prints FROM batches WHERE place = ?", (place,)):
                found.update(_cut(prints))
        return found

    def totals(self) -> dict[tuple[str, str], tuple[int, int]]:
        """The numbers of moved letters and possible duplicates in all runs, by virtual host and queue."""
        with self._explained():
            found = self._file.execute("SELECT vhost, queue, moved, again FROM places").fetchall()
        return {(_text(vhost), _text(queue)): (moved, again) for vhost, queue, moved, again in found}

    def close(self) -> None:
        """Close and unlock the file."""
        self._file.close()

    def _place(self, vhost: str, queue: str) -> int:
        place = self._places.get((vhost, queue))
        if place is None:
            row = (_bytes(vhost), _bytes(queue))
            place = self._file.execute("INSERT INTO places VALUES (NULL, ?, ?, 0, 0)", row).lastrowid
            assert place is not None
            self._places[vhost, queue] = place
        return place

    def _keep(self, number: int, count: int) -> None:
        self._kept.append((number, count))
        self._count += count

    @contextlib.contextmanager
    def _change(self) -> Iterator[None]:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._file.execute("ROLLBACK")
            raise
        self._file.execute("COMMIT")

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"cannot use the journal {self.path}: {error.strerror}; name another file with --journal"
            raise JournalError(text) from None
        except sqlite3.OperationalError as error:
            if "locked" in str(error):
                raise JournalError(
                    f"another `leveret migrate` is using the journal {self.path}; wait until it ends"
                ) from None
            text = f"cannot use the journal {self.path}: {error}; name another file with --journal"
            raise JournalError(text) from None
        except sqlite3.DatabaseError as error:
            text = f"{self.path} is not a journal, or is damaged: {error}; name another file with --journal"
            raise JournalError(text) from None


def _cut(prints: bytes) -> Counter[bytes]:
    return Counter(prints[at : at + PRINT_BYTES] for at in range(0, len(prints), PRINT_BYTES))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
