"""A shop: a believable system on a broker, with orders, payments, mails, dead letters, and a few things that go wrong.

    python -m tests.ui.shop amqp://guest:guest@127.0.0.1:5672/

It publishes and consumes until it is stopped. Tests look at it in the UI, and the pictures of the docs show it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractRobustConnection

COUNTRIES: Final = ("de", "fr", "jp", "us")
ITEMS: Final = ("piano", "violin", "metronome", "tuning fork", "music stand", "rosin")
NAMES: Final = ("ada", "grace", "barbara", "edsger", "tony", "leslie", "frances", "niklaus")
HISTORY: Final = 40  # dead letters that were there before
BACKLOG: Final = 1200  # messages that nobody consumes
POISON: Final = 7  # one order in so many cannot be paid


@dataclass(frozen=True)
class Queue:
    """One, and the keys that lead to it. source: the exchange of its bindings."""

    name: str
    source: str
    keys: tuple[str, ...]
    arguments: dict[str, Any]


DEAD: Final = {"x-dead-letter-exchange": "shop.dead"}
QUEUES: Final = (
    Queue("payments", "shop.events", ("order.created.*",), DEAD),
    Queue("warehouse.picking", "shop.events", ("order.paid.#",), DEAD | {"x-max-priority": 3}),
    Queue("mails.outgoing", "shop.events", ("order.#", "customer.#"), {"x-message-ttl": 3_600_000}),
    Queue("mails.newsletter", "shop.events", ("newsletter",), {}),
    Queue("invoices.de", "shop.events", ("order.paid.de",), {"x-queue-type": "quorum"}),
    Queue("search.index", "shop.catalogue", ("",), {"x-max-length": 10_000}),
    Queue("audit.log", "shop.audit", ("",), {}),
    Queue("payments.dead", "shop.dead", ("order.created.#",), {}),
    Queue("warehouse.dead", "shop.dead", ("order.paid.#",), {}),
)


def order(number: int) -> tuple[str, dict[str, Any]]:
    """A country, and an order from there."""
    rng = random.Random(number)
    country = rng.choice(COUNTRIES)
    card = (
        "4000-0000-0000-0002" if number % POISON == 0 else f"4242-{rng.randint(1000, 9999)}-{rng.randint(1000, 9999)}"
    )
    items = [{"name": name, "count": rng.randint(1, 3)} for name in rng.sample(ITEMS, rng.randint(1, 3))]
    return country, {
        "order": 10_000 + number,
        "customer": rng.choice(NAMES),
        "country": country,
        "items": items,
        "total": round(rng.uniform(9, 900), 2),
        "card": card,
    }


def message(content: object, kind: str, **more: Any) -> aio_pika.Message:
    """One with JSON in it."""
    return aio_pika.Message(
        json.dumps(content).encode(),
        content_type="application/json",
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        type=kind,
        **more,
    )


async def furnish(channel: AbstractChannel) -> None:
    """Declare everything."""
    exchanges = {
        name: await channel.declare_exchange(name, kind, durable=True, arguments=arguments)
        for name, kind, arguments in (
            ("shop.audit", aio_pika.ExchangeType.FANOUT, None),
            ("shop.events", aio_pika.ExchangeType.TOPIC, None),
            ("shop.catalogue", aio_pika.ExchangeType.FANOUT, None),
            ("shop.dead", aio_pika.ExchangeType.TOPIC, None),
        )
    }
    await exchanges["shop.audit"].bind(exchanges["shop.events"], "#")
    for queue in QUEUES:
        declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
        for key in queue.keys:
            await declared.bind(exchanges[queue.source], key)


class Shop:
    """What runs in it. url: of the broker."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connections: list[AbstractRobustConnection] = []
        self._paid: AbstractExchange

    async def _connect(self, name: str) -> AbstractRobustConnection:
        made = await aio_pika.connect_robust(self._url, client_properties={"connection_name": name})
        self._connections.append(made)
        return made

    async def open(self) -> list[Callable[[], Awaitable[None]]]:
        """Connect everybody, and make what was there before. Returns: those that go on until they are stopped."""
        front = await self._connect("web-shop")
        channel = await front.channel()
        await furnish(channel)
        events = await channel.get_exchange("shop.events")
        for number in range(HISTORY):
            country, content = order(number * POISON)
            await events.publish(message(content, "order"), f"order.created.{country}")
        letters = [{"to": f"{name}@example.org", "subject": "New strings are here"} for name in NAMES]
        await asyncio.gather(
            *(events.publish(message(letters[at % len(letters)], "mail"), "newsletter") for at in range(BACKLOG))
        )
        self._paid = await (await (await self._connect("payment-service")).channel()).get_exchange("shop.events")
        await self._consume("payments-1", "payments", self._pay)
        await self._consume("payments-2", "payments", self._pay)
        await self._consume("picker-1", "warehouse.picking", self._after(0.03))
        await self._consume("mailer", "mails.outgoing", self._after(0.5))
        await self._consume("indexer", "search.index", self._after(0.001), prefetch=50)
        await self._consume("bookkeeper", "invoices.de", self._after(0.05), prefetch=4)
        await self._consume("auditor", "audit.log", self._after(0), prefetch=200)
        catalogue = await (await self._connect("catalogue-sync")).channel()
        return [lambda: self._sell(channel), lambda: self._sync(catalogue), lambda: self._misspell(channel)]

    async def _consume(
        self, who: str, queue: str, work: Callable[[AbstractIncomingMessage], Awaitable[None]], prefetch: int = 10
    ) -> None:
        channel = await (await self._connect(who)).channel()
        await channel.set_qos(prefetch)
        await (await channel.get_queue(queue)).consume(work, consumer_tag=who)

    async def _pay(self, taken: AbstractIncomingMessage) -> None:
        content = json.loads(taken.body)
        await asyncio.sleep(0.02)
        if content["card"].endswith("0002"):
            await taken.reject()
            return
        await self._paid.publish(message(content, "order"), f"order.paid.{content['country']}")
        await taken.ack()

    def _after(self, seconds: float) -> Callable[[AbstractIncomingMessage], Awaitable[None]]:
        async def work(taken: AbstractIncomingMessage) -> None:
            await asyncio.sleep(seconds)
            await taken.ack()

        return work

    async def _sell(self, channel: AbstractChannel) -> None:
        events = await channel.get_exchange("shop.events")
        number = HISTORY * POISON
        while True:
            number += 1
            country, content = order(number)
            await events.publish(message(content, "order", message_id=f"order-{number}"), f"order.created.{country}")
            await asyncio.sleep(random.expovariate(12))

    async def _sync(self, channel: AbstractChannel) -> None:
        catalogue = await channel.get_exchange("shop.catalogue")
        while True:
            for name in ITEMS:
                await catalogue.publish(message({"item": name, "stock": random.randint(0, 40)}, "stock"), "")
            await asyncio.sleep(0.05)

    async def _misspell(self, channel: AbstractChannel) -> None:
        """Publish what arrives nowhere, now and then."""
        while True:
            with contextlib.suppress(aio_pika.exceptions.DeliveryError):
                await channel.default_exchange.publish(message({"order": 1}, "order"), "paymens")
            await asyncio.sleep(9)

    async def close(self) -> None:
        """Disconnect everybody."""
        for connection in reversed(self._connections):
            await connection.close()


async def run(url: str) -> None:
    """Run a shop until it is cancelled."""
    shop = Shop(url)
    try:
        await asyncio.gather(*(each() for each in await shop.open()))
    finally:
        await shop.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(sys.argv[1]))
