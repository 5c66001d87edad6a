"""Attackers of the HTTP API: each sends requests in a row on connections of its own, and looks at what is answered."""

from __future__ import annotations

import json
import random
import socket
from collections.abc import Sequence
from typing import Any, Final

from tests.hostile.attackers import PATIENCE_S, Sender, Tell
from tests.hostile.http_requests import ENDLESS, GUEST, Ask

MISTAKES: Final = (500, 501, 502, 504)
BUSY: Final = 503
READ: Final = 1 << 20  # bytes of a body that are looked at
LIVE: Final = b"GET /api/leveret/live HTTP/1.1\r\nHost: x\r\n\r\n"


class HttpAnswers:
    """Takes answers apart. methods: of the requests, in order. opened: how many have come. closed: why not more.

    Tells of each answer that says that something has failed inside, that nobody can read, or that gives no reason.
    """

    def __init__(self, tell: Tell, methods: Sequence[str]) -> None:
        self.opened = 0
        self.closed = ""
        self.statuses: list[int] = []
        self._methods = methods
        self._tell = tell
        self._data = bytearray()
        self._body = bytearray()
        self._left = 0  # bytes of the body, or of a chunk of it, that are still to come
        self._step = self._head

    def feed(self, data: bytes) -> None:
        """More of them."""
        self._data += data
        while not self.closed and self._step():
            pass

    def _line(self, end: bytes) -> bytes | None:
        at = self._data.find(end)
        if at < 0:
            return None
        found = bytes(self._data[:at])
        del self._data[: at + len(end)]
        return found

    def _head(self) -> bool:
        head = self._line(b"\r\n\r\n")
        if head is None:
            return False
        line, *rest = head.split(b"\r\n")
        words = line.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            return self._broken(f"an answer begins with {line[:80]!r}")
        status = int(words[1])
        if status == 100:
            return True
        self.statuses.append(status)
        headers = {name.lower(): value.strip() for name, _, value in (each.partition(b":") for each in rest)}
        if b"x-evil" in headers:
            self._tell("framing", f"answer {self.opened + 1}: a name has made a header of its own")
        method = self._methods[self.opened] if self.opened < len(self._methods) else ""
        is_last = b"close" in headers.get(b"connection", b"")
        if status in (204, 304) or (method == "HEAD" and not is_last):  # the last may be to what is no HTTP
            return self._whole()
        if headers.get(b"transfer-encoding") == b"chunked":
            self._step = self._size
        elif headers.get(b"content-length", b"").isdigit():
            self._left = int(headers[b"content-length"])
            self._step = self._piece
        elif is_last:
            self.closed = "it ends with the connection"
            self.opened += 1
        else:
            return self._broken(f"answer {self.opened + 1}: nobody knows how long it is: {head[:200]!r}")
        return True

    def _size(self) -> bool:
        """The line in front of a chunk."""
        line = self._line(b"\r\n")
        if line is None:
            return False
        try:
            self._left = int(line, 16)
        except ValueError:
            return self._broken(f"answer {self.opened + 1}: {line[:40]!r} is no size of a chunk")
        if not self._left:
            self._step = self._end
        else:
            self._left += 2  # the line ends
            self._step = self._chunk
        return True

    def _end(self) -> bool:
        return self._line(b"\r\n") is not None and self._whole()

    def _take(self) -> bool:
        piece = self._data[: self._left]
        del self._data[: self._left]
        self._left -= len(piece)
        if len(self._body) < READ:
            self._body += piece
        return self._left == 0

    def _chunk(self) -> bool:
        if not self._take():
            return False
        if len(self._body) < READ:
            del self._body[-2:]
        self._step = self._size
        return True

    def _piece(self) -> bool:
        return self._take() and self._whole()

    def _whole(self) -> bool:
        self.opened += 1
        body, self._body = bytes(self._body), bytearray()
        self._step = self._head
        status = self.statuses[-1]
        if status in MISTAKES:
            self._tell("internal error", f"answer {self.opened}: {status} {body[:200]!r}")
        elif status == BUSY and body[:1] == b"{" and not _reason(body):
            self._tell("no reason", f"answer {self.opened}: {status} {body[:200]!r}")
        return True

    def _broken(self, text: str) -> bool:
        self.closed = text
        self._tell("framing", text)
        return False


def _reason(body: bytes) -> bool:
    try:
        found: Any = json.loads(body)
    except ValueError:
        return False
    return bool(found.get("reason"))


class HttpAttacker(Sender[Ask]):
    """Sends requests to the HTTP API. source: the address that it comes from."""

    def __init__(
        self,
        address: tuple[str, int],
        source: str,
        chance: random.Random,
        tell: Tell,
        patience_s: float | None = PATIENCE_S,
    ) -> None:
        super().__init__(address, chance, tell, patience_s)
        self._source = source

    def _send(self, vhost: str, batch: list[Ask]) -> int:
        """Send requests in a row on a connection. Returns: how many were answered."""
        answers = HttpAnswers(self._blame, [ask.method for ask in batch])
        self._what = [ask.what for ask in batch]
        self.connections += 1
        with connect(self._address, self._source) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            data = b"".join(ask.data for ask in batch)
            is_ended = self._exchange(link, answers, data, len(batch), batch[-1].hangs)
        self.counts.update(f"{status}" for status in answers.statuses)
        is_decent = not batch[-1].hangs  # an answer may be lost on its way when nonsense follows the request
        if is_ended and is_decent and not answers.opened and self._patience_s and is_alive(self._address):
            self._tell("cut off", f"the connection ended without an answer to {self._what[0][:300]}")
        return answers.opened

    def _blame(self, kind: str, text: str) -> None:
        number = int(text.split()[1].rstrip(":")) if text.startswith("answer ") else 0
        what = self._what[number - 1] if 0 < number <= len(self._what) else "one of " + "; ".join(self._what[-3:])
        self._tell(kind, f"{text}; for {what[:300]}")


def connect(address: tuple[str, int], source: str) -> socket.socket:
    """A connection from an address of this machine. Raises: OSError."""
    return socket.create_connection(address, PATIENCE_S, (source, 0))


def is_alive(address: tuple[str, int]) -> bool:
    """Whether the API says that the broker lives; not so when it ends, or begins, or has no files left."""
    try:
        with connect(address, "127.0.0.250") as link:
            link.sendall(LIVE)
            return b" 200 " in link.recv(4096)
    except OSError:
        return False


class Visitor:
    """A decent client: it asks now and then for what a page would ask, and has to be answered."""

    PATHS: Final = ("/api/overview", "/api/queues?page=1", "/api/queues/canary/canary.ledger", "/api/whoami")

    def __init__(self, address: tuple[str, int], source: str, tell: Tell) -> None:
        self.answered = 0
        self._address = address
        self._source = source
        self._tell = tell

    def fail_to_log_in(self) -> None:
        """Ask once with a wrong password, from elsewhere so that nobody else has to wait for that."""
        with connect(self._address, "127.0.0.251") as link:
            link.sendall(b"GET /api/whoami HTTP/1.1\r\nHost: x\r\nAuthorization: Basic bm9ib2R5OngK\r\n\r\n")
            link.recv(1 << 16)

    def ask(self, path: str = "") -> list[int]:
        """Ask once, for a path or for the next one of PATHS. Returns: the status, if there is one."""
        path = path or self.PATHS[self.answered % len(self.PATHS)]
        answers = HttpAnswers(self._tell, ["GET"])
        try:
            with connect(self._address, self._source) as link:
                link.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + GUEST + b"\r\n\r\n")
                while not answers.opened and not (path == ENDLESS and answers.statuses):
                    data = link.recv(1 << 16)
                    if not data:
                        break
                    answers.feed(data)
        except TimeoutError:
            self._tell("silence", f"a decent client got no answer to {path} for {PATIENCE_S:.0f} s")
            return []
        except OSError as error:
            self._tell("cut off", f"a decent client got no answer to {path}: {error}")
            return []
        if answers.statuses != [200]:
            self._tell("refused", f"a decent client got {answers.statuses} for {path}")
        self.answered += 1
        return answers.statuses
