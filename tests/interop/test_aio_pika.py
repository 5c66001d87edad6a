"""aio-pika: many things at once on one connection, and a connection that mends itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import aio_pika
import aiormq
import pytest
from aio_pika import DeliveryMode, ExchangeType, Message
from aio_pika.abc import AbstractIncomingMessage

from tests.brokers.process import Server

from .conftest import BIG, HEADERS


def test_every_type_of_header(amqp_url: str) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            await channel.default_exchange.publish(Message(b"body", headers=HEADERS, priority=3), queue.name)
            got = await queue.get(no_ack=True)
            assert (got.body, got.priority) == (b"body", 3)
            assert dict(got.headers) == HEADERS

    asyncio.run(scenario())


def test_confirms_big_bodies_and_returns(amqp_url: str) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel(on_return_raises=True)
            queue = await channel.declare_queue(exclusive=True)
            exchange = channel.default_exchange
            bodies = [b"", BIG, *[str(number).encode() for number in range(300)]]
            answers = await asyncio.gather(*[exchange.publish(Message(body), queue.name) for body in bodies])
            assert {type(answer).__name__ for answer in answers} == {"Ack"}
            got = [(await queue.get(no_ack=True)).body for _ in bodies]
            assert sorted(got) == sorted(bodies)
            with pytest.raises(aio_pika.exceptions.PublishError):
                await exchange.publish(Message(b"lost"), "interop-nowhere")
            full = await channel.declare_queue(
                exclusive=True, arguments={"x-max-length": 0, "x-overflow": "reject-publish"}
            )
            with pytest.raises(aio_pika.exceptions.DeliveryError):
                await exchange.publish(Message(b"refused"), full.name)

    asyncio.run(scenario())


def test_transactions(amqp_url: str) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel(publisher_confirms=False)
            queue = await channel.declare_queue(exclusive=True)
            transaction = channel.transaction()
            await transaction.select()
            await channel.default_exchange.publish(Message(b"1"), queue.name)
            await transaction.rollback()
            async with channel.transaction():
                await channel.default_exchange.publish(Message(b"2"), queue.name)
            assert (await queue.get(no_ack=True)).body == b"2"
            assert await queue.get(fail=False) is None

    asyncio.run(scenario())


def test_consumers_share_the_work(amqp_url: str) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(amqp_url) as connection:
            channels = [await connection.channel() for _ in range(4)]
            queue = await channels[0].declare_queue(exclusive=True)
            done = asyncio.Event()
            counts = [0] * len(channels)

            for index, channel in enumerate(channels):

                async def work(message: AbstractIncomingMessage, index: int = index) -> None:
                    async with message.process():
                        await asyncio.sleep(0)
                        counts[index] += 1
                        if sum(counts) == 400:
                            done.set()

                await channel.set_qos(prefetch_count=5)
                mine = await channel.get_queue(queue.name)
                await mine.consume(work)
            for number in range(400):
                await channels[0].default_exchange.publish(Message(str(number).encode()), queue.name)
            await asyncio.wait_for(done.wait(), 30)
            assert min(counts) > 40

    asyncio.run(scenario())


def test_exchanges_and_errors(amqp_url: str, name: str) -> None:
    async def scenario() -> None:
        async with await aio_pika.connect(amqp_url) as connection:
            channel = await connection.channel()
            exchange = await channel.declare_exchange(name, ExchangeType.HEADERS, auto_delete=True)
            queue = await channel.declare_queue(exclusive=True)
            await queue.bind(exchange, arguments={"x-match": "any", "a": 1, "b": "two"})
            await exchange.publish(Message(b"yes", headers={"b": "two"}), "")
            await exchange.publish(Message(b"no", headers={"b": "three"}), "", mandatory=False)
            assert (await queue.get(no_ack=True)).body == b"yes"
            assert await queue.get(fail=False) is None
            with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
                await channel.declare_queue(f"{name}-missing", passive=True)
            again = await connection.channel()
            assert await again.declare_queue(exclusive=True)

    asyncio.run(scenario())


def test_a_robust_connection_comes_back_by_itself(server: Server, tmp_path: Path) -> None:
    async def scenario() -> None:
        connection = await aio_pika.connect_robust(server.url, reconnect_interval=0.1)
        channel = await connection.channel()
        queue = await channel.declare_queue("kept", durable=True)
        got: asyncio.Queue[bytes] = asyncio.Queue()

        async def on_message(message: AbstractIncomingMessage) -> None:
            async with message.process():
                got.put_nowait(message.body)

        await queue.consume(on_message)
        exchange = channel.default_exchange
        await exchange.publish(Message(b"before", delivery_mode=DeliveryMode.PERSISTENT), "kept")
        assert await asyncio.wait_for(got.get(), 8) == b"before"
        assert server.stop() == 0
        again = Server.start("--data-dir", str(tmp_path / "data"), port=server.port)
        try:
            async with asyncio.timeout(10):
                await connection.connected.wait()
                async with await aio_pika.connect(again.url) as other:
                    sender = await other.channel()
                    await sender.default_exchange.publish(Message(b"after"), "kept")
                assert await got.get() == b"after"
            await connection.close()
        finally:
            assert again.stop() == 0

    asyncio.run(scenario())
