"""What one read brings is looked at in slices, and no further than the connection may go on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from leveret.core.access import User
from leveret.core.pace import CREDIT
from leveret.server.driver import Driver
from leveret.server.transport import SLICE, AmqpProtocol
from leveret.wire.methods import BasicConsume, BasicPublish, BasicQos, ChannelOpen, QueueDeclare
from tests.session.peer import encode, everybody, handshake, make_broker

MESSAGE = encode(1, BasicPublish("", "q"), b"x")
COUNT = 4 * CREDIT


class Everybody:
    """Lets everybody in."""

    def authenticate_now(self, name: str, password: str, peer_is_local: bool) -> User | None:
        """Whoever it is."""
        return everybody()

    async def authenticate(self, name: str, password: str, peer_is_local: bool) -> User:
        """Never needed."""
        raise NotImplementedError


class Wire(asyncio.Transport):
    """A socket that takes everything, and knows whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no limit."""

    def writelines(self, list_of_data: object) -> None:
        """Whatever it is."""

    def pause_reading(self) -> None:
        """Not before it is resumed."""
        self.is_read = False

    def resume_reading(self) -> None:
        """From now on."""
        self.is_read = True


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def test_a_publisher_that_has_to_wait_gets_no_further_with_what_was_read(loop: asyncio.AbstractEventLoop) -> None:
    driver = Driver(make_broker(), loop)
    wire = Wire()
    client = AmqpProtocol(driver, Everybody())
    client.connection_made(wire)
    for piece in [
        *handshake(),
        encode(1, ChannelOpen()),
        encode(1, QueueDeclare("q")),
        encode(1, BasicQos(prefetch_count=1)),
        encode(1, BasicConsume("q")),
    ]:
        client.data_received(piece)
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


def turn(loop: asyncio.AbstractEventLoop) -> None:
    """One turn of the event loop."""
    loop.call_later(0.001, loop.stop)
    loop.run_forever()
