"""amq-mcp-server-rabbitmq, an MCP server made for RabbitMQ: every tool of both of its layouts, on a broker of Leveret.

One tool fails with RabbitMQ as well, since it asks for a path that there is not: CANNOT.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest

from tests.api.clients import installed
from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually

mcp = pytest.importorskip("mcp")

VERSION = "4.0.0"
CANNOT = {"rabbitmq_broker_is_quorum_critical": "404", "health quorum": "404"}
"""GET /api/checks/node-is-quorum-critical; the path has begun with /api/health since RabbitMQ 3.8."""
ELSEWHERE = {"rabbitmq_broker_initialize_connection_with_oauth", "connect_oauth"}
"""What connects with a token of OAuth, and over TLS alone."""

ALONE = {
    "get_guideline",
    "get_skill",
    "get_permissions",
    "get_queue_info",
    "get_exchange_info",
    "publish_message",
    "get_policy",
    "get_node_information",
    "whoami",
    "check_local_alarms",
    "check_certificate_expiration",
    "check_protocol_listener",
    "check_virtual_hosts",
    "get_shovel_info",
    "get_broker_definition",
    "export_definitions",
}
"""Tools whose answer is one thing, which comes as the text of it."""

V = "clients.amq"


@pytest.fixture(scope="module")
def server() -> Path:
    """The command."""
    return installed.virtual_environment("amq-mcp", f"amq-mcp-server-rabbitmq=={VERSION}") / "amq-mcp-server-rabbitmq"


class Tools:
    """The tools of a server. called: those that were. read: what an answer says."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.called: set[str] = set()

    async def names(self) -> set[str]:
        """All that there are."""
        return {each.name for each in (await self._client.list_tools()).tools}

    async def __call__(self, tool: str, /, **given: object) -> Any:
        """Call one, which has to succeed unless it cannot."""
        result = await self._client.call_tool(tool, given)
        self.called.add(tool)
        text = "\n".join(each.text for each in result.content)
        failure = next((CANNOT[each] for each in (tool, f"{tool} {given.get('check')}") if each in CANNOT), "")
        assert result.is_error == bool(failure), (tool, given, text)
        assert failure in text
        if isinstance(result.structured_content, dict):
            found = result.structured_content.get("result", result.structured_content)
            return found if isinstance(found, list) else [found]
        return [_read(each.text) for each in result.content]


def _read(text: str) -> Any:
    """JSON, or what is none."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def connection_of(http: Http) -> str:
    """The name of the only connection, which this server does not tell."""
    found: Any = http.ask("GET", "connections").json
    return str(found[0]["name"])


def talk(server: Path, place: Place, work: Callable[[Tools], Awaitable[None]], *options: str) -> None:
    """Let a client talk to the server."""
    port = urlsplit(place.api).port

    async def begin() -> None:
        from mcp.client.stdio import stdio_client

        arguments = ["--allow-mutative-tools", "--management-port", str(port), *options]
        parameters = mcp.StdioServerParameters(command=str(server), args=arguments)
        with open(os.devnull, "w") as errors:
            async with mcp.Client(stdio_client(parameters, errlog=errors)) as client:
                tools = Tools(client)
                await work(tools)
                assert await tools.names() - tools.called == ELSEWHERE & await tools.names()

    asyncio.run(begin())


@pytest.fixture(autouse=True)
def clean(http: Http) -> Any:
    """A virtual host for the test."""
    http.ask("DELETE", f"vhosts/{V}").expect(204, 404)
    http.ask("DELETE", "queues/%2F/amq.enqueued").expect(204, 404)
    yield
    http.ask("DELETE", f"vhosts/{V}").expect(204, 404)
    for path in ("queues/%2F/enqueued", "exchanges/%2F/fanned"):
        http.ask("DELETE", path).expect(204, 404)


def login(place: Place, alias: str) -> dict[str, object]:
    """Where the broker is."""
    return {"username": "guest", "password": "guest", "port": place.port, "use_tls": False, "alias": alias}


def names(found: Any) -> list[str]:
    """Of a list of things, or of names."""
    return [each["name"] if isinstance(each, dict) else each for each in found]


def test_one_tool_for_each_thing(server: Path, place: Place, http: Http) -> None:
    async def work(tools: Tools) -> None:
        async def do(tool: str, /, **given: object) -> Any:
            found = await tools(f"rabbitmq_broker_{tool}", **given)
            return found[0] if tool in ALONE else found

        for alias in ("blue", "green"):
            await do("initialize_connection", broker_hostname="localhost", **login(place, alias))
        await do("select", alias="blue")
        assert [each["active"] for each in await do("list_registered_brokers")] == [True, False]
        assert "m5" in str(await do("get_guideline", guideline_name="rabbitmq_broker_sizing_guide"))
        assert "Steps" in await do("get_skill", skill_name="dlq_summary")

        await do("create_vhost", name=V)
        assert V in names(await do("list_vhosts"))
        await do("set_permissions", vhost=V, user="guest")
        assert (await do("get_permissions", vhost=V, user="guest"))["read"] == ".*"
        for kind in ("quorum", "classic"):
            await do("create_queue", queue=kind, vhost=V, queue_type=kind, arguments={"x-max-length": 10})
        assert {"quorum", "classic"} <= set(names(await do("list_queues")))
        assert (await do("get_queue_info", queue="quorum", vhost=V))["type"] == "quorum"
        await do("create_exchange", exchange="x", exchange_type="topic", vhost=V)
        assert "x" in names(await do("list_exchanges"))
        assert (await do("get_exchange_info", exchange="x", vhost=V))["type"] == "topic"
        await do("create_binding", exchange="x", queue="classic", vhost=V, routing_key="a.#", arguments={"k": 1})
        assert len(await do("get_bindings", vhost=V)) == 3
        (binding,) = await do("get_bindings", vhost=V, exchange="x")
        assert len(await do("get_bindings", vhost=V, queue="classic")) == 2

        sent = {"exchange": "x", "vhost": V, "payload": "hello"}
        assert (await do("publish_message", routing_key="a.b", properties={"priority": 1}, **sent))["routed"] is True
        assert (await do("publish_message", routing_key="nowhere", **sent))["routed"] is False
        for again in (False, True):
            (got,) = await do("get_messages", queue="classic", vhost=V)
            assert (got["payload"], got["redelivered"]) == ("hello", again)
        eventually(lambda: http.ask("GET", f"queues/{V}/classic").json["messages"] == 1)  # type: ignore[index]
        assert names(await do("find_queues_by_threshold", min_depth=1, vhost=V)) == ["classic"]
        assert len(await do("find_queues_by_threshold", no_consumers=True, vhost=V)) == 2
        await do("purge_queue", queue="classic", vhost=V)
        assert await do("get_messages", queue="classic", vhost=V) == []
        await do("delete_binding", exchange="x", queue="classic", vhost=V, props_key=binding["properties_key"])
        assert await do("get_bindings", vhost=V, exchange="x") == []

        await do("create_policy", name="p", pattern="^q", definition={"max-length": 5}, vhost=V, apply_to="queues")
        assert names(await do("list_policies", vhost=V)) == ["p"]
        assert (await do("get_policy", name="p", vhost=V))["definition"] == {"max-length": 5}
        await do("delete_policy", name="p", vhost=V)

        await do("enqueue", queue="enqueued", message="over AMQP")
        assert (await do("get_messages", queue="enqueued"))[0]["payload"] == "over AMQP"
        await do("fanout", exchange="fanned", message="over AMQP")

        with place.connect(V) as connection:
            channel = connection.channel()
            channel.basic_consume("classic", lambda *_: None)
            assert [each["num_channels"] for each in await do("list_connections")] == [1]
            assert [each["user"] for each in await do("list_channels")] == ["guest"]
            assert [each["queue"]["name"] for each in await do("list_consumers")] == ["classic"]
            await do("close_connection", name=connection_of(http))
            with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
                connection.process_data_events(5)

        (node,) = await do("get_cluster_nodes_info")
        told = await do("get_node_information", node_name=node["name"])
        assert told["running"] is True
        assert (await do("whoami"))["name"] == "guest"
        assert "guest" in names(await do("list_users"))
        assert await do("get_overview")
        assert await do("get_connection_churn")
        assert await do("is_in_alarm") == [False]
        await do("is_quorum_critical")
        assert (await do("check_local_alarms"))["ok"] is True
        assert (await do("check_certificate_expiration"))["ok"] is True
        assert (await do("check_protocol_listener", protocol="amqp091"))["ok"] is True
        assert (await do("check_virtual_hosts"))["ok"] is True
        assert await do("list_feature_flags")
        assert await do("list_deprecated_features") == []
        assert await do("list_shovels") == []
        value = {"src-uri": "amqp://", "src-queue": "a", "dest-uri": "amqp://", "dest-queue": "b"}
        http.ask("PUT", f"parameters/shovel/{V}/s", {"value": value}).expect(201)
        assert (await do("get_shovel_info", name="s", vhost=V))["value"]["src-queue"] == "a"
        http.ask("DELETE", f"parameters/shovel/{V}/s").expect(204)

        everything = await do("get_broker_definition")
        assert V in names(everything["vhosts"])
        exported = await do("export_definitions", transforms=["strip_cmq_keys", "exclude_users", "drop_empty_policies"])
        assert "users" not in exported
        await do("import_definitions", definitions=exported)
        queues = [{"name": "defined", "vhost": V, "durable": True, "auto_delete": False, "arguments": {}}]
        await do("update_definition", server_definition={"queues": queues})
        assert "defined" in names(await do("list_queues"))
        same = {"source_alias": "blue", "target_alias": "green"}
        assert await do("compare_definitions", **same) == [{"status": "identical"}]
        assert await do("check_migration_readiness", **same)
        await do("migrate_definitions", transforms=["exclude_users"], **same)
        assert await do("setup_federation", upstream_name="up", upstream_uri="amqp://localhost", vhost=V)
        await do("rebalance_queues")

        await do("delete_queue", queue="quorum", vhost=V)
        await do("delete_exchange", exchange="x", vhost=V)
        await do("delete_vhost", name=V)
        assert V not in names(await do("list_vhosts"))

    talk(server, place, work)


def test_one_tool_for_each_kind_of_thing(server: Path, place: Place, http: Http) -> None:
    async def work(tools: Tools) -> None:
        for alias in ("blue", "green"):
            await tools("connect", hostname="localhost", **login(place, alias))
        await tools("broker", action="select", alias="blue")
        assert len(await tools("broker", action="list")) == 2
        await tools("get_skill", skill_name="dlq_summary")
        await tools("get_guideline", name="rabbitmq_broker_sizing_guide")

        await tools("manage_vhost", action="create", name=V)
        await tools("set_permissions", vhost=V)
        assert (await tools("auth", action="permissions", vhost=V))[0]["write"] == ".*"
        assert (await tools("auth"))[0]["name"] == "guest"
        await tools("manage_queue", action="create", name="q", vhost=V)
        await tools("manage_exchange", action="create", name="x", vhost=V, exchange_type="direct")
        await tools("manage_binding", action="create", exchange="x", queue="q", vhost=V, routing_key="k")
        await tools("publish", method="http", target="x", message="hello", routing_key="k", vhost=V)
        await tools("publish", method="amqp_queue", target="enqueued", message="hello")
        await tools("publish", method="amqp_fanout", target="fanned", message="hello")
        assert "q" in names(await tools("queues", vhost=V))
        assert "enqueued" in names(await tools("queues"))
        assert (await tools("queues", action="info", name="q", vhost=V))[0]["type"] == "quorum"
        assert (await tools("queues", action="messages", name="q", vhost=V))[0]["payload"] == "hello"
        assert len(await tools("queues", action="bindings", name="q", vhost=V)) == 2
        assert "x" in names(await tools("exchanges", vhost=V))
        assert (await tools("exchanges", action="info", name="x", vhost=V))[0]["name"] == "x"
        (binding,) = await tools("exchanges", action="bindings", name="x", vhost=V)
        key = binding["properties_key"]
        await tools("manage_binding", action="delete", exchange="x", queue="q", vhost=V, props_key=key)
        await tools("manage_policy", action="create", name="p", definition={"max-length": 5}, vhost=V)
        assert names(await tools("policies", vhost=V)) == ["p"]
        assert (await tools("policies", action="get", name="p", vhost=V))[0]["pattern"] == ".*"
        await tools("manage_policy", action="delete", name="p", vhost=V)
        await tools("find_queues", no_consumers=True, vhost=V)

        with place.connect(V) as connection:
            connection.channel()
            assert len(await tools("connections")) == 1
            assert len(await tools("connections", action="channels")) == 1
            assert await tools("connections", action="churn")
            await tools("close_connection", name=connection_of(http))
            with pytest.raises(pika.exceptions.ConnectionClosedByBroker):
                connection.process_data_events(5)

        (node,) = await tools("cluster")
        assert (await tools("cluster", action="node_info", node_name=node["name"]))[0]["running"] is True
        assert await tools("cluster", action="node_memory", node_name=node["name"])
        for kind in ("vhosts", "users", "consumers"):
            await tools("entities", action=kind)
        assert await tools("shovels") == []
        assert await tools("overview")
        assert "queues" in (await tools("overview", action="definitions"))[0]
        for check in ("alarms", "quorum", "certificates", "vhosts", "features", "deprecated"):
            await tools("health", check=check)
        await tools("health", check="protocol", protocol="amqp")
        (exported,) = await tools("definitions_export", transforms=["exclude_users"])
        await tools("definitions_import", definitions=exported)
        await tools("definitions_import", definitions={"queues": []}, partial=True)
        same = {"source_alias": "blue", "target_alias": "green"}
        await tools("definitions_compare", **same)
        await tools("definitions_migrate", transforms=["exclude_users"], **same)
        await tools("migration_readiness", **same)
        await tools("federation_setup", upstream_name="up", upstream_uri="amqp://localhost", vhost=V)
        await tools("rebalance_queues")
        await tools("manage_queue", action="purge", name="q", vhost=V)
        await tools("manage_queue", action="delete", name="q", vhost=V)
        await tools("manage_exchange", action="delete", name="x", vhost=V)
        await tools("manage_vhost", action="delete", name=V)

    talk(server, place, work, "--v4")
