"""Ask the observatory for something and wait for it: ask.py observe STAR, photograph STAR, wake ASTRONOMER"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
import time

from aio_pika.exceptions import AMQPConnectionError
from taskiq import TaskiqResultTimeoutError
from tasks import broker, observe, photograph, wake


async def main() -> None:
    """Read the options, send the task, and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["observe", "photograph", "wake"])
    parser.add_argument("whom")
    parser.add_argument("--seconds", type=float, default=0.0, help="how long it takes, or in how many to wake")
    parser.add_argument("--clouds", type=int, default=0, help="how often `photograph` fails first")
    options = parser.parse_args()
    await broker.startup()
    try:
        if options.what == "observe":
            task = await observe.kiq(options.whom, options.seconds)
        elif options.what == "photograph":
            task = await photograph.kiq(options.whom, options.clouds)
        else:
            due = time.time() + options.seconds
            task = await wake.kicker().with_labels(delay=options.seconds).kiq(options.whom, due)
        print(f"Sent: {options.what} {options.whom}")
        result = await task.wait_result(check_interval=0.1, timeout=30)
        if result.is_err:
            sys.exit(f"Failed: {result.error}")
        print(f"Result: {result.return_value}")
    except TaskiqResultTimeoutError:
        sys.exit("No result in 30 s. Does a worker run?")
    finally:
        await broker.shutdown()


if __name__ == "__main__":
    logging.getLogger("aiormq.connection").setLevel(logging.CRITICAL)  # we say it ourselves, below
    try:
        asyncio.run(main())
    except AMQPConnectionError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
