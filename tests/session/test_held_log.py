"""No way leads to a confirm of a persistent message before the log has called it durable.

The log keeps its news back, and every way from a publish to a durable queue is tried. tests/node/test_slow_disk.py
does the same with a real disk.
"""

from __future__ import annotations

import pytest

from leveret.store.memory import MemoryLog
from leveret.wire.fields import ARRAY, LONGSTR, Field, Table, boolean, longstr, signedint
from leveret.wire.methods import (
    BasicAck,
    BasicConsume,
    BasicPublish,
    BasicReturn,
    ConfirmSelect,
    ConfirmSelectOk,
    ExchangeBind,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    TxCommit,
    TxCommitOk,
    TxSelect,
    TxSelectOk,
)
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, make_broker


def persistent(headers: Table | None = None, **more: str) -> BasicProperties:
    """Properties with delivery_mode 2."""
    properties = BasicProperties()
    properties.delivery_mode = 2
    properties.headers = headers
    properties.expiration = more.get("expiration")
    return properties


def declare(peer: Peer) -> None:
    """Durable queues a and b, a transient one c, and an exchange of every kind that leads to them."""
    for name in ("a", "b"):
        peer.send(QueueDeclare(name, durable=True, arguments=None))
    peer.send(
        QueueDeclare("old", durable=True, arguments={"x-max-priority": signedint(3), "x-max-length": signedint(1)})
    )
    peer.send(QueueDeclare("strict", durable=True, arguments={"x-overflow": longstr("reject-publish")}))
    peer.send(QueueDeclare("c"))
    alternate: Table = {"alternate-exchange": longstr("all")}
    for name, kind, arguments in (("all", "fanout", None), ("keys", "topic", None), ("h", "headers", alternate)):
        peer.send(ExchangeDeclare(name, kind, durable=True, arguments=arguments))
    peer.send(ExchangeDeclare("first", "direct", durable=True))
    for name in ("a", "b", "c"):
        peer.send(QueueBind(name, "all"))
    peer.send(QueueBind("a", "keys", "#.x"))
    peer.send(QueueBind("b", "h", "", arguments={"yes": boolean(True)}))
    peer.send(ExchangeBind("all", "first", "k"))


def cc(*names: str) -> Table:
    """A CC header."""
    return {"CC": Field(ARRAY, [Field(LONGSTR, name.encode()) for name in names])}


WAYS: dict[str, tuple[BasicPublish, BasicProperties]] = {
    "default exchange": (BasicPublish("", "a"), persistent()),
    "mandatory": (BasicPublish("", "a", mandatory=True), persistent()),
    "expiration": (BasicPublish("", "a"), persistent(expiration="100000")),
    "priority and length limit": (BasicPublish("", "old"), persistent()),
    "reject-publish": (BasicPublish("", "strict"), persistent()),
    "fanout to durable and transient": (BasicPublish("all", ""), persistent()),
    "topic": (BasicPublish("keys", "y.x"), persistent()),
    "headers": (BasicPublish("h", ""), persistent({"yes": boolean(True)})),
    "alternate exchange": (BasicPublish("h", ""), persistent({"yes": boolean(False)})),
    "exchange to exchange": (BasicPublish("first", "k"), persistent()),
    "CC": (BasicPublish("", "nowhere"), persistent(cc("a", "b"))),
    "CC to a transient queue as well": (BasicPublish("", "c"), persistent(cc("a"))),
}
ways = pytest.mark.parametrize(("method", "properties"), WAYS.values(), ids=WAYS)


def held() -> tuple[MemoryLog, Peer]:
    """A client with everything declared, and a log that tells nothing before release()."""
    log = MemoryLog(hold=True)
    peer = Peer(make_broker(log))
    declare(peer)
    assert peer.got() == []
    log.release()
    assert len(peer.got()) == 15
    return log, peer


@ways
def test_confirms_wait(method: BasicPublish, properties: BasicProperties) -> None:
    log, peer = held()
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    peer.send(method, b"x", properties)
    assert peer.got() == []
    peer.broker.tick(1000)
    assert peer.got() == []
    log.release()
    assert peer.expect(BasicAck).delivery_tag == 1


@ways
def test_confirms_wait_although_a_consumer_has_it(method: BasicPublish, properties: BasicProperties) -> None:
    log, peer = held()
    for name in ("a", "b", "c", "old", "strict"):
        peer.send(BasicConsume(name, name), channel=1)
    assert len(peer.got()) == 5
    peer.open(2)
    peer.call(ConfirmSelect(), ConfirmSelectOk, channel=2)
    peer.send(method, b"x", properties, channel=2)
    assert {got.channel for got in peer.got()} == {1}
    log.release()
    assert peer.expect(BasicAck).delivery_tag == 1


@ways
def test_commits_wait(method: BasicPublish, properties: BasicProperties) -> None:
    log, peer = held()
    peer.call(TxSelect(), TxSelectOk)
    peer.send(method, b"x", properties)
    peer.send(TxCommit())
    assert peer.got() == []
    log.release()
    peer.expect(TxCommitOk)


def test_a_batch_waits_for_its_last_message() -> None:
    log, peer = held()
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    for number, (method, properties) in enumerate(WAYS.values()):
        peer.send(method, b"%d" % number, properties)
    peer.send(BasicPublish("", "nowhere", mandatory=True), b"", persistent())
    kinds = [type(got.method) for got in peer.got()]
    assert kinds == [BasicReturn, BasicAck]  # what reached no queue, and nothing else
    log.release()
    assert peer.expect(BasicAck).delivery_tag == len(WAYS)
