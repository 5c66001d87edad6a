"""A canary: round trips of one client of AMQP, beside whatever else the broker does, and how long they take."""

from __future__ import annotations

import time
from collections.abc import Callable

from tests.clients.methods_basic import BasicAck, BasicDeliver
from tests.clients.peer import Channel, Peer
from tests.hostile.bystander import starved_s

PATIENCE_S = 60.0


def consumed(peer: Peer) -> tuple[Channel, str]:
    """A channel with confirms, and a queue that it consumes."""
    channel = peer.channel()
    queue = channel.queue()
    channel.confirm()
    channel.consume(queue, no_ack=True)
    return channel, queue


def round_trip(channel: Channel, queue: str, pid: int) -> float:
    """Publish to a queue that is consumed. Returns: seconds until the message and its confirm are there.

    Not counted is how long the broker, of this PID, or this process could have run and the machine ran others.
    """
    pids = (str(pid), "self")
    starved = sum(map(starved_s, pids))
    began_s = time.perf_counter()
    channel.publish(queue, b"x" * 100)
    kinds = {type(channel.next(PATIENCE_S)), type(channel.next(PATIENCE_S))}
    assert kinds == {BasicAck, BasicDeliver}
    return max(time.perf_counter() - began_s - (sum(map(starved_s, pids)) - starved), 0.0)


def round_trips(channel: Channel, queue: str, pid: int, every_s: float, is_over: Callable[[], bool]) -> list[float]:
    """One after the other until it is over, each when it is due. Returns: the seconds that each took.

    Those that should have begun while one was late count as well, so that one long wait is not one of many.
    """
    found: list[float] = []
    due_s = time.perf_counter()
    while not is_over():
        time.sleep(max(due_s - time.perf_counter(), 0.0))
        took_s = round_trip(channel, queue, pid)
        due_s = max(due_s + every_s, time.perf_counter())
        while took_s > 0:
            found.append(took_s)
            took_s -= every_s
    return found


def percentile(values: list[float], share: float) -> float:
    """The value below which so many are."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]
