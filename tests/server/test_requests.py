"""Large answers are written in pieces."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from leveret.server import requests
from leveret.server.requests import MANY


@pytest.mark.parametrize("name", ["plain", "no UTF-8 \udcff"])
def test_a_large_answer_lets_others_have_their_turn(name: str) -> None:
    result: dict[str, Any] = {"few": [1], "many": [{"name": f"{name} {number}"} for number in range(3 * MANY + 1)]}
    expected = json.loads(json.dumps({"result": result}))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> bytes:
        task = asyncio.create_task(others())
        written = await requests.write({"result": result})
        task.cancel()
        return written

    assert json.loads(asyncio.run(both())) == expected
    assert turns >= 3


def test_a_name_that_is_no_utf_8_beside_a_large_array() -> None:
    result: dict[str, Any] = {"name": "\udcff", "many": list(range(MANY + 1))}
    expected = {"result": {"name": "\udcff", "many": list(range(MANY + 1))}}
    assert json.loads(asyncio.run(requests.write({"result": result}))) == expected
