"""What is taken from one queue is of this queue, whatever still comes of another."""

from __future__ import annotations

import pika

from leveret.node.migration.source import Place, Source
from leveret.wire.content import body
from tests.clients.waiting import eventually
from tests.migration.conftest import Pair


def test_late_deliveries_of_another_queue_go_back_to_it(pair: Pair) -> None:
    for queue in ("a", "b"):
        pair.old.queue_declare(queue, durable=True)
        for number in range(20):
            pair.old.basic_publish("", queue, f"{queue}{number}".encode(), pika.BasicProperties(delivery_mode=2))
    source = Source(pair.source.client(pair.vhost), 5)
    source.open(Place(pair.vhost, "a"))
    assert [body(each.content) for each in source.take(None)] == [b"a0", b"a1", b"a2", b"a3", b"a4"]
    source.cancel()  # and what was delivered behind these is not looked at
    source.open(Place(pair.vhost, "b"))
    found = [body(each.content) for _ in range(2) for each in source.take(None)]
    assert found == [f"b{number}".encode() for number in range(10)]
    source.release()
    # what was taken and is not acknowledged is still held
    eventually(lambda: pair.old.queue_declare("a", passive=True).method.message_count == 20)
    eventually(lambda: pair.old.queue_declare("b", passive=True).method.message_count == 20)
    source.client.close()
