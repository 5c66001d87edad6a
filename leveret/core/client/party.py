"""Party: one client of the broker, whatever protocol it speaks.

It says who publishes and consumes, and where; it remembers where publishes go, and counts what is done for it. What it
does is done by its publishers and receivers, of which it may have any number, as an AMQP connection has one of each for
each channel.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

from mypy_extensions import i64

from leveret.core.access.user import Credential, User
from leveret.core.broker import Broker
from leveret.core.counting.counters import ConnectionCounters
from leveret.core.counting.intake import SMALL
from leveret.core.errors.diagnostics import Origin
from leveret.core.exchange.exchange import Route
from leveret.core.queue.client import Client
from leveret.core.queue.entry import EntryOwner, Home

LONG_METHODS: Final = 50  # as which a search counts that takes long: some hundred microseconds, milliseconds at worst
ROUTE_BYTES: Final = 700  # of memory that a cached route needs, about, beside its target
MAX_ROUTE_BYTES: Final = 4 << 20  # of all of one client


class Party(Client):
    """One client. Before its login it is nobody's, and before it has chosen a virtual host it is nowhere.

    name: what the log and traces call it. number: never 0, unique in this process. exclusive_queues: that it owns.
    max_message_size: bytes that the body of a message may have. small: those of one that is taken and counted without a
    second look. published: messages, ever; published_bytes: of bodies.
    routes: where its publishes go, by target; routes_bytes: of memory that they need, about. used_routes: those with
    publishes not counted yet. counters: without those of publishers and receivers that are there; see total().
    Bytes are counted there by whoever sends and receives them.
    """

    def __init__(self, broker: Broker, name: str) -> None:
        self.broker = broker
        self.name = name
        self.number = broker.connection_number()
        self.user = User("", Credential("", ""), ())
        self.vhost = broker.nowhere
        self.max_message_size: i64 = broker.max_message_size
        self.small: i64 = min(SMALL, broker.max_message_size)
        self.exclusive_queues: dict[EntryOwner, None] = {}
        self.published: i64 = 0
        self.published_bytes: i64 = 0
        self.routes: dict[bytes, Route] = {}
        self.routes_bytes: i64 = 0
        self.used_routes: list[Route] = []
        self.counters = ConnectionCounters(name)
        self._routes_generation = 0  # of the virtual host, when they were found

    @property
    def label(self) -> str:
        """What its client calls it; its name, if that says nothing."""
        return self.name

    def origin(self) -> Origin:
        """What a queue or exchange declared now remembers of its declaration."""
        return Origin(self.name, self.user.name, self.broker.clock.today_ms)

    # -- where publishes go

    def keep_route(self, target: bytes, route: Route) -> None:
        """Remember where publishes to this target go."""
        generation = self.vhost.generation
        if self._routes_generation != generation or self.routes_bytes >= MAX_ROUTE_BYTES:
            self.forget_routes()
            self._routes_generation = generation
        size: i64 = ROUTE_BYTES + 3 * len(target)  # as it came, as text, as it is sent on
        self.routes_bytes += size
        self.broker.budget.used += size
        self.routes[target] = route

    def forget_routes(self) -> None:
        """Find out anew where publishes go."""
        self.count_routes()
        self.routes.clear()
        self.broker.budget.used -= self.routes_bytes
        self.routes_bytes = 0

    # -- what is counted

    def count_routes(self) -> None:
        """Let exchanges count what is only noted with cached routes. Cost: those used since the last time."""
        for route in self.used_routes:
            route.count()
        self.used_routes.clear()

    def total(self) -> ConnectionCounters:
        """All that it has done."""
        return self.counters.total()

    def end_counters(self) -> None:
        """The client is gone, once: its virtual host counts what it has done, and what is still sent to it."""
        past = self.vhost.past.connections
        past.add_connection(self.counters.total())
        self.counters = past
        self.broker.intake.take_over(self.published, self.published_bytes)

    # -- what it takes

    def count_method(self, methods: i64 = 1) -> None:
        """Something was done for it that takes its time, as much as so many methods: others may want their turn."""

    def count_searches(self, before: int) -> None:
        """Count the searches of patterns that took long. before: how many had."""
        long = self.broker.matcher.long - before
        if long:
            self.count_method(long * LONG_METHODS)

    # -- Client

    def belongs_to(self, user: User | None, vhost: Home | None) -> bool:
        """Whether it is this user's and uses this virtual host; None for any."""
        return (user is None or self.user is user) and (vhost is None or self.vhost is vhost)

    def forget_queue(self, queue: EntryOwner) -> None:
        """A queue that is exclusive to it is deleted."""
        self.exclusive_queues.pop(queue, None)

    def release(self, want: i64) -> None:
        """Let go of memory that can be had again: the routes."""
        self.forget_routes()

    @abstractmethod
    def force_close(self, reason: str) -> None:
        """Close it for an operator, or at the end of the broker."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """Something that was done for it has failed: it is closed, as soon as what is going on now is through."""

    @abstractmethod
    def close_failed(self) -> None:
        """Close it, since something that was done for it has failed."""
