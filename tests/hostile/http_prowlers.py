"""Prowlers: clients of the HTTP API whose requests are well, or nearly; it is what they do beside them that is not.

They are slow, do not read, leave half-way, come by the thousand, do not know their password, or listen for ever. What
they ask for changes nothing that others use. Each prowls until it is told that it is over, and nothing stays open.
"""

from __future__ import annotations

import base64
import contextlib
import random
import resource
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from tests.hostile.attackers import Tell
from tests.hostile.http_attackers import HttpAnswers
from tests.hostile.http_requests import ENDLESS, GUEST, LOGINS

STEP_S: Final = 0.02
CALM_S: Final = 2.0  # for a step of a socket
CROWD: Final = 3_000
FILES_LEFT: Final = 200  # that this process keeps for others
HANDFUL: Final = 60
FEW: Final = 24
NOW: Final = struct.pack("ii", 1, 0)  # to close a socket so that the other side is not told politely
LARGE: Final = (
    *("/api/queues", "/api/queues?sort=messages&sort_reverse=true", "/api/definitions", "/api/exchanges", "/metrics"),
    *("/api/bindings", "/api/queues/detailed", "/metrics/per-object", "/api/channels", "/api/openapi.json"),
    *("/api/queues?page=1&page_size=500&use_regex=true&name=%5E(a%7Caa)%2B%24", "/api/leveret/status?memory=true"),
)
"""What has a long answer, or takes long."""


@dataclass
class Prey:
    """What a prowler has. address: of the API. source: that it comes from. tell: takes findings. is_over: asked often.

    asked: how many requests were sent, by all of them.
    """

    address: tuple[str, int]
    source: str
    chance: random.Random
    tell: Tell
    is_over: Callable[[], bool]
    asked: int = 0

    def link(self, buffer: int = 0) -> socket.socket | None:
        """A connection; None when there is none to be had for now. buffer: bytes that it takes without being read."""
        link = socket.socket()
        try:
            link.settimeout(CALM_S)
            if buffer:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            link.bind((self.source, 0))
            link.connect(self.address)
        except OSError:
            link.close()
            time.sleep(STEP_S)
            return None
        return link

    def get(self, path: str, login: bytes = GUEST) -> bytes:
        """A request."""
        self.asked += 1
        return f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + login + b"\r\n\r\n"

    def put(self, name: str, size: int) -> bytes:
        """The beginning of a request with a body of this size."""
        self.asked += 1
        head = f"PUT /api/queues/prey/{name} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n"
        return head.encode() + GUEST + b"\r\n\r\n"

    def leave(self, link: socket.socket) -> None:
        """Close a connection, politely or not."""
        with contextlib.suppress(OSError):
            if self.chance.random() < 0.5:
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
        link.close()


@contextlib.contextmanager
def _links(prey: Prey, count: int, buffer: int = 0) -> Iterator[list[socket.socket]]:
    """As many connections as can be had of so many, which are closed afterwards."""
    links: list[socket.socket] = []
    try:
        while len(links) < count and not prey.is_over():
            link = prey.link(buffer)
            if link is None:
                break
            links.append(link)
        yield links
    finally:
        for link in links:
            prey.leave(link)


def _offer(link: socket.socket, data: bytes) -> bool:
    """Send what goes. Returns: whether the connection is still there."""
    link.setblocking(False)
    try:
        link.send(data)
    except BlockingIOError:
        pass
    except OSError:
        return False
    return True


def slow_heads(prey: Prey) -> None:
    """Requests that come octet by octet, some of them behind others."""
    with _links(prey, HANDFUL) as links:
        text = prey.get("/api/overview").removesuffix(b"\r\n") + b"A: " + b"b" * 5_000
        for link in links[::2]:
            _offer(link, prey.get("/api/version"))
        for octet in text:
            if prey.is_over():
                return
            for link in links:
                _offer(link, bytes([octet]))
            time.sleep(STEP_S)


def slow_bodies(prey: Prey) -> None:
    """Bodies that come octet by octet, and chunks of one octet."""
    with _links(prey, HANDFUL) as links:
        for number, link in enumerate(links):
            head = prey.put("h.slow", 100_000)
            if number % 3 == 0:
                head = head.replace(b"Content-Length: 100000", b"Transfer-Encoding: chunked")
            if number % 5 == 0:
                head = head.replace(GUEST, b"X: y")  # which is answered before the body has come
            _offer(link, head)
        while not prey.is_over():
            for number, link in enumerate(links):
                _offer(link, b"1\r\n{\r\n" if number % 3 == 0 else b"{")
            time.sleep(STEP_S)


def large_bodies(prey: Prey) -> None:
    """Many bodies as large as they may be, none of which ends."""
    piece = b" " * 60_000
    with _links(prey, FEW) as links:
        for link in links:
            head = prey.put("h.large", 1 << 20)
            if prey.chance.random() < 0.2:
                head = head.replace(b"PUT /api/queues/prey/h.large", b"POST /api/definitions")
                head = head.replace(b"%d" % (1 << 20), b"%d" % (9 << 20))
            _offer(link, head)
        left = links
        while left and not prey.is_over():
            left = [link for link in left if _offer(link, piece)]
            time.sleep(STEP_S)


def unread(prey: Prey) -> None:
    """Long answers that nobody reads."""
    with _links(prey, HANDFUL, buffer=4_096) as links:
        for link in links:
            path = prey.chance.choice(LARGE)
            _offer(link, b"".join(prey.get(path) for _ in range(10)))
        while not prey.is_over():
            time.sleep(STEP_S)


def half_read(prey: Prey) -> None:
    """Long answers, of which some is read."""
    while not prey.is_over():
        with _links(prey, 8, buffer=prey.chance.choice((0, 4_096))) as links:
            for link in links:
                _offer(link, prey.get(prey.chance.choice(LARGE)))
            for link in links:
                with contextlib.suppress(OSError):
                    link.settimeout(STEP_S * 5)
                    link.recv(prey.chance.choice((1, 1_000, 100_000)))


def pipelines(prey: Prey) -> None:
    """Hundreds of requests behind each other, whose answers are read or not."""
    paths = ("/api/version", "/api/whoami", "/api/overview", "/api/nothing", "/api/queues?page=1", "/metrics/x", "/x")
    while not prey.is_over():
        with _links(prey, 4) as links:
            for link in links:
                count = prey.chance.choice((50, 500))
                logins = (GUEST, b"X: y")
                asked = [prey.get(prey.chance.choice(paths), prey.chance.choice(logins)) for _ in range(count)]
                answers = HttpAnswers(prey.tell, ["GET"] * count)
                with contextlib.suppress(OSError):
                    link.settimeout(CALM_S)
                    link.sendall(b"".join(asked))
                    wanted = prey.chance.choice((0, 1, count))
                    while answers.opened < wanted and not answers.closed and (data := link.recv(1 << 16)):
                        answers.feed(data)


def crowd(prey: Prey) -> None:
    """More connections than there may be, which say nothing, something, or all and nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    parts = (b"", b"GET /api/ver", prey.get("/api/version"), prey.put("h.crowd", 9) + b"{", b"\x16\x03\x01")
    with _links(prey, min(CROWD, hard - FILES_LEFT)) as links:
        for number, link in enumerate(links):
            _offer(link, parts[number % len(parts)])
        while not prey.is_over():
            time.sleep(STEP_S)


def comers_and_goers(prey: Prey) -> None:
    """Connections that end at once, again and again."""
    while not prey.is_over():
        link = prey.link()
        if link is not None:
            _offer(link, prey.chance.choice((b"", b"G", prey.get("/api/queues"), b"\xff" * 100)))
            prey.leave(link)


def strangers(prey: Prey) -> None:
    """Wrong names and passwords, from several at a time."""

    def one(number: int) -> None:
        chance = random.Random(f"{prey.source} {number} stranger")
        while not prey.is_over():
            nobody = b"nobody%d:x" % chance.randrange(1 << 30)
            pair = chance.choice((b"guest:wrong", b"h.u1:x", nobody, b"guest:", b":"))
            login = b"Authorization: Basic " + base64.b64encode(pair)
            request = prey.get("/api/overview", login)
            if chance.random() < 0.2:
                body = b'{"username":"nobody%d","password":"x"}' % chance.randrange(1 << 30)
                head = f"POST /api{chance.choice(LOGINS)} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
                request = head.encode() + body
            link = prey.link()
            if link is None:
                continue
            answers = HttpAnswers(prey.tell, ["GET"])
            with contextlib.suppress(OSError):
                link.settimeout(chance.choice((STEP_S, 1.0)))
                link.sendall(request)
                while not answers.opened and (data := link.recv(1 << 16)):
                    answers.feed(data)
            if any(status < 400 for status in answers.statuses):
                prey.tell("let in", f"{answers.statuses} for {pair!r}")
            prey.leave(link)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def listeners(prey: Prey) -> None:
    """Streams of events that are opened, read for a moment or not at all, and left; more than a user may have."""
    wanted = [f"?topics={each}" for each in ("overview", "queues:prey,connections", "vhosts", "x", ":%25ff")]
    while not prey.is_over():
        with _links(prey, 15, buffer=prey.chance.choice((0, 4_096))) as links:
            for link in links:
                _offer(link, prey.get(ENDLESS + prey.chance.choice(wanted)))
            for link in links:
                with contextlib.suppress(OSError):
                    link.settimeout(STEP_S)
                    link.recv(1_000)
            until = time.monotonic() + prey.chance.choice((0.0, 0.3, 6.0))
            while time.monotonic() < until and not prey.is_over():
                time.sleep(STEP_S)


PROWLERS: Final[dict[str, Callable[[Prey], None]]] = {
    prowler.__name__.replace("_", "-"): prowler
    for prowler in (
        *(slow_heads, slow_bodies, large_bodies, unread, half_read, pipelines, crowd, comers_and_goers),
        *(strangers, listeners),
    )
}


def prowl(name: str, prey: Prey) -> None:
    """Let a prowler do what it does, again and again."""
    while not prey.is_over():
        PROWLERS[name](prey)
        time.sleep(STEP_S)
