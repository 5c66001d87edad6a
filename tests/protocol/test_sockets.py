"""Two protocols on one port: the first bytes of a client say which one it speaks, however they come."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from leveret.core.client import party
from leveret.core.client.conversation import chosen
from leveret.server.driver import Driver
from leveret.server.openings import OPENINGS
from leveret.server.transport import ClientProtocol
from leveret.wire.constants import PROTOCOL_HEADER
from leveret.wire.methods import BasicConsume, BasicConsumeOk, BasicDeliver, BasicPublish, ChannelOpen, QueueDeclare
from tests.brokers.transport import Everybody
from tests.clients.socketless import Got, Parser, encode, handshake, make_broker

if not str(party.__file__).endswith(".py"):
    pytest.skip("a protocol is compiled with the core, or not, as the core is", allow_module_level=True)

from tests.protocol.toy import TOY, Toy

PATIENCE_S = 60


class Client:
    """A socket. got: methods of AMQP that it has got."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.got: list[Got] = []
        self._parser = Parser()

    async def line(self) -> str:
        """The next line of the toy."""
        return (await asyncio.wait_for(self.reader.readline(), PATIENCE_S)).decode().rstrip("\n")

    async def open(self) -> None:
        """Speak AMQP, with a channel and a queue q."""
        header, start_ok, tune_ok, opening = handshake()
        for asked in (header, start_ok, tune_ok + opening, encode(1, ChannelOpen()), encode(1, QueueDeclare("q"))):
            self.writer.write(asked)
            self.hear(await asyncio.wait_for(self.reader.read(1 << 16), PATIENCE_S))
        self.got.clear()

    def hear(self, data: bytes) -> None:
        """Whole frames."""
        self.got += self._parser.feed(data)


class Home:
    """A broker on a port."""

    server: asyncio.Server

    def __init__(self) -> None:
        self.driver = Driver(make_broker(), asyncio.get_running_loop())
        self.clients: list[Client] = []

    async def dial(self, first: bytes = b"") -> Client:
        """A client that has just come."""
        host, port = self.server.sockets[0].getsockname()
        client = Client(*await asyncio.open_connection(host, port))
        self.clients.append(client)
        client.writer.write(first)
        return client


def at_home(test: Callable[[Home], Awaitable[None]]) -> None:
    """Run a test with a broker."""

    async def run() -> None:
        home = Home()
        home.server = await asyncio.get_running_loop().create_server(
            lambda: ClientProtocol(home.driver, Everybody(), [*OPENINGS, TOY]), "127.0.0.1", 0
        )
        try:
            await test(home)
        finally:
            for client in home.clients:
                client.writer.close()
            home.server.close()
            await home.driver.shut_down("the end", 1)

    asyncio.run(run())


def test_they_meet_in_a_queue() -> None:
    async def test(home: Home) -> None:
        amqp = await home.dial()
        await amqp.open()
        toy = await home.dial(b"TOY guest\nconsume q c 0\n")
        assert await toy.line() == "done c"
        amqp.writer.write(encode(1, BasicPublish("", "q"), b"from afar"))
        assert await toy.line() == "message c 1: from afar"
        toy.writer.write(b"ack 1\ncancel c\nconfirm\npublish -/q: hello\n")
        assert [await toy.line(), await toy.line()] == ["done c", "confirmed 1"]
        amqp.writer.write(encode(1, BasicConsume("q", no_ack=True)))
        while len(amqp.got) < 2:
            amqp.hear(await asyncio.wait_for(amqp.reader.read(1 << 16), PATIENCE_S))
        assert [type(got.method) for got in amqp.got] == [BasicConsumeOk, BasicDeliver]
        assert amqp.got[1].body == b"hello"

    at_home(test)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_first_bytes_come_in_pieces(size: int) -> None:
    async def test(home: Home) -> None:
        toy = await home.dial()
        said = b"TOY guest\nget unknown\n"
        for at in range(0, len(said), size):
            toy.writer.write(said[at : at + size])
            await toy.writer.drain()
            await asyncio.sleep(0.01)
        assert await toy.line() == "error unknown: no queue 'unknown' in vhost '/'"
        (protocol,) = home.driver.protocols.values()
        assert isinstance(protocol.conversation, Toy)
        assert set(home.driver.broker.connections.values()) == {protocol.conversation}

    at_home(test)


@pytest.mark.parametrize("first", [b"TOX guest\n", b"GET / HTTP/1.1\r\n"])
def test_who_speaks_neither_hears_of_amqp(first: bytes) -> None:
    async def test(home: Home) -> None:
        client = await home.dial(first)
        assert await asyncio.wait_for(client.reader.read(), PATIENCE_S) == PROTOCOL_HEADER

    at_home(test)


def test_who_begins_and_goes_leaves_nothing() -> None:
    async def test(home: Home) -> None:
        for first in (b"", b"TO", b"TOY ", b"TOY guest\nconfirm\n"):
            client = await home.dial(first)
            await asyncio.sleep(0.01)
            client.writer.close()
        async with asyncio.timeout(PATIENCE_S):
            while home.driver.protocols:
                await asyncio.sleep(0.01)
        assert not home.driver.broker.connections
        assert not home.driver.broker.faults.told

    at_home(test)


def test_who_has_not_said_enough_is_not_left_in_peace() -> None:
    async def test(home: Home) -> None:
        client = await home.dial(b"TO")
        async with asyncio.timeout(PATIENCE_S):
            while not any(protocol._first for protocol in home.driver.protocols.values()):
                await asyncio.sleep(0.01)
        home.driver.skip(10_001, False)
        assert await asyncio.wait_for(client.reader.read(), PATIENCE_S) == b""

    at_home(test)


def test_a_toy_is_closed_at_the_end() -> None:
    async def test(home: Home) -> None:
        toy = await home.dial(b"TOY guest\nget unknown\n")
        await toy.line()
        await home.driver.shut_down("enough", 1)
        assert await toy.line() == "closed enough"

    at_home(test)


def test_the_first_protocol_is_for_everybody_else() -> None:
    openings = [*OPENINGS, TOY]
    for first, opening in ((b"", None), (b"TO", None), (b"TOY ", TOY), (b"A", OPENINGS[0]), (b"TA", OPENINGS[0])):
        assert chosen(openings, first) is opening
