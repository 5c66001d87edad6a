"""HTTP as bytes, for what no library would send."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

TIMEOUT_S = 30.0
LOGIN = f"Authorization: Basic {base64.b64encode(b'guest:guest').decode()}\r\n"


class Wire:
    """A connection to an HTTP API. address: that it comes from, empty for any."""

    def __init__(self, api: str, address: str = "", context: ssl.SSLContext | None = None) -> None:
        where = urlsplit(api)
        source = (address, 0) if address else None
        assert where.hostname is not None
        raw = socket.create_connection((where.hostname, where.port or 0), TIMEOUT_S, source)
        self.socket = raw if context is None else context.wrap_socket(raw, server_hostname=where.hostname)

    def send(self, data: str | bytes) -> Wire:
        """Send this, as it is; text in Latin-1."""
        self.socket.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def ask(self, method: str, path: str, *headers: str, body: bytes = b"") -> Wire:
        """Ask as guest."""
        lines = [f"{method} {path} HTTP/1.1", "Host: x", LOGIN.strip(), *headers]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        return self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def head(self) -> str:
        """The beginning of an answer, up to the end of its headers; what came until the end, if it ends before that."""
        found = bytearray()
        while not found.endswith(b"\r\n\r\n"):
            piece = self.socket.recv(1)
            if not piece:
                break
            found += piece
        return found.decode("latin-1")

    def status(self) -> int:
        """The status of the next answer; 0 if the connection ends before there is one."""
        head = self.head()
        return int(head.split(" ", 2)[1]) if head else 0

    def answer(self) -> tuple[int, str, bytes]:
        """The next answer: its status, its headers, and its body, which says how long it is."""
        head = self.head()
        names = {line.partition(":")[0].lower(): line.partition(":")[2].strip() for line in head.split("\r\n")[1:]}
        body, size = b"", int(names.get("content-length", "0"))
        while len(body) < size:
            piece = self.socket.recv(size - len(body))
            assert piece, "the connection ended within an answer"
            body += piece
        return int(head.split(" ", 2)[1]) if head else 0, head, body

    def is_ended(self) -> bool:
        """Whether it ends, after whatever else comes."""
        with contextlib.suppress(ConnectionError):
            while self.socket.recv(65536):
                pass
        return True

    def close(self) -> None:
        """Hang up."""
        self.socket.close()


@contextlib.contextmanager
def wire(api: str, address: str = "", context: ssl.SSLContext | None = None) -> Iterator[Wire]:
    """A connection while the block runs."""
    made = Wire(api, address, context)
    try:
        yield made
    finally:
        made.close()
