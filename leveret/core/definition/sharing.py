"""Sharing: the DefinitionLog of a node whose definitions other nodes change too.

The nodes write to one table, and each follows a feed of its rows, its own ones included. The table decides: when all
rows have come, every node has in effect what the table says.

Rows take time to come. Until a round of the feed that began after a change of this node was durable, a row of that
definition may be older than the change: it waits for the end of that round. Rows of what belongs to the definition wait
behind it.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import trait

from leveret.core.definition import form
from leveret.core.definition.aside import owners, read_names
from leveret.core.definition.log import DefinitionLog

OWN: Final = (form.CLOCK, form.DEFAULTS, form.DEDUPLICATION)  # each node writes them for itself, and follows none


class Replay:
    """Whether a change of another node takes effect now. That node has written it, with all that follows from it."""

    __slots__ = ("_depth",)

    def __init__(self) -> None:
        self._depth = 0

    @property
    def is_on(self) -> bool:
        """Whether changes of definitions are not written now."""
        return self._depth > 0

    def begin(self) -> None:
        """Changes of another node take effect until end()."""
        self._depth += 1

    def end(self) -> None:
        """They have taken effect."""
        self._depth -= 1


@trait
class Applier:
    """Brings changes of other nodes into effect."""

    @abstractmethod
    def follow(self, kind: str, key: str, value: bytes | None) -> None:
        """A definition has this value now; None when it is deleted. Never raises."""

    @abstractmethod
    def caught_up(self) -> None:
        """Everything that the table had when a round of the feed began is in effect."""


class Change:
    """A change of this node that the feed may not have shown yet. row: the latest of the rows that wait, if has_row.

    was_deleted: whether the definition was deleted meanwhile, even if it exists again. number: of the row's arrival.
    """

    __slots__ = ("has_row", "number", "revision", "row", "was_deleted")

    def __init__(self, revision: int, was_deleted: bool) -> None:
        self.revision = revision
        self.was_deleted = was_deleted
        self.has_row = False
        self.row: bytes | None = None
        self.number = 0


class Sharing(DefinitionLog):
    """The definitions of one node of a cluster. applier: brings rows into effect; to be set before the first one."""

    def __init__(self, log: DefinitionLog, replay: Replay) -> None:
        self.applier: Applier | None = None
        self._log = log
        self._replay = replay
        self._revision = 0  # of the last change of this node
        self._durable_revision = 0
        self._digests: dict[str, dict[str, int]] = {}  # of all values, by kind and key
        self._changes: dict[tuple[str, str], Change] = {}  # in the order of their revisions
        self._creations: dict[tuple[str, str], int] = {}  # revisions that another node may forestall, ascending
        self._behind: dict[tuple[str, str], tuple[int, bytes | None]] = {}  # rows that wait behind one of an owner
        self._rows = 0  # that had to wait
        self._has_waiting = False

    # -- the DefinitionLog

    def put(self, kind: str, key: str, value: bytes, is_new: bool = False) -> int:
        """Set a value, unless another node has set it."""
        if kind in OWN:
            self._revision = self._log.put(kind, key, value)
            return self._revision
        self._digests.setdefault(kind, {})[key] = hash(value)
        if not self._replay.is_on:
            change = self._changes.get((kind, key))
            if change is not None and change.was_deleted and change.revision > self._durable_revision:
                is_new = False  # it may still be in the table, which gets both changes at once
            self._revision = self._log.put(kind, key, value, is_new)
            self._note(kind, key, False)
            if is_new:
                self._creations[kind, key] = self._revision
        return self._revision

    def delete(self, kind: str, key: str) -> int:
        """Delete a value, unless another node has deleted it.

        What that node may not have known is deleted here: it belongs to something that does not exist any more.
        """
        if kind in OWN:
            self._revision = self._log.delete(kind, key)
            return self._revision
        follows = self._replay.is_on
        if follows and kind == form.LEAVING:  # the other node is not done with it
            return self._revision
        known = self._digests.get(kind, {}).pop(key, None)
        if follows and (known is None or (kind, key) not in self._changes):
            return self._revision
        self._revision = self._log.delete(kind, key)
        self._note(kind, key, True)
        return self._revision

    def gather(self, gathers: bool) -> None:
        """Start or end a group of changes."""
        self._log.gather(gathers)

    def load(self) -> list[tuple[str, str, bytes]]:
        """All definitions."""
        kept = self._log.load()
        for kind, key, value in kept:
            if kind not in OWN:
                self._digests.setdefault(kind, {})[key] = hash(value)
        return kept

    def damaged(self) -> list[tuple[str, str, str]]:
        """Those that are damaged."""
        return self._log.damaged()

    def _note(self, kind: str, key: str, is_deleted: bool) -> None:
        before = self._changes.pop((kind, key), None)
        change = Change(self._revision, is_deleted)
        if before is not None:
            change.was_deleted = is_deleted or before.was_deleted
            change.has_row, change.row, change.number = before.has_row, before.row, before.number
        if (kind, key) in self._behind:
            change.has_row = True
            change.number, change.row = self._behind.pop((kind, key))
        self._changes[kind, key] = change
        if is_deleted:
            self._creations.pop((kind, key), None)

    # -- the feed

    def apply(self, kind: str, key: str, value: bytes | None) -> None:
        """A row of the feed, in the order of revisions; None when it is deleted. Never raises."""
        if kind in OWN:
            return
        change = self._changes.get((kind, key))
        if change is not None:
            self._rows += 1
            change.has_row, change.row, change.number = True, value, self._rows
            self._has_waiting = True
        elif self._has_waiting and self._has_owner_that_waits(kind, key):
            self._rows += 1
            self._behind[kind, key] = (self._rows, value)
        else:
            self._follow(kind, key, value)

    def _has_owner_that_waits(self, kind: str, key: str) -> bool:
        """Whether a row of an owner of this definition waits."""
        try:
            names = read_names(kind, key)
        except ValueError:
            return False
        for owner in owners(kind, names):
            change = self._changes.get((owner[0], form.key(*owner[1:])))
            if change is not None and change.has_row:
                return True
        return False

    def limit(self, known: set[tuple[str, str]]) -> None:
        """The table has no definitions but these, each with its kind and key. Never raises."""
        found = [(kind, key) for kind, digests in self._digests.items() for key in digests]
        for kind, key in found + list(self._changes):
            if (kind, key) not in known:
                self.apply(kind, key, None)

    def caught_up(self, durable_revision: int) -> None:
        """All rows of a round of the feed were applied.

        durable_revision: of the broker, read before the round read the table.
        """
        seen: list[tuple[tuple[str, str], Change]] = []
        waiting: list[tuple[int, str, str, bytes | None]] = []
        self._has_waiting = False
        for (kind, key), change in self._changes.items():
            if change.revision > durable_revision:
                self._has_waiting = self._has_waiting or change.has_row
                continue
            seen.append(((kind, key), change))
            if change.has_row:
                waiting.append((change.number, kind, key, change.row))
                change.has_row = False
        for (kind, key), (number, row) in list(self._behind.items()):
            if not self._has_waiting or not self._has_owner_that_waits(kind, key):
                del self._behind[kind, key]
                waiting.append((number, kind, key, row))
        waiting.sort(key=_arrival)
        for _, kind, key, row in waiting:
            self._follow(kind, key, row)
        for identity, change in seen:
            if self._changes.get(identity) is change and not (change.was_deleted and self._behind):
                del self._changes[identity]
        if self.applier is not None:
            self.applier.caught_up()

    def conflict(self, kind: str, key: str, value: bytes, revision: int) -> None:
        """Another node has created this before the change with this revision, which is not written. Never raises."""
        change = self._changes.get((kind, key))
        if change is not None and change.revision == revision:
            self._creations.pop((kind, key), None)
            self._follow(kind, key, value)

    def durable(self, revision: int) -> None:
        """All changes up to this revision are durable, or conflict() was called for them."""
        self._durable_revision = revision
        while self._creations:
            identity = next(iter(self._creations))
            if self._creations[identity] > revision:
                break
            del self._creations[identity]

    def creation(self, kind: str, key: str) -> int:
        """The revision with which it is known whether this node has created a definition; 0 when it is known."""
        return self._creations.get((kind, key), 0)

    def was_deleted(self, kind: str, key: str) -> bool:
        """Whether this node has deleted a definition, and other nodes may have added to it without knowing that."""
        change = self._changes.get((kind, key))
        return change is not None and change.was_deleted

    def has(self, kind: str, key: str) -> bool:
        """Whether there is such a definition, in effect or set aside."""
        return key in self._digests.get(kind, {})

    def _follow(self, kind: str, key: str, value: bytes | None) -> None:
        digests = self._digests.setdefault(kind, {})
        if value is None:
            digests.pop(key, None)
        else:
            digest = hash(value)
            if digests.get(key) == digest:
                return
            digests[key] = digest
        assert self.applier is not None
        self.applier.follow(kind, key, value)


def _arrival(row: tuple[int, str, str, bytes | None]) -> int:
    return row[0]
