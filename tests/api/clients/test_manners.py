"""What clients send that is not quite JSON's way, or not quite a path, and RabbitMQ takes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.http import Http

QUEUE, EXCHANGE = "queues/manners/q", "exchanges/manners/x"


@pytest.fixture(autouse=True)
def vhost(http: Http) -> Iterator[None]:
    http.ask("PUT", "vhosts/manners", {"default_queue_type": "classic"}).expect(201)
    http.ask("PUT", "permissions/manners/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    yield
    http.ask("DELETE", "vhosts/manners").expect(204)


@pytest.mark.parametrize("is_true", [True, False])
def test_truths_as_text(http: Http, is_true: bool) -> None:
    text = str(is_true).lower()
    http.ask("PUT", QUEUE, {"durable": text, "auto_delete": text}).expect(201)
    found = http.ask("GET", f"{QUEUE}?columns=durable,auto_delete").json
    assert found == {"durable": is_true, "auto_delete": is_true}
    http.ask("PUT", EXCHANGE, {"type": "topic", "durable": text, "auto_delete": text, "internal": text}).expect(201)
    found = http.ask("GET", f"{EXCHANGE}?columns=durable,auto_delete,internal").json
    assert found == {"durable": is_true, "auto_delete": is_true, "internal": is_true}
    http.ask("PUT", "vhosts/manners", {"tracing": text}).expect(204)
    assert http.ask("GET", "vhosts/manners?columns=tracing").json == {"tracing": is_true}


@pytest.mark.parametrize("value", ["maybe", "1", "TRUE", 1, None, []])
def test_what_is_no_truth(http: Http, value: object) -> None:
    http.ask("PUT", QUEUE, {"durable": value}).expect(400)
    http.ask("PUT", EXCHANGE, {"type": "topic", "internal": value}).expect(400)
    http.ask("GET", QUEUE).expect(404)


def get(http: Http, **more: object) -> tuple[int, list[str]]:
    body = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", **more}
    reply = http.ask("POST", f"{QUEUE}/get", body)
    found = reply.json
    return reply.status, [each["payload"] for each in found] if isinstance(found, list) else []


def test_numbers_as_text(http: Http) -> None:
    http.ask("PUT", QUEUE, {}).expect(201)
    body = {"properties": {}, "routing_key": "q", "payload": "hello", "payload_encoding": "string"}
    for _ in range(3):
        http.ask("POST", "exchanges/manners/amq.default/publish", body).expect(200)
    assert get(http, count="2") == (200, ["hello", "hello"])
    assert get(http, count=1.7) == (200, ["hello"])
    assert get(http, truncate="4") == (200, ["hell"])
    for value in ("x", "1.5", "", True, None):
        assert get(http, count=value) == (400, [])
    assert get(http, truncate="x") == (400, [])


def test_an_empty_name_is_that_of_the_default_exchange(http: Http) -> None:
    http.ask("PUT", QUEUE, {}).expect(201)
    body = {"properties": {}, "routing_key": "q", "payload": "hello", "payload_encoding": "string"}
    assert http.ask("POST", "exchanges/manners//publish", body).json == {"routed": True}
    assert get(http) == (200, ["hello"])
    http.ask("GET", "queues//q").expect(404)


def test_a_slash_at_the_end_says_nothing(http: Http) -> None:
    for path in ("overview", "queues", "queues/manners", "exchanges/manners/amq.topic"):
        assert http.ask("GET", f"{path}/?columns=name").json == http.ask("GET", f"{path}?columns=name").json
