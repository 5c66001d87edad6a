"""Statements: what the SQL of leveret/cluster does to the rows, one statement for each function."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from leveret.cluster.commit import Commit
from leveret.cluster.ownership import Node, Shard, View
from leveret.store.shards import chunk_number, shard_of_chunk
from tests.simulation.agenda import Violation
from tests.simulation.rules import Rules
from tests.simulation.server import Lock, Refusal, Statement
from tests.simulation.tables import REVISION, ChunkRow, DefinitionRow, NodeRow, ShardRow, Tables

COUNTER: Final[Lock] = ("revision", 0, True)
SHARDS: Final[Lock] = ("shards", 0, True)
LOCK_MS: Final = 300  # as LOCK_TIMEOUT of leveret/cluster/rounds.py


def place_of(chunk: int) -> tuple[int, int]:
    """Shard and number of a chunk."""
    return int(shard_of_chunk(chunk)), int(chunk_number(chunk))


def lives(rows: Tables, node: int | None) -> bool:
    """Whether a node is alive for the others."""
    return node in rows.nodes and rows.nodes[node].is_alive


# -- commits


def execute(commit: Commit, node: int, session: int, rules: Rules) -> Statement:
    """Write a commit. Answer: whether the fence held, and how many of commit.created were written."""
    locks: list[Lock] = [("node", node, False)]
    if commit.changed or commit.created:
        locks.append(COUNTER)
    if commit.moves:
        locks.append(SHARDS)

    def fence(rows: Tables) -> tuple[bool, int] | None:
        is_mine = lives(rows, node) and (rows.nodes[node].session == session or not rules.session)
        return None if is_mine else (False, 0)

    def run(rows: Tables) -> tuple[bool, int]:
        return True, write(rows, commit, node)

    return Statement("commit", run, tuple(locks), fence, is_large=True, is_open=not rules.one_statement)


def write(rows: Tables, commit: Commit, node: int) -> int:
    """Write the rows of a commit. Returns: how many of commit.created were written."""
    _check(rows, commit, node)
    rows.put("commits", node, commit.number)
    created = _define(rows, commit)
    for shard, to in commit.moves:
        if rows.shards[shard].node == node:
            rows.put("shards", shard, ShardRow(to, True))
    for shard, queue, position in commit.marks:
        rows.put("delivered", (shard, queue), position)
    for chunk, head, data in commit.written:
        rows.put("chunks", place_of(chunk), ChunkRow(head, data))
    for chunk, places in commit.removed.items():
        rows.put("gone", (*place_of(chunk), commit.number), places)
    for chunk, counts in commit.counted.items():
        rows.put("counts", place_of(chunk), counts)
    for chunk, reason, is_spent in commit.kept:
        before = rows.aside.get(place_of(chunk), (reason, False))
        rows.put("aside", place_of(chunk), (before[0], before[1] or is_spent))
    for chunk, head, data in commit.rewritten:
        if place_of(chunk) in rows.chunks:
            rows.put("chunks", place_of(chunk), ChunkRow(head, data))
    for chunk in commit.emptied:
        rows.delete("chunks", place_of(chunk))
    _forget(rows, commit.forgotten)
    return created


def _check(rows: Tables, commit: Commit, node: int) -> None:
    """Raises: Refusal for what is there already. Violation for a shard of another node, or a commit out of order."""
    written = [place_of(chunk) for chunk, _, _ in commit.written]
    if any(place in rows.chunks for place in written):
        raise Refusal("a chunk is there already")
    if any((*place_of(chunk), commit.number) in rows.gone for chunk in commit.removed):
        raise Refusal("removals are there already")
    last = rows.commits.get(node, 0)
    if commit.number < last or (commit.number == last and (written or commit.removed)):
        raise Violation(f"commit {commit.number} of node {node} happens after commit {last}")
    touched = [*written, *map(place_of, [*commit.removed, *commit.counted, *commit.emptied])]
    for shard, number in touched:
        if rows.shards[shard].node != node:
            owner = rows.shards[shard].node
            raise Violation(f"node {node} writes chunk {number} of shard {shard}, which node {owner} owns")


def _define(rows: Tables, commit: Commit) -> int:
    created = 0
    before = rows.revision[REVISION]
    number = before
    for identity, value in commit.changed.items():
        number += 1
        _put(rows, identity, value, number)
    for identity, content in commit.created.items():
        number += 1
        known = rows.definitions.get(identity)
        if known is None or known.value is None:
            _put(rows, identity, content, number)
            created += 1
    if number != before:
        rows.put("revision", REVISION, number)
    return created


def _put(rows: Tables, identity: tuple[str, str], value: bytes | None, number: int) -> None:
    known = rows.definitions.get(identity)
    place = number if known is None or known.value is None else known.place
    rows.put("definitions", identity, DefinitionRow(value, number, place))


def _forget(rows: Tables, chunks: Iterable[int]) -> None:
    forgotten = {place_of(chunk) for chunk in chunks}
    if forgotten:
        for key in [key for key in rows.gone if key[:2] in forgotten]:
            rows.delete("gone", key)
        for place in forgotten:
            rows.delete("counts", place)


def confirm() -> Statement:
    """Commit behind all commits before."""
    return Statement("confirm", lambda rows: None)


def raise_session(node: int) -> Statement:
    """Raise the session of a node. Answer: the new one, None if it is dead."""

    def run(rows: Tables) -> int | None:
        if not lives(rows, node):
            return None
        row = rows.nodes[node]
        rows.put("nodes", node, row._replace(session=row.session + 1))
        return row.session + 1

    return Statement("raise session", run, (("node", node, True),))


# -- rounds


def enter(name: str, address: str | None) -> Statement:
    """Make a node. Answer: its id."""

    def run(rows: Tables) -> int:
        node = max(rows.nodes, default=0) + 1
        rows.put("nodes", node, NodeRow(name, address, 1, True, False))
        rows.put("beats", node, 0)
        return node

    return Statement("enter", run)


def beat(node: int) -> Statement:
    """Beat. Answer: whether the node lives."""

    def run(rows: Tables) -> bool:
        if node not in rows.beats:
            return False
        rows.put("beats", node, rows.beats[node] + 1)
        return True

    return Statement("beat", run, (("beat", node, True),), patience_ms=LOCK_MS)


def look() -> Statement:
    """Answer: the View."""

    def run(rows: Tables) -> View:
        nodes = {
            node: Node(node, row.name, row.address, row.is_alive, row.is_draining, rows.beats.get(node, -1))
            for node, row in sorted(rows.nodes.items())
        }
        return View(nodes, [Shard(number, *row) for number, row in rows.shards.items()])

    return Statement("look", run, writes=False)


def declare_dead(node: int, beat: int, by: str) -> Statement:
    """Answer: whether it is dead by this statement. by: who says it."""

    def run(rows: Tables) -> bool:
        if not lives(rows, node) or rows.beats.get(node, -1) != beat:
            return False
        rows.delete("beats", node)
        rows.put("nodes", node, rows.nodes[node]._replace(is_alive=False))
        return True

    return Statement(f"declare {node} dead", run, (("node", node, True), ("beat", node, True)), patience_ms=LOCK_MS)


def take(node: int, shards: Sequence[Shard], least: int, keeps_clean: bool) -> Statement:
    """Take shards that are as they were seen, if they are not too few. Answer: which."""

    def run(rows: Tables) -> set[int]:
        found: list[int] = []
        for shard in shards if lives(rows, node) else ():
            row = rows.shards[shard.number]
            if row == (shard.node, shard.is_clean) and (row.node == node or not lives(rows, row.node)):
                found.append(shard.number)
        if len(found) < least:
            return set()
        for number in found:
            rows.put("shards", number, ShardRow(node, rows.shards[number].is_clean and keeps_clean))
        return set(found)

    return Statement("take", run, (SHARDS,), patience_ms=LOCK_MS)


def prune(node: int) -> Statement:
    """Forget old nodes."""

    def run(rows: Tables) -> None:
        owners = {row.node for row in rows.shards.values()}
        for each, row in list(rows.nodes.items()):
            if not row.is_alive and each < node and each not in owners:
                rows.delete("nodes", each)

    return Statement("prune", run)


# -- definitions


def definitions() -> Statement:
    """Answer: all definitions in their order, and the revision."""

    def run(rows: Tables) -> tuple[list[tuple[str, str, bytes]], int]:
        found = [(row.place, *key, row.value) for key, row in rows.definitions.items() if row.value is not None]
        return [each[1:] for each in sorted(found)], rows.revision[REVISION]

    return Statement("definitions", run, writes=False)


def revision() -> Statement:
    """Answer: the last revision."""
    return Statement("revision", lambda rows: rows.revision[REVISION], writes=False)


def all_news() -> Statement:
    """Answer: the last revision, and all definitions."""

    def run(rows: Tables) -> tuple[int, list[tuple[str, str, bytes | None]]]:
        found = sorted(rows.definitions.items(), key=lambda each: each[1].revision)
        return rows.revision[REVISION], [(*key, row.value) for key, row in found if row.value is not None]

    return Statement("all news", run, writes=False)


def news(after: int, last: int) -> Statement:
    """Answer: the definitions after a revision, up to the last one."""

    def run(rows: Tables) -> list[tuple[str, str, bytes | None]]:
        found = [
            (row.revision, *key, row.value) for key, row in rows.definitions.items() if after < row.revision <= last
        ]
        return [each[1:] for each in sorted(found, key=lambda each: each[0])]

    return Statement("news", run, writes=False)
