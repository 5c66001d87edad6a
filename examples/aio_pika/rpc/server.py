"""Compute Fibonacci numbers for whoever asks, one request at a time."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

import aio_pika
import aio_pika.exceptions
from aio_pika import Message
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

AMQP_URL = os.environ.get("AMQP_URL", "amqp://guest:guest@localhost:5672/")
REQUEST_QUEUE = "aio_pika.rpc.fibonacci"
LARGE = 30


def fibonacci(number: int) -> int:
    """Return one Fibonacci number: 0, 1, 1, 2, 3, 5, 8…"""
    this, following = 0, 1
    for _ in range(number):
        this, following = following, this + following
    return this


async def answer(channel: AbstractChannel, request: AbstractIncomingMessage, delay_s: float) -> None:
    """Reply to one request, then acknowledge it."""
    if not request.body.isdigit() or request.reply_to is None:
        # Never requeue what nobody can read: it would come back for ever, to one server after another.
        await request.reject(requeue=False)
        return
    # The block acknowledges at its end, after the reply: if we die in between, another server answers the
    # same request again, and the client gets two replies. It must not mind.
    async with request.process(requeue=True):
        number = int(request.body)
        print(f"Working on fibonacci({number}){', redelivered' if request.redelivered else ''}")
        if number >= LARGE:
            await asyncio.sleep(delay_s)
        # The reply goes to the queue the client named, with the id the client will know it by. If the client
        # has gone, so has its queue, and the broker drops the reply.
        reply = Message(str(fibonacci(number)).encode(), correlation_id=request.correlation_id)
        await channel.default_exchange.publish(reply, routing_key=request.reply_to, mandatory=False)


async def main() -> None:
    """Read the options and serve until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--delay", type=float, default=0.0, help=f"extra seconds for numbers from {LARGE} up")
    options = parser.parse_args()
    async with await aio_pika.connect_robust(AMQP_URL) as connection:
        channel = await connection.channel()
        await channel.set_qos(prefetch_count=1)
        # auto_delete: the queue lives as long as some server consumes it. With the last server it goes,
        # and that is how a client can tell at once that nobody is there.
        queue = await channel.declare_queue(REQUEST_QUEUE, durable=True, auto_delete=True)
        async with queue.iterator() as requests:
            print(f"Waiting for requests in {REQUEST_QUEUE}. Ctrl-C stops.")
            async for request in requests:
                await answer(channel, request, options.delay)


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except aio_pika.exceptions.AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
