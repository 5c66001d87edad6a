"""FrameWriter: the output buffer of a connection. Large contents are not copied into it."""

from typing import Final

from librt.strings import BytesWriter, write_i16_be, write_i32_be, write_i64_be
from mypy_extensions import i16, i32, i64

from leveret.wire.arguments import Method
from leveret.wire.constants import FRAME_END, FRAME_METHOD
from leveret.wire.content import Piece, pieces, write_content
from leveret.wire.fields import close_length, open_length

BASIC_DELIVER: Final = 60 << 16 | 60
BASIC_ACK: Final = 60 << 16 | 80
BASIC_NACK: Final = 60 << 16 | 120
HEARTBEAT: Final = b"\x08\x00\x00\x00\x00\x00\x00\xce"
LARGE: Final = 32 << 10  # bytes of a content; above that, copying costs more than sending another piece
SPARE: Final = 8  # buffers for reuse: growing a new one takes longer than filling it
SPARE_BYTES: Final = 512 << 10  # a buffer that held more is not reused

_spare: Final[list[BytesWriter]] = []  # of all writers in this process


class DeliveryHead:
    """The constant part of basic.deliver for one consumer: frame type, channel, method, consumer tag.

    whole: this part with the frame length, for addresses of the same length as the first one.
    """

    __slots__ = ("address_size", "channel", "method", "start", "whole")

    def __init__(self, channel: int, consumer_tag: str) -> None:
        tag = consumer_tag.encode("utf-8", "surrogateescape")
        self.channel: i64 = channel
        self.start = bytes((FRAME_METHOD, channel >> 8, channel & 0xFF))
        self.method = BASIC_DELIVER.to_bytes(4, "big") + bytes((len(tag),)) + tag
        self.whole = b""
        self.address_size: i64 = -1

    def fit(self, address_size: i64) -> None:
        """Set whole for addresses of address_size bytes."""
        self.whole = self.start + int(len(self.method) + 9 + address_size).to_bytes(4, "big") + self.method
        self.address_size = address_size


class FrameWriter:
    """The frames of one connection that wait to be sent."""

    __slots__ = ("_is_grown", "_out", "_pieces", "_pieces_size", "frame_max")

    def __init__(self) -> None:
        self._out = BytesWriter()
        self._is_grown = False  # the buffer is large, or is growing
        self._pieces: list[Piece] = []  # sent before the buffer
        self._pieces_size: i64 = 0
        self.frame_max: i64 = 0

    def size(self) -> i64:
        """Bytes waiting."""
        return self._pieces_size + len(self._out)

    def take(self) -> bytes:
        """Take the waiting bytes."""
        return b"".join(self.take_pieces())

    def take_pieces(self) -> list[Piece]:
        """Take the waiting bytes, in pieces."""
        self._end_piece()
        pieces, self._pieces = self._pieces, []
        self._pieces_size = 0
        return pieces

    def _end_piece(self) -> None:
        if not len(self._out):
            return
        out = self._out
        data = out.getvalue()
        self._out = BytesWriter()
        self._pieces.append(data)
        self._pieces_size += len(data)
        if self._is_grown:
            self._is_grown = False
            if len(data) <= SPARE_BYTES and len(_spare) < SPARE:
                out.truncate(0)
                _spare.append(out)

    def _grow(self) -> None:
        """Switch to a large buffer from the spare ones, if there is one, before much output."""
        self._is_grown = True
        try:
            out = _spare.pop()
        except IndexError:
            return
        out.write(self._out.getvalue())
        self._out = out

    def raw(self, data: bytes) -> None:
        """Write bytes unchanged: the protocol header, or complete frames."""
        self._out.write(data)

    def method(self, channel: int, method: Method) -> None:
        """Write a method frame."""
        out = self._out
        out.append(FRAME_METHOD)
        out.append(channel >> 8)
        out.append(channel & 0xFF)
        start = open_length(out)
        method.encode(out)
        close_length(out, start)
        out.append(FRAME_END)

    def content(self, channel: i64, content: bytes) -> None:
        """Write the header and body frames of a message."""
        found = pieces(content, channel, self.frame_max) if len(content) >= LARGE else []
        if found:
            self._end_piece()
            self._pieces += found
            self._pieces_size += len(content)
        else:
            write_content(self._out, content, channel, self.frame_max)

    def delivery(self, head: DeliveryHead, tag: i64, redelivered: bool, address: bytes, content: bytes) -> None:
        """Write a basic.deliver with its content.

        address: exchange and routing key as two short strings.
        """
        if not self._is_grown:
            self._grow()
        out = self._out
        if head.address_size < 0:
            head.fit(len(address))
        if len(address) == head.address_size:
            out.write(head.whole)
        else:
            out.write(head.start)
            write_i32_be(out, i32(len(head.method) + 9 + len(address)))
            out.write(head.method)
        write_i64_be(out, tag)
        out.append(1 if redelivered else 0)
        out.write(address)
        out.append(FRAME_END)
        self.content(head.channel, content)

    def confirm(self, channel: i64, tag: i64, multiple: bool) -> None:
        """Write a basic.ack to a publisher."""
        self._settlement(channel, BASIC_ACK, tag, 1 if multiple else 0)

    def refuse(self, channel: i64, tag: i64) -> None:
        """Write a basic.nack to a publisher."""
        self._settlement(channel, BASIC_NACK, tag, 0)

    def _settlement(self, channel: i64, method: i32, tag: i64, bits: int) -> None:
        out = self._out
        out.append(FRAME_METHOD)
        write_i16_be(out, i16(channel if channel < 0x8000 else channel - 0x10000))
        write_i32_be(out, 13)
        write_i32_be(out, method)
        write_i64_be(out, tag)
        out.append(bits)
        out.append(FRAME_END)
