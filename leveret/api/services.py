"""Services: the objects that the operations of the API use."""

from __future__ import annotations

import hashlib
import json
import socket
from collections import Counter
from dataclasses import dataclass, field

from leveret.api.answers import Answers
from leveret.api.bodies import Bodies
from leveret.api.leases import Leases
from leveret.api.sampler import INTERVAL_S, Machine, Sampler
from leveret.api.sessions import Sessions
from leveret.api.turns import Turns
from leveret.auth.attempts import Attempts
from leveret.auth.authenticator import Authenticator
from leveret.core.broker import Broker
from leveret.core.counting.disk import DiskCounters
from leveret.server.driver import Driver
from leveret.server.performer import Performer


@dataclass(frozen=True)
class Port:
    """A port that the broker listens on. protocol: amqp, http or http/prometheus; with TLS amqp/ssl, https."""

    protocol: str
    host: str
    number: int

    @property
    def is_tls(self) -> bool:
        """Whether the port uses TLS."""
        return self.protocol in ("amqp/ssl", "https")


@dataclass
class Facts:
    """Facts about the node that the broker does not know. ports: those it listens on, added as they open.

    prefix: of all paths, behind a proxy. interval_s: seconds between two samples of the statistics. disk: counters of
    the log on disk; None without a data directory. places: maximum number of HTTP clients.
    """

    data_directory: str
    memory_limit: int
    disk_free_limit: int
    max_files: int
    ports: list[Port] = field(default_factory=list)
    certificate: str = ""
    disk: DiskCounters | None = None
    settings: dict[str, object] = field(default_factory=dict)
    prefix: str = ""
    interval_s: float = INTERVAL_S
    places: int = 1_000


class Services:
    """The services of one API. attempts: logins, by protocol. streams, walks: running event streams and walks through
    queues, by user name.
    """

    def __init__(
        self,
        broker: Broker,
        driver: Driver,
        performer: Performer,
        authenticator: Authenticator,
        attempts: dict[str, Attempts],
        facts: Facts,
    ) -> None:
        self.broker = broker
        self.driver = driver
        self.performer = performer
        self.authenticator = authenticator
        self.attempts = attempts
        self.facts = facts
        self.turns = Turns()
        self.bodies = Bodies()
        self.answers = Answers()
        self.sessions = Sessions(broker.users)
        self.streams: Counter[str] = Counter()
        self.walks: Counter[str] = Counter()
        self.traces = 0  # running traces
        self.leases = Leases(broker, driver, facts.places)
        self.machine = Machine(broker, facts.data_directory)
        self.sampler = Sampler(broker, self.turns, self.machine, facts.interval_s)
        self.history = self.sampler.history

    @property
    def node(self) -> str:
        """The name of the node."""
        return self.broker.node

    @property
    def prefix(self) -> str:
        """The prefix of all paths, behind a proxy."""
        return self.facts.prefix

    @property
    def cluster_name(self) -> str:
        """The cluster name that an administrator set; by default the name of the node."""
        text = self.broker.parameters.globals.get("cluster_name")
        name = None if text is None else json.loads(text)
        return name if isinstance(name, str) else self.node

    @property
    def cluster_id(self) -> str:
        """An id that stays the same when an administrator renames the cluster."""
        return f"rabbitmq-cluster-id-{hashlib.sha256(self.node.encode()).hexdigest()[:22]}"

    def is_node(self, name: str) -> bool:
        """Whether the name means this node; accepts the names that RabbitMQ would use."""
        return name in (self.node, f"rabbit@{socket.gethostname()}", "rabbit@localhost")
