"""Family: one metric with its name, type, help and the function that reads it. Group: metrics of one kind of object."""

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

    read: returns the value for the result of the group's view(); None for no value. is_summed: whether the sum over
    all objects is meaningful.
    """

    name: str
    kind: str
    help: str
    read: Callable[[Any], Number | None]
    is_summed: bool = True


def same(thing: Any) -> Any:
    """The object itself."""
    return thing


def no_labels(thing: Any) -> str:
    """No labels, for a metric with a single value."""
    return ""


@dataclass(frozen=True)
class Group:
    """Metrics of one kind of object. name: as in RabbitMQ or our own; the parameter `family` of /metrics/detailed.

    things: returns all objects of a scrape. tail: the text between the name of a metric and the value of one object,
    usually labels in braces. view: the input for read(), made anew for each sample. is_summed: whether /metrics shows
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
    """A value that is already known. tail: the text after the name of its metric."""

    tail: str
    value: Number


def sample_value(sample: Sample) -> Number:
    """The value of a sample, as Family.read."""
    return sample.value


def sample_tail(sample: Sample) -> str:
    """The tail of a sample, as Group.tail."""
    return sample.tail


def samples_of(
    name: str,
    metric: str,
    kind: str,
    text: str,
    find: Callable[[Scrape], Awaitable[list[Sample]]],
    prefix: str = RABBITMQ,
) -> Group:
    """A group with one metric, whose samples are collected all at once. name: of the group."""
    return Group(name, find, (Family(metric, kind, text, sample_value),), sample_tail, prefix=prefix)
