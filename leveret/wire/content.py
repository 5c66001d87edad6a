"""A content: the header frame and the body frames of one message, exactly as they arrived.

The frames contain the publisher's channel number; write_content() replaces it with the receiver's. The body is split
again only if the largest frame exceeds the receiver's frame_max.
"""

from typing import Final, TypeAlias

from librt.strings import (
    BytesWriter,
    read_i16_be,
    read_i32_be,
    read_i64_be,
    write_i32_be,
    write_i64_be,
)
from mypy_extensions import i16, i64, u8

from leveret.wire.constants import CLASS_BASIC, FRAME_BODY, FRAME_END, FRAME_HEADER, FRAME_OVERHEAD
from leveret.wire.fields import DecodeError

Piece: TypeAlias = bytes | memoryview
PROPERTIES_AT: Final = 19  # offset of the property flags: envelope 7, class 2, weight 2, body size 8
HEADERS_FLAG: Final = 1 << 13
DELIVERY_MODE_FLAG: Final = 1 << 12
PRIORITY_FLAG: Final = 1 << 11
REPLY_TO_FLAG: Final = 1 << 9
EXPIRATION_FLAG: Final = 1 << 8
MESSAGE_ID_FLAG: Final = 1 << 7
TIMESTAMP_FLAG: Final = 1 << 6
USER_ID_FLAG: Final = 1 << 4


def property_flags(content: bytes) -> i64:
    """The property flags: a bit for each property that is present."""
    return i64(read_i16_be(content, PROPERTIES_AT)) & 0xFFFF


def property_at(content: bytes, flag: i64) -> i64:
    """The offset of a property's value, present or not, in a content that check_properties() has accepted."""
    flags = property_flags(content)
    pos: i64 = PROPERTIES_AT + 2
    bit: i64 = 1 << 15
    while bit > flag:
        if not flags & bit:
            pass
        elif bit == HEADERS_FLAG:
            pos += 4 + (i64(read_i32_be(content, pos)) & 0xFFFFFFFF)
        elif bit == DELIVERY_MODE_FLAG or bit == PRIORITY_FLAG:
            pos += 1
        elif bit == TIMESTAMP_FLAG:
            pos += 8
        else:
            pos += 1 + i64(content[pos])
        bit >>= 1
    return pos


def properties(content: bytes) -> bytes:
    """Flags and values of the properties, as received."""
    return content[PROPERTIES_AT : body_start(content) - 1]


def body_start(content: bytes) -> i64:
    """The offset of the first body frame; the end of the content if there is none."""
    return i64(read_i32_be(content, 3)) + FRAME_OVERHEAD


def body_size(content: bytes) -> i64:
    """Bytes of the body."""
    return read_i64_be(content, 11)


def body(content: bytes) -> bytes:
    """The body, joined from its frames."""
    parts: list[bytes] = []
    pos = body_start(content)
    while pos < len(content):
        size: i64 = i64(read_i32_be(content, pos + 3))
        parts.append(content[pos + 7 : pos + 7 + size])
        pos += size + FRAME_OVERHEAD
    return parts[0] if len(parts) == 1 else b"".join(parts)


def payload_at(content: bytes, pos: i64) -> tuple[i64, i64]:
    """Start and end offset of the payload of the body frame at pos; the next frame begins one byte after the end."""
    start = pos + 7
    return start, start + (i64(read_i32_be(content, pos + 3)) & 0xFFFFFFFF)


def check_properties(content: bytes) -> bool:
    """Check that the properties fill the header frame exactly. The content of the headers table is not checked.

    Returns: whether the message is persistent, delivery_mode 2.
    Raises: DecodeError when the properties are cut short, too long, or have unknown flags.
    """
    end: i64 = body_start(content) - 1
    flags = property_flags(content)
    pos: i64 = PROPERTIES_AT + 2
    persistent = False
    bit: i64 = 1 << 15
    left = flags
    if flags & 3:
        raise DecodeError("unknown property flags")
    while left:
        if left & bit:
            left ^= bit
            if pos >= end:
                raise DecodeError("properties are cut short")
            if bit == HEADERS_FLAG:
                if pos + 4 > end:
                    raise DecodeError("properties are cut short")
                pos += 4 + (i64(read_i32_be(content, pos)) & 0xFFFFFFFF)
            elif bit == DELIVERY_MODE_FLAG:
                persistent = content[pos] == 2
                pos += 1
            elif bit == PRIORITY_FLAG:
                pos += 1
            elif bit == TIMESTAMP_FLAG:
                pos += 8
            else:
                pos += 1 + i64(content[pos])
        bit >>= 1
    if pos != end:
        raise DecodeError("properties do not fill the header")
    return persistent


def make_content(property_bytes: bytes, body: bytes, frame_max: int = 0) -> bytes:
    """Encode a content from properties and body. frame_max: bytes; 0 for one body frame."""
    out = BytesWriter()
    _write_frames(out, property_bytes, body, 0, frame_max)
    return out.getvalue()


def body_frame(payload: bytes) -> bytes:
    """A body frame, with channel number 0."""
    out = BytesWriter()
    _write_head(out, FRAME_BODY, 0, len(payload))
    out.write(payload)
    out.append(FRAME_END)
    return out.getvalue()


def replace_properties(content: bytes, property_bytes: bytes) -> bytes:
    """A content with the same body frames and other properties."""
    out = BytesWriter()
    _write_header(out, property_bytes, body_size(content), 0)
    out.write(content[body_start(content) :])
    return out.getvalue()


def pieces(content: bytes, channel: i64, frame_max: i64) -> list[Piece]:
    """The output of write_content() without a copy of the bodies; an empty list if the body must be split again."""
    number: i64 = i64(i16(channel if channel < 0x8000 else channel - 0x10000))
    is_right = True
    pos: i64 = 0
    while pos < len(content):
        size: i64 = i64(read_i32_be(content, pos + 3)) + FRAME_OVERHEAD
        if frame_max and size > frame_max:
            return []
        is_right = is_right and i64(read_i16_be(content, pos + 1)) == number
        pos += size
    if is_right:
        return [content]
    found: list[Piece] = []
    view = memoryview(content)
    pos = 0
    while pos < len(content):
        size = i64(read_i32_be(content, pos + 3))
        head = BytesWriter()
        _write_head(head, content[pos], channel, size)
        found.append(head.getvalue())
        found.append(view[pos + 7 : pos + size + FRAME_OVERHEAD])
        pos += size + FRAME_OVERHEAD
    return found


def write_content(out: BytesWriter, content: bytes, channel: i64, frame_max: i64) -> None:
    """Write a content for a receiver: with its channel number in every frame, and no frame above its frame_max."""
    size: i64 = len(content)
    if frame_max and size > frame_max and _largest_frame(content) > frame_max:
        _write_frames(out, properties(content), body(content), channel, frame_max)
        return
    high = u8(channel >> 8)
    low = u8(channel & 0xFF)
    base: i64 = len(out)
    out.write(content)
    pos: i64 = 0
    while pos < size:
        out[base + pos + 1] = high
        out[base + pos + 2] = low
        pos += i64(read_i32_be(content, pos + 3)) + FRAME_OVERHEAD


def _largest_frame(content: bytes) -> i64:
    largest: i64 = 0
    pos = body_start(content)
    while pos < len(content):
        size: i64 = i64(read_i32_be(content, pos + 3)) + FRAME_OVERHEAD
        if size > largest:
            largest = size
        pos += size
    return largest


def _write_frames(out: BytesWriter, property_bytes: bytes, body: bytes, channel: i64, frame_max: i64) -> None:
    _write_header(out, property_bytes, len(body), channel)
    left: i64 = len(body)
    pos: i64 = 0
    while left:
        size = left
        if frame_max and size > frame_max - FRAME_OVERHEAD:
            size = frame_max - FRAME_OVERHEAD
        _write_head(out, FRAME_BODY, channel, size)
        out.write(body[pos : pos + size])
        out.append(FRAME_END)
        pos += size
        left -= size


def _write_header(out: BytesWriter, property_bytes: bytes, size: i64, channel: i64) -> None:
    _write_head(out, FRAME_HEADER, channel, 12 + len(property_bytes))
    write_i32_be(out, CLASS_BASIC << 16)
    write_i64_be(out, size)
    out.write(property_bytes)
    out.append(FRAME_END)


def _write_head(out: BytesWriter, kind: int, channel: i64, size: i64) -> None:
    out.append(kind)
    out.append(u8(channel >> 8))
    out.append(u8(channel & 0xFF))
    out.append(u8(size >> 24))
    out.append(u8((size >> 16) & 0xFF))
    out.append(u8((size >> 8) & 0xFF))
    out.append(u8(size & 0xFF))
