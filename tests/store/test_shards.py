"""Shards that come and go while a log is in use."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from leveret.core.message.log import Recovered
from leveret.core.queue.entry import FAILURE
from leveret.store.chunk_log import GROUP_BYTES
from leveret.store.database import FILE_NAME
from leveret.store.index import SPARSE_KEPT
from leveret.store.shards import SHARD_BIT
from tests.store.sharing import SHARDS, Node, Shared, absorbed, shard
from tests.store.test_logs import PATIENCE_S, Heard, message

QUEUE = 3 + 5 * SHARDS  # in shard 3
OTHER = 4


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shared]:
    """What nodes share."""
    shared = Shared(tmp_path)
    yield shared
    shared.database.close()


def filled(shared: Shared, count: int = 3) -> Node:
    """A node with two shards, and one message in each of some chunks of QUEUE."""
    node = Node(shared, 1, [3, 4])
    for position in range(1, count + 1):
        node.log.append(QUEUE, position, message(b"%d" % position), 0)
        node.flush()
    return node


def rows(shared: Shared, query: str) -> list[tuple[object, ...]]:
    """Rows of the database."""
    with closing(sqlite3.connect(shared.directory / FILE_NAME)) as sql:
        return sql.execute(query).fetchall()


# -- release


def test_a_released_shard_arrives_with_all_its_changes(shared: Shared) -> None:
    node = filled(shared, 4)
    node.log.append(OTHER, 1, message(b"stays"), 0)
    node.log.delivered(QUEUE, 3)
    node.log.remove(QUEUE, 2)
    node.log.counted(QUEUE, 3, 2 * FAILURE)
    node.log.release([3], 2)
    assert not node.log.owns(QUEUE)
    assert node.log.owns(-QUEUE)
    assert node.log.owns(OTHER)
    assert shared.owners[3] == 1
    assert not node.log.flush_urgent()
    node.wait()
    assert shared.owners == {3: 2, 4: 1}
    heir = Node(shared, 2)
    assert not heir.log.owns(QUEUE)
    found = heir.gain([3])
    assert heir.log.owns(QUEUE)
    assert heir.messages(found) == [(QUEUE, 1, b"1", True), (QUEUE, 3, b"3", True), (QUEUE, 4, b"4", False)]
    assert [each.counts for each in heir.log.fetch(QUEUE, found[1].positions())] == [2 * FAILURE]
    assert node.heard.durable == {QUEUE: 4, OTHER: 1}
    node.log.close()
    heir.log.close()


def test_a_release_alone_is_written_at_once(shared: Shared) -> None:
    node = filled(shared)
    assert not node.log.flush_urgent()
    node.log.release([3], 2)
    assert not node.log.flush_urgent()
    node.wait()
    assert shared.owners[3] == 2
    node.log.close()


def test_what_is_not_written_yet_goes_along_without_a_confirm(shared: Shared) -> None:
    node = filled(shared, 1)
    for position in range(2, 6):  # in several groups, one of which is being written
        node.log.append(QUEUE, position, message(b"%d" % position + bytes(GROUP_BYTES)), 0)
        node.log.append(OTHER, position, message(b""), 0)
        node.log.flush()
    node.log.release([3], 2)
    while shared.owners[3] == 1:
        node.wait()
    assert node.heard.durable == {QUEUE: 1, OTHER: 5}
    assert node.heard.refused == []
    heir = Node(shared, 2)
    assert [position for _, position, _, _ in heir.messages(heir.gain([3]))] == [1, 2, 3, 4, 5]
    node.log.close()
    heir.log.close()


@pytest.mark.parametrize("is_written", [False, True])
def test_what_concerns_a_released_shard_is_ignored(shared: Shared, is_written: bool) -> None:
    node = filled(shared)
    node.log.release([3], 2)
    if is_written:
        node.flush()
    node.log.remove(QUEUE, 1)
    node.log.counted(QUEUE, 2, FAILURE)
    node.log.delivered(QUEUE, 2)
    node.log.drop(QUEUE)
    assert node.log.fetch(QUEUE, (1).to_bytes(8, "big")) == []
    node.log.append(OTHER, 1, message(b""), 0)
    node.flush()
    heir = Node(shared, 2)
    found = heir.messages(heir.gain([3]))
    assert found == [(QUEUE, position, b"%d" % position, False) for position in (1, 2, 3)]
    assert rows(shared, "SELECT * FROM gone") == rows(shared, "SELECT * FROM counts") == []
    node.log.close()
    heir.log.close()


def test_a_move_that_cannot_be_written_is_tried_again(shared: Shared) -> None:
    node = filled(shared)
    node.store.refuses = 2
    node.log.delivered(QUEUE, 1)
    node.log.remove(QUEUE, 3)
    node.log.append(QUEUE, 4, message(b"nobody has a confirm of it"), 0)
    node.log.release([3], 2)
    for _ in range(2):
        node.flush()
        assert shared.owners[3] == 1
    assert node.heard.refused == [(QUEUE, [4])]  # windows of deduplication have to forget it
    node.log.try_again()
    node.wait()
    assert shared.owners[3] == 2
    assert node.log.failed_bytes == 0
    heir = Node(shared, 2)
    assert heir.messages(heir.gain([3])) == [(QUEUE, 1, b"1", True), (QUEUE, 2, b"2", False)]
    node.log.close()
    heir.log.close()


def test_a_transfer_that_fails_is_still_written_before_the_move(shared: Shared) -> None:
    node = filled(shared, 1)
    node.store.refuses = 1
    node.log.transfer(True)
    node.log.append(OTHER, 1, message(b"1"), 0)
    node.log.remove(QUEUE, 1)
    node.log.transfer(False)
    node.log.flush()
    node.log.release([3, 4], 2)
    node.wait()
    node.log.flush()
    node.wait()
    heir = Node(shared, 2)
    assert heir.messages(heir.gain([3, 4])) == [(OTHER, 1, b"1", False)]
    node.log.close()
    heir.log.close()


def test_a_move_waits_for_definitions_that_belong_together(shared: Shared) -> None:
    node = filled(shared)
    node.log.gather(True)
    node.log.put("queue", "a", b"1")
    node.log.release([3], 2)
    assert not node.log.flush_urgent()
    assert shared.owners[3] == 1
    node.log.gather(False)
    node.flush()
    assert shared.owners[3] == 2
    node.log.close()


def test_a_move_is_written_at_the_end_of_a_node(shared: Shared) -> None:
    node = filled(shared)
    node.log.delivered(QUEUE, 2)
    node.log.release([3], 2)
    node.log.close()
    assert shared.owners[3] == 2
    heir = Node(shared, 2)
    assert [again for _, _, _, again in heir.messages(heir.gain([3]))] == [True, True, False]
    heir.log.close()


def test_marks_of_a_move_that_is_never_written_are_not_lost(shared: Shared) -> None:
    node = filled(shared)
    node.log.delivered(QUEUE, 2)
    node.store.refuses = 1
    node.log.release([3], 2)
    node.log.close()
    assert shared.owners[3] == 1
    heir = Node(shared, 2)
    assert [again for _, _, _, again in heir.messages(heir.gain([3]))] == [True, True, False]
    heir.log.close()


def test_a_node_can_release_what_was_never_shared(shared: Shared) -> None:
    node = Node(shared, 1, list(range(SHARDS)))
    node.store.owned = None
    alone = type(node.log)(node.store, lambda: None)
    assert alone.owns(QUEUE)
    alone.release([3, 7], 2)
    assert not alone.owns(QUEUE)
    assert alone.owns(OTHER)
    alone.close()
    assert shared.owners[3] == shared.owners[7] == 2
    assert node.store.owned == set(range(SHARDS)) - {3, 7}
    node.vanish()


def test_no_chunk_of_another_node_is_written_anew(shared: Shared) -> None:
    node = Node(shared, 1, [3, 4])
    count = 20 * SPARSE_KEPT
    for queue_id in (QUEUE, OTHER):
        for position in range(1, count + 1):
            node.log.append(queue_id, position, message(b""), 0)
            if position % 20 == 0:
                node.flush()
        for position in range(1, count + 1):
            if position % 20:
                node.log.remove(queue_id, position)
        node.log.release([3], 2)
        node.flush()
    assert node.log.failed_bytes == 0  # the store of this test knows whose the changed chunks are
    heir = Node(shared, 2)
    assert [each for _, each, _, _ in heir.messages(heir.gain([3]))] == list(range(20, count + 1, 20))
    node.log.close()
    heir.log.close()


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_appended_for_another_node_is_refused_and_stays_in_memory(shared: Shared, fails: bool) -> None:
    node = filled(shared)
    node.store.refuses = int(fails)
    node.log.append(7, 1, message(b"not in a shard of this node"), 0)
    node.log.append(-7, 1, message(b"transient"), 0)
    node.log.append(OTHER, 1, message(b""), 0)
    node.flush()
    assert node.heard.refused == [(7, [1])] + [(-7, [1]), (OTHER, [1])] * fails
    assert node.heard.durable == {QUEUE: 3, OTHER: 1, 7: 1, -7: 1}  # behind what was refused, all is settled
    assert node.log.extent(-7, 1) == int(not fails)
    node.log.close()


# -- gain


def test_shards_of_a_killed_node_are_absorbed_as_delivered(shared: Shared) -> None:
    node = filled(shared)
    node.log.delivered(QUEUE, 1)
    node.vanish()
    heir = Node(shared, 2, [7])
    found = heir.gain([3, 4], batch=2)
    assert heir.messages(found) == [(QUEUE, position, b"%d" % position, True) for position in (1, 2, 3)]
    heir.log.append(QUEUE, 4, message(b"new"), 0)
    heir.flush()
    assert [each.redelivered for each in heir.log.fetch(QUEUE, (4).to_bytes(8, "big"))] == [False]
    heir.log.close()
    last = Node(shared, 3)
    assert [again for _, _, _, again in last.messages(last.gain([3]))] == [True, True, True, False]
    last.log.close()


def test_new_messages_are_not_flagged_though_lost_ones_at_their_positions_were_delivered(shared: Shared) -> None:
    node = filled(shared)
    node.log.delivered(QUEUE, 3)
    node.log.remove(QUEUE, 2)
    node.log.remove(QUEUE, 3)
    node.log.close()
    heir = Node(shared, 2)
    (found,) = heir.gain([3])
    assert found.last == 1
    heir.log.append(QUEUE, 2, message(b"new"), 0)
    heir.flush()
    assert heir.messages([found]) == [(QUEUE, 1, b"1", True)]
    assert [each.redelivered for each in heir.log.fetch(QUEUE, (2).to_bytes(8, "big"))] == [False]
    heir.log.close()


def test_the_log_goes_on_while_it_absorbs(shared: Shared) -> None:
    node = filled(shared, 5)
    node.log.close()
    heir = Node(shared, 2, [7])
    was_clean = shared.take(2, [3])
    chunks, marks = shared.found([3]), shared.marks_of([3])
    heir.log.gain([3])
    found = []
    for number, chunk in enumerate(chunks, 1):
        heir.log.append(7, number, message(b"%d" % number), 0)
        heir.log.flush()
        found += absorbed(heir.log, [chunk], marks, was_clean)
        heir.wait()
    heir.log.absorbed([3])
    assert heir.heard.durable == {7: 5}
    assert [body for _, _, body, _ in heir.messages(found)] == [b"1", b"2", b"3", b"4", b"5"]
    heir.log.append(QUEUE, 6, message(b"6"), 0)
    for position in range(1, 6):
        heir.log.remove(QUEUE, position)
    heir.flush()
    heir.log.close()
    last = Node(shared, 3)
    assert last.messages(last.gain([3, 7]))[0] == (7, 1, b"1", False)
    assert last.messages([each for each in last.gain([3]) if each.queue_id == QUEUE]) == []  # it has them already
    last.log.close()


def test_a_new_chunk_has_a_number_above_all_that_were_absorbed(shared: Shared) -> None:
    node = filled(shared, 9)
    node.log.close()
    heir = Node(shared, 2)
    heir.gain([3])
    heir.log.append(QUEUE, 10, message(b"10"), 0)
    heir.flush()
    assert rows(shared, "SELECT max(id) FROM chunks") == [(3 << SHARD_BIT | 10,)]
    heir.log.close()


def test_what_is_unread_at_the_end_keeps_its_marks(shared: Shared) -> None:
    node = filled(shared, 3)
    node.log.delivered(QUEUE, 2)
    node.log.close()
    heir = Node(shared, 2, [7])
    was_clean = shared.take(2, [3])
    heir.log.gain([3])
    absorbed(heir.log, shared.found([3])[:1], shared.marks_of([3]), was_clean)
    heir.log.append(7, 1, message(b""), 0)
    heir.log.delivered(7, 1)
    heir.log.close()
    assert shared.marks == {QUEUE: 2, 7: 1}


def test_a_queue_that_is_deleted_while_it_is_absorbed_stays_away(shared: Shared) -> None:
    node = filled(shared, 4)
    node.log.append(3, 1, message(b"another queue of the shard"), 0)
    node.log.close()
    heir = Node(shared, 2)
    was_clean = shared.take(2, [3])
    chunks = shared.found([3])
    heir.log.gain([3])
    found = absorbed(heir.log, chunks[:2], {}, was_clean)
    assert [each.queue_id for each in found] == [QUEUE, QUEUE]
    heir.log.drop(QUEUE)
    heir.log.put("queue", "a", b"")
    heir.flush()
    assert [each.queue_id for each in absorbed(heir.log, chunks[2:], {}, was_clean)] == [3]
    heir.log.absorbed([3])
    heir.log.close()
    assert [chunk for (chunk,) in rows(shared, "SELECT id FROM chunks")] == [3 << SHARD_BIT | 5]
    assert shared.found([3])[0].head.count == 1


def test_a_chunk_out_of_order_is_set_aside_and_moved_at_the_next_start(
    shared: Shared, caplog: pytest.LogCaptureFixture
) -> None:
    node = filled(shared, 3)
    node.log.close()
    first, last = 3 << SHARD_BIT | 1, 3 << SHARD_BIT | 9
    shared.database._sql.execute("UPDATE chunks SET id = ? WHERE id = ?", (last, first))
    heir = Node(shared, 2, [7])
    assert [body for _, _, body, _ in heir.messages(heir.gain([3]))] == [b"2", b"3"]
    assert f"chunk {last} is out of order" in caplog.text
    heir.log.append(QUEUE, 4, message(b"4"), 0)
    heir.flush()
    assert rows(shared, "SELECT chunk, reason, spent FROM aside") == [(last, "its messages are out of order", 0)]
    assert rows(shared, "SELECT max(id) FROM chunks") == [(last + 1,)]
    heir.log.close()
    again = Node(shared, 3, [3])
    bodies = again.messages([each for each in again.found if not isinstance(each, Recovered)])
    assert [body for _, _, body, _ in bodies] == [b"2", b"3", b"4"]
    assert [each.message.body() for each in again.found if isinstance(each, Recovered)] == [b"1"]
    again.log.close()


def test_a_damaged_chunk_is_set_aside(shared: Shared) -> None:
    node = filled(shared, 3)
    node.log.close()
    shared.database._sql.execute("UPDATE chunks SET head = x'00' WHERE id = ?", (3 << SHARD_BIT | 2,))
    heir = Node(shared, 2)
    assert [body for _, _, body, _ in heir.messages(heir.gain([3]))] == [b"1", b"3"]
    heir.log.close()
    assert rows(shared, "SELECT chunk, spent FROM aside") == [(3 << SHARD_BIT | 2, 1)]
    heir = Node(shared, 3)
    assert [body for _, _, body, _ in heir.messages(heir.gain([3]))] == [b"1", b"3"]
    heir.log.close()


def test_a_shard_may_come_back_and_leave_again_before_its_first_move_was_reported(shared: Shared) -> None:
    node = filled(shared)
    node.log.append(OTHER, 1, message(b""), 0)
    node.log.delivered(QUEUE, 1)
    node.log.release([3], 2)
    node.log.flush()
    node._done.get(timeout=PATIENCE_S)
    node._done.put(None)
    found = node.gain([3])
    assert node.messages(found) == [(QUEUE, 1, b"1", True), (QUEUE, 2, b"2", False), (QUEUE, 3, b"3", False)]
    assert node.store.owned == {3, 4}
    assert OTHER not in node.heard.durable  # nothing is told from inside a call
    node.log.remove(QUEUE, 2)
    node.log.append(QUEUE, 4, message(b"4"), 0)
    node.log.release([3], 2)
    node.wait()
    assert node.heard.durable[OTHER] == 1
    node.wait()
    heir = Node(shared, 2)
    assert heir.messages(heir.gain([3])) == [(QUEUE, 1, b"1", True), (QUEUE, 3, b"3", False), (QUEUE, 4, b"4", False)]
    node.log.close()
    heir.log.close()


@pytest.mark.parametrize("seed", range(10))
def test_nothing_is_lost_or_doubled_while_shards_wander(shared: Shared, seed: int) -> None:
    random = Random(seed)
    nodes = [Node(shared, 0, list(range(4))), Node(shared, 1), Node(shared, 2)]
    queues = [1, 2, 3, 2 + SHARDS, 3 + 2 * SHARDS]
    expected: dict[int, dict[int, bool]] = {queue_id: {} for queue_id in queues}  # positions; whether delivered
    last = dict.fromkeys(queues, 0)
    for _ in range(60):
        queue_id = random.choice(queues)
        node = nodes[shared.owners[shard(queue_id)]]
        there = expected[queue_id]
        for _ in range(random.randrange(8)):
            last[queue_id] += 1
            node.log.append(queue_id, last[queue_id], message(b""), 0)
            there[last[queue_id]] = False
        for position in random.sample(list(there), random.randrange(len(there) + 1) // 2):
            node.log.remove(queue_id, position)
            del there[position]
        if there and random.random() < 0.5:
            up_to = random.choice(list(there))
            node.log.delivered(queue_id, up_to)
            there.update(dict.fromkeys([each for each in there if each <= up_to], True))
        moved = [each for each in range(4) if shared.owners[each] == node.number and random.random() < 0.4]
        if not moved:
            node.log.flush()
            continue
        heir = random.choice([each for each in nodes if each is not node])
        node.store.refuses = random.randrange(3)
        node.log.release(moved, heir.number)
        while node.store.owned is not None and moved[0] in node.store.owned:
            node.log.flush()
            node.wait()
        for refused, positions in node.heard.refused:
            for position in positions:
                expected[refused].pop(position, None)
        node.heard.refused.clear()
        found: dict[int, dict[int, bool]] = {}
        for number, position, _, again in heir.messages(heir.gain(moved, random.choice([1, 3, 100]))):
            found.setdefault(number, {})[position] = again
        gained = [each for each in queues if shard(each) in moved]
        assert found == {each: expected[each] for each in gained if expected[each]}
        for each in gained:
            last[each] = max(expected[each], default=0)
    for node in nodes:
        node.log.close()


# -- definitions


def test_the_second_of_two_creations_is_a_conflict(shared: Shared) -> None:
    first, second = Node(shared, 1), Node(shared, 2)
    first.log.put("queue", "a", b"1", True)
    first.flush()
    second.log.put("queue", "b", b"1", True)
    revision = second.log.put("queue", "a", b"2", True)
    second.log.put("queue", "c", b"1", True)
    second.log.put("exchange", "a", b"of another kind", True)
    last = second.log.put("queue", "a", b"3")
    second.flush()
    assert second.heard.conflicts == [("queue", "a", b"1", revision)]
    assert second.heard.revision == last
    assert {(kind, key): value for kind, key, value in second.log.load()} == {
        ("queue", "a"): b"1",
        ("queue", "b"): b"1",
        ("queue", "c"): b"1",
        ("exchange", "a"): b"of another kind",
    }
    assert first.heard.conflicts == []
    first.log.close()
    second.log.close()


def test_a_change_of_what_exists_is_no_conflict(shared: Shared) -> None:
    first, second = Node(shared, 1), Node(shared, 2)
    first.log.put("queue", "a", b"1", True)
    first.flush()
    second.log.put("queue", "a", b"2")
    second.flush()
    second.log.delete("queue", "a")
    second.log.flush()
    second.wait()
    first.log.put("queue", "a", b"3", True)
    first.flush()
    assert first.heard.conflicts == second.heard.conflicts == []
    assert first.log.load() == [("queue", "a", b"3")]
    first.log.close()
    second.log.close()


def test_a_conflict_has_the_revision_of_its_change_after_a_failed_write(shared: Shared) -> None:
    first, second = Node(shared, 1), Node(shared, 2)
    first.log.put("queue", "a", b"1", True)
    first.flush()
    second.store.refuses = 1
    second.log.put("queue", "b", b"1")
    revision = second.log.put("queue", "a", b"2", True)
    second.log.flush()
    second.log.put("queue", "c", b"1", True)
    second.wait()
    assert second.heard.conflicts == []
    second.flush()
    assert second.heard.conflicts == [("queue", "a", b"1", revision)]
    first.log.close()
    second.log.close()


class Failing(Heard):
    """Fails at the first conflict."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[str] = []

    def on_conflict(self, kind: str, key: str, value: bytes, revision: int) -> None:
        """Remember the second time."""
        if not self.failures:
            raise RuntimeError("not now")
        self.conflicts.append((kind, key, value, revision))

    def fail(self, doing: str, error: Exception) -> None:
        """Remember."""
        self.failures.append(doing)


def test_a_conflict_that_cannot_be_told_is_told_again(shared: Shared) -> None:
    first, second = Node(shared, 1), Node(shared, 2)
    first.log.put("queue", "a", b"1", True)
    first.flush()
    second.log.listener = heard = Failing()
    revision = second.log.put("queue", "a", b"2", True)
    second.flush()
    assert (heard.conflicts, len(heard.failures), heard.revision) == ([], 1, revision)
    second.log.put("queue", "b", b"1")
    second.flush()
    assert (heard.conflicts, len(heard.failures)) == ([("queue", "a", b"1", revision)], 1)
    first.log.close()
    second.log.close()
