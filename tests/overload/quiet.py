"""A quiet client in a process of its own: it publishes a small message and fetches it again, many times a second.

Run as `python -m tests.overload.quiet HOST PORT`; for every line on stdin it prints one line of JSON about the round
trips since the line before: count, and p50, p99 and max in ms. A round trip is counted from the moment when it was due;
where one was late, those that should have begun meanwhile count as well, so that one long wait is not one of many.
"""

from __future__ import annotations

import json
import select
import sys
import time

from tests.clients.methods_basic import BasicGet, BasicGetOk, BasicPublish
from tests.clients.peer import Peer

EVERY_S = 0.005
PATIENCE_S = 60.0


def main() -> None:
    """Make round trips until stdin ends."""
    peer = Peer((sys.argv[1], int(sys.argv[2]))).login()
    channel = peer.channel()
    queue = channel.queue()
    publish = BasicPublish(routing_key=queue, body=b"quiet")
    get = BasicGet(queue=queue, no_ack=True)
    took: list[float] = []
    print("ready", flush=True)
    due = time.perf_counter()
    while True:
        due = max(due + EVERY_S, time.perf_counter() - EVERY_S)
        while (left := due - time.perf_counter()) > 0:
            if select.select([sys.stdin], [], [], left)[0]:
                if not sys.stdin.readline():
                    return
                print(json.dumps(summary(took)), flush=True)
                took = []
        channel.send(publish, get)
        channel.expect(BasicGetOk, PATIENCE_S)
        now = time.perf_counter()
        while now > due:
            took.append(now - due)
            due += EVERY_S
        due -= EVERY_S


def summary(took: list[float]) -> dict[str, float]:
    """What is printed."""
    took = sorted(took) or [0.0]
    places = {"p50": len(took) // 2, "p99": len(took) * 99 // 100, "max": len(took) - 1}
    return {"count": len(took), **{name: round(took[place] * 1000, 2) for name, place in places.items()}}


if __name__ == "__main__":
    main()
