"""Which shards a node takes and hands over: spread evenly, with as few moves as possible, never two owners."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.cluster.ownership import ASKED_ROUNDS, DEAD_BEATS, LEFT_ROUNDS, STALE_BEATS, Ownership, Shard
from tests.cluster.rows import Member, Rows

SHARDS = 256


def cycle(members: list[Member], rounds: int = 1) -> None:
    """Have all make rounds, one after the other, and hand over at once what they are asked for."""
    for _ in range(rounds):
        for member in members:
            member.round()
            member.hand_over()


def cluster(count: int, shards: int = SHARDS) -> tuple[Rows, list[Member]]:
    """Nodes that have joined one after the other, and own the same number of shards."""
    rows = Rows(shards)
    members: list[Member] = []
    for number in range(count):
        members.append(Member(rows, f"n{number}"))
        cycle(members, 4)
    rows.moves = 0
    return rows, members


def sizes(rows: Rows) -> list[int]:
    """The numbers of shards of the living nodes, from the smallest."""
    return sorted(rows.counts().values())


# -- what is free


def test_a_node_that_is_alone_takes_all_in_its_first_round() -> None:
    rows = Rows(SHARDS)
    ownership = Ownership("a", "")
    ownership.enter(rows)
    changes = ownership.round(rows)
    assert changes.gained == [(shard, True) for shard in range(SHARDS)]
    assert changes.sources == {None: SHARDS}
    assert ownership.owned == set(range(SHARDS))
    assert rows.statements == {"enter": 1, "look": 1, "take": 1, "prune": 1}
    assert not any(shard.is_clean for shard in rows.shards)


def test_nodes_that_start_at_the_same_time_take_a_part_each() -> None:
    rows = Rows(SHARDS)
    members = [Member(rows, name) for name in "abc"]
    for member in members:
        member.round()
    assert sizes(rows) == [85, 85, 86]
    assert all(member.asked == {} for member in members)


def test_a_dead_node_loses_all_in_the_round_that_declares_it_dead() -> None:
    rows, (first, second, third) = cluster(3)
    cycle([first, second], DEAD_BEATS)
    assert len(rows.counts()) == 3
    changes = first.round()
    assert [node.name for node in changes.deaths] == ["n2"]
    assert changes.sources == {third.node: len(changes.gained)}
    assert second.round().sources.keys() == {third.node}
    assert sizes(rows) == [128, 128]
    assert rows.moves == 0
    assert third.round().lost


def test_a_node_that_stands_still_gets_nothing_that_is_free() -> None:
    rows, (first, second, third, _) = cluster(4)
    for _ in range(DEAD_BEATS - STALE_BEATS):
        cycle([first, second, third])
    while len(rows.counts()) == 4:
        cycle([first, second])
    assert sizes(rows)[0] == third.rows.counts()[third.node] == 64
    assert sizes(rows)[1:] == [96, 96]
    cycle([first, second, third], 4)
    assert sizes(rows) == [85, 85, 86]


def test_whoever_comes_takes_what_nobody_takes() -> None:
    """A node that beats, and takes nothing of what falls to it."""
    rows = Rows(SHARDS)
    first, second = Member(rows, "a"), Member(rows, "b")
    for _ in range(2 * LEFT_ROUNDS):
        first.round()
        assert second.ownership.beat(rows)
        assert sizes(rows) == [0, 128]
    first.round()
    assert sizes(rows) == [0, 256]


def uneven() -> tuple[Rows, list[Member]]:
    """Three nodes, of which the first owns 200 shards, and the others none."""
    rows, members = cluster(1)
    members += [Member(rows, "b"), Member(rows, "c")]
    for shard in range(200, SHARDS):
        rows.shards[shard] = Shard(shard, None, True)
        members[0].ownership.owned = members[0].ownership.owned - {shard}
        members[0].serves.discard(shard)
    return rows, members


def test_whoever_has_room_takes_what_another_node_leaves() -> None:
    rows, (_, second, third) = uneven()
    for _ in range(LEFT_ROUNDS):
        second.round()
        assert third.ownership.beat(rows)
        assert rows.counts()[second.node] == 28
    second.round()
    assert rows.counts()[second.node] == 56


def test_nothing_moves_before_all_that_is_free_is_taken() -> None:
    rows, (first, second, third) = uneven()
    assert first.round().hand_over == {}
    cycle([second, third, first], 2)
    assert (sizes(rows), rows.moves) == ([85, 85, 86], 114)


def test_a_statement_that_fails_is_made_up_for() -> None:
    rows, (first, second) = cluster(2)
    cycle([first, second], 2)
    cycle([first], DEAD_BEATS)

    def fail() -> None:
        if rows.statements["take"]:
            raise ConnectionError

    rows.statements.clear()
    rows.between = fail
    with pytest.raises(ConnectionError):
        first.round()
    rows.between = lambda: None
    assert {shard for shard, _ in first.round().gained} == second.serves


def test_a_take_of_unknown_outcome_is_noticed() -> None:
    rows = Rows(SHARDS)
    member = Member(rows, "a")

    def lose_the_answer() -> None:
        if rows.statements["take"]:
            rows.between = lambda: None
            rows.take(member.node, rows.shards)
            raise ConnectionError

    rows.between = lose_the_answer
    with pytest.raises(ConnectionError):
        member.round()
    assert member.round().gained == [(shard, False) for shard in range(SHARDS)]


def test_shards_of_a_dead_node_that_nobody_knows_any_more_are_free() -> None:
    rows, (first, second) = cluster(2)
    rows.hand_over(first.node, 0, 77)
    first.ownership._asked[0] = 77, 0  # it was asked to
    cycle([first, second], 2)
    assert sizes(rows) == [128, 128]


def test_shards_are_as_clean_as_they_were_left() -> None:
    rows, (first, second) = cluster(2)
    rows.drain(first.node)
    first.round()
    first.hand_over()
    changes = second.round()
    assert {was_clean for _, was_clean in changes.gained} == {True}
    assert changes.sources == {first.node: 128}
    assert not any(shard.is_clean for shard in rows.shards)
    third = Member(rows, "c")
    for _ in range(DEAD_BEATS + 1):
        third.round()
    assert third.serves == set(range(SHARDS))
    assert not any(shard.is_clean for shard in rows.shards)


# -- moves


@pytest.mark.parametrize("count", range(1, 8))
def test_a_node_that_joins_gets_its_share_and_no_more_moves(count: int) -> None:
    rows, members = cluster(count)
    members.append(Member(rows, "new"))
    cycle(members, 2)
    assert rows.moves == rows.counts()[members[-1].node] == SHARDS // (count + 1)
    assert sizes(rows)[-1] - sizes(rows)[0] <= 1


@pytest.mark.parametrize("count", range(2, 8))
def test_a_node_that_drains_hands_over_all_and_takes_nothing(count: int) -> None:
    rows, members = cluster(count)
    owned = rows.counts()[members[0].node]
    rows.drain(members[0].node)
    cycle(members, 3)
    assert (rows.counts()[members[0].node], rows.moves) == (0, owned)
    assert sizes(rows)[-1] - sizes(rows)[1] <= 1
    rows.drain(members[0].node, False)
    cycle(members, 3)
    assert rows.counts()[members[0].node] == SHARDS // count
    assert rows.moves == owned + SHARDS // count


def test_the_last_node_keeps_its_shards_although_it_drains() -> None:
    rows, (first, second) = cluster(2)
    rows.drain(first.node)
    rows.drain(second.node)
    cycle([first, second], 3)
    assert (sizes(rows), rows.moves) == ([128, 128], 0)
    cycle([second], DEAD_BEATS + 1)
    assert sizes(rows) == [256]


@pytest.mark.parametrize("count", range(1, 8))
def test_nothing_moves_once_all_own_as_many(count: int) -> None:
    rows, members = cluster(count)
    cycle(members, 4)
    rows.statements.clear()
    cycle(members, 50)
    assert rows.moves == 0
    assert rows.statements == {"beat": 50 * count, "look": 50 * count}


def test_a_shard_is_asked_for_once_until_it_is_gone_or_time_has_passed() -> None:
    rows, (first,) = cluster(1)
    second = Member(rows, "b")
    asked = first.round().hand_over
    assert (len(asked), set(asked.values())) == (128, {second.node})
    for _ in range(ASKED_ROUNDS - 1):
        second.round()
        assert first.round().hand_over == {}
    second.round()
    assert first.round().hand_over == asked


def test_what_was_meant_for_a_dead_node_is_asked_for_again() -> None:
    _, (first,) = cluster(1)
    rows = first.rows
    second, third = Member(rows, "b"), Member(rows, "c")
    assert Counter(first.round().hand_over.values()) == {second.node: 85, third.node: 85}
    for _ in range(DEAD_BEATS):
        second.round()
        changes = first.round()
    assert [node.name for node in changes.deaths] == ["c"]
    assert Counter(changes.hand_over.values()) == {second.node: 43}


def test_a_shard_that_comes_back_before_the_next_round_is_gained_again() -> None:
    rows, (first,) = cluster(1)
    second = Member(rows, "b")
    first.round()
    first.hand_over(1)
    (shard,) = set(range(SHARDS)) - first.serves
    rows.drain(second.node)
    second.round()
    second.hand_over()
    assert first.round().gained == [(shard, True)]


def test_moves_that_arrive_in_pieces_and_in_any_order_are_no_more() -> None:
    rows, members = cluster(2)
    members += [Member(rows, "c"), Member(rows, "d"), Member(rows, "e")]
    chance = random.Random(1)
    for _ in range(60):
        for member in chance.sample(members, len(members)):
            member.round()
            member.hand_over(chance.randrange(4))
    cycle(members, 2)
    assert sizes(rows) == [51, 51, 51, 51, 52]
    assert rows.moves == 153


def test_nothing_moves_to_a_node_that_stands_still() -> None:
    rows, (first, second) = cluster(2)
    cycle([first], STALE_BEATS)
    rows.drain(first.node)
    assert first.round().hand_over == {}
    second.round()
    assert len(first.round().hand_over) == 128


# -- who is dead


def test_a_node_counts_its_own_beats() -> None:
    rows, (first, second) = cluster(2)
    for _ in range(DEAD_BEATS - 1):
        assert first.round().deaths == []
    second.ownership.beat(rows)
    for _ in range(DEAD_BEATS):
        assert first.round().deaths == []
    assert [node.name for node in first.round().deaths] == ["n1"]


def test_a_node_that_beats_at_the_last_moment_is_not_dead() -> None:
    rows, (first, second) = cluster(2)
    cycle([first], DEAD_BEATS)

    def beat_before_the_declaration() -> None:
        if rows.statements["declare_dead"]:
            rows.between = lambda: None
            second.ownership.beat(rows)

    rows.between = beat_before_the_declaration
    assert first.ownership.beat(rows)
    assert first.ownership.round(rows).deaths == []
    assert rows.statements["declare_dead"] == 1
    assert sizes(rows) == [128, 128]


def test_a_node_whose_shards_belong_to_others_is_lost() -> None:
    rows, (first, second) = cluster(2)
    shard = min(first.serves)
    assert rows.hand_over(first.node, shard, second.node)
    assert "other nodes own shards" in first.round().lost


# -- a node that owns all or nothing


def test_all_or_nothing() -> None:
    rows = Rows(SHARDS)
    members = [Ownership(name, None) for name in "ab"]
    for each in members:
        each.enter(rows)
    assert members[0].claim(rows, waits=False, keeps_clean=False).gained == []
    assert len(members[0].claim(rows, waits=True, keeps_clean=True).gained) == SHARDS
    assert members[1].claim(rows, waits=True, keeps_clean=False).gained == []
    assert all(shard.is_clean for shard in rows.shards)
    sharing = Member(rows, "c")
    for _ in range(DEAD_BEATS):
        members[0].beat(rows)
        members[1].beat(rows)
        sharing.round()
    assert sizes(rows) == [0, 0, SHARDS]
    for _ in range(DEAD_BEATS):
        members[1].beat(rows)
        sharing.round()
    assert sharing.serves == set(range(SHARDS))
    assert members[1].claim(rows, waits=True, keeps_clean=False).gained == []


# -- anything

EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["rounds"] * 4 + ["round", "hand over", "join", "die", "drain", "undrain"]), st.integers(0, 99)
    ),
    max_size=40,
)


class World:
    """A cluster to which things happen. Other nodes make rounds between any two statements of a round."""

    def __init__(self, shards: int, chance: random.Random) -> None:
        self.rows = Rows(shards)
        self.members: list[Member] = []
        self._chance = chance
        self._chance_of_more = 0.2
        self._depth = 0
        self.rows.between = self._between
        self.join()

    def join(self) -> None:
        """Start a node."""
        self.members.append(Member(self.rows, str(len(self.members))))

    def happen(self, what: str, number: int) -> None:
        """Let something happen to a node, or all."""
        self.members = [member for member in self.members if not member.is_lost]
        if what == "join" or not self.members:
            self.join()
            return
        member = self.members[number % len(self.members)]
        if what == "rounds":
            for each in self._chance.sample(self.members, len(self.members)):
                each.round()
                each.hand_over(number)
        elif what == "round":
            member.round()
        elif what == "hand over":
            member.hand_over(number)
        elif what == "die":
            self.members.remove(member)
        elif member.node in self.rows.nodes:
            self.rows.drain(member.node, what == "drain")

    def check(self) -> None:
        """No two living nodes serve the same shard, and each owns what it serves."""
        for member in self.members:
            if self.rows.nodes.get(member.node) and self.rows.nodes[member.node].is_alive:
                assert all(self.rows.shards[shard].node == member.node for shard in member.serves)

    def settle(self) -> None:
        """Let nothing happen but rounds, all as fast, until nothing changes."""
        self._chance_of_more = 0.0
        for _ in range(2 * DEAD_BEATS + 2 * LEFT_ROUNDS + 8):
            self.happen("rounds", 1_000)
        self.members = [member for member in self.members if not member.is_lost]

    def _between(self) -> None:
        if self._depth < 2 and self.members and self._chance.random() < self._chance_of_more:
            self._depth += 1
            self._chance.choice(self.members).round()
            self._depth -= 1


@settings(max_examples=150, deadline=None)
@given(shards=st.integers(1, 40), events=EVENTS, seed=st.integers(0, 1 << 32))
def test_whatever_happens_all_shards_are_spread_in_the_end(
    shards: int, events: list[tuple[str, int]], seed: int
) -> None:
    world = World(shards, random.Random(seed))
    for what, number in events:
        world.happen(what, number)
        world.check()
    world.settle()
    world.check()
    rows = world.rows
    owners = Counter(shard.node for shard in rows.shards)
    living = [member.node for member in world.members]
    taking = [node for node in living if not rows.nodes[node].is_draining] or living
    counts = [owners[node] for node in taking]
    assert sum(counts) == shards
    assert max(counts) - min(counts) <= 1
    assert all(member.serves == {s.number for s in rows.shards if s.node == member.node} for member in world.members)
    before, rows.moves = list(rows.shards), 0
    world.settle()
    assert (rows.shards, rows.moves) == (before, 0)


@settings(max_examples=100, deadline=None)
@given(
    shards=st.integers(1, 24),
    count=st.integers(1, 7),
    joining=st.integers(0, 3),
    draining=st.sets(st.integers(0, 6)),
    seed=st.integers(0, 1 << 32),
)
def test_no_shard_moves_without_need(shards: int, count: int, joining: int, draining: set[int], seed: int) -> None:
    """From even shares, after joins and drains at once: only what is above the share of its node moves."""
    rows, members = cluster(count, shards)
    for at in draining:
        if at < len(members):
            rows.drain(members[at].node)
    before = rows.counts()
    members += [Member(rows, f"new {number}") for number in range(joining)]
    taking = [node.id for node in rows.nodes.values() if not node.is_draining] or list(rows.nodes)
    least, remainder = divmod(shards, len(taking))
    above = sum(min(before.get(node, 0), least) for node in taking)
    kept = above + min(remainder, sum(before.get(node, 0) > least for node in taking))
    chance = random.Random(seed)
    for _ in range(shards + 4):
        for member in chance.sample(members, len(members)):
            member.round()
            member.hand_over(chance.randint(1, shards))
    assert rows.moves == shards - kept
    assert max(rows.counts()[node] for node in taking) - min(rows.counts()[node] for node in taking) <= 1
