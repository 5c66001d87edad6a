"""Sums: what exchanges and virtual hosts have done in all, for who reads that. The rest says it by itself, as total().

Cost: a look at each connection of the virtual host, and at the routes that it has used since the last look.
"""

from __future__ import annotations

from leveret.core.counting.counters import ExchangeCounters, VirtualHostCounters
from leveret.core.exchange.exchange import Exchange
from leveret.core.vhost import VirtualHost


def of_exchange(exchange: Exchange) -> ExchangeCounters:
    """All that an exchange has done. Its outflows are up to date then too."""
    for client in exchange.vhost.broker.clients(exchange.vhost):
        client.count_routes()
    return exchange.counters.total()


def of_vhost(vhost: VirtualHost) -> VirtualHostCounters:
    """All that the exchanges, queues and connections of a virtual host have done, those that are gone included."""
    past = vhost.past
    found = VirtualHostCounters()
    found.connections.add_connection(past.connections)
    for client in vhost.broker.clients(vhost):
        client.count_routes()
        found.connections.add_connection(client.total())
    found.exchanges.add(past.exchanges.total())
    for exchange in vhost.exchanges.values():
        found.exchanges.add(exchange.counters.total())
    found.queues.add(past.queues)
    for queue in vhost.queues.values():
        found.queues.add(queue.total())
    return found
