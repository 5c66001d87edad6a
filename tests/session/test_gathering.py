"""A definitions file that is applied as one change: no message is safe before what it needs is."""

from __future__ import annotations

from pathlib import Path

import pytest

from leveret.core.errors.administration import Promise
from leveret.management.administration import Administration
from leveret.store.rescue.maintenance import backup
from leveret.wire.methods import BasicAck, BasicPublish, ConfirmSelect, ConfirmSelectOk
from leveret.wire.properties import BasicProperties
from tests.brokers.life import Life
from tests.clients.socketless import Peer

COUNT = 200  # queues: more than a piece
PERSISTENT = BasicProperties()
PERSISTENT.delivery_mode = 2


def begin(life: Life) -> Promise:
    """Apply a file of queues, up to where some of them are there."""
    queues = [{"name": f"q{number}", "durable": True} for number in range(COUNT)]
    promise = Administration(life.broker).perform(
        "import_definitions", {"content": {"queues": queues}, "vhost": "/", "atomic": True}
    )
    assert isinstance(promise, Promise)
    while "q0" not in life.broker.vhosts["/"].queues:
        life.broker.work()
    assert len(life.broker.vhosts["/"].queues) < COUNT
    return promise


def publisher(life: Life) -> Peer:
    """Somebody who wants to hear what is safe."""
    peer = life.peer("/")
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    return peer


def publish(life: Life, peer: Peer, queue: str) -> None:
    """A message that has to be there after a restart."""
    peer.send(BasicPublish("", queue), b"x", PERSISTENT)
    life.broker.settle()
    life.log.flush()


def commit(life: Life) -> None:
    """What is handed over is written."""
    life.wait_for_commit()
    life.broker.settle()


def hears(life: Life, peer: Peer) -> bool:
    """Whether there is something for the publisher; nothing else is done."""
    return peer.connection in life.broker.awake


def counts(life: Life) -> dict[str, int]:
    """All queues that are not empty, and how many there are in all."""
    queues = life.broker.vhosts["/"].queues
    return {"all": len(queues), **{name: len(queue.ready) for name, queue in queues.items() if len(queue.ready)}}


@pytest.mark.parametrize("queue", ["q0", "old"])
def test_a_message_during_an_import_is_safe_with_the_import(tmp_path: Path, queue: str) -> None:
    life = Life(tmp_path / "a", 1)
    life.broker.vhosts["/"].make_queue("old", True, 0, False, {})
    life.finish()
    peer = publisher(life)
    promise = begin(life)
    publish(life, peer, queue)
    life.log.flush()
    assert not hears(life, peer)
    cut = tmp_path / "cut"
    backup(life.directory, cut, lambda done, total: None)
    again = Life(cut, 2)
    assert counts(again) == {"all": 1}
    assert again.told == []
    again.end()
    life.broker.finish()
    assert promise.result() == {"applied": {"queues": COUNT}, "notes": [], "errors": []}
    life.log.flush()
    commit(life)
    assert hears(life, peer)
    assert [type(got.method) for got in peer.got()] == [BasicAck]
    again = Life(life.kill(), 2)
    assert counts(again) == {"all": COUNT + 1, queue: 1}
    again.end()


def test_what_came_before_an_import_does_not_wait_for_it(tmp_path: Path) -> None:
    life = Life(tmp_path / "a", 1)
    life.broker.vhosts["/"].make_queue("old", True, 0, False, {})
    life.finish()
    peer = publisher(life)
    peer.send(BasicPublish("", "old"), b"x", PERSISTENT)
    begin(life)
    life.log.flush()
    commit(life)
    assert hears(life, peer)
    again = Life(life.kill(), 2)
    assert counts(again) == {"all": 1, "old": 1}
    again.end()
