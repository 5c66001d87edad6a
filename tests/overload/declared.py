"""Cases with many definitions: queues, bindings, connections."""

from __future__ import annotations

from collections.abc import Iterator

from tests.clients.methods import ExchangeDeclare, QueueBind, QueueDeclare, QueueDeclareOk
from tests.clients.peer import Peer
from tests.overload.field import PATIENCE_S, Field, wait_for


def definitions(share: float, count: int) -> dict[str, object]:
    """A definitions file with so many queues, each with a binding."""
    names = [f"imported-{number}" for number in range(int(count * share))]
    queues = [
        {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {"x-max-length": 1000}}
        for name in names
    ]
    bindings = [
        {
            "source": "amq.topic",
            "vhost": "/",
            "destination": name,
            "destination_type": "queue",
            "routing_key": f"to.{name}",
            "arguments": {},
        }
        for name in names
    ]
    return {"queues": queues, "bindings": bindings}


def import_queues(field: Field, share: float, count: int, atomic: bool) -> Iterator[None]:
    """A definitions file with many queues is imported."""
    content = definitions(share, count)
    yield
    result = field.verb("import_definitions", content=content, atomic=atomic)
    assert result["errors"] == []
    assert result["applied"] == {"queues": int(count * share), "bindings": int(count * share)}


def export_queues(field: Field, share: float) -> Iterator[None]:
    """All definitions are exported."""
    field.verb("import_definitions", content=definitions(share, 20_000))
    yield
    assert len(field.verb("export_definitions")["queues"]) == int(20_000 * share)


def policy(field: Field, share: float) -> Iterator[None]:
    """A policy begins to apply to many queues."""
    field.verb("import_definitions", content=definitions(share, 20_000))
    yield
    field.verb("set_policy", vhost="/", name="all", pattern="^imported", definition={"message-ttl": 60_000})


def drop_vhost(field: Field, share: float) -> Iterator[None]:
    """A virtual host with many queues is deleted."""
    count = int(10_000 * share)
    field.verb("add_vhost", name="old")
    queues = [{"name": f"q{number}", "durable": True, "auto_delete": False, "arguments": {}} for number in range(count)]
    field.verb("import_definitions", content={"queues": queues}, vhost="old")
    yield
    field.verb("delete_vhost", name="old")


def declares(field: Field, share: float) -> Iterator[None]:
    """Ten connections declare a thousand queues each, without waiting for answers, and are gone with them."""
    count = int(1000 * share)
    channels = [field.channel() for _ in range(10)]
    yield
    for number, channel in enumerate(channels):
        channel.send(*(QueueDeclare(queue=f"own-{number}-{each}", exclusive=True) for each in range(count)))
    for channel in channels:
        for _ in range(count):
            channel.expect(QueueDeclareOk, PATIENCE_S)
        channel.link.close()


def fanout(field: Field, share: float) -> Iterator[None]:
    """A message goes to many queues, and so do a hundred more."""
    count = int(5000 * share)
    channel = field.channel()
    channel.call(ExchangeDeclare(exchange="wide", type="fanout"))
    for number in range(count):
        channel.send(
            QueueDeclare(queue=f"wide-{number}", nowait=True),
            QueueBind(queue=f"wide-{number}", exchange="wide", nowait=True),
        )
    channel.ready(f"wide-{count - 1}")
    yield
    channel.publish("", *[b"to everybody"] * 100, exchange="wide")
    wait_for(channel, f"wide-{count - 1}", 100)


def connects(field: Field, share: float) -> Iterator[None]:
    """A thousand clients connect one after the other, and all go at once."""
    yield
    peers = [Peer(field.address).login() for _ in range(int(1000 * share))]
    for peer in peers:
        peer.link.close()
