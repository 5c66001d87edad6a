"""Headers that nobody can decode: they pass, as they came, through queues that look into messages too."""

from __future__ import annotations

import pytest

from leveret.wire.content import make_content, properties
from leveret.wire.fields import Table, boolean, long
from leveret.wire.methods import (
    BasicPublish,
    ConfirmSelect,
    ConfirmSelectOk,
    QueueDeclare,
    QueueDeclareOk,
)
from leveret.wire.writer import FrameWriter
from tests.clients.socketless import Peer, make_broker, turn

UNREADABLE = b"\x20\x00\x00\x00\x00\x03\x01a?"  # a table with a value of type ?


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"x-max-priority": long(3)},
        {"x-message-ttl": long(1000)},
        {"x-message-deduplication": boolean(True)},
        {"x-max-length": long(1)},
    ],
)
def test_they_pass(arguments: Table) -> None:
    broker = make_broker()
    peer = Peer(broker)
    peer.call(QueueDeclare("q", arguments=arguments), QueueDeclareOk)
    peer.call(ConfirmSelect(), ConfirmSelectOk)
    writer = FrameWriter()
    writer.method(1, BasicPublish("", "q"))
    writer.content(1, make_content(UNREADABLE, b"x"))
    peer.connection.receive(writer.take())
    turn(broker)
    assert [type(got.method).__name__ for got in peer.got()] == ["BasicAck"]
    queue = broker.vhosts["/"].queues["q"]
    assert len(queue.ready) == 1
    message = queue.ready.first().message
    assert (properties(message.content), message.body()) == (UNREADABLE, b"x")
    assert queue.purge() == 1
