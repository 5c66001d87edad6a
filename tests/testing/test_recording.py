"""Recordings: what is written down, what is read, shown, compared and replayed, and what is said of damaged ones."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import pika.spec
import pytest

import leveret
from leveret.management import recording
from leveret.management.recording import RecordingError, compare, publishes, read
from leveret.testing import VirtualHost
from leveret.wire import fields
from leveret.wire.fields import Field, Table
from leveret.wire.properties import BasicProperties
from tests.api.http import Http
from tests.brokers.process import Server
from tests.clients.codec import BODY, HEADER, METHOD, content_header, frame
from tests.clients.command_line import leveret as command
from tests.clients.command_line import process
from tests.clients.methods_basic import BasicPublish
from tests.clients.peer import Channel
from tests.clients.waiting import eventually

from .conftest import Connect
from .support import PATIENCE_S, raw

PAGE = Path(__file__).parents[2] / "docs" / "testing" / "recording.md"
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(?:# (\S+\.py)\n)?(.*?)^```$", re.MULTILINE | re.DOTALL)

FIRST = {
    "event": "publish",
    "at_ms": 0,
    "vhost": "/",
    "connection": "shop",
    "queues": ["orders"],
    "outcome": "routed",
    "message": 1,
    "exchange": "",
    "routing_key": "orders",
    "properties": {},
    "text": "first",
}
ACK = {"event": "ack", "at_ms": 5, "vhost": "/", "queue": "orders", "message": 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a recording is."""
    return tmp_path / "recording.jsonl"


def events(path: Path, kind: str | None = None) -> list[dict[str, Any]]:
    """What is in a recording."""
    found = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    return [event for event in found if kind in (None, event["event"])]


def story(path: Path) -> list[tuple[str, str | None, int | None]]:
    """What happened: event, queue, and number of the message."""
    return [(event["event"], event.get("queue"), event["message"]) for event in events(path)]


def publish(**changes: object) -> dict[str, object]:
    """A publish, as FIRST."""
    found = {**FIRST, **changes}
    if "body" in changes:
        del found["text"]
    return found


def write(path: Path, *lines: object) -> Path:
    """Write a recording. lines: events, or text as it is."""
    path.write_text("".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines))
    return path


def send(channel: Channel, properties: bytes, body: bytes, routing_key: str = "orders") -> None:
    """Publish with properties as bytes."""
    publish = BasicPublish(routing_key=routing_key).payload()
    for kind, payload in ((METHOD, publish), (HEADER, content_header(len(body), properties)), (BODY, body)):
        channel.link.send_bytes(frame(kind, channel.number, payload))


# -- what a publish looks like


def test_a_publish(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url, "shop").channel()
        channel.basic_publish("", "orders", b"first")
        broker.wait_for("orders")
        (line,) = events(path)  # while the broker runs
    assert line == {**FIRST, "at_ms": line["at_ms"]}
    assert list(line) == list(FIRST)


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (b"", {"text": ""}),
        ("Grüße, 世界 🐇".encode(), {"text": "Grüße, 世界 🐇"}),
        (b'a\nb\r\0"\\\x1b\xe2\x80\xa8', {"text": 'a\nb\r\0"\\\x1b\u2028'}),
        (b"\xff", {"body": "/w=="}),
        (b"text\xc3", {"body": base64.b64encode(b"text\xc3").decode()}),
        (b"\xed\xa0\x80", {"body": "7aCA"}),  # a surrogate, which is no UTF-8
        (b"x" * 300_000, {"text": "x" * 300_000}),
    ],
    ids=["empty", "text", "control", "binary", "cut", "surrogate", "large"],
)
def test_a_body(path: Path, body: bytes, line: dict[str, str]) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        broker.publish(body, "orders")
    (event,) = events(path)
    assert {key: event[key] for key in ("text", "body") if key in event} == line
    assert path.read_bytes().count(b"\n") == 1
    with leveret.Broker() as broker:
        broker.declare_queue("orders")
        assert broker.replay(path) == 1
        assert [message.body for message in broker.queue("orders").messages] == [body]


TYPES: Table = {
    "bool": fields.boolean(True),
    "byte": Field(fields.INT8, -128),
    "unsignedbyte": Field(fields.UINT8, 255),
    "short": Field(fields.INT16, -32768),
    "unsignedshort": Field(fields.UINT16, 65535),
    "signedint": Field(fields.INT32, -(1 << 31)),
    "unsignedint": Field(fields.UINT32, (1 << 32) - 1),
    "long": Field(fields.INT64, -(1 << 63)),
    "float": Field(fields.FLOAT32, 0.5),
    "double": Field(fields.FLOAT64, 0.1),
    "infinite": Field(fields.FLOAT64, float("inf")),
    "decimal": Field(fields.DECIMAL, (2, 314)),
    "longstr": fields.longstr("Grüße"),
    "no text": fields.longstr(b"\xff\xfe"),
    "binary": Field(fields.BINARY, b"\0\1"),
    "timestamp": fields.timestamp(1764000000),
    "array": fields.array([fields.long(1), fields.longstr("two"), fields.array([])]),
    "table": fields.table({"in": Field(fields.UINT8, 1), "deeper": fields.table({})}),
    "like a type": fields.table({"$long": fields.long(1)}),
    "void": Field(fields.VOID, None),
    "\udcff": fields.boolean(False),
}

LINE_OF_TYPES = {
    "bool": True,
    "byte": {"$byte": -128},
    "unsignedbyte": {"$unsignedbyte": 255},
    "short": {"$short": -32768},
    "unsignedshort": {"$unsignedshort": 65535},
    "signedint": {"$signedint": -(1 << 31)},
    "unsignedint": {"$unsignedint": (1 << 32) - 1},
    "long": -(1 << 63),
    "float": {"$float": 0.5},
    "double": 0.1,
    "infinite": {"$double": "inf"},
    "decimal": {"$decimal": "3.14"},
    "longstr": "Grüße",
    "no text": {"$longstr": "//4="},
    "binary": {"$binary": "AAE="},
    "timestamp": {"$timestamp": 1764000000},
    "array": [1, "two", []],
    "table": {"in": {"$unsignedbyte": 1}, "deeper": {}},
    "like a type": {"$table": {"$long": 1}},
    "void": None,
    "\udcff": False,
}


def test_properties_and_headers_of_every_type(path: Path, tmp_path: Path) -> None:
    assert {field.kind for field in TYPES.values()} == set(fields.TYPE_NAMES)
    properties = BasicProperties()
    properties.headers = TYPES
    plain = {
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "correlation_id": "1",
        "reply_to": "answers",
        "expiration": "60000",
        "message_id": "2",
        "type": "order",
        "user_id": "guest",
        "app_id": "shop",
        "cluster_id": "old",
        "delivery_mode": 2,
        "priority": 255,
        "timestamp": (1 << 64) - 1,
    }
    for name, value in plain.items():
        setattr(properties, "message_type" if name == "type" else name, value)
    raw_double = b"\x20\x00" + struct.pack(">L", 11) + b"\x01nd" + struct.pack(">d", float("nan"))
    sent = [properties.encode(), raw_double, b"\0\0"]

    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        client = raw(broker.host, broker.port)
        channel = client.channel()
        for each in sent:
            send(channel, each, b"body")
        broker.wait_for("orders", 3)
        client.link.close()
    found = [event["properties"] for event in events(path)]
    assert found == [{**plain, "headers": LINE_OF_TYPES}, {"$raw": base64.b64encode(raw_double).decode()}, {}]

    again = tmp_path / "again.jsonl"
    with leveret.Broker(record=again) as broker:
        broker.declare_queue("orders")
        assert broker.replay(path) == 3
    assert [item.properties for _, item in publishes(again)] == sent
    assert [event["properties"] for event in events(again)] == found


def test_cc_and_bcc(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        for name in ("orders", "copies", "hidden"):
            broker.declare_queue(name)
        headers = {"CC": ["copies"], "BCC": ["hidden"]}
        channel = clients(broker.url, "shop").channel()
        channel.basic_publish("", "orders", b"first", pika.BasicProperties(headers=headers))
        broker.wait_for("hidden")
        (event,) = events(path)
    assert event["queues"] == ["orders", "copies", "hidden"]
    assert (event["routing_key"], event["cc"], event["bcc"]) == ("orders", ["copies"], ["hidden"])
    assert event["properties"] == {"headers": {"CC": ["copies"]}}  # as consumers get it
    assert next(publishes(path))[1].message().address.keys == ["orders", "copies", "hidden"]


def test_outcomes(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url).channel()
        channel.confirm_delivery()
        channel.basic_publish("", "orders", b"")
        channel.basic_publish("", "nowhere", b"")
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere", b"", mandatory=True)
        broker.faults.nack()
        with pytest.raises(pika.exceptions.NackError):
            channel.basic_publish("", "orders", b"")
        broker.faults.refuse(403)
        with pytest.raises(pika.exceptions.ChannelClosedByBroker):
            channel.basic_publish("", "orders", b"")
    assert [(event["outcome"], event["queues"]) for event in events(path)] == [
        ("routed", ["orders"]),
        ("unroutable", []),
        ("returned", []),
        ("nacked", []),
        ("refused", []),
    ]


def test_the_name_of_a_connection(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        for name in ("shop", ""):
            clients(broker.url, name).channel().basic_publish("", "orders", b"")
            broker.wait_for("orders")
            broker.queue("orders").purge()
        broker.publish("", "orders")
        first, second, third = (event["connection"] for event in events(path))
    assert first == "shop"
    assert re.fullmatch(rf"127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{broker.port}", second)
    assert third == ""


# -- what becomes of deliveries


def test_settlements(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url, "worker").channel()
        channel.basic_publish("", "orders", b"first")

        def get() -> int:
            return int(channel.basic_get("orders")[0].delivery_tag)

        channel.basic_nack(get())
        channel.basic_reject(get())
        get()
        channel.basic_recover(True)
        get()
        channel.close()
        channel = channel.connection.channel()
        channel.basic_ack(get())
        channel.basic_publish("", "orders", b"second")
        channel.basic_nack(get(), requeue=False)
        channel.basic_publish("", "orders", b"third")
        channel.basic_reject(get(), requeue=False)
        channel.basic_publish("", "orders", b"fourth")
        channel.basic_get("orders", auto_ack=True)
        broker.wait_until_idle()
    how = [(event["event"], event["message"]) for event in events(path)]
    assert how == [
        *[("publish", 1), ("deliver", 1), ("requeue", 1), ("deliver", 1), ("return", 1), ("deliver", 1)],
        *[("requeue", 1), ("deliver", 1), ("return", 1), ("deliver", 1), ("ack", 1)],
        *[("publish", 2), ("deliver", 2), ("discard", 2)],
        *[("publish", 3), ("deliver", 3), ("discard", 3)],
        *[("publish", 4), ("deliver", 4)],
    ]
    first, *again, _, _, last = events(path, "deliver")
    expected = {"event": "deliver", "at_ms": first["at_ms"], "vhost": "/", "connection": "worker", "queue": "orders"}
    assert first == {**expected, "message": 1}
    assert [event.get("redelivered") for event in again] == [True] * 4
    assert last == {**expected, "at_ms": last["at_ms"], "message": 4, "no_ack": True}
    ack = events(path, "ack")[0]
    assert ack == {"event": "ack", "at_ms": ack["at_ms"], "vhost": "/", "queue": "orders", "message": 1}


def test_many_at_once(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url, "worker").channel()
        got = []
        channel.basic_consume("orders", lambda _channel, method, *_: got.append(method.delivery_tag))
        for body in (b"1", b"2", b"3", b"4"):
            channel.basic_publish("", "orders", body)
        broker.wait_for("orders", unacked=4)
        channel.basic_ack(2, multiple=True)
        channel.basic_nack(4, multiple=True, requeue=False)
        broker.wait_until_idle()
    assert sorted(story(path)[8:]) == [
        ("ack", "orders", 1),
        ("ack", "orders", 2),
        ("discard", "orders", 3),
        ("discard", "orders", 4),
    ]


def test_fanout(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        for name in ("one", "two"):
            broker.declare_queue(name)
            broker.bind(name, "amq.fanout")
        channel = clients(broker.url).channel()
        channel.basic_publish("amq.fanout", "", b"other")
        channel.basic_publish("amq.fanout", "", b"news")
        for name in ("one", "two"):
            for _ in range(2):
                channel.basic_ack(channel.basic_get(name)[0].delivery_tag)
        broker.wait_until_idle()
    assert [event["queues"] for event in events(path, "publish")] == [["one", "two"]] * 2
    assert story(path)[2:] == [
        (event, queue, number) for queue in ("one", "two") for number in (1, 2) for event in ("deliver", "ack")
    ]


def test_dead_letters(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("dead")
        arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}
        broker.declare_queue("orders", arguments=arguments)
        broker.declare_queue("short", arguments={**arguments, "x-message-ttl": 1000})
        channel = clients(broker.url).channel()
        channel.basic_publish("", "orders", b"refused")
        channel.basic_nack(channel.basic_get("orders")[0].delivery_tag, requeue=False)
        channel.basic_publish("", "short", b"expired")
        broker.wait_for("short")
        broker.clock.advance(1)
        for _ in range(2):
            channel.basic_ack(channel.basic_get("dead")[0].delivery_tag)
        broker.wait_until_idle()
    assert story(path) == [
        ("publish", None, 1),
        ("deliver", "orders", 1),
        ("discard", "orders", 1),
        ("publish", None, 2),
        *[("deliver", "dead", None), ("ack", "dead", None)] * 2,
    ]


def test_a_transaction_is_written_as_it_comes_in(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url).channel()
        channel.tx_select()
        channel.basic_publish("", "orders", b"dropped")
        channel.tx_rollback()
        channel.basic_publish("", "orders", b"kept")
        channel.tx_commit()
        channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
        channel.tx_rollback()
        assert story(path)[2:] == [("deliver", "orders", 2)]
        channel.tx_commit()
    assert [event["text"] for event in events(path, "publish")] == ["dropped", "kept"]


def test_virtual_hosts(path: Path, clients: Connect) -> None:
    with leveret.Broker(record=path) as broker:
        for host in (broker, broker.virtual_host("a/b"), broker.virtual_host("c")):
            host.declare_queue("orders")
            channel = clients(host.url).channel()
            channel.basic_publish("", "orders", host.name.encode())
            channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
            host.wait_until_idle()
        broker.delete_virtual_host("c")
    assert [(event["vhost"], event["event"], event["message"]) for event in events(path)] == [
        (name, event, number)
        for number, name in enumerate(("/", "a/b", "c"), 1)
        for event in ("publish", "deliver", "ack")
    ]


def test_messages_over_http(path: Path) -> None:
    with leveret.Broker(record=path, management=True) as broker:
        broker.declare_queue("orders")
        message = {"routing_key": "orders", "payload": "first", "payload_encoding": "string", "properties": {}}
        Http(broker.management_url).ask("POST", "exchanges/%2F/amq.default/publish", message).expect(200)
        wish = {"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}
        Http(broker.management_url).ask("POST", "queues/%2F/orders/get", wish).expect(200)
        assert [found.text for found in broker.published()] == ["first"]
    assert [event["event"] for event in events(path)] == ["publish", "deliver", "ack"]


# -- over the life of a broker


@pytest.mark.parametrize("clean", [True, False])
def test_a_restart(path: Path, clients: Connect, clean: bool) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        clients(broker.url).channel().basic_publish("", "orders", b"1", pika.BasicProperties(delivery_mode=2))
        broker.wait_for("orders")
        broker.clock.advance(minutes=1)
        broker.restart(clean=clean)
        channel = clients(broker.url).channel()
        channel.basic_publish("", "orders", b"2")
        for _ in range(2):
            channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
        broker.wait_until_idle()
        broker.restart(keep_data=False)
        broker.clock.advance(minutes=1)
        broker.declare_queue("orders")
        broker.publish(b"3", "orders")
    assert [event["text"] for event in events(path, "publish")] == ["1", "2", "3"]
    assert story(path) == [
        ("publish", None, 1),
        ("publish", None, 2),
        *[(event, "orders", number) for number in (1, 2) for event in ("deliver", "ack")],
        ("publish", None, 3),
    ]
    first, *rest = (event["at_ms"] for event in events(path))
    assert rest == sorted(rest)
    assert first + 60_000 <= rest[0] <= first + 60_000 + 1000 * PATIENCE_S
    assert first + 120_000 <= rest[-1] <= first + 120_000 + 1000 * PATIENCE_S


def test_a_restart_with_a_data_directory(path: Path, clients: Connect, tmp_path: Path) -> None:
    with leveret.Broker(record=path, data_dir=tmp_path / "data") as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url).channel()
        channel.confirm_delivery()
        channel.basic_publish("", "orders", b"1", pika.BasicProperties(delivery_mode=2))
        broker.restart()
        channel = clients(broker.url).channel()
        channel.basic_publish("", "orders", b"2")
        for _ in range(2):
            channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
        broker.wait_until_idle()
    assert story(path) == [  # what was read from the disk is known no more
        *[("publish", None, 1), ("publish", None, 2), ("deliver", "orders", None), ("ack", "orders", None)],
        *[("deliver", "orders", 2), ("ack", "orders", 2)],
    ]


def test_the_clock(path: Path) -> None:
    with leveret.Broker(record=path) as broker:
        for _ in range(3):
            broker.publish("tick", "nowhere")
            broker.clock.advance(hours=1)
    ticks = [event["at_ms"] for event in events(path)]
    assert [round(tick / 3_600_000) for tick in ticks] == [0, 1, 2]


def test_each_start_begins_anew(path: Path) -> None:
    path.write_text("something else\n")
    broker = leveret.Broker(record=path)
    for body in ("1", "2"):
        with broker:
            broker.publish(body, "nowhere")
        assert [(event["message"], event["text"]) for event in events(path)] == [(1, body)]


def test_an_async_broker(path: Path, make_loop: Callable[[], Any]) -> None:
    async def work() -> None:
        async with leveret.AsyncBroker(record=path) as broker:
            broker.declare_queue("orders")
            broker.publish("first", "orders")
            await broker.restart()
            broker.publish("second", "nowhere")
            broker.declare_queue("orders")
            assert broker.replay(path) == 2

    with asyncio.Runner(loop_factory=make_loop) as runner:
        runner.run(work())
    assert [event["text"] for event in events(path)] == ["first", "second", "first", "second"]


@pytest.mark.parametrize(("limit", "value"), [("KNOWN", 2), ("KNOWN_SIZE", 250)])
def test_old_messages_are_forgotten(
    path: Path, clients: Connect, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(recording, limit, value)
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        for _ in range(5):
            broker.publish(bytes(100), "orders")
        channel = clients(broker.url).channel()
        for _ in range(5):
            channel.basic_get("orders", auto_ack=True)
    assert [event["message"] for event in events(path, "deliver")] == [None, None, None, 4, 5]


def test_a_message_larger_than_what_is_kept(path: Path, clients: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "KNOWN_SIZE", 100)
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url).channel()
        for size in (101, 100):
            channel.basic_publish("", "orders", bytes(size))
            channel.basic_get("orders", auto_ack=True)
    assert [event["message"] for event in events(path, "deliver")] == [None, 2]


def test_a_full_disk(clients: Connect, noise: list[str]) -> None:
    with leveret.Broker(record=Path("/dev/full")) as broker:
        broker.declare_queue("orders")
        channel = clients(broker.url).channel()
        channel.confirm_delivery()
        for _ in range(3):
            channel.basic_publish("", "orders", b"first")
            channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
        broker.wait_until_idle()
        broker.restart()
        broker.publish("second", "nowhere")
    assert noise == ["cannot write /dev/full: No space left on device; nothing more is recorded"]
    noise.clear()


# -- replay


def test_replay(path: Path) -> None:
    write(path, publish(text="1"), ACK, publish(text="2", properties={"delivery_mode": 2}), publish(text="3"))
    with leveret.Broker() as broker:
        broker.declare_queue("orders")
        assert broker.replay(path) == 3
        orders = broker.queue("orders").messages
        assert [(order.text, order.delivery_mode) for order in orders] == [("1", None), ("2", 2), ("3", None)]
        assert [(each.text, each.outcome, each.queues, each.connection) for each in broker.published()] == [
            (text, "routed", ("orders",), "") for text in "123"
        ]


def test_what_got_nowhere_is_replayed_too(path: Path) -> None:
    outcomes = ("nacked", "refused", "returned", "unroutable")
    write(path, *[publish(outcome=outcome, queues=[], text=outcome) for outcome in outcomes])
    with leveret.Broker() as broker:
        assert broker.replay(path) == 4
        assert [each.outcome for each in broker.published()] == ["unroutable"] * 4
        broker.declare_queue("orders")
        assert broker.replay(path) == 4
        assert [order.text for order in broker.queue("orders").messages] == [*outcomes]


def test_replay_into_another_virtual_host(path: Path, leveret: VirtualHost) -> None:
    write(path, publish(vhost="production", exchange="events", routing_key="order.new"), publish(exchange="amq.fanout"))
    leveret.declare_exchange("events", "topic")
    leveret.declare_queue("audit")
    leveret.bind("audit", "events", "order.#")
    leveret.bind("audit", "amq.fanout")
    assert leveret.replay(path) == 2
    assert [message.exchange for message in leveret.queue("audit").messages] == ["events", "amq.fanout"]


def test_replay_in_time(path: Path) -> None:
    write(path, publish(at_ms=5_000, text="1"), {**ACK, "at_ms": 6_000}, publish(at_ms=65_000, text="2"))
    arguments = {"x-message-ttl": 60_000}
    with leveret.Broker() as broker:
        broker.declare_queue("orders", arguments=arguments)
        before = broker.clock.now()
        assert broker.replay(path) == 2
        assert broker.clock.now() - before < PATIENCE_S
        assert [order.text for order in broker.queue("orders").messages] == ["1", "2"]
        broker.queue("orders").purge()
        before = broker.clock.now()
        assert broker.replay(path, in_time=True) == 2
        assert 60 <= broker.clock.now() - before < 60 + PATIENCE_S  # nothing before the first, nothing after the last
        assert [order.text for order in broker.queue("orders").messages] == ["2"]


def test_replay_of_times_that_go_back(path: Path) -> None:
    """As in two recordings, one behind the other."""
    write(path, publish(at_ms=50_000), publish(at_ms=0), publish(at_ms=20_000))
    with leveret.Broker() as broker:
        before = broker.clock.now()
        assert broker.replay(path, in_time=True) == 3
        assert 20 <= broker.clock.now() - before < 20 + PATIENCE_S


def test_replay_of_nothing(path: Path) -> None:
    with leveret.Broker() as broker:
        assert broker.replay(write(path)) == 0
        assert broker.replay(write(path, ACK), in_time=True) == 0
        with pytest.raises(FileNotFoundError):
            broker.replay(path.parent / "nowhere")


def test_replay_without_the_exchange(path: Path) -> None:
    write(path, publish(), publish(exchange="events"))
    with leveret.Broker() as broker, pytest.raises(ValueError, match="NOT_FOUND - no exchange 'events' in vhost '/'"):
        broker.replay(path)


def cut(line: dict[str, object]) -> str:
    """The half of a line that a kill may leave."""
    return json.dumps(line)[:40]


def without(line: dict[str, object], key: str) -> dict[str, object]:
    return {name: value for name, value in line.items() if name != key}


DAMAGES = {
    "cut": (cut(FIRST), "not valid JSON: "),
    "no JSON": ("Hello!\n", "not valid JSON: Expecting value at column 1"),
    "empty line": ("\n", "not valid JSON: "),
    "no object": ("[1]\n", "expected an object"),
    "no event": ({"at_ms": 1}, "not an event of a recording"),
    "no name": (publish(event=5), "not an event of a recording"),
    "no time": (without(FIRST, "at_ms"), "not an event of a recording"),
    "no number": (publish(at_ms="soon"), "not an event of a recording"),
    "a truth": (publish(at_ms=True), "not an event of a recording"),
    "queues": (publish(queues=5), "queues: expected an array of names"),
    "names": (publish(queues=[5]), "queues: expected an array of names"),
    "text": (publish(text=5), "text: expected text"),
}

DAMAGED_MESSAGES = {
    "no body": (without(FIRST, "text"), "body is missing"),
    "base64": (publish(body="?"), "body: expected base64"),
    "exchange": (publish(exchange=5), "exchange: expected text"),
    "routing key": (publish(routing_key="x" * 256), "routing_key: more than 255 bytes"),
    "key": (publish(colour="red"), "colour: unknown"),
    "properties": (publish(properties=[]), "properties: expected an object"),
    "property": (publish(properties={"colour": "red"}), "properties.colour: unknown"),
    "type": (publish(properties={"headers": {"try": {"$int": 1}}}), "properties.headers.try: unknown type $int"),
}


@pytest.mark.parametrize("damage", [*DAMAGES, *DAMAGED_MESSAGES])
def test_replay_of_a_damaged_file(path: Path, damage: str) -> None:
    line, reason = {**DAMAGES, **DAMAGED_MESSAGES}[damage]
    write(path, publish(), ACK, line)
    with leveret.Broker() as broker:
        broker.declare_queue("orders")
        with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}, line 3: {re.escape(reason)}"):
            broker.replay(path)
        assert broker.published() == []  # all of it or nothing


@pytest.mark.parametrize("damage", DAMAGES)
def test_reading_a_damaged_file(path: Path, damage: str) -> None:
    line, reason = DAMAGES[damage]
    write(path, publish(), line)
    found = read(path)
    assert next(found) == FIRST
    with pytest.raises(RecordingError, match=rf"^{re.escape(str(path))}, line 2: {re.escape(reason)}"):
        next(found)


def test_no_utf8(path: Path) -> None:
    path.write_bytes(b'{"event": "\xff"}\n')
    with pytest.raises(RecordingError, match="line 1: not UTF-8"):
        list(read(path))


# -- compare


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """Another recording."""
    return tmp_path / "other.jsonl"


def test_alike(path: Path, other: Path) -> None:
    write(path, publish(), ACK, publish(text="second"))
    write(other, publish(at_ms=99, connection="till", message=7, queues=["a", "b"]), publish(text="second"))
    assert compare(path, other) == []
    assert compare(path, path) == []


def test_different(path: Path, other: Path) -> None:
    write(path, publish(text="1"), publish(text="2"), publish(text="3"))
    write(other, publish(text="1"), publish(text="3"), publish(text="4", routing_key="more"))
    assert compare(path, other) == [
        f"--- {path}",
        f"+++ {other}",
        "@@ -1,3 +1,3 @@",
        " / '' 'orders' routed {} '1'",
        "-/ '' 'orders' routed {} '2'",
        " / '' 'orders' routed {} '3'",
        "+/ '' 'more' routed {} '4'",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"vhost": "test"},
        {"exchange": "amq.direct"},
        {"routing_key": "Orders"},
        {"outcome": "unroutable"},
        {"text": "First"},
        {"properties": {"content_type": "text/plain"}},
        {"properties": {"headers": {"try": 1}}},
        {"bcc": ["hidden"]},
        {"body": base64.b64encode(b"\xff").decode()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_counts(path: Path, other: Path, changes: dict[str, object]) -> None:
    write(path, publish())
    write(other, publish(**changes))
    assert len(compare(path, other)) == 5
    assert compare(other, other) == []


def test_types_of_headers_count(path: Path, other: Path) -> None:
    write(path, publish(properties={"headers": {"try": 1}}))
    write(other, publish(properties={"headers": {"try": {"$signedint": 1}}}))
    assert compare(path, other)


def test_text_and_base64_are_not_the_same(path: Path, other: Path) -> None:
    write(path, publish(text="/w=="))
    write(other, publish(body="/w=="))
    assert [line[0] for line in compare(path, other)[3:]] == ["-", "+"]


def test_the_order_of_properties_does_not_count(path: Path, other: Path) -> None:
    write(path, publish(properties={"headers": {"a": 1, "b": 2}, "priority": 1}))
    write(other, publish(properties={"priority": 1, "headers": {"b": 2, "a": 1}}))
    assert compare(path, other) == []


def test_unordered(path: Path, other: Path) -> None:
    write(path, publish(text="1"), publish(text="2"), publish(text="2"))
    write(other, publish(text="2"), publish(text="1"), publish(text="2"))
    assert compare(path, other)
    assert compare(path, other, ordered=False) == []
    write(other, publish(text="2"), publish(text="1"), publish(text="1"))
    assert compare(path, other, ordered=False)  # each as often


def test_ignore(path: Path, other: Path) -> None:
    volatile = {"message_id": "1", "timestamp": 1, "correlation_id": "1", "reply_to": "1"}
    write(path, publish(properties={**volatile, "app_id": "shop"}))
    write(other, publish(properties={"app_id": "shop"}))
    assert compare(path, other) == []
    assert compare(path, other, ignore=[])
    assert compare(path, other, ignore=["message_id", "timestamp", "correlation_id"])
    write(other, publish(properties={**volatile, "app_id": "till"}))
    assert compare(path, other)
    assert compare(path, other, ignore=["app_id"]) == []


def test_compare_damaged_files(path: Path, other: Path) -> None:
    write(path, publish())
    for line, _ in {**DAMAGES, **DAMAGED_MESSAGES}.values():
        write(other, line)
        for pair in ((path, other), (other, path)):
            with pytest.raises(RecordingError, match=rf"^{re.escape(str(other))}, line 1: "):
                compare(*pair)


# -- leveret recording


def test_show(path: Path) -> None:
    write(
        path,
        publish(at_ms=1234, text="Hello\n\x1b[31m"),
        publish(message=2, queues=["a", "b"], exchange="events", body="/w=="),
        publish(message=3, queues=[], outcome="returned", connection=""),
        {"event": "deliver", "at_ms": 61_000, "vhost": "/", "connection": "worker", "queue": "orders", "message": 1},
        {"event": "deliver", "at_ms": 61_000, "vhost": "/", "connection": "x\x1b[2J", "queue": "a\n", "message": None},
        ACK,
    )
    result = command("recording", "show", str(path))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        r"    1.234 publish #1 shop: '' 'orders' -> orders: 'Hello\n\x1b[31m'",
        "    0.000 publish #2 shop: 'events' 'orders' -> a, b: base64 /w==",
        "    0.000 publish #3: '' 'orders' -> returned: 'first'",
        "   61.000 deliver #1 worker: orders",
        r"   61.000 deliver x\x1b[2J: a\n",
        "    0.005 ack #1: orders",
    ]


def test_show_nothing(path: Path) -> None:
    result = command("recording", "show", str(write(path)))
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_show_a_damaged_file(path: Path) -> None:
    result = command("recording", "show", str(write(path, publish(), cut(ACK))))
    assert result.returncode == 1
    assert result.stdout == "    0.000 publish #1 shop: '' 'orders' -> orders: 'first'\n"  # up to there
    assert re.fullmatch(rf"leveret: {re.escape(str(path))}, line 2: not valid JSON: .*\n", result.stderr)


@pytest.mark.parametrize("arguments", [["show", "FILE"], ["compare", "FILE", "OTHER"], ["compare", "OTHER", "FILE"]])
def test_files_that_cannot_be_read(tmp_path: Path, other: Path, arguments: list[str]) -> None:
    write(other, publish())
    for file, reason in ((tmp_path / "nowhere", "No such file or directory"), (tmp_path, "Is a directory")):
        names = {"FILE": str(file), "OTHER": str(other)}
        result = command("recording", *[names.get(argument, argument) for argument in arguments])
        assert (result.returncode, result.stdout) == (1 if arguments[0] == "show" else 2, "")
        assert result.stderr == f"leveret: cannot read {file}: {reason}\n"


def test_compare_by_command(path: Path, other: Path) -> None:
    write(path, publish(text="1"), publish(text="2", properties={"app_id": "a", "message_id": "1"}))
    write(other, publish(text="2", properties={"app_id": "b", "message_id": "1"}), publish(text="1"))
    files = [str(path), str(other)]
    for arguments, code in [
        ([str(path), str(path)], 0),
        (files, 1),
        ([*files, "--unordered"], 1),
        ([*files, "--ignore", "app_id"], 1),
        ([*files, "--unordered", "--ignore", "app_id"], 0),
    ]:
        result = command("recording", "compare", *arguments)
        assert (result.returncode, result.stderr) == (code, ""), arguments
        assert result.stdout.splitlines()[:2] == [f"--- {path}", f"+++ {other}"][: 2 * code]
    write(other, publish(text="1"), publish(text="2", properties={"app_id": "a", "message_id": "2"}))
    assert command("recording", "compare", *files).returncode == 0
    assert command("recording", "compare", *files, "--ignore", "app_id").returncode == 1  # instead of message_id


def test_compare_a_damaged_file(path: Path, other: Path) -> None:
    write(path, publish())
    write(other, publish(), publish(properties={"colour": "red"}))
    result = command("recording", "compare", str(path), str(other))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(
        f"leveret: {other}, line 2: properties.colour: unknown key; known keys are content_type, "
    )


def test_what_is_compared_cannot_speak_to_the_terminal(path: Path, other: Path) -> None:
    write(path, publish(vhost="\x1b[2J"))
    write(other, publish(vhost="\x1b[3J"))
    result = command("recording", "compare", str(path), str(other))
    assert r"-\x1b[2J ''" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_reader_that_has_seen_enough(path: Path) -> None:
    write(path, *[publish()] * 10_000)
    show = subprocess.Popen(
        [sys.executable, "-m", "leveret", "recording", "show", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert show.stdout is not None
    assert show.stderr is not None
    with show.stdout, show.stderr:
        assert show.stdout.readline()
        show.stdout.close()
        assert show.stderr.read() == b""
        show.wait(PATIENCE_S)


def test_the_command_as_a_process(path: Path, other: Path) -> None:
    write(path, publish())
    write(other)
    assert process("recording", "compare", str(path), str(other)).returncode == 1
    assert command("recording", "compare", str(path)).returncode == 2  # a wrong command line


# -- leveret serve --record


def use(url: str) -> None:
    """Publish, get and acknowledge."""
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": "shop"}
    with pika.BlockingConnection(parameters) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("orders")
        channel.basic_publish("", "orders", b"first")
        channel.basic_ack(channel.basic_get("orders")[0].delivery_tag)
        with pytest.raises(pika.exceptions.UnroutableError):
            channel.basic_publish("", "nowhere", b"\xff", mandatory=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_serve(path: Path, number: signal.Signals) -> None:
    path.write_text("something else\n")
    server = Server.start("--memory", "--record", str(path))
    try:
        use(server.url)
        eventually(lambda: len(events(path)) == 4)  # while it runs
    finally:
        server.stop(number)
    assert [event["event"] for event in events(path)] == ["publish", "deliver", "ack", "publish"]
    result = command("recording", "show", str(path))
    assert re.sub(r" +\d+\.\d+ ", "", result.stdout).splitlines() == [
        "publish #1 shop: '' 'orders' -> orders: 'first'",
        "deliver #1 shop: orders",
        "ack #1: orders",
        "publish #2 shop: '' 'nowhere' -> returned: base64 /w==",
    ]


def test_serve_by_a_variable(path: Path) -> None:
    server = Server.start("--memory", env={"LEVERET_RECORD": str(path)})
    try:
        use(server.url)
    finally:
        assert server.stop() == 0
    assert len(events(path)) == 4


def test_serve_and_embedded_write_the_same(path: Path, other: Path) -> None:
    server = Server.start("--memory", "--record", str(path))
    try:
        use(server.url)
    finally:
        server.stop()
    with leveret.Broker(record=other) as broker:
        use(broker.url)
    assert compare(path, other) == []
    mine, theirs = ([without(event, "at_ms") for event in events(file)] for file in (path, other))
    assert mine == theirs


@pytest.mark.parametrize(
    ("place", "reason"), [("nowhere/recording.jsonl", "No such file or directory"), ("", "Is a directory")]
)
def test_serve_cannot_write(tmp_path: Path, place: str, reason: str) -> None:
    file = tmp_path / place
    result = process("serve", "--memory", "--port", "0", "--record", str(file))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr == f"leveret: cannot write {file}: {reason}; check --record\n"


def test_serve_on_a_full_disk(tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server.start("--memory", "--record", "/dev/full", log=log)
    try:
        use(server.url)
    finally:
        assert server.stop() == 0
    (line,) = [line for line in log.read_text().splitlines() if "/dev/full" in line]
    assert " ERROR leveret.recording: cannot write /dev/full: No space left on device; nothing more" in line


# -- docs/testing/recording.md


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The page, whose files are in the folder where the test is."""
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text()
    for _, name, python, content in BLOCK.findall(text):
        assert name or python
        Path(name or python).write_text(content)
    return text


def test_commands_of_the_page(page: str) -> None:
    examples = re.findall(r"^    \$ leveret (.*)\n((?:    .*\n)*)", page, re.MULTILINE)
    assert len(examples) == 2
    for arguments, output in examples:
        result = command(*shlex.split(arguments))
        assert result.stdout == re.sub("^    ", "", output, flags=re.MULTILINE)
        assert result.stderr == ""
        assert result.returncode == ("compare" in arguments)


def test_the_tests_of_the_page(page: str) -> None:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=60"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.stdout.splitlines()[-1].startswith(f"{page.count('def test_')} passed"), done.stdout


def test_the_recording_of_the_page(page: str, path: Path, clients: Connect) -> None:
    """A broker writes what the page shows, but for the times."""
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("orders")
        shop = clients(broker.url, "shop").channel()
        persistent = pika.BasicProperties(content_type="text/plain", delivery_mode=pika.DeliveryMode.Persistent)
        shop.basic_publish("", "orders", b"lamp", persistent)
        gif = pika.BasicProperties(content_type="image/gif", headers={"try": 1})
        shop.basic_publish("", "orders", b"GIF89a\xff", gif)
        shop.basic_publish("", "invoices", b"2 lamps", pika.BasicProperties(message_id="7", timestamp=1764000000))
        broker.wait_for_published(3)
        worker = clients(broker.url, "worker").channel()
        for settle in (worker.basic_ack, worker.basic_nack, worker.basic_ack):
            settle(worker.basic_get("orders")[0].delivery_tag)
        broker.wait_until_idle()
    shown, written = (
        [re.sub(r'"at_ms": \d+', '"at_ms": 0', line) for line in file.read_text().splitlines()]
        for file in (Path("orders.jsonl"), path)
    )
    assert written == shown


def test_a_part_of_what_passes_is_recorded(path: Path) -> None:
    with leveret.Broker() as broker:
        other = broker.virtual_host("other")
        other.declare_queue("q")
        other.publish("before", "q")
        with other.record(path):
            broker.publish("elsewhere", "q")
            other.publish("now", "q")
        other.publish("after", "q")
    assert [event["text"] for event in read(path)] == ["now"]


def test_two_recordings_at_once_and_a_restart(path: Path, other: Path) -> None:
    with leveret.Broker(record=path) as broker:
        broker.declare_queue("q")
        with broker.record(other):
            broker.publish("first", "q")
            broker.restart()
            broker.publish("second", "q")
    assert compare(path, other) == []
    assert [event["text"] for event in read(other)] == ["first", "second"]
