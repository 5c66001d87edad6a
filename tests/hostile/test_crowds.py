"""Too many of everything: connections, channels, queues, consumers, exchanges in a chain."""

from __future__ import annotations

import resource
import socket
import struct
import time
from pathlib import Path

from tests.brokers.process import Server
from tests.clients.codec import HEADER, METHOD, PROTOCOL_HEADER, Properties, content_header, frame
from tests.clients.methods import (
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionTuneOk,
    ExchangeBind,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
    QueueDelete,
    QueueDeleteOk,
)
from tests.clients.methods_basic import BasicCancel, BasicConsume, BasicDeliver, BasicPublish
from tests.clients.peer import SOON, Peer, start_ok
from tests.clients.waiting import PATIENCE

from .conftest import Target

HANDSHAKE = (
    PROTOCOL_HEADER
    + start_ok().frames(0, 4096)
    + ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=60).frames(0, 4096)
    + ConnectionOpen(virtual_host="/").frames(0, 4096)
)
OPEN = ChannelOpen().payload()


def test_a_hundred_thousand_channels(target: Target) -> None:
    opens = [frame(METHOD, number, OPEN) for number in range(1, 65536)]

    def attack(target: Target) -> None:
        peer = target.connect()
        peer.link.send_bytes(b"".join(opens[:2047]))
        for number in range(1, 2048):
            assert peer.link.read_frame().channel == number
        peer.link.send_bytes(b"".join(opens[2047:] + opens[:34_465]))
        close = peer.expect(ConnectionClose)
        assert close.reply_code == 530
        text = "number of channels opened (2047) has reached the negotiated channel_max (2047)"
        assert close.reply_text == f"NOT_ALLOWED - {text}"
        peer.send(ConnectionCloseOk())
        peer.expect_end(SOON)
        peer.link.close()

    target.withstand(attack)


def test_half_open_handshakes(target: Target) -> None:
    parts = [b"", b"AM", PROTOCOL_HEADER, HANDSHAKE[:100], HANDSHAKE[:-5]]

    def attack(target: Target) -> None:
        links = [socket.create_connection(target.address, PATIENCE) for _ in range(1000)]
        for number, link in enumerate(links):
            link.sendall(parts[number % len(parts)])
        assert target.connect().channel().queue()
        for link in links:
            link.close()

    target.withstand(attack)


def test_a_flood_of_connections(target: Target) -> None:
    def attack(target: Target) -> None:
        for _ in range(10):
            links = [socket.create_connection(target.address, PATIENCE) for _ in range(60)]
            for link in links:
                link.sendall(HANDSHAKE + frame(METHOD, 1, OPEN))
            for link in links:
                link.settimeout(PATIENCE)
                while b"\x00\x14\x00\x0b" not in link.recv(4096):
                    pass
                link.close()

    target.withstand(attack)


def test_one_byte_at_a_time(target: Target) -> None:
    def attack(target: Target) -> None:
        links = [socket.create_connection(target.address, PATIENCE) for _ in range(10)]
        stream = HANDSHAKE + frame(METHOD, 1, OPEN)
        for link in links:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in stream:
            for link in links:
                link.sendall(bytes((octet,)))
        for link in links:
            link.settimeout(PATIENCE)
            while b"\x00\x14\x00\x0b" not in link.recv(4096):
                pass
            link.close()

    target.withstand(attack, rounds=2)


def test_bodies_that_never_come(target: Target) -> None:
    publish = BasicPublish(routing_key="nowhere").payload()

    def attack(target: Target) -> None:
        peer = target.connect()
        for number in range(1, 301):
            size = (512 << 20) if number % 2 else (16 << 20)
            channel = frame(METHOD, number, OPEN) + frame(METHOD, number, publish)
            peer.link.send_bytes(channel + frame(HEADER, number, content_header(size, Properties())))
            peer.link.send_bytes(frame(3, number, bytes(100_000)))
        peer.link.read_frame()
        peer.link.close()

    target.withstand(attack)


def test_twenty_thousand_queues_with_long_names(target: Target) -> None:
    count = 20_000
    names = [f"{number:0255d}" for number in range(count)]
    declares = [frame(METHOD, 1, QueueDeclare(queue=name, exclusive=True, nowait=True).payload()) for name in names]

    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        peer.link.send_bytes(b"".join(declares))
        channel.queue()
        peer.link.close()

    target.withstand(attack)


def test_queues_with_all_the_priorities(target: Target) -> None:
    arguments = {"x-max-priority": 255}
    declares = [
        frame(METHOD, 1, QueueDeclare(queue=f"p{number}", exclusive=True, nowait=True, arguments=arguments).payload())
        for number in range(2000)
    ]

    def attack(target: Target) -> None:
        before = target.memory()
        peer = target.connect()
        channel = peer.channel()
        peer.link.send_bytes(b"".join(declares))
        channel.queue()
        assert target.memory() - before < 20 << 20
        peer.link.close()

    target.withstand(attack)


def test_fifty_thousand_declares_of_one_durable_queue(target: Target) -> None:
    declare = frame(METHOD, 1, QueueDeclare(queue="again", durable=True, nowait=True).payload())
    delete = frame(METHOD, 1, QueueDelete(queue="again", nowait=True).payload())

    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        peer.link.send_bytes(declare * 40_000 + (declare + delete) * 5_000)
        channel.queue()
        peer.link.close()

    target.withstand(attack)


def test_twenty_thousand_consumers_of_one_queue(target: Target) -> None:
    count = 20_000

    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        queue = channel.queue()
        channel.prefetch(1)
        consumes = [BasicConsume(queue=queue, consumer_tag=f"{number}", nowait=True) for number in range(count)]
        cancels = [BasicCancel(consumer_tag=f"{number}", nowait=True) for number in range(0, count, 7)]
        channel.send(*consumes, *cancels)
        channel.publish(queue, *[b"x"] * 1000)
        channel.send(QueueDeclare(queue=queue, passive=True))
        while not isinstance(answer := channel.next(), QueueDeclareOk):
            assert isinstance(answer, BasicDeliver)
        assert answer.consumer_count == count - len(cancels)
        peer.link.close()

    target.withstand(attack)


def test_a_chain_of_auto_delete_exchanges(target: Target) -> None:
    count = 3000

    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        for number in range(count):
            channel.send(ExchangeDeclare(exchange=f"chain{number}", type="fanout", auto_delete=True, nowait=True))
        for number in range(count - 1):
            channel.send(ExchangeBind(destination=f"chain{number + 1}", source=f"chain{number}", nowait=True))
        queue = channel.queue()
        channel.call(QueueBind(queue=queue, exchange=f"chain{count - 1}"))
        assert isinstance(channel.call(QueueDelete(queue=queue)), QueueDeleteOk)
        channel.expect_refused(
            ExchangeDeclare(exchange="chain0", passive=True), 404, "no exchange 'chain0' in vhost '/'"
        )
        peer.link.close()

    target.withstand(attack)


def test_topic_keys_made_to_be_slow(target: Target) -> None:
    def attack(target: Target) -> None:
        peer = target.connect()
        channel = peer.channel()
        queue = channel.queue()
        for number in range(512):
            words = ["*" if number >> bit & 1 else "a" for bit in range(9)]
            key = ".".join(["#", *words, "#"])
            channel.send(QueueBind(queue=queue, exchange="amq.topic", routing_key=key, nowait=True))
        channel.confirm()
        for number in range(3):
            channel.publish("a." * 100 + str(number), b"x", exchange="amq.topic")
        channel.confirmed("the.end", b"", exchange="amq.topic")
        peer.link.close()

    target.withstand(attack, rounds=2)


def test_no_more_sockets(tmp_path: Path) -> None:
    server = Server.start("--memory", "--log-level", "error", log=tmp_path / "log")
    try:
        target = Target(server)
        peer = target.connect()
        channel = peer.channel()
        limit = target.sockets() + 20
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (limit, limit))
        links = [socket.create_connection(target.address, PATIENCE) for _ in range(100)]
        for _ in range(20):
            assert isinstance(channel.declare(), QueueDeclareOk)
            time.sleep(0.01)
        for link in links:
            link.close()
        assert target.settle(lambda: answers(target))
        peer.close()
        entries = (tmp_path / "log").read_text().splitlines()
        assert 1 <= len(entries) < 40
        assert all(entry.endswith("cannot accept new clients: Too many open files; they wait") for entry in entries)
    finally:
        assert server.stop() == 0


def answers(target: Target) -> bool:
    """Whether a new connection can be made."""
    try:
        Peer(target.address).login().close()
    except (OSError, AssertionError, struct.error):
        return False
    return True
