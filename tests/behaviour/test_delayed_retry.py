"""Messages that come back and have to wait: x-delayed-retry-type, x-delayed-retry-min, x-delayed-retry-max."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.methods import QueuePurge
from tests.clients.methods_basic import BasicDeliver, BasicGet, BasicGetEmpty, BasicGetOk, BasicReject
from tests.clients.peer import Channel
from tests.marks import differs_from_rabbitmq

from .conftest import Names
from .test_delivery_limit import by_closing, by_nack, by_recover, by_reject, counts, get

LONG_MS = 600_000
SHORT_MS = 200
PAUSE_S = 0.2
only_here = differs_from_rabbitmq("RabbitMQ has delayed retries for quorum queues only")
TYPES = pytest.mark.parametrize("type_", ["quorum", pytest.param("classic", marks=only_here)])


def declare(channel: Channel, names: Names, type_: str, which: str = "all", least: int = LONG_MS, **more: Any) -> str:
    """Declare a queue whose messages wait when they come back."""
    delays = {"x_delayed_retry_type": which, "x_delayed_retry_min": least}
    return channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type=type_, **delays, **more)


def published(channel: Channel, queue: str, *bodies: bytes) -> None:
    """Publish, and wait until all are ready."""
    before = channel.ready(queue)
    channel.publish(queue, *bodies)
    channel.expect_ready(queue, before + len(bodies))


@TYPES
@pytest.mark.parametrize(
    ("give_back", "is_failure"), [(by_reject, True), (by_closing, True), (by_nack, False), (by_recover, False)]
)
@pytest.mark.parametrize("which", ["all", "failed", "returned", "disabled"])
def test_which_returns_have_to_wait(
    channel: Channel,
    names: Names,
    type_: str,
    which: str,
    give_back: Callable[[Channel, BasicGetOk], None],
    is_failure: bool,
) -> None:
    queue = declare(channel, names, type_, which)
    published(channel, queue, b"x")
    give_back(channel, get(channel, queue))
    if which == "all" or which == ("failed" if is_failure else "returned"):
        channel.pause(PAUSE_S)
        assert channel.ready(queue) == 0
        channel.send(BasicGet(queue=queue))
        channel.expect(BasicGetEmpty)
    else:
        assert get(channel, queue).redelivered


@TYPES
def test_it_comes_back(channel: Channel, names: Names, type_: str) -> None:
    queue = declare(channel, names, type_, least=SHORT_MS)
    published(channel, queue, b"x")
    for _ in range(3):
        by_nack(channel, get(channel, queue))
    assert get(channel, queue).redelivered


@TYPES
def test_a_consumer_gets_it_again(channel: Channel, names: Names, type_: str) -> None:
    queue = declare(channel, names, type_, "failed", SHORT_MS)
    channel.consume(queue)
    channel.publish(queue, b"x")
    for redelivered in (False, True, True):
        delivery = channel.expect(BasicDeliver)
        assert (delivery.redelivered, delivery.body) == (redelivered, b"x")
        channel.send(BasicReject(delivery_tag=delivery.delivery_tag, requeue=True))
    channel.expect(BasicDeliver)


def test_counts_go_on(channel: Channel, names: Names) -> None:
    queue = declare(channel, names, "quorum", least=1)
    published(channel, queue, b"x")
    for give_back in (by_reject, by_nack, by_reject):
        give_back(channel, get(channel, queue))
    assert counts(get(channel, queue)) == (2, 3)


@TYPES
def test_the_delivery_limit_ends_it(channel: Channel, names: Names, dead: str, type_: str) -> None:
    to_dead = {"x_dead_letter_exchange": "", "x_dead_letter_routing_key": dead}
    queue = declare(channel, names, type_, least=1, x_delivery_limit=1, **to_dead)
    published(channel, queue, b"x")
    for _ in range(2):
        by_reject(channel, get(channel, queue))
    channel.expect_ready(dead, 1)


@TYPES
def test_what_waits_is_purged_and_counted(channel: Channel, names: Names, type_: str) -> None:
    queue = declare(channel, names, type_)
    published(channel, queue, b"a", b"b")
    by_reject(channel, channel.get(queue))
    channel.pause(PAUSE_S)
    assert channel.ready(queue) == 1
    assert channel.call(QueuePurge(queue=queue)).message_count == 2


@TYPES
def test_what_waits_counts_for_the_length(channel: Channel, names: Names, type_: str) -> None:
    queue = declare(channel, names, type_, x_max_length=2)
    published(channel, queue, b"a")
    by_reject(channel, channel.get(queue))
    channel.pause(PAUSE_S)
    channel.publish(queue, b"b", b"c")
    channel.pause(PAUSE_S)
    assert channel.bodies(queue) == [b"c"]
    assert channel.call(QueuePurge(queue=queue)).message_count == 1


@pytest.mark.parametrize("least", [None, 0, -5, "100"])
def test_without_a_delay_nothing_waits(channel: Channel, names: Names, least: object) -> None:
    arguments = {} if least is None else {"x_delayed_retry_min": least}
    arguments |= {"x_delayed_retry_type": "all", "x_delayed_retry_max": LONG_MS}
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum", **arguments)
    published(channel, queue, b"x")
    by_reject(channel, get(channel, queue))
    assert get(channel, queue).redelivered


@pytest.mark.parametrize("kind", ["other", 5, True])
def test_a_type_that_is_none_is_taken_and_nothing_waits(channel: Channel, names: Names, kind: object) -> None:
    arguments = {"x_delayed_retry_type": kind, "x_delayed_retry_min": LONG_MS}
    queue = channel.queue(names.queue(), exclusive=False, durable=True, x_queue_type="quorum", **arguments)
    published(channel, queue, b"x")
    by_reject(channel, get(channel, queue))
    assert get(channel, queue).redelivered
