"""A decent client in a process of its own: publishes to itself all the time and remembers its worst round trip.

Run as `python -m tests.hostile.bystander HOST PORT [PID]`; for every line on stdin it prints how many round trips there
were since the line before, and how long the worst one took, in seconds. The time that the machine gave to others, while
the broker, of this PID, or the client itself could have run, is left out.
"""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

from tests.clients.methods_basic import BasicAck, BasicDeliver
from tests.clients.peer import Peer

PAUSE_S = 0.005
PATIENCE_S = 60.0


def starved_s(pid: str) -> float:
    """How long the first thread of a process could have run and was not let."""
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError):
        return 0.0  # not on this kernel


def main() -> None:
    """Make round trips until stdin ends."""
    pids = [*sys.argv[3:], "self"]
    peer = Peer((sys.argv[1], int(sys.argv[2]))).login()
    channel = peer.channel()
    queue = channel.queue()
    channel.confirm()
    channel.consume(queue, no_ack=True)
    count, worst = 0, 0.0
    print("ready", flush=True)
    while True:
        body = str(count).encode()
        starved = sum(map(starved_s, pids))
        start = time.perf_counter()
        channel.publish(queue, body)
        kinds = {type(channel.next(PATIENCE_S)), type(channel.next(PATIENCE_S))}
        assert kinds == {BasicAck, BasicDeliver}
        took = time.perf_counter() - start
        count, worst = count + 1, max(worst, took - (sum(map(starved_s, pids)) - starved))
        if select.select([sys.stdin], [], [], PAUSE_S)[0]:
            if not sys.stdin.readline():
                return
            print(count, worst, flush=True)
            count, worst = 0, 0.0


if __name__ == "__main__":
    main()
