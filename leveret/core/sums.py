"""Sums: total counters of exchanges and virtual hosts. Other objects have their own total().

Cost: visits each connection of the virtual host, and the routes that it has used since the last call.
"""

from __future__ import annotations

from leveret.core.counting.counters import ExchangeCounters, VirtualHostCounters
from leveret.core.exchange.exchange import Exchange
from leveret.core.vhost import VirtualHost


def of_exchange(exchange: Exchange) -> ExchangeCounters:
    """The counters of an exchange. Brings its outflows up to date too."""
    for client in exchange.vhost.broker.clients(exchange.vhost):
        client.count_routes()
    return exchange.counters.total()


def of_vhost(vhost: VirtualHost) -> VirtualHostCounters:
    """The counters of all exchanges, queues and connections of a virtual host, including those that are gone."""
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
