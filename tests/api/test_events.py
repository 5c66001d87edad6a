"""The stream of events: what is told to whom, and when it ends."""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest

import leveret
from leveret.api.views import events
from tests.api.http import Http
from tests.api.test_sessions import Browser
from tests.clients.waiting import eventually


class Stream:
    """A stream of events."""

    def __init__(self, broker: leveret.Broker, topics: str = "", user: str = "guest", cookie: str = "") -> None:
        where = urlsplit(broker.management_url)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=20)
        login = {"Authorization": "Basic " + base64.b64encode(f"{user}:{user}".encode()).decode()}
        path = f"/api/leveret/events?topics={topics}" if topics else "/api/leveret/events"
        self._connection.request("GET", path, headers={"Cookie": cookie} if cookie else login)
        self.answer = self._connection.getresponse()

    def next(self) -> tuple[str, Any]:
        """The next event, or comment; an empty name at the end."""
        name, data = "", None
        while line := self.answer.readline().decode().rstrip("\n"):
            kind, _, text = line.partition(":")
            if kind == "event":
                name = text.strip()
            elif kind == "data":
                data = json.loads(text)
            else:
                name = kind or "comment"
        return name, data

    def begin(self) -> None:
        """Take what comes at once."""
        assert self.answer.status == 200, self.answer.read()
        assert self.next()[0] == "retry"

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._connection.close()


def services(broker: leveret.Broker) -> Any:
    """What the API of a broker is made from, once it is loaded."""
    api = broker._server.node._api
    eventually(lambda: api._open_ports[0].server is not None)  # behind the first look
    return api._services


def look(broker: leveret.Broker) -> None:
    """Let the sampler look once."""
    broker._server.run(services(broker).sampler.look())


@pytest.fixture
def quiet(managed: leveret.Broker) -> leveret.Broker:
    """A broker whose sampler looks when it is told to."""
    made = services(managed)
    managed._server.call(made.sampler.stop)
    return managed


@pytest.fixture
def channel(quiet: leveret.Broker) -> Iterator[Any]:
    with pika.BlockingConnection(pika.URLParameters(quiet.url)) as connection:
        yield connection.channel()


def test_what_comes_and_goes_is_told(quiet: leveret.Broker, channel: Any) -> None:
    channel.queue_declare("before")
    look(quiet)
    stream = Stream(quiet, "queues,exchanges")
    assert stream.answer.getheader("content-type") == "text/event-stream; charset=utf-8"
    stream.begin()
    channel.queue_declare("new")
    channel.exchange_declare("events")
    look(quiet)
    assert stream.next() == ("queues", {"created": [{"name": "new", "vhost": "/"}], "deleted": [], "is_complete": True})
    assert stream.next()[1]["created"] == [{"name": "events", "vhost": "/"}]
    channel.queue_delete("before")
    look(quiet)
    assert stream.next()[1]["deleted"] == [{"name": "before", "vhost": "/"}]
    look(quiet)
    assert stream.next()[0] == "comment"
    stream.close()


def test_the_overview_has_totals_and_rates(quiet: leveret.Broker, channel: Any) -> None:
    channel.queue_declare("q")
    look(quiet)
    stream = Stream(quiet, "overview")
    stream.begin()
    name, first = stream.next()
    assert name == "overview"
    assert (first["queues"], first["connections"]) == (1, 1)
    for _ in range(3):
        channel.basic_publish("", "q", b"x")
    channel.queue_declare("q", passive=True)
    look(quiet)
    told = stream.next()[1]
    assert told["message_stats"]["publish"]["value"] == 3
    assert told["message_stats"]["publish"]["rate"] > 0
    assert told["queue_totals"]["messages_ready"]["value"] == 3
    stream.close()


def test_everybody_is_told_of_what_is_theirs(quiet: leveret.Broker, http: Http, channel: Any) -> None:
    http.ask("PUT", "users/own", {"password": "own", "tags": "management"}).expect(201)
    http.ask("PUT", "vhosts/theirs").expect(201)
    http.ask("PUT", "permissions/theirs/own", {"configure": "", "write": "", "read": ""}).expect(201)
    look(quiet)
    own, one, everything = Stream(quiet, "", "own"), Stream(quiet, "queues:theirs"), Stream(quiet, "queues,connections")
    for stream in (own, one, everything):
        stream.begin()
    assert own.next()[1]["connections"] == 0
    channel.queue_declare("hidden")
    channel.basic_publish("", "hidden", b"x")
    http.ask("PUT", "queues/theirs/seen", {}).expect(201)
    http.ask("PUT", "vhosts/other").expect(201)
    look(quiet)
    seen = [{"name": "seen", "vhost": "theirs"}]
    told = own.next()
    assert told[0] == "overview"
    assert told[1]["queues"] == 1
    assert told[1]["message_stats"]["publish"]["value"] == 0
    assert own.next()[1]["created"] == seen
    assert one.next()[1]["created"] == seen
    assert len(everything.next()[1]["created"]) == 2
    look(quiet)
    assert own.next()[0] == "overview"
    for stream in (own, one, everything):
        stream.close()


def test_many_names_are_cut(quiet: leveret.Broker, channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_NAMES", 3)
    stream = Stream(quiet, "queues")
    stream.begin()
    for number in range(5):
        channel.queue_declare(f"q{number}")
    look(quiet)
    told = stream.next()[1]
    assert len(told["created"]) == 3
    assert not told["is_complete"]
    stream.close()


def test_what_was_there_is_not_new_when_the_statistics_are_forgotten(
    quiet: leveret.Broker, http: Http, channel: Any
) -> None:
    channel.queue_declare("q")
    look(quiet)
    stream = Stream(quiet, "queues")
    stream.begin()
    http.ask("DELETE", "reset").expect(204)
    look(quiet)
    assert stream.next()[0] == "comment"
    stream.close()


def test_a_quiet_stream_shows_that_it_is_there(quiet: leveret.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.05)
    stream = Stream(quiet, "queues")
    stream.begin()
    assert stream.next()[0] == "comment"
    stream.close()


@pytest.mark.parametrize("way", ["logout", "deletion", "password", "tags"])
def test_a_stream_ends_with_the_session_or_the_user(quiet: leveret.Broker, http: Http, way: str) -> None:
    http.ask("PUT", "users/u", {"password": "u", "tags": "management"}).expect(201)
    browser = Browser(quiet.management_url)
    browser.log_in(username="u", password="u").expect(200)
    stream = Stream(quiet, "queues", cookie=browser.cookie)
    stream.begin()
    with_password = Stream(quiet, "queues", user="u")
    with_password.begin()
    if way == "logout":
        browser.ask("DELETE", "leveret/session").expect(204)
    elif way == "deletion":
        http.ask("DELETE", "users/u").expect(204)
    else:
        http.ask("PUT", "users/u", {"password": "v" if way == "password" else "u", "tags": ""}).expect(204)
    look(quiet)
    assert stream.next() == ("", None)
    assert stream.answer.read() == b""
    if way == "logout":
        assert with_password.next()[0] == "comment"
    else:
        assert with_password.next() == ("", None)
    for each in (stream, with_password):
        each.close()


def test_streams_are_bounded_and_places_come_back(
    quiet: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "MOST_OF_USER", 2)
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.1)
    streams = [Stream(quiet, "queues") for _ in range(2)]
    for stream in streams:
        stream.begin()
    assert Stream(quiet).answer.status == 503
    for stream in streams:
        stream.close()
    eventually(lambda: services(quiet).streams.total() == 0)
    last = Stream(quiet)
    last.begin()
    last.close()


def test_topics_are_checked(http: Http) -> None:
    for topics in ("nothing", "queues,x", "overview:x", "vhosts:x", ",".join(["queues"] * 21)):
        assert http.ask("GET", f"leveret/events?topics={topics}").status == 400
