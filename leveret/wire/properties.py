"""BasicProperties: the decoded properties of a message.

Normally properties stay encoded from publisher to consumer; they are decoded only on demand. Decoding and encoding
gives the same bytes, except that a table loses duplicate keys.
Source: 0-9-1 §4.2.6.1; order and types as rabbit_framing_amqp_0_9_1.
"""

from __future__ import annotations

from librt.strings import BytesWriter, write_i64_be
from mypy_extensions import i64

from leveret.wire.arguments import ArgumentReader
from leveret.wire.fields import DecodeError, Table, encode_table, write_shortstr, write_u16


class BasicProperties:
    """The fourteen properties; None where absent. timestamp: seconds since 1970."""

    __slots__ = (
        "app_id",
        "cluster_id",
        "content_encoding",
        "content_type",
        "correlation_id",
        "delivery_mode",
        "expiration",
        "headers",
        "message_id",
        "message_type",
        "priority",
        "reply_to",
        "timestamp",
        "user_id",
    )

    def __init__(self) -> None:
        self.content_type: str | None = None
        self.content_encoding: str | None = None
        self.headers: Table | None = None
        self.delivery_mode: int | None = None
        self.priority: int | None = None
        self.correlation_id: str | None = None
        self.reply_to: str | None = None
        self.expiration: str | None = None
        self.message_id: str | None = None
        self.timestamp: int | None = None
        self.message_type: str | None = None
        self.user_id: str | None = None
        self.app_id: str | None = None
        self.cluster_id: str | None = None

    @staticmethod
    def parse(data: bytes) -> BasicProperties:
        """Decode flags and values.

        Raises: DecodeError when they are cut short or invalid.
        """
        try:
            return _parse(ArgumentReader(data, 0))
        except IndexError:
            raise DecodeError("properties are cut short") from None

    def encode(self) -> bytes:
        """Encode flags and values as in a content header."""
        flags = 0
        out = BytesWriter()
        flags |= _text(out, 15, self.content_type)
        flags |= _text(out, 14, self.content_encoding)
        if self.headers is not None:
            flags |= 1 << 13
            encode_table(out, self.headers)
        flags |= _octet(out, 12, self.delivery_mode)
        flags |= _octet(out, 11, self.priority)
        flags |= _text(out, 10, self.correlation_id)
        flags |= _text(out, 9, self.reply_to)
        flags |= _text(out, 8, self.expiration)
        flags |= _text(out, 7, self.message_id)
        if self.timestamp is not None:
            flags |= 1 << 6
            write_i64_be(out, i64(self.timestamp if self.timestamp < 1 << 63 else self.timestamp - (1 << 64)))
        flags |= _text(out, 5, self.message_type)
        flags |= _text(out, 4, self.user_id)
        flags |= _text(out, 3, self.app_id)
        flags |= _text(out, 2, self.cluster_id)
        head = BytesWriter()
        write_u16(head, flags)
        head.write(out.getvalue())
        return head.getvalue()


def _parse(reader: ArgumentReader) -> BasicProperties:
    result = BasicProperties()
    flags = reader.u16()
    if flags & 1:
        raise DecodeError("more property flags than there are properties")
    result.content_type = reader.shortbytes() if flags & 1 << 15 else None
    result.content_encoding = reader.shortbytes() if flags & 1 << 14 else None
    result.headers = reader.any_table() if flags & 1 << 13 else None
    result.delivery_mode = reader.u8() if flags & 1 << 12 else None
    result.priority = reader.u8() if flags & 1 << 11 else None
    result.correlation_id = reader.shortbytes() if flags & 1 << 10 else None
    result.reply_to = reader.shortbytes() if flags & 1 << 9 else None
    result.expiration = reader.shortbytes() if flags & 1 << 8 else None
    result.message_id = reader.shortbytes() if flags & 1 << 7 else None
    result.timestamp = reader.u64() if flags & 1 << 6 else None
    result.message_type = reader.shortbytes() if flags & 1 << 5 else None
    result.user_id = reader.shortbytes() if flags & 1 << 4 else None
    result.app_id = reader.shortbytes() if flags & 1 << 3 else None
    result.cluster_id = reader.shortbytes() if flags & 1 << 2 else None
    return result


def _text(out: BytesWriter, bit: int, value: str | None) -> int:
    if value is None:
        return 0
    write_shortstr(out, value)
    return 1 << bit


def _octet(out: BytesWriter, bit: int, value: int | None) -> int:
    if value is None:
        return 0
    out.append(value)
    return 1 << bit
