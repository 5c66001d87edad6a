"""What tests see of a broker, what they wait for, and what they do in it without a client."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import re
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aio_pika
import pika
import pika.exceptions
import pytest

import leveret
from leveret.management.recording import read
from leveret.testing import Connection, Consumer, Delivery, Message, Queue, WaitTimeout
from tests.api.http import Http
from tests.clients.waiting import eventually

from .conftest import Connect
from .support import Call, connect, pump, raw, run

MakeLoop = Callable[[], asyncio.AbstractEventLoop]

PROPERTIES: dict[str, Any] = {
    "content_type": "text/plain",
    "content_encoding": "utf-8",
    "delivery_mode": 2,
    "priority": 7,
    "correlation_id": "c",
    "reply_to": "r",
    "expiration": "600000",
    "message_id": "m",
    "timestamp": 1_700_000_000,
    "type": "t",
    "user_id": "guest",
    "app_id": "a",
}


# -- queues


def test_a_queue_that_is_not_there(broker: leveret.Broker) -> None:
    queue = broker.queue("orders")
    assert not queue.exists
    assert repr(queue) == "<queue 'orders' in virtual host '/'>"
    looks: list[Callable[[Queue], object]] = [
        lambda queue: queue.ready,
        lambda queue: queue.unacked,
        lambda queue: queue.messages,
        lambda queue: queue.deliveries,
        lambda queue: queue.consumers,
        lambda queue: queue.arguments,
        lambda queue: queue.purge(),
        lambda queue: queue.delete(),
    ]
    for look in looks:
        with pytest.raises(LookupError, match="there is no queue 'orders' in virtual host '/'; existing queues: none"):
            look(queue)
    broker.declare_queue("order")
    with pytest.raises(LookupError, match="did you mean 'order'"):
        _ = queue.ready
    broker.declare_queue("orders")
    assert (queue.exists, queue.ready, queue.unacked, queue.consumers) == (True, 0, 0, [])


def test_counts(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url, "shop")
    channel = connection.channel()
    channel.queue_declare("q", arguments={"x-max-length": 10})
    for number in range(5):
        channel.basic_publish("", "q", str(number).encode())
    queue = broker.queue("q")
    broker.wait_for("q", 5)
    assert (queue.ready, queue.unacked) == (5, 0)
    assert queue.arguments == {"x-max-length": 10}
    method, _, _ = channel.basic_get("q")
    assert (queue.ready, queue.unacked) == (4, 1)
    [delivery] = queue.deliveries
    assert delivery == Delivery(Message(b"0", routing_key="q"), "q", "shop", channel.channel_number, 1)
    assert broker.deliveries == [delivery]
    channel.basic_reject(method.delivery_tag, requeue=True)
    broker.wait_for("q", 5)
    assert [message.redelivered for message in queue.messages] == [True, False, False, False, False]
    assert [message.text for message in queue.messages] == list("01234")
    assert queue.ready == 5  # looking takes nothing away
    assert queue.purge() == 5
    assert (queue.ready, queue.messages) == (0, [])


def test_consumers(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url, "worker")
    channel, other = connection.channel(), connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=3)
    got: list[int] = []
    channel.basic_consume("q", lambda _c, method, _p, _b: got.append(method.delivery_tag), consumer_tag="careful")
    other.basic_consume("q", lambda *_: None, consumer_tag="careless", auto_ack=True, arguments={"x-priority": -1})
    assert broker.wait_for("q", consumers=2) == []
    for _ in range(3):
        broker.publish("x", "q")
    pump(connection, lambda: len(got) == 3)
    consumers = {consumer.tag: consumer for consumer in broker.queue("q").consumers}
    assert consumers == {
        "careful": Consumer("careful", "worker", 3, False, 3),
        "careless": Consumer("careless", "worker", 0, True, 0),
    }
    assert [delivery.tag for delivery in broker.queue("q").deliveries] == got
    assert broker.connections == [Connection("worker", "guest", 2, 2, 3)]
    channel.basic_ack(0, multiple=True)
    broker.wait_until_idle()
    assert broker.connections == [Connection("worker", "guest", 2, 2, 0)]


def test_delete_tells_the_consumers(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url)
    channel = connection.channel()
    channel.queue_declare("q")
    cancelled: list[Any] = []
    channel.add_on_cancel_callback(cancelled.append)
    channel.basic_consume("q", lambda *_: None)
    broker.queue("q").delete()
    assert not broker.queue("q").exists
    pump(connection, lambda: cancelled)
    assert broker.connections[0].consumers == 0


def test_all_properties_of_a_message(broker: leveret.Broker, clients: Connect) -> None:
    headers = {"text": "ü", "number": -5, "big": 1 << 40, "yes": True, "none": None, "list": [1, "a"], "map": {"a": 1}}
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", "hällo".encode(), pika.BasicProperties(headers=headers, **PROPERTIES))
    [sent] = broker.wait_for("q")
    assert sent == Message("hällo".encode(), routing_key="q", headers=headers, **PROPERTIES)
    assert sent.text == "hällo"
    broker.publish("hällo", "q", headers=headers, **PROPERTIES)
    assert broker.queue("q").messages[1] == sent
    channel.basic_get("q", auto_ack=True)
    _, properties, body = channel.basic_get("q", auto_ack=True)
    assert (body, properties.headers) == ("hällo".encode(), headers)
    assert {name: getattr(properties, name) for name in PROPERTIES} == PROPERTIES


def test_a_message_says_what_it_has() -> None:
    message = Message(b"x" * 100, routing_key="q", priority=3, headers={"a": 1})
    assert repr(message) == f"Message('{'x' * 59}... (100 bytes), routing_key='q', headers={{'a': 1}}, priority=3)"
    assert repr(Message(b"\xff")) == r"Message(b'\xff')"
    with pytest.raises(UnicodeDecodeError):
        _ = Message(b"\xff").text
    assert Message(b'{"a": [1]}').json() == {"a": [1]}
    with pytest.raises(ValueError, match="Expecting value"):
        Message(b"x").json()


def test_a_message_says_that_its_priority_is_0() -> None:
    assert repr(Message(b"x", priority=0)) == "Message('x', priority=0)"


def test_messages_come_in_the_order_of_their_priority(broker: leveret.Broker) -> None:
    broker.declare_queue("q", arguments={"x-max-priority": 5})
    for priority in (0, 3, 1, 3, 5):
        broker.publish(str(priority), "q", priority=priority)
    assert [message.text for message in broker.queue("q").messages] == ["5", "3", "3", "1", "0"]


def test_queues_and_exchanges(broker: leveret.Broker) -> None:
    for name in ("b", "a", "c"):
        broker.declare_queue(name)
        broker.declare_exchange(f"exchange {name}", "topic")
    assert [queue.name for queue in broker.queues] == ["a", "b", "c"]
    assert broker.exchanges == ["exchange a", "exchange b", "exchange c"]


def test_connections(broker: leveret.Broker, clients: Connect) -> None:
    named, nameless = clients(broker.url, "shop"), clients(broker.url)
    named.channel(), named.channel()
    names = {connection.name: connection for connection in broker.connections}
    assert names.pop("shop") == Connection("shop", "guest", 2, 0, 0)
    [(name, other)] = names.items()
    assert name.startswith("127.0.0.1:")
    assert name.endswith(f" -> 127.0.0.1:{broker.port}")
    assert (other.user, other.channels) == ("guest", 0)
    named.close()
    nameless.close()
    eventually(lambda: not broker.connections)


def test_who_has_not_logged_in_is_not_there(broker: leveret.Broker) -> None:
    client = raw(broker.host, broker.port)
    assert len(broker.connections) == 1
    client.link.close()
    eventually(lambda: not broker.connections)


# -- what was published


def test_outcomes(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url, "shop").channel()
    channel.confirm_delivery()
    channel.exchange_declare("e", "fanout")
    for queue in ("one", "two"):
        channel.queue_declare(queue)
        channel.queue_bind(queue, "e")
    channel.basic_publish("e", "key", b"routed", mandatory=True)
    channel.basic_publish("", "nowhere", b"unroutable")
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "nowhere", b"returned", mandatory=True)
    broker.faults.nack()
    with pytest.raises(pika.exceptions.NackError):
        channel.basic_publish("", "one", b"nacked")
    broker.faults.unroute()
    with pytest.raises(pika.exceptions.UnroutableError):
        channel.basic_publish("", "one", b"strayed", mandatory=True)
    broker.faults.refuse()
    with pytest.raises(pika.exceptions.ChannelClosedByBroker):
        channel.basic_publish("", "one", b"refused")
    broker.publish("mine", "one")
    assert [(each.text, each.outcome, each.queues, each.mandatory, each.connection) for each in broker.published()] == [
        ("routed", "routed", ("one", "two"), True, "shop"),
        ("unroutable", "unroutable", (), False, "shop"),
        ("returned", "returned", (), True, "shop"),
        ("nacked", "nacked", (), False, "shop"),
        ("strayed", "returned", (), True, "shop"),
        ("refused", "refused", (), False, "shop"),
        ("mine", "routed", ("one",), False, ""),
    ]
    assert [each.text for each in broker.published("e")] == ["routed"]
    assert [each.text for each in broker.published("", "nowhere")] == ["unroutable", "returned"]
    assert [each.text for each in broker.published(routing_key="key")] == ["routed"]
    assert broker.published("nothing") == []
    assert broker.queue("one").ready == 2


def test_published_of_one_virtual_host_only(broker: leveret.Broker) -> None:
    broker.virtual_host("v").publish("there", "q")
    broker.publish("here", "q")
    assert [each.text for each in broker.published()] == ["here"]
    assert [each.text for each in broker.virtual_host("v").published()] == ["there"]


def test_published_has_what_a_transaction_publishes_at_once_and_whatever_comes_of_it(
    broker: leveret.Broker, clients: Connect
) -> None:
    channel = clients(broker.url).channel()
    channel.queue_declare("q")
    channel.tx_select()
    channel.basic_publish("", "q", b"rolled back")
    assert [each.text for each in broker.wait_for_published()] == ["rolled back"]
    channel.tx_rollback()
    channel.basic_publish("", "q", b"committed")
    channel.tx_commit()
    assert [(each.text, each.outcome) for each in broker.published()] == [
        ("rolled back", "routed"),
        ("committed", "routed"),
    ]
    assert [message.text for message in broker.queue("q").messages] == ["committed"]


def test_published_with_a_delay_names_the_place_where_it_waits(broker: leveret.Broker) -> None:
    broker.declare_exchange("later", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    broker.declare_queue("q")
    broker.bind("q", "later")
    published = broker.publish("x", exchange="later", headers={"x-delay": 1000})
    assert (published.queues, published.outcome) == (("amq.delayed.later",), "routed")
    broker.clock.advance(1)
    assert [message.text for message in broker.queue("q").messages] == ["x"]
    assert broker.published() == [published]


# -- what a test does without a client


def test_publish(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    published = broker.publish("text", "q")
    assert (published.body, published.content_type, published.outcome) == (b"text", None, "routed")
    assert published.queues == ("q",)
    assert broker.publish(b"\xff", "q").body == b"\xff"
    assert broker.publish({"a": [1, None]}, "q").json() == {"a": [1, None]}
    assert broker.publish([1], "q").content_type == "application/json"
    assert broker.publish({}, "q", content_type="x/y").content_type == "x/y"
    assert broker.publish("", "q").body == b""
    assert broker.publish("x", "nowhere").outcome == "unroutable"
    assert [message.body for message in broker.queue("q").messages] == [
        b"text",
        b"\xff",
        b'{"a": [1, null]}',
        b"[1]",
        b"{}",
        b"",
    ]
    big = bytes(5_000_000)
    broker.publish(big, "q")
    assert broker.queue("q").messages[-1].body == big


def test_publish_that_cannot_be(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    with pytest.raises(ValueError, match="no exchange 'nope'"):
        broker.publish("x", "q", "nope")
    with pytest.raises(TypeError, match="a message has no property 'prority'; choose from app_id, "):
        broker.publish("x", "q", prority=5)
    with pytest.raises(TypeError):
        broker.publish({"a": object()}, "q")
    with pytest.raises(ValueError, match="300 bytes"):
        broker.publish("x", "q", message_id="m" * 300)
    assert broker.queue("q").ready == 0
    assert broker.published() == []


def test_publish_with_a_name_that_is_too_long(broker: leveret.Broker) -> None:
    with pytest.raises(ValueError, match="the exchange has more than 255 bytes"):
        broker.publish(b"x", exchange="x" * 256)
    with pytest.raises(ValueError, match="the routing key has more than 255 bytes"):
        broker.publish(b"x", "\u00e9" * 128)


def test_publish_names_the_property_that_is_wrong(broker: leveret.Broker) -> None:
    wrong: dict[str, Any] = {"priority": "high", "expiration": 1000, "timestamp": 1.5, "message_id": 5}
    for name, value in wrong.items():
        with pytest.raises((TypeError, ValueError), match=name):
            broker.publish("x", "q", **{name: value})


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object()], ids=["bytes", "set", "object"])
def test_publish_loses_no_headers(broker: leveret.Broker, value: object) -> None:
    try:
        published = broker.publish("x", "q", headers={"key": value})
    except (TypeError, ValueError):
        return
    assert published.headers["key"] is not None


def test_publish_with_an_expiration_that_is_none(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    with pytest.raises(ValueError, match="invalid expiration"):
        broker.publish("x", "q", expiration="soon")


def test_publish_with_copies(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    broker.declare_queue("copy")
    assert broker.publish("x", "q", headers={"CC": ["copy"]}).queues == ("q", "copy")


def test_declare_and_bind(broker: leveret.Broker, clients: Connect) -> None:
    queue = broker.declare_queue("q", arguments={"x-max-length": 2, "x-message-ttl": 60_000, "mine": [1, {"a": "b"}]})
    assert queue.arguments == {"x-max-length": 2, "x-message-ttl": 60_000, "mine": [1, {"a": "b"}]}
    broker.declare_queue("q", arguments=queue.arguments)  # the same again is fine
    broker.declare_queue("passing", durable=False)
    broker.declare_exchange("direct")
    broker.declare_exchange("headers", "headers", durable=False)
    broker.bind("q", "direct", "key")
    broker.bind("passing", "headers", arguments={"x-match": "all", "a": 1})
    assert broker.publish("1", "key", "direct").queues == ("q",)
    assert broker.publish("2", "other", "direct").queues == ()
    assert broker.publish("3", exchange="headers", headers={"a": 1}).queues == ("passing",)
    channel = clients(broker.url).channel()
    channel.queue_declare(
        "q", durable=True, arguments={"x-max-length": 2, "x-message-ttl": 60_000, "mine": [1, {"a": "b"}]}
    )
    channel.exchange_declare("headers", "headers")
    for number in range(3):
        broker.publish(str(number), "q")
    assert [message.text for message in queue.messages] == ["1", "2"]


@pytest.mark.parametrize(
    ("declare", "text"),
    [
        (lambda broker: broker.declare_queue("amq.q"), "ACCESS_REFUSED - queue name 'amq.q'"),
        (lambda broker: broker.declare_queue("q", arguments={"x-message-ttl": -1}), "invalid arg 'x-message-ttl'"),
        (lambda broker: broker.declare_queue("there", durable=False), "inequivalent arg 'durable'"),
        (lambda broker: broker.declare_exchange("e", "tpoic"), "invalid exchange type 'tpoic'"),
        (lambda broker: broker.declare_exchange("amq.topic", "fanout"), "inequivalent arg 'type'"),
        (lambda broker: broker.bind("there", "nope"), "no exchange 'nope'"),
        (lambda broker: broker.bind("nope", "amq.topic"), "no queue 'nope'"),
    ],
)
def test_declare_what_cannot_be(broker: leveret.Broker, declare: Callable[[leveret.Broker], object], text: str) -> None:
    broker.declare_queue("there")
    with pytest.raises(ValueError, match=text):
        declare(broker)
    assert [queue.name for queue in broker.queues] == ["there"]
    assert broker.exchanges == []


@pytest.mark.parametrize(
    "declare",
    [
        lambda broker: broker.declare_queue("x" * 300),  # a name that no client can say
        lambda broker: broker.declare_queue("q", arguments={"x-max-length": 1 << 70}),  # BadArgument is no ValueError
        lambda broker: broker.bind("there", ""),  # ACCESS_REFUSED for a client
    ],
    ids=["long-name", "large-number", "default-exchange"],
)
def test_declare_what_a_client_could_not(broker: leveret.Broker, declare: Callable[[leveret.Broker], object]) -> None:
    broker.declare_queue("there")
    with pytest.raises(ValueError, match=r".+"):
        declare(broker)


def test_declare_without_a_name(broker: leveret.Broker) -> None:
    assert broker.declare_queue("").name


DEFINITIONS: dict[str, Any] = {
    "queues": [{"name": "q", "durable": True}, {"name": "other", "vhost": "elsewhere", "durable": True}],
    "exchanges": [{"name": "e", "vhost": "/", "type": "fanout"}],
    "bindings": [{"source": "e", "vhost": "/", "destination": "q", "destination_type": "queue", "routing_key": ""}],
    "policies": [{"name": "p", "vhost": "/", "pattern": "^q$", "apply-to": "queues", "definition": {"max-length": 1}}],
    "users": [{"name": "u", "password": "p", "tags": ""}],
}


@pytest.mark.parametrize("is_file", [False, True])
def test_define(broker: leveret.Broker, tmp_path: Path, is_file: bool) -> None:
    path = tmp_path / "definitions.json"
    path.write_text(json.dumps(DEFINITIONS))
    for name in ("/", "v"):
        host = broker.virtual_host(name)
        for _ in range(2):
            host.define(path if is_file else DEFINITIONS)
        assert [queue.name for queue in host.queues] == ["q"]
        assert host.publish("1", exchange="e").queues == ("q",)
        host.publish("2", exchange="e")
        assert [message.text for message in host.queue("q").messages] == ["2"]  # of which the policy lets one stay
    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        connect(broker.url, credentials=pika.PlainCredentials("u", "p"))


def test_define_what_is_wrong(broker: leveret.Broker, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"nofile\.json"):
        broker.define(tmp_path / "nofile.json")
    bad = {"queues": [{"name": "a"}, {"name": "b", "arguments": {"x-message-ttl": -1}}]}
    with pytest.raises(ValueError, match=r"queues\[1\].arguments.x-message-ttl"):
        broker.define(bad)
    with pytest.raises(ValueError, match=r"bindings\[0\]: no exchange 'nope'"):
        broker.define({"queues": [{"name": "a"}], "bindings": [{**DEFINITIONS["bindings"][0], "source": "nope"}]})
    with pytest.raises(ValueError, match=r"queues\[0\]"):
        broker.define({"queues": [{"nam": "a"}]})
    assert broker.queues == []


@pytest.mark.parametrize("content", [{"queues": "orders"}, {"queues": [5]}, {"queues": {"name": "orders"}}])
def test_define_what_has_the_wrong_shape(broker: leveret.Broker, content: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="queues"):
        broker.define(content)


# -- waiting


def test_wait_for_messages(broker: leveret.Broker) -> None:
    call = Call(lambda: broker.wait_for("q", 3))
    broker.declare_queue("q")
    for number in range(3):
        assert not call.is_done
        broker.publish(str(number), "q")
    assert [message.text for message in call.result()] == ["0", "1", "2"]
    assert len(broker.wait_for("q", 2, timeout=0)) == 3
    assert broker.wait_for("q", 0, timeout=0) != []


def test_wait_for_unacked_and_consumers(broker: leveret.Broker, clients: Connect) -> None:
    call = Call(lambda: broker.wait_for("q", unacked=2, consumers=1))
    connection = clients(broker.url)
    channel = connection.channel()
    channel.queue_declare("q")
    channel.basic_qos(prefetch_count=2)
    channel.basic_consume("q", lambda *_: None)
    for number in range(2):
        assert not call.is_done
        broker.publish(str(number), "q")
    assert call.result() == []
    broker.publish("2", "q")
    assert [message.text for message in broker.wait_for("q", unacked=2)] == ["2"]


def test_wait_for_what_does_not_come(broker: leveret.Broker, clients: Connect) -> None:
    clients(broker.url, "shop").channel()
    broker.declare_queue("q")
    broker.publish("hello", "q")
    began = time.monotonic()
    with pytest.raises(WaitTimeout) as caught:
        broker.wait_for("q", 2, timeout=0.2)
    assert time.monotonic() - began > 0.19
    assert str(caught.value).splitlines() == [
        "wait_for: 2 ready in queue 'q' did not happen within 0.2 s",
        "",
        "queues:",
        "  q: 1 ready, 0 unacked, 0 consumers",
        "connections:",
        "  shop: 1 channels",
        "published: 1, the last of them:",
        "  Published('hello', routing_key='q', queues=('q',), outcome='routed')",
    ]
    assert isinstance(caught.value, TimeoutError)
    for wait, text in (
        (lambda: broker.wait_for("none", timeout=0), "1 ready in queue 'none'"),
        (lambda: broker.wait_for("q", unacked=1, timeout=0), "1 unacked in queue 'q'"),
        (lambda: broker.wait_for("q", unacked=2, consumers=3, timeout=0), "2 unacked and 3 consumers in queue 'q'"),
        (lambda: broker.wait_for_published(2, timeout=0), "wait_for_published: 2 to any exchange did not happen"),
        (lambda: broker.wait_for_published(exchange="e", timeout=0), "1 to exchange 'e' did not happen"),
        (lambda: broker.wait_for_published(routing_key="k", timeout=0), "1 to routing key 'k' did not happen"),
        (
            lambda: broker.wait_for_published(exchange="e", routing_key="k", timeout=0),
            "exchange 'e' with routing key 'k' did not happen",
        ),
    ):
        with pytest.raises(WaitTimeout, match=text):
            wait()


def test_wait_for_publishes(broker: leveret.Broker, clients: Connect) -> None:
    channel = clients(broker.url).channel()
    any_two = Call(lambda: broker.wait_for_published(2))
    to_topic = Call(lambda: broker.wait_for_published(exchange="amq.topic"))
    with_key = Call(lambda: broker.wait_for_published(routing_key="b"))
    channel.basic_publish("", "a", b"1")
    channel.basic_publish("amq.topic", "b", b"2")
    assert [each.text for each in any_two.result()] == ["1", "2"]
    assert [each.text for each in to_topic.result()] == ["2"]
    assert [each.text for each in with_key.result()] == ["2"]


def test_the_last_10_000_publishes_are_remembered_and_waits_count_no_others(
    broker: leveret.Broker, clients: Connect
) -> None:
    connection = clients(broker.url)
    channel = connection.channel()
    for number in range(10_001):
        channel.basic_publish("", "nowhere", b"%d" % number)
    channel.queue_declare("q")  # when all of them have arrived
    assert [int(each.body) for each in broker.wait_for_published(10_000)] == list(range(1, 10_001))
    with pytest.raises(WaitTimeout):
        broker.wait_for_published(10_001, timeout=0.2)


def test_a_wait_and_many_publishers(broker: leveret.Broker) -> None:
    broker.declare_queue("q")

    def publish() -> None:
        for _ in range(200):
            broker.publish("x", "q")
            _ = broker.queue("q").ready, broker.connections, broker.published("none")

    calls = [Call(publish) for _ in range(4)]
    assert len(broker.wait_for("q", 800)) == 800
    for call in calls:
        call.result()
    assert len(broker.published()) == 800


def test_a_wait_goes_on_after_a_restart(broker: leveret.Broker) -> None:
    call = Call(lambda: broker.wait_for("q"))
    broker.restart()
    broker.declare_queue("q")
    broker.publish("x", "q")
    assert [message.text for message in call.result()] == ["x"]


def test_a_wait_whose_virtual_host_is_deleted(broker: leveret.Broker) -> None:
    host = broker.virtual_host("v")
    call = Call(lambda: host.wait_for("q", timeout=20))
    eventually(lambda: broker._server.node.driver._waiting)
    broker.delete_virtual_host("v")
    with pytest.raises(LookupError, match="virtual host 'v' no longer exists"):
        call.result()
    broker.declare_queue("q")
    broker.publish("x", "q")
    assert broker.wait_for("q")


def test_idle_after_a_slow_consumer(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    done: list[bytes] = []
    stop = threading.Event()

    def consume() -> None:
        connection = connect(broker.url)
        channel = connection.channel()
        channel.basic_qos(prefetch_count=1)

        def on_message(_: Any, method: Any, __: Any, body: bytes) -> None:
            time.sleep(0.02)  # as work does
            done.append(body)
            channel.basic_ack(method.delivery_tag)

        channel.basic_consume("q", on_message)
        while not stop.is_set():
            connection.process_data_events(0.01)
        connection.close()

    consumer = Call(consume)
    broker.wait_for("q", consumers=1)
    for number in range(10):
        broker.publish(str(number), "q")
    broker.wait_until_idle()
    assert done == [str(number).encode() for number in range(10)]
    assert (broker.queue("q").ready, broker.queue("q").unacked) == (0, 0)
    stop.set()
    consumer.result()


def test_idle_is_what_nobody_works_on(broker: leveret.Broker, clients: Connect) -> None:
    broker.wait_until_idle()
    broker.declare_queue("q")
    broker.publish("x", "q")
    broker.wait_until_idle()  # nobody consumes
    channel = clients(broker.url).channel()
    method, _, _ = channel.basic_get("q")
    with pytest.raises(WaitTimeout, match=r"wait_until_idle: this did not happen within 0\.1 s") as caught:
        broker.wait_until_idle(timeout=0.1)
    assert "q: 0 ready, 1 unacked, 0 consumers" in str(caught.value)
    assert "not acknowledged:\n  q: Message('x', routing_key='q'), held by 127.0.0.1" in str(caught.value)
    channel.basic_ack(method.delivery_tag)
    broker.wait_until_idle()


def test_idle_when_confirms_are_paid(broker: leveret.Broker) -> None:
    broker.faults.delay_confirms(60)

    def publish() -> None:
        connection = connect(broker.url)
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "nowhere", b"x")
        connection.close()

    call = Call(publish)
    broker.wait_for_published()
    with pytest.raises(WaitTimeout):
        broker.wait_until_idle(timeout=0.1)
    broker.clock.advance(60)
    broker.wait_until_idle()
    call.result()


def test_idle_while_a_client_never_rests(broker: leveret.Broker) -> None:
    broker.declare_queue("q")
    stop = threading.Event()

    def ask() -> None:
        connection = connect(broker.url)
        channel = connection.channel()
        while not stop.is_set():
            channel.basic_get("q")
        connection.close()

    asking = Call(ask)
    waiting = Call(lambda: broker.wait_until_idle(timeout=0.2, quiet=0.1))
    try:
        with pytest.raises(WaitTimeout):
            waiting.result()
    finally:
        stop.set()
        asking.result()


# -- requests


def ask(connection: Any, queue: str, *bodies: bytes) -> list[tuple[bytes, str]]:
    """Send requests with direct reply-to, and wait for as many replies: their bodies and correlation ids."""
    channel = connection.channel()
    got: list[tuple[bytes, str]] = []
    channel.basic_consume(
        "amq.rabbitmq.reply-to", lambda _c, _m, props, body: got.append((body, props.correlation_id)), auto_ack=True
    )
    for number, body in enumerate(bodies):
        channel.basic_publish(
            "", queue, body, pika.BasicProperties(reply_to="amq.rabbitmq.reply-to", correlation_id=str(number))
        )
    pump(connection, lambda: len(got) == len(bodies))
    return got


def test_reply_to(broker: leveret.Broker, clients: Connect) -> None:
    callers: set[str] = set()

    def double(request: Message) -> str:
        callers.add(threading.current_thread().name)
        return request.text * 2

    broker.reply_to("rpc", double)
    assert broker.queue("rpc").exists
    assert ask(clients(broker.url), "rpc", b"a", b"b") == [(b"aa", "0"), (b"bb", "1")]
    assert "leveret" not in callers
    broker.declare_queue("answers")
    broker.publish("c", "rpc", reply_to="answers", correlation_id="7")
    [answer] = broker.wait_for("answers")
    assert (answer.text, answer.correlation_id) == ("cc", "7")
    broker.publish("nobody waits", "rpc")
    broker.wait_until_idle()
    assert broker.queue("rpc").unacked == 0


def test_reply_to_with_json_and_with_nothing(broker: leveret.Broker) -> None:
    broker.declare_queue("answers")
    broker.reply_to("rpc", lambda request: request.json() if request.body else None)
    for body in ("", '{"a": 1}', "[]"):
        broker.publish(body, "rpc", reply_to="answers")
    found = broker.wait_for("answers", 2)
    assert [(each.json(), each.content_type) for each in found] == [
        ({"a": 1}, "application/json"),
        ([], "application/json"),
    ]
    broker.wait_until_idle()
    assert broker.queue("answers").ready == 2


def test_reply_to_uses_the_queue_that_is_there(broker: leveret.Broker) -> None:
    broker.declare_queue("rpc", arguments={"x-max-length": 5})
    broker.reply_to("rpc", lambda _: "x")
    assert broker.queue("rpc").arguments == {"x-max-length": 5}


def test_reply_to_ends(broker: leveret.Broker) -> None:
    with broker.reply_to("rpc", lambda _: "x"):
        broker.publish("1", "rpc", reply_to="answers")
        broker.wait_for_published(routing_key="answers")
    broker.publish("2", "rpc", reply_to="answers")
    broker.wait_until_idle()
    assert [message.text for message in broker.queue("rpc").messages] == ["2"]
    assert len(broker.published(routing_key="answers")) == 1


def test_reply_to_a_function_that_fails(broker: leveret.Broker, noise: list[str]) -> None:
    dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
    broker.declare_queue("rpc", arguments=dead)
    broker.declare_queue("dead")

    def answer(request: Message) -> str:
        return str(10 // int(request.text))

    broker.reply_to("rpc", answer)
    broker.publish("0", "rpc", reply_to="answers")
    broker.publish("5", "rpc", reply_to="answers")
    assert [each.text for each in broker.wait_for_published(routing_key="answers")] == ["2"]
    assert [message.text for message in broker.wait_for("dead")] == ["0"]
    [line] = noise
    noise.clear()
    assert "the function that answers Message('0', routing_key='rpc', reply_to='answers') in queue 'rpc' failed" in line
    assert "ZeroDivisionError" in line


def test_reply_to_a_function_that_returns_what_is_no_body(noise: list[str]) -> None:
    def answers() -> list[str]:
        with leveret.Broker() as broker:
            broker.reply_to("rpc", lambda request: int(request.text) if request.text == "5" else "fine")
            broker.publish("5", "rpc", reply_to="answers")
            broker.publish("6", "rpc", reply_to="answers")
            with contextlib.suppress(WaitTimeout):
                broker.wait_for_published(routing_key="answers", timeout=0.3)
            return [each.text for each in broker.published(routing_key="answers")]

    found = answers()
    gc.collect()  # a task that has failed says so when it is gone
    assert found[-1:] == ["fine"]
    noise.clear()  # where the other one should be


def test_reply_to_a_function_that_uses_the_broker(broker: leveret.Broker) -> None:
    broker.declare_queue("log")

    def answer(request: Message) -> str:
        broker.publish(f"asked {request.text}", "log")
        return str(broker.queue("log").ready)

    broker.reply_to("rpc", answer)
    broker.publish("x", "rpc", reply_to="answers")
    assert [each.text for each in broker.wait_for_published(routing_key="answers")] == ["1"]


def test_reply_to_in_a_virtual_host_that_is_deleted(broker: leveret.Broker) -> None:
    host = broker.virtual_host("v")
    host.reply_to("rpc", lambda _: "x")
    broker.delete_virtual_host("v")
    broker.declare_queue("q")
    broker.publish("x", "q")
    broker.wait_for("q")
    broker.wait_until_idle()


def test_reply_to_a_queue_that_is_deleted_and_comes_back(broker: leveret.Broker) -> None:
    began, go_on = threading.Event(), threading.Event()

    def answer(_: Message) -> str:
        began.set()
        assert go_on.wait(10)
        return "x"

    broker.reply_to("rpc", answer)
    broker.publish("1", "rpc", reply_to="answers")
    assert began.wait(10)
    broker.queue("rpc").delete()
    go_on.set()
    broker.declare_queue("rpc")
    broker.publish("2", "rpc", reply_to="answers")
    broker.wait_for_published(2, routing_key="answers")


def test_stop_does_not_wait_for_an_answer() -> None:
    go_on = threading.Event()
    broker = leveret.Broker()
    broker.start()
    broker.reply_to("rpc", lambda _: "x" if go_on.wait(20) else None)
    broker.publish("x", "rpc")
    broker.wait_for("rpc", unacked=1)
    call = Call(broker.stop)
    try:
        call.result(10)
    finally:
        go_on.set()
        eventually(lambda: call.is_done)


def test_reply_to_goes_on_after_a_restart(broker: leveret.Broker) -> None:
    broker.declare_queue("rpc")
    broker.reply_to("rpc", lambda _: "x")
    broker.restart()
    broker.publish("x", "rpc", reply_to="answers")
    broker.wait_for_published(routing_key="answers")


def test_reply_to_with_a_coroutine_function(make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        async with leveret.AsyncBroker() as broker:
            home = asyncio.get_running_loop()

            async def answer(request: Message) -> str:
                assert asyncio.get_running_loop() is home
                await asyncio.sleep(0)
                return request.text.upper()

            broker.reply_to("rpc", answer)
            broker.reply_to("plain", lambda request: request.text.lower())
            async with await aio_pika.connect(broker.url) as connection:
                channel = await connection.channel()
                replies = await channel.declare_queue("answers")
                for queue in ("rpc", "plain"):
                    await channel.default_exchange.publish(aio_pika.Message(b"aBc", reply_to="answers"), queue)
                await broker.wait_for("answers", 2)
                bodies = {message.body for message in [await replies.get(), await replies.get()]}
            assert bodies == {b"ABC", b"abc"}

    run(scenario, make_loop)


def test_reply_to_in_another_event_loop(broker: leveret.Broker, make_loop: MakeLoop) -> None:
    async def scenario() -> None:
        home = asyncio.get_running_loop()
        host = broker.async_virtual_host("/")

        async def answer(_: Message) -> str:
            return str(asyncio.get_running_loop() is home)

        with host.reply_to("rpc", answer):
            host.publish("x", "rpc", reply_to="answers")
            assert [each.text for each in await host.wait_for_published(routing_key="answers")] == ["True"]

    run(scenario, make_loop)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")  # it says what noise says
def test_an_event_loop_that_ends_before_its_answers(broker: leveret.Broker, noise: list[str]) -> None:
    async def scenario() -> None:
        async def answer(_: Message) -> str:
            return "x"

        broker.async_virtual_host("/").reply_to("rpc", answer)

    run(scenario, asyncio.new_event_loop)
    broker.publish("x", "rpc", reply_to="answers")
    broker.wait_until_idle()
    assert broker.published(routing_key="answers") == []
    assert len(noise) == 1
    noise.clear()
    gc.collect()  # now, and in no other test


# -- for people


def test_report(broker: leveret.Broker, clients: Connect) -> None:
    connection = clients(broker.url, "shop")
    channel = connection.channel()
    channel.queue_declare("q")
    for number in range(15):
        channel.basic_publish("", "q", str(number).encode())
    channel.basic_publish("", "nowhere", b"lost")
    channel.basic_get("q")
    text = broker.report()
    assert "q: 14 ready, 1 unacked, 0 consumers" in text
    assert "shop: 1 channels" in text
    assert "published: 16, the last of them:\n  Published('6', routing_key='q'" in text
    assert "nacked, refused, returned or unroutable:\n  Published('lost', routing_key='nowhere'" in text
    assert "not acknowledged:\n  q: Message('0', routing_key='q'), held by shop" in text


def test_what_things_are_is_said(tmp_path: Path) -> None:
    broker = leveret.Broker()
    assert repr(broker) == "<Broker that is not running>"
    assert repr(broker.clock) == "<clock of a broker that is not running>"
    with broker:
        assert repr(broker) == f"<Broker on {broker.url}>"
        host = broker.virtual_host("v")
        assert repr(host) == f"<VirtualHost on {host.url}>"
        assert repr(host.faults) == "<faults of virtual host 'v'>"
        assert re.fullmatch(r"<clock at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC>", repr(host.clock))
        with host.faults.block() as fault:
            assert repr(fault) == "<active fault>"
        assert repr(fault) == "<ended fault>"


@pytest.mark.parametrize(
    "act",
    [
        lambda broker: broker.wait_for("q", timeout=0),
        lambda broker: broker.publish("x", exchange="nope"),
        lambda broker: broker.queue("nope").ready,
        lambda broker: broker.wait_for_published(timeout=0),
    ],
)
def test_a_traceback_has_little_of_the_broker(broker: leveret.Broker, act: Callable[[leveret.Broker], object]) -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011
        act(broker)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert len([frame for frame in frames if frame.filename != __file__]) <= 3
    assert all("leveret" in frame.filename or frame.filename == __file__ for frame in frames)


def test_what_goes_through_the_http_api_is_seen_as_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    message = {"properties": {}, "routing_key": "q", "payload": "x", "payload_encoding": "string"}
    wanted = {"count": 5, "ackmode": "ack_requeue_false", "encoding": "auto"}
    with leveret.Broker(management=True) as broker:
        http = Http(broker.management_url)
        http.ask("PUT", "queues/%2F/q", {}).expect(201)
        with broker.record(tmp_path / "recording"):
            http.ask("POST", "exchanges/%2F/amq.default/publish", message).expect(200)
            assert len(http.ask("POST", "queues/%2F/q/get", wanted).expect(200).json) == 1  # type: ignore[arg-type]
        assert [(each.text, each.outcome, each.connection) for each in broker.published()] == [
            ("x", "routed", "HTTP API, 127.0.0.1")
        ]
        broker.faults.nack(1)
        assert b"try again" in http.ask("POST", "exchanges/%2F/amq.default/publish", message).expect(503).body
    assert [event["event"] for event in read(tmp_path / "recording")] == ["publish", "deliver", "ack"]
    assert [record.getMessage() for record in caplog.records if record.exc_info] == []
