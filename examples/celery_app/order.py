"""Order one report and wait for it: order.py TITLE --pages 20"""

from __future__ import annotations

import argparse
import sys

from celery.exceptions import TimeoutError as ResultTimeout
from kombu.exceptions import OperationalError
from tasks import render_report


def main() -> None:
    """Send the task to whichever worker is free, and print its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("title", nargs="?", default="Sales")
    parser.add_argument("--pages", type=int, default=20)
    parser.add_argument("--seconds-per-page", type=float, default=0.5)
    parser.add_argument("--timeout", type=float, default=60.0, help="seconds to wait for the result")
    options = parser.parse_args()

    order = render_report.delay(options.title, options.pages, options.seconds_per_page)
    print(f"Ordered: {options.title}")
    try:
        print(f"Result: {order.get(timeout=options.timeout)}")
    except ResultTimeout:
        sys.exit(f"No result in {options.timeout:g} s. Does a worker run?")


if __name__ == "__main__":
    try:
        main()
    except OperationalError as error:
        sys.exit(f"No broker ({type(error).__name__}): is the broker running? start it with `make run`")
    except KeyboardInterrupt:
        print("Stopped.")
