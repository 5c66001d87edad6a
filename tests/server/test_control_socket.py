"""The control socket: whatever comes is answered, and who comes next is served."""

from __future__ import annotations

import asyncio
import gc
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from leveret.management.administration import Administration, is_persisted
from leveret.server.control_socket import ControlSocket
from leveret.server.driver import Driver
from leveret.server.performer import Performer
from tests.clients.socketless import make_broker

MAX_REQUEST = 100_000
PATIENCE_S = 60
SOON_S = 0.2
GOOD = b'{"verb": "list_vhosts"}\n'

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def no_api(arguments: dict[str, object]) -> AsyncIterator[tuple[dict[str, object], bytes]]:
    """Answers nothing."""
    yield {"more": False}, b""


def talk(directory: Path, talk_to: Talk) -> None:
    """Let somebody talk to the socket of a broker, and see that others are served afterwards."""

    async def run() -> None:
        broker = make_broker()
        driver = Driver(broker, asyncio.get_running_loop())
        performer = Performer(driver, Administration(broker).perform, is_persisted, lambda: None)
        control = ControlSocket(driver, performer, no_api, asyncio.Protocol, MAX_REQUEST)
        path = str(directory / "socket")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        await control.start(listener)
        async with asyncio.timeout(PATIENCE_S):
            for each in (talk_to, good):
                reader, writer = await asyncio.open_unix_connection(path, limit=1 << 24)
                await each(reader, writer)
                writer.close()
        control.close()

    asyncio.run(run())


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, line: bytes) -> dict[str, Any]:
    """The answer to a line."""
    writer.write(line)
    answer = json.loads(await reader.readline())
    assert isinstance(answer, dict)
    return answer


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A request with its answer."""
    answer = await ask(reader, writer, GOOD)
    assert [row["name"] for row in answer["result"]] == ["/"]


def verb(name: str, arguments: bytes) -> bytes:
    """A request."""
    return b'{"verb": "%s", "arguments": %s}' % (name.encode(), arguments)


def deep(levels: int) -> bytes:
    """So many lists in each other."""
    return b"[" * levels + b"]" * levels


def of_queue(arguments: bytes) -> bytes:
    """Arguments of an import of one queue."""
    return b'{"vhost": "/", "content": {"queues": [{"name": "q", "durable": true, "arguments": %s}]}}' % arguments


PARAMETER = b'{"vhost": "/", "component": "c", "name": "n", "value": %s}'
NONE: list[tuple[bytes, str]] = [
    (b"", "Expecting value"),
    (b"hello", "Expecting value"),
    (b"\xff\xfe", "not UTF-8"),
    (b"\x00", "Expecting value"),
    (b"NaN", "NaN is not a number"),
    (b"[]", "not an object"),
    (b'"verb"', "not an object"),
    (b"{}", "there is no verb"),
    (b'{"verb": 5}', "verb is not a text"),
    (b'{"verb": "list_users", "arguments": 5}', "arguments is not an object"),
    (b'{"verb": "list_users", "arguments": [["a", 1]]}', "arguments is not an object"),
    (b'{"verb": "list_users", "bytes": "3"}', "bytes is not a whole number"),
    (b'{"verb": "list_users", "bytes": true}', "bytes is not a whole number"),
    (b'{"verb": "list_users", "bytes": 1e3}', "bytes is not a whole number"),
    (b'{"verb": "list_users", "bytes": 1e999}', "too large a number"),
    (b"[" * 3000, "nested more than 128 deep"),
    (deep(40_000), "nested more than 128 deep"),
    (b'{"verb": ' * 3000, "nested more than 128 deep"),
    (verb("set_parameter", PARAMETER % deep(20_000)), "nested more than 128 deep"),
    (verb("set_parameter", PARAMETER % (b"9" * 5000)), "too many digits"),
    (verb("set_parameter", PARAMETER % b"-Infinity"), "-Infinity is not a number"),
]
REFUSED: list[tuple[bytes, str]] = [
    (verb("nonsense", b"{}"), "verb 'nonsense' does not exist"),
    (verb("x" * 50_000, b"{}"), "does not exist"),
    (verb("add_vhost", b'{"name": %s}' % deep(900)), "name: expected str, got array"),
    (verb("add_vhost", b'{"name": "v", "more": 1}'), "unknown field more"),
    (verb("add_vhost", b'{"name": "%s"}' % (b"v" * 300)), "has 300 bytes; the protocol allows 255"),
    (verb("add_user", b'{"name": ""}'), "a user needs a name"),
    (verb("set_parameter", PARAMETER % deep(129)), "value: lists and objects are nested more than 128 deep"),
    (verb("set_parameter", PARAMETER % deep(900)), "value: lists and objects are nested more than 128 deep"),
    (
        verb("set_policy", b'{"vhost": "/", "name": "p", "pattern": "", "definition": {"max-length": %s}}' % deep(900)),
        "nested more than 128 deep",
    ),
    (verb("import_definitions", b'{"content": []}'), "content: expected object, got array"),
    (verb("import_definitions", b"{}"), "missing required field content"),
]


@pytest.mark.parametrize(("line", "words"), NONE, ids=range(len(NONE)))
def test_what_is_no_request_is_answered_with_the_reason(tmp_path: Path, line: bytes, words: str) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await ask(reader, writer, line + b"\n")
        assert answer["error"].startswith("a request is one line of JSON")
        assert words in answer["error"]
        await good(reader, writer)

    talk(tmp_path, somebody)


@pytest.mark.parametrize(("line", "words"), REFUSED, ids=range(len(REFUSED)))
def test_what_cannot_be_done_is_answered_with_the_reason(tmp_path: Path, line: bytes, words: str) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await ask(reader, writer, line + b"\n")
        assert words in answer["error"]
        assert len(answer["error"]) < 1000
        await good(reader, writer)

    talk(tmp_path, somebody)


@pytest.mark.parametrize(("levels", "reason"), [(128, ""), (129, "nested more"), (150, "nested more"), (900, "nested")])
def test_an_import_says_which_entry_is_nested_too_deep(tmp_path: Path, levels: int, reason: str) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arguments = of_queue(b'{"x": %s}' % deep(levels))
        result = (await ask(reader, writer, verb("import_definitions", arguments) + b"\n"))["result"]
        if reason:
            assert [error["path"] for error in result["errors"]] == ["queues[0].arguments.x"]
            assert reason in result["errors"][0]["reason"]
        else:
            assert result == {"applied": {"queues": 1}, "notes": [], "errors": []}
        exported = (await ask(reader, writer, verb("export_definitions", b"{}") + b"\n"))["result"]
        assert len(exported["queues"]) == (0 if reason else 1)

    talk(tmp_path, somebody)


@pytest.mark.parametrize("number", [1 << 64, -(1 << 200)])
def test_numbers_of_any_size_come_back(tmp_path: Path, number: int) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = verb("set_parameter", PARAMETER % str(number).encode()) + b"\n"
        assert await ask(reader, writer, line) == {"result": None}
        assert (await ask(reader, writer, verb("list_parameters", b"{}") + b"\n"))["result"][0]["value"] == number

    talk(tmp_path, somebody)


def test_a_line_that_is_too_long_is_answered_with_the_reason(tmp_path: Path) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await ask(reader, writer, b'"' + b"x" * (3 * MAX_REQUEST) + b'"\n')
        assert answer == {"error": f"a request has at most {MAX_REQUEST} bytes in its line"}
        assert await reader.read() == b""

    talk(tmp_path, somebody)


@pytest.mark.parametrize("size", [-1, 1 << 40, 1 << 70])
def test_data_of_an_impossible_size_is_answered_with_the_reason(tmp_path: Path, size: int) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answer = await ask(reader, writer, b'{"verb": "list_users", "bytes": %d}\n' % size + GOOD)
        assert f"bytes of data, not {size}" in answer["error"]
        assert await reader.read() == b""

    talk(tmp_path, somebody)


@pytest.mark.parametrize("data", [GOOD[:-5], b'{"verb": "import_messages", "bytes": 10}\n123', b""])
def test_who_goes_away_in_the_middle(tmp_path: Path, data: bytes) -> None:
    async def somebody(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        writer.write_eof()
        await reader.read()

    talk(tmp_path, somebody)


def test_a_connection_that_was_handed_over_outlives_what_handed_it_over(tmp_path: Path) -> None:
    async def talk_to(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert await ask(reader, writer, b'{"verb": "amqp", "arguments": {}}\n') == {"result": "amqp"}
        gc.collect()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(SOON_S):
                await reader.read(1)

    talk(tmp_path, talk_to)
