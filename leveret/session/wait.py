"""Wait: a chore of one client, behind which what else it has asked for waits."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from leveret.core.turn.background import Chore

if TYPE_CHECKING:
    from leveret.session.connection import Connection


class Wait(Chore):
    """A request that takes more than one piece."""

    def start(self, connection: Connection) -> None:
        """Do a piece of it now; if there is more, the connection waits for that."""
        if self not in connection.waits and not connection.broker.chores.begin(self):
            connection.waits.append(self)
            connection.stall()

    def end(self, connection: Connection) -> None:
        """The connection need not wait any longer."""
        if self in connection.waits:
            connection.waits.remove(self)
            connection.wake()

    @abstractmethod
    def finish(self) -> None:
        """Do what is left at once: the client is gone."""
