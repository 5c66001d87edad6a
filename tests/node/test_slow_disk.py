"""A disk that takes its time, or takes nothing: what is not on it is not confirmed.

A few lines of C in front of the C library hold every sync of the broker back for as long as a file exists.
"""

from __future__ import annotations

import contextlib
import resource
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers.process import Server
from tests.clients.codec import Properties
from tests.clients.methods import (
    ConnectionBlocked,
    ConnectionUnblocked,
    QueueDeclare,
    QueueDeclareOk,
    TxCommit,
    TxCommitOk,
    TxSelect,
)
from tests.clients.methods_basic import BasicAck, BasicNack, BasicPublish
from tests.clients.peer import Channel, Peer

SHIM = r"""
#define _GNU_SOURCE
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_at_gate(void) {
    const char *gate = getenv("SLOW_DISK_GATE");
    while (gate && access(gate, F_OK) == 0) usleep(1000);
}
int fsync(int fd) { wait_at_gate(); return syscall(SYS_fsync, fd); }
int fdatasync(int fd) { wait_at_gate(); return syscall(SYS_fdatasync, fd); }
"""
COMPILER = shutil.which("cc") or shutil.which("gcc")
QUIET_S = 0.3
MANY_MB = 128


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that holds syncs back."""
    if COMPILER is None:
        pytest.skip("no C compiler")
    folder = tmp_path_factory.mktemp("shim")
    (folder / "shim.c").write_text(SHIM)
    subprocess.run([COMPILER, "-shared", "-fPIC", "-o", folder / "shim.so", folder / "shim.c"], check=True)
    return folder / "shim.so"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """While this file exists, no sync comes to its end."""
    return tmp_path / "gate"


@pytest.fixture
def peer(tmp_path: Path, shim: Path, gate: Path) -> Iterator[Peer]:
    """A client of a broker on the slow disk, with durable queues a and b behind exchanges of all kinds."""
    env = {"LD_PRELOAD": str(shim), "SLOW_DISK_GATE": str(gate)}
    server = Server.start("--data-dir", str(tmp_path / "data"), env=env)
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    for name in ("a", "b"):
        channel.queue(name, exclusive=False, durable=True)
        channel.bind(name, "amq.fanout")
        channel.bind(name, "amq.topic", f"{name}.#")
        channel.bind(name, "amq.headers", "", x_match="any", to=name)
    yield peer
    gate.unlink(missing_ok=True)
    peer.link.close()
    assert server.stop() == 0


def publish_all(channel: Channel) -> int:
    """Publish a persistent message every way there is to a durable queue. Returns: how many."""
    channel.publish("a", b"1", delivery_mode=2)
    channel.publish("a", b"2", delivery_mode=2, mandatory=True)
    channel.publish("a", b"3", delivery_mode=2, expiration="100000")
    channel.publish("", b"4", exchange="amq.fanout", delivery_mode=2)
    channel.publish("b.c.d", b"5", exchange="amq.topic", delivery_mode=2)
    channel.publish("", b"6", exchange="amq.headers", delivery_mode=2, headers={"to": "b"})
    channel.publish("nowhere", b"7", delivery_mode=2, headers={"CC": ["a", "b"]})
    return 7


def test_confirms_wait_for_the_disk(peer: Peer, gate: Path) -> None:
    channel, other = peer.channel(2), peer.channel(3)
    channel.confirm()
    other.confirm()
    gate.touch()
    count = publish_all(channel)
    channel.expect_silence(QUIET_S)
    channel.publish("a", b"not persistent")
    assert channel.expect(BasicAck) == BasicAck(delivery_tag=count + 1, multiple=False)
    other.publish("nowhere", b"", delivery_mode=2)
    other.expect(BasicAck)
    assert isinstance(other.declare(), QueueDeclareOk)
    channel.expect_silence(QUIET_S)
    gate.unlink()
    highest = 0
    while highest < count:
        ack = channel.expect(BasicAck)
        assert ack.multiple or ack.delivery_tag == highest + 1
        highest = ack.delivery_tag


def test_consumers_do_not_wait_and_confirms_do_not_follow_them(peer: Peer, gate: Path) -> None:
    channel, consuming = peer.channel(2), peer.channel(3)
    consuming.consume("a")
    channel.confirm()
    gate.touch()
    channel.publish("a", b"1", delivery_mode=2)
    assert consuming.next().body == b"1"  # type: ignore[attr-defined]
    channel.expect_silence(QUIET_S)
    gate.unlink()
    assert channel.expect(BasicAck).delivery_tag == 1


def test_commits_wait_for_the_disk(peer: Peer, gate: Path) -> None:
    channel = peer.channel(2)
    channel.call(TxSelect())
    gate.touch()
    publish_all(channel)
    channel.send(TxCommit())
    channel.expect_silence(QUIET_S)
    gate.unlink()
    channel.expect(TxCommitOk)


def test_declarations_wait_for_the_disk(peer: Peer, gate: Path) -> None:
    channel = peer.channel(2)
    gate.touch()
    channel.publish("a", b"", delivery_mode=2)
    with pytest.raises(TimeoutError):
        declare_durable(channel, QUIET_S)
    gate.unlink()
    channel.expect(QueueDeclareOk)


def declare_durable(channel: Channel, patience: float) -> None:
    """Declare a durable queue, and wait so long for the answer."""
    channel.send(QueueDeclare(queue="c", durable=True))
    channel.expect(QueueDeclareOk, patience)


def test_publishers_wait_when_too_much_waits_for_the_disk(peer: Peer, gate: Path) -> None:
    channel, other = peer.channel(2), Peer(peer.link.socket.getpeername()).login().channel()
    channel.confirm()
    publish = BasicPublish(exchange="", routing_key="a", body=bytes(1 << 20), properties=Properties(delivery_mode=2))
    data = memoryview(publish.frames(2, 131072) * MANY_MB)
    gate.touch()
    sent = 0
    peer.link.socket.settimeout(1.0)
    for _ in range(20):  # a broker that has no time for a second is not one that waits
        with contextlib.suppress(TimeoutError):
            while sent < len(data):
                sent += peer.link.socket.send(data[sent:])
        if sent > 64 << 20:
            break
    assert 64 << 20 < sent < 96 << 20
    peer.expect_silence(QUIET_S)
    channel.expect_silence(QUIET_S)
    assert isinstance(other.declare(), QueueDeclareOk)  # who does not publish does not wait
    gate.unlink()
    peer.link.send_bytes(bytes(data[sent:]))
    highest = 0
    while highest < MANY_MB:
        highest = channel.expect(BasicAck).delivery_tag
    assert channel.ready("a") == MANY_MB


def test_what_a_full_disk_does_not_take_is_refused(tmp_path: Path) -> None:
    server = Server.start("--data-dir", str(tmp_path / "data"), "--log-level", "error")
    pid = server.process.pid
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.queue("a", exclusive=False, durable=True)
    channel.confirm()
    channel.confirmed("a", b"before", delivery_mode=2)
    unlimited = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, unlimited[1]))
    channel.publish("a", b"x" * 100_000, delivery_mode=2)
    assert channel.expect(BasicNack).delivery_tag == 2
    channel.publish("a", b"x" * 100_000, delivery_mode=2)  # may be read in part only
    assert peer.expect(ConnectionBlocked).reason == "low on disk"
    resource.prlimit(pid, resource.RLIMIT_FSIZE, unlimited)
    peer.expect(ConnectionUnblocked)
    answer = channel.next()
    assert isinstance(answer, BasicAck | BasicNack)
    assert answer.delivery_tag == 3
    channel.confirmed("a", b"after", delivery_mode=2)
    peer.link.close()
    assert server.stop() == 0
