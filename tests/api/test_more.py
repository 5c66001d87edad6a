"""What the recorded questions do not cover: names, forms, settings of the API, numbers as they move."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pika
import pytest

from tests.api.http import Http
from tests.api.place import INTERVAL_S, Started
from tests.brokers.process import Server
from tests.clients.waiting import eventually

V = "%2F"


@pytest.fixture
def http(started: Started) -> Http:
    """The administrator of the shared broker."""
    return Http(started.place.api)


def found(http: Http, path: str) -> Any:
    """What there is, as JSON."""
    return http.ask("GET", path).expect(200).json


def test_the_ready_line_says_where_the_api_is(started: Started, tmp_path: Path) -> None:
    assert started.server.api.startswith("http://127.0.0.1:")
    server = Server.start("--memory", "--management-port", "0", "--management-host", "0.0.0.0", "--json")
    try:
        line = json.loads(server.ready_line)
        assert found(Http(line["management_url"]), "whoami")["name"] == "guest"
    finally:
        server.stop()
    server = Server.start("--memory", "--management-port", "off", "--json")
    try:
        assert "management_url" not in json.loads(server.ready_line)
    finally:
        server.stop()


def test_a_prefix_of_all_paths() -> None:
    with Started.start("--management-prefix", "/rabbit/") as started:
        api = started.place.api
        assert found(Http(f"{api}/rabbit"), "whoami")["name"] == "guest"
        assert found(Http(api), "whoami")["name"] == "guest"
        Http(f"{api}/hare").ask("GET", "whoami").expect(404)


def test_rates_and_lengths_of_what_goes_on(started: Started, http: Http) -> None:
    http.ask("PUT", f"queues/{V}/moving", {"durable": True}).expect(201)
    path = f"queues/{V}/moving"
    with started.place.connect() as made:
        channel = made.channel()
        for _ in range(50):
            channel.basic_publish("", "moving", b"12345", pika.BasicProperties(delivery_mode=2))
        eventually(lambda: found(http, path)["message_stats"]["publish"] == 50)
    queue = found(http, path)
    assert (queue["messages"], queue["messages_ready"], queue["message_bytes"]) == (50, 50, 250)
    eventually(lambda: found(http, "overview")["queue_totals"]["messages"] >= 50)
    eventually(lambda: found(http, f"vhosts/{V}")["message_stats"]["publish"] >= 50)

    def rests() -> bool:
        queue = found(http, f"{path}?msg_rates_age=1&msg_rates_incr=1")
        details = queue["message_stats"]["publish_details"]
        samples = [each["sample"] for each in details["samples"]]
        return (details["rate"], samples, queue.get("idle_since", "")[:2]) == (0, [50, 50], "20")

    eventually(rests)
    http.ask("DELETE", "reset").expect(204)
    eventually(lambda: found(http, f"queues/{V}/moving")["message_stats"]["publish"] == 50)
    http.ask("DELETE", f"queues/{V}/moving").expect(204)


def test_names_that_are_no_utf8(http: Http) -> None:
    name = b"q\xff/ \xc3\xbc"
    http.ask("PUT", f"queues/{V}/{quote(name, safe='')}", {}).expect(400)
    text = name.decode("utf-8", "replace")
    http.ask("PUT", f"queues/{V}/{quote(text, safe='')}", {"durable": True}).expect(201)
    assert found(http, f"queues/{V}/{quote(text, safe='')}")["name"] == text
    assert found(http, f"queues/{V}?page=1&name={quote(text, safe='')}")["filtered_count"] == 1
    http.ask("DELETE", f"queues/{V}/{quote(text, safe='')}").expect(204)
    http.ask("GET", f"queues/{V}/{quote(name, safe='')}").expect(404)


def test_definitions_as_a_form(http: Http) -> None:
    text = json.dumps({"queues": [{"vhost": "/", "name": "from a form", "durable": True}]}).encode()

    def send(content: bytes, kind: str) -> int:
        return http.ask("POST", "definitions", content, Content_Type=kind).status

    field = b'Content-Disposition: form-data; name="file"; filename="d.json"\r\nContent-Type: application/json\r\n\r\n'
    assert send(b"--x\r\n" + field + text + b"\r\n--x--\r\n", "multipart/form-data; boundary=x") == 204
    assert found(http, f"queues/{V}/from%20a%20form")["durable"]
    http.ask("DELETE", f"queues/{V}/from%20a%20form").expect(204)
    assert send(b"--x--\r\n", "multipart/form-data; boundary=x") == 400
    assert send(text, "multipart/form-data") == 400


def test_exported_definitions_come_in_again(http: Http) -> None:
    http.ask("PUT", f"queues/{V}/kept", {"durable": True, "arguments": {"x-max-length": 7}}).expect(201)
    exported = http.ask("GET", "definitions").expect(200).body
    http.ask("DELETE", f"queues/{V}/kept").expect(204)
    http.ask("POST", "definitions", exported).expect(204)
    assert found(http, f"queues/{V}/kept")["arguments"]["x-max-length"] == 7
    http.ask("DELETE", f"queues/{V}/kept").expect(204)


def test_a_virtual_host_that_is_put_is_what_was_said_last(http: Http) -> None:
    body = {"description": "d", "tags": "a,b", "default_queue_type": "quorum", "tracing": True}
    http.ask("PUT", "vhosts/put", body).expect(201)
    shown = "vhosts/put?columns=description,tags,default_queue_type,tracing,protected_from_deletion"
    assert found(http, shown) == body | {"tags": ["a", "b"], "protected_from_deletion": False}
    http.ask("PUT", "vhosts/put", {"description": "e"}).expect(204)
    expected = {"description": "e", "tags": [], "default_queue_type": "classic", "tracing": True}
    assert found(http, shown) == expected | {"protected_from_deletion": False}
    http.ask("POST", "vhosts/put/deletion/protection").expect(204)
    http.ask("DELETE", "vhosts/put").expect(412)
    http.ask("DELETE", "vhosts/put/deletion/protection").expect(204)
    http.ask("DELETE", "vhosts/put").expect(204)


def test_queues_of_whoever_has_declared_them(http: Http) -> None:
    http.ask("PUT", "users/maker", {"password": "secret", "tags": "management"}).expect(201)
    http.ask("PUT", f"permissions/{V}/maker", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201)
    Http(http.api, "maker", "secret").ask("PUT", f"queues/{V}/made", {}).expect(201)
    assert [each["name"] for each in found(http, "users/maker/queues")] == ["made"]
    assert "made" not in [each["name"] for each in found(http, "users/guest/queues")]
    http.ask("DELETE", f"queues/{V}/made").expect(204)
    http.ask("DELETE", "users/maker").expect(204)


def test_what_came_back_to_a_quorum_queue_is_told(http: Http) -> None:
    names = ("messages_ready_returned", "messages_active_priorities", "messages_by_priority")
    for kind in ("quorum", "classic"):
        http.ask("PUT", f"queues/{V}/{kind}", {"durable": True, "arguments": {"x-queue-type": kind}}).expect(201)

    def figures() -> object:
        queue = found(http, f"queues/{V}/quorum")
        return [queue[name] for name in names]

    assert figures() == [0, 0, {}]
    for number in range(3):
        properties = {"priority": number}
        body = {"routing_key": "quorum", "payload": "x", "payload_encoding": "string", "properties": properties}
        http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(200)
    assert figures() == [0, 1, {"4": 3}]
    for _ in range(2):
        get = {"count": 2, "ackmode": "ack_requeue_true", "encoding": "auto"}
        http.ask("POST", f"queues/{V}/quorum/get", get).expect(200)
    assert figures() == [2, 1, {"4": 3}]
    assert not set(names) & found(http, f"queues/{V}/classic").keys()
    for kind in ("quorum", "classic"):
        http.ask("DELETE", f"queues/{V}/{kind}").expect(204)


def test_feature_flags_are_all_enabled(http: Http) -> None:
    told = http.ask("GET", "feature-flags").expect(200).json
    assert isinstance(told, list)
    assert [each["name"] for each in told] == sorted(each["name"] for each in told)
    assert {each["state"] for each in told} == {"enabled"}
    assert all(each["desc"] for each in told)
    stable = [each["name"] for each in told if each["stability"] == "stable"]  # which RabbitMQ's UI shows
    assert "rabbitmq_4.3.0" in stable
    for each in told:
        http.ask("PUT", f"feature-flags/{each['name']}/enable").expect(204)
    for name in ("khepri_db", "stream_queue", "nonsense"):
        assert http.ask("PUT", f"feature-flags/{name}/enable").expect(400).json == {
            "error": "bad_request",
            "reason": "unsupported",
        }


def test_delayed_retries_are_told(http: Http) -> None:
    arguments = {"x-queue-type": "quorum", "x-delayed-retry-type": "all", "x-delayed-retry-min": 60_000}
    http.ask("PUT", f"queues/{V}/later", {"durable": True, "arguments": arguments}).expect(201)
    body = {"routing_key": "later", "payload": "x", "payload_encoding": "string", "properties": {}}
    http.ask("POST", f"exchanges/{V}/amq.default/publish", body).expect(200)
    get = {"count": 1, "ackmode": "reject_requeue_true", "encoding": "auto"}
    assert len(http.ask("POST", f"queues/{V}/later/get", get).expect(200).json) == 1  # type: ignore[arg-type]
    queue = found(http, f"queues/{V}/later")
    assert (queue["delayed_retry"], queue["messages_delayed"]) == ("all", 1)
    http.ask("DELETE", f"queues/{V}/later").expect(204)


def test_memory_adds_up(http: Http) -> None:
    (node,) = found(http, "nodes")
    memory = found(http, f"nodes/{node['name']}/memory")["memory"]
    parts = sum(value for value in memory.values() if isinstance(value, int))
    assert parts == memory["total"]["rss"] > 1_000_000
    relative = found(http, f"nodes/{node['name']}/memory/relative")["memory"]
    assert 98 <= sum(value for name, value in relative.items() if name != "total") <= 100


def test_the_settings_in_effect(http: Http) -> None:
    reply = http.ask("GET", "config/effective").expect(200)
    assert reply.headers["content-type"].startswith("text/plain")
    settings: Any = json.loads(reply.body)
    assert settings["statistics_interval_ms"] == round(INTERVAL_S * 1000)


def test_every_answer_is_safe_to_show(http: Http) -> None:
    for path, status in (("whoami", 200), ("nothing", 404), ("login", 405)):
        headers = http.ask("GET", path).expect(status).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-cache"
        assert "default-src 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nX: " + b"x" * (80 << 10), b"400"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"POST /api/definitions HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n"
         b"Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\r\n", b"413"),
    ],
)  # fmt: skip
def test_requests_that_are_too_much(started: Started, sent: bytes, status: bytes) -> None:
    host, _, port = started.place.api.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), 10) as client:
        client.sendall(sent)
        assert client.recv(1_000).split(b" ")[1] == status
    assert found(Http(started.place.api), "whoami")["name"] == "guest"
