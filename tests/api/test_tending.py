"""Live queues through the API: paused, held to a rate, changed, with other windows, and what they hold; and the log."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

import pika
import pytest

import leveret
from tests.api.http import Http
from tests.clients.waiting import eventually

V = "%2F"


class Tended:
    """A queue of a broker of the test's own."""

    def __init__(self, broker: leveret.Broker, http: Http, name: str, **arguments: object) -> None:
        self.broker = broker
        self.http = http
        self.name = name
        self.path = f"leveret/queues/{V}/{name}"
        self.arguments = arguments
        self.declare()

    def declare(self) -> None:
        """Declare it as at the beginning."""
        body = {"durable": True, "arguments": self.arguments}
        self.http.ask("PUT", f"queues/{V}/{self.name}", body).expect(201, 204)

    def publish(self, payload: str, status: int = 200, **properties: object) -> None:
        """Publish a message."""
        body = {"routing_key": self.name, "payload": payload, "payload_encoding": "string", "properties": properties}
        self.http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(status)

    def get(self) -> list[str]:
        """All messages that can be gotten."""
        body = {"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}
        found: Any = self.http.ask("POST", f"queues/{V}/{self.name}/get", body).expect(200).json
        return [each["payload"] for each in found]

    def item(self) -> dict[str, Any]:
        """What the list of queues says."""
        found: Any = self.http.ask("GET", f"queues/{V}").expect(200).json
        return next(each for each in found if each["name"] == self.name)

    def do(self, method: str, what: str, body: object = None, status: int = 204) -> Any:
        """Do something to it."""
        return self.http.ask(method, f"{self.path}/{what}", body).expect(status).json


@pytest.fixture
def queue(managed: leveret.Broker, http: Http) -> Tended:
    """A queue."""
    return Tended(managed, http, "tended")


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What the API says in the log."""
    with caplog.at_level(logging.INFO, "leveret.acts"):
        yield caplog


def told(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines about acts."""
    return [record.getMessage() for record in log.records if record.getMessage().startswith("user '")]


def test_a_queue_is_paused_and_resumed(queue: Tended, log: pytest.LogCaptureFixture) -> None:
    queue.publish("a")
    assert "paused" not in queue.item()
    queue.do("PUT", "pause")
    queue.publish("b")
    assert (queue.get(), queue.item()["paused"], queue.item()["messages_ready"]) == ([], True, 2)
    queue.declare()
    queue.do("PUT", "pause")
    queue.do("PUT", "resume")
    assert (queue.get(), queue.item().get("paused")) == (["a", "b"], None)
    whose = "user 'guest' at 127.0.0.1 has"
    assert told(log) == [
        f"{whose} paused queue 'tended' in vhost '/': 1 message ready, 0 consumers",
        f"{whose} paused queue 'tended' in vhost '/': 2 messages ready, 0 consumers",
        f"{whose} resumed queue 'tended' in vhost '/': 2 messages ready, 0 consumers",
    ]


def test_a_rate_is_set_and_given_back(queue: Tended, log: pytest.LogCaptureFixture) -> None:
    queue.do("PUT", "rate", {"rate": 0.001, "burst": 2})
    for payload in "abc":
        queue.publish(payload)
    assert queue.get() == ["a", "b"]
    assert (queue.item()["delivery_rate"], queue.item()["delivery_burst"]) == (0.001, 2)
    queue.do("PUT", "rate", {"rate": 5})
    assert queue.do("GET", "arguments", status=200)["changed"] == {"x-delivery-rate": 5}
    queue.do("DELETE", "rate")
    assert queue.do("GET", "arguments", status=200)["changed"] == {}
    policy = {"pattern": "^tended$", "definition": {"delivery-rate": 0.001}}
    queue.http.ask("PUT", f"policies/{V}/slow", policy).expect(201)
    assert queue.item()["delivery_rate"] == 0.001
    queue.do("PUT", "rate", {"rate": None})
    assert "delivery_rate" not in queue.item()
    assert queue.get() == ["c"]
    assert [line.partition(" at 127.0.0.1 ")[2] for line in told(log)] == [
        "lets queue 'tended' in vhost '/' deliver 0.001 messages a second, 2 at once: 0 messages ready, 0 consumers",
        "lets queue 'tended' in vhost '/' deliver 5 messages a second: 1 message ready, 0 consumers",
        "has taken back the rate of queue 'tended' in vhost '/': 1 message ready, 0 consumers",
        "lets queue 'tended' in vhost '/' deliver any number of messages a second: 1 message ready, 0 consumers",
    ]


def test_arguments_are_changed_and_restored(managed: leveret.Broker, http: Http, log: pytest.LogCaptureFixture) -> None:
    queue = Tended(managed, http, "tended", **{"x-max-length": 10})
    queue.do("PUT", "arguments", {"x-max-length": 2, "x-message-ttl": 60_000})
    queue.do("PUT", "arguments", {"x-overflow": "reject-publish"})
    queue.declare()
    found = queue.do("GET", "arguments", status=200)
    assert found == {
        "declared": {"x-max-length": 10},
        "changed": {"x-max-length": 2, "x-message-ttl": 60_000, "x-overflow": "reject-publish"},
    }
    item = queue.item()
    assert item["changed_arguments"] == found["changed"]
    assert item["arguments"] == {"x-queue-type": "classic", "x-max-length": 10}
    for payload, status in (("a", 200), ("b", 200), ("c", 400)):
        queue.publish(payload, status)
    assert queue.item()["messages_ready"] == 2
    queue.do("PUT", "arguments", {"x-max-length": None})
    queue.publish("d")
    assert queue.item()["messages_ready"] == 3
    queue.do("DELETE", "arguments/x-max-length")
    queue.do("DELETE", "arguments/x-overflow")
    assert queue.do("GET", "arguments", status=200)["changed"] == {"x-message-ttl": 60_000}
    first = told(log)[0].partition(" has ")[2]
    assert first == (
        "changed 2 arguments of queue 'tended' in vhost '/', x-max-length to 2, x-message-ttl to 60000: "
        "0 messages ready, 0 consumers"
    )
    assert told(log)[-1].partition(" has ")[2].startswith("restored x-overflow of queue 'tended'")


@pytest.mark.parametrize(
    ("method", "what", "body", "reason"),
    [
        ("PUT", "arguments", {"x-max-priority": 3}, "x-max-priority cannot change on an existing queue"),
        ("PUT", "arguments", {"x-max-length": "many"}, "x-max-length cannot be"),
        ("PUT", "arguments", {"nonsense": 1}, "'nonsense' is unknown"),
        ("PUT", "arguments", {}, "the body must be an object of arguments"),
        ("PUT", "arguments", [], "expected object, got array"),
        ("PUT", "rate", {"rate": 0}, "x-delivery-rate cannot be 0"),
        ("PUT", "rate", {"rate": "fast"}, "rate: "),
        ("PUT", "rate", {"rate": 5, "burst": 0}, "x-delivery-burst cannot be 0"),
        ("PUT", "rate", {}, "missing required field rate"),
        ("DELETE", "arguments/x-queue-type", None, "x-queue-type cannot change"),
        ("PUT", "consumers/prefetch", {"prefetch": -1}, "prefetch: must be from 0 to 65535"),
        ("PUT", "consumers/prefetch", {"prefetch": 1 << 70}, "prefetch: "),
        ("GET", "held?count=0", None, "count: must be from 1 to 500"),
        ("GET", "held?count=501", None, "count: must be from 1 to 500"),
        ("GET", "held?behind=x", None, "behind: must be the id of a held message"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_changes(
    queue: Tended, log: pytest.LogCaptureFixture, method: str, what: str, body: object, reason: str
) -> None:
    found = queue.do(method, what, body, 400)
    assert reason.lower() in found["reason"].lower(), found
    assert queue.do("GET", "arguments", status=200)["changed"] == {}
    assert told(log) == []


def test_the_windows_of_consumers_change(queue: Tended, log: pytest.LogCaptureFixture) -> None:
    with pika.BlockingConnection(pika.URLParameters(queue.broker.url)) as connection:
        channels = [connection.channel() for _ in range(2)]
        for channel, tag in zip(channels, ("one", "two"), strict=True):
            channel.basic_qos(prefetch_count=1)
            channel.basic_consume("tended", lambda *_: None, consumer_tag=tag)
        for number in range(10):
            queue.publish(str(number))
        assert queue.item()["messages_unacknowledged"] == 2
        assert queue.do("PUT", "consumers/prefetch", {"prefetch": 3}, 200) == {"consumers": 2}
        assert queue.item()["messages_unacknowledged"] == 6
        found = queue.do("PUT", "consumers/prefetch", {"prefetch": 4, "consumer_tag": "two"}, 200)
        assert (found, queue.item()["messages_unacknowledged"]) == ({"consumers": 1}, 7)
        consumers: Any = queue.http.ask("GET", f"consumers/{V}").json
        assert {each["consumer_tag"]: each["prefetch_count"] for each in consumers} == {"one": 3, "two": 4}
        name = next(each["channel_details"]["name"] for each in consumers if each["consumer_tag"] == "one")
        assert queue.do("PUT", "consumers/prefetch", {"prefetch": 0, "channel": name}, 200) == {"consumers": 1}
        assert queue.item()["messages_unacknowledged"] == 10
        assert queue.do("PUT", "consumers/prefetch", {"prefetch": 5, "consumer_tag": "none"}, 200) == {"consumers": 0}
    assert told(log)[0] == (
        "user 'guest' at 127.0.0.1 has set the prefetch of 2 consumers of queue 'tended' in vhost '/' to 3"
    )


def test_what_is_held_is_listed_and_dropped(managed: leveret.Broker, http: Http, log: pytest.LogCaptureFixture) -> None:
    queue = Tended(managed, http, "tended", **{"x-hold-until-header": "eta"})
    due_ms = int(time.time()) * 1000 + 3_600_000
    for number in range(5):
        queue.publish(f"later {number}", headers={"eta": due_ms + number}, message_id=str(number))
    queue.publish("now")
    item = queue.item()
    assert (item["messages_held"], item["message_bytes_held"], item["messages"]) == (5, 35, 1)
    found = queue.do("GET", "held?count=3", status=200)
    assert [(each["due_ms"], each["properties"]["message_id"]) for each in found] == [
        (due_ms + number, str(number)) for number in range(3)
    ]
    assert (found[0]["exchange"], found[0]["routing_key"], found[0]["payload_bytes"]) == ("", "tended", 7)
    rest = queue.do("GET", f"held?behind={found[-1]['id']}", status=200)
    assert [each["properties"]["message_id"] for each in rest] == ["3", "4"]
    assert queue.do("GET", f"held?behind={rest[-1]['id']}", status=200) == []
    queue.do("DELETE", f"held/{found[1]['id']}")
    assert "the queue holds no message" in queue.do("DELETE", f"held/{found[1]['id']}", status=404)["reason"]
    assert "the queue holds no message" in queue.do("DELETE", "held/nonsense", status=404)["reason"]
    assert queue.item()["messages_held"] == 4
    assert queue.get() == ["now"]
    assert told(log) == [
        f"user 'guest' at 127.0.0.1 has dropped 1 message, {found[1]['id']}, that queue 'tended' in vhost '/' held"
    ]
    assert queue.http.ask("DELETE", f"queues/{V}/tended?if-empty=true").status == 400


def test_there_is_no_such_queue(http: Http) -> None:
    for method, what in (
        ("PUT", "pause"),
        ("PUT", "resume"),
        ("DELETE", "rate"),
        ("GET", "arguments"),
        ("DELETE", "arguments/x-max-length"),
        ("GET", "held"),
        ("DELETE", "held/1-1"),
    ):
        http.ask(method, f"leveret/queues/{V}/nothing/{what}").expect(404)


def test_tags_and_permissions_are_needed(queue: Tended, log: pytest.LogCaptureFixture) -> None:
    queue.do("PUT", "arguments", {"x-hold-until-header": "eta"})
    log.clear()
    people = {
        "reader": ("management", "^$", ".*"),
        "maker": ("policymaker", ".*", "^$"),
        "watcher": ("policymaker", "^$", ".*"),
        "stranger": ("policymaker", "^$", "^$"),
    }
    for name, (tags, configure, read) in people.items():
        queue.http.ask("PUT", f"users/{name}", {"password": "secret", "tags": tags}).expect(201)
        rights = {"configure": configure, "write": "", "read": read}
        queue.http.ask("PUT", f"permissions/{V}/{name}", rights).expect(201)
    changing: tuple[tuple[str, str, object], ...] = (
        ("PUT", "pause", None),
        ("PUT", "resume", None),
        ("PUT", "rate", {"rate": 5}),
        ("DELETE", "rate", None),
        ("PUT", "arguments", {"x-max-length": 5}),
        ("DELETE", "arguments/x-max-length", None),
        ("PUT", "consumers/prefetch", {"prefetch": 5}),
    )
    for name in people:
        http = Http(queue.broker.management_url, name, "secret")
        for method, what, body in changing:
            status = http.ask(method, f"{queue.path}/{what}", body).status
            assert (status in (200, 204)) == (name == "maker"), (name, what, status)
            assert name == "maker" or status == 401
        reads = people[name][2] == ".*"
        assert http.ask("GET", f"{queue.path}/held").status == (200 if reads else 401)
        assert http.ask("DELETE", f"{queue.path}/held/1-1").status == (404 if reads else 401)
    assert {line.split("'")[1] for line in told(log)} == {"maker"}


def test_metrics_tell_what_is_held_and_what_cannot_be_read(queue: Tended) -> None:
    queue.do("PUT", "arguments", {"x-hold-until-header": "eta", "x-deduplicate-by": "message-id"})
    queue.do("PUT", "pause")
    queue.publish("a", headers={"eta": "soon"})
    queue.publish("b", headers={"eta": time.time() + 3600})
    for _ in range(3):
        queue.publish("c", message_id="1")

    def shown() -> dict[str, str]:
        text = queue.http.ask("GET", "/metrics/per-object").expect(200).body.decode()
        found = [line.rpartition(" ") for line in text.splitlines() if 'queue="tended"' in line]
        return {name.partition("{")[0]: value for name, _, value in found}

    expected = {
        "leveret_queue_messages_held": "1",
        "leveret_queue_messages_unreadable_total": "1",
        "leveret_queue_messages_duplicate_total": "2",
        "leveret_queue_paused": "1",
        "rabbitmq_queue_messages_ready": "2",
    }
    eventually(lambda: expected.items() <= shown().items())


def test_lists_can_be_sorted_by_what_only_some_queues_have(queue: Tended, http: Http) -> None:
    other = Tended(queue.broker, http, "other", **{"x-hold-until-header": "eta"})
    other.publish("later", headers={"eta": time.time() + 3600})
    other.do("PUT", "pause")
    for column in ("messages_held", "paused", "delivery_rate"):
        found: Any = (
            http.ask("GET", f"queues/{V}?sort={column}&sort_reverse=true&columns=name,{column}").expect(200).json
        )
        assert {each["name"] for each in found} == {"tended", "other"}
