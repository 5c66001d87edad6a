"""Ready and PriorityReady: the order is that of positions, whatever is taken and put back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.message import Message, Stored, address
from leveret.core.ready import COMPACT_AT, PriorityReady, Ready
from leveret.wire.content import make_content
from tests.session.peer import make_broker

QUEUE = make_broker().vhosts["/"].make_queue("q", False, 0, False, {})
MESSAGE = Message(address("", "q"), make_content(b"\x00\x00", b""), False)
STEPS = st.lists(st.sampled_from(["push", "push", "pop", "back"]), max_size=120)


def make(position: int, level: int = 0) -> Stored:
    """A message in a queue."""
    stored = Stored(MESSAGE, QUEUE, position, False)
    stored.level = level
    return stored


def check(ready: Ready, steps: list[str], data: st.DataObject, levels: int) -> None:
    """Do the steps to a line and to a sorted list."""
    model: list[Stored] = []
    taken: list[Stored] = []
    position = 0
    for step in steps:
        if step == "push":
            position += 1
            stored = make(position, data.draw(st.integers(0, levels - 1)))
            ready.push(stored)
            model.append(stored)
        elif step == "back" and taken:
            stored = taken.pop(data.draw(st.integers(0, len(taken) - 1)))
            ready.put_back(stored)
            model.append(stored)
        elif step == "pop" and model:
            assert ready.first() is model[0]
            taken.append(ready.pop())
            assert taken[-1] is model.pop(0)
        model.sort(key=lambda stored: (-stored.level, stored.position))
        assert len(ready) == len(model)
        assert ready.items() == model
    if not model:
        with pytest.raises(IndexError):
            ready.pop()


@given(STEPS, st.data())
def test_order(steps: list[str], data: st.DataObject) -> None:
    check(Ready(), steps, data, 1)


@given(STEPS, st.data())
def test_order_with_priorities(steps: list[str], data: st.DataObject) -> None:
    check(PriorityReady(3), steps, data, 4)


def test_long_lines_are_compacted() -> None:
    ready = Ready()
    for position in range(1, 3 * COMPACT_AT):
        ready.push(make(position))
    for position in range(1, 2 * COMPACT_AT):
        assert ready.pop().position == position
    assert len(ready) == len(ready.items()) == COMPACT_AT
    assert ready.first().position == 2 * COMPACT_AT
