"""Turns: how long the API works in one turn of the event loop, by a clock that runs as the test says."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from leveret.api.turns import SLICE_S, Turns

WORK_S = SLICE_S * 0.3


class Ground:
    """An event loop whose turns are counted, and work that takes time by a clock of its own."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.spent_s = [0.0]  # in each turn of the event loop
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)

    def work(self) -> None:
        """A small piece of work."""
        self.now_s += WORK_S
        self.spent_s[-1] += WORK_S

    async def watch(self) -> None:
        """Count the turns of the event loop."""
        while True:
            await asyncio.sleep(0)
            self.spent_s.append(0.0)

    def run(self, *workers: Any) -> None:
        """Let these work side by side, to their end."""

        async def main() -> None:
            watch = asyncio.create_task(self.watch())
            await asyncio.gather(*workers)
            watch.cancel()

        asyncio.run(main())


async def long_turn(ground: Ground, turns: Turns) -> None:
    async with turns:
        for _ in range(30):
            ground.work()
            await turns.rest()


async def short_turns(ground: Ground, turns: Turns) -> None:
    for _ in range(30):
        async with turns:
            ground.work()


@pytest.mark.parametrize("workers", [[long_turn], [short_turns], [short_turns, short_turns, long_turn]])
def test_a_turn_of_the_event_loop_is_short_however_the_work_is_cut(
    workers: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    ground, turns = Ground(monkeypatch), Turns()
    ground.run(*(worker(ground, turns) for worker in workers))
    assert sum(ground.spent_s) == pytest.approx(30 * WORK_S * len(workers))
    assert max(ground.spent_s) < 2 * SLICE_S


def test_who_works_long_takes_turns_with_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, turns = Ground(monkeypatch), Turns()
    done = [0, 0, 0, 0]
    counts: list[list[int]] = []

    async def work(number: int, pieces: int) -> None:
        async with turns:
            for _ in range(pieces):
                ground.work()
                done[number] += 1
                await turns.rest()
        counts.append(list(done))

    ground.run(*(work(number, 1000 if number < 3 else 60) for number in range(4)))
    first = counts[0]
    assert first[3] == 60
    assert all(50 <= each <= 70 for each in first), first


def test_who_is_cancelled_takes_no_turn_from_others(monkeypatch: pytest.MonkeyPatch) -> None:
    ground, turns = Ground(monkeypatch), Turns()
    done: list[int] = []

    async def work(number: int) -> None:
        async with turns:
            for _ in range(20):
                ground.work()
                await turns.rest()
        done.append(number)

    async def cancel_some() -> None:
        for passes in range(6):
            tasks = [asyncio.create_task(work(number)) for number in range(5)]
            for _ in range(passes):
                await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await work(9)

    ground.run(cancel_some())
    assert done == [1, 3] * 6 + [9]
