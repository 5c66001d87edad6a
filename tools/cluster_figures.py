"""Measure nodes on PostgreSQL: latency of a confirm, CPU of a message, cost of a rest, and time until an heir serves.

    python tools/cluster_figures.py                                   # all, Leveret alone
    python tools/cluster_figures.py --figures cpu --peer 5673:1234    # beside a quorum queue of a broker: port and pid
    python tools/cluster_figures.py --figures heir --kills 20

Starts its own PostgreSQL with a synchronous standby in memory (/dev/shm). CPU counts all processes: nodes, primary and
standby. See docs/cluster.md.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pika
import psutil
import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from bench.generator import PROGRAM, build
from leveret.cluster import schema
from leveret.cluster.database import connect
from tests.brokers.process import Server
from tests.postgres.server import Pair, eventually, programs

PERSISTENT = pika.BasicProperties(delivery_mode=2)
LOAD = ["--body", "1024", "--persistent", "--confirm", "1000", "--prefetch", "250"]
CONFIRMS = 2_000
NODES = 3


class Cluster:
    """Nodes on a new database."""

    def __init__(self, pair: Pair) -> None:
        self._pair = pair
        self._url = pair.primary.url(pair.new_database())
        self._servers: list[Server] = []
        with connect(self._url) as connection:
            schema.create(connection)

    def start(self, name: str) -> Server:
        """Start a node."""
        options = ("--cluster", self._url, "--node", name, "--management-port", "off", "--log-level", "error")
        self._servers.append(Server.start(*options))
        return self._servers[-1]

    def wait(self, count: int) -> None:
        """Wait until so many nodes share the shards."""
        eventually(lambda: self._shares() == count, "the shards are shared")

    def _shares(self) -> int:
        with psycopg.connect(self._url) as connection:
            rows = connection.execute("SELECT count(*) FROM leveret.shards GROUP BY node").fetchall()
        return len(rows) if max(rows)[0] - min(rows)[0] <= 1 else 0

    def cpu_s(self) -> float:
        """CPU time so far of all living processes."""
        nodes = [psutil.Process(each.process.pid) for each in self._servers if each.process.poll() is None]
        return cpu_s([*nodes, *self._pair.primary.tree(), *self._pair.standby.tree()])

    def stop(self) -> None:
        """Stop all nodes."""
        for server in self._servers:
            server.stop(signal.SIGKILL)


def cpu_s(processes: list[psutil.Process]) -> float:
    """CPU time of processes, with that of their children that have ended."""
    times = [each.cpu_times() for each in processes]
    return sum(each.user + each.system + each.children_user + each.children_system for each in times)


def channel(server: Server) -> Any:
    """A channel with confirms."""
    found = pika.BlockingConnection(pika.URLParameters(server.url)).channel()
    found.confirm_delivery()
    return found


def confirm(pair: Pair, options: argparse.Namespace) -> None:
    """A lone publish until its confirm."""
    cluster = Cluster(pair)
    found = channel(cluster.start("a"))
    found.queue_declare("q", durable=True)
    times_s = []
    for _ in range(CONFIRMS):
        began_s = time.perf_counter()
        found.basic_publish("", "q", bytes(1024), PERSISTENT)
        times_s.append(time.perf_counter() - began_s)
    cluster.stop()
    times_s.sort()
    p50, p99 = statistics.median(times_s) * 1000, times_s[CONFIRMS * 99 // 100] * 1000
    print(f"lone confirm through pika, 1 KiB: p50 {p50:.2f} ms, p99 {p99:.2f} ms", flush=True)


def load(port: int, seconds: int, *more: str) -> dict[str, Any]:
    """What the load generator measured."""
    command = [str(PROGRAM), "--port", str(port), "--seconds", str(seconds), *LOAD, *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    result: dict[str, Any] = json.loads(done.stdout)
    assert not result["errors"], result["errors"]
    assert not result["lost"] + result["duplicated"], result
    return result


def cpu(pair: Pair, options: argparse.Namespace) -> None:
    """CPU of a durable, confirmed and acked message, alternating with the peer."""
    build()
    ratios = []
    for _ in range(options.rounds):
        cluster = Cluster(pair)
        server = cluster.start("a")
        before_s = cluster.cpu_s()
        own = load(server.port, options.seconds)
        own_us = (cluster.cpu_s() - before_s) / own["delivered"] * 1e6
        cluster.stop()
        print(f"node and PostgreSQL: {own['delivered_per_s']:.0f} messages/s, {own_us:.1f} us of CPU each", flush=True)
        if options.peer:
            port, pid = map(int, options.peer.split(":"))
            process = [psutil.Process(pid)]
            before_s = cpu_s(process)
            peer = load(port, options.seconds, "--queue-type", "quorum")
            peer_us = (cpu_s(process) - before_s) / peer["delivered"] * 1e6
            ratios.append(peer_us / own_us)
            print(
                f"the peer: {peer['delivered_per_s']:.0f} messages/s, {peer_us:.1f} us, {ratios[-1]:.1f} times as much"
            )
    if ratios:
        print(f"median: the peer needs {statistics.median(ratios):.1f} times the CPU", flush=True)


def rest(pair: Pair, options: argparse.Namespace) -> None:
    """What nodes with many queues and no clients cost, with their share of the database."""
    cluster = Cluster(pair)
    servers = [cluster.start(str(number)) for number in range(NODES)]
    cluster.wait(NODES)
    found = channel(servers[0])
    for number in range(options.queues):
        found.queue_declare(f"q{number}", durable=True)
    found.connection.close()
    time.sleep(10)
    before_s, began_s = cluster.cpu_s(), time.monotonic()
    time.sleep(options.rest_s)
    share = (cluster.cpu_s() - before_s) / (time.monotonic() - began_s) / NODES
    cluster.stop()
    print(f"{NODES} nodes at rest, {options.queues} queues: {share:.2%} of a core for each node", flush=True)


def heir(pair: Pair, options: argparse.Namespace) -> None:
    """From the kill of the owner of many queues until another node confirms a publish to one of them."""
    cluster = Cluster(pair)
    servers = [cluster.start(str(number)) for number in range(NODES)]
    cluster.wait(NODES)
    times_s = []
    for number in range(options.kills):
        victim, others = servers.pop(0), servers
        found = channel(victim)
        for queue in range(1000):
            found.queue_declare(f"{number} {queue}", durable=True)
        for queue in range(1000):
            found.basic_publish("", f"{number} {queue}", bytes(100), PERSISTENT)
        time.sleep(2)  # the others know the queues
        channels = [channel(each) for each in others]
        began_s = time.monotonic()
        victim.process.send_signal(signal.SIGKILL)
        while not any(serves(each, f"{number} 7") for each in channels):
            time.sleep(0.005)
        times_s.append(time.monotonic() - began_s)
        victim.stop(signal.SIGKILL)
        servers.append(cluster.start(f"{number} again"))
        cluster.wait(NODES)
    cluster.stop()
    print(f"heir serves: median {statistics.median(times_s):.2f} s, worst of {options.kills} {max(times_s):.2f} s")


def serves(found: Any, queue: str) -> bool:
    """Whether a publish to a queue is confirmed at once, and not nacked."""
    try:
        found.basic_publish("", queue, b"x", PERSISTENT, mandatory=True)
    except pika.exceptions.NackError:
        return False
    return True


FIGURES: dict[str, Callable[[Pair, argparse.Namespace], None]] = {
    "confirm": confirm,
    "cpu": cpu,
    "rest": rest,
    "heir": heir,
}


def main() -> None:
    """Measure what is wanted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--figures", nargs="+", choices=list(FIGURES), default=list(FIGURES), metavar="NAME")
    parser.add_argument("--peer", help="PORT:PID of a broker with quorum queues, for cpu", default="")
    parser.add_argument("--rounds", type=int, default=3, help="of cpu (3)")
    parser.add_argument("--seconds", type=int, default=5, help="of load in each round (5)")
    parser.add_argument("--queues", type=int, default=10_000, help="of rest (10000)")
    parser.add_argument("--rest-s", type=float, default=30.0, help="of rest (30)")
    parser.add_argument("--kills", type=int, default=20, help="of heir (20)")
    options = parser.parse_args()
    place = programs()
    if place is None:
        sys.exit("there is no PostgreSQL: apt-get install postgresql")
    pair = Pair(place)
    try:
        pair.start()
        for name in options.figures:
            FIGURES[name](pair, options)
    finally:
        pair.close()


if __name__ == "__main__":
    main()
