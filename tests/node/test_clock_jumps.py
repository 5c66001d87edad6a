"""The time of day of a broker process is set forward and back by hours, while it runs and while it does not."""

from __future__ import annotations

import shutil
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.behaviour.method import Method
from tests.behaviour.methods import ExchangeDeclare, QueueBind, QueueDeclare
from tests.behaviour.methods_basic import BasicAck
from tests.behaviour.peer import Channel, Peer
from tests.conftest import Server

HOURS_S = 5 * 3600
TTL_MS = 3000
SOURCE = Path(__file__).with_name("shift.c")

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


class Node:
    """A broker on a data directory, with a clock that can be set."""

    def __init__(self, directory: Path) -> None:
        library = directory / "shift.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-o", library, SOURCE, "-ldl"], check=True)
        self._shift = directory / "shift"
        self._data = directory / "data"
        self._environment = {"LD_PRELOAD": str(library), "LEVERET_SHIFT": str(self._shift)}
        self._server: Server | None = None
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set the clock so far ahead; of a process that runs, too."""
        if not self._shift.exists():
            self._shift.write_bytes(bytes(8))
        with self._shift.open("r+b") as file:
            file.write(struct.pack("=q", seconds))

    def start(self) -> Channel:
        """Start the broker. Returns: a channel."""
        options = ("--log-level", "error", "--data-dir", str(self._data))
        self._server = Server.start(*options, env=self._environment)
        return Peer((self._server.host, self._server.port)).login(heartbeat=1).channel()

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
        QueueDeclare(queue="q", durable=True, arguments={"x-message-ttl": TTL_MS}),
        QueueDeclare(queue="idle", durable=True, arguments={"x-expires": TTL_MS}),
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


def use(channel: Channel) -> float:
    """A message that expires and one that comes after TTL_MS. Returns: the moment after which that must be so."""
    channel.publish("q", b"a", delivery_mode=2)
    channel.publish("", b"b", exchange="later", delivery_mode=2, headers={"x-delay": TTL_MS})
    moment = time.monotonic() + TTL_MS / 1000
    last = 0
    while last < 2:
        last = channel.expect(BasicAck).delivery_tag
    return moment


def wait(channel: Channel, moment: float) -> None:
    """Until then, showing signs of life: a leap must not look like silence."""
    while (left := moment - time.monotonic()) > 0:
        channel.ready("q")
        time.sleep(min(left, 0.3))


def counts(channel: Channel) -> tuple[int, int]:
    """Messages that have not expired, and those that came."""
    return channel.ready("q"), channel.ready("due")


@pytest.mark.parametrize("leap_s", [HOURS_S, -HOURS_S])
def test_leaps_of_a_running_broker(node: Node, leap_s: int) -> None:
    channel = node.start()
    declare(channel)
    moment = use(channel)
    node.set(leap_s)
    wait(channel, time.monotonic() + 0.5)
    assert counts(channel) == (1, 0)
    node.set(-leap_s)
    wait(channel, time.monotonic() + 0.5)
    assert counts(channel) == (1, 0)
    second = use(channel)
    node.stop()
    channel = node.start()
    assert counts(channel) == (2, 0)
    assert time.monotonic() < moment, "this machine is too slow to tell"
    later_s = 0.0 if leap_s < 0 else second - moment + 2  # behind the earlier run, the time between is not known
    wait(channel, second + later_s + 0.5)
    assert counts(channel) == (0, 2)
    assert [message.body for message in channel.drain("due")] == [b"b", b"b"]


@pytest.mark.parametrize("leap_s", [HOURS_S, -HOURS_S])
def test_leaps_between_two_runs(node: Node, leap_s: int) -> None:
    channel = node.start()
    declare(channel)
    moment = use(channel)
    node.stop()
    node.set(leap_s)
    channel = node.start()
    if leap_s > 0:
        wait(channel, time.monotonic() + 0.3)
        assert counts(channel) == (0, 1)
    else:
        assert counts(channel) == (1, 0)
        wait(channel, moment + 2)
        assert counts(channel) == (0, 1)
    assert channel.bodies("due") == [b"b"]
