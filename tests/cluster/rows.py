"""The rows of a cluster in memory, with statements that happen at once, as those of a database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from leveret.cluster.ownership import Changes, Node, Ownership, Rounds, Shard, View


def _nothing() -> None:
    pass


class Rows(Rounds):
    """Nodes and shards. between: called before each statement, and may do anything, as other nodes do.

    moves: how many shards have been handed over.
    """

    def __init__(self, shards: int) -> None:
        self.nodes: dict[int, Node] = {}
        self.shards = [Shard(number, None, True) for number in range(shards)]
        self.between: Callable[[], None] = _nothing
        self.statements: Counter[str] = Counter()
        self.moves = 0

    def _statement(self, name: str) -> None:
        self.statements[name] += 1
        self.between()

    def enter(self, name: str, address: str | None) -> int:
        """See Rounds."""
        self._statement("enter")
        node = max(self.nodes, default=0) + 1
        self.nodes[node] = Node(node, name, address, True, False, 0)
        return node

    def beat(self, node: int) -> bool:
        """See Rounds."""
        self._statement("beat")
        found = self.nodes.get(node)
        if found is None or not found.is_alive:
            return False
        self.nodes[node] = found._replace(beat=found.beat + 1)
        return True

    def look(self) -> View:
        """See Rounds."""
        self._statement("look")
        return View(dict(sorted(self.nodes.items())), list(self.shards))

    def declare_dead(self, node: int, beat: int) -> bool:
        """See Rounds."""
        self._statement("declare_dead")
        found = self.nodes.get(node)
        if found is None or not found.is_alive or found.beat != beat:
            return False
        self.nodes[node] = found._replace(is_alive=False)
        return True

    def take(self, node: int, shards: Sequence[Shard], least: int = 1, keeps_clean: bool = False) -> set[int]:
        """See Rounds."""
        self._statement("take")
        found = [
            shard
            for shard in shards
            if self.shards[shard.number] == shard and (shard.node == node or not self._lives(shard.node))
        ]
        if not self._lives(node) or len(found) < least:
            return set()
        for shard in found:
            self.shards[shard.number] = Shard(shard.number, node, keeps_clean and shard.is_clean)
        return {shard.number for shard in found}

    def prune(self, node: int) -> None:
        """See Rounds."""
        self._statement("prune")
        owners = {shard.node for shard in self.shards}
        for each in list(self.nodes.values()):
            if not each.is_alive and each.id < node and each.id not in owners:
                del self.nodes[each.id]

    def hand_over(self, node: int, shard: int, to: int) -> bool:
        """What the owner's commit does. Returns: whether it was the owner and lived."""
        if not self._lives(node) or self.shards[shard].node != node:
            return False
        self.shards[shard] = Shard(shard, to, True)
        self.moves += 1
        return True

    def drain(self, node: int, is_draining: bool = True) -> None:
        """Mark a node as draining, or not."""
        self.nodes[node] = self.nodes[node]._replace(is_draining=is_draining)

    def counts(self) -> dict[int, int]:
        """The number of shards of each living node."""
        counts = Counter(shard.node for shard in self.shards)
        return {node.id: counts[node.id] for node in self.nodes.values() if node.is_alive}

    def _lives(self, node: int | None) -> bool:
        return node in self.nodes and self.nodes[node].is_alive


class Member:
    """A node that makes rounds. serves: the shards of which it is certain to be the owner.

    asked: what it was asked to hand over, and has not.
    """

    def __init__(self, rows: Rows, name: str, address: str | None = "") -> None:
        self.rows = rows
        self.ownership = Ownership(name, address)
        self.ownership.enter(rows)
        self.serves: set[int] = set()
        self.asked: dict[int, int] = {}
        self.is_lost = False

    @property
    def node(self) -> int:
        """Its id."""
        return self.ownership.node

    def round(self) -> Changes:
        """Beat, and make a round unless it is dead."""
        if self.is_lost or not self.ownership.beat(self.rows):
            self.is_lost = True
            self.serves.clear()
            return Changes(lost="no beat")
        changes = self.ownership.round(self.rows)
        if changes.lost:
            self.is_lost = True
            self.serves.clear()
            return changes
        self.serves.update(shard for shard, _ in changes.gained)
        self.asked.update(changes.hand_over)
        return changes

    def hand_over(self, count: int = 1_000_000) -> None:
        """Hand over what was asked for, at most so many shards."""
        for shard in list(self.asked)[:count]:
            self.serves.discard(shard)
            self.rows.hand_over(self.node, shard, self.asked.pop(shard))
