"""Audit: what is at the target in the end, held against what was confirmed to publishers at the source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from leveret.node.amqp import AmqpClient
from leveret.node.migration.letter import AGAIN
from leveret.wire.methods import (
    BasicAck,
    BasicCancel,
    BasicCancelOk,
    BasicConsume,
    BasicConsumeOk,
    BasicDeliver,
    BasicQos,
    BasicQosOk,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.migration.load import Line, Publisher, number_of, properties_of

PREFETCH = 500
QUIET_S = 3.0  # without a message, where there should be one
SOON_S = 0.3  # where there should be none
SHOWN = 5


@dataclass
class Found:
    """A queue at the target. numbers: in order. marked: at which places there is one that may be there twice."""

    numbers: list[int] = field(default_factory=list)
    marked: set[int] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)


@dataclass
class Verdict:
    """What came of a migration, by kinds of what is counted; wrong: what must not be."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def drain(client: AmqpClient, line: Line) -> Found:
    """All messages of a queue, which are taken."""
    found = Found()
    left = client.call(QueueDeclare(line.name, passive=True), QueueDeclareOk).message_count
    client.call(BasicQos(0, PREFETCH), BasicQosOk)
    client.call(BasicConsume(line.name, "audit"), BasicConsumeOk)
    while True:
        is_complete = len(found.numbers) >= left
        got = client.next(SOON_S if is_complete else QUIET_S)
        if got is None:
            if is_complete:
                break
            left = len(found.numbers)
            continue
        method = got.method
        if not isinstance(method, BasicDeliver):
            continue
        number = number_of(got.body)
        properties = got.properties
        if properties.headers is not None and properties.headers.pop(AGAIN, None) is not None:
            found.marked.add(len(found.numbers))
            properties.headers = properties.headers or None
        expected = properties_of(line, number)
        if properties.encode() != expected.encode() and not _same(properties.headers, expected.headers):
            found.wrong.append(f"the properties of {number} in {line.name} have changed")
        if method.routing_key != line.key(number):
            found.wrong.append(f"the key of {number} in {line.name} is {method.routing_key}")
        found.numbers.append(number)
        if len(found.numbers) % 100 == 0:
            client.send(BasicAck(method.delivery_tag, True))
    client.send(BasicAck(0, True))
    client.call(BasicCancel("audit"), BasicCancelOk)
    return found


def _same(one: object, other: object) -> bool:
    """Headers, whatever types of numbers they have: a RabbitMQ writes them anew."""
    assert one is None or isinstance(one, dict)
    assert other is None or isinstance(other, dict)
    return {key: field.value for key, field in (one or {}).items()} == {
        key: field.value for key, field in (other or {}).items()
    }


def judge(line: Line, publisher: Publisher, found: Found) -> Verdict:
    """One queue."""
    verdict = Verdict()
    counts = Counter(found.numbers)
    lost = publisher.confirmed - counts.keys()
    doubled = {number: count - 1 for number, count in counts.items() if count > 1}
    unmarked = Counter(number for at, number in enumerate(found.numbers) if at not in found.marked)
    secretly = [number for number, count in unmarked.items() if count > 1]
    if lost:
        verdict.wrong.append(f"{line.name}: {len(lost)} lost: {sorted(lost)[:SHOWN]}")
    if secretly:
        verdict.wrong.append(f"{line.name}: {len(secretly)} doubled and not marked: {sorted(secretly)[:SHOWN]}")
    verdict.wrong += found.wrong[:SHOWN]
    verdict.counts.update(
        confirmed=len(publisher.confirmed),
        found=len(found.numbers),
        lost=len(lost),
        doubled=sum(doubled.values()),
        marked=len(found.marked),
        disordered=_disordered(line, found.numbers),
    )
    return verdict


def _disordered(line: Line, numbers: list[int]) -> int:
    """Messages that come for the first time behind one that was published later, with the same priority."""
    seen: set[int] = set()
    highest: Counter[int] = Counter()
    count = 0
    for number in numbers:
        if number in seen:
            continue
        seen.add(number)
        priority = line.priority(number)
        if number < highest[priority]:
            count += 1
        highest[priority] = max(highest[priority], number)
    return count


def total(verdicts: Mapping[str, Verdict]) -> Verdict:
    """All queues."""
    found = Verdict()
    for verdict in verdicts.values():
        found.counts += verdict.counts
        found.wrong += verdict.wrong
    return found
