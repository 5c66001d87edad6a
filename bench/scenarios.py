"""The table of scenarios: a name, what it shows, and the flags amqpload gets for it.

A scenario says nothing about brokers: every broker of a run gets exactly the same flags. `--inflight 5000`
keeps at most 5000 messages between publisher and consumer, so the broker is measured in a steady state and
never on how fast it can pile up a backlog; only `flood` leaves it out, on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

IDLE_CONNECTIONS = 5000
QUICK_IDLE_CONNECTIONS = 500


class Kind(Enum):
    """Which numbers a scenario is about, hence how it is run and in which table it appears."""

    LOAD = "load"
    FLOOD = "flood"
    LATENCY = "latency"
    CONFIRM = "confirm"
    CONNECTIONS = "connections"
    START = "start"


@dataclass(frozen=True)
class Scenario:
    """One line of the table."""

    name: str
    meaning: str
    flags: str = ""
    kind: Kind = Kind.LOAD
    durable: bool = False  # Leveret gets a data directory instead of --memory

    def arguments(self, connections: int) -> list[str]:
        """The flags for amqpload; connections is how many a connection scenario opens."""
        if self.kind is Kind.CONNECTIONS:
            return ["--connections-only", str(connections)]
        return self.flags.split()


SCENARIOS: tuple[Scenario, ...] = (
    # The first two look at memory, so they come before the load scenarios grow a peer's heap.
    Scenario("start", "start time and idle memory of Leveret", kind=Kind.START),
    Scenario(
        "connections",
        f"{IDLE_CONNECTIONS} idle connections with one channel each",
        f"--connections-only {IDLE_CONNECTIONS}",
        Kind.CONNECTIONS,
    ),
    Scenario("auto-ack-16", "16 B, no acknowledgements", "--body 16 --auto-ack --inflight 5000"),
    Scenario("auto-ack-1k", "1 KiB, no acknowledgements", "--body 1024 --auto-ack --inflight 5000"),
    Scenario("ack-16", "16 B, every message acked on its own", "--body 16 --prefetch 250 --inflight 5000"),
    Scenario("ack-1k", "1 KiB, every message acked on its own", "--body 1024 --prefetch 250 --inflight 5000"),
    Scenario(
        "durable-16",
        "16 B, persistent, confirmed, acked",
        "--body 16 --persistent --confirm 1000 --prefetch 250 --inflight 5000",
        durable=True,
    ),
    Scenario(
        "durable-1k",
        "1 KiB, persistent, confirmed, acked",
        "--body 1024 --persistent --confirm 1000 --prefetch 250 --inflight 5000",
        durable=True,
    ),
    Scenario("fanout-16", "16 B to 10 queues", "--body 16 --fanout 10 --auto-ack --inflight 5000"),
    Scenario("fanout-1k", "1 KiB to 10 queues", "--body 1024 --fanout 10 --auto-ack --inflight 5000"),
    Scenario(
        "topic-16",
        "16 B, topic exchange, 100 bindings on 10 queues",
        "--body 16 --topic 100 --queues 10 --auto-ack --inflight 5000",
    ),
    Scenario("flood", "16 B, unlimited publisher, acking consumer", "--body 16 --prefetch 250", Kind.FLOOD),
    Scenario("latency", "16 B at 5000 messages/s, no acks", "--body 16 --rate 5000 --auto-ack", Kind.LATENCY),
    Scenario(
        "confirm-1",
        "16 B, persistent, one at a time, nobody consumes",
        "--body 16 --persistent --confirm 1 --publish-only",
        Kind.CONFIRM,
        durable=True,
    ),
    Scenario(
        "confirm-1-ack",
        "the same, consumed and acked meanwhile",
        "--body 16 --persistent --confirm 1 --prefetch 250",
        Kind.CONFIRM,
        durable=True,
    ),
)


def chosen(names: list[str]) -> list[Scenario]:
    """The named scenarios in table order, or all of them; raises ValueError for an unknown name."""
    unknown = set(names) - {scenario.name for scenario in SCENARIOS}
    if unknown:
        raise ValueError(f"no such scenario: {', '.join(sorted(unknown))} (see --list)")
    return [scenario for scenario in SCENARIOS if not names or scenario.name in names]
