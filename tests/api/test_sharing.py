"""Sharing: who asks for much gets no more turns than who asks for little."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from leveret.api.sharing import Few, Line, Parts, begin_for


def run(*works: Coroutine[Any, Any, None]) -> None:
    """Let them work side by side."""

    async def main() -> None:
        await asyncio.gather(*works)

    asyncio.run(main())


def test_everybody_is_called_in_turn_however_many_of_theirs_wait() -> None:
    line = Line()
    called: list[str] = []

    async def wait(host: str, user: str) -> None:
        begin_for(host, user)
        await line.wait(lambda: None)
        called.append(f"{host[-1]}{user}")

    async def call_all() -> None:
        await asyncio.sleep(0)
        while line.call():
            await asyncio.sleep(0)

    run(*(wait("10.0.0.1", "a") for _ in range(5)), wait("10.0.0.2", "a"), call_all())
    assert called == ["1a", "2a", "1a", "1a", "1a", "1a"]
    called.clear()
    run(*(wait("10.0.0.1", user) for user in "aaaabbc"), call_all())
    assert called == ["1a", "1b", "1c", "1a", "1b", "1a", "1a"]


def test_who_gives_up_is_not_called() -> None:
    line = Line()
    called: list[int] = []

    async def wait(number: int) -> None:
        await line.wait(lambda: called.append(-number))
        called.append(number)

    async def main() -> None:
        tasks = [asyncio.create_task(wait(number)) for number in range(1, 5)]
        await asyncio.sleep(0)
        tasks[0].cancel()
        assert line.call()  # the second
        assert line.call()  # the third, who gives up just then
        tasks[2].cancel()
        await asyncio.sleep(0)
        assert line.call()
        assert not line.call()
        await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(main())
    assert called == [2, -3, 4]


def test_as_many_as_may_be_are_at_it_at_once() -> None:
    few = Few(2)
    now = most = done = 0

    async def work(number: int) -> None:
        nonlocal now, most, done
        begin_for(f"10.0.0.{number % 3}")
        async with few:
            now += 1
            most = max(most, now)
            try:
                await asyncio.sleep(0)
            finally:
                now -= 1
        done += 1

    async def come_and_go() -> None:
        for _ in range(5):
            tasks = [asyncio.create_task(work(number)) for number in range(6)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    run(*(work(number) for number in range(10)), come_and_go())
    assert most == 2
    assert now == 0
    assert done >= 10 + 5 * 3
    run(work(1), work(2))


def test_nobody_has_more_than_a_part() -> None:
    parts = Parts(10)
    places: list[str] = []

    def take(host: str) -> bool:
        begin_for(host)
        place = parts.take()
        if place is not None:
            places.append(place)
        return place is not None

    assert [take("10.0.0.1") for _ in range(6)] == [True] * 5 + [False]
    assert [take("10.0.0.2") for _ in range(3)] == [True] * 3
    assert [take("10.0.0.3") for _ in range(3)] == [True, True, False]
    parts.give(places.pop(0))
    assert take("10.0.0.2")
    assert not take("10.0.0.2")
    while places:
        parts.give(places.pop())
    assert [take("10.0.0.1") for _ in range(6)] == [True] * 5 + [False]
