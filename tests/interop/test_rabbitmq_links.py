"""Shovels and federation of a real RabbitMQ, with a Leveret at the other end: it runs neither, and serves both.

Runs when LEVERET_TEST_MANAGEMENT says where the HTTP API of a RabbitMQ on this machine is, which has the plugins
rabbitmq_shovel_management, rabbitmq_federation_management, rabbitmq_exchange_federation and rabbitmq_queue_federation:

LEVERET_TEST_MANAGEMENT=http://127.0.0.1:15672 python -m pytest tests/interop/test_rabbitmq_links.py
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from tests.brokers.process import Server
from tests.clients.administration import ManagementApi
from tests.clients.waiting import eventually

URL = os.environ.get("LEVERET_TEST_MANAGEMENT", "")
PLUGINS = {
    "rabbitmq_shovel_management",
    "rabbitmq_federation_management",
    "rabbitmq_exchange_federation",
    "rabbitmq_queue_federation",
}
PATIENCE_S = 60  # links are made and made anew in RabbitMQ's own time
COUNT = 20
_numbers = itertools.count(1)

pytestmark = pytest.mark.skipif(not URL, reason="LEVERET_TEST_MANAGEMENT does not say where RabbitMQ's API is")


class Ends:
    """A RabbitMQ and a Leveret, each with a virtual host of this test. theirs, ours: a channel of each."""

    def __init__(self, rabbitmq: ManagementApi, leveret: Server) -> None:
        name = f"links-{os.getpid():x}-{next(_numbers)}"
        self.rabbitmq = rabbitmq
        self.vhost = rabbitmq.add_vhost(name)
        listeners = rabbitmq.get("overview")["listeners"]
        port = next(each["port"] for each in listeners if each["protocol"] == "amqp")
        self.local = f"amqp:///{name}"  # what RabbitMQ calls itself
        self.our_url = f"{leveret.url.rstrip('/')}/%2f"
        self._connections = [
            pika.BlockingConnection(pika.URLParameters(url))
            for url in (self.our_url, f"amqp://guest:guest@127.0.0.1:{port}/{name}")
        ]
        self.ours, self.theirs = (connection.channel() for connection in self._connections)
        self.ours.confirm_delivery()
        self.theirs.confirm_delivery()

    def shovel(self, **parameter: Any) -> None:
        """Let RabbitMQ move messages."""
        self.rabbitmq.set_parameter(
            self.vhost, "shovel", "s", {key.replace("_", "-"): parameter[key] for key in parameter}
        )

    def federate(self, pattern: str, **upstream: Any) -> None:
        """Let RabbitMQ federate what has such a name with this Leveret."""
        self.rabbitmq.set_parameter(self.vhost, "federation-upstream", "leveret", {"uri": self.our_url, **upstream})
        policy = {"pattern": pattern, "definition": {"federation-upstream-set": "all"}}
        self.rabbitmq.set_policy(self.vhost, "federated", policy)

    def close(self) -> None:
        """Take all away."""
        for connection in self._connections:
            connection.close()
        self.rabbitmq.delete_vhost(self.vhost)


@pytest.fixture(scope="module")
def leveret() -> Iterator[Server]:
    """A broker that RabbitMQ can reach."""
    server = Server.start("--memory")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def rabbitmq() -> ManagementApi:
    """A RabbitMQ with the plugins."""
    api = ManagementApi(URL)
    (node, *_) = api.get("nodes")
    missing = PLUGINS - set(node["enabled_plugins"])
    if missing:
        pytest.skip(f"this RabbitMQ has no {' and no '.join(sorted(missing))}")
    return api


@pytest.fixture
def ends(rabbitmq: ManagementApi, leveret: Server) -> Iterator[Ends]:
    """Both ends."""
    ends = Ends(rabbitmq, leveret)
    yield ends
    ends.close()


def queue(channel: BlockingChannel, name: str = "") -> str:
    """A queue without anything in it."""
    found = channel.queue_declare(name, durable=True).method.queue
    channel.queue_purge(found)
    assert isinstance(found, str)
    return found


def publish(channel: BlockingChannel, exchange: str, key: str, numbers: range, **properties: Any) -> None:
    """Confirmed messages."""
    for number in numbers:
        told = pika.BasicProperties(delivery_mode=2, message_id=f"m{number}", **properties)
        channel.basic_publish(exchange, key, f"{number}".encode(), told, mandatory=bool(not exchange))


def take(channel: BlockingChannel, name: str, count: int) -> list[tuple[str, pika.BasicProperties]]:
    """So many messages, as they come."""
    found: list[tuple[str, pika.BasicProperties]] = []

    def more() -> bool:
        while (got := channel.basic_get(name, auto_ack=True))[0] is not None:
            _, properties, body = got
            assert properties is not None
            assert body is not None
            found.append((body.decode(), properties))
        return len(found) >= count

    eventually(more, PATIENCE_S)
    assert len(found) == count
    return found


def bodies(channel: BlockingChannel, name: str, count: int) -> list[str]:
    """So many bodies, as they come."""
    return [body for body, _ in take(channel, name, count)]


EXPECTED = [str(number) for number in range(2 * COUNT)]


@pytest.mark.parametrize("ack_mode", ["on-confirm", "on-publish", "no-ack"])
def test_a_shovel_takes_from_leveret(ends: Ends, ack_mode: str) -> None:
    source, target = queue(ends.ours, f"from-{ack_mode}"), queue(ends.theirs, "to")
    publish(ends.ours, "", source, range(COUNT), headers={"text": "ü", "number": 1 << 40})
    ends.shovel(src_uri=ends.our_url, src_queue=source, dest_uri=ends.local, dest_queue=target, ack_mode=ack_mode)
    found = take(ends.theirs, target, COUNT)
    publish(ends.ours, "", source, range(COUNT, 2 * COUNT))
    assert [body for body, _ in found] + bodies(ends.theirs, target, COUNT) == EXPECTED
    properties = found[0][1]
    assert (properties.headers, properties.message_id, properties.delivery_mode) == (
        {"text": "ü", "number": 1 << 40},
        "m0",
        2,
    )
    eventually(lambda: ends.ours.queue_declare(source, passive=True).method.message_count == 0)
    ends.rabbitmq.clear_parameter(ends.vhost, "shovel", "s")
    eventually(lambda: ends.ours.queue_declare(source, passive=True).method.consumer_count == 0, PATIENCE_S)
    assert ends.ours.queue_declare(source, passive=True).method.message_count == 0  # all of them were acknowledged


@pytest.mark.parametrize("ack_mode", ["on-confirm", "on-publish", "no-ack"])
def test_a_shovel_gives_to_leveret(ends: Ends, ack_mode: str) -> None:
    source, target = queue(ends.theirs, "from"), queue(ends.ours, f"to-{ack_mode}")
    publish(ends.theirs, "", source, range(COUNT))
    ends.shovel(src_uri=ends.local, src_queue=source, dest_uri=ends.our_url, dest_queue=target, ack_mode=ack_mode)
    found = take(ends.ours, target, COUNT)
    publish(ends.theirs, "", source, range(COUNT, 2 * COUNT))
    assert [body for body, _ in found] + bodies(ends.ours, target, COUNT) == EXPECTED
    assert found[0][1].message_id == "m0"


def test_a_shovel_between_exchanges_with_an_end(ends: Ends) -> None:
    ends.ours.exchange_declare("source", "topic", durable=True)
    target = queue(ends.theirs, "to")
    ends.theirs.exchange_declare("target", "topic", durable=True)
    ends.theirs.queue_bind(target, "target", "a.#")
    ends.shovel(
        src_uri=ends.our_url,
        src_exchange="source",
        src_exchange_key="a.*",
        dest_uri=ends.local,
        dest_exchange="target",
        dest_add_forward_headers=True,
    )
    eventually(lambda: any(each["state"] == "running" for each in ends.rabbitmq.get("shovels", ends.vhost)), PATIENCE_S)
    publish(ends.ours, "source", "b.a", range(COUNT))
    publish(ends.ours, "source", "a.b", range(COUNT))
    assert bodies(ends.theirs, target, COUNT) == EXPECTED[:COUNT]


def test_a_shovel_that_moves_what_is_there(ends: Ends) -> None:
    source, target = queue(ends.ours, "all-of-it"), queue(ends.theirs, "to")
    publish(ends.ours, "", source, range(COUNT))
    ends.shovel(
        src_uri=ends.our_url, src_queue=source, src_delete_after="queue-length", dest_uri=ends.local, dest_queue=target
    )
    assert bodies(ends.theirs, target, COUNT) == EXPECTED[:COUNT]
    eventually(lambda: ends.rabbitmq.get("parameters", "shovel", ends.vhost) == [], PATIENCE_S)  # it has ended itself


def test_a_shovel_whose_queue_is_deleted_comes_back(ends: Ends) -> None:
    source, target = queue(ends.ours, "deleted"), queue(ends.theirs, "to")
    parameter = {"src_queue": source, "dest_queue": target, "reconnect_delay": 1}
    ends.shovel(src_uri=ends.our_url, dest_uri=ends.local, **parameter)
    eventually(lambda: ends.ours.queue_declare(source, passive=True).method.consumer_count == 1, PATIENCE_S)
    ends.ours.queue_delete(source)
    queue(ends.ours, source)
    publish(ends.ours, "", source, range(COUNT))
    assert bodies(ends.theirs, target, COUNT) == EXPECTED[:COUNT]


@pytest.mark.parametrize("ack_mode", ["on-confirm", "on-publish", "no-ack"])
@pytest.mark.parametrize("type_", ["fanout", "topic", "headers"])
def test_an_exchange_with_leveret_as_its_upstream(ends: Ends, type_: str, ack_mode: str) -> None:
    name = f"federated-{type_}-{ack_mode}"
    ends.theirs.exchange_declare(name, type_, durable=True)
    target = queue(ends.theirs, "to")
    arguments = {"x-match": "any", "wanted": True} if type_ == "headers" else None
    ends.theirs.queue_bind(target, name, "a.#", arguments)
    ends.federate("^federated-", **{"ack-mode": ack_mode, "max-hops": 2})
    wait_for_link(ends)
    ends.ours.exchange_declare(name, passive=True)  # the link has made it
    upstream = f"federation: {name} -> {cluster_name(ends)}:{ends.vhost}:{name}"
    its_own = {"exchange": f"{upstream} B", "durable": True, "auto_delete": True, "internal": True}
    ends.ours.exchange_declare(exchange_type="x-federation-upstream", arguments={"x-max-hops": 2}, **its_own)
    told: dict[str, Any] = {"wanted": True, "text": "ü"}
    publish(ends.ours, name, "a.b", range(COUNT), headers=told)
    found = take(ends.theirs, target, COUNT)
    assert [body for body, _ in found] == EXPECTED[:COUNT]
    headers = found[0][1].headers
    assert headers is not None
    assert headers["text"] == "ü"
    (hop,) = headers["x-received-from"]
    assert hop["exchange"] == name
    assert hop["cluster-name"].startswith("leveret@")
    if type_ == "topic":  # what nobody there is bound for does not cross
        publish(ends.ours, name, "b.a", range(COUNT), headers=told)
    publish(ends.ours, name, "a.b", range(1), headers={**told, "x-received-from": [hop, hop]})  # often enough
    been_there = {**hop, "cluster-name": cluster_name(ends), "vhost": ends.vhost}
    publish(ends.ours, name, "a.b", range(1), headers={**told, "x-received-from": [been_there]})
    publish(ends.ours, name, "a.b", range(1), headers={**told, "x-received-from": [hop], "last": True})
    ((_, properties),) = take(ends.theirs, target, 1)
    assert properties.headers is not None
    assert properties.headers["last"] is True
    assert len(properties.headers["x-received-from"]) == 2
    ends.theirs.queue_unbind(target, name, "a.#", arguments)
    ends.rabbitmq.clear_policy(ends.vhost, "federated")
    eventually(lambda: not links(ends), PATIENCE_S)
    eventually(lambda: is_gone(ends, queue=upstream), PATIENCE_S)
    eventually(lambda: is_gone(ends, exchange=f"{upstream} B"), PATIENCE_S)


def test_an_upstream_with_options_that_comes_and_goes(ends: Ends) -> None:
    ends.theirs.exchange_declare("optional", "topic", durable=True)
    target = queue(ends.theirs, "to")
    ends.theirs.queue_bind(target, "optional", "#")
    options = {"queue-type": "quorum", "channel-use-mode": "single", "bind-nowait": True, "prefetch-count": 5}
    times = {"expires": 3_600_000, "message-ttl": 600_000}
    ends.federate("^optional$", **options, **times)
    wait_for_link(ends)
    publish(ends.ours, "optional", "a", range(COUNT))
    assert bodies(ends.theirs, target, COUNT) == EXPECTED[:COUNT]
    ends.rabbitmq.clear_policy(ends.vhost, "federated")
    eventually(lambda: not links(ends), PATIENCE_S)
    ends.federate("^optional$", **options, **times)
    wait_for_link(ends)
    publish(ends.ours, "optional", "a", range(COUNT))
    assert bodies(ends.theirs, target, COUNT) == EXPECTED[:COUNT]


def test_a_queue_with_leveret_as_its_upstream(ends: Ends) -> None:
    name = "federated-queue"
    ends.theirs.queue_declare(name, durable=True)
    ends.federate("^federated-queue$")
    wait_for_link(ends)
    eventually(lambda: ends.ours.queue_declare(name, passive=True).method.queue == name, PATIENCE_S)
    publish(ends.ours, "", name, range(COUNT))
    got: list[str] = []

    def on_message(channel: Any, method: Any, properties: Any, body: bytes) -> None:
        got.append(body.decode())
        channel.basic_ack(method.delivery_tag)

    tag = ends.theirs.basic_consume(name, on_message)  # only now the link asks for messages

    def all_there() -> bool:
        ends.theirs.connection.process_data_events(0.1)
        return len(got) >= COUNT

    eventually(all_there, PATIENCE_S)
    assert got == EXPECTED[:COUNT]
    ends.theirs.basic_cancel(tag)  # and cancels
    eventually(lambda: ends.ours.queue_declare(name, passive=True).method.consumer_count == 0, PATIENCE_S)
    publish(ends.ours, "", name, range(COUNT))
    assert bodies(ends.ours, name, COUNT) == EXPECTED[:COUNT]


def is_gone(ends: Ends, **what: str) -> bool:
    """Whether there is no such queue or exchange at Leveret."""
    channel = ends.ours.connection.channel()
    try:
        if "queue" in what:
            channel.queue_declare(passive=True, **what)
        else:
            channel.exchange_declare(passive=True, **what)
    except ChannelClosedByBroker as error:
        return bool(error.reply_code == 404)
    channel.close()
    return False


def links(ends: Ends) -> list[dict[str, Any]]:
    """The federation links of the virtual host."""
    found = ends.rabbitmq.get("federation-links", ends.vhost)
    assert isinstance(found, list)
    return found


def wait_for_link(ends: Ends) -> None:
    """A link is up."""
    eventually(lambda: [link["status"] for link in links(ends)] == ["running"], PATIENCE_S)


def cluster_name(ends: Ends) -> str:
    """What RabbitMQ calls itself."""
    found = ends.rabbitmq.get("cluster-name")["name"]
    assert isinstance(found, str)
    return found
