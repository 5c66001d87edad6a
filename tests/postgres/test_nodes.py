"""Several nodes on one database, as their users run them: definitions and ownership are shared."""

from __future__ import annotations

import functools
import signal
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pika
import psycopg
import pytest

from leveret.cluster import schema
from leveret.cluster.database import connect
from leveret.cluster.schema import SHARDS
from tests.api.http import Http
from tests.brokers.process import Server
from tests.postgres.server import eventually
from tests.postgres.test_node import drained, opened, publish


class Nodes:
    """Some nodes of a cluster."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self._folder = folder
        self._servers: list[Server] = []

    def start(self, name: str, *options: str) -> Server:
        """Start a node."""
        always = ("--cluster", self.url, "--node", name, "--management-port", "0", "--log-level", "info")
        server = Server.start(*always, *options, log=self.log(name))
        self._servers.append(server)
        return server

    def log(self, name: str) -> Path:
        """The file with what a node has logged."""
        return self._folder / name

    def shares(self) -> dict[str | None, int]:
        """How many shards each node has."""
        with psycopg.connect(self.url) as connection:
            rows = connection.execute(
                "SELECT nodes.name, count(*) FROM leveret.shards LEFT JOIN leveret.nodes ON nodes.id = node AND alive "
                "GROUP BY nodes.name"
            ).fetchall()
        return dict(rows)

    def wait(self, **shares: int) -> None:
        """Wait until each node has that many shards."""
        eventually(lambda: self.shares() == shares, f"shards are shared: {shares}")

    def end(self) -> None:
        """Kill all that still run."""
        for server in self._servers:
            server.process.send_signal(signal.SIGCONT)
            server.stop(signal.SIGKILL)


@pytest.fixture
def nodes(database_url: str, tmp_path: Path) -> Iterator[Nodes]:
    """Starts nodes in a prepared database; ends all of them."""
    with connect(database_url) as connection:
        schema.create(connection)
    found = Nodes(database_url, tmp_path)
    yield found
    found.end()


def has_queue(server: Server, queue: str) -> bool:
    """Whether a node serves a queue."""
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        try:
            connection.channel().queue_declare(queue, passive=True)
        except pika.exceptions.ChannelClosedByBroker as error:
            code = error.reply_code
        else:
            return True
    assert code == 404
    return False


def fill(server: Server, queue: str, count: int = 5) -> Any:
    """Declare a queue on a node, with messages. Returns: the channel."""
    channel = opened(server)
    channel.queue_declare(queue, durable=True)
    publish(channel, count, queue=queue)
    return channel


def owners(servers: Iterable[Server], queue: str) -> list[Server]:
    """The nodes that serve a queue, once there are any."""
    found: list[Server] = []

    def is_served() -> bool:
        found[:] = [each for each in servers if has_queue(each, queue)]
        return bool(found)

    eventually(is_served, f"a node serves {queue}")
    return found


# -- shards


def test_nodes_share_the_shards_and_each_serves_what_was_declared_there(nodes: Nodes) -> None:
    first = nodes.start("a")
    nodes.wait(a=SHARDS)
    second = nodes.start("b")
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    third = nodes.start("c")
    nodes.wait(a=86, b=85, c=85)
    channels = {name: fill(server, name) for name, server in (("x", first), ("y", second), ("z", third))}
    for queue in channels:
        for server in (first, second, third):
            eventually(functools.partial(is_known, server, queue), f"{queue} is known everywhere")
    assert [has_queue(second, queue) for queue in channels] == [False, True, False]
    with pytest.raises(pika.exceptions.ChannelClosedByBroker) as error:
        opened(second).queue_declare("z", passive=True)
    assert error.value.reply_text == (
        "NOT_FOUND - home node 'leveret@c' of durable queue 'z' in vhost '/' is down or inaccessible"
    )
    shown = Http(second.api).ask("GET", "queues/%2F/z").expect(200).json
    assert isinstance(shown, dict)
    assert (shown["node"], shown["state"]) == ("leveret@c", "down")
    for queue, channel in channels.items():
        assert drained(channel, queue) == [(number, False) for number in range(5)]


def metrics(server: Server) -> dict[str, float]:
    """The metrics of a node about shards."""
    lines = Http(server.api).ask("GET", "/metrics").expect(200).body.decode().splitlines()
    found = (line.split() for line in lines if line.startswith("leveret_shards"))
    return {name.partition("{")[0].removeprefix("leveret_"): float(value) for name, value in found}


def test_metrics_and_the_log_tell_of_each_change(nodes: Nodes) -> None:
    first = nodes.start("a")
    second = nodes.start("b")
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    half = {"shards": 128, "shards_loading": 0}
    eventually(lambda: metrics(first) == {**half, "shards_gained_total": 256, "shards_handed_over_total": 128}, "a")
    eventually(lambda: metrics(second) == {**half, "shards_gained_total": 128, "shards_handed_over_total": 0}, "b")
    second.stop(signal.SIGKILL)
    nodes.wait(a=SHARDS)
    eventually(lambda: metrics(first)["shards_gained_total"] == 384, "all are counted")
    eventually(lambda: metrics(first)["shards_loading"] == 0, "all are read")
    log = nodes.log("a").read_text()
    for text in ("hands 128 shards to node 'b' (2)", "node 'b' (2) is dead", "takes 128 shards of node 'b' (2)"):
        assert text in log


def is_known(server: Server, queue: str) -> bool:
    """Whether a node knows a queue, wherever it is."""
    found = Http(server.api).ask("GET", "queues").expect(200).json
    assert isinstance(found, list)
    return any(each["name"] == queue for each in found)


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGKILL])
def test_the_others_take_what_a_node_leaves(nodes: Nodes, sig: signal.Signals) -> None:
    first, second, third = (nodes.start(name) for name in "abc")
    nodes.wait(a=86, b=85, c=85)
    channel = fill(third, "q", 10)
    delivered = channel.basic_get("q")
    assert delivered[2] == b"0"
    publish(fill(first, "of a"), 1, queue="of a")
    third.stop(sig)
    nodes.wait(a=128, b=128)
    (heir,) = owners((first, second), "q")
    was_killed = sig == signal.SIGKILL
    assert drained(opened(heir)) == [(number, was_killed or number == 0) for number in range(10)]
    assert has_queue(first, "of a")


def test_a_queue_survives_all_of_its_owners(nodes: Nodes) -> None:
    owner = nodes.start("0")
    fill(owner, "q", 1)
    for number in range(1, 4):
        heir = nodes.start(str(number))
        owner.stop(signal.SIGKILL if number % 2 else signal.SIGTERM)
        eventually(functools.partial(has_queue, heir, "q"), "the heir serves the queue")
        publish(opened(heir), 1, first=number)
        owner = heir
    assert [number for number, _ in drained(opened(owner))] == [0, 1, 2, 3]


def test_a_queue_moves_with_its_messages_to_a_node_that_starts(nodes: Nodes) -> None:
    first = nodes.start("a")
    channel = opened(first)
    for number in range(8):
        channel.queue_declare(f"q{number}", durable=True)
        publish(channel, 3, queue=f"q{number}")
        assert channel.basic_get(f"q{number}")[2] == b"0"
    second = nodes.start("b")
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    for number in range(8):
        queue = f"q{number}"
        (owner,) = owners((first, second), queue)
        redelivered = owner is second
        found = drained(opened(owner), queue)
        assert found == ([(0, True)] if redelivered else []) + [(1, False), (2, False)]


def test_transient_messages_stay_when_shards_move(nodes: Nodes) -> None:
    first = nodes.start("a", "--memory-budget", "1000000")
    channel = opened(first)
    for queue in range(8):
        channel.queue_declare(f"t{queue}")
        for number in range(20):
            channel.basic_publish("", f"t{queue}", str(number).encode().ljust(20_000))
    nodes.start("b")
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    for queue in range(8):
        assert drained(channel, f"t{queue}") == [(number, False) for number in range(20)]


# -- definitions


def test_what_is_defined_on_one_node_holds_on_all(nodes: Nodes) -> None:
    first, second = nodes.start("a"), nodes.start("b")
    one, other = Http(first.api), Http(second.api)
    one.ask("PUT", "vhosts/shop", {}).expect(201)
    one.ask("PUT", "users/eva", {"password": "secret", "tags": "administrator"}).expect(201)
    one.ask("PUT", "permissions/shop/eva", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201)
    one.ask("PUT", "policies/shop/short", {"pattern": ".*", "definition": {"max-length": 7}}).expect(201)
    eventually(lambda: other.ask("GET", "policies/shop/short").status == 200, "the policy is known")
    eva = Http(second.api, "eva", "secret")
    eva.ask("PUT", "queues/shop/orders", {"durable": True}).expect(201)
    eventually(lambda: one.ask("GET", "queues/shop/orders").status == 200, "the queue is known")
    found = other.ask("GET", "queues/shop/orders").json
    assert isinstance(found, dict)
    assert found["policy"] == "short"
    one.ask("DELETE", "users/eva").expect(204)
    eventually(lambda: eva.ask("GET", "whoami").status == 401, "the user is gone")
    one.ask("DELETE", "queues/shop/orders").expect(204)
    eventually(lambda: other.ask("GET", "queues/shop/orders").status == 404, "the queue is gone")
    one.ask("DELETE", "vhosts/shop").expect(204)
    eventually(lambda: other.ask("GET", "vhosts/shop").status == 404, "the virtual host is gone")


def test_a_queue_that_two_nodes_declare_at_once_is_one_queue(nodes: Nodes) -> None:
    servers = [nodes.start("a"), nodes.start("b")]
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    for number in range(10):
        name, results = f"q{number}", [""] * 2
        barrier = threading.Barrier(2)

        def declare(at: int, name: str = name, results: list[str] = results, barrier: Any = barrier) -> None:
            channel = pika.BlockingConnection(pika.URLParameters(servers[at].url)).channel()
            barrier.wait(10)
            try:
                channel.queue_declare(name, durable=True, arguments={"x-max-length": 1 + at})
                results[at] = "declared"
            except pika.exceptions.ChannelClosedByBroker as error:
                results[at] = str(error.reply_code)

        threads = [threading.Thread(target=declare, args=(at,)) for at in (0, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert sorted(results) in (["406", "declared"], ["404", "declared"])  # 404 if it was there before the declare
        lengths = set()
        for server in servers:
            eventually(functools.partial(is_known, server, name), "the queue is known everywhere")
            found = Http(server.api).ask("GET", f"queues/%2F/{name}").expect(200).json
            assert isinstance(found, dict)
            lengths.add(found["arguments"]["x-max-length"])
        assert lengths == {1 + results.index("declared")}


def test_a_queue_of_another_node_can_be_deleted(nodes: Nodes) -> None:
    first, second = nodes.start("a"), nodes.start("b")
    nodes.wait(a=SHARDS // 2, b=SHARDS // 2)
    channel = fill(first, "q")
    eventually(functools.partial(is_known, second, "q"), "the queue is known")
    Http(second.api).ask("DELETE", "queues/%2F/q").expect(204)
    eventually(lambda: not has_queue(first, "q"), "the queue is gone")
    with psycopg.connect(nodes.url) as connection:
        eventually(
            lambda: connection.execute("SELECT count(*) FROM leveret.chunks").fetchone() == (0,), "its messages go, too"
        )
    channel.queue_declare("q", durable=True)
    assert drained(channel) == []
