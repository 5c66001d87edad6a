"""Messages that are published as the bodies of requests, one by one and many at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pika
import pytest

import leveret
from leveret.api.views import publishing
from tests.api.http import Http
from tests.api.messaging import V, counts, declare, in_path, put
from tests.api.place import Started
from tests.api.raw import wire


@pytest.fixture(scope="module")
def shared() -> Iterator[leveret.Broker]:
    """A broker that these tests share; each has queues of its own."""
    with leveret.Broker(management=True, max_message_size=3_000_000) as broker:
        yield broker


@pytest.fixture
def http(shared: leveret.Broker) -> Http:
    """Its guest."""
    return Http(shared.management_url)


def got(broker: leveret.Broker, queue: str) -> tuple[Any, bytes]:
    """Properties and body of the next message, as pika sees it."""
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        _, properties, body = connection.channel().basic_get(queue, auto_ack=True)
        assert body is not None
        return properties, body


def test_the_body_is_the_message(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "plain")
    body = bytes(range(256))
    assert http.ask("POST", f"{path}/messages", body, Content_Type="image/png").expect(201).json == {"routed": True}
    properties, found = got(shared, "plain")
    assert found == body
    assert (properties.content_type, properties.delivery_mode, properties.headers) == ("image/png", 2, None)


def test_an_empty_body_is_a_message(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "hollow")
    http.ask("POST", f"{path}/messages").expect(201)
    assert got(shared, "hollow")[1] == b""


def test_properties_come_from_headers_and_the_query(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "rich")
    given = {"headers": {"n": 1, "text": "grün", "list": [1, "2"]}, "app_id": "header", "type": "t", "cluster_id": "c"}
    query = (
        "delivery_mode=1&priority=3&correlation_id=gr%C3%BCn&reply_to=r&expiration=60000&message_id=m"
        "&timestamp=1700000000&user_id=guest&app_id=query"
    )
    http.ask(
        "POST",
        f"{path}/messages?{query}",
        b"x",
        Content_Type="text/plain; charset=utf-8",
        Content_Encoding="gzip",
        Leveret_Properties=json.dumps(given),
    ).expect(201)
    found = got(shared, "rich")[0]
    assert {name: value for name, value in vars(found).items() if value is not None} == {
        "content_type": "text/plain; charset=utf-8",
        "content_encoding": "gzip",
        "headers": given["headers"],
        "delivery_mode": 1,
        "priority": 3,
        "correlation_id": "grün",
        "reply_to": "r",
        "expiration": "60000",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "query",
        "cluster_id": "c",
    }


def test_an_exchange_routes_by_the_key(shared: leveret.Broker, http: Http) -> None:
    declare(http, "topics")
    http.ask("POST", f"bindings/{V}/e/amq.topic/q/topics", {"routing_key": "orders.*"}).expect(201)
    where = f"leveret/exchanges/{V}/amq.topic/messages?routing_key="
    assert http.ask("POST", f"{where}orders.new", b"x").expect(201).json == {"routed": True}
    found: Any = http.ask("POST", f"{where}letters.new", b"x").expect(422).json
    assert found["error"] == "unroutable"
    assert "'amq.topic'" in found["reason"]
    assert "'letters.new'" in found["reason"]
    assert http.ask("POST", f"{where}letters.new&mandatory=false", b"x").expect(202).json == {"routed": False}
    assert counts(shared, "topics") == (1, 0)


def test_the_default_exchange(shared: leveret.Broker, http: Http) -> None:
    declare(http, "direct")
    for name in ("amq.default", ""):
        http.ask("POST", f"leveret/exchanges/{V}/{name}/messages?routing_key=direct", b"x").expect(201)
    assert counts(shared, "direct") == (2, 0)
    http.ask("POST", f"leveret/exchanges/{V}/amq.default/messages?routing_key=nowhere", b"x").expect(422)


def test_what_is_not_there(http: Http) -> None:
    for path in (f"exchanges/{V}/nothing/messages", f"queues/{V}/nothing/messages", "queues/nothing/q/messages"):
        found: Any = http.ask("POST", f"leveret/{path}", b"x").expect(404).json
        assert found["error"] == "not_found"
    assert http.ask("POST", f"leveret/queues/{V}/nothing/messages?mandatory=false", b"x").expect(202)


def test_a_full_queue_refuses(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "tight", x_max_length=1, x_overflow="reject-publish")
    http.ask("POST", f"{path}/messages", b"one").expect(201)
    reply = http.ask("POST", f"{path}/messages", b"two").expect(503)
    assert reply.headers["retry-after"] == "1"
    assert reply.json["error"] == "refused"  # type: ignore[index]
    assert counts(shared, "tight") == (1, 0)


def test_messages_are_bounded_as_those_of_amqp(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "big")
    http.ask("POST", f"{path}/messages", b"x" * 3_000_000).expect(201)
    http.ask("POST", f"{path}/messages", b"x" * 3_000_001).expect(413)
    assert counts(shared, "big") == (1, 0)


@pytest.mark.parametrize(
    ("query", "header", "reason"),
    [
        ("user_id=somebody", "{}", "user_id"),
        ("expiration=soon", "{}", "expiration"),
        ("priority=256", "{}", "from 0 to 255"),
        ("priority=x", "{}", "priority"),
        ("delivery_mode=-1", "{}", "from 0 to 255"),
        ("timestamp=99999999999999999999", "{}", "timestamp"),
        ("message_id=" + "m" * 256, "{}", "255 bytes"),
        ("message_id=" + "m" * 2000, "{}", "message_id"),
        ("", "[]", "Leveret-Properties"),
        ("", "{", "not valid JSON"),
        ("", '{"priority":"x"}', "Leveret-Properties.priority"),
        ("", '{"headers":{"n":1e400}}', "Leveret-Properties"),
        ("", '{"headers":{"%s":1}}' % ("h" * 256), "255 bytes"),
        ("", '{"headers":%s}' % ('{"a":' * 500 + "1" + "}" * 500), "nested"),
        ("", '{"headers":{"CC":"x"}}', "CC"),
    ],
)
def test_properties_that_cannot_be(http: Http, query: str, header: str, reason: str) -> None:
    path = declare(http, "picky")
    found: Any = http.ask("POST", f"{path}/messages?{query}", b"x", Leveret_Properties=header).expect(400).json
    assert found["error"] == "bad_request"
    assert reason in found["reason"]


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        (f"exchanges/{V}/amq.direct/messages?routing_key=" + "k" * 256, (400,)),
        (f"exchanges/{V}/amq.direct/messages?routing_key=%FF", (400,)),
        (f"exchanges/{V}/%FF/messages", (400,)),
        (f"exchanges/{V}/{'x' * 256}/messages", (400,)),
        ("exchanges/%FF/amq.direct/messages", (404,)),
        (f"queues/{V}/%FF/messages", (400,)),
        (f"queues/{V}/{'x' * 256}/messages", (400,)),
        (f"exchanges/{V}/amq.rabbitmq.trace/messages", (403,)),
    ],
)
def test_names_that_cannot_be(http: Http, path: str, statuses: tuple[int, ...]) -> None:
    http.ask("POST", f"leveret/{path}", b"x").expect(*statuses)


def test_permissions_are_those_of_amqp(shared: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "users/writer", {"password": "secret", "tags": ""}).expect(201, 204)
    declare(http, "allowed")
    http.ask("POST", f"bindings/{V}/e/amq.topic/q/allowed", {"routing_key": "#"}).expect(201)
    writer = Http(shared.management_url, "writer", "secret")
    where = f"leveret/exchanges/{V}/amq.topic/messages?routing_key="
    writer.ask("POST", f"{where}a", b"x").expect(404)  # as for a virtual host that is not there

    def may(write: str) -> None:
        rights = {"configure": "", "write": write, "read": ""}
        http.ask("PUT", f"permissions/{V}/writer", rights).expect(201, 204)

    may("^amq\\.topic$")
    writer.ask("POST", f"{where}a", b"x").expect(201)
    found: Any = writer.ask("POST", f"leveret/queues/{V}/allowed/messages", b"x").expect(403).json
    assert "write access to exchange 'amq.default'" in found["reason"]
    may("^amq\\.default$")
    writer.ask("POST", f"leveret/queues/{V}/allowed/messages", b"x").expect(201)
    writer.ask("POST", f"{where}a", b"x").expect(403)
    may("topic")
    topic = {"exchange": "amq.topic", "write": "^a", "read": ""}
    http.ask("PUT", f"topic-permissions/{V}/writer", topic).expect(201)
    writer.ask("POST", f"{where}a", b"x").expect(201)
    found = writer.ask("POST", f"{where}b", b"x").expect(403).json
    assert "topic 'b'" in found["reason"]
    writer.ask("POST", f"{where}a&user_id=guest", b"x").expect(400)
    writer.ask("GET", "queues").expect(401)  # it is no user of the management
    http.ask("PUT", "user-limits/writer/max-connections", {"value": 0}).expect(204)
    found = writer.ask("POST", f"{where}a", b"x").expect(403).json
    assert "connection limit (0)" in found["reason"]


def test_an_administrator_without_permissions_may_not(http: Http) -> None:
    http.ask("PUT", "vhosts/foreign").expect(201)
    http.ask("DELETE", "permissions/foreign/guest").expect(204, 404)
    found: Any = http.ask("POST", "leveret/exchanges/foreign/amq.fanout/messages", b"x").expect(403).json
    assert "access to vhost 'foreign' refused" in found["reason"]
    http.ask("DELETE", "vhosts/foreign").expect(204)


def test_tests_see_what_is_published_over_http(shared: leveret.Broker, http: Http, caplog: Any) -> None:
    declare(http, "watched")
    shared.forget_published()
    put(http, "watched", "seen")
    (seen,) = shared.published(routing_key="watched")
    assert (seen.text, seen.queues, seen.outcome) == ("seen", ("watched",), "routed")
    assert seen.connection == "HTTP API, 127.0.0.1"
    fault = shared.faults.nack(queue="watched", count=1)
    http.ask("POST", f"leveret/queues/{V}/watched/messages", b"x").expect(503)
    http.ask("POST", f"leveret/queues/{V}/watched/messages", b"x").expect(201)
    fault.end()
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def test_a_confirm_that_does_not_come(shared: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    declare(http, "slow")
    monkeypatch.setattr(publishing, "CONFIRM_S", 0.2)
    with shared.faults.hold_confirms(queue="slow"):
        found: Any = http.ask("POST", f"leveret/queues/{V}/slow/messages", b"x").expect(503).json
        assert found["error"] == "unconfirmed"
    http.ask("POST", f"leveret/queues/{V}/slow/messages", b"x").expect(201)


# -- alarms


def test_publishers_wait_while_memory_is_short_and_consumers_do_not() -> None:
    with Started.start("--memory-high-watermark", "0.0001") as started:
        http = Http(started.place.api)
        path = declare(http, "q")
        reply = http.ask("POST", f"{path}/messages", b"x").expect(503)
        assert reply.json["error"] == "blocked"  # type: ignore[index]
        assert reply.headers["retry-after"] == "5"
        http.ask("POST", f"leveret/exchanges/{V}/amq.direct/batch", b"").expect(503)
        with wire(started.place.api) as client:  # which hears of it before it has sent a body
            client.ask("POST", f"/api/{path}/messages", "Content-Length: 1000000", "Expect: 100-continue")
            assert client.status() == 503
        assert http.ask("POST", f"{path}/receive?wait=0").expect(200).json == {"messages": []}


def test_large_messages_wait_for_an_alarm_that_nobody_is_told_of(
    shared: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    from leveret.core.turn.alarms import BEHIND

    path = declare(http, "behind")
    monkeypatch.setattr(publishing, "ALARM_S", 0.2)
    alarms = shared._server.node.broker.alarms
    shared._server.call(lambda: alarms.set(BEHIND, True))
    http.ask("POST", f"{path}/messages", b"little").expect(201)
    found: Any = http.ask("POST", f"{path}/messages", b"much" * 2000).expect(503).json
    assert found["error"] == "busy"
    shared._server.call(lambda: alarms.set(BEHIND, False))
    http.ask("POST", f"{path}/messages", b"much" * 2000).expect(201)


# -- many at once


def lines(*messages: object) -> bytes:
    """A batch."""
    return b"\n".join(each if isinstance(each, bytes) else json.dumps(each).encode() for each in messages)


def test_a_batch_is_published_in_order(shared: leveret.Broker, http: Http) -> None:
    path = declare(http, "many")
    messages: list[dict[str, Any]] = [{"routing_key": "many", "payload": str(number)} for number in range(500)]
    messages[7] |= {"payload": "Nw==", "payload_encoding": "base64", "properties": {"message_id": "seven"}}
    reply = http.ask("POST", f"leveret/exchanges/{V}/amq.default/batch", lines(*messages, b"", b""))
    assert (reply.status, reply.json) == (201, {"published": 500, "failed": 0, "failures": []})
    found: Any = http.ask("POST", f"{path}/receive?max=1000&wait=0").expect(200).json
    assert [each["payload"] for each in found["messages"]] == [str(number) for number in range(500)]
    assert found["messages"][7]["properties"] == {"delivery_mode": 2, "message_id": "seven"}
    assert counts(shared, "many") == (0, 0)


def test_each_line_of_a_batch_has_its_own_fate(shared: leveret.Broker, http: Http) -> None:
    declare(http, "mixed", x_max_length=2, x_overflow="reject-publish")
    good = {"routing_key": "mixed", "payload": "x"}
    bad = [
        b"no JSON",
        {"routing_key": "nowhere", "payload": "x"},
        {"routing_key": "mixed"},
        {"routing_key": "mixed", "payload": "x", "payload_encoding": "base65"},
        {"routing_key": "mixed", "payload": "x", "properties": {"user_id": "somebody"}},
        {"routing_key": "k" * 256, "payload": "x"},
        {"routing_key": "mixed", "payload": "x", "properties": {"priority": 1000}},
        b'{"routing_key":"mixed","payload":"\\ud800"}',
        b'{"a":' * 2000,
        b"\xff",
    ]
    body = lines(good, *bad, good, good)
    reply = http.ask("POST", f"leveret/exchanges/{V}/amq.default/batch", body).expect(207)
    found: Any = reply.json
    assert (found["published"], found["failed"]) == (2, len(bad) + 1)
    assert [each["line"] for each in found["failures"]] == [*range(2, len(bad) + 2), len(bad) + 3]
    errors = [each["error"] for each in found["failures"]]
    assert errors == ["bad_request", "unroutable", *["bad_request"] * (len(bad) - 2), "refused"]
    assert counts(shared, "mixed") == (2, 0)


def test_a_batch_to_where_nobody_may_publish(http: Http) -> None:
    body = lines(*[{"routing_key": "x", "payload": "x"}] * 1500)
    found: Any = http.ask("POST", f"leveret/exchanges/{V}/nothing/batch", body).expect(207).json
    assert (found["published"], found["failed"], len(found["failures"])) == (0, 1500, 1000)
    assert {each["error"] for each in found["failures"]} == {"not_found"}


def test_batches_are_bounded(http: Http) -> None:
    http.ask("POST", f"leveret/exchanges/{V}/amq.direct/batch", b"\n" * 10_001).expect(400)
    http.ask("POST", f"leveret/exchanges/{V}/amq.direct/batch", b" " * ((32 << 20) + 1)).expect(413)
    found = http.ask("POST", f"leveret/exchanges/{V}/amq.direct/batch", b"\n" * 10_000).expect(201)
    assert found.json == {"published": 0, "failed": 0, "failures": []}


def test_names_with_everything_in_them(shared: leveret.Broker, http: Http) -> None:
    name = "a/b%2F c?&=ü"
    path = declare(http, name)
    http.ask("POST", f"{path}/messages", b"x").expect(201)
    key = in_path(name)
    http.ask("POST", f"leveret/exchanges/{V}/amq.default/messages?routing_key={key}", b"x").expect(201)
    assert counts(shared, name) == (2, 0)
