"""Party: one client of the broker, whatever protocol it speaks.

It knows who publishes and consumes, and in which virtual host; it caches routes, and counts. Its publishers and
receivers do the work; it may have any number, as an AMQP connection has one of each for each channel.
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

LONG_METHODS: Final = 50  # cost in methods of a long search: it takes some hundred microseconds, milliseconds at worst
ROUTE_BYTES: Final = 700  # approximate memory of a cached route, besides its target
MAX_ROUTE_BYTES: Final = 4 << 20  # for all routes of one client


class Party(Client):
    """One client. It has no user before its login, and no virtual host before it has chosen one.

    name: in the log and in traces. number: never 0, unique in this process. exclusive_queues: that it owns.
    max_message_size: limit of a body in bytes. small: limit of a body that needs no further checks. published: messages
    ever published; published_bytes: of bodies. routes: cached routes, by target; routes_bytes: their approximate
    memory. used_routes: those with publishes not counted yet. counters: without those of current publishers and
    receivers; see total(). The code that sends and receives bytes counts them there.
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
        self._routes_generation = 0  # of the virtual host, when the routes were found

    @property
    def label(self) -> str:
        """The name that the client gives the connection; `name` if it gives none."""
        return self.name

    def origin(self) -> Origin:
        """The origin that a queue or exchange declared now stores."""
        return Origin(self.name, self.user.name, self.broker.clock.today_ms)

    # -- routes

    def keep_route(self, target: bytes, route: Route) -> None:
        """Cache the route of a target."""
        generation = self.vhost.generation
        if self._routes_generation != generation or self.routes_bytes >= MAX_ROUTE_BYTES:
            self.forget_routes()
            self._routes_generation = generation
        size: i64 = ROUTE_BYTES + 3 * len(target)  # the target as it came, as text, as it is sent on
        self.routes_bytes += size
        self.broker.budget.used += size
        self.routes[target] = route

    def forget_routes(self) -> None:
        """Drop the cached routes."""
        self.count_routes()
        self.routes.clear()
        self.broker.budget.used -= self.routes_bytes
        self.routes_bytes = 0

    # -- counters

    def count_routes(self) -> None:
        """Pass the counts of cached routes to the exchanges. Cost: the routes used since the last time."""
        for route in self.used_routes:
            route.count()
        self.used_routes.clear()

    def total(self) -> ConnectionCounters:
        """All counts."""
        return self.counters.total()

    def end_counters(self) -> None:
        """The client has disconnected: add its counts to its virtual host. Called once."""
        past = self.vhost.past.connections
        past.add_connection(self.counters.total())
        self.counters = past
        self.broker.intake.take_over(self.published, self.published_bytes)

    # -- work

    def count_method(self, methods: i64 = 1) -> None:
        """Count work that costs as much as this number of methods, so that other clients get their turn."""

    def count_searches(self, before: int) -> None:
        """Count long pattern searches. before: their number before the work."""
        long = self.broker.matcher.long - before
        if long:
            self.count_method(long * LONG_METHODS)

    # -- Client

    def belongs_to(self, user: User | None, vhost: Home | None) -> bool:
        """Whether it belongs to this user and this virtual host; None for any."""
        return (user is None or self.user is user) and (vhost is None or self.vhost is vhost)

    def forget_queue(self, queue: EntryOwner) -> None:
        """An exclusive queue of this client is deleted."""
        self.exclusive_queues.pop(queue, None)

    def release(self, want: i64) -> None:
        """Drop the cached routes."""
        self.forget_routes()

    @abstractmethod
    def force_close(self, reason: str) -> None:
        """Close it for an operator, or when the broker stops."""

    @abstractmethod
    def fail(self, doing: str, error: Exception) -> None:
        """An action for the client has failed: close it after the current call."""

    @abstractmethod
    def close_failed(self) -> None:
        """Close it after a fault."""
