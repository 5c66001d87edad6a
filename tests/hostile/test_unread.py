"""Clients that ask and do not read: what they do not take must not pile up, and they cannot keep their socket."""

from __future__ import annotations

import socket

from tests.clients.codec import METHOD, Properties, frame
from tests.clients.methods import ConnectionClose, QueueDeclare
from tests.clients.methods_basic import BasicConsume, BasicGet, BasicPublish
from tests.clients.peer import Channel, Peer

from .conftest import Target

SIZE = 100_000
COUNT = 300


def deaf(target: Target) -> tuple[Peer, Channel, str]:
    """A connection with a small receive buffer, and a queue of 30 MB."""
    peer = target.connect()
    peer.link.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
    channel = peer.channel()
    queue = channel.queue()
    channel.confirm()
    channel.publish(queue, *[bytes(SIZE)] * COUNT)
    confirmed = 0
    while confirmed < COUNT:
        confirmed = max(confirmed, int.from_bytes(peer.link.read_frame().payload[4:12], "big"))
    return peer, channel, queue


def test_a_consumer_that_never_reads(target: Target) -> None:
    def attack(target: Target) -> None:
        peer, channel, queue = deaf(target)
        full = target.memory()
        channel.send(BasicConsume(queue=queue, no_ack=True))
        assert not target.settle(lambda: target.memory() > full + (10 << 20), 0.3)
        peer.link.close()

    target.withstand(attack)


def test_gets_that_are_never_read(target: Target) -> None:
    def attack(target: Target) -> None:
        peer, channel, queue = deaf(target)
        full = target.memory()
        channel.send(*[BasicGet(queue=queue, no_ack=True)] * COUNT)
        assert not target.settle(lambda: target.memory() > full + (10 << 20), 0.3)
        peer.link.close()

    target.withstand(attack)


def test_answers_that_are_never_read(target: Target) -> None:
    returned = BasicPublish(routing_key="nowhere", mandatory=True, body=bytes(10_000), properties=Properties()).frames(
        1, 131072
    )

    def attack(target: Target) -> None:
        for data in (b"", returned):
            peer, _, queue = deaf(target)
            data = data or frame(METHOD, 1, QueueDeclare(queue=queue, passive=True).payload()) * 1000
            full = target.memory()
            peer.link.socket.settimeout(0.5)
            sent = 0
            try:
                while sent < 100 << 20:
                    sent += peer.link.socket.send(data)
            except TimeoutError:
                pass
            assert sent < 50 << 20
            assert target.memory() < full + (20 << 20)
            peer.link.close()

    target.withstand(attack, rounds=2)


def test_a_client_that_does_not_read_cannot_keep_its_socket(target: Target) -> None:
    def attack(target: Target) -> None:
        peer, channel, queue = deaf(target)
        channel.send(BasicConsume(queue=queue, no_ack=True))
        before = target.sockets()
        peer.send(ConnectionClose(reply_code=200, reply_text="bye"))
        assert target.settle(lambda: target.sockets() < before, 20)
        peer.link.close()

    target.withstand(attack, rounds=1)
