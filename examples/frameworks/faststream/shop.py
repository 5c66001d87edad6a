"""A shop in FastStream: orders become invoices, and whoever asks is told what is in stock."""

from __future__ import annotations

import asyncio
import os

from faststream import FastStream, Logger
from faststream.rabbit import Channel, RabbitBroker, RabbitMessage, RabbitQueue
from pydantic import BaseModel, PositiveInt

STOCK = {"apple": 12, "pear": 3}
CENTS = {"apple": 40, "pear": 55}


class Order(BaseModel):
    """What a customer wants. seconds: how long it takes to write the invoice."""

    item: str
    count: PositiveInt
    seconds: float = 0.0


class Invoice(BaseModel):
    """What it costs."""

    item: str
    count: int
    cents: int


REFUSED = RabbitQueue("faststream.refused", durable=True)
INVOICES = RabbitQueue("faststream.invoices", durable=True)
ORDERS = RabbitQueue(
    "faststream.orders",
    durable=True,
    # What a subscriber raises an error over is rejected, and the broker moves it to the queue for refused orders.
    arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": REFUSED.name},
)

broker = RabbitBroker(
    os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/"),
    default_channel=Channel(prefetch_count=1),
)
app = FastStream(broker)


@app.after_startup
async def declare() -> None:
    """Make the queues that no subscriber here consumes."""
    for queue in (REFUSED, INVOICES):
        await broker.declare_queue(queue)


@broker.subscriber(ORDERS)
@broker.publisher(INVOICES, persist=True)
async def write_invoice(order: Order, message: RabbitMessage, logger: Logger) -> Invoice:
    """Turn an order into an invoice; the order is acknowledged when that is published."""
    again = ", redelivered" if message.raw_message.redelivered else ""
    logger.info(f"Started: {order.count} {order.item}{again}")
    await asyncio.sleep(order.seconds)
    return Invoice(item=order.item, count=order.count, cents=order.count * CENTS[order.item])


@broker.subscriber("faststream.stock")
async def in_stock(item: str) -> int:
    """Answer a request: how many of an item there are."""
    return STOCK.get(item, 0)
