"""Clearing: delete the content of a deleted virtual host, in pieces.

Until all of it is deleted, the DefinitionLog marks the virtual host as leaving, so that a broker that stops meanwhile
continues at its next start.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

from leveret.core.turn.background import BackgroundJob

if TYPE_CHECKING:
    from leveret.core.vhost import VirtualHost

AT_ONCE: Final = 20  # queues


class Clearing(BackgroundJob):
    """A deleted virtual host that still has content. is_done: it is empty.

    is_replayed: another node deletes the content for good; here it only goes out of effect.
    """

    def __init__(self, vhost: VirtualHost, is_done: bool = False, is_replayed: bool = False) -> None:
        self.vhost = vhost
        self.is_done = is_done
        self.is_replayed = is_replayed

    def work(self) -> bool:
        """Delete some queues, then some exchanges. Returns: whether none are left."""
        if self.is_done:
            return True
        if not self.is_replayed:
            return self._work()
        replay = self.vhost.broker.replay
        replay.begin()
        try:
            return self._work()
        finally:
            replay.end()

    def _work(self) -> bool:
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
        """Report that something could not be deleted."""
        self.vhost.broker.faults.own("delete the content of a deleted virtual host", error)

    def give_up(self) -> None:
        """Leave the rest to the next start."""
        self.is_done = True
        self.vhost.broker.cleared(self.vhost)
