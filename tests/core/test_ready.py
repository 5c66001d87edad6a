"""Ready and PriorityReady: the order is by position, whatever is taken, put back and paged out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message.budget import COST, MAX_HEAD, Budget
from leveret.core.message.log import Recovered
from leveret.core.message.message import Message, address
from leveret.core.queue.browsing import MAX_READS, TOP, Page
from leveret.core.queue.entry import QueueEntry
from leveret.core.queue.fifo import COMPACT_AT
from leveret.core.queue.priority import PriorityReady
from leveret.core.queue.ready import STUB, Ready
from leveret.core.queue.run import RUN_MESSAGES, Run
from leveret.wire.content import make_content
from tests.brokers.keeping import KeepingLog
from tests.clients.socketless import make_broker

QUEUE = make_broker().vhosts["/"].make_queue("q", False, 0, False, {})
ADDRESS = address("", "q")
CONTENT = make_content(b"\x00\x00" + bytes(STUB), b"x")
WHOLE = COST + len(CONTENT)  # bytes that a message needs with its content
STEPS = st.lists(
    st.sampled_from(
        [
            *("push", "push", "push", "pop", "middle", "middle", "back", "back"),
            *("page", "page", "commit", "rest", "lose", "purge", "look"),
        ]
    ),
    max_size=120,
)
TOGETHER = 7  # positions that rest together


def message() -> Message:
    """A message that is large enough to be paged out alone."""
    return Message(ADDRESS, CONTENT, False)


class Shelf(KeepingLog):
    """A log of one queue. there: by position, the name under which it has a message, and its priority.

    deadlines: of some, by position.
    """

    def __init__(self) -> None:
        super().__init__()
        self.there: dict[int, tuple[int, int]] = {}
        self.deadlines: dict[int, int] = {}
        self.fetched = 0
        self.spilled = 0  # the last position that was sent only to rest
        self.spilled_of: dict[int, int] = {}  # by level
        self.queue = self.broker().vhosts["/"].make_queue("q", True, 0, False, {})
        self.queue.on_durable(1 << 40)

    def append(self, queue_id: int, position: int, message: Message, deadline_ms: int, level: int = 0) -> None:
        """Store a message to be paged out; it is safe after commit()."""
        assert queue_id == -self.queue.queue_id
        assert position > self.spilled_of.get(level, 0)
        self.spilled_of[level] = position
        self.there[position] = (queue_id, level)
        self.spilled = max(self.spilled, position)

    def commit(self) -> None:
        """Make all appended messages safe."""
        self.queue.in_log.on_resting(self.spilled)

    def extent(self, queue_id: int, position: int) -> int:
        """Those of the same week."""
        assert self.there.get(position, (queue_id, 0))[0] == queue_id
        return position // TOGETHER * TOGETHER + TOGETHER - 1

    def fetch(self, queue_id: int, positions: bytes, only_looks: bool = False) -> list[Recovered]:
        """The messages in the log."""
        wanted = [int.from_bytes(positions[at : at + 8], "big") for at in range(0, len(positions), 8)]
        assert wanted == sorted(wanted)
        self.fetched += len(wanted)
        found = [(position, self.there[position]) for position in wanted if position in self.there]
        assert all(log_id == queue_id for _, (log_id, _) in found)
        return [
            Recovered(queue_id, position, message(), False, self.deadlines.get(position, 0), level)
            for position, (_, level) in found
        ]

    def make(self, position: int, level: int = 0, logged: bool = True) -> QueueEntry:
        """Add a message to the queue, and to this log if it is persistent."""
        stored = QueueEntry(message(), QUEUE, position, self.queue.queue_id if logged else 0)
        stored.level = level
        if logged:
            self.there[position] = (self.queue.queue_id, level)
        return stored


def place(stored: QueueEntry) -> tuple[int, int]:
    """The identity of messages."""
    return int(stored.position), int(stored.level)


def browse(ready: Ready, limit: int, until: int, size_limit: int = 1 << 30) -> tuple[list[QueueEntry], int]:
    """All messages up to a position, in pages. Returns: them, and how many could not be read."""
    found: list[QueueEntry] = []
    missing = 0
    level, position = TOP, 0
    while True:
        page = Page(level, position, until, limit, size_limit)
        is_last = ready.browse(page)
        assert len(page.messages) <= limit
        assert page.size == sum(len(each.message.content) for each in page.messages)
        found += page.messages
        missing += int(page.missing)
        if is_last:
            return found, missing
        assert (-page.level, page.position) > (-level, position)
        level, position = int(page.level), int(page.position)


def check_look(ready: Ready, model: list[QueueEntry], lost: set[int], limit: int, until: int) -> None:
    """Check everything against the model, without changing it."""
    before = len(ready), ready.size, ready.resident, [place(stored) for stored in ready.items()]
    found, missing = browse(ready, limit, until)
    wanted = [place(stored) for stored in model if stored.position <= until]
    if lost:
        shown = {place(stored) for stored in found}
        wanted = [each for each in wanted if each[0] not in lost or each in shown]
        assert missing <= len(lost)
    else:
        assert missing == 0
    assert [place(stored) for stored in found] == wanted
    assert (len(ready), ready.size, ready.resident, [place(stored) for stored in ready.items()]) == before


def check(ready: Ready, shelf: Shelf, budget: Budget, steps: list[str], data: st.DataObject, levels: int) -> None:
    """Apply the steps to a line and to a sorted list."""
    model: list[QueueEntry] = []
    lost: set[int] = set()
    taken: list[QueueEntry] = []
    back: set[int] = set()
    position = 0
    for step in steps:
        if step == "push":
            position += 1
            stored = shelf.make(position, data.draw(st.integers(0, levels - 1)), data.draw(st.booleans()))
            ready.push(stored)
            model.append(stored)
        elif step == "back" and taken:
            stored = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            ready.put_back(stored)
            model.append(stored)
            back.add(int(stored.position))
        elif step == "pop" and ready.has_head():
            first = ready.first()
            while model[0].position in lost and place(model[0]) != place(first):
                model.pop(0)
            assert place(first) == place(model.pop(0))
            taken.append(ready.pop())
            assert taken[-1] is first
            back.discard(int(first.position))
        elif step == "middle":
            wanted = data.draw(st.integers(0, position + 1))
            found = ready.take_at(wanted)
            expected = [stored for stored in model if stored.position == wanted]
            model = [stored for stored in model if stored.position != wanted]
            if found is None:
                assert not expected or wanted in lost
            else:
                assert [place(stored) for stored in expected] == [place(found)]
                assert found.message.content == CONTENT
                budget.release(found.message)
                taken.append(found)
                back.discard(int(found.position))
        elif step == "rest":
            level = data.draw(st.integers(0, levels - 1))
            run = Run(shelf.queue.queue_id, 0)
            for _ in range(data.draw(st.sampled_from([1, 5, 300]))):
                position += 1
                model.append(shelf.make(position, level))
                run.extend(position.to_bytes(8, "big"), 1)
            ready.rest(run, level)
        elif step == "page":
            ready.page_out(data.draw(st.integers(0, 5)) * WHOLE, data.draw(st.sampled_from([WHOLE * 3, 1 << 20])))
        elif step == "commit":
            shelf.commit()
        elif step == "lose" and shelf.there:
            lost.add(data.draw(st.sampled_from(sorted(shelf.there))))
            shelf.there = {at: stored for at, stored in shelf.there.items() if at not in lost}
        elif step == "purge":
            at_rest = b"".join(run.positions for run in ready.take_runs())
            rested = {int.from_bytes(at_rest[at : at + 8], "big") for at in range(0, len(at_rest), 8)}
            assert rested <= {stored.position for stored in model}
            model = [stored for stored in model if stored.position not in rested]
        model.sort(key=lambda stored: (-stored.level, stored.position))
        if step == "look":
            check_look(ready, model, lost, data.draw(st.integers(1, 9)), data.draw(st.integers(0, position)))
        if not lost:
            assert len(ready) == len(model)
            assert ready.came_back() == len(back)
        assert len(model) - len(lost) <= len(ready) <= len(model)
        assert ready.size == len(ready)
        assert ready.deadline_ms() == 0
        contents = sum(len(stored.message.content) for stored in ready.items())
        assert ready.resident == budget.used == len(ready.items()) * COST + contents
        for line in ready._lines if isinstance(ready, PriorityReady) else [ready]:
            given = line._returned + line._later if line is not None else []
            assert line is None or line._returned_bytes == sum(len(stored.message.content) for _, stored in given)
    while ready.has_head():
        stored = ready.pop()
        while place(model[0]) != place(stored):
            assert model.pop(0).position in lost
        model.pop(0)
    assert {stored.position for stored in model} <= lost
    assert (len(ready), ready.size, ready.resident, budget.used) == (0, 0, 0, 0)
    with pytest.raises(IndexError):
        ready.pop()


@given(STEPS, st.data())
def test_order(steps: list[str], data: st.DataObject) -> None:
    budget, shelf = Budget(), Shelf()
    check(Ready(budget, shelf.queue.in_log), shelf, budget, steps, data, 1)


@given(STEPS, st.data())
def test_order_with_priorities(steps: list[str], data: st.DataObject) -> None:
    budget, shelf = Budget(), Shelf()
    check(PriorityReady(3, budget, shelf.queue.in_log), shelf, budget, steps, data, 4)


def test_what_rests_is_fetched_when_it_is_needed() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 21):
        ready.push(shelf.make(position))
    ready.page_out(3 * WHOLE, 10 * WHOLE)
    assert (ready.resident, budget.used) == (10 * WHOLE, 10 * WHOLE)
    assert [stored.position for stored in ready.items()] == [1, 2, 3, *range(14, 21)]
    taken = [ready.pop().position for _ in range(3)]
    assert shelf.fetched == 0
    taken.append(ready.pop().position)
    assert shelf.fetched == 10
    while ready.has_head():
        taken.append(ready.pop().position)
    assert taken == list(range(1, 21))


@pytest.mark.parametrize("levels", [0, 1])
def test_a_head_that_rests_is_not_near_until_it_is_fetched(levels: int) -> None:
    budget, shelf = Budget(), Shelf()
    source = shelf.queue.in_log
    ready = PriorityReady(levels, budget, source) if levels else Ready(budget, source)
    assert not ready.has_near_head()
    for position in range(1, 21):
        ready.push(shelf.make(position))
    ready.page_out(3 * WHOLE, 10 * WHOLE)
    taken = []
    while ready.has_near_head():
        taken.append(ready.pop().position)
    assert (taken, shelf.fetched, len(ready)) == ([1, 2, 3], 0, 17)
    assert ready.has_head()
    assert (ready.has_near_head(), shelf.fetched, ready.first().position) == (True, 10, 4)


def test_what_the_log_has_not_is_sent_there_to_rest() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 21):
        ready.push(shelf.make(position, logged=position == 10))
    ready.page_out(3 * WHOLE, 1 << 20)
    assert budget.used == 20 * WHOLE
    assert (sorted(shelf.there), shelf.spilled) == ([*range(4, 21)], 20)
    ready.page_out(3 * WHOLE, 1 << 20)
    assert budget.used == 20 * WHOLE  # it is not safe yet
    shelf.commit()
    ready.page_out(3 * WHOLE, 1 << 20)
    assert budget.used == 3 * WHOLE
    assert [ready.pop().position for _ in range(20)] == list(range(1, 21))


def test_a_head_that_has_become_too_large_rests_again() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 21):
        ready.push(shelf.make(position))
    ready.page_out(10 * WHOLE, 1 << 20)
    assert budget.used == 10 * WHOLE
    ready.page_out(2 * WHOLE, 1 << 20)
    assert (budget.used, ready.resident) == (2 * WHOLE, 2 * WHOLE)
    ready.page_out(0, 1 << 20)
    assert budget.used == 0
    assert [ready.pop().position for _ in range(20)] == list(range(1, 21))


def test_what_came_back_rests_one_by_one() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 21):
        ready.push(shelf.make(position, 0, position != 4))
    taken = [ready.pop() for _ in range(10)]
    for stored in taken:
        ready.put_back(stored)
    taken[6].redelivered = True
    ready.page_out(2 * len(CONTENT), 1 << 20)
    assert budget.used == 10 * COST + 3 * len(CONTENT) + WHOLE  # one is not in the log, and one keeps its place behind
    assert [stored.message.is_at_rest for stored in taken] == [False, False, True, False, *[True] * 6]
    assert [stored.position for stored in browse(ready, 3, 10)[0]] == list(range(1, 11))
    assert [ready.pop().position for _ in range(2)] == [1, 2]
    assert not ready.has_near_head()
    assert ready.has_head()
    assert ready.has_near_head()
    shelf.there.pop(9)
    found = []
    while ready.has_head():
        found.append(ready.pop())
        assert found[-1].message.content == CONTENT
    assert [stored.position for stored in found] == [3, 4, 5, 6, 7, 8, *range(10, 21)]
    assert found[4] is taken[6]
    assert (budget.used, ready.resident, ready.size) == (0, 0, 0)


def test_what_was_taken_from_deep_inside_goes_back_there() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    count = 3 * MAX_HEAD + 10
    for position in range(1, count + 1):
        ready.push(shelf.make(position))
    places = [5, 2 * MAX_HEAD + 5, MAX_HEAD, count]
    taken = {position: ready.take_at(position) for position in places}
    assert len(ready) == count - len(places)
    for position, stored in taken.items():
        assert stored is not None
        assert stored.position == position
        budget.release(stored.message)
        ready.put_back(stored)
    ready.push(shelf.make(count + 1))
    assert [stored.position for stored in ready.items()] == list(range(1, count + 2))
    assert [stored.position for stored in ready.pick(places)] == sorted(places)
    assert [stored.position for stored in browse(ready, 100, count)[0]] == list(range(1, count + 1))
    assert [ready.pop().position for _ in range(count + 1)] == list(range(1, count + 2))
    assert (shelf.fetched, budget.used, ready.resident, ready.size) == (0, 0, 0, 0)


@pytest.mark.parametrize("back", [[6], [3], [6, 3], [3, 6]])
@pytest.mark.parametrize("popped", range(6))
def test_new_ones_stay_behind_what_is_back_in_the_middle(back: list[int], popped: int) -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 7):
        ready.push(shelf.make(position))
    taken = [ready.take_at(position) for position in back]
    for stored in taken:
        assert stored is not None
        budget.release(stored.message)
        stored.deadline_ms = 100 * stored.position
        ready.put_back(stored)
    found = [ready.pop().position for _ in range(popped)]
    assert ready.deadline_ms() == (100 * (popped + 1) if popped + 1 in back else 0)
    ready.push(shelf.make(7))
    while len(ready):
        found.append(ready.pop().position)
    assert found == list(range(1, 8))
    assert (budget.used, ready.resident, ready.size) == (0, 0, 0)


def test_what_is_back_in_the_middle_may_rest_until_it_is_next() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 4):
        ready.push(shelf.make(position))
    second, third = ready.take_at(2), ready.take_at(3)
    assert second is not None
    assert third is not None
    second.message, third.message = budget.rest(second.message), budget.rest(third.message)
    budget.release(second.message)
    ready.put_back(second)
    assert ready.pop().position == 1
    budget.release(third.message)
    ready.put_back(third)
    assert not ready.has_near_head()
    assert shelf.fetched == 0
    found = []
    while ready.has_head():
        assert ready.has_near_head()
        found.append(ready.pop())
    assert found == [second, third]
    assert [stored.message.content for stored in found] == [CONTENT, CONTENT]
    assert (budget.used, ready.resident, ready.size) == (0, 0, 0)


def test_one_is_taken_from_a_run_alone() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    at_rest(ready, shelf, 1, 3)
    second = ready.take_at(RUN_MESSAGES + 50)
    assert second is not None
    assert (shelf.fetched, ready.resident, len(ready.items())) == (1, 0, 0)
    shelf.there.pop(RUN_MESSAGES + 60)
    shelf.there.pop(RUN_MESSAGES + 70)
    assert ready.take_at(RUN_MESSAGES + 60) is None  # which tells that another one is gone too
    assert (len(ready), ready.size, ready.resident) == (3 * RUN_MESSAGES - 3, 3 * RUN_MESSAGES - 3, 0)
    budget.release(second.message)
    ready.put_back(second)
    lost = (RUN_MESSAGES + 60, RUN_MESSAGES + 70)
    wanted = [position for position in range(1, 3 * RUN_MESSAGES + 1) if position not in lost]
    assert [stored.position for stored in browse(ready, 1000, 1 << 40)[0]] == wanted
    assert [ready.pop().position for _ in range(len(ready))] == wanted
    assert (budget.used, ready.resident, ready.size) == (0, 0, 0)


def test_what_is_taken_while_it_is_on_its_way_to_rest() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 21):
        ready.push(shelf.make(position, logged=False))
    ready.page_out(3 * WHOLE, 5 * WHOLE)
    assert shelf.spilled < 20
    for position in (5, 20):
        stored = ready.take_at(position)
        assert stored is not None
        budget.release(stored.message)
    for _ in range(3):
        ready.page_out(3 * WHOLE, 1 << 20)
        shelf.commit()
    assert (budget.used, len(ready)) == (3 * WHOLE, 18)
    assert [ready.pop().position for _ in range(18)] == [1, 2, 3, 4, *range(6, 20)]


def test_a_run_knows_when_its_next_one_expires() -> None:
    shelf = Shelf()
    shelf.deadlines = {2: 0, 3: 200, 4: 150}
    ready = Ready(Budget(), shelf.queue.in_log)
    run = Run(shelf.queue.queue_id, 100)
    for position in range(1, 6):
        shelf.make(position)
        run.extend(position.to_bytes(8, "big"), 1)
    ready.rest(run, 0)
    found = []
    for position in (1, 4, 2):
        assert ready.take_at(position) is not None
        found.append(ready.deadline_ms())
    shelf.there.pop(3)
    assert ready.take_at(3) is None
    assert [*found, ready.deadline_ms(), len(ready)] == [0, 0, 200, 0, 1]


def test_small_runs_are_fetched_together() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    for position in range(1, 601):
        shelf.make(position)
        run = Run(shelf.queue.queue_id, position)
        run.extend(position.to_bytes(8, "big"), 1)
        ready.rest(run, 0)
    assert ready.deadline_ms() == 1
    assert (len(ready), shelf.fetched) == (600, 0)
    assert ready.pop().position == 1
    assert shelf.fetched == RUN_MESSAGES
    taken = [ready.pop().position for _ in range(RUN_MESSAGES - 1)]
    assert taken == list(range(2, RUN_MESSAGES + 1))
    assert ready.deadline_ms() == RUN_MESSAGES + 1


def at_rest(ready: Ready, shelf: Shelf, first: int, runs: int) -> None:
    """Runs of RUN_MESSAGES each, from a position on."""
    for start in range(first, first + runs * RUN_MESSAGES, RUN_MESSAGES):
        run = Run(shelf.queue.queue_id, 0)
        for position in range(start, start + RUN_MESSAGES):
            shelf.make(position)
            run.extend(position.to_bytes(8, "big"), 1)
        ready.rest(run, 0)


def test_looking_reads_little_at_a_time() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    at_rest(ready, shelf, 1, 9)
    page = Page(TOP, 0, 1 << 40, 10_000, 2 * RUN_MESSAGES * len(CONTENT) + RUN_MESSAGES - 1)
    assert not ready.browse(page)
    assert [stored.position for stored in page.messages] == list(range(1, 2 * RUN_MESSAGES + 1))
    assert shelf.fetched == 2 * RUN_MESSAGES
    page = Page(TOP, RUN_MESSAGES - 10, 1 << 40, 20, 1 << 30)
    assert not ready.browse(page)
    assert [stored.position for stored in page.messages] == list(range(RUN_MESSAGES - 9, RUN_MESSAGES + 11))
    assert shelf.fetched == 2 * RUN_MESSAGES + 20
    assert (len(ready), ready.size, ready.resident) == (9 * RUN_MESSAGES, 9 * RUN_MESSAGES, 0)


def test_a_page_ends_after_some_runs_that_cannot_be_read() -> None:
    budget, shelf = Budget(), Shelf()
    ready = Ready(budget, shelf.queue.in_log)
    at_rest(ready, shelf, 1, 2 * MAX_READS)
    shelf.there.clear()
    ready.push(shelf.make(1 << 20))
    page = Page(TOP, 0, 1 << 40, 1000, 1 << 30)
    assert not ready.browse(page)
    assert page.missing == MAX_READS * RUN_MESSAGES
    found, missing = browse(ready, 1000, 1 << 40)
    assert missing == 2 * MAX_READS * RUN_MESSAGES
    assert [stored.position for stored in found] == [1 << 20]
    assert len(ready) == 2 * MAX_READS * RUN_MESSAGES + 1


@given(st.permutations(range(1, 21)), st.integers(1, 8))
def test_looking_at_what_came_back(order: list[int], limit: int) -> None:
    shelf = Shelf()
    ready = Ready(Budget())
    for position in range(1, 26):
        ready.push(shelf.make(position, 0, False))
    taken = {int(stored.position): stored for stored in [ready.pop() for _ in range(20)]}
    for position in order[:15]:
        ready.put_back(taken[position])
    wanted = [*sorted(order[:15]), *range(21, 26)]
    assert [stored.position for stored in browse(ready, limit, 1 << 40)[0]] == wanted
    assert ready.pop().position == wanted[0]
    for position in order[15:]:
        ready.put_back(taken[position])
    assert [stored.position for stored in browse(ready, limit, 1 << 40)[0]] == sorted([*wanted[1:], *order[15:]])
    assert [ready.pop().position for _ in range(len(ready))] == sorted([*wanted[1:], *order[15:]])


def test_looking_goes_on_behind_what_is_gone() -> None:
    shelf = Shelf()
    ready = PriorityReady(2, Budget())
    for position in range(1, 31):
        ready.push(shelf.make(position, position % 3, False))
    page = Page(TOP, 0, 30, 5, 1 << 30)
    assert not ready.browse(page)
    assert [place(stored) for stored in page.messages] == [(2, 2), (5, 2), (8, 2), (11, 2), (14, 2)]
    taken = [ready.pop() for _ in range(12)]
    ready.push(shelf.make(31, 2, False))  # too late to be seen
    ready.put_back(taken[9])
    ready.put_back(taken[10])
    rest = Page(page.level, page.position, 30, 100, 1 << 30)
    assert ready.browse(rest)
    expected = [(29, 2), (1, 1), (7, 1), *((at, 1) for at in range(10, 31, 3)), *((at, 0) for at in range(3, 31, 3))]
    assert [place(stored) for stored in rest.messages] == expected


def test_long_lines_are_compacted() -> None:
    ready = Ready(Budget())
    for position in range(1, 3 * COMPACT_AT):
        ready.push(QueueEntry(message(), QUEUE, position, 0))
    for position in range(1, 2 * COMPACT_AT):
        assert ready.pop().position == position
    assert len(ready) == len(ready.items()) == COMPACT_AT
    assert ready.first().position == 2 * COMPACT_AT
