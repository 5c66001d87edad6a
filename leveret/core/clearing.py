"""Clearing: what was in a virtual host goes after it, in pieces.

Until it is all gone, the DefinitionLog says that the virtual host is leaving, so a broker that ends meanwhile goes on
with it at its next start.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from leveret.core.turn.background import BackgroundJob

if TYPE_CHECKING:
    from leveret.core.vhost import VirtualHost

AT_ONCE: Final = 20  # queues


class Clearing(BackgroundJob):
    """A virtual host that is deleted, while something is left in it. is_done: nothing is."""

    def __init__(self, vhost: VirtualHost, is_done: bool = False) -> None:
        self.vhost = vhost
        self.is_done = is_done

    def work(self) -> bool:
        """Delete some of it."""
        if self.is_done:
            return True
        vhost = self.vhost
        failure: Exception | None = None
        for queue in list(islice(vhost.queues.values(), AT_ONCE)):
            try:
                vhost.remove_queue(queue)
            except Exception as error:
                failure = error
        if failure is None and vhost.queues:
            return False
        for exchange in list(islice(vhost.exchanges.values(), AT_ONCE)):
            if exchange.name in vhost.exchanges:
                try:
                    vhost.remove_exchange(exchange)
                except Exception as error:
                    failure = error
        if failure is not None:
            raise failure
        if vhost.exchanges:
            return False
        self.is_done = True
        vhost.broker.cleared(vhost)
        return True

    def fail(self, doing: str, error: Exception) -> None:
        """Something could not be deleted."""
        self.vhost.broker.faults.own("clear a virtual host that is deleted", error)

    def give_up(self) -> None:
        """What is left is tried again at the next start; nobody waits for that."""
        self.is_done = True
        self.vhost.broker.cleared(self.vhost)
