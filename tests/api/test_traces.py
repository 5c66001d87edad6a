"""Traces over HTTP: line by line, bounded, over in any case. What they see is in tests/management/test_trace.py."""

from __future__ import annotations

import base64
import http.client
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest

import leveret
from leveret.api.views import traces
from tests.api.http import Http
from tests.api.test_sessions import Browser
from tests.clients.waiting import eventually

LONG_S = 600


class Stream:
    """A trace that goes on."""

    def __init__(
        self, broker: leveret.Broker, vhost: str = "%2F", user: str = "guest", cookie: str = "", **wanted: Any
    ) -> None:
        where = urlsplit(broker.management_url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
        headers = {"Authorization": "Basic " + base64.b64encode(f"{user}:{user}".encode()).decode()}
        body = json.dumps({"seconds": LONG_S, **wanted})
        self._connection.request("POST", f"/api/leveret/traces/{vhost}", body, headers)
        self.answer = self._connection.getresponse()

    def begin(self) -> None:
        """Wait until it has begun."""
        assert self.answer.status == 200, self.answer.read()
        assert self.answer.getheader("content-type") == "application/x-ndjson"
        assert self.line()["progress"]["events"] == 0

    def line(self) -> dict[str, Any]:
        """The next line."""
        found: dict[str, Any] = json.loads(self.answer.readline())
        return found

    def event(self) -> dict[str, Any]:
        """The next event."""
        while "event" not in (line := self.line()):
            assert "end" not in line, line
        found: dict[str, Any] = line["event"]
        return found

    def end(self) -> str:
        """Why it is over; what comes before that is left out."""
        while "end" not in (line := self.line()):
            pass
        assert self.answer.read() == b""
        return str(line["end"])

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()


@pytest.fixture
def channel(managed: leveret.Broker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        yield connection.channel()


def going_on(broker: leveret.Broker) -> int:
    """How many traces the API counts."""
    made = broker._server.node._api._services
    assert made is not None
    return made.traces


def is_watched(broker: leveret.Broker, vhost: str = "/") -> bool:
    """Whether somebody has joined those who see all messages."""
    found = broker._server.broker.vhosts.get(vhost)
    return found is not None and len(found._more_observers) > 0


def test_events_come_as_they_happen(managed: leveret.Broker, channel: Any) -> None:
    channel.queue_declare("q")
    stream = Stream(managed, queue="q")
    stream.begin()
    channel.basic_publish("", "other", b"x")
    channel.basic_publish("", "q", b"hello", pika.BasicProperties(message_id="m1"))
    published = stream.event()
    assert published.pop("at_ms") > 1_700_000_000_000
    assert published.pop("connection").startswith("127.0.0.1:")
    assert published == {
        "event": "publish",
        "message": 1,
        "exchange": "",
        "routing_key": "q",
        "message_id": "m1",
        "size": 5,
        "user": "guest",
        "queues": ["q"],
        "queue_count": 1,
        "outcome": "routed",
    }
    channel.basic_get("q", auto_ack=False)
    channel.basic_ack(1)
    assert [stream.event()["event"] for _ in range(2)] == ["deliver", "ack"]
    stream.close()


def test_beside_a_recording_and_another_trace(managed: leveret.Broker, channel: Any) -> None:
    channel.queue_declare("q")
    first, second = Stream(managed, queue="q"), Stream(managed, user="guest", routing_key="other")
    first.begin()
    second.begin()
    channel.basic_publish("", "q", b"x")
    channel.basic_publish("", "other", b"y")
    assert first.event()["routing_key"] == "q"
    assert second.event()["routing_key"] == "other"
    assert [message.routing_key for message in managed.published()] == ["q", "other"]
    first.close()
    second.close()
    eventually(lambda: not is_watched(managed))
    channel.basic_publish("", "q", b"z")
    eventually(lambda: len(managed.published()) == 3)


def test_it_costs_nothing_when_it_has_gone(managed: leveret.Broker, channel: Any) -> None:
    channel.queue_declare("q")
    stream = Stream(managed)
    stream.begin()
    assert is_watched(managed)
    stream.close()
    eventually(lambda: not is_watched(managed))
    assert going_on(managed) == 0


def test_it_ends_after_so_many_events(managed: leveret.Broker, channel: Any) -> None:
    stream = Stream(managed, events=3)
    stream.begin()
    for _ in range(10):
        channel.basic_publish("", "nobody", b"x")
    assert [stream.event()["outcome"] for _ in range(3)] == ["unroutable"] * 3
    assert stream.end() == "the requested number of events is reached"
    assert not is_watched(managed)


def test_it_ends_when_its_time_is_over(managed: leveret.Broker) -> None:
    stream = Stream(managed, seconds=0.05)
    assert stream.end() == "the time limit is reached"
    assert not is_watched(managed)


def test_it_ends_when_its_time_is_over_though_nobody_reads_it(
    managed: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "TELL_S", 1_000.0)  # so that the lines of progress do not end it
    stream = Stream(managed, seconds=0.3)
    stream.begin()
    eventually(lambda: not is_watched(managed))
    assert stream.end() == "the time limit is reached"


def test_it_ends_with_the_virtual_host(managed: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "vhosts/short").expect(201)
    stream = Stream(managed, "short")
    stream.begin()
    http.ask("DELETE", "vhosts/short").expect(204)
    assert stream.end() == "the virtual host was deleted"


@pytest.mark.parametrize("way", ["deletion", "password", "tags"])
def test_it_ends_with_the_rights_of_its_user(managed: leveret.Broker, http: Http, way: str) -> None:
    http.ask("PUT", "users/u", {"password": "u", "tags": "administrator"}).expect(201)
    stream = Stream(managed, user="u")
    stream.begin()
    if way == "deletion":
        http.ask("DELETE", "users/u").expect(204)
    else:
        tags = "administrator" if way == "password" else "monitoring"
        http.ask("PUT", "users/u", {"password": "v" if way == "password" else "u", "tags": tags}).expect(204)
    assert stream.end() == "the user no longer has access"


def test_it_ends_with_the_session(managed: leveret.Broker, http: Http) -> None:
    browser = Browser(managed.management_url)
    browser.log_in().expect(200)
    where = urlsplit(managed.management_url)
    connection = http_connection(where.hostname or "", where.port)
    headers = {"Cookie": browser.cookie, "X-CSRF-Token": browser.token}
    connection.request("POST", "/api/leveret/traces/%2F", json.dumps({"seconds": LONG_S}), headers)
    answer = connection.getresponse()
    assert answer.status == 200, answer.read()
    answer.readline()
    browser.ask("DELETE", "leveret/session").expect(204)
    last = [json.loads(line) for line in answer][-1]
    assert last == {"end": "the user no longer has access"}
    connection.close()


def http_connection(host: str, port: int | None) -> http.client.HTTPConnection:
    """A connection."""
    return http.client.HTTPConnection(host, port, timeout=20)


def test_there_are_few_at_once_and_places_come_back(managed: leveret.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MOST_TRACES", 2)
    streams = [Stream(managed) for _ in range(2)]
    for stream in streams:
        stream.begin()
    late = Stream(managed)
    assert late.answer.status == 503
    assert "2 traces are already running" in json.loads(late.answer.read())["reason"]
    for stream in streams:
        stream.close()
    eventually(lambda: going_on(managed) == 0)
    last = Stream(managed, seconds=0.01)
    assert last.end() == "the time limit is reached"


@pytest.mark.parametrize(
    "wanted",
    [{"events": 0}, {"events": 1 << 30}, {"seconds": 0}, {"seconds": 1e9}, {"routing_key": "#.#.#"}, {"queue": 5}],
    ids=str,
)
def test_what_makes_no_sense(http: Http, wanted: dict[str, Any]) -> None:
    assert http.ask("POST", "leveret/traces/%2F", wanted).status == 400


def test_only_administrators_may(managed: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "users/m", {"password": "m", "tags": "monitoring"}).expect(201)
    http.ask("PUT", "permissions/%2F/m", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201)
    stream = Stream(managed, user="m")
    assert stream.answer.status == 401
    assert not is_watched(managed)
    assert http.ask("POST", "leveret/traces/nowhere", {}).status == 404


def test_the_log_says_who_traces_what(managed: leveret.Broker, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "leveret.api"):
        stream = Stream(managed, seconds=0.05, queue="orders")
        stream.end()
    texts = [record.getMessage() for record in caplog.records if "trace" in record.getMessage()]
    assert texts == [
        "user 'guest' (127.0.0.1) traces messages in vhost '/', queue 'orders', for 0.05 s",
        "user 'guest' (127.0.0.1) has traced 0 events in vhost '/'",
    ]
