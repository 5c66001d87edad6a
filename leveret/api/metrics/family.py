"""Family: one metric, declared once: name, type, help, and how its value is read. Group: those of one kind of thing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from leveret.api.metrics.scrape import Scrape

GAUGE = "gauge"
COUNTER = "counter"
UNTYPED = "untyped"
HISTOGRAM = "histogram"
SUMMARY = "summary"
RABBITMQ = "rabbitmq_"
CLUSTER = "rabbitmq_cluster_"
LEVERET = "leveret_"
PROCESS = ""
RETURNED = (
    "Total number of messages published as mandatory into an exchange and returned to the publisher as unroutable"
)
DROPPED = "Total number of messages published as non-mandatory into an exchange and dropped as unroutable"

Number = int | float
Things = Sequence[Any]


@dataclass(frozen=True)
class Family:
    """One metric. name: without the prefix of its group. help: one line.

    read: the value of one thing, as view() of the group shows it; None where it has none. is_summed: whether the sum
    over all things means something.
    """

    name: str
    kind: str
    help: str
    read: Callable[[Any], Number | None]
    is_summed: bool = True


def same(thing: Any) -> Any:
    """The thing itself."""
    return thing


def no_labels(thing: Any) -> str:
    """What stands behind the name of a metric that there is once."""
    return ""


@dataclass(frozen=True)
class Group:
    """Metrics of one kind of thing. name: of RabbitMQ's table, or ours; /metrics/detailed is asked by it.

    things: all that a scrape covers. tail: what stands between the name of a metric and the value of one thing, mostly
    labels in braces. view: what the metrics read of a thing, made anew for each look. is_summed: whether /metrics shows
    """

    name: str
    things: Callable[[Scrape], Awaitable[Things]]
    families: tuple[Family, ...]
    tail: Callable[[Any], str] = no_labels
    view: Callable[[Any], Any] = same
    is_summed: bool = False
    prefix: str = RABBITMQ


@dataclass(frozen=True)
class Sample:
    """A value that is there already. tail: what stands behind the name of its metric."""

    tail: str
    value: Number


def sample_value(sample: Sample) -> Number:
    """For read of a Family."""
    return sample.value


def sample_tail(sample: Sample) -> str:
    """For tail of a Group."""
    return sample.tail


def samples_of(
    name: str,
    metric: str,
    kind: str,
    text: str,
    find: Callable[[Scrape], Awaitable[list[Sample]]],
    prefix: str = RABBITMQ,
) -> Group:
    """A group of one metric whose samples are found all at once. name: of the group."""
    return Group(name, find, (Family(metric, kind, text, sample_value),), sample_tail, prefix=prefix)
