"""Searching a queue over HTTP: conditions, pages, what somebody has, and who may look."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pika
import pytest

import leveret
from tests.api.http import Http

COUNT = 20


def lines(http: Http, queue: str, what: str, **wanted: object) -> list[dict[str, Any]]:
    """The lines of an answer."""
    reply = http.ask("POST", f"leveret/queues/%2F/{queue}/messages/{what}", wanted).expect(200)
    assert reply.headers["content-type"].startswith("application/x-ndjson")
    return [json.loads(line) for line in reply.body.splitlines()]


def found(http: Http, queue: str, **wanted: object) -> list[dict[str, Any]]:
    """The messages that a search finds."""
    return [line["message"] for line in lines(http, queue, "search", **wanted) if "message" in line]


def numbers(http: Http, queue: str, **wanted: object) -> list[int]:
    """Their numbers."""
    return [int(message["properties"]["message_id"]) for message in found(http, queue, **wanted)]


def acted(http: Http, queue: str, **wanted: object) -> dict[str, Any]:
    """The last line of an action."""
    last = lines(http, queue, "act", **wanted)[-1]
    assert "end" in last, last
    end: dict[str, Any] = last["end"]
    return end


@pytest.fixture
def channel(managed: leveret.Broker) -> Iterator[Any]:
    """A channel with confirms, and the queue q with numbered messages."""
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    for number in range(COUNT):
        body = {"order": {"id": number, "lines": [{"sku": f"s{number}"}, {"sku": "all"}]}, "even": number % 2 == 0}
        properties = pika.BasicProperties(
            message_id=str(number),
            type="order",
            priority=number % 3,
            timestamp=number,
            headers={"tenant": "acme" if number < 5 else "other", "n": number, "deep": {"er": number}},
        )
        channel.basic_publish("amq.fanout" if number == 7 else "", "q", json.dumps(body).encode(), properties)
        if number == 7:
            channel.basic_publish("", "q", b"\xff\xfe not text \x00", properties)
    yield channel
    connection.close()


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ([], range(COUNT)),
        ([("message_id", "=", "3")], [3]),
        ([("message_id", "!=", "3"), ("headers.n", "<", 5)], [0, 1, 2, 4]),
        ([("headers.tenant", "=", "acme")], range(5)),
        ([("headers.n", ">=", 18)], [18, 19]),
        ([("headers.deep.er", "=", 4)], [4]),
        ([("headers.nothing", "missing", None), ("headers.n", "<=", 0)], [0]),
        ([("headers.nothing", "exists", None)], []),
        ([("json:$.order.id", "=", 12)], [12]),
        ([("json:$.order.lines[*].sku", "=", "s9")], [9]),
        ([("json:$.order.lines[-1].sku", "=", "all"), ("json:$.order.id", "<", 2)], [0, 1]),
        ([("json:$.even", "=", True), ("headers.n", "<", 4)], [0, 2]),
        ([("json:$.even", "=", 1)], []),
        ([("json:$.order.id", "=", "12")], []),
        ([("body", "contains", '"id": 17')], [17]),
        ([("body", "matches", r'"id": 1[89]\b')], [18, 19]),
        ([("body", "contains", "not text")], [7]),
        ([("type", "=", "order"), ("priority", "=", 2), ("timestamp", ">", 15)], [17]),
        ([("size", "<", 20)], [7]),
        ([("age", "<", 3600), ("headers.n", "=", 1)], [1]),
        ([("age", ">", 3600)], []),
        ([("redelivered", "=", True)], []),
        ([("exchange", "=", ""), ("routing_key", "matches", "^q$"), ("headers.n", "=", 2)], [2]),
        ([("death.reason", "exists", None)], []),
    ],
)
def test_all_conditions_have_to_hold(
    http: Http, channel: Any, where: list[tuple[str, str, object]], wanted: list[int]
) -> None:
    conditions = [{"field": field, "op": op, "value": value} for field, op, value in where]
    assert numbers(http, "q", where=conditions, limit=None) == list(wanted)
    backwards = numbers(http, "q", where=conditions, limit=None, newest_first=True)
    assert backwards == list(reversed(wanted))
    assert acted(http, "q", action="delete", where=conditions, all=True, dry_run=True)["done"] == len(wanted)
    assert len(numbers(http, "q", limit=None)) == COUNT


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"where": [{"field": "bodies"}]}, "unknown field 'bodies'"),
        ({"where": [{"field": "json:$..id", "op": "exists"}]}, "a path may have names, indexes and *"),
        ({"where": [{"field": "json:$[?@.a]", "op": "exists"}]}, "a path may have names, indexes and *"),
        ({"where": [{"field": "json:$.a[", "op": "exists"}]}, "not a JSON path"),
        ({"where": [{"field": "body", "op": "matches", "value": "("}]}, "not a regular expression"),
        ({"where": [{"field": "body", "op": "contains", "value": 3}]}, "the value must be a non-empty text"),
        ({"where": [{"field": "size"}] * 51}, "at most 50"),
        ({"where": [{"field": "size", "op": "~"}]}, "where"),
        ({"states": ["lost"]}, "must be one of ready, unacked, delayed"),
        ({"states": []}, "must name at least one of"),
        ({"limit": 0}, "limit"),
        ({"place": "1.2.3"}, "not a place from an earlier answer"),
        ({"place": "1.0.255.0.-1"}, "a place in another queue"),
        ({"place": "9" * 400 + ".0.255.0.-1"}, "not a place from an earlier answer"),
        ({"ids": ["1-1"]}, "not the id of a message of this queue"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_reason(
    http: Http, channel: Any, body: dict[str, object], reason: str
) -> None:
    reply = http.ask("POST", "leveret/queues/%2F/q/messages/search", body).expect(400)
    assert reason in str(reply.json)


@pytest.mark.parametrize("is_backwards", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 50])
def test_a_search_goes_on_where_the_last_one_ended(http: Http, channel: Any, limit: int, is_backwards: bool) -> None:
    seen: list[int] = []
    place: str | None = None
    while True:
        where = [{"field": "headers.n", "op": "!=", "value": 4}]
        answer = lines(http, "q", "search", limit=limit, newest_first=is_backwards, place=place, where=where)
        seen += [int(line["message"]["properties"]["message_id"]) for line in answer if "message" in line]
        channel.basic_publish("", "q", b"later", pika.BasicProperties(message_id="99"))
        place = answer[-1]["end"]["place"]
        if place is None:
            break
    wanted = [number for number in range(COUNT) if number != 4]
    assert seen == (wanted[::-1] if is_backwards else wanted)


def test_what_somebody_has_is_shown_with_who_has_it(http: Http, channel: Any) -> None:
    for _ in range(2):
        channel.basic_get("q")
    held = found(http, "q", states=["unacked"])
    assert [message["properties"]["message_id"] for message in held] == ["0", "1"]
    assert [message["held"]["delivery_tag"] for message in held] == [1, 2]
    assert held[0]["held"]["channel"] == channel.channel_number
    assert numbers(http, "q", states=["ready", "unacked"], limit=None) == [*range(2, COUNT), 0, 1]
    reply = http.ask("POST", "leveret/queues/%2F/q/messages/act", {"action": "delete", "states": ["unacked"], "all": 1})
    assert reply.status == 400


def test_payloads_are_cut_and_in_base64_where_they_are_no_text(http: Http, channel: Any) -> None:
    where = [{"field": "message_id", "value": "7"}]
    (message,) = found(http, "q", where=where)
    assert (message["payload_encoding"], message["payload"]) == ("base64", "//4gbm90IHRleHQgAA==")
    channel.basic_publish("", "q", "für".encode(), pika.BasicProperties(message_id="u"))
    where = [{"field": "message_id", "value": "u"}]
    (message,) = found(http, "q", where=where, truncate=2)
    assert (message["payload"], message["is_truncated"], message["payload_bytes"]) == ("f", True, 4)


def test_who_may_look_and_act(managed: leveret.Broker, http: Http, channel: Any) -> None:
    for name, tags, permissions in (
        ("plain", "", ("", "", ".*")),
        ("reader", "management", ("", "", "q")),
        ("writer", "management", ("", ".*", ".*")),
        ("boss", "administrator", None),
    ):
        http.ask("PUT", f"users/{name}", {"password": "p", "tags": tags}).expect(201)
        if permissions is not None:
            configure, write, read = permissions
            rights = {"configure": configure, "write": write, "read": read}
            http.ask("PUT", f"permissions/%2F/{name}", rights).expect(201)
    channel.queue_declare("other")
    move = {"action": "move", "to_queue": "other", "all": True, "dry_run": True}
    for name, looks, moves in (("plain", 401, 401), ("reader", 200, 401), ("writer", 200, 200), ("boss", 401, 401)):
        asked = Http(managed.management_url, name, "p")
        assert asked.ask("POST", "leveret/queues/%2F/q/messages/search", {}).status == looks
        assert asked.ask("POST", "leveret/queues/%2F/q/messages/act", move).status == moves
    reader = Http(managed.management_url, "reader", "p")
    assert reader.ask("POST", "leveret/queues/%2F/other/messages/search", {}).status == 401


# -- actions


def test_messages_are_moved_as_they_are(http: Http, channel: Any) -> None:
    channel.queue_declare("other")
    where = [{"field": "headers.tenant", "value": "acme"}]
    before = found(http, "q", where=where)
    assert acted(http, "q", action="move", to_queue="other", where=where)["done"] == 5
    assert numbers(http, "q", limit=None) == list(range(5, COUNT))
    after = found(http, "other")
    for message in [*before, *after]:
        del message["id"], message["age_s"]
    assert after == before
    assert acted(http, "other", action="copy", to_queue="q", ids=[found(http, "other")[0]["id"]])["done"] == 1
    assert numbers(http, "q", limit=None) == [*range(5, COUNT), 0]
    assert numbers(http, "other") == list(range(5))


def test_the_log_says_who_has_done_what(http: Http, channel: Any, caplog: pytest.LogCaptureFixture) -> None:
    channel.queue_declare("other")
    with caplog.at_level("INFO", "leveret.acts"):
        acted(http, "q", action="move", to_queue="other", all=True, limit=2)
        acted(http, "q", action="delete", all=True, dry_run=True)
        acted(http, "q", action="delete", all=True)
    assert [record.getMessage() for record in caplog.records if record.name == "leveret.acts"] == [
        "user 'guest' (127.0.0.1) moved 2 messages of queue 'q' in vhost '/' to queue 'other' in vhost '/'",
        f"user 'guest' (127.0.0.1) deleted {COUNT - 2} messages of queue 'q' in vhost '/'",
    ]


def test_messages_go_through_an_exchange(http: Http, channel: Any) -> None:
    channel.queue_declare("other")
    channel.exchange_declare("x", "direct")
    channel.queue_bind("other", "x", "key")
    where = [{"field": "headers.n", "op": "<", "value": 3}]
    end = acted(http, "q", action="move", to_exchange="x", where=where)
    assert (end["done"], end["skipped"]) == (0, {"it reaches no queue": 3})
    assert acted(http, "q", action="move", to_exchange="x", routing_key="key", where=where)["done"] == 3
    assert numbers(http, "other") == [0, 1, 2]


def test_a_full_queue_takes_no_more_and_the_rest_stays(http: Http, channel: Any) -> None:
    channel.queue_declare("small", arguments={"x-max-length": 3, "x-overflow": "reject-publish"})
    end = acted(http, "q", action="move", to_queue="small", all=True)
    assert (end["done"], end["refused"]) == (3, COUNT - 3)
    assert numbers(http, "small") == [0, 1, 2]
    assert numbers(http, "q", limit=None) == list(range(3, COUNT))


def test_messages_go_to_the_end_of_their_queue_once(http: Http, channel: Any) -> None:
    where = [{"field": "headers.n", "op": "<", "value": 3}]
    assert acted(http, "q", action="requeue", where=where)["done"] == 3
    assert numbers(http, "q", limit=None) == [*range(3, COUNT), 0, 1, 2]
    assert acted(http, "q", action="requeue", all=True)["done"] == COUNT


def test_messages_go_in_front_of_all_others_in_their_order(http: Http, channel: Any) -> None:
    for numbers_to_move in ((9, 12), (15,)):
        where = [{"field": "headers.n", "op": ">=", "value": numbers_to_move[0]}]
        where += [{"field": "headers.n", "op": "<=", "value": numbers_to_move[-1]}]
        done = numbers_to_move[-1] - numbers_to_move[0] + 1
        assert acted(http, "q", action="requeue", to_front=True, where=where, dry_run=True)["done"] == done
        assert acted(http, "q", action="requeue", to_front=True, where=where)["done"] == done
    order = [9, 10, 11, 12, 15, *(number for number in range(COUNT) if number not in (9, 10, 11, 12, 15))]
    assert numbers(http, "q", limit=None) == order
    assert numbers(http, "q", limit=None, newest_first=True) == order[::-1]
    taken = [int(channel.basic_get("q", auto_ack=True)[1].message_id) for _ in order]
    assert taken == order


def test_the_limit_counts_and_the_order_is_as_asked(http: Http, channel: Any) -> None:
    assert acted(http, "q", action="delete", all=True, limit=2, newest_first=True)["done"] == 2
    assert numbers(http, "q", limit=None) == list(range(COUNT - 2))


def test_a_message_is_changed_and_put_to_the_end(http: Http, channel: Any) -> None:
    edit = {"payload": "new", "properties": {"type": "t", "priority": None}, "headers": {"n": None, "more": [1]}}
    end = acted(http, "q", action="republish", where=[{"field": "message_id", "value": "4"}], edit=edit)
    assert end["done"] == 1
    (message,) = found(http, "q", limit=1, newest_first=True)
    assert message["payload"] == "new"
    assert message["properties"] == {
        "headers": {"tenant": "acme", "deep": {"er": 4}, "more": [1]},
        "message_id": "4",
        "type": "t",
        "timestamp": 4,
    }
    for wrong in (
        {"properties": {"size": 1}},
        {"properties": {"priority": "high"}},
        {"properties": {"type": "x" * 256}},
        {"properties": {"expiration": "soon"}},
        {"headers": {"much": "x" * 200_000}},
    ):
        reply = http.ask(
            "POST", "leveret/queues/%2F/q/messages/act", {"action": "republish", "all": True, "edit": wrong}
        )
        assert reply.status == 400


def test_nobody_makes_messages_of_others(managed: leveret.Broker, http: Http, channel: Any) -> None:
    http.ask("PUT", "users/writer", {"password": "p", "tags": "management"}).expect(201)
    http.ask("PUT", "permissions/%2F/writer", {"configure": "", "write": ".*", "read": ".*"}).expect(201)
    asked = Http(managed.management_url, "writer", "p")
    for name, status in (("guest", 401), ("writer", 200)):
        wanted = {"action": "republish", "all": True, "limit": 1, "edit": {"properties": {"user_id": name}}}
        asked.ask("POST", "leveret/queues/%2F/q/messages/act", wanted).expect(status)


def test_what_does_not_fit_into_a_frame_any_more_is_left_alone(http: Http, channel: Any) -> None:
    where = [{"field": "message_id", "value": "0"}]
    for name, reasons in (("a", {}), ("b", {"its properties would not fit into a frame": 1})):
        end = acted(http, "q", action="republish", where=where, edit={"headers": {name: "x" * 70_000}})
        assert end["skipped"] == reasons


@pytest.fixture
def letters(channel: Any) -> Any:
    """The queue `dead` with letters of `work`, in which no message is left."""
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    channel.queue_declare("dead")
    channel.queue_declare("work", arguments=arguments)
    channel.queue_bind("work", "amq.topic", "a.#")
    for number in range(10):
        channel.basic_publish("amq.topic", f"a.{number}", b"x", pika.BasicProperties(message_id=str(number)))
    reject(channel, "work")
    return channel


def reject(channel: Any, queue: str) -> None:
    """Reject all messages of a queue."""
    while True:
        method, _, _ = channel.basic_get(queue)
        if method is None:
            return
        channel.basic_reject(method.delivery_tag, requeue=False)


def test_dead_letters_go_home_with_their_story(http: Http, letters: Any) -> None:
    assert acted(http, "dead", action="redrive", dry_run=True)["done"] == 10
    assert numbers(http, "work") == []
    where = [{"field": "death.reason", "value": "rejected"}, {"field": "death.queue", "value": "work"}]
    assert acted(http, "dead", action="redrive", where=where)["done"] == 10
    home = found(http, "work")
    assert [message["routing_key"] for message in home] == [f"a.{number}" for number in range(10)]
    assert {message["exchange"] for message in home} == {"amq.topic"}
    headers = home[0]["properties"]["headers"]
    assert sorted(headers) == ["x-redrive-count", "x-redrive-death"]
    assert headers["x-redrive-count"] == 1
    assert headers["x-redrive-death"][0]["reason"] == "rejected"


def test_letters_that_come_back_again_and_again_are_left_alone(http: Http, letters: Any) -> None:
    for _ in range(2):
        assert acted(http, "dead", action="redrive", max_redrives=2)["done"] == 10
        reject(letters, "work")
    end = acted(http, "dead", action="redrive", max_redrives=2)
    assert (end["done"], end["skipped"]) == (0, {"it was already sent back 2 times": 10})
    assert found(http, "dead")[0]["death"]["redriven"] == 2


def test_letters_without_a_home_are_left_alone(http: Http, letters: Any) -> None:
    letters.basic_publish("", "dead", b"no letter")
    letters.queue_delete("work")
    end = acted(http, "dead", action="redrive")
    assert end["skipped"] == {
        "queue 'work' no longer exists": 10,
        "it does not name the queue in which it died": 1,
    }
    assert end["done"] == 0


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"action": "delete"}, "select messages with where, ids or all"),
        ({"action": "move", "all": True}, "move: requires to_queue or to_exchange"),
        ({"action": "move", "all": True, "to_queue": "q"}, "use requeue to put them at its end"),
        ({"action": "move", "all": True, "to_queue": "q", "to_exchange": "amq.topic"}, "not both"),
        ({"action": "move", "all": True, "to_exchange": "x" * 300}, "no exchange"),
        ({"action": "move", "all": True, "to_queue": "nothing"}, "no queue 'nothing'"),
        ({"action": "move", "all": True, "to_exchange": "amq.topic", "routing_key": "k" * 300}, "routing_key"),
        ({"action": "delete", "all": True, "edit": {}}, "required for republish"),
        ({"action": "republish", "all": True}, "required for republish"),
        ({"action": "burn", "all": True}, "action"),
        ({"action": "delete", "all": True, "rate": 0}, "rate"),
    ],
)
def test_actions_that_make_no_sense_are_refused(http: Http, channel: Any, body: dict[str, object], reason: str) -> None:
    reply = http.ask("POST", "leveret/queues/%2F/q/messages/act", body).expect(400, 404)
    assert reason in str(reply.json)
    assert len(numbers(http, "q", limit=None)) == COUNT


def test_ages_of_what_is_ready_and_of_what_somebody_has(managed: leveret.Broker, http: Http, channel: Any) -> None:
    channel.queue_declare("empty")
    channel.queue_declare("levels", arguments={"x-max-priority": 3})
    channel.basic_publish("", "levels", b"", pika.BasicProperties(priority=1))
    managed.clock.advance(100)
    channel.basic_publish("", "levels", b"", pika.BasicProperties(priority=3))
    channel.basic_get("q")
    managed.clock.advance(50)
    channel.basic_get("q")
    found = {age["name"]: age for age in http.ask("GET", "leveret/ages/%2F").expect(200).json}  # type: ignore[attr-defined]
    seconds = {
        name: tuple(None if age[what] is None else int(age[what]) for what in ("oldest_ready_s", "oldest_unacked_s"))
        for name, age in found.items()
    }
    assert seconds == {"q": (150, 50), "empty": (None, None), "levels": (150, None)}
    (alone,) = http.ask("GET", "leveret/ages?page=1&name=lev").expect(200).json["items"]  # type: ignore[index]
    assert alone["name"] == "levels"


WHERE_IT_IS_LOADED = """
import asyncio, sys
import leveret, leveret.api.operations
from tests.api.http import Http

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "jsonpath":
            print("the event loop" if asyncio._get_running_loop() else "a thread of its own")

with leveret.Broker(management=True) as broker:
    http = Http(broker.management_url)
    http.ask("PUT", "queues/%2F/q", {}).expect(201)
    sys.meta_path.insert(0, Watch())
    wanted = {"where": [{"field": "json:$.a", "op": "exists"}]}
    http.ask("POST", f"leveret/queues/%2F/q/messages/{sys.argv[1]}", {**wanted, **eval(sys.argv[2])}).expect(200)
"""


@pytest.mark.parametrize(("what", "more"), [("search", {}), ("act", {"action": "delete"})])
def test_clients_do_not_wait_for_the_code_that_reads_paths(what: str, more: dict[str, str]) -> None:
    command = [sys.executable, "-c", WHERE_IT_IS_LOADED, what, str(more)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "a thread of its own\n", done.stderr
