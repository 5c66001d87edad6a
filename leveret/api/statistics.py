"""Statistics in answers: current numbers, each with its rate and, if requested, its samples."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from msgspec import UNSET, UnsetType

from leveret.api.history import Numbers, Series, Values
from leveret.api.query import Query, Span


class Sample(msgspec.Struct):
    """A number at a time. timestamp: milliseconds since 1970."""

    sample: int
    timestamp: int


class Details(msgspec.Struct, frozen=True):
    """rate: growth of a number per second. The other fields are present only if samples are requested."""

    rate: float
    samples: list[Sample] | UnsetType = UNSET
    avg_rate: float | UnsetType = UNSET
    avg: float | UnsetType = UNSET


Statistics = dict[str, int | Details]
"""NAME and NAME_details for each number."""
NO_DETAILS = Details(0.0)


def details(series: Numbers | None, name: str, span: Span | None) -> Details:
    """Rate and samples of a number. Source: rabbit_mgmt_stats.erl."""
    if series is None:
        return NO_DETAILS if span is None else Details(0.0, [], 0.0, 0.0)
    rate = series.rate(name)
    if span is None:
        return Details(rate) if rate else NO_DETAILS
    samples = [Sample(value, at_ms) for at_ms, value in series.samples(name, span)]
    if not samples:
        return Details(rate, [], 0.0, 0.0)
    last, first = samples[0], samples[-1]
    spent_s = (last.timestamp - first.timestamp) / 1000
    average = sum(each.sample for each in samples) / len(samples)
    return Details(rate, samples, (last.sample - first.sample) / spent_s if spent_s else 0.0, average)


def with_details(
    names: Iterable[str], places: dict[str, int], values: Values, series: Numbers | None, span: Span | None
) -> Statistics:
    """NAME and NAME_details for each of these names. places: positions of names in values."""
    found: Statistics = {}
    for name in names:
        found[name] = values[places[name]]
        found[f"{name}_details"] = details(series, name, span)
    return found


def idle_since(series: Series | None) -> str | UnsetType:
    """The time of the last change; UNSET if the numbers changed in the last sample."""
    if series is None or series.is_moving:
        return UNSET
    return stamp(series.changed_ms)


def stamp(at_ms: int) -> str:
    """A time as RabbitMQ writes it."""
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")


def spans(query: Query) -> dict[str, Span | None]:
    """The requested ranges of samples, by kind."""
    return {kind: query.span(kind) for kind in ("lengths", "msg_rates", "data_rates", "node_stats")}
