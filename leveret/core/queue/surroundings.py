"""Surroundings: the context of the broker that the queues and exchanges of all virtual hosts share."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from leveret.core.counting.churn import Churn
from leveret.core.definition.aside import Aside
from leveret.core.definition.log import DefinitionKeeper, Journal
from leveret.core.definition.sharing import Replay
from leveret.core.message.budget import Budget, Holder
from leveret.core.message.log import Logged, MessageLog
from leveret.core.message.refused import RefusedPublishes
from leveret.core.policy.matching import Matcher
from leveret.core.queue.client import Client, Observer
from leveret.core.queue.dead_letter import Worklist
from leveret.core.queue.ownership import Ownership, Renewing
from leveret.core.turn.clock import Clock, Dated
from leveret.core.turn.turn import Turn

if TYPE_CHECKING:
    from leveret.core.queue.base import BaseQueue
    from leveret.core.queue.entry import Home


class Surroundings(Turn, DefinitionKeeper):
    """The surroundings of one broker.

    log: the message log. budget: for messages in memory. holders: of messages, besides queues and clients.
    dated: objects that wait for a time of day.
    refusals: how often a queue did not take a message. refused: the last refused publishes. churn: counts of begun and
    ended objects.
    logged: objects with messages in the log, by their id there. dirty: queues that may have something to deliver.
    worklist: dead letters.
    connections: those with an open socket, by number.
    journals: all that survive a restart; unsaved: those with unwritten changes.
    is_suspended: nothing may be taken from durable queues now; see Broker.suspend().
    aside: definitions that cannot be used. matcher: for all patterns.
    replay: whether a change of another node takes effect now. ownership: what belongs to this node.
    renewals: of queues that this node has got from another one and whose messages are being loaded, by id.
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
        self.is_suspended = False
        self.aside = Aside()
        self.replay = Replay()
        self.ownership = Ownership()
        self.renewals: dict[int, Renewing] = {}
        self.matcher = Matcher(self.explain)
        self.worklist = Worklist(self)
        self.holders[self.worklist] = None

    def clients(self, vhost: Home) -> list[Client]:
        """The connections to a virtual host. Cost: a pass over all connections."""
        return [each for each in self.connections.values() if each.belongs_to(None, vhost)]

    @abstractmethod
    def is_short(self) -> bool:
        """Whether too much is in memory, or waits to be written."""

    @abstractmethod
    def keep(self, kind: str, key: str, value: bytes) -> int:
        """Store a definition for which no reply waits. Returns: the revision with which it is durable."""

    @abstractmethod
    def unkeep(self, kind: str, key: str) -> None:
        """Remove a definition stored by keep()."""

    @abstractmethod
    def new_id(self) -> int:
        """A queue id that is unique across all nodes; this node owns it, if it owns any."""

    @abstractmethod
    def renewed(self, queue: BaseQueue) -> None:
        """A lost queue has been renewed."""

    @abstractmethod
    def random_name(self) -> str:
        """22 characters, as RabbitMQ appends to generated names. Secret: a client that knows it may send replies."""

    @abstractmethod
    def chance(self, count: int) -> int:
        """A random number below count."""

    @abstractmethod
    def vhosts_with(self, kind: str, name: str) -> list[str]:
        """Names of the virtual hosts that have a queue or an exchange of this name. kind: queue or exchange."""

    @abstractmethod
    def cleared(self, vhost: Home) -> None:
        """All of a deleted virtual host is removed, or all that can be removed in this run."""

    @abstractmethod
    def forget_permissions(self, vhost: str, exchange: str) -> None:
        """An exchange is deleted: remove its topic permissions, so that a new one with its name has none."""
