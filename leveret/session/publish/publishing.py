"""basic.publish: translates frames into calls of the core, and its results into frames.

In the common case the whole content is in the buffer, and one step handles it. Otherwise the content is assembled frame
by frame, and each byte is examined once. core/client/publisher.py decides what a publish means; its target is the
encoded arguments of basic.publish.
"""

from __future__ import annotations

from typing import Final

from librt.strings import read_i16_be, read_i64_be
from mypy_extensions import i64

from leveret.core.client.receiver import Receiver
from leveret.core.errors.refusals import Refusal
from leveret.core.exchange.exchange import Route
from leveret.core.message.message import Address, Message
from leveret.session.base.carrier import Confirming
from leveret.session.base.errors import AmqpError
from leveret.session.base.lane import OPEN, Lane
from leveret.session.publish.confirms import Confirms
from leveret.wire import content as frames
from leveret.wire.arguments import ArgumentReader
from leveret.wire.constants import (
    CLASS_BASIC,
    FRAME_ERROR,
    FRAME_MIN_SIZE,
    FRAME_OVERHEAD,
    MAX_CONTENT_SIZE,
    NOT_IMPLEMENTED,
    SMALL_BODY_FRAME,
    UNEXPECTED_FRAME,
)
from leveret.wire.fields import DecodeError
from leveret.wire.reader import FrameReader, octets

IDLE: Final = 0  # the next expected frame of a content
HEADER: Final = 1
BODY: Final = 2
IMMEDIATE: Final = 2  # in the last octet of basic.publish, beside mandatory
LARGE: Final = 256 << 10  # remaining bytes of a body; above that its frames stay in one piece


class Publishing(Confirming):
    """The publishing half of a channel. confirms: those to be written; None outside of confirm mode."""

    __slots__ = (
        "_arguments",
        "_frames",
        "_in_content",
        "_left",
        "_loose",
        "_loose_size",
        "_size",
        "_unflushed",
        "channel",
        "confirms",
        "connection",
        "expects",
    )

    def __init__(self, channel: Lane, receiver: Receiver) -> None:
        super().__init__(channel.connection, channel.counters, receiver)
        self.channel = channel
        self.connection = channel.connection
        self.confirms: Confirms | None = None
        self.expects: i64 = IDLE
        self._arguments = b""
        self._frames: list[bytes] = []
        self._loose: list[bytes] = []  # payloads of small body frames, to be joined
        self._loose_size: i64 = 0
        self._size: i64 = 0
        self._left: i64 = 0
        self._unflushed = False
        self._in_content = False

    # -- content, whole or in pieces

    def method(self, reader: FrameReader) -> None:
        """Handle a basic.publish frame."""
        arguments = reader.data[reader.start + 4 : reader.stop]
        content = reader.whole_content()
        if content is not None:
            self.publish(arguments, content)
        else:
            self._arguments = arguments
            self.expects = HEADER

    def header(self, reader: FrameReader) -> None:
        """Handle a content header. Raises: AmqpError 505, 501."""
        if self.expects == IDLE:
            raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        if self.expects == BODY:
            raise AmqpError(UNEXPECTED_FRAME, "expected content body, got non content body frame instead")
        class_id = int(read_i16_be(reader.data, reader.start)) & 0xFFFF
        if read_i16_be(reader.data, reader.start + 2) != 0:
            raise self.no_header()
        if class_id != CLASS_BASIC:
            text = f"expected content header for class 60, got one for class {class_id} instead"
            raise AmqpError(UNEXPECTED_FRAME, text)
        size = int(read_i64_be(reader.data, reader.start + 4)) & 0xFFFFFFFFFFFFFFFF
        if size > MAX_CONTENT_SIZE:
            text = f"content body size {size} exceeds maximum allowed size {MAX_CONTENT_SIZE}"
            raise AmqpError(FRAME_ERROR, text)
        self.connection.sends_parts = True
        self._frames = [reader.frame()]
        self._size = self._left = size
        self.expects = BODY
        if size == 0:
            self._complete()
        else:
            self._expect_run(reader)

    def body(self, reader: FrameReader) -> None:
        """Handle a body frame, or several in a run. Raises: AmqpError 505, 501."""
        if self.expects == IDLE:
            raise AmqpError(UNEXPECTED_FRAME, "expected method frame, got non method frame instead")
        if self.expects == HEADER:
            raise self.no_header()
        size = reader.run_size() if reader.is_run() else reader.stop - reader.start
        if size > self._left:
            raise AmqpError(FRAME_ERROR, "content body frame exceeds remaining content size")
        self._left -= size
        self.connection.sends_parts = True
        if reader.is_run():
            if len(self._frames) == 1:
                self._frames.clear()  # the header is in the run
            self._frames.append(reader.take_run())
        elif size and self._size <= self.connection.max_message_size:
            if size < SMALL_BODY_FRAME and self._left:
                if self._loose_size + size > FRAME_MIN_SIZE - FRAME_OVERHEAD:
                    self._join_loose()
                self._loose.append(reader.payload())
                self._loose_size += size
            else:
                self._join_loose()
                self._frames.append(reader.frame())
        if self._left == 0:
            self._complete()
        else:
            self._expect_run(reader)

    def _expect_run(self, reader: FrameReader) -> None:
        """Let the reader collect the rest of a large body."""
        if self._left >= LARGE and self._size <= self.connection.max_message_size and not self._loose:
            reader.expect_run(self._left, self._frames[0] if len(self._frames) == 1 else b"")

    def _join_loose(self) -> None:
        """Join small frames to one, so that a body in frames of one byte does not cost more memory than others."""
        if self._loose:
            self._frames.append(frames.body_frame(b"".join(self._loose)))
            self._loose = []
            self._loose_size = 0

    @staticmethod
    def no_header() -> AmqpError:
        """The error for another frame in place of a content header."""
        text = "expected content header for class 60, got non content header frame instead"
        return AmqpError(UNEXPECTED_FRAME, text)

    def interrupted(self) -> AmqpError:
        """The error for a method in place of a content header or body."""
        if self.expects == HEADER:
            return self.no_header()
        return AmqpError(UNEXPECTED_FRAME, "expected content body, got non content body frame instead")

    @property
    def was_content(self) -> bool:
        """Whether the current frame belongs to a basic.publish, for the method id of an error reply."""
        return self._in_content or self.expects != IDLE

    def forget(self) -> None:
        """Drop an incomplete content."""
        self.expects = IDLE
        self._frames = []
        self._loose = []
        self._loose_size = 0

    def _complete(self) -> None:
        content = self._frames[0] if len(self._frames) == 1 else b"".join(self._frames)
        size = self._size
        self.forget()
        self._in_content = True
        if size > self.connection.max_message_size:
            refusal: Refusal = self.too_large(size)
            if self._arguments and self._arguments[-1] & IMMEDIATE:
                refusal = AmqpError(NOT_IMPLEMENTED, "immediate=true")
            self.note_refusal(self._arguments, b"", size, refusal)
            raise refusal
        self.publish(self._arguments, content)
        self._in_content = False

    # -- called by the core

    def resolve(self, target: bytes) -> Route:
        """Decode the arguments of a basic.publish. Raises: AmqpError 501, 540, and what route_to() raises."""
        reader = ArgumentReader(target, 2)
        try:
            name, key, bits = reader.shortbytes(), reader.shortbytes(), reader.u8()
        except (IndexError, DecodeError):
            raise AmqpError(FRAME_ERROR, f"cannot decode {octets(target)}") from None
        if bits & IMMEDIATE:
            raise AmqpError(NOT_IMPLEMENTED, "immediate=true")
        return self.route_to(Address(name, key, target[2:-1]), bits & 1 != 0)

    def named(self, target: bytes) -> Address | None:
        """The exchange and routing key in the arguments of a basic.publish; None if they cannot be decoded."""
        reader = ArgumentReader(target, 2)
        try:
            return Address(reader.shortbytes(), reader.shortbytes(), b"")
        except (IndexError, DecodeError):
            return None

    def returned(self, message: Message) -> None:
        """Send a basic.return."""
        self.channel.send_back(message)

    def committed(self, failed: bool) -> None:
        """A tx.commit is complete."""
        self.channel.committed(failed)

    # -- confirms

    def select_confirms(self) -> None:
        """Turn on confirm mode."""
        if self.confirms is None:
            self.confirms = Confirms()
            self.wants_confirms = True

    @property
    def unconfirmed(self) -> int:
        """The number of publishes that are neither confirmed nor refused."""
        return 0 if self.confirms is None else int(self.last_tag) - self.confirms.settled

    def confirmed(self, tag: i64) -> None:
        """Ack this publish, at the next flush and together with others."""
        if self.confirms is not None:
            self.confirms.confirmed(tag)
            self._settled()

    def refused(self, tag: i64, how: int) -> None:
        """Nack this publish at the next flush."""
        if self.confirms is not None:
            self.confirms.refused(tag)
            self._settled()

    def flush(self) -> None:
        """Write the confirms since the last flush."""
        self._unflushed = False
        if self.confirms is not None and self.channel.state == OPEN:
            self.confirms.flush(self.connection.writer, self.channel.number, self.counters)

    def _settled(self) -> None:
        if not self._unflushed:
            self._unflushed = True
            self.connection.unflushed.append(self)
            self.connection.wake()
