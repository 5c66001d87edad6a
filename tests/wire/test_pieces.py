"""Large contents leave the writer as they came, if the receiver can have them so; the bytes are the same either way."""

from __future__ import annotations

import pytest
from librt.strings import BytesWriter

from leveret.wire.content import make_content, write_content
from leveret.wire.methods import ConnectionCloseOk
from leveret.wire.writer import LARGE, SPARE, DeliveryHead, FrameWriter

BODY = bytes(range(256)) * 400


def received(publisher: int) -> bytes:
    """A content in three body frames, as it comes on a channel."""
    out = BytesWriter()
    write_content(out, make_content(b"\x00\x00", BODY, 40_000), publisher, 0)
    return out.getvalue()


@pytest.mark.parametrize("frame_max", [0, 40_000, 39_999, 4096])
@pytest.mark.parametrize("channel", [1, 2, 0x8001, 0xFFFF])
@pytest.mark.parametrize("publisher", [1, 0x8001])
def test_a_large_content(publisher: int, channel: int, frame_max: int) -> None:
    content = received(publisher)
    assert len(content) > LARGE
    expected = BytesWriter()
    write_content(expected, content, channel, frame_max)
    writer = FrameWriter()
    writer.frame_max = frame_max
    writer.raw(b"before")
    writer.content(channel, content)
    writer.raw(b"after")
    pieces = writer.take_pieces()
    assert b"".join(pieces) == b"before" + expected.getvalue() + b"after"
    is_cut_anew = frame_max in (39_999, 4096)
    assert any(piece is content for piece in pieces) is (channel == publisher and not is_cut_anew)
    copied = sum(len(piece) for piece in pieces if isinstance(piece, bytes) and piece is not content)
    assert (copied < 200) is not is_cut_anew
    assert writer.size() == 0


def test_frames_of_different_channels_are_not_as_they_should_be() -> None:
    content = bytearray(received(1))
    last = content.rindex(b"\x03\x00\x01")
    content[last + 2] = 7
    writer = FrameWriter()
    writer.content(1, bytes(content))
    assert writer.take() == received(1)


def test_the_size_counts_pieces() -> None:
    content = received(1)
    writer = FrameWriter()
    for number in range(3):
        assert writer.size() == number * len(content)
        writer.content(1, content)
    assert writer.take_pieces() == [content] * 3
    assert writer.take_pieces() == []


def test_buffers_go_round_between_writers_and_keep_nothing() -> None:
    head, body = DeliveryHead(1, "tag"), make_content(b"\x00\x00", b"x" * 1000)
    expected: list[bytes] = []
    for number in range(2 * SPARE):
        writers = [FrameWriter() for _ in range(number + 1)]
        for at, writer in enumerate(writers):
            writer.method(0, ConnectionCloseOk())  # small things come first
            for tag in range(at + 1):
                writer.delivery(head, tag, False, b"\x00\x01q", body)
        taken = [writer.take() for writer in writers]
        assert taken[: len(expected)] == expected
        expected = taken
        assert all(writer.size() == 0 for writer in writers)
    assert len(expected[0]) < len(expected[1])
