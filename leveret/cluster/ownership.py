"""Ownership: which shards a node takes, and which it hands to others. Decides what one round does.

Every node decides by itself, from the same rows and by the same rules, so they agree without a word. Where they do not,
because one has looked a moment before another, the statements decide: only the owner of a shard hands it over, and a
free shard is taken only as it was seen. So a shard never has two owners.

A round counts the committed beats of this node, not seconds: another node is dead when its beat has not changed over
DEAD_BEATS of them. So a slow or dead database, which nobody's beats reach, makes no node suspect another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

DEAD_BEATS: Final = 5
STALE_BEATS: Final = 2  # a node that has not beaten for that long gets no shards
LEFT_ROUNDS: Final = 2  # so long is a free shard left to the node whose turn it is
ASKED_ROUNDS: Final = 40  # between two demands to hand over the same shard


class Node(NamedTuple):
    """A node as its row has it. address: where others reach it; None for one that does not share shards.

    beat: -1 if it has none.
    """

    id: int
    name: str
    address: str | None
    is_alive: bool
    is_draining: bool
    beat: int


class Shard(NamedTuple):
    """A shard as its row has it. node: its owner. is_clean: whether the last owner has left it properly."""

    number: int
    node: int | None
    is_clean: bool


@dataclass
class View:
    """All rows at one moment. nodes: by id, in their order. shards: all, in the order of their numbers from 0."""

    nodes: dict[int, Node]
    shards: list[Shard]

    def is_alive(self, node: int | None) -> bool:
        """Whether a node lives. One that has no row any more was dead before."""
        return node is not None and node in self.nodes and self.nodes[node].is_alive

    def owner(self, shard: int) -> int | None:
        """The owner of a shard, whether it lives or not."""
        return self.shards[shard].node if self.shards else None

    def is_as(self, other: View) -> bool:
        """Whether the same nodes live, and own the same."""
        return self.shards == other.shards and self._roster() == other._roster()

    def _roster(self) -> list[tuple[int, bool]]:
        return [(node.id, node.is_draining) for node in self.living()]

    def living(self) -> list[Node]:
        """The living nodes, in the order of their ids."""
        return [node for node in self.nodes.values() if node.is_alive]

    def free(self) -> list[Shard]:
        """The shards that no living node owns."""
        return [shard for shard in self.shards if not self.is_alive(shard.node)]

    def owned(self, node: int) -> list[Shard]:
        """The shards of a node."""
        return [shard for shard in self.shards if shard.node == node]


class Rounds(ABC):
    """What a round does to the rows. Each method is one statement, which is committed when it returns.

    Nothing of it is in a transaction with anything else: a node that is stopped in between would keep rows locked.
    """

    @abstractmethod
    def enter(self, name: str, address: str | None) -> int:
        """Make a node that lives, with its first beat. Returns: its id, higher than that of any node before it."""

    @abstractmethod
    def beat(self, node: int) -> bool:
        """Returns: whether the node lives, and has beaten."""

    @abstractmethod
    def look(self) -> View:
        """All nodes and shards at one moment."""

    @abstractmethod
    def declare_dead(self, node: int, beat: int) -> bool:
        """Returns: whether the beat was still that one, and the node is dead by this statement."""

    @abstractmethod
    def take(self, node: int, shards: Sequence[Shard], least: int = 1, keeps_clean: bool = False) -> set[int]:
        """Make a living node own the shards that are still as they were seen, and are free or its own.

        They are not clean any more, unless keeps_clean. least: if there are fewer, none is taken.
        Returns: their numbers.
        """

    @abstractmethod
    def prune(self, node: int) -> None:
        """Forget dead nodes that are older than this one and own nothing."""


@dataclass
class Changes:
    """What one round has changed, and what it demands.

    lost: why this node is dead for the others; empty if it lives. gained: shards that it owns from now on, and whether
    the last owner has left them properly. sources: the number of gained shards by their last owner, None for nobody.
    hand_over: shards that it should hand over, and to which node. deaths: nodes that it has declared dead.
    """

    lost: str = ""
    gained: list[tuple[int, bool]] = field(default_factory=list)
    sources: Counter[int | None] = field(default_factory=Counter)
    hand_over: dict[int, int] = field(default_factory=dict)
    deaths: list[Node] = field(default_factory=list)


@dataclass(frozen=True)
class _Seen:
    """The last beat of another node. since: this node's own beat then. is_next: whether there was one before it."""

    beat: int
    since: int
    is_next: bool


class Ownership:
    """What a node owns. name: for people. address: where other nodes reach it; None for one that owns all or nothing.

    node: its id, 0 before it has entered. owned: its shards as of the last round. view: the rows as of the last round.
    """

    def __init__(self, name: str, address: str | None) -> None:
        self.name = name
        self.node = 0
        self.owned: frozenset[int] = frozenset()
        self.view = View({}, [])
        self._address = address
        self._beats = 0
        self._is_settled = False  # nothing is to do while the rows stay as they are
        self._seen: dict[int, _Seen] = {}
        self._free: dict[int, int] = {}  # by free shard: the beat of this node when it was seen first
        self._asked: dict[int, tuple[int, int]] = {}  # by shard of this node: to which node, and this node's beat then

    def enter(self, rounds: Rounds) -> None:
        """Become a new node, which owns nothing. This is its first beat."""
        self.node = rounds.enter(self.name, self._address)
        self.owned = frozenset()
        self._is_settled = False
        self._asked.clear()
        self._beats += 1

    def beat(self, rounds: Rounds) -> bool:
        """Beat without a round. Returns: whether this node lives."""
        if not rounds.beat(self.node):
            return False
        self._beats += 1
        return True

    def round(self, rounds: Rounds) -> Changes:
        """What follows a beat of this node: see who lives, bury, take what falls to it, find what it should hand over.

        A shard that another node has handed to this one is gained in the next round.
        """
        changes, before = Changes(), self.view
        view = self._look(rounds, changes)
        if not view.is_alive(self.node):
            changes.lost = "another node has declared it dead"
            return changes
        if self._is_settled and view.is_as(before):
            return changes
        self._is_settled = False  # also if a statement fails
        if self._is_robbed(view):
            changes.lost = "other nodes own shards that it has not handed over"
            return changes
        mine = view.owned(self.node)
        self.owned = self.owned.intersection(shard.number for shard in mine if not shard.is_clean)
        self._asked = {shard: asked for shard, asked in self._asked.items() if shard in self.owned}
        fresh = [
            shard for shard in mine if shard.number not in self.owned
        ]  # also one that was away since the last round
        self._take(rounds, fresh + self._due(view), changes)
        changes.sources = Counter(before.owner(shard) or view.owner(shard) for shard, _ in changes.gained)
        changes.hand_over = self._surplus(view)
        self._is_settled = not (changes.gained or self._asked or view.free() or _moves(view, self.node))
        return changes

    def claim(self, rounds: Rounds, waits: bool, keeps_clean: bool) -> Changes:
        """As round(), for a node that owns all or nothing: take all as soon as no living node owns one.

        waits: whether other living nodes are waited for only while they own shards.
        """
        changes = Changes()
        view = self._look(rounds, changes)
        others = [node for node in view.living() if node.id != self.node]
        if (not waits and others) or any(view.owned(node.id) for node in others):
            return changes
        self._take(rounds, view.shards, changes, len(view.shards), keeps_clean)
        return changes

    def rivals(self) -> list[Node]:
        """Other nodes that certainly live: this node has seen them beat."""
        return [node for node in self.view.living() if node.id in self._seen and self._seen[node.id].is_next]

    def is_owner(self, node: int) -> bool:
        """Whether a node owned a shard as of the last round."""
        return bool(self.view.owned(node))

    # -- who lives

    def _look(self, rounds: Rounds, changes: Changes) -> View:
        view = rounds.look()
        seen: dict[int, _Seen] = {}
        for node in view.living():
            known = self._seen.get(node.id)
            if known is None or known.beat != node.beat:
                known = _Seen(node.beat, self._beats, known is not None)
            seen[node.id] = known
        seen.pop(self.node, None)
        self._seen = seen
        dead = [view.nodes[node] for node, last in seen.items() if self._beats - last.since >= DEAD_BEATS]
        changes.deaths = [node for node in dead if rounds.declare_dead(node.id, node.beat)]
        self.view = rounds.look() if dead else view  # another node may have been faster
        return self.view

    def _is_stale(self, node: Node) -> bool:
        """Whether a node may be dead, or too slow to take anything now."""
        return node.id in self._seen and self._beats - self._seen[node.id].since >= STALE_BEATS

    def _is_robbed(self, view: View) -> bool:
        """Whether shards of this node belong to others, though nobody has asked it for them. Never by these rules, but
        by hand, or when the database has lost what was committed.
        """
        return any(
            shard.number in self.owned and shard.node != self.node and shard.number not in self._asked
            for shard in view.shards
        )

    # -- what falls to whom

    def _take(
        self, rounds: Rounds, shards: list[Shard], changes: Changes, least: int = 1, keeps_clean: bool = False
    ) -> None:
        if not shards:
            return
        taken = rounds.take(self.node, shards, least, keeps_clean)
        if taken:
            rounds.prune(self.node)
        self.owned = self.owned | taken  # last: if a statement fails, the next round finds these shards as new ones
        changes.gained = [(shard.number, shard.is_clean) for shard in shards if shard.number in taken]

    def _due(self, view: View) -> list[Shard]:
        """The free shards that this node takes now.

        They are dealt to the nodes that beat. One that is still free after a while goes to any node with room, then to
        any at all.
        """
        free = view.free()
        self._free = {shard.number: self._free.get(shard.number, self._beats) for shard in free}
        sharing = [node for node in _sharing(view) if not self._is_stale(node)]
        room = _room(view, sharing)
        if self.node not in room:
            return []
        due: list[Shard] = []
        for shard, turn in zip(free, _dealt(len(free), room), strict=True):
            rounds = self._beats - self._free[shard.number]
            has_room = rounds >= LEFT_ROUNDS and len(due) < room[self.node]
            if turn == self.node or has_room or rounds >= 2 * LEFT_ROUNDS:
                due.append(shard)
        return due

    def _surplus(self, view: View) -> dict[int, int]:
        """The shards that this node should hand over now, and to which node. None before all free ones are taken."""
        owned = {shard.number for shard in view.owned(self.node) if shard.number in self.owned}
        if view.free():
            return {}
        waiting = {
            shard: to
            for shard, (to, beat) in self._asked.items()
            if self._beats - beat < ASKED_ROUNDS and view.is_alive(to)
        }
        moves = _moves(view, self.node)
        left = sorted(owned.difference(waiting), reverse=True)[: max(0, moves.total() - len(waiting))]
        demanded: dict[int, int] = {}
        for to in (moves - Counter(waiting.values())).elements():
            if left and not self._is_stale(view.nodes[to]):
                demanded[left.pop()] = to
        self._asked.update((shard, (to, self._beats)) for shard, to in demanded.items())
        return demanded


def _sharing(view: View) -> list[Node]:
    """The nodes among which the shards are spread: those that drain only if there is no other one."""
    living = [node for node in view.living() if node.address is not None]
    return [node for node in living if not node.is_draining] or living


def _targets(view: View, sharing: list[Node]) -> dict[int, int]:
    """How many shards each of these nodes should own, in the order of their ids.

    They differ by one at most. Those that own more keep one more, so that nothing moves for the sake of a remainder.
    """
    counts = Counter(shard.node for shard in view.shards)
    kept = sum(counts[node.id] for node in view.living() if node.address is None)
    least, remainder = divmod(len(view.shards) - kept, max(1, len(sharing)))
    order = sorted(sharing, key=lambda node: (counts[node.id] <= least, node.id))
    more = {node.id for node in order[:remainder]}
    return {node.id: least + (node.id in more) for node in sharing}


def _room(view: View, sharing: list[Node]) -> Counter[int]:
    """How many shards each of these nodes lacks, in the order of their ids."""
    counts = Counter(shard.node for shard in view.shards)
    return Counter({node: max(0, target - counts[node]) for node, target in _targets(view, sharing).items()})


def _dealt(count: int, room: Counter[int]) -> list[int | None]:
    """The node that takes each of so many free shards: always the one with the most room, None when nobody has any."""
    left = Counter(room)
    turns: list[int | None] = []
    for _ in range(min(count, room.total())):
        turn = max(left, key=left.__getitem__)
        left[turn] -= 1
        turns.append(turn)
    return turns + [None] * (count - len(turns))


def _moves(view: View, node: int) -> Counter[int]:
    """How many shards a node should hand to each other, when none is free.

    The first that has too many hands them to the first that has too few, and so on. So no two nodes fill the same
    place, and while moves arrive, in any order, those that are left stay as they were.
    """
    sharing = _sharing(view)
    targets = _targets(view, sharing)
    counts = Counter(shard.node for shard in view.shards)
    receivers = list(_room(view, sharing).elements())
    givers = [
        each.id
        for each in view.living()
        if each.address is not None
        for _ in range(counts[each.id] - targets.get(each.id, 0))
    ]
    return Counter(to for giver, to in zip(givers, receivers, strict=False) if giver == node)
