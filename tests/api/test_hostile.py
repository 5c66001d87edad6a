"""What no decent client of HTTP does: each ends with an answer or a closed connection, and others are served."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import pika
import pytest

import leveret
from leveret.api import bodies, server
from leveret.api.operations import OPERATIONS
from leveret.api.server import Stage
from leveret.api.sharing import PART
from leveret.api.turns import FEW, MOST_DOCUMENTS, MOST_LISTS
from leveret.node import api as node_api
from leveret.server import places
from tests.api.http import Http
from tests.api.raw import LOGIN, Wire, wire
from tests.api.strange import STRANGE, deep
from tests.clients.waiting import eventually

VERSION = "GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n"
QUEUE = "PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n" + LOGIN


@pytest.fixture(scope="module")
def shared() -> Iterator[leveret.Broker]:
    """A broker that tests leave as it was."""
    with leveret.Broker(management=True) as broker:
        yield broker


@pytest.fixture
def api(shared: leveret.Broker, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """Where its API is, which never fails inside."""
    yield shared.management_url
    assert Http(shared.management_url).ask("GET", "overview").status == 200
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


def drip(client: Wire, data: str, every_s: float = 0.05) -> bool:
    """Send something octet by octet. Returns: whether the connection ended meanwhile."""
    try:
        for octet in data:
            client.send(octet)
            time.sleep(every_s)
    except OSError:
        return True
    return False


# -- slow ones


def test_slow_headers_are_cut_off(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.TIMES, Stage.HEAD, 0.4)
    with wire(api) as silent, wire(api) as slow:
        assert drip(slow, "GET /api/version HTTP/1.1\r\nA: " + "b" * 200)
        assert silent.is_ended()


def test_slow_headers_of_a_later_request_are_cut_off_too(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.TIMES, Stage.HEAD, 0.4)
    with wire(api) as slow:
        slow.send(VERSION)
        assert slow.answer()[0] == 200
        assert drip(slow, "GET /api/version HTTP/1.1\r\nA: " + "b" * 200)
    with wire(api) as slow_after_many:
        slow_after_many.send(VERSION * 3 + "G")
        assert [slow_after_many.answer()[0] for _ in range(3)] == [200] * 3
        assert slow_after_many.is_ended()


def test_who_asks_for_nothing_any_more_is_cut_off(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.TIMES, Stage.IDLE, 0.3)
    monkeypatch.setitem(server.TIMES, Stage.HEAD, 60.0)
    with wire(api) as idle:
        idle.send(VERSION)
        assert idle.answer()[0] == 200
        assert idle.is_ended()


def test_a_slow_request_that_is_in_time_is_answered(api: str) -> None:
    with wire(api) as slow:
        for _ in range(2):
            assert not drip(slow, VERSION, every_s=0.002)
            assert slow.answer()[0] == 200


def test_a_slow_body_is_given_up(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    monkeypatch.setitem(server.TIMES, Stage.BODY, 0.3)
    with wire(api) as slow:
        slow.send(QUEUE + "Content-Length: 1000\r\n\r\n")
        drip(slow, "{" * 20, every_s=0.01)
        assert slow.status() == 408
        assert slow.is_ended()


@pytest.mark.parametrize("how", ["Content-Length: 1000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_that_nobody_reads_may_not_go_on_for_ever(api: str, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    monkeypatch.setitem(server.TIMES, Stage.BODY, 0.4)
    with wire(api) as slow:
        slow.send("PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n" + how)
        assert slow.answer()[0] == 401
        assert drip(slow, "1\r\nx\r\n" * 100)


def test_who_takes_nothing_of_an_answer_is_cut_off(
    managed: leveret.Broker, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "SEND_S", 0.5)
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(2000):
            channel.queue_declare(f"q{number:0200d}", durable=True)
    with wire(managed.management_url) as unread:
        for _ in range(30):
            unread.ask("GET", "/api/queues")
        found = http.ask("GET", "queues?columns=name&page=1").expect(200)  # nobody waits for who does not read
        assert b"q0" in found.body
        eventually(lambda: not open_clients(managed), within=20)
        assert http.ask("GET", "queues?columns=name").expect(200).body.count(b"name") == 2000


def open_clients(broker: leveret.Broker) -> int:
    """How many HTTP clients the broker has."""
    return broker._server.call(lambda: len(broker._server.node._api._open_ports[0].server._state.connections))  # type: ignore[union-attr]


def test_who_reads_slowly_gets_all(api: str, shared: leveret.Broker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "SEND_S", 0.3)
    monkeypatch.setitem(server.TIMES, Stage.IDLE, 0.3)
    body = json.dumps(
        {"properties": {}, "routing_key": "big", "payload": "x" * 3_000_000, "payload_encoding": "string"}
    )
    http = Http(api)
    http.ask("PUT", "queues/%2F/big", {}).expect(201)
    http.ask("POST", "exchanges/%2F/amq.default/publish", body.encode()).expect(200)
    wanted = json.dumps({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}).encode()
    with wire(api) as slow:
        slow.ask("POST", "/api/queues/%2F/big/get", body=wanted)
        size = 0
        while size < 3_000_000:
            piece = slow.socket.recv(60_000)
            assert piece
            size += len(piece)
            time.sleep(0.02)
    http.ask("DELETE", "queues/%2F/big").expect(204)


# -- large ones


def test_headers_are_bounded(api: str) -> None:
    for headers in ("A: " + "b" * 100_000, "A: b\r\n" * 200, "a:\r\n" * 60_000):
        with wire(api) as large:
            try:
                large.send("GET /api/version HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n\r\n")
                assert large.status() == 400
            except ConnectionError:
                pass  # the rest of it was not read
    with wire(api) as second:
        second.send(VERSION + "GET /api/version HTTP/1.1\r\nHost: x\r\n" + "a:\r\n" * 3000 + "\r\n")
        assert second.status() == 200
        assert second.is_ended()


def test_bodies_are_bounded_by_what_is_asked(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(server.TIMES, Stage.BODY, 0.5)
    with wire(api) as client:
        client.send(QUEUE + f"Content-Length: {2 << 20}\r\n\r\n")
        assert client.status() == 413
    with wire(api) as client:
        client.send(QUEUE + f"Content-Length: {'9' * 4300}\r\n\r\n")
        assert client.status() in (400, 413)
    with wire(api) as endless:
        endless.send(QUEUE + "Transfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):  # since it is cut off
            while True:
                endless.send(b"10000\r\n" + b"x" * 65536 + b"\r\n")
    http = Http(api)
    text = {"properties": {}, "routing_key": "nowhere", "payload": "x" * (2 << 20), "payload_encoding": "string"}
    http.ask("POST", "exchanges/%2F/amq.default/publish", text).expect(200)
    http.ask("POST", "definitions", b" " * (2 << 20) + b"{}").expect(204)
    http.ask("PUT", "queues/%2F/q", b" " * (1 << 20) + b"{}").expect(413)


def test_bodies_are_bounded_together(api: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "MOST", 1_000_000)
    large = b" " * 300_000 + b"{}"
    with wire(api, "127.0.0.2") as first, wire(api, "127.0.0.3") as second:
        for client in (first, second):
            client.send(QUEUE + "Content-Length: 500000\r\n\r\n").send(b" " * 450_000)
        http = Http(api)
        eventually(lambda: http.ask("PUT", "queues/%2F/q", large).status == 503)
    eventually(lambda: http.ask("PUT", "queues/%2F/q", large).status in (201, 204))
    http.ask("DELETE", "queues/%2F/q").expect(204)


@pytest.mark.parametrize("depth", [60, 250, 900, 20_000])
def test_values_in_values_in_values(managed: leveret.Broker, http: Http, depth: int) -> None:
    for operation in OPERATIONS:
        if operation.takes is None or operation.path.endswith(("/session", "/traces/{vhost}")):
            continue
        path = operation.path.format_map(dict.fromkeys(operation.parameters, "x")).lstrip("/")
        for body in deep(depth):
            for each in {path, path.replace("/x", "/%2F", 1).replace("/x", "/amq.direct", 1)}:
                reply = http.ask(operation.method, each, body)
                assert reply.status < 500, (operation.method, each, body[:60], reply.body)
    assert http.ask("GET", "definitions").status == 200


def test_nobody_has_more_than_a_part_of_what_bodies_may_take(
    shared: leveret.Broker, api: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Http(api).ask("GET", "whoami").expect(200)  # which loads the API
    services = shared._server.node._api._services
    assert services is not None
    monkeypatch.setattr(bodies, "MOST", 1_000_000)
    large = b" " * 300_000 + b"{}"
    with wire(api, "127.0.0.2") as first:
        first.send(QUEUE + "Content-Length: 500000\r\n\r\n").send(b" " * 450_000)
        eventually(lambda: services.bodies._taken.total() == 450_000)
        same = Http(api, source="127.0.0.2")
        eventually(lambda: same.ask("PUT", "queues/%2F/q", large).status == 503)
        Http(api, source="127.0.0.3").ask("PUT", "queues/%2F/q", large).expect(201, 204)
    eventually(lambda: same.ask("PUT", "queues/%2F/q", large).status == 204)
    same.ask("DELETE", "queues/%2F/q").expect(204)


# -- many


def test_a_pipeline_is_answered_in_order(api: str) -> None:
    with wire(api) as client:
        client.send((VERSION + "GET /api/whoami HTTP/1.1\r\nHost: x\r\n" + LOGIN + "\r\n") * 300)
        for _ in range(300):
            assert client.answer()[2] == b'"4.3.6"'
            assert b"guest" in client.answer()[2]


def test_connections_are_bounded_and_shared_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_api, "MOST_CLIENTS", 10)
    monkeypatch.setattr(places, "PATIENCE_S", 0.0)
    with leveret.Broker(management=True) as broker:
        api = broker.management_url
        first = [Wire(api, "127.0.0.2") for _ in range(5)]
        for client in first:
            client.send(VERSION)
            assert client.answer()[0] == 200
        more = Wire(api, "127.0.0.2")  # one address may have half of them
        assert first[0].is_ended()
        others = [Wire(api, "127.0.0.3") for _ in range(5)]
        eventually(lambda: open_clients(broker) == 10)
        newcomer = Wire(api, "127.0.0.4")
        newcomer.send(VERSION)
        assert newcomer.answer()[0] == 200
        eventually(lambda: open_clients(broker) == 10)
        for client in (*first, *others, more, newcomer):
            client.close()
        eventually(lambda: not open_clients(broker))


def test_who_has_just_come_is_not_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_api, "MOST_CLIENTS", 4)
    monkeypatch.setattr(places, "PATIENCE_S", 60.0)
    with leveret.Broker(management=True) as broker:
        api = broker.management_url
        first = [Wire(api) for _ in range(2)]
        for client in first:
            client.send(VERSION)
            assert client.answer()[0] == 200
        with wire(api) as late:
            assert late.is_ended()
        for client in first:
            client.send(VERSION)
            assert client.answer()[0] == 200
            client.close()


def test_places_of_http_are_none_of_those_of_amqp() -> None:
    assert node_api.places_for(1024) == 128
    assert node_api.places_for(1 << 20) == 1000
    with leveret.Broker(management=True) as broker:
        node = broker._server.node
        assert node._guests.most_sockets + node._api._places <= node._api._max_files


@pytest.fixture
def long_lists(managed: leveret.Broker) -> leveret.Broker:
    """A broker with so many queues that a list of them does not fit into what a socket takes unread."""
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(3000):
            channel.queue_declare(f"q{number:0200d}", durable=True)
    return managed


def turns_of(broker: leveret.Broker) -> Any:
    """The turns of its API."""
    return broker._server.node._api._services.turns  # type: ignore[union-attr]


def test_who_asks_for_many_lists_leaves_some_to_others(long_lists: leveret.Broker) -> None:
    api = long_lists.management_url
    most = MOST_LISTS // PART
    greedy = [Wire(api, "127.0.0.2") for _ in range(most)]
    for client in greedy:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.ask("GET", "/api/queues")
    eventually(lambda: turns_of(long_lists).lists._taken.total() == most)
    with wire(api, "127.0.0.2") as one_more, wire(api, "127.0.0.3") as other:
        one_more.ask("GET", "/api/queues?page=1")
        status, _, body = one_more.answer()
        assert status == 503
        assert b"too many lists" in body
        other.ask("GET", "/api/queues?page=1")
        assert other.answer()[0] == 200
    for client in greedy:
        client.close()


def test_few_documents_are_in_memory_at_once(long_lists: leveret.Broker) -> None:
    api = long_lists.management_url
    most = MOST_DOCUMENTS // PART
    greedy = [Wire(api, "127.0.0.2") for _ in range(most)]
    for client in greedy:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.ask("GET", "/api/definitions")
    eventually(lambda: turns_of(long_lists).documents._taken.total() == most)
    same, other = Http(api, source="127.0.0.2"), Http(api, source="127.0.0.3")
    same.ask("GET", "definitions").expect(503)
    same.ask("POST", "leveret/verbs/export_definitions", {}).expect(503)
    same.ask("GET", "overview").expect(200)
    other.ask("GET", "definitions").expect(200)
    assert other.ask("POST", "leveret/verbs/export_definitions", {}).expect(200).body.count(b'"q0') == 3000
    for client in greedy:
        client.close()
    eventually(lambda: turns_of(long_lists).documents._taken.total() == 0)


def test_what_is_asked_by_who_has_gone_is_given_up(long_lists: leveret.Broker) -> None:
    turns, call = turns_of(long_lists), long_lists._server.call
    api = long_lists.management_url

    def fill() -> None:
        turns.few._free -= FEW

    def empty() -> None:
        for _ in range(FEW):
            turns.few._give()

    call(fill)  # so that all others wait
    clients = [Wire(api) for _ in range(10)]
    for number, client in enumerate(clients):
        client.ask("GET", "/api/queues?sort=memory" if number % 2 else "/api/connections")
    eventually(lambda: turns.lists._taken.total() == 10)
    for client in clients:
        client.close()
    eventually(lambda: turns.lists._taken.total() == 0)
    call(empty)
    assert Http(api).ask("GET", "queues?page=1").status == 200
    assert turns.few._free == FEW


def test_who_has_gone_has_still_changed_what_it_wanted(long_lists: leveret.Broker) -> None:
    api = long_lists.management_url
    body = b'{"pattern":"^q","definition":{"max-length":7},"apply-to":"queues"}'
    with wire(api) as hasty:
        hasty.ask("PUT", "/api/policies/%2F/hasty", body=body)
    eventually(lambda: Http(api).ask("GET", "policies/%2F/hasty").status == 200)


# -- strange ones


@pytest.mark.parametrize("line", STRANGE)
@pytest.mark.parametrize("login", [LOGIN, ""])
def test_strange_requests(api: str, line: str, login: str) -> None:
    with wire(api) as client:
        client.send(f"{line}\r\nHost: x\r\nConnection: close\r\n{login}\r\n")
        head = client.head()
        status = int(head.split(" ", 2)[1]) if head else 400
        assert 200 <= status < 500, head
        assert "evil" not in head.lower()
        assert client.is_ended()


@pytest.mark.parametrize(
    "headers",
    [
        "Authorization: Basic",
        "Authorization: Basic =",
        "Authorization: Basic /////w==",
        "Authorization: Basic Og==",
        "Authorization: Bearer x",
        "Authorization: Basic " + "A" * 10_000,
        "Cookie: ; ;=;=x;leveret",
        "Cookie: leveret-1=\xff",
        "Content-Length: -1",
        "Content-Length: 1, 2",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: gzip",
        "Host: y",
        "X-Y : z",
        " folded: yes",
        "Upgrade: websocket\r\nConnection: Upgrade",
        "Expect: 200-ok",
        "Origin: http://[",
        "Range: bytes=0-1",
        "Accept: \xff",
        "Content-Type: multipart/form-data",
        "Content-Type: multipart/form-data; boundary=",
        "Content-Type: \xff; boundary=\xff",
    ],
)
@pytest.mark.parametrize("first", ["GET /api/overview", "POST /api/definitions", "POST /api/leveret/session"])
def test_strange_headers(api: str, monkeypatch: pytest.MonkeyPatch, headers: str, first: str) -> None:
    monkeypatch.setattr(bodies, "BODY_S", 0.3)
    login = "" if headers.startswith(("Authorization", "Cookie")) else LOGIN
    with wire(api) as client:
        client.send(f"{first} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n{login}\r\n")
        assert client.status() not in (500, 501, 502)
        client.socket.shutdown(1)
        assert client.is_ended()


def test_a_second_request_within_a_first_one_is_not_answered_early(api: str) -> None:
    with wire(api) as client:
        client.send(QUEUE + "Connection: close\r\nContent-Length: 2\r\n\r\n{}" + VERSION)
        assert client.status() in (201, 204)
        assert client.is_ended()
    with wire(api) as broken:
        broken.send(QUEUE + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
        assert broken.status() == 400
        assert broken.is_ended()
    with wire(api) as refused:
        refused.send("PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert refused.answer()[0] == 401
        refused.send("zz\r\n")
        assert refused.is_ended()
    Http(api).ask("DELETE", "queues/%2F/q").expect(204)


def test_names_do_not_end_headers(api: str) -> None:
    http = Http(api)
    name = "a%0d%0aX-Evil: yes"
    quoted = name.replace(" ", "%20")
    http.ask("PUT", f"queues/%2F/{quoted}", {}).expect(201, 400)
    where = f"bindings/%2F/e/amq.direct/q/{quoted}"
    reply = http.ask("POST", where, {"routing_key": "x\r\nX-Evil: yes", "arguments": {"a\r\nX-Evil": "b\r\n\r\n"}})
    assert "x-evil" not in reply.headers
    assert reply.status in (201, 404)
    http.ask("DELETE", f"queues/%2F/{quoted}").expect(204, 404)


def test_a_reason_is_told_in_bounds(managed: leveret.Broker, http: Http) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(managed.url))
    listed: Any = http.ask("GET", "connections").json
    name = listed[0]["name"].replace(" ", "%20").replace(">", "%3E")
    http.ask("DELETE", f"connections/{name}", X_Reason="x" * 9_000 + "\xe4").expect(204)
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(5)
    assert len(closed.value.reply_text.encode()) <= 255
    assert "xxx" in closed.value.reply_text


def test_small_things_of_http(api: str) -> None:
    with wire(api) as client:
        client.ask("HEAD", "/api/overview")
        head = client.head()
        assert " 200 " in head.split("\r\n")[0]
        client.ask("OPTIONS", "/api/overview")
        assert "allow: HEAD, GET, OPTIONS" in client.answer()[1]
        client.ask("HEAD", "/api/queues")
        assert client.status() == 200
        client.ask("GET", "/api/whoami")
        assert client.answer()[0] == 200
    with wire(api) as old:
        old.send("GET /api/queues HTTP/1.0\r\n" + LOGIN + "\r\n")
        head = old.head()
        assert " 200 " in head.split("\r\n")[0]
        assert "transfer-encoding" not in head
        assert old.is_ended()
    with wire(api) as careful:
        careful.send(QUEUE + "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert careful.status() == 100
        careful.send("{}")
        assert careful.status() == 201
    with wire(api) as unwelcome:
        unwelcome.send("PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert unwelcome.status() == 401
    Http(api).ask("DELETE", "queues/%2F/q").expect(204)


def test_a_filter_that_takes_long_is_given_up(managed: leveret.Broker, http: Http) -> None:
    with pika.BlockingConnection(pika.URLParameters(managed.url)) as connection:
        channel = connection.channel()
        for number in range(500):
            channel.queue_declare("a" * 200 + f"!{number}")
        asked = threading.Thread(target=http.ask, args=("GET", "queues?page=1&use_regex=true&name=%5E(a%2B)%2B%24"))
        asked.start()
        while asked.is_alive():
            channel.queue_declare("a" * 200 + "!1", passive=True)
        asked.join()


def test_tls_and_no_tls(tmp_path: Any) -> None:
    with leveret.Broker(management=True) as plain, wire(plain.management_url) as client:
        context = ssl.create_default_context()
        with pytest.raises(OSError):  # noqa: PT011 - whatever OpenSSL calls it
            context.wrap_socket(client.socket, server_hostname="localhost")
