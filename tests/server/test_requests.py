"""Large answers are written in pieces."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.server import requests
from leveret.server.requests import LARGE, MANY


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


@given(line=st.binary() | st.text('[]{}",: verbarguments1').map(str.encode))
def test_any_line_is_a_request_or_explained(line: bytes) -> None:
    try:
        request = asyncio.run(requests.read(line))
    except ValueError:
        return
    assert isinstance(request.verb, str)
    assert isinstance(request.arguments, dict)


@pytest.mark.parametrize("tail", [b"[" * 3000, b"[" * 3000 + b"]" * 3000, b"NaN", b"\xff", b"", b"9" * 5000])
def test_a_large_line_is_explained_as_well(tail: bytes) -> None:
    line = b'{"verb": "v", "arguments": {"content": {"a": "%s", "b": %s}}}' % (b"x" * LARGE, tail)
    with pytest.raises(ValueError, match=r"nested|NaN|UTF-8|Expecting|digits"):
        asyncio.run(requests.read(line))


def test_only_the_entries_of_a_definitions_file_are_left_as_they_are() -> None:
    large: dict[str, Any] = {"list": ["x" * 1000] * (LARGE // 1000)}
    line = json.dumps({"verb": "v", "arguments": {"content": large, "value": large}}).encode()
    request = asyncio.run(requests.read(line))
    assert request.arguments["value"] == large
    content = request.arguments["content"]
    assert isinstance(content, dict)
    assert all(isinstance(entry, msgspec.Raw) for entry in content["list"])


@pytest.mark.parametrize("value", [1 << 70, "\ud800", [[["x"]]], 1.5])
def test_any_value_can_be_answered(value: object) -> None:
    assert json.loads(asyncio.run(requests.write({"result": value}))) == {"result": value}


def test_an_answer_that_is_no_json_is_replaced() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, object()):
        assert "cannot be written as JSON" in json.loads(asyncio.run(requests.write({"result": value})))["error"]
