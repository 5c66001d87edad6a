"""Deal with the shop: customer.py stock ITEM, order ITEM COUNT, invoices COUNT, refused"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from aio_pika.exceptions import AMQPConnectionError
from faststream.rabbit import RabbitBroker
from shop import INVOICES, ORDERS, REFUSED, Invoice

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")


async def ask(broker: RabbitBroker, item: str) -> None:
    """Send a request, and wait for its reply."""
    try:
        reply = await broker.request(item, "faststream.stock", timeout=10)
    except TimeoutError:
        sys.exit("No reply in 10 s. Does the shop run?")
    print(f"In stock: {await reply.decode()} {item}")


async def order(broker: RabbitBroker, item: str, count: int, seconds: float) -> None:
    """Send an order, and say when the broker has it."""
    # A dictionary, and no Order, so that you can see what the shop does with a count that is wrong.
    await broker.publish({"item": item, "count": count, "seconds": seconds}, ORDERS, persist=True)
    print(f"Ordered: {count} {item}")


async def read_invoices(broker: RabbitBroker, count: int) -> None:
    """Take invoices out of their queue, and wait for those that are not there yet."""
    invoices = broker.subscriber(INVOICES)
    await invoices.start()
    for _ in range(count):
        message = None
        while message is None:
            message = await invoices.get_one(timeout=2, no_ack=False)
        invoice = Invoice.model_validate(await message.decode())
        print(f"Invoice: {invoice.count} {invoice.item}, {invoice.cents / 100:.2f} €")
        await message.ack()


async def read_refused(broker: RabbitBroker) -> None:
    """Take all refused orders out of their queue."""
    refused = broker.subscriber(REFUSED)
    await refused.start()
    while (message := await refused.get_one(timeout=1, no_ack=False)) is not None:
        (death, *_) = message.headers["x-death"]
        print(f"Refused: {await message.decode()}, {death['reason']} from {death['queue']}")
        await message.ack()


async def main() -> None:
    """Read the options and do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    asking = commands.add_parser("stock")
    asking.add_argument("item")
    ordering = commands.add_parser("order")
    ordering.add_argument("item")
    ordering.add_argument("count", type=int)
    ordering.add_argument("--seconds", type=float, default=0.0, help="how long the shop takes for it")
    reading = commands.add_parser("invoices")
    reading.add_argument("count", type=int)
    commands.add_parser("refused")
    options = parser.parse_args()
    async with RabbitBroker(AMQP_URL, logger=None) as broker:
        if options.command == "stock":
            await ask(broker, options.item)
        elif options.command == "order":
            await order(broker, options.item, options.count, options.seconds)
        elif options.command == "invoices":
            await read_invoices(broker, options.count)
        else:
            await read_refused(broker)


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
