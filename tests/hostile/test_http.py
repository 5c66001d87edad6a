"""Attacks on the HTTP API: clients of AMQP must not notice, memory comes back, and decent requests are answered."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from leveret.core.message import codec
from leveret.core.message.codec import Item
from tests.api.http import Http
from tests.api.raw import LOGIN, Wire
from tests.api.strange import STRANGE, deep
from tests.clients.codec import METHOD, frame
from tests.clients.methods import QueueDeclare

from .conftest import Target

ATTACK_S = 3.0


def at_once(count: int, work: Callable[[int], None]) -> None:
    """Do something in several threads, and fail where one of them does."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]


def is_served(target: Target) -> None:
    """Somebody decent is answered."""
    assert Http(target.api).ask("GET", "overview").status == 200


def test_more_connections_than_there_may_be(target: Target) -> None:
    parts = ["", "GET /api/ver", "PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\n" + LOGIN + "Content-Length: 9\r\n\r\n{"]

    def attack(target: Target) -> None:
        clients: list[Wire] = []
        for number in range(1500):
            with contextlib.suppress(OSError):
                clients.append(Wire(target.api).send(parts[number % len(parts)]))
        assert target.connect().channel().queue()  # those of AMQP have their own places
        time.sleep(1.2)  # after which a place may be taken from who has just come
        is_served(target)
        assert target.sockets() < 1300
        for client in clients:
            client.close()

    target.withstand(attack)


def test_a_flood_of_strange_requests(target: Target) -> None:
    chance = random.Random(1)

    def attack(target: Target) -> None:
        def work(number: int) -> None:
            until = time.monotonic() + ATTACK_S
            while time.monotonic() < until:
                with contextlib.suppress(OSError):
                    client = Wire(target.api)
                    try:
                        line = chance.choice(STRANGE)
                        noise = chance.randbytes(chance.randrange(50))
                        client.send(f"{line}\r\nHost: x\r\nConnection: close\r\n{LOGIN}".encode("latin-1") + noise)
                        client.send("\r\n\r\n")
                        assert client.status() != 500
                    finally:
                        client.close()

        at_once(4, work)
        is_served(target)

    target.withstand(attack, rounds=2)


def test_a_flood_of_bodies(target: Target) -> None:
    bodies = [b"x" * 900_000, *deep(2_000), b'{"arguments":{' + b",".join(b'"%d":%d' % (n, n) for n in range(50_000))]

    def attack(target: Target) -> None:
        def work(number: int) -> None:
            asking = Http(target.api)
            until = time.monotonic() + ATTACK_S
            while time.monotonic() < until:
                for body in bodies:
                    for where in ("queues/%2F/deep", "parameters/x/%2F/deep", "global-parameters/deep"):
                        assert asking.ask("PUT", where, body).status != 500

        at_once(4, work)
        for where in ("queues/%2F/deep", "parameters/x/%2F/deep", "global-parameters/deep"):
            Http(target.api).ask("DELETE", where).expect(204, 404)

    target.withstand(attack, rounds=2)


def test_all_queues_ten_times_at_once(target: Target) -> None:
    count = 8_000
    peer = target.connect()
    channel = peer.channel()
    declare = [
        frame(METHOD, 1, QueueDeclare(queue=f"{number:050d}", exclusive=True, nowait=True).payload())
        for number in range(count)
    ]
    peer.link.send_bytes(b"".join(declare))
    channel.queue()

    def attack(target: Target) -> None:
        def work(number: int) -> None:
            query = ["", "?sort=messages&sort_reverse=true", "?page=3&page_size=500&name=9&use_regex=true"][number % 3]
            columns = ("&" if query else "?") + "columns=name,messages"
            reply = Http(target.api, timeout_s=120).ask("GET", f"queues{query}{columns}").expect(200)
            assert reply.body.count(b'"name"') == (500 if "page" in query else count + 1 + observers)

        at_once(10, work)

    listed = Http(target.api, timeout_s=120).ask("GET", "queues?columns=name").expect(200).body.count(b'"name"')
    observers = listed - count - 1
    attack(target)  # after which statistics of all of them are kept
    target.withstand(attack, rounds=2, within=60)
    peer.link.close()
    target.settle(lambda: Http(target.api).ask("GET", "queues?columns=name").body.count(b'"name"') < 100)


def test_answers_that_nobody_reads(target: Target) -> None:
    peer = target.connect()
    channel = peer.channel()
    for number in range(1000):
        channel.queue(f"{number:0200d}")

    def attack(target: Target) -> None:
        clients = [Wire(target.api) for _ in range(60)]
        for client in clients:
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(10):
                client.ask("GET", "/api/queues")
        time.sleep(1.0)
        is_served(target)
        assert b"items" in Http(target.api, source="127.0.0.2").ask("GET", "queues?page=1").expect(200).body
        for client in clients:
            client.close()

    target.withstand(attack)
    peer.link.close()


def test_messages_in_pieces(target: Target) -> None:
    where = "leveret/queues/%2F/pieces/encoded"
    http = Http(target.api)
    http.ask("PUT", "queues/%2F/pieces", {"durable": True, "arguments": {"x-max-length": 2_000}}).expect(201)
    good = codec.encode(Item("amq.topic", "a", b"\x10\x00\x02", b"x" * 2_000)) * 500
    wanted = json.dumps({"count": 2_000, "ackmode": "ack_requeue_true", "encoding": "auto"}).encode()

    def attack(target: Target) -> None:
        def work(number: int) -> None:
            asking, chance = Http(target.api, timeout_s=60), random.Random(number)
            unread: list[Wire] = []
            until = time.monotonic() + ATTACK_S
            while time.monotonic() < until:
                bad = bytearray(good)
                for _ in range(chance.randrange(1, 9)):
                    bad[chance.randrange(len(bad))] = chance.randrange(256)
                for data in (good, bytes(bad), good[: chance.randrange(len(good))], chance.randbytes(1_000)):
                    assert asking.ask("POST", where, data).status in (200, 400, 503)
                assert asking.ask("GET", where).status in (200, 503)
                assert asking.ask("POST", "queues/%2F/pieces/get", wanted).status in (200, 503)
                unread.append(Wire(target.api))
                unread[-1].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                unread[-1].ask("POST", "/api/queues/%2F/pieces/get", body=wanted).ask("GET", f"/api/{where}")
            for client in unread:
                client.close()

        at_once(6, work)
        is_served(target)

    target.withstand(attack, rounds=2)
    http.ask("DELETE", "queues/%2F/pieces").expect(204)


def test_filters_that_take_long(target: Target) -> None:
    peer = target.connect()
    channel = peer.channel()
    for number in range(2000):
        channel.queue("a" * 200 + f"!{number}")

    def attack(target: Target) -> None:
        def work(number: int) -> None:
            asking = Http(target.api, timeout_s=60)
            for pattern in ("%5E(a%2B)%2B%24", "(a%7Caa)%2B%24", "(.*)*x", "%5B", "(%3FR)"):
                asking.ask("GET", f"queues?page=1&use_regex=true&columns=name&name={pattern}").expect(200)

        at_once(4, work)

    target.withstand(attack, rounds=2)
    peer.link.close()


def test_wrong_passwords(target: Target) -> None:
    def attack(target: Target) -> None:
        def work(number: int) -> None:
            until = time.monotonic() + ATTACK_S
            while time.monotonic() < until:
                with contextlib.suppress(OSError, http.client.HTTPException):
                    asking = Http(target.api, f"nobody{random.random()}", "wrong", timeout_s=60)
                    assert asking.ask("GET", "overview").status in (401, 503)

        at_once(8, work)
        is_served(target)

    target.withstand(attack, rounds=2)


def test_the_log_has_no_traceback(target: Target) -> None:
    assert "Traceback" not in Path(target.log).read_text()
