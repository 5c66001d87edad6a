"""Ownership: which durable queues a node has, if several nodes share a database."""

from __future__ import annotations

from abc import abstractmethod

from mypy_extensions import mypyc_attr, trait

from leveret.core.counting.shards import ShardCounters


@mypyc_attr(allow_interpreted_subclasses=True)
class Ownership:
    """Says which ids in the MessageLog belong to this node: without other nodes, all of them.

    counters: None without other nodes.
    """

    def __init__(self, counters: ShardCounters | None = None) -> None:
        self.counters = counters

    def owns(self, queue_id: int) -> bool:
        """Whether this node has the messages of this queue, and may serve it."""
        return True

    def home(self, queue_id: int) -> str:
        """The name of the node that has a queue which this node does not own; empty if it is unknown."""
        return ""


@trait
class Renewing:
    """Loads the messages of a lost queue that this node owns again."""

    @abstractmethod
    def on_fetched(self) -> None:
        """Messages that it waited for have arrived."""
