"""Clients that send a lot take turns, and nothing of what they sent is lost or out of order when they go."""

from __future__ import annotations

import threading

from tests.brokers.process import Server
from tests.clients.methods_basic import BasicDeliver, BasicPublish
from tests.clients.peer import Channel, Peer
from tests.clients.waiting import eventually

PUBLISHERS = 20
COUNT = 6000


def test_publishers_that_send_and_go(server: Server) -> None:
    address = (server.host, server.port)
    channel = Peer(address).login().channel()
    queue = channel.queue("q", exclusive=False)
    publishers = [Peer(address).login().channel() for _ in range(PUBLISHERS)]
    data = [b"".join(frames(queue, who, number) for number in range(COUNT)) for who in range(PUBLISHERS)]
    threads = [threading.Thread(target=send, args=(each, piece)) for each, piece in zip(publishers, data, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    eventually(lambda: channel.ready(queue) == PUBLISHERS * COUNT, 60)
    channel.consume(queue, no_ack=True)
    next_number = [0] * PUBLISHERS
    for _ in range(PUBLISHERS * COUNT):
        who, number = map(int, channel.expect(BasicDeliver).body.split())
        assert number == next_number[who]
        next_number[who] += 1
    channel.link.close()


def frames(queue: str, who: int, number: int) -> bytes:
    """One message of a publisher."""
    return BasicPublish(routing_key=queue, body=b"%d %d" % (who, number)).frames(1, 131072)


def send(channel: Channel, data: bytes) -> None:
    """Send everything and cut the connection."""
    channel.link.socket.settimeout(60)
    channel.link.socket.sendall(data)
    channel.link.close()
