"""Messages of a queue that are looked at, and stay as they are."""

from __future__ import annotations

from typing import Any

import pika
import pytest

import leveret
from tests.api.http import Http
from tests.api.messaging import Consumer, V, counts, declare, put
from tests.api.place import Started

QUEUE = "looked-at"


@pytest.fixture
def path(http: Http) -> str:
    """The messages of a queue."""
    return f"{declare(http, QUEUE)}/messages"


def look(http: Http, path: str, query: str = "") -> Any:
    """A page."""
    return http.ask("GET", f"{path}?{query}").expect(200).json


def test_nothing_becomes_of_them(managed: leveret.Broker, http: Http, path: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        properties = pika.BasicProperties(headers={"n": 1}, content_type="text/plain")
        connection.channel().basic_publish("", QUEUE, b"one", properties)
        connection.channel().basic_publish("", QUEUE, b"\xff")
    for _ in range(2):
        page = look(http, path)
        first, second = page["messages"]
        assert (page["next"], page["ready"], page["unacknowledged"]) == (None, 2, 0)
        assert first.pop("position") < second.pop("position")
        assert first == {
            "redelivered": False,
            "exchange": "",
            "routing_key": QUEUE,
            "properties": {"content_type": "text/plain", "headers": {"n": 1}},
            "payload_bytes": 3,
            "payload_encoding": "string",
            "payload": "one",
        }
        assert (second["payload_encoding"], second["payload"]) == ("base64", "/w==")
    assert Consumer(http, QUEUE).bodies() == ["one", "/w=="]


def test_page_by_page(managed: leveret.Broker, http: Http, path: str) -> None:
    put(http, QUEUE, *map(str, range(25)))
    consumer = Consumer(http, QUEUE)
    assert consumer.bodies(2) == ["0", "1"]
    seen, after = [], ""
    while after is not None:
        page = look(http, path, f"count=10&after={after}")
        seen += [each["payload"] for each in page["messages"]]
        after = page["next"]
    assert seen == [str(number) for number in range(2, 25)]
    assert page["unacknowledged"] == 2
    assert len(look(http, path)["messages"]) == 10
    assert counts(managed, QUEUE) == (23, 2)


def test_payloads_are_cut(http: Http, path: str) -> None:
    put(http, QUEUE, "x" * 100_000, "grün")
    assert [len(each["payload"]) for each in look(http, path)["messages"]] == [65_536, 4]
    cut = look(http, path, "truncate=3")["messages"]
    assert [(each["payload"], each["payload_bytes"]) for each in cut] == [("xxx", 100_000), ("Z3LD", 5)]
    assert [each["payload"] for each in look(http, path, "truncate=0")["messages"]] == ["", ""]
    assert len(look(http, path, "truncate=1048576")["messages"][0]["payload"]) == 100_000


def test_a_page_has_bounds(managed: leveret.Broker, http: Http, path: str) -> None:
    put(http, QUEUE, *["x" * 1_500_000] * 4)
    page = look(http, path, "truncate=1")
    assert len(page["messages"]) == 3
    assert len(look(http, path, f"after={page['next']}")["messages"]) == 1


def test_expired_messages_are_not_shown(managed: leveret.Broker, http: Http, path: str) -> None:
    put(http, QUEUE, "stays")
    http.ask("POST", f"{path}?expiration=1000", b"goes").expect(201)
    managed.clock.advance(2)
    assert [each["payload"] for each in look(http, path)["messages"]] == ["stays"]


def test_what_rests_in_the_log_is_shown(tmp_path: Any) -> None:
    with Started.start("--memory-budget", str(16 << 20)) as started:
        http = Http(started.place.api)
        declare(http, "much")
        line = b'{"routing_key":"much","payload":"%s"}\n' % (b"x" * 4000)
        for _ in range(2):
            http.ask("POST", f"leveret/exchanges/{V}/amq.default/batch", line * 5000).expect(201, 503)
        seen, after = 0, ""
        while after is not None:
            page = look(http, f"leveret/queues/{V}/much/messages", f"count=100&after={after}")
            seen += len(page["messages"])
            after = page["next"]
        assert seen == page["ready"] > 3000


@pytest.mark.parametrize(
    "query",
    [
        "count=0",
        "count=101",
        "count=x",
        "truncate=1048577",
        "truncate=-1",
        "after=x",
        "after=1.2.3",
        "after=1.2.3.4.5",
        "after=999.255.0.-1",
        f"after={'1' * 900}",
    ],
)
def test_what_makes_no_sense(http: Http, path: str, query: str) -> None:
    http.ask("GET", f"{path}?{query}").expect(400)


@pytest.mark.parametrize(
    "place", ["257.0.-1", "-1.0.-1", f"255.{1 << 63}.-1", "255.-1.-1", f"255.0.{1 << 63}", "255.0.-2"]
)
def test_places_that_are_none(http: Http, path: str, place: str) -> None:
    put(http, QUEUE, "one", "two")
    queue_id = look(http, path, "count=1")["next"].split(".")[0]
    http.ask("GET", f"{path}?after={queue_id}.{place}").expect(400)


def test_a_queue_that_was_made_anew(http: Http, path: str) -> None:
    put(http, QUEUE, "one", "two")
    after = look(http, path, "count=1")["next"]
    http.ask("DELETE", f"queues/{V}/{QUEUE}").expect(204)
    http.ask("GET", f"{path}?after={after}").expect(404)
    declare(http, QUEUE)
    found: Any = http.ask("GET", f"{path}?after={after}").expect(400).json
    assert "declared again" in found["reason"]


def test_who_may_read_may_look(managed: leveret.Broker, http: Http, path: str) -> None:
    http.ask("PUT", "users/reader", {"password": "secret", "tags": ""}).expect(201)
    reader = Http(managed.management_url, "reader", "secret")
    reader.ask("GET", path).expect(404)
    http.ask("PUT", f"permissions/{V}/reader", {"configure": "", "write": ".*", "read": "^other"}).expect(201)
    reader.ask("GET", path).expect(403)
    http.ask("PUT", f"permissions/{V}/reader", {"configure": "", "write": "", "read": "^looked"}).expect(204)
    reader.ask("GET", path).expect(200)
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        connection.channel().queue_declare("looked-at-alone", exclusive=True)
        reader.ask("GET", f"leveret/queues/{V}/looked-at-alone/messages").expect(409)
