"""What one read brings is looked at in slices, and no further than the connection may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from leveret.core.turn.flow_control import CREDIT
from leveret.server.driver import Driver
from leveret.server.openings import OPENINGS
from leveret.server.transport import BURST, MUCH, SLICE, ClientProtocol
from leveret.wire.constants import FRAME_BODY, FRAME_HEADER
from leveret.wire.methods import (
    BasicConsume,
    BasicPublish,
    BasicQos,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    QueueDeclare,
)
from leveret.wire.reader import FrameReader
from tests.brokers.transport import Everybody, Wire
from tests.clients.socketless import encode, handshake, make_broker

MESSAGE = encode(1, BasicPublish("", "q"), b"x")
COUNT = 4 * CREDIT


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_publisher_that_has_to_wait_gets_no_further_with_what_was_read(loop: asyncio.AbstractEventLoop) -> None:
    driver, wire, client = connected(loop)
    client.data_received(encode(1, BasicQos(prefetch_count=1)) + encode(1, BasicConsume("q")))
    turn(loop)
    queue = driver.broker.vhosts["/"].queues["q"]
    client.data_received(MESSAGE * COUNT)
    assert len(queue.ready) < CREDIT + SLICE // len(MESSAGE) + 1
    assert not wire.is_read
    deadline = loop.time() + 30
    while not wire.is_read and loop.time() < deadline:
        turn(loop)
    assert wire.is_read  # it has waited in vain, and gone on
    assert len(queue.ready) == COUNT - 1


def test_a_publisher_that_has_to_wait_is_heard_when_it_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    _, wire, client = connected(loop)
    client.data_received(encode(1, BasicQos(prefetch_count=1)) + encode(1, BasicConsume("q")))
    turn(loop)
    client.data_received(MESSAGE * COUNT + encode(0, ConnectionCloseOk()))  # which is put off too
    assert not wire.is_read
    client.conversation.force_close("enough")
    deadline = loop.time() + 30
    while wire.ended_after is None and loop.time() < deadline:
        turn(loop)
    assert wire.ended_after is not None
    assert wire.is_read  # to the end


def test_a_lot_is_sent_in_bursts(loop: asyncio.AbstractEventLoop) -> None:
    _, wire, client = connected(loop)
    for piece in large_messages(3):
        client.data_received(piece)
    wire.sent.clear()
    client.data_received(encode(1, BasicConsume("q", no_ack=True)))
    assert received(loop, wire, 3) == [bytes((number,)) * SIZE for number in range(3)]
    assert max(map(len, wire.sent)) <= BURST


def test_a_full_socket_gets_the_rest_when_it_has_room(loop: asyncio.AbstractEventLoop) -> None:
    _, wire, client = connected(loop)
    for piece in large_messages(1):
        client.data_received(piece)
    wire.sent.clear()
    client.data_received(encode(1, BasicConsume("q", no_ack=True)))
    loop.call_soon(client.pause_writing)  # the first burst is more than it has room for
    turn(loop)
    turn(loop)
    assert len(b"".join(wire.sent)) <= BURST
    client.resume_writing()
    assert received(loop, wire, 1) == [bytes(SIZE)]


def test_all_is_sent_before_the_socket_is_closed(loop: asyncio.AbstractEventLoop) -> None:
    _, wire, client = connected(loop)
    for piece in large_messages(1):
        client.data_received(piece)
    wire.sent.clear()
    close = encode(0, ConnectionClose(200, "", 0, 0))
    client.data_received(encode(1, BasicConsume("q", no_ack=True)) + close)
    deadline = loop.time() + 30
    while wire.ended_after is None and loop.time() < deadline:
        turn(loop)
    sent = b"".join(wire.sent)
    assert wire.ended_after == len(sent)
    assert sent.endswith(encode(0, ConnectionCloseOk()))
    client.connection_lost(None)
    turn(loop)


SIZE = 3 * BURST + 1


def connected(loop: asyncio.AbstractEventLoop) -> tuple[Driver, Wire, ClientProtocol]:
    """A client with a channel and a queue."""
    driver = Driver(make_broker(), loop)
    wire = Wire()
    client = ClientProtocol(driver, Everybody(), OPENINGS)
    client.connection_made(wire)
    for piece in [*handshake(), encode(1, ChannelOpen()), encode(1, QueueDeclare("q"))]:
        client.data_received(piece)
    turn(loop)
    return driver, wire, client


def large_messages(count: int) -> list[bytes]:
    """The bytes of messages to the queue, as they are read."""
    data = b"".join(encode(1, BasicPublish("", "q"), bytes((number,)) * SIZE) for number in range(count))
    return [data[at : at + MUCH] for at in range(0, len(data), MUCH)]


def received(loop: asyncio.AbstractEventLoop, wire: Wire, count: int) -> list[bytes]:
    """The bodies of so many messages, once they have been sent."""
    deadline = loop.time() + 30
    while sum(map(len, bodies(b"".join(wire.sent)))) < count * SIZE and loop.time() < deadline:
        turn(loop)
    return bodies(b"".join(wire.sent))


def bodies(data: bytes) -> list[bytes]:
    """What was delivered, by message."""
    reader = FrameReader(0)
    reader.feed(data)
    found: list[bytes] = []
    while reader.next():
        if reader.kind == FRAME_HEADER:
            found.append(b"")
        elif reader.kind == FRAME_BODY:
            found[-1] += reader.payload()
    return found


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """One turn of the event loop."""
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
