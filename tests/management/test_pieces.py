"""A large import lets others have their turn in between."""

from __future__ import annotations

import gc
from itertools import pairwise

import pytest

from leveret.core.broker import Broker
from leveret.core.errors.administration import Promise
from leveret.core.queue.queue import Queue
from leveret.management.administration import Administration
from leveret.management.importing import AT_ONCE
from tests.clients.socketless import make_broker

COUNT = 10 * AT_ONCE


def begin(broker: Broker, queues: list[dict[str, object]], atomic: bool) -> Promise:
    content = {"queues": queues}
    answer = Administration(broker).perform("import_definitions", {"content": content, "vhost": "/", "atomic": atomic})
    assert isinstance(answer, Promise)
    return answer


def queues(count: int = COUNT) -> list[dict[str, object]]:
    return [{"name": f"q{number}", "durable": True, "auto_delete": False, "arguments": {}} for number in range(count)]


def counts(broker: Broker, promise: Promise) -> list[int]:
    """How many queues there are after each piece, until the import is through."""
    found = [len(broker.queues())]
    while not promise.is_done():
        broker.work()
        found.append(len(broker.queues()))
    assert len(broker.background) == 0
    return found


@pytest.mark.parametrize("atomic", [False, True])
def test_a_piece_is_small(atomic: bool) -> None:
    broker = make_broker()
    promise = begin(broker, queues(), atomic)
    found = counts(broker, promise)
    assert found[0] < COUNT
    assert found[-1] == COUNT
    assert max(after - before for before, after in pairwise(found)) <= AT_ONCE
    assert promise.result() == {"applied": {"queues": COUNT}, "notes": [], "errors": []}


def test_nothing_is_applied_when_the_last_entry_is_wrong() -> None:
    broker = make_broker()
    promise = begin(broker, [*queues(), {"name": "", "durable": True, "auto_delete": False, "arguments": {}}], True)
    assert set(counts(broker, promise)) == {0}
    result = promise.result()
    assert isinstance(result, dict)
    assert result["applied"] == {}
    assert [error["path"] for error in result["errors"]] == [f"queues[{COUNT}]"]


def test_two_at_a_time() -> None:
    broker = make_broker()
    first = begin(broker, queues(), True)
    second = begin(broker, queues(2 * COUNT), True)
    broker.finish()
    assert first.is_done()
    assert second.is_done()
    assert len(broker.queues()) == 2 * COUNT


def test_a_rehearsal_leaves_nothing_for_the_garbage_collector() -> None:
    broker = make_broker()
    begin(broker, queues(), False)
    broker.finish()
    gc.collect()
    gc.disable()
    try:
        before = alive()
        assert before >= COUNT
        begin(broker, queues(), True)
        broker.finish()
        assert alive() == before
    finally:
        gc.enable()


def alive() -> int:
    """How many queues there are in memory."""
    return sum(isinstance(each, Queue) for each in gc.get_objects())
