"""Consumers with a lease: what they get, what becomes of it, and when they end."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import socket
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pika
import pytest

import leveret
from leveret.api import leases
from leveret.api.streaming import Presence
from leveret.api.views import consuming
from leveret.core.client.leased import CALLER
from leveret.core.message.message import Message, address
from leveret.wire.content import make_content
from leveret.wire.properties import BasicProperties
from tests.api.http import Http
from tests.api.messaging import Asking, Consumer, V, counts, declare, put
from tests.api.raw import LOGIN, Wire, wire
from tests.clients.waiting import eventually

PASSWORD = "secret"


@pytest.fixture(scope="module")
def shared() -> Iterator[leveret.Broker]:
    """A broker that these tests share; each has queues of its own."""
    with leveret.Broker(management=True) as broker:
        yield broker


@pytest.fixture
def http(shared: leveret.Broker, caplog: pytest.LogCaptureFixture) -> Iterator[Http]:
    """Its guest. Nothing fails inside the broker meanwhile, and no consumer is left."""
    http = Http(shared.management_url)
    yield http
    found: Any = http.ask("GET", "leveret/consumers").expect(200).json
    for each in found:
        http.ask("DELETE", f"leveret/consumers/{each['id']}").expect(204)
    core = shared._server.node.broker
    assert core.leased == 0
    assert core.users.user("guest").connections == sum(core.vhosts[each].connections for each in core.vhosts)
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []


@pytest.fixture
def queue(http: Http, request: pytest.FixtureRequest) -> str:
    """A queue of this test's own."""
    name = request.node.name
    declare(http, name)
    return str(name)


@pytest.fixture
def own(managed: leveret.Broker) -> Http:
    """The guest of a broker of the test's own, whose clock can be moved."""
    return Http(managed.management_url)


def is_waiting(consumer: Consumer) -> bool:
    """Whether somebody waits for its messages."""
    return consumer.show()["state"] in ("waiting", "streaming")


def someone(shared: leveret.Broker, http: Http, name: str, read: str = ".*", vhost: str = V) -> Http:
    """A user without a tag, who may do no more than read."""
    http.ask("PUT", f"users/{name}", {"password": PASSWORD, "tags": ""}).expect(201, 204)
    rights = {"configure": "", "write": "", "read": read}
    http.ask("PUT", f"permissions/{vhost}/{name}", rights).expect(201, 204)
    return Http(shared.management_url, name, PASSWORD)


# -- messages


def test_messages_come_and_are_settled(shared: leveret.Broker, http: Http, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(shared.url)) as connection:
        properties = pika.BasicProperties(content_type="text/plain", headers={"n": 1}, message_id="m")
        connection.channel().basic_publish("", queue, b"one", properties)
        connection.channel().basic_publish("", queue, b"\xff")
    consumer = Consumer(http, queue)
    assert consumer.receive() == [
        {
            "tag": 1,
            "redelivered": False,
            "exchange": "",
            "routing_key": queue,
            "properties": {"content_type": "text/plain", "headers": {"n": 1}, "message_id": "m"},
            "payload_bytes": 3,
            "payload_encoding": "string",
            "payload": "one",
        },
        {
            "tag": 2,
            "redelivered": False,
            "exchange": "",
            "routing_key": queue,
            "properties": {},
            "payload_bytes": 1,
            "payload_encoding": "base64",
            "payload": "/w==",
        },
    ]
    assert counts(shared, queue) == (0, 2)
    assert consumer.settle(ack=[1]) == {"settled": 1, "unknown": [], "outstanding": 1}
    assert counts(shared, queue) == (0, 1)
    assert consumer.settle(ack=[2, 2, 9]) == {"settled": 1, "unknown": [2, 9], "outstanding": 0}
    assert counts(shared, queue) == (0, 0)


def test_a_request_that_is_sent_twice_settles_once(http: Http, queue: str) -> None:
    put(http, queue, "one")
    consumer = Consumer(http, queue)
    assert consumer.bodies() == ["one"]
    assert consumer.settle(ack=[1])["settled"] == 1
    assert consumer.settle(ack=[1]) == {"settled": 0, "unknown": [1], "outstanding": 0}


def test_what_becomes_of_messages(shared: leveret.Broker, http: Http, queue: str) -> None:
    declare(http, "graves")
    limited: dict[str, Any] = {"x_queue_type": "quorum", "x_delivery_limit": 1}
    dead: dict[str, Any] = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": "graves"}
    declare(http, "limited", **limited, **dead)
    put(http, "limited", "a", "b", "c", "d")
    consumer = Consumer(http, "limited")
    assert consumer.bodies() == ["a", "b", "c", "d"]
    assert consumer.settle(ack=[1], reject=[2], requeue=[3], release=[4])["outstanding"] == 0
    assert [(each["payload"], each["tag"]) for each in consumer.receive()] == [("c", 5), ("d", 6)]
    assert consumer.settle(requeue=[5], release=[6])["settled"] == 2
    assert consumer.bodies() == ["d!"]  # release does not count
    assert consumer.settle(ack=[7])["settled"] == 1
    eventually(lambda: counts(shared, "graves") == (2, 0))
    letters = Consumer(http, "graves").receive()
    reasons = [each["properties"]["headers"]["x-first-death-reason"] for each in letters]
    assert [each["payload"] for each in letters] == ["b", "c"]
    assert reasons == ["rejected", "delivery_limit"]
    http.ask("DELETE", f"queues/{V}/graves").expect(204)


def test_all_that_is_unsettled_is_released(http: Http, queue: str) -> None:
    put(http, queue, "one", "two", "three")
    consumer = Consumer(http, queue)
    assert consumer.bodies(2) == ["one", "two"]
    assert consumer.show()["unsettled"] == [1, 2]
    assert consumer.settle(release="all")["settled"] == 2
    assert consumer.bodies() == ["one!", "two!", "three"]


def test_a_call_waits_for_a_message(http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    waiting = consumer.wait(10)
    eventually(lambda: is_waiting(consumer))
    assert not waiting.is_answered
    put(http, queue, "late")
    found: Any = waiting.reply().expect(200).json
    assert [each["payload"] for each in found["messages"]] == ["late"]
    assert consumer.show()["state"] == "idle"


def test_a_call_that_waits_in_vain(http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    assert consumer.receive(wait=1) == []
    assert consumer.receive(wait=0) == []


def test_as_many_messages_as_are_wanted(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, *"abcdefgh")
    consumer = Consumer(http, queue, prefetch=5)
    found: Any = consumer.ask("POST", "/receive").expect(200).json
    assert len(found["messages"]) == 1
    assert consumer.bodies(3) == ["b", "c", "d"]
    assert counts(shared, queue) == (4, 4)  # nothing waits for somebody who does not ask
    assert consumer.bodies(10) == ["e"]
    assert consumer.receive(10) == []  # the window is full
    consumer.settle(ack=[1, 2])
    assert consumer.bodies(10) == ["f", "g"]


def test_large_messages_come_one_at_a_time(http: Http, queue: str) -> None:
    large = "x" * 3_000_000
    for _ in range(3):
        http.ask("POST", f"leveret/queues/{V}/{queue}/messages", large.encode()).expect(201)
    consumer = Consumer(http, queue)
    first = consumer.receive(10)
    assert [each["payload_encoding"] for each in first] == ["base64", "base64"]
    assert [base64.b64decode(each["payload"]) for each in first] == [large.encode()] * 2
    assert [each["payload_bytes"] for each in consumer.receive(10)] == [3_000_000]


def test_a_body_as_it_is(http: Http, queue: str) -> None:
    given = '{"headers":{"n":1},"message_id":"\\u00fc"}'
    path = f"leveret/queues/{V}/{queue}/messages"
    http.ask("POST", path, bytes(range(256)), Content_Type="image/png", Leveret_Properties=given).expect(201)
    consumer = Consumer(http, queue)
    reply = consumer.ask("POST", "/receive?raw=true&wait=0").expect(200)
    assert reply.body == bytes(range(256))
    told = {name: value for name, value in reply.headers.items() if name.startswith(("leveret", "content-"))}
    assert told == {
        "content-type": "image/png",
        "content-length": "256",
        "content-disposition": "attachment",
        "content-security-policy": "default-src 'none'; sandbox",
        "leveret-delivery-tag": "1",
        "leveret-redelivered": "false",
        "leveret-exchange": "",
        "leveret-routing-key": queue,
        "leveret-properties": '{"content_type":"image/png","headers":{"n":1},"delivery_mode":2,"message_id":"\\u00fc"}',
    }
    assert consumer.ask("POST", "/receive?raw=true&wait=0").expect(204).body == b""
    http.ask("POST", path, b"", Content_Type="").expect(201)
    assert consumer.ask("POST", "/receive?raw=true&wait=0").expect(200).headers["content-length"] == "0"


@pytest.mark.parametrize(
    "properties",
    [
        pika.BasicProperties(content_type="text/html\r\nX-Evil: 1", message_id="a\r\nb\x00"),
        pika.BasicProperties(content_type="ü", type="\u2028"),
        pika.BasicProperties(content_type=" "),
        pika.BasicProperties(content_encoding="gzip", headers={"k" * 200: "\r\n" * 20_000}),
    ],
)
def test_whatever_a_publisher_says_a_header_stays_one(
    shared: leveret.Broker, http: Http, queue: str, properties: Any
) -> None:
    with pika.BlockingConnection(pika.URLParameters(shared.url)) as connection:
        channel = connection.channel()
        channel.exchange_declare("e\x01: ü", "fanout", auto_delete=True)
        channel.queue_bind(queue, "e\x01: ü")
        channel.basic_publish("e\x01: ü", "k\r\n\r\n", b"<script>", properties)
        reply = http.ask("POST", f"leveret/queues/{V}/{queue}/receive?raw=true&wait=0").expect(200)
        channel.queue_unbind(queue, "e\x01: ü")
    assert reply.body == b"<script>"
    assert "x-evil" not in reply.headers
    assert "content-encoding" not in reply.headers  # clients would unpack what may not be packed
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["leveret-routing-key"] == "k%0D%0A%0D%0A"
    assert reply.headers["leveret-exchange"] == "e%01%3A%20%C3%BC"
    assert ("leveret-left-out" in reply.headers) == (properties.headers is not None)
    assert len(str(reply.headers)) < 20_000


# -- one request


def test_one_request_takes_messages(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one", "two", "three")
    path = f"leveret/queues/{V}/{queue}/receive"
    assert http.ask("POST", f"{path}?raw=true").expect(200).body == b"one"
    found: Any = http.ask("POST", f"{path}?max=10").expect(200).json
    assert [each["payload"] for each in found["messages"]] == ["two", "three"]
    assert counts(shared, queue) == (0, 0)
    assert http.ask("POST", f"{path}?wait=0").expect(200).json == {"messages": []}
    assert http.ask("GET", "leveret/consumers").json == []


def test_one_request_waits(http: Http, queue: str) -> None:
    waiting = Asking(http, "POST", f"leveret/queues/{V}/{queue}/receive?raw=true&wait=60")
    found: Any = None

    def is_consuming() -> bool:
        nonlocal found
        found = [each for each in http.ask("GET", "consumers").json if each["queue"]["name"] == queue]  # type: ignore[attr-defined]
        return bool(found)

    eventually(is_consuming)
    assert found[0]["channel_details"]["name"] == "HTTP consumer of guest from 127.0.0.1"
    put(http, queue, "late")
    assert waiting.reply().expect(200).body == b"late"


# -- leases


def test_a_consumer_ends_with_its_lease(managed: leveret.Broker, own: Http) -> None:
    declare(own, "q")
    put(own, "q", "one", "two", "three")
    consumer = Consumer(own, "q", lease=30)
    assert consumer.bodies(2) == ["one", "two"]
    managed.clock.advance(29)
    consumer.settle()  # which renews it
    managed.clock.advance(29)
    consumer.receive(1)
    managed.clock.advance(29)
    assert consumer.show()["expires_in"] in (0, 1)  # which does not
    assert counts(managed, "q") == (0, 3)
    managed.clock.advance(2)
    assert counts(managed, "q") == (3, 0)
    assert consumer.why_over() == "this consumer has ended: its lease has run out; its messages were requeued"
    for method, path in (("POST", "/receive"), ("GET", "/events"), ("POST", "/acks"), ("DELETE", "")):
        consumer.ask(method, path).expect(404)
    assert Consumer(own, "q").bodies() == ["one!", "two!", "three!"]


def test_a_lease_does_not_run_while_a_call_waits(managed: leveret.Broker, own: Http) -> None:
    declare(own, "q")
    consumer = Consumer(own, "q", lease=5)
    waiting = consumer.wait()
    eventually(lambda: is_waiting(consumer))
    managed.clock.advance(minutes=10)
    assert consumer.show()["expires_in"] is None
    put(own, "q", "late")
    assert waiting.reply().status == 200
    managed.clock.advance(4)
    assert counts(managed, "q") == (0, 1)
    managed.clock.advance(2)
    assert counts(managed, "q") == (1, 0)


def test_a_message_may_be_outstanding_as_long_as_the_queue_allows(managed: leveret.Broker, own: Http) -> None:
    own.ask("PUT", f"policies/{V}/p", {"pattern": ".*", "definition": {"consumer-timeout": 120_000}}).expect(201)
    declare(own, "q")
    put(own, "q", "one", "two")
    consumer = Consumer(own, "q", lease=3600)
    assert consumer.bodies(1) == ["one"]
    managed.clock.advance(60)
    assert consumer.bodies(1) == ["two"]
    managed.clock.advance(59)
    assert counts(managed, "q") == (0, 2)
    managed.clock.advance(2)
    assert counts(managed, "q") == (2, 0)
    assert "a message was not settled within 120000 ms" in consumer.why_over()


def test_time_that_passes_by_itself_ends_no_lease(managed: leveret.Broker, own: Http) -> None:
    declare(own, "q", x_message_ttl=1000)
    consumer = Consumer(own, "q", lease=30)
    with managed.clock.auto():
        put(own, "q", "brief")
        eventually(lambda: counts(managed, "q") == (0, 0))
    consumer.show()


def test_a_consumer_is_deleted(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one", "two")
    consumer = Consumer(http, queue)
    assert consumer.bodies() == ["one", "two"]
    consumer.ask("DELETE").expect(204)
    assert counts(shared, queue) == (2, 0)
    consumer.ask("DELETE").expect(404)
    assert "it was deleted" in consumer.why_over()


def test_many_messages_go_back_in_order(shared: leveret.Broker, http: Http, queue: str) -> None:
    lines = b"\n".join(b'{"routing_key":"%s","payload":"%d"}' % (queue.encode(), at) for at in range(3000))
    http.ask("POST", f"leveret/exchanges/{V}/amq.default/batch", lines).expect(201)
    consumer = Consumer(http, queue, prefetch=1000)
    assert len(consumer.receive(1000)) == 1000
    waiting = Consumer(http, queue)
    consumer.ask("DELETE").expect(204)
    eventually(lambda: counts(shared, queue) == (3000, 0))
    assert waiting.bodies(10) == [f"{at}!" for at in range(10)]
    assert Consumer(http, queue, prefetch=1000).bodies(1000)[989:991] == ["999!", "1000"]


# -- a stream


class Stream:
    """The events of a consumer."""

    def __init__(self, api: str, consumer: Consumer, *headers: str, login: str = LOGIN) -> None:
        self.wire = Wire(api)
        lines = (f"GET /api/{consumer.path}/events HTTP/1.1", "Host: x", login.strip(), *headers, "", "")
        self.wire.send("\r\n".join(lines))
        assert " 200 " in self.wire.head()
        self._read = b""

    def event(self) -> dict[str, str]:
        """The next one, by its fields."""
        while True:
            while b"\n\n" not in self._read:
                size = b""
                while not size.endswith(b"\r\n"):
                    octet = self.wire.socket.recv(1)
                    if not octet:
                        raise EOFError
                    size += octet
                left = int(size, 16) + 2
                if left == 2:
                    raise EOFError
                while left:
                    piece = self.wire.socket.recv(left)
                    assert piece
                    left -= len(piece)
                    self._read += piece
                self._read = self._read.removesuffix(b"\r\n")
            text, _, self._read = self._read.partition(b"\n\n")
            fields = dict(line.split(": ", 1) for line in text.decode().split("\n") if ": " in line)
            if "event" in fields:
                return fields


def test_messages_come_as_events(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one")
    consumer = Consumer(http, queue, prefetch=2)
    stream = Stream(shared.management_url, consumer)
    first = stream.event()
    assert (first["event"], first["id"]) == ("message", "1")
    assert '"payload":"one"' in first["data"]
    put(http, queue, "two\nlines", "three")
    second = stream.event()
    assert second["id"] == "2"
    assert '"payload":"two\\nlines"' in second["data"]
    assert counts(shared, queue) == (1, 2)  # its prefetch
    consumer.settle(ack=[1])
    assert '"payload":"three"' in stream.event()["data"]
    stream.wire.close()
    eventually(lambda: not is_waiting(consumer))
    assert counts(shared, queue) == (0, 2)


def test_a_stream_tells_why_it_ends(shared: leveret.Broker, http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    stream = Stream(shared.management_url, consumer)
    eventually(lambda: is_waiting(consumer))
    other = Stream(shared.management_url, consumer)
    assert stream.event() == {
        "event": "end",
        "data": '{"reason":"another call now receives the messages of this consumer"}',
    }
    with pytest.raises(EOFError):
        stream.event()
    http.ask("DELETE", f"queues/{V}/{queue}").expect(204)
    assert other.event() == {"event": "end", "data": '{"reason":"its queue is gone"}'}


def test_a_stream_goes_on_where_it_was_cut(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one", "two", "three")
    consumer = Consumer(http, queue)
    stream = Stream(shared.management_url, consumer)
    assert [stream.event()["id"] for _ in range(3)] == ["1", "2", "3"]
    stream.wire.close()
    eventually(lambda: not is_waiting(consumer))
    again = Stream(shared.management_url, consumer, "Last-Event-ID: 1")
    found = again.event()
    assert (found["id"], '"payload":"two"' in found["data"], '"redelivered":true' in found["data"]) == ("4", True, True)
    assert again.event()["id"] == "5"
    assert consumer.show()["unsettled"] == [1, 4, 5]
    again.wire.close()


def test_the_lease_of_a_stream_runs_while_something_is_unsettled(managed: leveret.Broker, own: Http) -> None:
    declare(own, "q")
    consumer = Consumer(own, "q", lease=30)
    stream = Stream(managed.management_url, consumer)
    eventually(lambda: is_waiting(consumer))
    managed.clock.advance(minutes=5)
    put(own, "q", "one")
    stream.event()
    managed.clock.advance(29)
    consumer.settle(ack=[1])
    managed.clock.advance(minutes=5)
    put(own, "q", "two")
    stream.event()
    managed.clock.advance(31)
    assert stream.event() == {"event": "end", "data": '{"reason":"its lease has run out"}'}
    assert counts(managed, "q") == (1, 0)


def test_to_ask_for_the_head_of_a_stream_takes_nothing(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one")
    consumer = Consumer(http, queue)
    assert consumer.ask("HEAD", "/events").expect(200).headers["content-type"].startswith("text/event-stream")
    assert http.ask("HEAD", "leveret/events").status == 200
    assert counts(shared, queue) == (1, 0)


# -- clients that go away


def test_a_call_whose_client_is_gone_takes_nothing(shared: leveret.Broker, http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    client = Wire(shared.management_url)
    client.ask("POST", f"/api/{consumer.path}/receive?wait=60")
    eventually(lambda: is_waiting(consumer))
    client.close()
    eventually(lambda: not is_waiting(consumer))
    put(http, queue, "one")
    assert counts(shared, queue) == (1, 0)
    assert consumer.bodies() == ["one"]


@pytest.mark.parametrize("kind", ["leased", "once", "stream"])
def test_a_client_that_goes_while_it_is_answered_loses_nothing(
    shared: leveret.Broker, http: Http, queue: str, kind: str
) -> None:
    body = b"x" * 15_000_000
    http.ask("POST", f"leveret/queues/{V}/{queue}/messages", body).expect(201)
    put(http, queue, "small")
    consumer = Consumer(http, queue)
    path = {
        "leased": ("POST", f"{consumer.path}/receive?max=10"),
        "once": ("POST", f"leveret/queues/{V}/{queue}/receive?raw=true"),
        "stream": ("GET", f"{consumer.path}/events"),
    }[kind]
    with wire(shared.management_url) as client:
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.ask(path[0], f"/api/{path[1]}")
        assert client.status() == 200
        assert counts(shared, queue)[1] >= 1
    eventually(lambda: counts(shared, queue) == (2, 0))
    assert http.ask("GET", "leveret/consumers").json[0]["unsettled"] == []  # type: ignore[index]
    found = consumer.receive(2)
    assert [(each["payload_bytes"], each["redelivered"]) for each in found] == [(15_000_000, True)]


def leased_of(broker: leveret.Broker, consumer: Consumer) -> tuple[Any, Any]:
    """What the API of a broker knows of consumers, and of this one."""
    found = broker._server.node._api._services.leases  # type: ignore[union-attr]
    return found, found._leased[consumer.made["id"]]


def test_a_message_that_comes_as_the_client_goes_is_back(shared: leveret.Broker, http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    found, leased = leased_of(shared, consumer)

    async def scenario() -> list[Any]:
        presence = Presence()
        with leases.Call(found, leased, CALLER, presence) as call:
            waiting = asyncio.ensure_future(call.wait(10, 1000, 60.0))
            await asyncio.sleep(0)
            shared._server.node.broker.vhosts["/"].queues[queue].publish(message(queue), None)
            leased.do(lambda: None)
            assert leased.consumer.outstanding() == [1]
            presence.end()
            return list(await waiting)

    assert shared._server.run(scenario()) == []
    assert counts(shared, queue) == (1, 0)


def message(queue: str) -> Message:
    """One for a queue."""
    return Message(address("", queue), make_content(BasicProperties().encode(), b"x"), False)


@pytest.mark.parametrize("is_gone", [True, False])
def test_an_answer_counts_as_sent_when_most_of_it_is_on_its_way(
    shared: leveret.Broker, http: Http, queue: str, is_gone: bool
) -> None:
    put(http, queue, "one")
    consumer = Consumer(http, queue)
    found, leased = leased_of(shared, consumer)

    async def scenario() -> list[bytes]:
        presence, context = Presence(), contextlib.ExitStack()
        call = context.enter_context(leases.Call(found, leased, CALLER, presence))
        arrived = await call.wait(1, 1000, 60.0)

        async def body() -> AsyncGenerator[bytes]:
            yield b"body"

        pieces = consuming._handed_over(context, call, arrived, body(), lambda: None)
        sent = [await anext(pieces), await anext(pieces)]
        if is_gone:
            presence.end()
        return sent + [piece async for piece in pieces]

    assert shared._server.run(scenario()) == [b"body", b""]
    assert counts(shared, queue) == ((1, 0) if is_gone else (0, 1))
    assert consumer.show()["state"] == "idle"


def test_a_call_takes_over_from_one_that_waits(http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    first = consumer.wait()
    eventually(lambda: is_waiting(consumer))
    second = consumer.wait()
    assert first.reply().expect(200).json == {"messages": []}
    put(http, queue, "one")
    found: Any = second.reply().json
    assert [each["payload"] for each in found["messages"]] == ["one"]


# -- among other consumers


def test_it_is_a_consumer_as_others_are(shared: leveret.Broker, http: Http, queue: str) -> None:
    http.ask("PUT", "users/plain", {"password": PASSWORD, "tags": "management"}).expect(201)
    rights = {"configure": "", "write": "", "read": ".*"}
    http.ask("PUT", f"permissions/{V}/plain", rights).expect(201)
    plain = Http(shared.management_url, "plain", PASSWORD)
    consumer = Consumer(plain, queue, consumer_tag="mine", prefetch=3, arguments={"x-priority": 5})
    assert consumer.made["state"] == "idle"
    for user in (http, plain):
        (found,) = [each for each in user.ask("GET", "consumers").json if each["queue"]["name"] == queue]  # type: ignore[attr-defined]
        assert (found["consumer_tag"], found["prefetch_count"], found["ack_required"]) == ("mine", 3, True)
        assert found["channel_details"]["user"] == "plain"
        assert found["channel_details"]["peer_host"] == "127.0.0.1"
        assert found["arguments"] == {"x-priority": 5}
    assert http.ask("GET", f"queues/{V}/{queue}").json["consumers"] == 1  # type: ignore[index]
    assert http.ask("GET", "connections").json == []
    put(http, queue, "one")
    consumer.receive()
    (held,) = shared.queue(queue).deliveries
    assert held.connection == "HTTP consumer of plain from 127.0.0.1"
    http.ask("DELETE", "users/plain").expect(204)
    assert counts(shared, queue) == (1, 0)


def test_priorities_count(shared: leveret.Broker, http: Http, queue: str) -> None:
    high, low = Consumer(http, queue, arguments={"x-priority": 10}), Consumer(http, queue)
    first = low.wait()
    eventually(lambda: is_waiting(low))
    second = high.wait()
    eventually(lambda: is_waiting(high))
    put(http, queue, "one")
    second.reply()
    put(http, queue, "two")  # nobody else asks
    found: Any = first.reply().json
    assert found["messages"][0]["payload"] == "two"
    assert counts(shared, queue) == (0, 2)


def test_only_one_is_active(shared: leveret.Broker, http: Http, queue: str) -> None:
    declare(http, "single", x_single_active_consumer=True)
    put(http, "single", "one", "two")
    first, second = Consumer(http, "single"), Consumer(http, "single")
    assert second.receive() == []
    assert first.bodies(1) == ["one"]
    first.ask("DELETE").expect(204)
    assert second.bodies() == ["one!", "two"]
    second.ask("DELETE").expect(204)
    http.ask("DELETE", f"queues/{V}/single").expect(204)


def test_exclusive_consumers_and_queues(shared: leveret.Broker, http: Http, queue: str) -> None:
    consumer = Consumer(http, queue, exclusive=True)
    path = f"leveret/queues/{V}/{queue}"
    for more in ("consumers", "receive?wait=0"):
        found: Any = http.ask("POST", f"{path}/{more}").expect(403).json
        assert "in exclusive use" in found["reason"]
    consumer.ask("DELETE").expect(204)
    with pika.BlockingConnection(pika.URLParameters(shared.url)) as connection:
        connection.channel().queue_declare("private", exclusive=True)
        found = http.ask("POST", f"leveret/queues/{V}/private/consumers").expect(409).json
        assert found["error"] == "locked"


def test_messages_are_shared_with_consumers_of_amqp(shared: leveret.Broker, http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    with pika.BlockingConnection(pika.URLParameters(shared.url)) as connection:
        channel = connection.channel()
        got: list[bytes] = []
        channel.basic_consume(queue, lambda _, method, __, body: got.append(body), auto_ack=True)
        put(http, queue, "one", "two")
        eventually(lambda: connection.process_data_events(0) or len(got) == 2)
        waiting = consumer.wait()
        eventually(lambda: is_waiting(consumer))
        put(http, queue, "three", "four")
        found: Any = waiting.reply().json
        eventually(lambda: connection.process_data_events(0) or len(got) == 3)
        assert sorted([found["messages"][0]["payload"].encode(), got[2]]) == [b"four", b"three"]


def test_a_traced_virtual_host_has_copies(shared: leveret.Broker, http: Http, queue: str) -> None:
    declare(http, "traces")
    http.ask("POST", f"bindings/{V}/e/amq.rabbitmq.trace/q/traces", {"routing_key": "#"}).expect(201)
    http.ask("PUT", f"vhosts/{V}", {"tracing": True}).expect(204)
    put(http, queue, "one")
    Consumer(http, queue).bodies()
    http.ask("PUT", f"vhosts/{V}", {"tracing": False}).expect(204)
    keys = {each["routing_key"] for each in Consumer(http, "traces").receive()}
    assert keys >= {"publish.amq.default" if "publish.amq.default" in keys else "publish.", f"deliver.{queue}"}
    http.ask("DELETE", f"queues/{V}/traces").expect(204)


# -- who may


def test_whoever_may_read_may_consume(shared: leveret.Broker, http: Http, queue: str) -> None:
    put(http, queue, "one")
    user = someone(shared, http, "reader", read=f"^{queue[:20]}")
    consumer = Consumer(user, queue)
    assert consumer.bodies() == ["one"]
    assert consumer.settle(ack=[1])["settled"] == 1
    declare(http, "closed")
    found: Any = user.ask("POST", f"leveret/queues/{V}/closed/consumers").expect(403).json
    assert "read access to queue 'closed'" in found["reason"]
    user.ask("POST", f"leveret/queues/{V}/closed/receive?wait=0").expect(403)
    user.ask("POST", f"leveret/queues/{V}/nothing/consumers").expect(403)
    http.ask("POST", f"leveret/queues/{V}/nothing/consumers").expect(404)
    user.ask("POST", "leveret/queues/nowhere/q/consumers").expect(404)
    http.ask("PUT", "vhosts/elsewhere").expect(201)
    user.ask("POST", "leveret/queues/elsewhere/q/consumers").expect(404)
    http.ask("DELETE", "vhosts/elsewhere").expect(204)
    Http(shared.management_url, "").ask("POST", f"leveret/queues/{V}/{queue}/receive").expect(401)
    Http(shared.management_url, "reader", "wrong", "127.0.0.19").ask("GET", "leveret/consumers").expect(401)
    http.ask("DELETE", "users/reader").expect(204)


def test_a_consumer_is_its_users_alone(shared: leveret.Broker, http: Http, queue: str) -> None:
    owner, other = someone(shared, http, "owner"), someone(shared, http, "other")
    monitor = someone(shared, http, "monitor")
    http.ask("PUT", "users/monitor", {"password": PASSWORD, "tags": "monitoring"}).expect(204)
    consumer = Consumer(owner, queue)
    for method, path in (("GET", ""), ("POST", "/receive"), ("GET", "/events"), ("POST", "/acks"), ("DELETE", "")):
        for user in (other, monitor):
            user.ask(method, consumer.path + path).expect(404)
        if method != "DELETE":
            http.ask(method, consumer.path + path).expect(404)
    assert len(owner.ask("GET", "leveret/consumers").json) == 1  # type: ignore[arg-type]
    assert other.ask("GET", "leveret/consumers").json == []
    assert len(monitor.ask("GET", "leveret/consumers").json) == 1  # type: ignore[arg-type]
    http.ask("DELETE", consumer.path).expect(204)
    assert "it was deleted" in consumer.why_over()
    assert "no such consumer" in str(other.ask("GET", consumer.path).expect(404).json)
    for name in ("owner", "other", "monitor"):
        http.ask("DELETE", f"users/{name}").expect(204)


def test_a_permission_that_is_taken_away(shared: leveret.Broker, http: Http, queue: str) -> None:
    user = someone(shared, http, "once-allowed")
    put(http, queue, "one", "two")
    consumer = Consumer(user, queue)
    assert consumer.bodies(1) == ["one"]
    someone(shared, http, "once-allowed", read="^$")
    consumer.ask("POST", "/receive?wait=0").expect(403)
    http.ask("DELETE", f"permissions/{V}/once-allowed").expect(204)
    consumer.ask("POST", "/receive?wait=0").expect(403)
    http.ask("DELETE", "users/once-allowed").expect(204)
    assert counts(shared, queue) == (2, 0)


@pytest.mark.parametrize("what", ["user", "vhost", "queue", "password"])
def test_a_call_that_waits_ends_with(shared: leveret.Broker, http: Http, what: str) -> None:
    http.ask("PUT", "vhosts/short").expect(201)
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    http.ask("PUT", "permissions/short/guest", rights).expect(201, 204)
    declare(http, "q", "short")
    user = someone(shared, http, "brief", vhost="short")
    consumer = Consumer(user, "q", "short")
    if what == "password":
        login = base64.b64encode(f"brief:{PASSWORD}".encode()).decode()
        stream = Stream(shared.management_url, consumer, login=f"Authorization: Basic {login}")
        eventually(lambda: is_waiting(consumer))
        http.ask("PUT", "users/brief", {"password": "other", "tags": ""}).expect(204)
        http.ask("POST", "leveret/queues/short/q/messages", b"x").expect(201)
        with pytest.raises(EOFError):
            stream.event()
        queue = shared.virtual_host("short").queue("q")
        assert (queue.ready, queue.unacked) == (1, 0)  # for a client that knows the new one
    else:
        waiting = consumer.wait()
        eventually(lambda: is_waiting(consumer))
        path = {"user": "users/brief", "vhost": "vhosts/short", "queue": "queues/short/q"}[what]
        http.ask("DELETE", path).expect(204)
        found: Any = waiting.reply().expect(404).json
        assert {"user": "user 'brief' is deleted", "vhost": "vhost 'short' is deleted", "queue": "its queue is gone"}[
            what
        ] in found["reason"]
    http.ask("DELETE", "vhosts/short").expect(204, 404)
    http.ask("DELETE", "users/brief").expect(204, 404)


# -- bounds


def test_limits_count_consumers_of_http(shared: leveret.Broker, http: Http) -> None:
    http.ask("PUT", "vhosts/limited").expect(201)
    rights = {"configure": ".*", "write": ".*", "read": ".*"}
    http.ask("PUT", "permissions/limited/guest", rights).expect(201, 204)
    path = declare(http, "q", "limited")
    http.ask("PUT", "vhost-limits/limited/max-consumers", {"value": 1}).expect(204)
    first = Consumer(http, "q", "limited")
    found: Any = http.ask("POST", f"{path}/consumers").expect(400).json
    assert "consumer limit in vhost 'limited' (1) is reached" in found["reason"]
    http.ask("POST", f"{path}/receive?wait=0").expect(400)
    first.ask("DELETE").expect(204)
    http.ask("POST", f"{path}/receive?wait=0").expect(200)
    http.ask("DELETE", "vhost-limits/limited/max-consumers").expect(204)
    for limit in ("vhost-limits/limited/max-connections", "user-limits/guest/max-connections"):
        http.ask("PUT", limit, {"value": 1}).expect(204)
        first = Consumer(http, "q", "limited")
        found = http.ask("POST", f"{path}/consumers").expect(403).json
        assert "connection limit (1)" in found["reason"]
        first.ask("DELETE").expect(204)
        http.ask("DELETE", limit).expect(204)
    http.ask("DELETE", "vhosts/limited").expect(204)


def test_consumers_are_bounded(shared: leveret.Broker, http: Http, queue: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "MOST_OF_USER", 2)
    other = someone(shared, http, "another")
    mine = [Consumer(http, queue) for _ in range(2)]
    path = f"leveret/queues/{V}/{queue}"
    reply = http.ask("POST", f"{path}/consumers").expect(503)
    assert reply.headers["retry-after"] == "10"
    http.ask("POST", f"{path}/receive?wait=0").expect(503)
    Consumer(other, queue).ask("DELETE").expect(204)
    mine[0].ask("DELETE").expect(204)
    Consumer(http, queue)
    monkeypatch.setattr(leases, "MOST", 2)
    other.ask("POST", f"{path}/consumers").expect(503)
    http.ask("DELETE", "users/another").expect(204)


def test_calls_that_wait_are_bounded(
    shared: leveret.Broker, http: Http, queue: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "SHARE_OF_USER", 1000 // 2)
    first, second, third = (Consumer(http, queue) for _ in range(3))
    waiting = [first.wait(), second.wait()]
    eventually(lambda: is_waiting(first) and is_waiting(second))
    third.ask("POST", "/receive?wait=0").expect(503)
    third.ask("GET", "/events").expect(503)
    http.ask("POST", f"leveret/queues/{V}/{queue}/receive?wait=0").expect(503)
    again = first.wait()  # one that takes over needs no other place
    assert waiting[0].reply().status == 200
    put(http, queue, "one", "two")
    assert [again.reply().status, waiting[1].reply().status] == [200, 200]
    assert third.receive() == []
    assert http.ask("GET", "consumers").status == 200


@pytest.mark.parametrize(
    "wanted",
    [
        {"prefetch": 0},
        {"prefetch": 1001},
        {"prefetch": -1},
        {"prefetch": 1 << 70},
        {"prefetch": "x"},
        {"prefetch": 1.5},
        {"lease": 0},
        {"lease": 3601},
        {"lease": 1 << 70},
        {"consumer_tag": "t" * 256},
        {"consumer_tag": 1},
        {"exclusive": "yes"},
        {"arguments": []},
        {"arguments": {"x-priority": "high"}},
        {"arguments": {"n": 1 << 70}},
        {"arguments": {"a": [[[[[[]]]]]] * 3, "k" * 256: 1}},
    ],
)
def test_consumers_that_cannot_be(http: Http, queue: str, wanted: dict[str, object]) -> None:
    found: Any = http.ask("POST", f"leveret/queues/{V}/{queue}/consumers", wanted).expect(400).json
    assert found["error"] == "bad_request"
    assert http.ask("GET", "leveret/consumers").json == []


@pytest.mark.parametrize("query", ["wait=61", "wait=-1", "wait=x", "max=0", "max=1001", "max=1e3", "max=9999999999"])
def test_calls_that_make_no_sense(http: Http, queue: str, query: str) -> None:
    consumer = Consumer(http, queue)
    consumer.ask("POST", f"/receive?{query}").expect(400)
    http.ask("POST", f"leveret/queues/{V}/{queue}/receive?{query}").expect(400)
    assert consumer.show()["state"] == "idle"
    consumer.ask("DELETE").expect(204)
    assert http.ask("GET", f"consumers/{V}").json == []


@pytest.mark.parametrize(
    "body",
    [
        {"ack": 1},
        {"ack": ["1"]},
        {"ack": [1.5]},
        {"release": "some"},
        {"ack": list(range(10_001))},
        [],
        b"{",
        b'{"ack":[' + b"1" * 5000 + b"]}",
    ],
)
def test_settlements_that_make_no_sense(http: Http, queue: str, body: object) -> None:
    put(http, queue, "one")
    consumer = Consumer(http, queue)
    consumer.receive()
    consumer.ask("POST", "/acks", body).expect(400)
    assert consumer.show()["unsettled"] == [1]


def test_tags_that_are_none(http: Http, queue: str) -> None:
    consumer = Consumer(http, queue)
    tags = [0, -1, 1, 1 << 62, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, -(1 << 63)]
    found = consumer.settle(ack=tags, reject=tags, requeue=tags, release=tags)
    assert (found["settled"], len(found["unknown"])) == (0, 4 * len(tags))


@pytest.mark.parametrize("name", ["%FF", "x" * 256, "%00", "..%2F..", "%2F", "", "nothing"])
def test_consumers_and_queues_with_strange_names(http: Http, name: str) -> None:
    for method, path in (
        ("GET", f"leveret/consumers/{name}"),
        ("GET", f"leveret/consumers/{name}/events"),
        ("POST", f"leveret/consumers/{name}/acks"),
        ("POST", f"leveret/queues/{V}/{name}/consumers"),
        ("POST", f"leveret/queues/{V}/{name}/receive?wait=0"),
        ("POST", f"leveret/queues/{name}/nowhere/receive?wait=0"),
    ):
        reply = http.ask(method, path)
        assert reply.status in (400, 404) or path == "leveret/consumers/", (method, path, reply)


def test_a_browser_needs_the_token_of_its_session(shared: leveret.Broker, http: Http, queue: str) -> None:
    reply = http.ask("POST", "leveret/session", {"username": "guest", "password": "guest"}).expect(200)
    cookie = reply.headers["set-cookie"].partition(";")[0]
    browser = Http(shared.management_url, "")
    path = f"leveret/queues/{V}/{queue}/receive?wait=0"
    browser.ask("POST", path, Cookie=cookie).expect(403)
    token: Any = reply.json
    browser.ask("POST", path, Cookie=cookie, X_CSRF_Token=token["csrf_token"]).expect(200)
    http.ask("POST", path, Sec_Fetch_Site="cross-site").expect(403)


def test_a_login_that_goes_on_and_on(shared: leveret.Broker, http: Http, queue: str) -> None:
    """Pipelined requests are answered in order, also where one waits."""
    consumer = Consumer(http, queue)
    with wire(shared.management_url) as client:
        request = f"POST /api/{consumer.path}/receive?wait=1 HTTP/1.1\r\nHost: x\r\n{LOGIN}Content-Length: 0\r\n\r\n"
        client.send(request + "GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.head().split(" ")[1] == "200"
        assert b"messages" in client.socket.recv(1000)
    eventually(lambda: not is_waiting(consumer))


def test_nothing_is_left_to_the_garbage_collector(shared: leveret.Broker, http: Http, queue: str) -> None:
    """Which is off in a broker's process, but for once a minute."""
    path = f"leveret/queues/{V}/{queue}"

    def everything() -> None:
        put(http, queue, "one")
        http.ask("POST", f"{path}/receive?wait=0").expect(200)
        http.ask("POST", f"leveret/queues/{V}/nowhere/receive?wait=0").expect(404)
        http.ask("POST", f"leveret/exchanges/{V}/amq.direct/messages", b"x").expect(422)
        consumer = Consumer(http, queue)
        put(http, queue, "two")
        consumer.receive()
        for method, what in (("POST", "receive?wait=60"), ("GET", "events")):
            with wire(shared.management_url) as client:
                client.ask(method, f"/api/{consumer.path}/{what}")
                eventually(lambda: is_waiting(consumer))
            eventually(lambda: not is_waiting(consumer))
        consumer.ask("DELETE").expect(204)

    everything()
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            everything()
        assert gc.collect() < 10
    finally:
        gc.enable()
