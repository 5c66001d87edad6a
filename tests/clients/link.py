"""A blocking socket that speaks in frames, and a line: one channel number on it.

The link keeps every frame in the order of arrival. Reading on one line leaves the frames of other lines for
later, except that a connection.close ends any waiting at once.
"""

from __future__ import annotations

import itertools
import socket
import struct
import time
from collections import deque
from collections.abc import Iterator
from typing import TypeVar

from tests.clients.codec import BODY, FRAME_END, HEADER, HEARTBEAT, METHOD, PROTOCOL_HEADER, Frame, Properties, Reader
from tests.clients.method import ContentMethod, Method, Reply, Request, decode_method
from tests.clients.methods import ConnectionClose
from tests.clients.waiting import PATIENCE

QUIET = 0.15
"""Seconds to wait for something that must not come."""

REPLY_NAMES = {
    311: "CONTENT_TOO_LARGE", 320: "CONNECTION_FORCED", 402: "INVALID_PATH", 403: "ACCESS_REFUSED",
    404: "NOT_FOUND", 405: "RESOURCE_LOCKED", 406: "PRECONDITION_FAILED", 501: "FRAME_ERROR",
    502: "SYNTAX_ERROR", 503: "COMMAND_INVALID", 504: "CHANNEL_ERROR", 505: "UNEXPECTED_FRAME",
    506: "RESOURCE_ERROR", 530: "NOT_ALLOWED", 540: "NOT_IMPLEMENTED", 541: "INTERNAL_ERROR",
}  # fmt: skip

Kind = TypeVar("Kind", bound=Method)


class EndOfStream(AssertionError):
    """The broker closed the socket."""


class Link:
    """A TCP connection to the broker."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.socket = socket.create_connection(address, PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.opened = time.monotonic()
        self.frame_max = 4096
        self._received = b""
        self._waiting: deque[Frame] = deque()

    def send_bytes(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.settimeout(PATIENCE)
        self.socket.sendall(data)

    def receive_bytes(self, size: int, patience: float = PATIENCE) -> bytes:
        """Take exactly so many bytes; TimeoutError when they do not come, EndOfStream when they cannot."""
        deadline = time.monotonic() + patience
        while len(self._received) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError(f"nothing for {patience} s")
            self.socket.settimeout(left)
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError as reset:
                raise EndOfStream(f"the broker has reset the connection, after {self._received!r}") from reset
            if not data:
                raise EndOfStream(f"the broker closed the socket, after {self._received!r}")
            self._received += data
        found, self._received = self._received[:size], self._received[size:]
        return found

    def read_frame(self, patience: float = PATIENCE) -> Frame:
        """Take the next frame on any channel, heartbeats included."""
        if self._waiting:
            return self._waiting.popleft()
        return self._read(patience)

    def read_frame_of(self, channel: int, patience: float = PATIENCE) -> Frame:
        """Take the next frame of one channel, leaving out heartbeats and keeping other channels' frames."""
        for i, found in enumerate(self._waiting):
            if found.channel == channel and found.type != HEARTBEAT:
                del self._waiting[i]
                return found
        deadline = time.monotonic() + patience
        while True:
            found = self._read(max(0.001, deadline - time.monotonic()))
            if found.type == HEARTBEAT:
                continue
            if found.channel == channel:
                return found
            self._waiting.append(found)
            if found.channel == 0 and isinstance(method := decode_method(found.payload), ConnectionClose):
                raise AssertionError(f"connection closed: {method}")

    def _read(self, patience: float) -> Frame:
        if self._received[:4] == b"AMQP" or (not self._received and self._peek(patience) == b"A"):
            raise AssertionError(f"a protocol header came instead of a frame: {self.receive_bytes(8)!r}")
        type_, channel, size = struct.unpack(">BHI", self.receive_bytes(7, patience))
        payload = self.receive_bytes(size)
        assert self.receive_bytes(1) == FRAME_END
        return Frame(type_, channel, payload)

    def _peek(self, patience: float) -> bytes:
        self._received = self.receive_bytes(1, patience) + self._received
        return self._received[:1]

    def expect_silence(self, seconds: float = QUIET) -> None:
        """Fail if any frame comes within so many seconds."""
        try:
            found = self.read_frame(seconds)
        except TimeoutError:
            return
        raise AssertionError(f"unexpected {found}")

    def expect_end(self, patience: float = PATIENCE) -> None:
        """Wait for the broker to close the socket, and close it too; no frame may come before."""
        try:
            found = self.read_frame(patience)
        except EndOfStream:
            self.close()
            assert not self._received
            return
        raise AssertionError(f"unexpected {found}")

    def expect_protocol_header(self) -> None:
        """Wait for the broker to tell its protocol version and close the socket."""
        assert self.receive_bytes(8) == PROTOCOL_HEADER
        self.expect_end()

    def rest(self) -> tuple[bytes, bool]:
        """Take all bytes up to the end of the connection, and tell whether that was a reset."""
        self.socket.settimeout(PATIENCE)
        while True:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError:
                return self._received, True
            if not data:
                return self._received, False
            self._received += data

    def forget(self) -> None:
        """Drop the frames that were read and not asked for."""
        self._waiting.clear()

    def close(self) -> None:
        """Close the socket without a word."""
        self.socket.close()


class Line:
    """One channel number of a link."""

    def __init__(self, link: Link, number: int) -> None:
        self.link = link
        self.number = number

    def send(self, *methods: Method) -> None:
        """Send methods, with their content, in one write."""
        self.link.send_bytes(b"".join(method.frames(self.number, self.link.frame_max) for method in methods))

    def next(self, patience: float = PATIENCE) -> Method:
        """Read the next method on this channel, with its content."""
        found = self.link.read_frame_of(self.number, patience)
        assert found.type == METHOD, f"a method was expected, not {found}"
        method = decode_method(found.payload)
        if isinstance(method, ContentMethod):
            self._read_content(method)
        return method

    def expect(self, kind: type[Kind], patience: float = PATIENCE) -> Kind:
        """Read the next method on this channel, which must be of this kind."""
        method = self.next(patience)
        assert isinstance(method, kind), f"{kind.__name__} was expected, not {method}"
        return method

    def call(self, method: Request[Reply]) -> Reply:
        """Send a method and read its reply."""
        self.send(method)
        return self.expect(method.reply())

    def arriving(self, kind: type[Kind], quiet: float = QUIET, least: int = 0) -> Iterator[Kind]:
        """Yield methods of one kind until nothing comes for a while. least: how many are waited for patiently."""
        for number in itertools.count():
            try:
                found = self.expect(kind, PATIENCE if number < least else quiet)
            except TimeoutError:
                return
            yield found

    def expect_silence(self, seconds: float = QUIET) -> None:
        """Fail if anything comes on this channel within so many seconds."""
        assert not list(self.arriving(Method, seconds))

    def _read_content(self, method: ContentMethod) -> None:
        header = self.link.read_frame_of(self.number)
        assert header.type == HEADER, f"a content header was expected, not {header}"
        reader = Reader(header.payload)
        assert (reader.number(">H"), reader.number(">H")) == (60, 0)
        size = reader.number(">Q")
        method.properties = Properties.decode(reader.take(reader.left))
        while len(method.body) < size:
            piece = self.link.read_frame_of(self.number)
            assert piece.type == BODY, f"a content body was expected, not {piece}"
            assert len(piece.payload) <= (self.link.frame_max or 1 << 30) - 8
            method.body += piece.payload
        assert len(method.body) == size
