"""The commands that change a queue in use, through the control socket and over HTTP, and what the log says of them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.brokers.process import Server, free_port
from tests.clients.command_line import good, leveret


@dataclass
class Place:
    """A broker of its own. log: where it writes what it does."""

    server: Server
    data: Path
    log: Path
    options: tuple[str, ...]

    def run(self, *words: str) -> str:
        """A command that goes well."""
        return good(leveret(*words, *self.options))

    def refused(self, *words: str) -> str:
        """A command that does not."""
        result = leveret(*words, *self.options)
        assert (result.returncode, result.stdout) == (1, "")
        return result.stderr

    def publish(self, *bodies: str, **headers: object) -> None:
        """Publish to the queue."""
        with pika.BlockingConnection(pika.URLParameters(self.server.url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for body in bodies:
                properties = pika.BasicProperties(delivery_mode=2, headers=headers or None)
                channel.basic_publish("", "orders", body.encode(), properties)

    def show(self) -> dict[str, Any]:
        """What the command line says of the queue."""
        found: dict[str, Any] = json.loads(self.run("queues", "show", "orders", "--json"))
        return found


@pytest.fixture(params=["local", "remote"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """A broker with a queue."""
    data, log = tmp_path / "data", tmp_path / "log"
    port = free_port()
    server = Server.start("--data-dir", str(data), "--management-port", "0", port=port, log=log)
    local = ("--data-dir", str(data))
    options = local if request.param == "local" else ("--url", server.api.replace("http://", "http://guest:guest@"))
    try:
        found = Place(server, data, log, options)
        found.run("queues", "declare", "orders", "--argument", "x-max-length=100")
        yield found
        found.server.stop()
    finally:
        server.stop()


def test_a_queue_is_paused_changed_and_resumed_and_keeps_that_over_a_restart(place: Place) -> None:
    assert place.run("queues", "pause", "orders") == "Paused queue 'orders'.\n"
    assert (
        place.run("queues", "rate", "orders", "50", "--burst", "3")
        == "Queue 'orders' delivers at most 50 messages per second.\n"
    )
    changed = place.run("queues", "set", "orders", "x-max-length=5", "x-hold-until-header=eta")
    assert changed == "Queue 'orders' has 5 changed arguments.\n"
    place.publish("a")
    assert place.run("queues", "declare", "orders", "--argument", "x-max-length=100").startswith(
        "Queue 'orders' already exists"
    )
    listed = place.run("queues", "list", "--columns", "name,paused,rate,held").splitlines()
    assert [line.split("\t") for line in listed] == [["name", "paused", "rate", "held"], ["orders", "yes", "50", "0"]]
    rows = place.run("queues", "set", "orders").splitlines()
    assert "x-max-length\t100\t5" in rows
    place.server.stop()
    options = ("--data-dir", str(place.data), "--management-port", "0")
    place.server = Server.start(*options, port=place.server.port)
    if place.options[0] == "--url":
        place.options = ("--url", place.server.api.replace("http://", "http://guest:guest@"))
    shown = place.show()
    assert (shown["paused"], shown["delivery_rate"], shown["messages_ready"]) == (True, 50, 1)
    assert place.run("queues", "set", "orders", "--restore", "x-max-length", "--restore", "x-paused").endswith(
        "has 3 changed arguments.\n"
    )
    assert place.run("queues", "rate", "orders", "--restore").endswith("follows its arguments and policies.\n")
    assert place.run("queues", "rate", "orders", "--unlimited").endswith("is unlimited.\n")
    assert json.loads(place.run("queues", "set", "orders", "--json"))["changed"] == {
        "x-hold-until-header": "eta",
        "x-delivery-rate": None,
    }
    assert "a" in place.run("messages", "get", "orders", "--ack")


def test_resume(place: Place) -> None:
    place.run("queues", "pause", "orders")
    assert place.run("queues", "resume", "orders") == "Resumed queue 'orders'.\n"
    assert "paused" not in place.show()


def test_held_messages_are_listed_and_dropped(place: Place) -> None:
    place.run("queues", "set", "orders", "x-hold-until-header=eta")
    due_ms = int(time.time() + 3600) * 1000
    for number in range(3):
        place.publish(str(number), eta=due_ms + number)
    found = json.loads(place.run("queues", "held", "orders", "--json"))
    assert [each["due_ms"] - due_ms for each in found] == [0, 1, 2]
    lines = place.run("queues", "held", "orders", "--limit", "2").splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id", found[0]["id"], found[1]["id"]]
    gone = place.run("queues", "drop-held", "orders", found[0]["id"], found[2]["id"])
    assert gone == "Deleted 2 messages from queue 'orders'.\n"
    again = place.refused("queues", "drop-held", "orders", found[0]["id"])
    assert again == f"leveret: the queue holds no message '{found[0]['id']}'\n"
    assert place.show()["messages_held"] == 1
    assert "messages_held" not in place.run("queues", "show", "orders")
    assert place.run("queues", "purge", "orders") == "Purged queue 'orders', which had 1 message ready.\n"


def test_the_windows_of_running_consumers(place: Place) -> None:
    place.publish(*map(str, range(10)))
    with pika.BlockingConnection(pika.URLParameters(place.server.url)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("orders", lambda *_: None, consumer_tag="one")
        assert place.run("consumers", "prefetch", "orders", "4") == (
            "Changed the prefetch of 1 consumer of queue 'orders'.\n"
        )
        assert place.show()["messages_unacknowledged"] == 4
        assert "of 0 consumers" in place.run("consumers", "prefetch", "orders", "4", "--tag", "two")


def test_each_act_is_a_line_in_the_log(place: Place) -> None:
    place.publish("a", "b")
    place.run("queues", "pause", "orders")
    place.run("queues", "set", "orders", "x-max-length=5")
    place.server.stop()
    who = (
        "user '(control socket)' at the control socket" if place.options[0] != "--url" else "user 'guest' at 127.0.0.1"
    )
    text = place.log.read_text()
    assert f"{who} has paused queue 'orders' in vhost '/': 2 messages ready, 0 consumers" in text
    assert f"{who} has changed 1 argument of queue 'orders' in vhost '/', x-max-length to 5: 2 messages ready" in text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("queues", "pause", "none"), "there is no queue 'none' in virtual host '/'"),
        (("queues", "rate", "none", "5"), "there is no queue 'none' in virtual host '/'"),
        (("queues", "set", "orders", "x-max-priority=5"), "x-max-priority cannot change on an existing queue"),
        (("queues", "set", "orders", "x-max-length=much"), "x-max-length cannot be"),
        (("queues", "rate", "orders", "0"), "x-delivery-rate cannot be 0"),
        (("queues", "held", "none"), "there is no queue 'none' in virtual host '/'"),
        (("consumers", "prefetch", "none", "5"), "there is no queue 'none' in virtual host '/'"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(place: Place, words: tuple[str, ...], text: str) -> None:
    assert text in place.refused(*words)


def test_a_rate_has_to_be_said() -> None:
    for words in ((), ("5", "--restore"), ("--unlimited", "--restore"), ("5", "--unlimited")):
        result = leveret("queues", "rate", "orders", *words)
        assert result.returncode == 2
        assert "per second, --unlimited or --restore" in result.words()
