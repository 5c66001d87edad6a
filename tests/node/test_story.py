"""What was declared is there after kill -9 and in the hands of a stopped broker: with processes and real commands.

`tests/management/test_story.py` does the same at length, in one process.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.brokers.process import Server
from tests.clients.command_line import good, leveret, login

Declare = Callable[[BlockingChannel], object]

BINDING: dict[str, Any] = {"text": "\u00e4", "list": [1, {"deep": [None, True]}], "large": 1 << 62}
ARGUMENTS: dict[str, Any] = {"x-max-length": 5, "y-binding": BINDING, "alternate-exchange": "amq.fanout"}


def deep(levels: int) -> dict[str, Any]:
    """An argument in so many tables."""
    found: Any = "x"
    for _ in range(levels):
        found = {"k": found}
    return {"y-deep": found}


ROUNDS: list[tuple[list[list[str]], list[Declare]]] = [
    (
        [
            ["vhosts", "add", "v", "--description", "d", "--tag", "x", "--default-queue-type", "quorum"],
            ["vhosts", "add", "gone"],
            ["vhosts", "protect", "v"],
            ["users", "add", "u", "secret", "--tag", "management"],
            ["permissions", "set", "guest", ".*", ".*", ".*", "--vhost", "v"],
            ["permissions", "set", "guest", ".*", ".*", ".*", "--vhost", "gone"],
            ["permissions", "set", "u", "^a", "", ".*", "--vhost", "gone"],
            ["topic-permissions", "set", "u", "amq.topic", "a", "b", "--vhost", "gone"],
            ["limits", "set", "max-queues", "9", "--vhost", "gone"],
            ["limits", "set", "max-channels", "9", "--user", "u"],
            ["policies", "set", "p", "", '{"max-length": 0}', "--vhost", "gone"],
            ["policies", "set", "p", "", '{"max-length": 0}', "--vhost", "gone", "--operator"],
            ["policies", "set", "p", "^q", '{"max-length": 7}', "--vhost", "v", "--priority", "3"],
            ["parameters", "set", "shovel", "s", '{"a": [1, null]}', "--vhost", "gone"],
            ["parameters", "set", "shovel", "s", "[" * 128 + "]" * 128, "--vhost", "v"],
        ],
        [
            lambda channel: channel.exchange_declare("x", "topic", durable=True, arguments=ARGUMENTS),
            lambda channel: channel.queue_declare("q", durable=True, arguments=ARGUMENTS),
            lambda channel: channel.queue_declare("deep", durable=True, arguments=deep(128)),
            lambda channel: channel.queue_bind("q", "x", "k", arguments=BINDING),
            lambda channel: channel.queue_bind("q", "x", "k", arguments=deep(128)),
            lambda channel: channel.exchange_bind("x", "amq.topic", "#", arguments=BINDING),
        ],
    ),
    (
        [["vhosts", "delete", "gone"], ["users", "delete", "u"], ["policies", "clear", "p", "--vhost", "v"]],
        [
            lambda channel: channel.queue_unbind("q", "x", "k", arguments=BINDING),
            lambda channel: channel.queue_delete("deep"),
        ],
    ),
    ([["vhosts", "add", "gone"], ["users", "add", "u", "secret"]], []),
]


def told(data: str) -> list[object]:
    """All that the commands tell, but for what clients have open."""
    exported = json.loads(leveret("definitions", "export", "-", "--data-dir", data).stdout)
    vhosts = json.loads(good(leveret("vhosts", "list", "--json", "--data-dir", data)))
    for vhost in vhosts:
        del vhost["connections"], vhost["consumers"]
    return [exported, vhosts]


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    server = Server.start("--data-dir", data)
    try:
        for commands, declares in ROUNDS:
            for command in commands:
                good(leveret(*command, "--data-dir", data))
            connection: pika.BlockingConnection = login(server, "guest", "guest", "v")
            channel = connection.channel()
            for declare in declares:
                declare(channel)
            before = told(data)
            assert server.stop(signal.SIGKILL) == -signal.SIGKILL
            assert told(data) == before
            server = Server.start("--data-dir", data)
            assert told(data) == before
        exported, _ = before
        assert isinstance(exported, dict)
        assert [entry["vhost"] for entry in exported["permissions"]] == ["/", "v"]
        assert exported["policies"] == []
        assert [entry["vhost"] for entry in exported["parameters"]] == ["v"]
        assert [queue["name"] for queue in exported["queues"]] == ["q"]
        assert len(exported["bindings"]) == 2
    finally:
        server.stop(signal.SIGKILL)
