"""Services: what the answers of the API are made from."""

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
    """One that the broker listens on. protocol: amqp, http or http/prometheus; with TLS amqp/ssl, https."""

    protocol: str
    host: str
    number: int

    @property
    def is_tls(self) -> bool:
        """Whether a certificate is used."""
        return self.protocol in ("amqp/ssl", "https")


@dataclass
class Facts:
    """What the node knows of itself and the broker does not. ports: those it listens on, as they are opened.

    prefix: of all paths, behind a proxy. interval_s: how long it is from one look at what is counted to the next.
    disk: what its log does; None in memory. places: for clients of HTTP.
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
    """Of one API. attempts: to log in, by protocol. streams, walks: of events and through queues, by users' names."""

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
        self.traces = 0  # that go on
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
        """What comes before all paths, behind a proxy."""
        return self.facts.prefix

    @property
    def cluster_name(self) -> str:
        """What an administrator has called it; the name of the node, until then."""
        text = self.broker.parameters.globals.get("cluster_name")
        name = None if text is None else json.loads(text)
        return name if isinstance(name, str) else self.node

    @property
    def cluster_id(self) -> str:
        """What stays the same when an administrator renames the cluster."""
        return f"rabbitmq-cluster-id-{hashlib.sha256(self.node.encode()).hexdigest()[:22]}"

    def is_node(self, name: str) -> bool:
        """Whether somebody means this node, perhaps by the name that RabbitMQ would give it."""
        return name in (self.node, f"rabbit@{socket.gethostname()}", "rabbit@localhost")
