"""Actions in slices of time, the places where they begin and go on, and messages that are answered whole."""

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
from leveret.management import lines as exported
from tests.api.http import Http
from tests.clients.waiting import eventually

COUNT = 200
V = "%2F"


@pytest.fixture
def channel(managed: leveret.Broker) -> Iterator[Any]:
    """A channel, and the queues q with numbered messages and other with none."""
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    channel = connection.channel()
    channel.confirm_delivery()
    for name in ("q", "other"):
        channel.queue_declare(name, durable=True)
    for number in range(COUNT):
        channel.basic_publish("", "q", str(number).encode())
    yield channel
    connection.close()


def lines(http: Http, what: str, queue: str = "q", **wanted: object) -> list[dict[str, Any]]:
    """The lines of an answer."""
    reply = http.ask("POST", f"leveret/queues/{V}/{queue}/messages/{what}", wanted).expect(200)
    return [json.loads(line) for line in reply.body.splitlines()]


def bodies(http: Http, queue: str = "q") -> list[int]:
    """What is in a queue."""
    return [int(line["message"]["payload"]) for line in lines(http, "search", queue, limit=None) if "message" in line]


class Going:
    """An answer that is read while it comes, as soon as the broker is not too busy for it."""

    def __init__(self, api: str, what: str, **wanted: object) -> None:
        where = urlsplit(api)
        self._connection = http.client.HTTPConnection(where.hostname or "", where.port, 20)
        secret = base64.b64encode(b"guest:guest").decode()
        given = {"Authorization": f"Basic {secret}", "Content-Type": "application/json"}

        def begin() -> bool:
            path = f"/api/leveret/queues/{V}/q/messages/{what}"
            self._connection.request("POST", path, json.dumps(wanted), given)
            self._answer = self._connection.getresponse()
            if self._answer.status != 200:
                assert self._answer.status == 503, self._answer.read()
                self._answer.read()
            return self._answer.status == 200

        eventually(begin)

    def next(self) -> dict[str, Any]:
        """The next line; an empty one at the end."""
        line = self._answer.readline()
        return dict(json.loads(line)) if line else {}

    def close(self) -> None:
        """Go away."""
        self._answer.close()
        self._connection.close()


def test_an_action_ends_after_some_time_and_goes_on_at_its_place(http: Http, channel: Any) -> None:
    moved, place = [], None
    while True:
        asked: dict[str, Any] = {"all": True, "to_queue": "other", "rate": 400, "seconds": 0.1, "place": place}
        end = lines(http, "act", action="copy", **asked)[-1]["end"]
        moved.append(end["done"])
        place = end["place"]
        if place is None:
            break
        channel.basic_publish("", "q", b"1000")
    assert sum(moved) == COUNT
    assert len(moved) > 2
    assert bodies(http, "other") == list(range(COUNT))


def test_where_an_action_began_says_which_messages_were_meant(http: Http, channel: Any) -> None:
    for is_backwards in (False, True):
        counted = lines(http, "act", action="delete", all=True, dry_run=True, newest_first=is_backwards)[-1]["end"]
        channel.basic_publish("", "q", b"7")
        asked: dict[str, Any] = {"all": True, "newest_first": is_backwards, "place": counted["begin"]}
        assert lines(http, "act", action="delete", **asked)[-1]["end"]["done"] == counted["done"]
        assert bodies(http) == [7]


def test_a_rate_below_one_in_a_second(managed: leveret.Broker, channel: Any) -> None:
    going = Going(managed.management_url, "act", action="delete", all=True, rate=0.01)
    assert [going.next()["progress"]["done"] for _ in range(5)] == [1] * 5
    going.close()


def test_who_goes_away_is_not_worked_for_any_more(managed: leveret.Broker, http: Http, channel: Any) -> None:
    for what, more in (("act", {"action": "delete", "rate": 1, "all": True}), ("search", {"limit": None})):
        for _ in range(18):  # more than may look at the same time
            going = Going(managed.management_url, what, **more)
            assert going.next()
            going.close()

    left = bodies(http)
    assert 0 < len(left) < COUNT
    assert left == list(range(COUNT - len(left), COUNT))


def test_what_was_done_is_said_before_what_went_wrong(managed: leveret.Broker, http: Http, channel: Any) -> None:
    going = Going(managed.management_url, "act", action="move", all=True, to_queue="other", rate=10)
    assert "progress" in going.next()
    channel.queue_delete("q")
    told = []
    while line := going.next():
        told.append(line)
    going.close()
    *_, progress, error = told
    assert "was deleted in the meantime" in error["error"]
    assert progress["progress"]["done"] == len(bodies(http, "other")) > 0


def test_messages_can_be_deleted_when_there_is_no_room(managed: leveret.Broker, http: Http, channel: Any) -> None:
    with managed.faults.block("low on disk"):
        path = f"leveret/queues/{V}/q/messages/act"
        refused = http.ask("POST", path, {"action": "copy", "all": True, "to_queue": "other"}).expect(503)
        assert "messages cannot be moved now" in str(refused.json)
        assert lines(http, "act", action="delete", all=True)[-1]["end"]["done"] == COUNT
    assert bodies(http) == []


def test_a_place_comes_behind_all_that_was_found(http: Http, channel: Any) -> None:
    for _ in range(300):
        channel.basic_publish("", "q", b"x" * 2000)
    seen, ahead, places = 0, 0, 0
    found = lines(http, "search", limit=None)
    for line in found:
        if "message" in line:
            seen, ahead = seen + 1, ahead + len(line["message"]["payload"])
            assert ahead < 64 << 10
        elif "progress" in line and ahead:
            ahead, places = 0, places + 1
            rest = lines(http, "search", limit=None, place=line["progress"]["place"])
            assert sum("message" in each for each in rest) == COUNT + 300 - seen
    assert seen == COUNT + 300
    assert places > 5


def test_messages_come_whole(http: Http, channel: Any) -> None:
    properties = pika.BasicProperties(headers={"small": 5, "raw": b"\xff", "CC": ["other"]}, expiration="60000")
    body = bytes(range(256)) * 2_000  # several pieces
    channel.basic_publish("", "q", body, properties)
    (line,) = [
        line["whole"]
        for line in lines(http, "search", whole=True, where=[{"field": "size", "op": ">", "value": 1000}])
        if "whole" in line
    ]
    item = exported.read(exported.dump(line), "")
    assert (item.exchange, item.routing_key, item.copies, item.body) == ("", "q", ("other",), body)
    assert line["properties"]["headers"]["small"] == {"$signedint": 5}
    assert line["properties"]["expiration"] == "60000"


@pytest.mark.parametrize("is_backwards", [False, True])
def test_a_search_goes_on_among_those_in_front(http: Http, channel: Any, is_backwards: bool) -> None:
    where = [{"field": "body", "op": "matches", "value": "^1.[0-4]$"}]
    assert lines(http, "act", action="requeue", to_front=True, where=where)[-1]["end"]["done"] == 50
    order = bodies(http)
    assert order[:50] == [10 * number + digit for number in range(10, 20) for digit in range(5)]
    seen, place = [], None
    while True:
        answer = lines(http, "search", limit=7, newest_first=is_backwards, place=place)
        seen += [int(line["message"]["payload"]) for line in answer if "message" in line]
        place = answer[-1]["end"]["place"]
        if place is None:
            break
    assert seen == (order[::-1] if is_backwards else order)


@pytest.mark.parametrize("is_backwards", [False, True])
def test_messages_are_put_in_front_once(http: Http, channel: Any, is_backwards: bool) -> None:
    done, place = 0, None
    asked: dict[str, Any] = {"all": True, "to_front": True, "newest_first": is_backwards, "rate": 400, "seconds": 0.1}
    while True:
        end = lines(http, "act", action="requeue", place=place, **asked)[-1]["end"]
        done += end["done"]
        place = end["place"]
        if place is None:
            break
    assert done == COUNT
    order = list(range(COUNT))
    assert bodies(http) == (order[::-1] if is_backwards else order)
    assert lines(http, "act", action="requeue", all=True, to_front=True)[-1]["end"]["done"] == 0
