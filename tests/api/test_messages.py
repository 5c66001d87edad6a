"""Messages that are published and gotten through the API, and what becomes of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from tests.api.http import Http
from tests.api.place import Started

V = "%2F"
FULL: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "headers": {"s": "x", "n": 1, "f": 1.5, "b": True, "l": [1, "2"], "o": {"p": 1}, "z": None},
    "delivery_mode": 2,
    "priority": 3,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "60000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "user_id": "guest",
    "app_id": "a",
    "cluster_id": "i",
}


@pytest.fixture
def http(started: Started) -> Http:
    """The administrator of the shared broker."""
    return Http(started.place.api)


class Box:
    """A queue, and what is done with it through the API."""

    def __init__(self, http: Http, name: str) -> None:
        self.http = http
        self.name = name

    def publish(self, payload: str, encoding: str = "string", **properties: object) -> bool:
        """Publish a message. Returns: whether it went into a queue."""
        body = {"routing_key": self.name, "payload": payload, "payload_encoding": encoding, "properties": properties}
        found: Any = self.http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(200).json
        return bool(found["routed"])

    def get(self, ackmode: str = "ack_requeue_false", count: int = 100, **more: object) -> list[dict[str, Any]]:
        """Get messages."""
        body = {"count": count, "ackmode": ackmode, "encoding": "auto", **more}
        found: Any = self.http.ask("POST", f"queues/{V}/{self.name}/get", body).expect(200).json
        return list(found)

    def payloads(self, *arguments: Any, **more: Any) -> list[tuple[str, bool]]:
        """Get messages, of which the payload and whether it was delivered before are all that matters."""
        return [(each["payload"], each["redelivered"]) for each in self.get(*arguments, **more)]

    @property
    def counts(self) -> tuple[int, int]:
        """How many messages are ready, and unacknowledged."""
        found: Any = self.http.ask("GET", f"queues/{V}/{self.name}").expect(200).json
        return found["messages_ready"], found["messages_unacknowledged"]


def make(http: Http, name: str, **arguments: object) -> Box:
    """A new queue. arguments: with underscores."""
    http.ask("DELETE", f"queues/{V}/{name}").expect(204, 404)
    table = {key.replace("_", "-"): value for key, value in arguments.items()}
    http.ask("PUT", f"queues/{V}/{name}", {"durable": True, "arguments": table}).expect(201)
    return Box(http, name)


@pytest.fixture
def box(http: Http) -> Iterator[Box]:
    """A queue with the messages one, two and three."""
    made = make(http, "box")
    for payload in ("one", "two", "three"):
        assert made.publish(payload)
    yield made
    http.ask("DELETE", f"queues/{V}/box")


def test_acknowledged_messages_are_gone(box: Box) -> None:
    assert box.payloads("ack_requeue_false", 2) == [("one", False), ("two", False)]
    assert box.counts == (1, 0)
    assert box.payloads() == [("three", False)]
    assert box.payloads() == []


@pytest.mark.parametrize("ackmode", ["ack_requeue_true", "reject_requeue_true"])
def test_requeued_messages_are_back_in_their_places(box: Box, ackmode: str) -> None:
    assert box.payloads(ackmode, 2) == [("one", False), ("two", False)]
    assert box.counts == (3, 0)
    assert box.payloads() == [("one", True), ("two", True), ("three", False)]


def test_rejected_messages_are_dead_lettered(http: Http) -> None:
    graves = make(http, "graves")
    box = make(http, "mortal", x_dead_letter_exchange="", x_dead_letter_routing_key="graves")
    box.publish("one", headers={"a": 1})
    assert box.payloads("reject_requeue_false") == [("one", False)]
    assert box.counts == (0, 0)
    (letter,) = graves.get()
    assert letter["payload"] == "one"
    (death,) = letter["properties"]["headers"]["x-death"]
    assert (death["queue"], death["reason"], death["count"]) == ("mortal", "rejected", 1)
    assert letter["properties"]["headers"]["a"] == 1


def test_rejected_messages_of_a_queue_without_dead_letters_are_gone(box: Box) -> None:
    assert len(box.get("reject_requeue_false", 2)) == 2
    assert box.payloads() == [("three", False)]


def test_a_delivery_limit_counts_what_is_rejected(http: Http) -> None:
    box = make(http, "limited", x_queue_type="quorum", x_delivery_limit=1)
    box.publish("one")
    assert box.payloads("reject_requeue_true") == [("one", False)]
    assert box.payloads("reject_requeue_true") == [("one", True)]
    assert box.counts == (0, 0)


def test_how_many_are_behind_each(box: Box) -> None:
    assert [each["message_count"] for each in box.get("ack_requeue_true")] == [2, 1, 0]
    assert box.get(count=0) == []


def test_properties_come_back_as_they_were(http: Http) -> None:
    box = make(http, "full")
    box.publish("x", **FULL)
    (found,) = box.get()
    assert found["properties"] == FULL
    assert (found["exchange"], found["routing_key"], found["payload_bytes"]) == ("", "full", 1)
    box.publish("x")
    assert box.get()[0]["properties"] == {}


def test_payloads_that_are_no_text(http: Http) -> None:
    box = make(http, "binary")
    data = bytes(range(256))
    box.publish(base64.b64encode(data).decode(), "base64")
    box.publish("grün")
    raw, text = box.get("ack_requeue_true")
    assert (raw["payload_encoding"], base64.b64decode(raw["payload"]), raw["payload_bytes"]) == ("base64", data, 256)
    assert (text["payload_encoding"], text["payload"], text["payload_bytes"]) == ("string", "grün", 5)
    text = box.get("ack_requeue_true", encoding="base64")[1]
    assert (text["payload_encoding"], base64.b64decode(text["payload"]).decode()) == ("base64", "grün")


@pytest.mark.parametrize(("truncate", "expected"), [(2, "he"), (0, ""), (-1, ""), (5, "hello"), (500, "hello")])
def test_payloads_are_cut(http: Http, truncate: int, expected: str) -> None:
    box = make(http, "long")
    box.publish("hello")
    (found,) = box.get(truncate=truncate)
    assert (found["payload"], found["payload_bytes"]) == (expected, 5)


def test_a_text_that_is_cut_inside_a_letter(http: Http) -> None:
    box = make(http, "letter")
    box.publish("grün")
    (found,) = box.get(truncate=3)
    assert (found["payload_encoding"], base64.b64decode(found["payload"])) == ("base64", "grü".encode()[:3])


def test_where_a_message_goes(http: Http) -> None:
    box = make(http, "routed")
    assert not Box(http, "nowhere").publish("x")
    where = f"bindings/{V}/e/amq.topic/q/routed"
    http.ask("POST", where, {"routing_key": "a.*"}).expect(201)
    body = {"routing_key": "a.b", "payload": "x", "payload_encoding": "string", "properties": {}}
    assert http.ask("POST", f"exchanges/{V}/amq.topic/publish", body).expect(200).json == {"routed": True}
    assert (found := box.get()[0])["exchange"] == "amq.topic"
    assert found["routing_key"] == "a.b"


def test_a_queue_that_refuses_messages(http: Http) -> None:
    box = make(http, "tight", x_max_length=1, x_overflow="reject-publish")
    assert box.publish("one")
    body = {"routing_key": "tight", "payload": "two", "payload_encoding": "string", "properties": {}}
    reply = http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(400)
    assert "rejected" in str(reply.json)
    assert box.payloads() == [("one", False)]


def test_consumers_go_on_meanwhile(started: Started, http: Http, box: Box) -> None:
    with started.place.connect() as made:
        channel = made.channel()
        channel.basic_qos(prefetch_count=1)
        got: list[bytes] = []
        channel.basic_consume("box", lambda _, method, __, body: got.append(body))
        made.process_data_events(0.1)
        assert box.payloads("ack_requeue_true") == [("two", False), ("three", False)]
        assert box.counts == (2, 1)
        assert got == [b"one"]


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({"user_id": "somebody"}, "user_id"),
        ({"expiration": "soon"}, "expiration"),
        ({"priority": 256}, "from 0 to 255"),
        ({"delivery_mode": -1}, "from 0 to 255"),
        ({"message_id": "m" * 256}, "at most 255 bytes"),
        ({"headers": {"h" * 256: 1}}, "h"),
        ({"headers": {"n": 1 << 70}}, "n"),
        ({"timestamp": "now"}, "timestamp"),
    ],
)
def test_properties_that_cannot_be(http: Http, properties: dict[str, object], reason: str) -> None:
    make(http, "picky")
    body = {"routing_key": "picky", "payload": "x", "payload_encoding": "string", "properties": properties}
    found: Any = http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(400).json
    assert found["error"] == "bad_request"
    assert reason in found["reason"]
    assert Box(http, "picky").get() == []


def test_more_than_one_answer_may_have(http: Http) -> None:
    body = {"count": 10_001, "ackmode": "ack_requeue_true", "encoding": "auto"}
    make(http, "huge")
    reply = http.ask("POST", f"queues/{V}/huge/get", body).expect(400)
    assert "at most 10000" in str(reply.json)


def test_a_broker_that_is_short_of_memory_says_so() -> None:
    with Started.start("--memory-high-watermark", "0.0001") as started:
        http = Http(started.place.api)
        make(http, "q")
        body = {"routing_key": "q", "payload": "x", "payload_encoding": "string", "properties": {}}
        found: Any = http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(503).json
        assert found["error"] == "blocked"
        assert "memory" in found["reason"]
        assert http.ask("GET", "health/checks/alarms").expect(503).json["status"] == "failed"  # type: ignore[index]
        assert Box(http, "q").get() == []


def test_a_connection_is_told_why_it_is_closed(started: Started, http: Http) -> None:
    with started.place.connect(name="short-lived") as made:
        made.channel()
        connections: Any = http.ask("GET", "connections").json
        name = next(each["name"] for each in connections if each.get("user_provided_name") == "short-lived")
        path = name.replace(" ", "%20").replace(">", "%3E")
        http.ask("DELETE", f"connections/{path}", None, X_Reason="spring cleaning").expect(204)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="spring cleaning"):
            made.process_data_events(5)
    with started.place.connect() as made:
        http.ask("DELETE", "connections/username/guest").expect(204)
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="Closed via management plugin"):
            made.process_data_events(5)


@pytest.mark.parametrize(("size", "published", "bound"), [(255, 200, 201), (256, 400, 400)])
def test_a_routing_key_has_at_most_255_bytes(http: Http, size: int, published: int, bound: int) -> None:
    http.ask("PUT", "queues/%2F/q", {}).expect(201, 204)
    message = {"properties": {}, "routing_key": "k" * size, "payload": "x", "payload_encoding": "string"}
    http.ask("POST", "exchanges/%2F/amq.default/publish", message).expect(published)
    http.ask("POST", "bindings/%2F/e/amq.direct/q/q", {"routing_key": "k" * size}).expect(bound)
    far = http.ask("POST", f"exchanges/%2F/{'x' * size}/publish", message)
    assert far.status == (404 if size == 255 else 400)
