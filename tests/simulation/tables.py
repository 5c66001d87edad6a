"""Tables: the rows of a cluster's database, and a standby that has them a little later."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from leveret.cluster.schema import SHARDS

REVISION: Final = "revision"  # the only key of its table


class NodeRow(NamedTuple):
    """A row of `nodes`."""

    name: str
    address: str | None
    session: int
    is_alive: bool
    is_draining: bool


class ShardRow(NamedTuple):
    """A row of `shards`."""

    node: int | None
    is_clean: bool


class DefinitionRow(NamedTuple):
    """A row of `definitions`. value: None for a deleted one."""

    value: bytes | None
    revision: int
    place: int


class ChunkRow(NamedTuple):
    """A row of `chunks`."""

    head: bytes
    data: bytes


Change = tuple[str, Any, Any]  # table, key, and row; None for a deleted one


class Tables:
    """All rows by key. changes: since the standby got the last ones."""

    def __init__(self) -> None:
        self.nodes: dict[int, NodeRow] = {}
        self.beats: dict[int, int] = {}
        self.shards: dict[int, ShardRow] = {shard: ShardRow(None, True) for shard in range(SHARDS)}
        self.chunks: dict[tuple[int, int], ChunkRow] = {}
        self.gone: dict[tuple[int, int, int], bytes] = {}
        self.counts: dict[tuple[int, int], bytes] = {}
        self.aside: dict[tuple[int, int], tuple[str, bool]] = {}
        self.delivered: dict[tuple[int, int], int] = {}
        self.definitions: dict[tuple[str, str], DefinitionRow] = {}
        self.revision: dict[str, int] = {REVISION: 0}
        self.commits: dict[int, int] = {}  # the number of the last commit by node, which a database does not note
        self.changes: list[Change] = []

    def put(self, table: str, key: Any, row: Any) -> None:
        """Insert or update a row."""
        self.changes.append((table, key, row))
        getattr(self, table)[key] = row

    def delete(self, table: str, key: Any) -> bool:
        """Delete a row. Returns: whether there was one."""
        found = getattr(self, table).pop(key, None) is not None
        if found:
            self.changes.append((table, key, None))
        return found

    def apply(self, changes: list[Change]) -> None:
        """Repeat the changes of another one."""
        for table, key, row in changes:
            if row is None:
                getattr(self, table).pop(key, None)
            else:
                getattr(self, table)[key] = row

    def copy(self) -> Tables:
        """The same rows."""
        other = Tables()
        for name, rows in vars(self).items():
            if name != "changes":
                setattr(other, name, dict(rows))
        return other
