"""Order something and wait for it: order.py meal, bake, deliver, later or rush"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from celery import chain, chord, group
from celery.exceptions import MaxRetriesExceededError
from celery.exceptions import TimeoutError as ResultTimeout
from celery.result import AsyncResult
from kombu.exceptions import OperationalError
from tasks import OvenIsColdError, app, bake, chop, cook, deliver, serve

VEGETABLES = ["leek", "carrot", "celeriac"]


def order_meal() -> None:
    """Combine tasks in the ways that work with results over `rpc://`."""
    print(f"Chain: {chain(chop.s('onion'), cook.s('soup')).apply_async().get(timeout=30)}")
    chopped = group(chop.s(vegetable) for vegetable in VEGETABLES).apply_async().get(timeout=30)
    print(f"Group: {', '.join(chopped)}")
    try:
        chord((chop.s(vegetable) for vegetable in VEGETABLES), cook.s("stew")).apply_async()
    except NotImplementedError:
        # What a chord would do in the workers, this program does itself.
        print(f"No chord with {app.conf.result_backend}; instead: {cook.delay(chopped, 'stew').get(timeout=30)}")


def order_for_later(dish: str, seconds: float, how: str) -> AsyncResult:
    """Send a task with the time it may begin at, as an interval from now or as a time of day."""
    due = time.time() + seconds
    if how == "countdown":
        return serve.apply_async((dish, due), countdown=seconds)
    return serve.apply_async((dish, due), eta=datetime.fromtimestamp(due, UTC))


def order_in_a_rush(waiting: int, seconds: float) -> None:
    """Order dishes for later, and then one for now, which must not wait behind them."""
    later = [order_for_later(f"dish {number}", seconds, "countdown") for number in range(1, waiting + 1)]
    sent = time.time()
    print(f"At once: {serve.delay('snack', sent).get(timeout=30)}")
    for result in later:
        print(f"Later: {result.get(timeout=30)}")


def main() -> None:
    """Read the options, send the tasks, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["meal", "bake", "deliver", "later", "rush"])
    parser.add_argument("--failures", type=int, default=2, help="how often `bake` or `deliver` fails first")
    parser.add_argument("--seconds", type=float, default=2.0, help="when `later` and `rush` are due")
    parser.add_argument("--waiting", type=int, default=5, help="how many dishes wait for their time in `rush`")
    options = parser.parse_args()

    if options.what == "meal":
        order_meal()
    elif options.what == "bake":
        print(f"Result: {bake.delay('bread', options.failures).get(timeout=30)}")
    elif options.what == "deliver":
        print(f"Result: {deliver.delay('pizza', options.failures).get(timeout=30)}")
    elif options.what == "later":
        orders = [order_for_later(dish, options.seconds, dish) for dish in ("countdown", "eta")]
        print("Ordered.")
        for order in orders:
            print(f"Result: {order.get(timeout=30)}")
    else:
        order_in_a_rush(options.waiting, options.seconds)


if __name__ == "__main__":
    try:
        main()
    except OperationalError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except ResultTimeout:
        sys.exit("No result in 30 s. Does a worker run?")
    except KeyboardInterrupt:
        print("Stopped.")
    except (OvenIsColdError, MaxRetriesExceededError) as error:  # raised in the worker, and again here
        sys.exit(f"Failed: {type(error).__name__}: {error}")
