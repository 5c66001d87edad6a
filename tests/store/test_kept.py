"""What a log in memory keeps for the next one."""

from __future__ import annotations

import pytest

from leveret.core.message.log import Recovered
from leveret.core.message.message import Message, address
from leveret.store.memory import Kept, MemoryLog
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties


def message(body: bytes) -> Message:
    """A persistent message."""
    return Message(address("", "q"), make_content(BasicProperties().encode(), body), True)


@pytest.fixture
def kept() -> Kept:
    return Kept()


def found(kept: Kept) -> list[Recovered]:
    """What the next log recovers."""
    return list(MemoryLog(kept=kept).recover())


def test_definitions_come_back_in_their_order(kept: Kept) -> None:
    log = MemoryLog(kept=kept)
    for name in "abc":
        log.put("queue", name, name.encode())
    log.delete("queue", "b")
    log.put("queue", "a", b"changed")
    log.close()
    assert MemoryLog(kept=kept).load() == [("queue", "a", b"changed"), ("queue", "c", b"c")]


def test_messages_come_back_in_their_order(kept: Kept) -> None:
    log = MemoryLog(kept=kept)
    for position in (1, 2, 3):
        log.append(7, position, message(b"%d" % position), 5000 + position, position)
    log.append(8, 1, message(b"other"), 0)
    log.remove(7, 2)
    assert [
        (each.queue_id, each.position, each.message.body(), each.deadline_ms, each.level) for each in found(kept)
    ] == [
        (7, 1, b"1", 5001, 1),
        (7, 3, b"3", 5003, 3),
        (8, 1, b"other", 0, 0),
    ]


def test_what_was_delivered_comes_back_as_redelivered(kept: Kept) -> None:
    log = MemoryLog(kept=kept)
    for position in (1, 2, 3):
        log.append(7, position, message(b""), 0)
    log.delivered(7, 2)
    log.delivered(7, 1)
    assert [each.redelivered for each in found(kept)] == [True, True, False]


def test_a_dropped_queue_leaves_nothing(kept: Kept) -> None:
    log = MemoryLog(kept=kept)
    log.append(7, 1, message(b""), 0)
    log.delivered(7, 1)
    log.drop(7)
    log.append(7, 1, message(b"new"), 0)
    assert [(each.message.body(), each.redelivered) for each in found(kept)] == [(b"new", False)]


def test_without_it_nothing_comes_back() -> None:
    log = MemoryLog()
    log.put("queue", "a", b"")
    log.append(7, 1, message(b""), 0)
    assert list(log.recover()) == []
    assert log.load() == []
