"""Spans: what a collector gets of what clients do with messages, and of requests of the HTTP API."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from tests.brokers.process import Server
from tests.telemetry.collector import Collector, Span

Traced = Callable[..., Server]

TRACE = "0af7651916cd43dd8448eb211c80319c"
CLIENT = "b7ad6b7169203331"
PARENT = f"00-{TRACE}-{CLIENT}-01"
UNSAMPLED = f"00-{TRACE}-{CLIENT}-00"
LAST = f"00-{'1' * 32}-{'2' * 16}-01"  # of a message behind all others
GUEST = "Basic " + base64.b64encode(b"guest:guest").decode()


class Client:
    """A client with one channel."""

    def __init__(self, server: Server) -> None:
        self.connection = pika.BlockingConnection(pika.URLParameters(server.url))
        self.channel: BlockingChannel = self.connection.channel()

    def publish(self, key: str, *, exchange: str = "", parent: str | None = None, **properties: Any) -> None:
        """Publish `hello`."""
        if parent is not None:
            properties["headers"] = {"traceparent": parent, **properties.get("headers", {})}
        self.channel.basic_publish(exchange, key, b"hello", pika.BasicProperties(**properties))

    def get(self, queue: str = "orders") -> int:
        """Get a message. Returns: its delivery tag."""
        method, _, body = self.channel.basic_get(queue)
        assert body is not None
        return int(method.delivery_tag)

    def take(self, queue: str, count: int, *, auto_ack: bool = False) -> list[int]:
        """Consume so many messages. Returns: their delivery tags."""
        tags: list[int] = []
        for method, _, _ in self.channel.consume(queue, auto_ack=auto_ack):
            tags.append(method.delivery_tag)
            if len(tags) == count:
                return tags
        raise AssertionError("the consumer was cancelled")


@pytest.fixture
def server(traced: Traced) -> Server:
    """A broker of which everything is traced."""
    return traced("--management-port", "0")


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of it, with a queue `orders`."""
    client = Client(server)
    client.channel.queue_declare("orders")
    yield client
    client.connection.close()


def shown(spans: list[Span]) -> list[tuple[str, object]]:
    """Their names and outcomes."""
    return [(span.name, span.outcome) for span in spans]


# -- messages


def test_a_message_with_a_trace(client: Client, collector: Collector) -> None:
    client.channel.confirm_delivery()
    client.publish("orders", parent=PARENT, message_id="m1", correlation_id="c1")
    [tag] = client.take("orders", 1)
    client.channel.basic_ack(tag)
    publish, delivery = collector.spans(2)
    assert (publish.name, publish.kind, delivery.name, delivery.kind) == (
        *("publish orders", "PRODUCER"),
        *("deliver orders", "CONSUMER"),
    )
    assert (publish.trace, publish.parent, publish.links) == (TRACE, CLIENT, ())
    assert (delivery.trace, delivery.parent, delivery.links) == (TRACE, CLIENT, (CLIENT,))
    assert len({publish.id, delivery.id, CLIENT}) == 3
    assert publish.begin_ns <= delivery.begin_ns <= delivery.end_ns
    common = {
        "messaging.system": "rabbitmq",
        "messaging.destination.name": "orders",
        "messaging.message.body.size": 5,
        "messaging.message.id": "m1",
        "messaging.message.conversation_id": "c1",
        "messaging.rabbitmq.destination.routing_key": "orders",
        "leveret.vhost": "/",
    }
    assert publish.attributes.pop("messaging.client.id").startswith("127.0.0.1:")
    assert publish.attributes == common | {
        "messaging.operation.name": "publish",
        "messaging.operation.type": "send",
        "leveret.queues": 1,
        "leveret.outcome": "confirmed",
    }
    assert delivery.attributes.pop("messaging.client.id").startswith("127.0.0.1:")
    assert delivery.attributes.pop("leveret.time_in_queue_ms") >= 0
    assert delivery.attributes == common | {
        "messaging.operation.name": "deliver",
        "messaging.operation.type": "process",
        "messaging.rabbitmq.message.delivery_tag": 1,
        "leveret.queue": "orders",
        "leveret.redelivered": False,
        "leveret.outcome": "acknowledged",
    }


def test_a_message_without_a_trace_begins_one(client: Client, collector: Collector) -> None:
    client.publish("orders")
    client.channel.basic_ack(client.get())
    publish, delivery = collector.spans(2)
    assert shown([publish, delivery]) == [("publish orders", "routed"), ("get orders", "acknowledged")]
    assert delivery.attributes["messaging.operation.type"] == "receive"
    assert publish.parent == ""
    assert (delivery.trace, delivery.parent, delivery.links) == (publish.trace, publish.id, (publish.id,))


def test_a_trace_that_its_client_does_not_record(client: Client, collector: Collector) -> None:
    client.publish("orders", parent=UNSAMPLED)
    client.publish("orders", parent=LAST)
    for tag in client.take("orders", 2):
        client.channel.basic_ack(tag)
    assert {span.trace for span in collector.spans(2)} == {"1" * 32}


@pytest.mark.parametrize("parent", ["", "nonsense", PARENT + "-00", "ff" + PARENT[2:], PARENT.upper(), "00" * 300])
def test_a_header_that_is_none_is_ignored(client: Client, collector: Collector, parent: str) -> None:
    client.publish("orders", parent=parent)
    [publish] = collector.spans(1)
    assert (publish.parent, publish.name) == ("", "publish orders")


def test_the_state_of_a_trace_is_passed_on(client: Client, collector: Collector) -> None:
    client.publish("orders", parent=PARENT, headers={"tracestate": "shop=1,other=2"})
    [publish] = collector.spans(1)
    assert publish.state == "shop=1,other=2"


def test_exchanges_are_part_of_the_destination(client: Client, collector: Collector) -> None:
    client.channel.exchange_declare("shop", "topic")
    client.channel.queue_bind("orders", "shop", "order.*")
    client.publish("order.new", exchange="shop", parent=PARENT)
    client.channel.basic_ack(client.get())
    assert [span.name for span in collector.spans(2)] == ["publish shop:order.new", "get shop:order.new:orders"]


def test_what_becomes_of_publishes(client: Client, collector: Collector) -> None:
    client.channel.queue_declare("full", arguments={"x-max-length": 0, "x-overflow": "reject-publish"})
    client.publish("nowhere", parent=PARENT)
    client.channel.basic_publish("", "nobody", b"", pika.BasicProperties(), mandatory=True)
    client.channel.confirm_delivery()
    with pytest.raises(pika.exceptions.NackError):
        client.publish("full", parent=PARENT)
    client.publish("nowhere", parent=PARENT)
    spans = collector.spans(4)
    assert shown(spans) == [
        ("publish nowhere", "unroutable"),
        ("publish nobody", "returned"),
        ("publish full", "refused"),
        ("publish nowhere", "unroutable"),
    ]
    assert [(span.error, span.attributes.get("error.type")) for span in spans] == [
        *[(False, None)] * 2,
        (True, "nack"),
        (False, None),
    ]


def test_what_becomes_of_deliveries(client: Client, collector: Collector) -> None:
    for _ in range(3):
        client.publish("orders", parent=UNSAMPLED)
    client.publish("orders", parent=PARENT)
    first, *_, last = [client.get() for _ in range(4)]
    client.channel.basic_nack(last, requeue=True)
    client.channel.basic_reject(client.get(), requeue=True)
    client.get()
    client.channel.close()
    client.channel = client.connection.channel()
    for _ in range(4):
        tag = client.get()
    client.channel.basic_nack(tag, requeue=False)
    client.publish("orders", parent=PARENT)
    client.take("orders", 1, auto_ack=True)
    deliveries = [span for span in collector.spans(7) if span.kind == "CONSUMER"]
    assert [(span.outcome, span.attributes["leveret.redelivered"]) for span in deliveries] == [
        ("requeued", False),
        ("requeued", True),
        ("requeued", True),
        ("rejected", True),
        ("automatic", False),
    ]
    assert first == 1


def test_a_message_in_several_queues(client: Client, collector: Collector) -> None:
    client.channel.exchange_declare("all", "fanout")
    for name in ("one", "two"):
        client.channel.queue_declare(name)
        client.channel.queue_bind(name, "all")
    client.channel.confirm_delivery()
    client.publish("", exchange="all")
    for name in ("one", "two"):
        client.channel.basic_ack(client.get(name))
    publish, *deliveries = collector.spans(3)
    assert (publish.name, publish.attributes["leveret.queues"], publish.outcome) == ("publish all", 2, "confirmed")
    assert [span.name for span in deliveries] == ["get all:one", "get all:two"]
    assert {span.parent for span in deliveries} == {publish.id}


def test_a_transaction(client: Client, collector: Collector) -> None:
    client.channel.tx_select()
    client.publish("orders", parent=PARENT)
    client.channel.tx_commit()
    client.channel.basic_ack(client.get())
    client.channel.tx_commit()
    assert shown(collector.spans(2)) == [("publish orders", "routed"), ("get orders", "acknowledged")]


def test_a_dead_letter_keeps_its_trace(client: Client, collector: Collector) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "orders"}
    client.channel.queue_declare("first", arguments=arguments)
    client.publish("first", parent=PARENT)
    client.channel.basic_nack(client.get("first"), requeue=False)
    client.take("orders", 1, auto_ack=True)
    spans = collector.spans(3)
    assert [span.name for span in spans] == ["publish first", "get first", "deliver orders"]
    assert {span.trace for span in spans} == {TRACE}


def test_direct_replies_do_not_tell_their_way_back(client: Client, collector: Collector) -> None:
    replies: list[bytes] = []
    client.channel.basic_consume("amq.rabbitmq.reply-to", lambda *args: replies.append(args[3]), auto_ack=True)
    client.publish("orders", parent=UNSAMPLED, reply_to="amq.rabbitmq.reply-to")
    _, properties, _ = client.channel.basic_get("orders", auto_ack=True)
    client.publish(properties.reply_to, parent=PARENT)
    while not replies:
        client.connection.process_data_events(1)
    spans = collector.spans(2)
    assert [span.name for span in spans] == ["publish amq.rabbitmq.reply-to", "deliver amq.rabbitmq.reply-to"]
    assert properties.reply_to.startswith("amq.rabbitmq.reply-to.")
    assert properties.reply_to not in repr(spans)
    assert spans[1].attributes["messaging.destination.temporary"] is True


def test_queues_that_the_broker_has_named_have_no_names_of_spans(client: Client, collector: Collector) -> None:
    name = client.channel.queue_declare("", exclusive=True).method.queue
    client.channel.exchange_declare("news", "fanout")
    client.channel.queue_bind(name, "news")
    client.publish("", exchange="news")
    client.channel.basic_ack(client.get(name))
    publish, delivery = collector.spans(2)
    assert (publish.name, delivery.name, delivery.attributes["leveret.queue"]) == ("publish news", "get news", name)


def test_what_is_no_utf_8_costs_no_other_span(server: Server, client: Client, collector: Collector) -> None:
    client.channel.basic_publish("amq.fanout", b"\xff\xfe", b"", pika.BasicProperties(message_id=b"\xfd"))
    client.publish("nowhere")
    strange, _ = collector.spans(2)
    assert strange.name == "publish amq.fanout:\\udcff\\udcfe"
    assert strange.attributes["messaging.message.id"] == "\\udcfd"


def test_long_names_are_cut(server: Server, collector: Collector) -> None:
    parameters = pika.URLParameters(server.url)
    parameters.client_properties = {"connection_name": "n" * 5_000}
    with pika.BlockingConnection(parameters) as connection:
        connection.channel().basic_publish("", "nowhere", b"")
    [publish] = collector.spans(1)
    assert len(publish.attributes["messaging.client.id"]) <= 255


def test_a_recording_beside_the_spans(traced: Traced, collector: Collector, tmp_path: Path) -> None:
    server = traced("--record", str(tmp_path / "recording"))
    client = Client(server)
    client.channel.queue_declare("orders")
    client.publish("orders")
    client.channel.basic_ack(client.get())
    client.connection.close()
    assert [span.kind for span in collector.spans(2)] == ["PRODUCER", "CONSUMER"]
    assert server.stop() == 0
    events = [json.loads(line)["event"] for line in (tmp_path / "recording").read_text().splitlines()]
    assert events == ["publish", "deliver", "ack"]


# -- which of them


def test_none_but_those_of_clients(traced: Traced, collector: Collector) -> None:
    client = Client(traced("--otlp-ratio", "0"))
    for parent in (None, UNSAMPLED, None, LAST):
        client.publish("nowhere", parent=parent)
    client.connection.close()
    assert [span.trace for span in collector.spans(1)] == ["1" * 32]


@pytest.mark.parametrize(
    ("sampler", "argument", "traces"),
    [
        ("always_on", "", {"none", "unsampled", "sampled"}),
        ("always_off", "", set()),
        ("traceidratio", "1", {"none", "unsampled", "sampled"}),
        ("traceidratio", "0.5", {"sampled"}),
        ("parentbased_always_on", "", {"none", "sampled"}),
        ("parentbased_always_off", "", {"sampled"}),
        ("ParentBased_TraceIdRatio", "0", {"sampled"}),
    ],
)
def test_the_standard_samplers(
    traced: Traced, collector: Collector, sampler: str, argument: str, traces: set[str]
) -> None:
    server = traced(OTEL_TRACES_SAMPLER=sampler, OTEL_TRACES_SAMPLER_ARG=argument)
    client = Client(server)
    if argument != "0.5":
        client.publish("none")
    client.publish("unsampled", parent=f"00-{'f' * 32}-{CLIENT}-00")
    client.publish("sampled", parent=f"00-{'1' * 32}-{CLIENT}-01")
    client.connection.close()
    assert server.stop() == 0  # behind the last span
    assert {span.name.removeprefix("publish ") for span in collector.spans(0)} == traces


def test_no_more_than_the_limit(collector: Collector, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", "--otlp-endpoint", collector.url, "--otlp-limit", "1", log=log)
    client = Client(server)
    client.channel.queue_declare("orders")
    for _ in range(500):
        client.publish("orders")
    client.connection.close()
    assert server.stop() == 0
    assert 1 <= len(collector.spans(1)) < 500
    assert log.read_text().count("because there are too many; see --otlp-limit") >= 1


# -- requests


def ask(server: Server, path: str, **headers: str) -> int:
    """Ask the HTTP API. Returns: the status."""
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(server.api + path, headers=names)
    try:
        with urllib.request.urlopen(request) as response:
            response.read()
            return int(response.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


def test_requests(server: Server, collector: Collector) -> None:
    assert ask(server, "/api/queues/%2F/nothing?columns=name", Authorization=GUEST, traceparent=PARENT) == 404
    assert ask(server, "/api/overview", Authorization=GUEST) == 200
    assert ask(server, "/api/overview", traceparent=PARENT) == 401
    assert ask(server, "/api/overview", Authorization=GUEST, traceparent=UNSAMPLED) == 200
    assert ask(server, "/elsewhere", traceparent=PARENT) == 404
    first, second, *others = collector.spans(4)
    assert (first.name, first.kind, first.trace, first.parent) == (
        "GET /api/queues/{vhost}/{queue}",
        "SERVER",
        TRACE,
        CLIENT,
    )
    assert first.attributes.pop("user_agent.original").startswith("Python-urllib")
    assert first.attributes.pop("server.port") == int(server.api.rpartition(":")[2])
    assert first.attributes == {
        "http.request.method": "GET",
        "http.route": "/api/queues/{vhost}/{queue}",
        "http.response.status_code": 404,
        "url.path": "/api/queues/%2F/nothing",
        "url.scheme": "http",
        "network.protocol.version": "1.1",
        "client.address": "127.0.0.1",
        "server.address": "127.0.0.1",
    }
    assert (second.name, second.parent, second.error) == ("GET /api/overview", "", False)
    assert [(span.name, span.attributes["http.response.status_code"]) for span in others] == [
        ("GET /api/overview", 401),
        ("GET", 404),
    ]


def test_a_message_that_is_published_over_http(server: Server, client: Client, collector: Collector) -> None:
    message = {"routing_key": "orders", "payload": "x", "payload_encoding": "string", "properties": {}}
    data = json.dumps(message).encode()
    headers = {"Authorization": GUEST, "traceparent": UNSAMPLED}
    url = f"{server.api}/api/exchanges/%2F/amq.default/publish"
    urllib.request.urlopen(urllib.request.Request(url, data, headers)).close()
    client.channel.basic_ack(client.get())
    assert shown(collector.spans(2)) == [("publish orders", "confirmed"), ("get orders", "acknowledged")]
