"""leveret mcp, as clients of the Model Context Protocol use it: with the client of the official SDK, over stdio."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import pika
import pytest

import leveret
from leveret.api.operations import OPERATIONS
from leveret.node.cli import mcp_server
from leveret.node.cli.mcp_tools import ACTING, PATH, QUERY, READING, Tool
from tests.api.http import Http
from tests.api.messaging import declare, put

mcp = pytest.importorskip("mcp")
T = TypeVar("T")
PAGE = Path(__file__).parents[2] / "docs" / "mcp.md"


def talk(
    work: Callable[[Any], Awaitable[T]], *options: str, environment: dict[str, str] | None = None, mode: str = "auto"
) -> T:
    """Let a client talk to a server of its own."""

    async def begin() -> T:
        from mcp.client.stdio import stdio_client

        parameters = mcp.StdioServerParameters(
            command=sys.executable,
            args=["-m", "leveret", "mcp", *options],
            env={"PYTHONPATH": os.getcwd(), **(environment or {})},
        )
        with open(os.devnull, "w") as errors:
            async with mcp.Client(stdio_client(parameters, errlog=errors), mode=mode) as client:
                return await work(client)

    return asyncio.run(begin())


def call(broker: leveret.Broker, name: str, *options: str, **given: object) -> Any:
    """What a tool answers, to a client of its own."""

    async def work(client: Any) -> Any:
        return await client.call_tool(name, given)

    return talk(work, "--url", broker.management_url.replace("://", "://guest:guest@"), *options)


def failure(result: Any) -> str:
    """Why a call has failed."""
    assert result.is_error, result
    return str(result.content[0].text)


@pytest.fixture
def http(managed: leveret.Broker) -> Http:
    """The guest of the broker."""
    return Http(managed.management_url)


@pytest.fixture
def managed() -> Any:
    """A broker with an HTTP API."""
    with leveret.Broker(management=True) as broker:
        yield broker


def url(broker: leveret.Broker, user: str = "guest", password: str = "guest") -> tuple[str, str]:
    """The options that say where a broker is."""
    return "--url", broker.management_url.replace("://", f"://{user}:{password}@")


# -- the table


def asked(tool: Tool, path: str) -> Any:
    """The operation that a tool asks for."""
    shape = re.sub(r"\{\w+\}", "{}", path).replace("/{}/e/{}/q/{}", "/{}/e/{}/{}/{}")
    return [
        each
        for each in OPERATIONS
        if each.method == tool.method
        and (
            re.sub(r"\{\w+\}", "{}", each.path) == shape
            or (tool.name == "check_health" and "/checks/alarms" in each.path)
        )
    ]


@pytest.mark.parametrize("tool", [*READING, *ACTING], ids=lambda tool: tool.name)
def test_tools_ask_for_what_the_api_has(tool: Tool) -> None:
    for path in filter(None, (tool.path, tool.narrow)):
        found = asked(tool, path)
        assert len(found) == 1, path
        names = {each.key or each.name for each in tool.arguments if each.place == QUERY}
        sent = names | {name for name, _ in tool.fixed}
        if tool.is_list:
            sent -= {"page", "page_size"}
            sent -= {"columns"} if "columns" in found[0].query else set()
        assert sent <= set(found[0].query), path
        assert set(re.findall(r"\{(\w+)\}", path)) <= {each.name for each in tool.arguments if each.place == PATH}
        assert tool.pages <= ("page" in found[0].query)
    assert re.fullmatch(r"[a-z_]{3,40}", tool.name)
    assert tool.text.endswith((".", "messages_ready with sort_reverse."))


def test_what_reads_is_a_get() -> None:
    assert {(each.method, each.changes) for each in READING} == {("GET", "")}
    assert {each.changes for each in ACTING} == {"adds", "destroys"}
    assert not {each.name for each in READING} & {each.name for each in ACTING}
    assert {each.name for each in ACTING if each.method == "DELETE"} <= {
        each.name for each in ACTING if each.changes == "destroys"
    }


def test_the_page_has_all_tools() -> None:
    text = PAGE.read_text()
    assert [each.name for each in (*READING, *ACTING) if f"`{each.name}`" not in text] == []


# -- over stdio


@pytest.mark.parametrize("mode", ["auto", "legacy"])
def test_a_server_says_what_it_has(managed: leveret.Broker, mode: str) -> None:
    async def work(client: Any) -> Any:
        listed = await client.list_tools()
        return client.server_info, client.instructions, listed.tools

    info, instructions, tools = talk(work, *url(managed), mode=mode)
    assert (info.name, info.version) == ("leveret", leveret.__version__)
    assert "read-only" in instructions
    assert [each.name for each in tools] == [each.name for each in READING]
    for each in tools:
        assert each.annotations.read_only_hint is True
        assert each.annotations.destructive_hint is False
        assert each.input_schema["additionalProperties"] is False

    _, instructions, tools = talk(work, *url(managed), "--allow-changes", mode=mode)
    assert "read-only" not in instructions
    hints = {each.name: each.annotations for each in tools}
    assert list(hints) == [each.name for each in (*READING, *ACTING)]
    assert (hints["delete_queue"].read_only_hint, hints["delete_queue"].destructive_hint) == (False, True)
    assert (hints["declare_queue"].destructive_hint, hints["declare_queue"].idempotent_hint) == (False, True)
    assert hints["publish_message"].idempotent_hint is False


def test_every_tool_that_reads(managed: leveret.Broker, http: Http) -> None:
    declare(http, "orders")
    http.ask("POST", "bindings/%2F/e/amq.topic/q/orders", {"routing_key": "a"}).expect(201)
    put(http, "orders", "hello")
    needed = {"queue": "orders", "exchange": "amq.topic", "connection": "nothing"}

    async def work(client: Any) -> dict[str, Any]:
        found = {}
        for tool in READING:
            given = {each.name: needed[each.name] for each in tool.arguments if each.needed}
            found[tool.name] = await client.call_tool(tool.name, given)
            if any(each.name == "vhost" for each in tool.arguments):
                again = await client.call_tool(tool.name, {**given, "vhost": "/"})
                assert again.is_error == found[tool.name].is_error
        return found

    found = talk(work, *url(managed))
    assert failure(found.pop("get_connection")).startswith("the broker refused with status 404")
    assert [name for name, each in found.items() if each.is_error] == []
    contents = {name: each.structured_content for name, each in found.items()}
    for each in found.values():
        assert json.loads(each.content[0].text) == each.structured_content
    assert contents["get_overview"]["product_name"] == "Leveret"
    assert contents["check_health"]["status"] == "ok"
    assert contents["list_queues"]["items"][0]["name"] == "orders"
    assert contents["list_queues"]["total_count"] == 1
    assert contents["get_queue"]["messages_ready"] == 1
    assert contents["list_queue_bindings"]["items"][1]["properties_key"] == "a"
    assert contents["browse_messages"]["messages"][0]["payload"] == "hello"
    assert contents["list_users"]["items"] == [{"name": "guest", "tags": ["administrator"], "limits": {}}]
    assert "password_hash" not in str(found)
    assert managed.queue("orders").ready == 1


def test_every_tool_that_acts(managed: leveret.Broker, http: Http) -> None:
    async def work(client: Any) -> None:
        async def do(name: str, **given: object) -> Any:
            result = await client.call_tool(name, given)
            assert not result.is_error, (name, result)
            called.add(name)
            return result.structured_content

        called: set[str] = set()
        await do("create_vhost", vhost="shop", description="of a test")
        await do("set_permissions", user="guest", vhost="shop", configure=".*", write=".*", read=".*")
        await do("declare_queue", queue="q", vhost="shop", arguments={"x-max-length": 2})
        await do("declare_exchange", exchange="e", vhost="shop", type="topic")
        await do("bind_queue", queue="q", exchange="e", vhost="shop", routing_key="a.*")
        await do("publish_message", exchange="e", vhost="shop", routing_key="a.b", payload="hello")
        await do(
            "publish_message",
            exchange="amq.default",
            vhost="shop",
            routing_key="q",
            payload="/w==",
            payload_encoding="base64",
            properties={"headers": {"n": 1}},
        )
        taken = await do("take_messages", queue="q", vhost="shop", count=10)
        assert [each["payload"] for each in taken["messages"]] == ["hello", "/w=="]
        await do("set_policy", policy="p", vhost="shop", pattern="^q", definition={"max-length": 9}, apply_to="queues")
        policies = await do("list_policies", vhost="shop")
        assert policies["items"][0]["definition"] == {"max-length": 9}
        await do("delete_policy", policy="p", vhost="shop")
        await do("publish_message", exchange="e", vhost="shop", routing_key="a.b", payload="hello")
        await do("purge_queue", queue="q", vhost="shop")
        assert (await do("get_queue", queue="q", vhost="shop"))["messages_ready"] == 0
        await do("unbind_queue", queue="q", exchange="e", vhost="shop", properties_key="a.%2A")
        await do("delete_exchange", exchange="e", vhost="shop", if_unused=True)
        await do("delete_queue", queue="q", vhost="shop", if_empty=True)
        await do("delete_vhost", vhost="shop")
        (connection,) = (await do("list_connections"))["items"]
        await do("close_connection", connection=connection["name"], reason="a test wants it")
        assert called >= {each.name for each in ACTING}

    client = pika.BlockingConnection(pika.URLParameters(managed.url))
    talk(work, *url(managed), "--allow-changes")
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="a test wants it"):
        client.process_data_events(5)


def test_what_changes_something_has_to_be_allowed(managed: leveret.Broker, http: Http) -> None:
    declare(http, "q")
    assert "start it with --allow-changes" in failure(call(managed, "delete_queue", queue="q"))
    assert managed.queue("q").exists
    assert "there is no tool" in failure(call(managed, "drop_table"))


def test_calls_that_make_no_sense(managed: leveret.Broker) -> None:
    async def work(client: Any) -> list[str]:
        return [
            failure(await client.call_tool(name, given))
            for name, given in (
                ("get_queue", {}),
                ("get_queue", {"queue": 1}),
                ("get_queue", {"queue": "q", "more": 1}),
                ("list_queues", {"page": 0}),
                ("list_queues", {"page_size": 101}),
                ("browse_messages", {"queue": "q", "truncate": 10**9}),
                ("check_health", {"check": "../../queues"}),
                ("get_queue", {"queue": "../../users"}),
                ("get_queue", {"queue": "nothing"}),
                ("list_queues", {"vhost": "nowhere"}),
            )
        ]

    found = talk(work, *url(managed))
    assert found[0] == "'queue' is a required property"
    assert found[1].startswith("queue: 1 is not of type 'string'")
    assert "additional properties" in found[2].lower()
    assert all("status 404" in each for each in found[7:])


def test_answers_have_bounds(managed: leveret.Broker, http: Http) -> None:
    for number in range(30):
        declare(http, f"q{number:02}")
    declare(http, "much")
    put(http, "much", *["x" * 20_000] * 10)

    async def work(client: Any) -> Any:
        first = await client.call_tool("list_queues", {"sort": "name"})
        second = await client.call_tool("list_queues", {"sort": "name", "page": 2})
        policies = await client.call_tool("list_policies", {"page": 2, "page_size": 5})
        much = await client.call_tool("browse_messages", {"queue": "much", "truncate": 20_000})
        return [each.structured_content for each in (first, second, policies, much)]

    first, second, policies, much = talk(work, *url(managed))
    assert (len(first["items"]), first["page_count"], len(second["items"])) == (25, 2, 6)
    assert policies == {"items": [], "page": 2, "page_count": 1, "total_count": 0}
    assert len(much["messages"]) == 2
    assert "first 2" in much["left_out"]
    assert len(json.dumps(much)) <= mcp_server.MOST_TEXT


def test_a_user_of_the_broker_is_bound_by_its_tags(managed: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "users/watcher", {"password": "secret", "tags": "monitoring"}).expect(201)

    async def work(client: Any) -> tuple[str, bool]:
        users = await client.call_tool("list_users", {})
        return failure(users), (await client.call_tool("list_queues", {})).is_error

    text, is_error = talk(work, *url(managed, "watcher", "secret"))
    assert "Not administrator user" in text
    assert not is_error
    assert (
        "password is wrong"
        in talk(lambda client: client.call_tool("list_queues", {}), *url(managed, "watcher", "wrong")).content[0].text
    )


# -- brokers that are elsewhere, or nowhere


def test_through_the_control_socket(tmp_path: Path) -> None:
    from tests.brokers.process import Server

    server = Server.start("--data-dir", str(tmp_path / "data"), "--trust-data-dir", "--management-port", "off")
    here = {"LEVERET_TRUST_DATA_DIR": "true"}

    async def work(client: Any) -> list[Any]:
        made = await client.call_tool("declare_queue", {"queue": "q"})
        listed = await client.call_tool("list_queues", {})
        server.stop()
        gone = await client.call_tool("list_queues", {})
        return [made, listed, gone]

    try:
        options = ("--data-dir", str(tmp_path / "data"), "--allow-changes")
        made, listed, gone = talk(work, *options, environment=here)
        assert not made.is_error
        assert listed.structured_content["items"][0]["name"] == "q"
        assert "no broker is running on" in failure(gone)
    finally:
        server.stop()


def test_a_broker_that_comes_later(managed: leveret.Broker) -> None:
    options = url(managed)
    managed.stop()

    async def work(client: Any) -> list[Any]:
        before = await client.call_tool("get_overview", {})
        managed.start()
        return [before, await client.call_tool("get_overview", {})]

    before, after = talk(work, *options)
    assert "cannot connect to" in failure(before)
    assert not after.is_error


def run(*options: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, with something at its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "leveret", "mcp", *options],
        input=text,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": os.getcwd(), **environment},
    )


def test_without_the_sdk_a_sentence_says_so(tmp_path: Path) -> None:
    (tmp_path / "mcp").mkdir()
    (tmp_path / "mcp" / "__init__.py").write_text("raise ModuleNotFoundError('no SDK', name='mcp')")
    found = run("--url", "http://127.0.0.1:1", PYTHONPATH=f"{tmp_path}:{os.getcwd()}")
    assert found.returncode == 1
    assert found.stdout == ""
    assert found.stderr == (
        "leveret: the SDK of the Model Context Protocol is not installed: pip install 'leveret[mcp]'\n"
    )


@pytest.mark.parametrize(
    "text",
    ["", "\n", "no JSON\n", "[" * 100_000 + "\n", '{"jsonrpc":"2.0","id":1,"method":"nothing"}\n', "\x00\xff\n"],
)
def test_what_is_no_protocol_ends_without_a_traceback(text: str) -> None:
    found = run("--url", "http://127.0.0.1:1", text=text)
    assert found.returncode == 0, found
    assert "Traceback" not in found.stderr
    for line in found.stdout.splitlines():
        assert json.loads(line)["jsonrpc"] == "2.0"
