"""The table of scenarios: name, description, and flags for amqpload.

Every broker of a run gets exactly the same flags. `--inflight 5000` keeps at most 5000 messages between publisher and
consumer, so that the broker is measured in a steady state and not while it builds up a backlog; only the floods and
`backlog` omit it on purpose.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """The kind of numbers a scenario produces, which determines how it runs and its table."""

    START = "start"
    CONNECTIONS = "connections"
    LOAD = "load"
    FLOOD = "flood"
    BODIES = "bodies"
    BACKLOG = "backlog"
    LATENCY = "latency"
    CONFIRM = "confirm"
    CHURN = "churn"


class Group(StrEnum):
    """A group of scenarios, for `--group NAME`; each is a section of the page."""

    FOOTPRINT = "footprint"
    THROUGHPUT = "throughput"
    TLS = "tls"
    SCALE = "scale"
    BODIES = "bodies"
    BACKLOG = "backlog"
    LATENCY = "latency"
    CHURN = "churn"


@dataclass(frozen=True)
class Sizes:
    """The amounts that a quick run reduces."""

    connections: int = 5000  # idle at once
    backlog: int = 1_000_000  # messages


FULL = Sizes()
QUICK = Sizes(connections=500, backlog=50_000)
SECONDS = 3  # measured time of a run
QUICK_SECONDS = 2
LATENCY_SECONDS = 10  # at 1000 messages/s, 99.9 % leaves ten of them


@dataclass(frozen=True)
class Scenario:
    """One line of the table."""

    name: str
    meaning: str
    group: Group
    kind: Kind
    flags: str = ""
    durable: bool = False  # Leveret gets a data directory instead of --memory
    then: str = ""  # flags of a second half, on the same broker and measured separately

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts: one unnamed, or two halves."""
        return ("fill", "drain") if self.then else ("",)

    @property
    def tls(self) -> bool:
        """Whether it uses the TLS port, which not every broker has."""
        return "--tls" in self.flags.split()

    @property
    def seconds(self) -> int:
        """The default duration of one run in seconds."""
        return LATENCY_SECONDS if self.kind is Kind.LATENCY else SECONDS

    def arguments(self, part: str = "", sizes: Sizes = FULL) -> list[str]:
        """The flags for amqpload."""
        text = self.then if part == "drain" else self.flags
        return text.format(connections=sizes.connections, backlog=sizes.backlog).split()


def _load(name: str, meaning: str, flags: str, durable: bool = False) -> Scenario:
    return Scenario(name, meaning, Group.THROUGHPUT, Kind.LOAD, f"{flags} --inflight 5000", durable)


def _tls(name: str, meaning: str, flags: str) -> Scenario:
    return Scenario(name, f"{meaning}, over TLS", Group.TLS, Kind.LOAD, f"{flags} --inflight 5000 --tls")


def _scale(name: str, meaning: str, flags: str, kind: Kind = Kind.LOAD) -> Scenario:
    return Scenario(name, meaning, Group.SCALE, kind, flags)


def _body(name: str, size: int, meaning: str, inflight: int, durable: bool = False) -> Scenario:
    half = inflight // 2
    how = f"--persistent --confirm {half} --prefetch {half}" if durable else "--auto-ack"
    meaning += ", persistent, confirmed, acked" if durable else ", no acknowledgements"
    return Scenario(name, meaning, Group.BODIES, Kind.BODIES, f"--body {size} {how} --inflight {inflight}", durable)


def _latency(thousands: int) -> Scenario:
    meaning = f"16 B at {thousands} 000 messages/s, no acks"
    flags = f"--body 16 --rate {thousands}000 --auto-ack"
    return Scenario(f"latency-{thousands}k", meaning, Group.LATENCY, Kind.LATENCY, flags)


def _churn(name: str, meaning: str, flags: str, durable: bool = False) -> Scenario:
    return Scenario(name, meaning, Group.CHURN, Kind.CHURN, f"--churn {flags} --producers 8", durable)


SCENARIOS: tuple[Scenario, ...] = (
    # The first two look at memory, so they come before the load scenarios grow a peer's heap.
    Scenario("start", "start time and idle memory of Leveret", Group.FOOTPRINT, Kind.START),
    Scenario(
        "connections",
        "idle connections with one channel each",
        Group.FOOTPRINT,
        Kind.CONNECTIONS,
        "--connections-only {connections}",
    ),
    _load("auto-ack-16", "16 B, no acknowledgements", "--body 16 --auto-ack"),
    _load("auto-ack-1k", "1 KiB, no acknowledgements", "--body 1024 --auto-ack"),
    _load("ack-16", "16 B, every message acked on its own", "--body 16 --prefetch 250"),
    _load("ack-1k", "1 KiB, every message acked on its own", "--body 1024 --prefetch 250"),
    _load(
        "durable-16",
        "16 B, persistent, confirmed, acked",
        "--body 16 --persistent --confirm 1000 --prefetch 250",
        durable=True,
    ),
    _load(
        "durable-1k",
        "1 KiB, persistent, confirmed, acked",
        "--body 1024 --persistent --confirm 1000 --prefetch 250",
        durable=True,
    ),
    _load("fanout-16", "16 B to 10 queues", "--body 16 --fanout 10 --auto-ack"),
    _load("fanout-1k", "1 KiB to 10 queues", "--body 1024 --fanout 10 --auto-ack"),
    _load(
        "topic-16", "16 B, topic exchange, 100 bindings on 10 queues", "--body 16 --topic 100 --queues 10 --auto-ack"
    ),
    _load(
        "headers-16",
        "16 B, headers exchange, 100 bindings on 10 queues",
        "--body 16 --headers 100 --queues 10 --auto-ack",
    ),
    _tls("tls-auto-ack-16", "16 B, no acknowledgements", "--body 16 --auto-ack"),
    _tls("tls-ack-1k", "1 KiB, every message acked on its own", "--body 1024 --prefetch 250"),
    _scale(
        "queues-1000",
        "16 B, 1000 queues with a consumer each, 10 publishers",
        "--body 16 --queues 1000 --producers 10 --auto-ack --inflight 5000",
    ),
    _scale(
        "producers-100",
        "16 B, 100 publishers on one queue, confirmed, acked",
        "--body 16 --producers 100 --confirm 50 --prefetch 250 --inflight 5000",
    ),
    _scale(
        "requeue",
        "16 B, 4 consumers that requeue every other delivery",
        "--body 16 --consumers 4 --prefetch 250 --requeue 0.5 --inflight 5000",
    ),
    _scale("flood", "16 B, unlimited publisher, acking consumer", "--body 16 --prefetch 250", Kind.FLOOD),
    _scale(
        "flood-100",
        "16 B, 100 publishers that only wait for confirms, one acking consumer",
        "--body 16 --producers 100 --confirm 50 --prefetch 250",
        Kind.FLOOD,
    ),
    _body("body-64k", 65536, "64 KiB", 500),
    _body("body-1m", 1048576, "1 MiB", 32),
    _body("body-16m", 16777216, "16 MiB", 4),  # the most RabbitMQ takes
    _body("body-1m-durable", 1048576, "1 MiB", 32, durable=True),
    _body("body-16m-durable", 16777216, "16 MiB", 4, durable=True),
    Scenario(
        "backlog",
        "1 KiB, persistent, confirmed: many published, then consumed and acked",
        Group.BACKLOG,
        Kind.BACKLOG,
        "--body 1024 --persistent --confirm 1000 --publish-only --count {backlog}",
        durable=True,
        then="--body 1024 --persistent --prefetch 250 --drain --count {backlog}",
    ),
    _latency(1),
    _latency(5),
    _latency(20),
    Scenario(
        "confirm-1",
        "16 B, persistent, one at a time, without a consumer",
        Group.LATENCY,
        Kind.CONFIRM,
        "--body 16 --persistent --confirm 1 --publish-only",
        durable=True,
    ),
    Scenario(
        "confirm-1-ack",
        "the same, with a consumer that acks",
        Group.LATENCY,
        Kind.CONFIRM,
        "--body 16 --persistent --confirm 1 --prefetch 250",
        durable=True,
    ),
    _churn("churn-queues", "queues declared and deleted", "queues"),
    _churn("churn-queues-durable", "durable queues declared and deleted", "queues --persistent", durable=True),
    _churn("churn-bindings", "bindings created and removed", "bindings"),
    _churn("churn-bindings-durable", "durable bindings created and removed", "bindings --persistent", durable=True),
    _churn("churn-connections", "connections opened, with a channel, and closed", "connections"),
)


def chosen(names: list[str], groups: list[str]) -> list[Scenario]:
    """The named scenarios and those of the groups, in table order; all if none are given.

    Raises: ValueError for an unknown name or group.
    """
    unknown = set(names) - {scenario.name for scenario in SCENARIOS} | set(groups) - set(Group)
    if unknown:
        raise ValueError(f"no such scenario or group: {', '.join(sorted(unknown))} (see --list)")
    everything = not names and not groups
    return [found for found in SCENARIOS if everything or found.name in names or found.group in groups]
