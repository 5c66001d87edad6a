"""Cycles are looked for while there is little to look at, and when there is more than there should be."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from leveret.core.message.budget import COST
from leveret.node import collector
from leveret.node.collector import FEW, Collector
from tests.clients.socketless import make_broker

LOOK_S = 0.01


class Cycle:
    """Something that only the garbage collector finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def own_collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As in a broker's process, but impatient."""
    monkeypatch.setattr(collector, "LOOK_S", LOOK_S)
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


async def is_found(waiting: int) -> bool:
    """Whether a cycle is gone after some looks, in a broker with so many waiting messages."""
    broker = make_broker()
    broker.budget.used = waiting * COST
    watch = Collector(broker, asyncio.get_running_loop())
    watch.start()
    gone = weakref.ref(Cycle())
    for _ in range(20):  # pauses, in each of which there is at least one look, however busy the machine is
        await asyncio.sleep(LOOK_S)
    watch.stop()
    return gone() is None


def test_a_cycle_is_found() -> None:
    assert asyncio.run(is_found(0))


def test_nobody_looks_at_many_messages() -> None:
    assert not asyncio.run(is_found(FEW))


def test_what_nobody_can_account_for_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "SURPLUS", -2 * FEW)
    assert asyncio.run(is_found(FEW))


async def gives_back(quiet: float, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether freed memory goes back to the system. quiet: the share of a core that a quiet process needs at most."""
    given: list[None] = []
    monkeypatch.setattr(collector, "give_back_memory", lambda: given.append(None))
    monkeypatch.setattr(collector, "QUIET", quiet)
    watch = Collector(make_broker(), asyncio.get_running_loop())
    watch.start()
    for _ in range(20):
        sum(range(10_000))
        await asyncio.sleep(LOOK_S)
    watch.stop()
    return len(given) > 0


def test_freed_memory_goes_back_when_it_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    assert asyncio.run(gives_back(2, monkeypatch))
    assert not asyncio.run(gives_back(0, monkeypatch))
