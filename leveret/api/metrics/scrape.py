"""Scrape: one request for metrics, and the statistics of all scrapes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from leveret.api.services import Services
from leveret.api.turns import Turns
from leveret.core.broker import Broker
from leveret.core.vhost import VirtualHost
from leveret.session.connection.connection import Connection
from leveret.session.connection.life import RUNNING

AGGREGATED = "aggregated"
PER_OBJECT = "per-object"
DETAILED = "detailed"
MEMORY = "memory-breakdown"

T = TypeVar("T")


class Scrapes:
    """The scrapes of one API. counts, seconds, bytes: by page.

    highest: the highest reported value of each total. Totals are summed in steps, which may miss objects that end
    meanwhile.
    """

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.seconds: dict[str, float] = {}
        self.bytes: dict[str, int] = {}
        self.highest: dict[str, int] = {}

    def note(self, page: str, seconds: float, size: int) -> None:
        """Count a finished scrape."""
        self.counts[page] = self.counts.get(page, 0) + 1
        self.seconds[page] = self.seconds.get(page, 0.0) + seconds
        self.bytes[page] = self.bytes.get(page, 0) + size

    def never_less(self, name: str, value: int) -> int:
        """The value of a total, which never decreases."""
        value = max(value, self.highest.get(name, 0))
        self.highest[name] = value
        return value


class Scrape:
    """One scrape. page: its page. families: names of requested groups. vhosts: names, empty for all."""

    def __init__(
        self,
        services: Services,
        scrapes: Scrapes,
        page: str,
        families: frozenset[str] = frozenset(),
        vhosts: frozenset[str] = frozenset(),
    ) -> None:
        self.services = services
        self.scrapes = scrapes
        self.page = page
        self.families = families
        self._vhosts = vhosts
        self._found: dict[Any, Any] = {}

    @property
    def broker(self) -> Broker:
        """The broker."""
        return self.services.broker

    @property
    def turns(self) -> Turns:
        """The turns of the API."""
        return self.services.turns

    @property
    def is_aggregated(self) -> bool:
        """Whether the page has sums instead of single objects."""
        return self.page == AGGREGATED

    async def once(self, find: Callable[[Scrape], Awaitable[T]]) -> T:
        """The result of find(), computed once for all metrics of this scrape."""
        if find not in self._found:
            self._found[find] = await find(self)
        found: T = self._found[find]
        return found

    def vhosts(self) -> list[VirtualHost]:
        """The virtual hosts of this scrape."""
        return [vhost for vhost in self.broker.vhosts.values() if not self._vhosts or vhost.name in self._vhosts]

    def connections(self) -> list[Connection]:
        """The AMQP connections to its virtual hosts."""
        return [
            client
            for client in self.broker.connections.values()
            if isinstance(client, Connection)
            and client.state >= RUNNING
            and (not self._vhosts or client.vhost.name in self._vhosts)
        ]
