"""AmqpClient: a synchronous AMQP 0-9-1 client for commands, with one channel.

Message contents are kept as the received frames, so that they can be passed on unchanged. The callback `between` runs
while the client waits.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from leveret.wire import content as frames
from leveret.wire.constants import FRAME_BODY, FRAME_HEADER, FRAME_MAX, FRAME_METHOD, PROTOCOL_HEADER
from leveret.wire.content import make_content
from leveret.wire.fields import DecodeError, boolean, longstr, table
from leveret.wire.methods import (
    BasicDeliver,
    BasicGetOk,
    BasicPublish,
    BasicReturn,
    ChannelClose,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionBlocked,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionStartOk,
    ConnectionTune,
    ConnectionTuneOk,
    ConnectionUnblocked,
    Method,
    decode,
)
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import FrameError, FrameReader
from leveret.wire.writer import HEARTBEAT, FrameWriter

M = TypeVar("M", bound=Method)

CHANNEL: Final = 1
CHANNELS: Final = 16  # channel_max to negotiate
ANSWER_S: Final = 30.0
TICK_S: Final = 1.0  # the longest wait without a call of `between`
SOME: Final = 1 << 18  # bytes in one read
READS: Final = 16  # per check()
PIECE: Final = 1 << 16  # bytes in one write
RUN: Final = 32 << 10  # bytes of a body above which its frames are read as one run
MISSED: Final = 3  # heartbeats that may be missed
CAPABILITIES: Final = (
    "basic.nack",
    "consumer_cancel_notify",
    "publisher_confirms",
    "authentication_failure_close",
    "connection.blocked",
)


class AmqpError(Exception):
    """The broker closed the connection or the channel, or does not answer. The text says why.

    code: the reply code of the close; 0 if the connection was lost. is_channel: only the channel is closed.
    """

    def __init__(self, text: str, code: int = 0, is_channel: bool = False) -> None:
        super().__init__(text)
        self.code = code
        self.is_channel = is_channel


class Got:
    """A received method. content: the frames of its content, or empty."""

    __slots__ = ("content", "method")

    def __init__(self, method: Method, content: bytes = b"") -> None:
        self.method = method
        self.content = content

    @property
    def properties(self) -> BasicProperties:
        """The properties of the content. Raises: AmqpError."""
        try:
            return BasicProperties.parse(frames.properties(self.content))
        except DecodeError as error:
            raise AmqpError(f"a message has invalid properties: {error}") from None

    @property
    def body(self) -> bytes:
        """The body of the content."""
        return frames.body(self.content)


class AmqpClient:
    """An open connection with one channel. All methods that wait raise AmqpError.

    heartbeat_s: heartbeat interval in seconds, 0 for none; with heartbeats, answers may take any time. between: called
    at least once a second while waiting; it may raise. is_blocked: why the broker blocks publishers; empty if it does
    not.
    """

    def __init__(
        self,
        raw: socket.socket,
        user: str,
        password: str,
        vhost: str,
        heartbeat_s: int = 0,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._socket = raw
        self._reader = FrameReader(0)
        self._writer = FrameWriter()
        self._writer.frame_max = FRAME_MAX
        self._waiting: deque[Got] = deque()
        self._partial: Method | None = None
        self._frames: list[bytes] = []  # of its content
        self._left = 0  # bytes of its body not received yet
        self._failure: AmqpError | None = None  # why the broker closed the channel or the connection
        self._heartbeat_s = 0
        self._heard_s = self._sent_s = time.monotonic()
        self._between = between
        self._is_patient = False  # no timeout for answers while there are heartbeats
        self.is_blocked = ""
        raw.setblocking(False)
        self._send_bytes(PROTOCOL_HEADER)
        self.wait(ConnectionStart)
        about: Any = {
            "capabilities": table({name: boolean(True) for name in CAPABILITIES}),
            "product": longstr(b"leveret command"),
        }
        response = f"\0{user}\0{password}".encode("utf-8", "surrogateescape")
        self.send(ConnectionStartOk(about, "PLAIN", response, "en_US"), 0)
        offered = self.wait(ConnectionTune)
        frame_max = min(offered.frame_max or FRAME_MAX, FRAME_MAX)
        self._writer.frame_max = frame_max
        self.send(ConnectionTuneOk(min(offered.channel_max or CHANNELS, CHANNELS), frame_max, heartbeat_s), 0)
        self._heartbeat_s = heartbeat_s
        self.send(ConnectionOpen(vhost), 0)
        self.wait(ConnectionOpenOk)
        self.call(ChannelOpen(), ChannelOpenOk)
        self._is_patient = heartbeat_s > 0

    def call(self, method: Method, answer: type[M]) -> M:
        """Send a method and wait for its answer."""
        self.send(method)
        return self.wait(answer)

    def send(self, method: Method, channel: int = CHANNEL) -> None:
        """Send a method without waiting for an answer."""
        self._writer.method(channel, method)
        self.flush()

    def publish(self, exchange: str, key: str, properties: bytes, body: bytes) -> None:
        """Buffer a message for flush()."""
        self.put(BasicPublish(exchange, key), make_content(properties, body, FRAME_MAX))

    def put(self, method: Method, content: bytes = b"") -> None:
        """Buffer a method, with its content if it has one, for flush()."""
        self._writer.method(CHANNEL, method)
        if content:
            self._writer.content(CHANNEL, content)

    def flush(self) -> None:
        """Send what is buffered."""
        for piece in self._writer.take_pieces():
            self._send_bytes(piece)

    def reopen(self) -> None:
        """Open the channel again after the broker has closed it."""
        self._waiting.clear()
        self.send(ChannelCloseOk())
        self.call(ChannelOpen(), ChannelOpenOk)

    def wait(self, kind: type[M]) -> M:
        """The next method of this type. Others, such as deliveries, are kept for next()."""
        method = self.take(kind).method
        assert isinstance(method, kind)
        return method

    def take(self, *kinds: type[Method]) -> Got:
        """The next method of one of these types, with its content. Others are kept for next()."""
        others: deque[Got] = deque()
        deadline = time.monotonic() + ANSWER_S
        while True:
            left = deadline - time.monotonic()
            got = self.next(TICK_S if self._is_patient else left)
            if got is None:
                if self._is_patient:
                    continue
                raise AmqpError("the broker does not answer")
            if isinstance(got.method, kinds):
                self._waiting.extendleft(reversed(others))
                return got
            others.append(got)

    def next(self, patience_s: float) -> Got | None:
        """The next method; None after a timeout. patience_s: seconds, 0 for only what has arrived already."""
        deadline = time.monotonic() + patience_s
        while not self._waiting:
            left = deadline - time.monotonic()
            if left < 0 and patience_s > 0:
                return None
            is_ready = self._is_ready(min(max(left, 0), TICK_S))
            self._pause()
            if is_ready:
                self._receive()
            elif left <= TICK_S:
                return None
        return self._waiting.popleft()

    def check(self) -> None:
        """Read received data without waiting. Raises: AmqpError if the broker has closed the connection."""
        for _ in range(READS):
            if not self._is_ready(0):
                break
            self._receive()

    def beat(self) -> None:
        """Send a heartbeat if one is due."""
        if not self._heartbeat_s:
            return
        now_s = time.monotonic()
        if now_s - self._sent_s > self._heartbeat_s / 2 and select.select([], [self._socket], [], 0)[1]:
            self._sent_s = now_s
            with contextlib.suppress(OSError):  # a later read reports the failure
                self._socket.send(HEARTBEAT)

    def _pause(self) -> None:
        self.beat()
        if self._heartbeat_s and time.monotonic() - self._heard_s > MISSED * self._heartbeat_s:
            raise AmqpError("the broker stopped answering")
        self._between()

    def _is_ready(self, patience_s: float) -> bool:
        if isinstance(self._socket, ssl.SSLSocket) and self._socket.pending():
            return True
        return bool(select.select([self._socket], [], [], patience_s)[0])

    def _receive(self) -> None:
        try:
            data = self._socket.recv(SOME)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as error:
            raise AmqpError(f"the connection to the broker was lost: {error.strerror or error}") from None
        if not data:
            raise AmqpError("the broker closed the connection")
        self._heard_s = time.monotonic()
        reader = self._reader
        reader.feed(data)
        try:
            while reader.next():
                if reader.is_run():
                    self._run(reader)
                else:
                    self._take(reader)
        except (FrameError, DecodeError) as error:
            raise AmqpError(f"the server does not speak AMQP 0-9-1: {error}") from None
        reader.rest()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _take(self, reader: FrameReader) -> None:
        """Process one frame."""
        if reader.kind == FRAME_METHOD:
            method = decode(reader.payload())
            if method is None:
                raise AmqpError("the broker sent an unknown method")
            self._look_at(method)
            if not isinstance(method, BasicDeliver | BasicGetOk | BasicReturn):
                self._waiting.append(Got(method))
                return
            self._frames = []
            content = reader.whole_content()
            if content is not None:
                self._waiting.append(Got(method, content))
            else:
                self._partial = method
        elif reader.kind == FRAME_HEADER and self._partial is not None:
            frame = reader.frame()
            self._frames = [frame]
            self._left = int(frames.body_size(frame))
            self._go_on(reader)
        elif reader.kind == FRAME_BODY and self._partial is not None:
            self._left -= reader.stop - reader.start
            self._frames.append(reader.frame())
            self._go_on(reader)

    def _run(self, reader: FrameReader) -> None:
        """Process many body frames at once."""
        self._left -= int(reader.run_size())
        if len(self._frames) == 1:
            self._frames.clear()  # the header is in the run
        self._frames.append(reader.take_run())
        self._go_on(reader)

    def _go_on(self, reader: FrameReader) -> None:
        if self._left > 0:
            if self._left >= RUN:
                reader.expect_run(self._left, self._frames[0] if len(self._frames) == 1 else b"")
            return
        assert self._partial is not None
        content = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        self._waiting.append(Got(self._partial, content))
        self._partial = None
        self._frames = []

    def _look_at(self, method: Method) -> None:
        if isinstance(method, ConnectionClose | ChannelClose):
            text = f"{method.reply_code} {method.reply_text}"
            self._failure = AmqpError(text, method.reply_code, isinstance(method, ChannelClose))
        elif isinstance(method, ConnectionBlocked):
            self.is_blocked = method.reason or "no reason given"
        elif isinstance(method, ConnectionUnblocked):
            self.is_blocked = ""

    def _send_bytes(self, data: bytes | memoryview) -> None:
        """Send all data. Also receives meanwhile, so that the two sides cannot block each other."""
        left = memoryview(data)
        while left:
            try:
                count = self._socket.send(left[:PIECE])
            except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
                self._wait_to_send()
                continue
            except OSError as error:
                self._last_words()
                raise AmqpError(f"the connection to the broker was lost: {error.strerror or error}") from None
            self._sent_s = time.monotonic()
            left = left[count:]

    def _wait_to_send(self) -> None:
        """Wait until more can be sent."""
        readable, writable, _ = select.select([self._socket], [self._socket], [], TICK_S)
        if readable:
            self._receive()
        if not writable:
            self._pause()

    def _last_words(self) -> None:
        """Read what the broker sent before the connection was lost, as it may contain the reason."""
        with contextlib.suppress(OSError):
            while self._is_ready(0):
                self._receive()

    def close(self) -> None:
        """Close the connection. Unacknowledged messages become ready again."""
        self._is_patient = False
        self._between = lambda: None
        with contextlib.suppress(AmqpError):
            if not self.is_blocked:  # a blocked broker reads nothing
                self.send(ConnectionClose(200, "done"), 0)
                self.wait(ConnectionCloseOk)
        self.drop()

    def drop(self) -> None:
        """Close the socket without a handshake."""
        with contextlib.suppress(OSError):
            self._socket.close()
