"""Disks that run full, fail, or may not be written: real processes on small file systems of their own."""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from leveret.node.monitors.memory import total_memory
from tests.brokers.process import Server
from tests.clients.command_line import process
from tests.clients.methods import ConnectionBlocked, ConnectionUnblocked, QueueDeclare, QueueDeclareOk, QueuePurge
from tests.clients.methods_basic import BasicAck, BasicDeliver, BasicNack
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import PATIENCE, eventually
from tests.node.conftest import DISK_MB

BODY = b"x" * 100_000
STARTED: list[Server] = []


@pytest.fixture(autouse=True)
def no_broker_stays() -> Iterator[None]:
    """Kill what a test that failed has left."""
    yield
    for server in STARTED:
        server.stop(signal.SIGKILL)
    STARTED.clear()


def start(disk: Path, *options: str) -> tuple[Server, Peer, Channel]:
    """A broker with its data there, and a publisher in confirm mode with a durable queue."""
    server = Server.start("--data-dir", str(disk / "data"), "--log-level", "error", *options)
    STARTED.append(server)
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.queue("q", exclusive=False, durable=True)
    channel.confirm()
    return server, peer, channel


class Publisher:
    """Publishes numbered messages until it is told to wait, and knows what became of each."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self.published = 0
        self.acked: set[int] = set()
        self.nacked: set[int] = set()

    def publish(self) -> bool:
        """Publish a message and wait for its fate. Returns: whether it is stored."""
        self.send()
        return self.settle()

    def send(self) -> None:
        """Publish a message."""
        self.published += 1
        self._channel.publish("q", b"%d " % self.published + BODY, delivery_mode=2)

    def fill(self, peer: Peer, most: int = 400) -> None:
        """Publish until the client is told that the disk is low; then the last message may be read in part only."""
        while True:
            self.send()
            assert self.published < most, "the disk must be full by now"
            while not self._is_settled(0.01):
                if is_blocked(peer, "low on disk"):
                    while self._is_settled(0.3):
                        pass
                    return

    def _is_settled(self, patience: float) -> bool:
        try:
            self.settle(patience)
        except TimeoutError:
            return False
        return True

    def settle_all(self) -> None:
        """Wait for the fate of what is open."""
        while len(self.acked) + len(self.nacked) < self.published:
            self.settle()

    def settle(self, patience: float = PATIENCE) -> bool:
        """Wait for the fate of a message. Returns: whether it is stored."""
        answer = self._channel.next(patience)
        assert isinstance(answer, BasicAck | BasicNack)
        if answer.multiple:
            done = set(range(1, answer.delivery_tag + 1)) - self.acked - self.nacked
        else:
            done = {answer.delivery_tag}
        is_stored = isinstance(answer, BasicAck)
        (self.acked if is_stored else self.nacked).update(done)
        return is_stored


def is_blocked(peer: Peer, reason: str) -> bool:
    """Whether the broker has said so, with this reason."""
    try:
        assert peer.expect(ConnectionBlocked, 0.001).reason == reason
    except TimeoutError:
        return False
    return True


def numbers(channel: Channel, queue: str = "q") -> list[int]:
    """The numbers of all messages in the queue, in order."""
    return [int(body.split()[0]) for body in channel.bodies(queue)]


def test_publishers_wait_before_the_disk_is_full(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={3 * DISK_MB}m", str(small_disk)], check=True)
    server, peer, channel = start(small_disk, "--disk-free-limit", str(2 * DISK_MB << 20))
    publisher = Publisher(channel)
    publisher.fill(peer)
    assert publisher.published > 10
    assert publisher.nacked == set()
    assert shutil.disk_usage(small_disk).free > 0
    publisher.send()
    channel.expect_silence(0.5)
    consumer = Peer((server.host, server.port)).login().channel()
    assert publisher.acked <= set(numbers(consumer))
    subprocess.run(["mount", "-o", f"remount,size={10 * DISK_MB}m", str(small_disk)], check=True)
    peer.expect(ConnectionUnblocked)
    publisher.settle_all()
    assert publisher.nacked == set()
    assert server.stop() == 0


@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_full_disk_loses_nothing_confirmed(small_disk: Path, is_killed: bool) -> None:
    server, peer, channel = start(small_disk, "--disk-free-limit", "0")
    publisher = Publisher(channel)
    publisher.fill(peer)
    assert publisher.nacked
    if is_killed:
        server.stop(signal.SIGKILL)
    else:
        assert server.stop() == 0
    subprocess.run(["mount", "-o", f"remount,size={10 * DISK_MB}m", str(small_disk)], check=True)
    server, _, channel = start(small_disk, "--disk-free-limit", "0")
    found = numbers(channel)
    assert publisher.acked <= set(found)
    assert found == sorted(found)
    assert server.stop() == 0


def test_all_goes_on_when_there_is_space_again(small_disk: Path) -> None:
    server, peer, channel = start(small_disk, "--disk-free-limit", "0")
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        file.write(bytes(shutil.disk_usage(small_disk).free - (2 << 20)))
    publisher = Publisher(channel)
    publisher.fill(peer)
    assert publisher.nacked
    other = Peer((server.host, server.port)).login().channel()
    arguments = {"x-dead-letter-exchange": "x" * 250}
    for number in range(200):  # until one of them does not fit either
        other.send(QueueDeclare(queue=f"durable{number}", durable=True, arguments=arguments))
    answers = list(other.arriving(QueueDeclareOk, 1.0))
    waiting = publisher.published + 1
    publisher.send()
    channel.expect_silence(1.5)
    ballast.unlink()
    peer.expect(ConnectionUnblocked)
    while len(answers) < 200:  # what waited for the disk
        answers.append(other.expect(QueueDeclareOk))
    publisher.settle_all()
    assert waiting in publisher.acked
    assert publisher.publish()
    assert publisher.acked <= set(numbers(channel))
    assert server.stop() == 0


def test_consumers_can_empty_a_full_disk(small_disk: Path) -> None:
    subprocess.run(["mount", "-o", f"remount,size={4 * DISK_MB}m", str(small_disk)], check=True)
    server, peer, channel = start(small_disk, "--disk-free-limit", "0")
    publisher = Publisher(channel)
    publisher.fill(peer, 2000)
    assert publisher.nacked
    consumer = Peer((server.host, server.port)).login().channel()
    consumer.consume("q")
    for _ in range(len(publisher.acked) + len(publisher.nacked)):
        consumer.send(BasicAck(delivery_tag=consumer.expect(BasicDeliver).delivery_tag))
    peer.expect(ConnectionUnblocked)
    eventually(lambda: shutil.disk_usage(small_disk).free > 2 * DISK_MB << 20, 10)
    publisher.settle_all()
    server.stop(signal.SIGKILL)
    server, _, channel = start(small_disk, "--disk-free-limit", "0")
    assert not set(numbers(channel)) & publisher.acked - {publisher.published}
    assert server.stop() == 0


def test_the_reserve_lets_a_broker_start_on_a_full_disk(small_disk: Path) -> None:
    server, _, channel = start(small_disk)
    channel.confirmed("q", b"1", delivery_mode=2)
    server.stop(signal.SIGKILL)
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free))
    server = Server.start("--data-dir", str(small_disk / "data"), "--log-level", "error")
    STARTED.append(server)
    assert numbers(Peer((server.host, server.port)).login().channel()) == [1]
    assert server.stop() == 0


def test_writes_that_fail_raise_the_alarm_until_they_work(tmp_path: Path) -> None:
    server, peer, channel = start(tmp_path)
    pid = server.process.pid
    publisher = Publisher(channel)
    assert publisher.publish()
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
    publisher.fill(peer)
    assert 2 in publisher.nacked
    other = Peer((server.host, server.port)).login().channel()
    other.send(QueueDeclare(queue="held", durable=True))
    other.expect_silence(2.5)  # it was tried again meanwhile
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    other.expect(QueueDeclareOk)
    peer.expect(ConnectionUnblocked)
    publisher.settle_all()
    assert publisher.publish()
    assert list((tmp_path / "data").glob("*probe*")) == []
    server.stop(signal.SIGKILL)
    server, _, channel = start(tmp_path)
    assert publisher.acked <= set(numbers(channel))
    channel.call(QueueDeclare(queue="held", passive=True))
    assert server.stop() == 0


def test_memory_blocks_publishers_and_what_is_freed_counts(tmp_path: Path) -> None:
    share = 150e6 / total_memory()
    server = Server.start("--memory", "--memory-high-watermark", f"{share:.6f}", "--log-level", "error")
    STARTED.append(server)
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.queue("q", exclusive=False)
    for _ in range(5000):
        channel.publish("q", *[b"x" * 1000] * 100)
        if is_blocked(peer, "low on memory"):
            break
    consumer = Peer((server.host, server.port)).login().channel()
    consumer.call(QueuePurge(queue="q"))
    peer.expect(ConnectionUnblocked)
    channel.confirm()
    channel.confirmed("q", b"after")
    assert server.stop() == 0


@pytest.mark.parametrize("is_new", [True, False], ids=["new", "existing"])
def test_a_read_only_disk_is_one_sentence(small_disk: Path, is_new: bool) -> None:
    if not is_new:
        server, _, _ = start(small_disk)
        assert server.stop() == 0
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = process("serve", "--port", "0", "--data-dir", str(small_disk / "data"))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert result.stderr.startswith(f"leveret: cannot use data directory {small_disk}/data: ")
    assert "read" in result.stderr.lower()


def test_a_full_disk_at_the_start_is_one_sentence(small_disk: Path) -> None:
    (small_disk / "ballast").write_bytes(bytes(shutil.disk_usage(small_disk).free - 8192))
    result = process("serve", "--port", "0", "--data-dir", str(small_disk / "data"))
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "free some space" in result.stderr


def test_settings_of_alarms_are_checked() -> None:
    for option, value in (("disk-free-limit", "-1"), ("memory-high-watermark", "1.5"), ("memory-high-watermark", "-1")):
        result = process("serve", "--port", "0", "--memory", f"--{option}", value)
        assert result.returncode == 2
        assert option in result.stderr
