"""Clearing: what was in a virtual host goes after it, in pieces."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from leveret.core.chores import Chore

if TYPE_CHECKING:
    from leveret.core.vhost import VirtualHost

AT_ONCE: Final = 20  # queues


class Clearing(Chore):
    """A virtual host that is deleted, while something is left in it."""

    def __init__(self, vhost: VirtualHost) -> None:
        self._vhost = vhost

    def work(self) -> bool:
        """Delete some of it."""
        vhost = self._vhost
        for queue in list(islice(vhost.queues.values(), AT_ONCE)):
            vhost.remove_queue(queue)
        if vhost.queues:
            return False
        for exchange in list(vhost.exchanges.values()):
            if exchange.name in vhost.exchanges:
                vhost.remove_exchange(exchange)
        vhost.broker.cleared(vhost)
        return True
