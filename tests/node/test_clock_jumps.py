"""The time of day of a broker process is set forward and back by hours, while it runs and while it does not."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.process import Server
from tests.clients.method import Method
from tests.clients.methods import ExchangeDeclare, QueueBind, QueueDeclare
from tests.clients.methods_basic import BasicAck
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import eventually
from tests.node.movable import MovableTime

HOURS_S = 5 * 3600
TTL_S = 120  # more than a busy machine takes for all that has to happen before
STEP_S = 6  # after which the broker has looked at the clock, and does not find its client silent

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


class Node:
    """A broker on a data directory, with a clock that can be set, and time that passes when the test says so."""

    def __init__(self, directory: Path) -> None:
        self._data = directory / "data"
        self._time = MovableTime(directory)
        self._server: Server | None = None
        self.set = self._time.set

    def let_pass(self, channel: Channel, seconds: int) -> None:
        """Let so much time pass, and show signs of life: a leap must not look like silence, nor silence like a leap."""
        for _ in range(0, seconds, STEP_S):
            self._time.let_pass(STEP_S)
            channel.ready("q")

    def start(self) -> Channel:
        """Start the broker. Returns: a channel."""
        options = ("--log-level", "error", "--data-dir", str(self._data))
        self._server = Server.start(*options, env=self._time.environment)
        return Peer((self._server.host, self._server.port)).login(heartbeat=10).channel()

    def stop(self) -> None:
        """End the broker."""
        if self._server is not None:
            assert self._server.stop() == 0
            self._server = None


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node that is stopped at the end."""
    node = Node(tmp_path)
    yield node
    node.stop()


def declare(channel: Channel) -> None:
    """Queues and exchanges that have to do with time."""
    methods: list[Method] = [
        QueueDeclare(queue="q", durable=True, arguments={"x-message-ttl": 1000 * TTL_S}),
        QueueDeclare(queue="idle", durable=True, arguments={"x-expires": 1000 * TTL_S}),
        QueueDeclare(queue="due", durable=True),
        ExchangeDeclare(
            exchange="later", type="x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"}
        ),
        QueueBind(queue="due", exchange="later"),
    ]
    for method in methods:
        channel.send(method)
        channel.next()
    channel.confirm()


def use(channel: Channel) -> None:
    """A message that expires and one that comes after TTL_S."""
    channel.publish("q", b"a", delivery_mode=2)
    channel.publish("", b"b", exchange="later", delivery_mode=2, headers={"x-delay": 1000 * TTL_S})
    last = 0
    while last < 2:
        last = channel.expect(BasicAck).delivery_tag


def counts(channel: Channel) -> tuple[int, int]:
    """Messages that have not expired, and those that came."""
    return channel.ready("q"), channel.ready("due")


@pytest.mark.parametrize("leap_s", [HOURS_S, -HOURS_S])
def test_leaps_of_a_running_broker(node: Node, leap_s: int) -> None:
    channel = node.start()
    declare(channel)
    use(channel)
    node.set(leap_s)
    node.let_pass(channel, STEP_S)
    assert counts(channel) == (1, 0)
    node.set(-leap_s)
    node.let_pass(channel, STEP_S)
    assert counts(channel) == (1, 0)
    use(channel)
    node.stop()
    channel = node.start()
    assert counts(channel) == (2, 0)
    node.let_pass(channel, TTL_S + 10 * STEP_S)  # behind the earlier run, the time between is not known
    assert counts(channel) == (0, 2)
    assert [message.body for message in channel.drain("due")] == [b"b", b"b"]


@pytest.mark.parametrize("leap_s", [HOURS_S, -HOURS_S])
def test_leaps_between_two_runs(node: Node, leap_s: int) -> None:
    channel = node.start()
    declare(channel)
    use(channel)
    node.stop()
    node.set(leap_s)
    channel = node.start()
    if leap_s > 0:
        eventually(lambda: counts(channel) == (0, 1))
    else:
        assert counts(channel) == (1, 0)
        node.let_pass(channel, TTL_S + 5 * STEP_S)
        assert counts(channel) == (0, 1)
    assert channel.bodies("due") == [b"b"]
