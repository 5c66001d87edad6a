"""Surroundings: what the queues and exchanges of all virtual hosts share, and need of their broker."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from leveret.core.counting.churn import Churn
from leveret.core.definition.aside import Aside
from leveret.core.definition.log import DefinitionKeeper, Journal
from leveret.core.message.budget import Budget, Holder
from leveret.core.message.log import Logged, MessageLog
from leveret.core.message.refused import RefusedPublishes
from leveret.core.policy.matching import Matcher
from leveret.core.queue.client import Client, Observer
from leveret.core.queue.dead_letter import Worklist
from leveret.core.turn.clock import Clock, Dated
from leveret.core.turn.turn import Turn

if TYPE_CHECKING:
    from leveret.core.queue.base import BaseQueue
    from leveret.core.queue.entry import Home


class Surroundings(Turn, DefinitionKeeper):
    """Of one broker.

    log: where messages rest. budget: for messages that wait in memory. holders: of messages, beside queues and clients.
    dated: what waits for a time of day.
    refusals: how often a queue did not take a message that was put into it. refused: the last publishes that came
    nowhere. churn: what has begun and ended.
    logged: what has messages in the log, by its id there. dirty: queues that may have something to deliver.
    worklist: dead letters.
    connections: those whose socket is open, by number.
    journals: all that survive a restart; unsaved: those that have something to write.
    aside: definitions that cannot be used. matcher: of all patterns.
    """

    def __init__(self, log: MessageLog, clock: Clock) -> None:
        super().__init__(clock)
        self.log = log
        self.budget = Budget()
        self.refusals = 0
        self.refused = RefusedPublishes(clock)
        self.churn = Churn()
        self.observer: Observer | None = None
        self.holders: dict[Holder, None] = {}
        self.dated: dict[Dated, None] = {}
        self.logged: dict[int, Logged] = {}
        self.dirty: list[BaseQueue] = []
        self.connections: dict[int, Client] = {}
        self.journals: list[Journal] = []
        self.unsaved: list[Journal] = []
        self.aside = Aside()
        self.matcher = Matcher(self.explain)
        self.worklist = Worklist(self)
        self.holders[self.worklist] = None

    def clients(self, vhost: Home) -> list[Client]:
        """The connections to a virtual host. Cost: a look at all there are."""
        return [each for each in self.connections.values() if each.belongs_to(None, vhost)]

    @abstractmethod
    def is_short(self) -> bool:
        """Whether too much is in memory, or waits to be written."""

    @abstractmethod
    def keep(self, kind: str, key: str, value: bytes) -> int:
        """Make something durable for which no reply waits. Returns: the revision with which it is."""

    @abstractmethod
    def unkeep(self, kind: str, key: str) -> None:
        """Forget what keep() was given."""

    @abstractmethod
    def new_id(self) -> int:
        """An id for a queue that no other queue of any node has."""

    @abstractmethod
    def random_name(self) -> str:
        """22 characters, as RabbitMQ appends to names it makes up: who knows one may send replies to it."""

    @abstractmethod
    def chance(self, count: int) -> int:
        """A number below count, by chance."""

    @abstractmethod
    def vhosts_with(self, kind: str, name: str) -> list[str]:
        """Names of the virtual hosts that have a queue or an exchange of this name. kind: queue or exchange."""

    @abstractmethod
    def cleared(self, vhost: Home) -> None:
        """Nothing is left of a virtual host that was deleted, or nothing that can be deleted in this run."""

    @abstractmethod
    def forget_permissions(self, vhost: str, exchange: str) -> None:
        """An exchange is deleted: the next one of its name begins without restrictions of routing keys."""
