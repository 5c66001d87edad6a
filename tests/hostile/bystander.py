"""A decent client in a process of its own: publishes to itself all the time and remembers its worst round trip.

Run as `python -m tests.hostile.bystander HOST PORT`; for every line on stdin it prints how many round trips there
were since the line before, and how long the worst one took, in seconds.
"""

from __future__ import annotations

import select
import sys
import time

from tests.behaviour.methods_basic import BasicAck, BasicDeliver
from tests.behaviour.peer import Peer

PAUSE_S = 0.005
PATIENCE_S = 30.0


def main() -> None:
    """Make round trips until stdin ends."""
    peer = Peer((sys.argv[1], int(sys.argv[2]))).login()
    channel = peer.channel()
    queue = channel.queue()
    channel.confirm()
    channel.consume(queue, no_ack=True)
    count, worst = 0, 0.0
    print("ready", flush=True)
    while True:
        body = str(count).encode()
        start = time.perf_counter()
        channel.publish(queue, body)
        kinds = {type(channel.next(PATIENCE_S)), type(channel.next(PATIENCE_S))}
        assert kinds == {BasicAck, BasicDeliver}
        count, worst = count + 1, max(worst, time.perf_counter() - start)
        if select.select([sys.stdin], [], [], PAUSE_S)[0]:
            if not sys.stdin.readline():
                return
            print(count, worst, flush=True)
            count, worst = 0, 0.0


if __name__ == "__main__":
    main()
