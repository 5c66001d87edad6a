"""The verbs on messages: a queue that is exported does not change, and what is imported is safe when they answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError, Promise
from leveret.core.message import codec
from leveret.core.message.codec import Item
from leveret.core.turn.alarms import BEHIND, DISK
from leveret.management.administration import Administration
from leveret.store.memory import MemoryLog
from leveret.wire.fields import DecodeError, signedint
from leveret.wire.methods import (
    BasicGet,
    BasicGetOk,
    BasicNack,
    BasicPublish,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
)
from tests.brokers.promises import kept
from tests.clients.socketless import Peer, make_broker, turn

Perform = Callable[..., Any]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(hold=True)


@pytest.fixture
def broker(log: MemoryLog) -> Broker:
    return make_broker(log)


@pytest.fixture
def perform(broker: Broker) -> Perform:
    return lambda verb, **arguments: Administration(broker).perform(verb, arguments)


def encoded(*bodies: bytes) -> bytes:
    """Persistent messages."""
    return b"".join(codec.encode(Item("", "q", b"\x10\x00\x02", body)) for body in bodies)


def pages(perform: Perform, queue: str) -> list[list[bytes]]:
    """The bodies of an export, page by page."""
    answer = kept(perform("export_messages", queue=queue))
    found = [[item.body for item in codec.decode(answer["data"])]]
    while not answer["is_last"]:
        place = {name: answer[name] for name in ("queue_id", "level", "position", "until")}
        answer = kept(perform("export_messages", queue=queue, **place))
        found.append([item.body for item in codec.decode(answer["data"])])
    return found


def make_queue(broker: Broker, **arguments: int) -> Peer:
    """Who has declared a queue."""
    peer = Peer(broker)
    table = {name.replace("_", "-"): signedint(value) for name, value in arguments.items()}
    peer.send(QueueDeclare("q", durable=True, arguments=table))
    turn(broker)
    log = broker.log
    assert isinstance(log, MemoryLog)
    log.release()
    assert isinstance(peer.got()[0].method, QueueDeclareOk)
    return peer


def test_pages_are_short(broker: Broker, perform: Perform) -> None:
    peer = make_queue(broker)
    for number in range(3000):
        peer.send(BasicPublish("", "q"), b"%d" % number)
    for _ in range(3):
        peer.send(BasicPublish("", "q"), bytes(700_000))
    turn(broker)
    found = pages(perform, "q")
    assert [len(page) for page in found] == [500, 500, 500, 500, 500, 500, 2, 1]
    assert [body for page in found[:6] for body in page] == [b"%d" % number for number in range(3000)]


def test_an_export_takes_nothing(broker: Broker, perform: Perform) -> None:
    peer = make_queue(broker)
    for body in (b"1", b"2", b"3"):
        peer.send(BasicPublish("", "q"), body)
    peer.send(BasicGet("q"))
    first = kept(perform("export_messages", queue="q"))
    assert (first["ready"], first["unacked"], first["expired"], first["missing"]) == (2, 1, 0, 0)
    assert [item.redelivered for item in codec.decode(first["data"])] == [False, False]
    assert kept(perform("export_messages", queue="q")) == first
    assert isinstance(peer.got()[0].method, BasicGetOk)
    peer.send(BasicNack(1, False, True))
    assert [item.redelivered for item in codec.decode(kept(perform("export_messages", queue="q"))["data"])] == [
        True,
        False,
        False,
    ]
    for body, again in ((b"1", True), (b"2", False), (b"3", False)):
        peer.send(BasicGet("q", no_ack=True))
        (got,) = peer.got()
        assert isinstance(got.method, BasicGetOk)
        assert (got.body, got.method.redelivered) == (body, again)


def test_another_queue_of_the_same_name(broker: Broker, perform: Perform) -> None:
    peer = make_queue(broker)
    answer = kept(perform("export_messages", queue="q"))
    peer.send(QueueDelete("q"))
    with pytest.raises(AdministrationError) as raised:
        perform("export_messages", queue="q", queue_id=answer["queue_id"])
    assert str(raised.value) == "queue 'q' does not exist"
    make_queue(broker)
    with pytest.raises(AdministrationError) as raised:
        perform("export_messages", queue="q", queue_id=answer["queue_id"])
    assert str(raised.value) == "queue 'q' was deleted and declared again meanwhile"


@pytest.mark.parametrize("name", ["queue_id", "level", "position", "until"])
@pytest.mark.parametrize("number", [1 << 63, -(1 << 63) - 1, 10**20])
def test_numbers_that_are_too_large(broker: Broker, perform: Perform, name: str, number: int) -> None:
    make_queue(broker)
    with pytest.raises(AdministrationError, match=f"^{name}: "):
        perform("export_messages", queue="q", **{name: number})


def test_an_import_is_answered_when_it_is_safe(broker: Broker, perform: Perform, log: MemoryLog) -> None:
    make_queue(broker)
    answer = perform("import_messages", queue="q", data=encoded(b"1", b"2"))
    assert isinstance(answer, Promise)
    turn(broker)
    assert not answer.is_done()
    log.release()
    assert answer.is_done()
    assert answer.result() == {"stored": 2, "unsafe": 0, "is_full": False, "duplicates": 0}
    assert pages(perform, "q") == [[b"1", b"2"]]


def test_an_import_that_cannot_be_written(broker: Broker, perform: Perform, log: MemoryLog) -> None:
    make_queue(broker)
    answer = perform("import_messages", queue="q", data=encoded(b"1", b"2", b"3"))
    broker.news.on_refused(broker.vhosts["/"].queues["q"].queue_id, [2, 3], "no space", False)
    assert not answer.is_done()
    turn(broker)
    log.release()
    assert answer.is_done()
    assert answer.result() == {"stored": 1, "unsafe": 2, "is_full": False, "duplicates": 0}


def test_an_import_into_a_queue_with_priorities_and_limits(broker: Broker, perform: Perform) -> None:
    make_queue(broker, x_max_priority=5, x_max_length=3)
    items = [Item("e", "k", bytes((0x08, 0, priority)), b"%d" % priority) for priority in (1, 9, 3, 4)]
    answer = perform("import_messages", queue="q", data=b"".join(codec.encode(item) for item in items))
    assert answer.is_done()  # these are not persistent
    turn(broker)
    assert pages(perform, "q") == [[b"4", b"3", b"1"]]  # the head was dropped


@pytest.mark.parametrize(("alarm", "reason"), [(DISK, "low on disk"), (BEHIND, "the disk is slow")])
def test_an_import_waits_where_publishers_do(broker: Broker, perform: Perform, alarm: int, reason: str) -> None:
    make_queue(broker)
    broker.alarms.set(alarm, True)
    answer = perform("import_messages", queue="q", data=encoded(b"1"))
    assert (answer["stored"], answer["blocked"]) == (0, reason)
    assert pages(perform, "q") == [[]]
    broker.alarms.set(alarm, False)
    assert isinstance(perform("import_messages", queue="q", data=encoded(b"1")), Promise)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00", "a message is cut short"),
        (encoded(b"1")[:-1], "long string is cut short"),
        (codec.encode(Item("", "q", b"", b"")), "properties are cut short"),
        (codec.encode(Item("", "q", b"\x10\x00", b"")), "properties are cut short"),
        (codec.encode(Item("", "q", b"\x00\x01", b"")), "unknown property flags"),
        (codec.encode(Item("", "q", b"\x00\x00\x00", b"")), "properties do not fill the header"),
        (codec.encode(Item("", "q", bytes(200_000), b"")), "the properties have 200000 bytes; 131052 fit into a frame"),
        (encoded(b"ok", bytes(11)), "message size 11 is larger than configured max size 10"),
    ],
)
def test_what_cannot_be_decoded_changes_nothing(broker: Broker, perform: Perform, data: bytes, reason: str) -> None:
    make_queue(broker)
    broker.max_message_size = 10
    with pytest.raises(AdministrationError) as raised:
        perform("import_messages", queue="q", data=data)
    assert str(raised.value) == reason
    assert pages(perform, "q") == [[]]


@given(st.binary(max_size=100) | st.binary(max_size=20).map(lambda tail: encoded(b"1", b"2") + tail))
def test_bytes_from_strangers(data: bytes) -> None:
    try:
        items = codec.decode(data)
    except DecodeError:
        return
    again = b"".join(codec.encode(item) for item in items)
    assert len(again) == len(data)  # but for flags that mean nothing
    for item in items:
        try:
            message = item.message()
        except DecodeError:
            continue
        assert message.body() == item.body
