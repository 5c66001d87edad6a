"""What AMQP could not carry is refused, and what is not refused comes to a consumer: texts, numbers, names, headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from leveret.core.message.codec import MAX_PROPERTIES
from tests.api.http import Http
from tests.api.place import Place, Started
from tests.api.raw import wire
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import eventually

TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "message_id",
    "type",
    "app_id",
    "cluster_id",
)
LARGEST, TOO_LARGE = ("x" * 255, "ü" * 127 + "x"), ("x" * 256, "ü" * 128)
LONG = "k" * 300


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    """A broker with a queue `q`."""
    with Started.start() as started:
        Http(started.place.api).ask("PUT", "queues/%2F/q", {"durable": True}).expect(201)
        yield started.place


@pytest.fixture
def http(place: Place) -> Http:
    """Its administrator."""
    return Http(place.api)


@pytest.fixture
def consumer(place: Place) -> Iterator[Channel]:
    """A client that takes no frame that is larger than what was agreed."""
    peer = Peer((place.host, place.port)).login()
    yield peer.channel()
    peer.close()


def publish(http: Http, properties: object, key: str = "q") -> int:
    """Publish a message. Returns: the status."""
    message = {"properties": properties, "routing_key": key, "payload": "x", "payload_encoding": "string"}
    reply = http.ask("POST", "exchanges/%2F/amq.default/publish", message)
    assert reply.status in (200, 400), reply
    return reply.status


@pytest.mark.parametrize("name", TEXTS)
def test_texts(http: Http, consumer: Channel, name: str) -> None:
    for text in LARGEST:
        assert publish(http, {name: text}) == 200
        assert getattr(consumer.get("q", no_ack=True).properties, name) == text
    assert [publish(http, {name: text}) for text in TOO_LARGE] == [400, 400]


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("delivery_mode", (0, 1, 2, 255), (-1, 256, 1 << 64, 1.5, True, "1", [1])),
        ("priority", (0, 255), (-1, 256, 1 << 64, 1.5, True, "1")),
        ("timestamp", (0, 1, (1 << 64) - 1), (-1, 1 << 64, 1 << 80, 1.5, True, "now")),
        ("expiration", ("0", "60000"), ("-1", "1.5", "soon", "", " 1", "9" * 30, "9" * 300, 60_000)),
    ],
)
def test_numbers(http: Http, consumer: Channel, name: str, good: tuple[Any, ...], bad: tuple[Any, ...]) -> None:
    consumer.declare("numbers", exclusive=False, durable=True)
    for value in good:
        assert publish(http, {name: value}, "numbers") == 200
    if name != "expiration":
        assert [getattr(consumer.get("numbers", no_ack=True).properties, name) for _ in good] == list(good)
    assert [publish(http, {name: value}, "numbers") for value in bad] == [400] * len(bad)


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 500, "18446744073709551616", "-9223372036854775809"])
def test_headers_that_are_no_numbers(http: Http, number: str) -> None:
    for headers in ('{"n": %s}', '{"l": [%s]}', '{"o": {"p": %s}}'):
        text = '{"properties": {"headers": %s}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}'
        body = (text % (headers % number)).encode()
        http.ask("POST", "exchanges/%2F/amq.default/publish", body).expect(400)


def test_names_of_headers(http: Http, consumer: Channel) -> None:
    for name in LARGEST:
        assert publish(http, {"headers": {name: {name: [{name: 1}]}}}) == 200
        assert consumer.get("q", no_ack=True).properties.headers == {name: {name: [{name: 1}]}}
    for name in TOO_LARGE:
        assert publish(http, {"headers": {name: 1}}) == 400
        assert publish(http, {"headers": {"o": {name: 1}}}) == 400
        assert publish(http, {"headers": {"l": [{name: 1}]}}) == 400


def test_headers_fit_into_a_frame(http: Http, consumer: Channel) -> None:
    beside = 2 + 4 + 1 + 1 + 1 + 4  # flags; size of the table; name, type and size of the header
    assert publish(http, {"headers": {"h": "x" * (MAX_PROPERTIES - beside)}}) == 200
    assert consumer.get("q", no_ack=True).properties.headers == {"h": "x" * (MAX_PROPERTIES - beside)}
    assert publish(http, {"headers": {"h": "x" * (MAX_PROPERTIES - beside + 1)}}) == 400
    assert publish(http, {"headers": {"BCC": ["x" * 1_000] * 200}}) == 400


def test_texts_that_are_no_text(http: Http) -> None:
    for properties in ({"app_id": "\ud800"}, {"headers": {"\ud800": 1}}, {"headers": {"h": "\udcff"}}):
        assert publish(http, properties) == 400
    for key in ("routing_key", "payload", "payload_encoding"):
        message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string", key: "\ud800"}
        http.ask("POST", "exchanges/%2F/amq.default/publish", json.dumps(message).encode()).expect(400)


def test_properties_that_are_a_list(http: Http, consumer: Channel) -> None:
    assert publish(http, []) == 200
    assert consumer.get("q", no_ack=True).body == b"x"
    assert publish(http, [{"app_id": "a"}]) == 400


@pytest.mark.parametrize("number", ["1e999", "-1e999", "1" * 500])
def test_how_many_are_wanted_is_a_number(http: Http, number: str) -> None:
    for name in ("count", "truncate"):
        wanted = json.dumps({"ackmode": "ack_requeue_true", "encoding": "auto", "count": 1})[:-1]
        reply = http.ask("POST", "queues/%2F/q/get", f'{wanted}, "{name}": {number}}}'.encode())
        assert reply.status == (200 if (name, number[:2]) == ("truncate", "11") else 400)


@pytest.mark.parametrize("name", [*TOO_LARGE, "\ud800"])
def test_names_of_what_is_declared(http: Http, name: str) -> None:
    entries = {
        "queues": {"vhost": "/", "name": name, "durable": True},
        "exchanges": {"vhost": "/", "name": name, "type": "fanout"},
        "bindings": {
            "vhost": "/",
            "source": "amq.direct",
            "destination": "q",
            "destination_type": "queue",
            "routing_key": name,
        },
        "vhosts": {"name": name},
    }
    for section, entry in entries.items():
        http.ask("POST", "definitions", {section: [entry]}).expect(400)
    if name in TOO_LARGE:
        http.ask("PUT", f"queues/%2F/{'x' * 256}", {}).expect(400)
        http.ask("PUT", f"exchanges/%2F/{'x' * 256}", {"type": "fanout"}).expect(400)
        http.ask("PUT", f"vhosts/{'x' * 256}", {}).expect(400)


@pytest.mark.parametrize("way", ["argument", "policy"])
def test_dead_letters_under_a_key_that_is_too_long(http: Http, consumer: Channel, way: str) -> None:
    graves, mortal = f"graves of {way}", f"mortal by {way}"
    settings: dict[str, object] = {"dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": LONG}
    arguments = {f"x-{key}": value for key, value in settings.items()} if way == "argument" else {}
    policy = {"vhost": "/", "name": way, "pattern": f"^{mortal}$", "definition": settings, "priority": 0}
    queue = {"vhost": "/", "name": mortal, "durable": True, "arguments": {**arguments, "x-message-ttl": 1}}
    content = {"queues": [queue], "policies": [policy] if way == "policy" else []}
    http.ask("POST", "definitions", content).expect(204)
    consumer.declare(graves, exclusive=False, durable=True)
    consumer.bind(graves, "amq.fanout")
    assert publish(http, {}, mortal) == 200
    eventually(lambda: consumer.ready(graves) == 1)
    found = consumer.get(graves, no_ack=True)
    assert (found.body, found.routing_key) == (b"x", LONG[:255])


@pytest.mark.parametrize(
    "sent",
    [
        "GET /api/overview HTTP/1.1\r\nHost: x\r\nContent-Length: A-1\r\n\r\n",
        "GET /api/overview HTTP/1.1\r\n\r\n",
        "GET /api/overview HTTP/1.1\r\nHost: x\r\nbad header: x\r\n\r\n",
        "GET /api/overview HTTP/1.1\r\nHost: x\r\n" + "a: b\r\n" * 200 + "\r\n",
        "AMQP\0\0\x09\x01\r\n\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_the_words_of_the_api(place: Place, sent: str) -> None:
    with wire(place.api) as client:
        status, head, body = client.send(sent).answer()
        assert (status, json.loads(body)["error"]) == (400, "bad_request")
        assert "content-type: application/json\r\n" in head
        assert client.is_ended()
