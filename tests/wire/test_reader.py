"""FrameReader: the same frames, however the stream is cut, and errors in RabbitMQ's words."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.wire.constants import SMALL_BODY_FRAME
from leveret.wire.content import make_content
from leveret.wire.reader import FrameError, FrameReader

Frame = tuple[int, int, bytes]

FRAMES = st.lists(
    st.tuples(st.integers(0, 255), st.integers(0, 0xFFFF), st.binary(max_size=60)), min_size=1, max_size=12
)


def to_bytes(frame: Frame) -> bytes:
    """A frame as it stands on the wire."""
    kind, channel, payload = frame
    return bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + b"\xce"


def read(reader: FrameReader, piece: bytes) -> list[Frame]:
    """What is whole after a piece has arrived."""
    reader.feed(piece)
    found: list[Frame] = []
    while reader.next():
        found.append((int(reader.kind), int(reader.channel), reader.payload()))
        assert reader.frame() == to_bytes(found[-1])
    reader.rest()
    return found


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """The stream in pieces."""
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places)]


@given(FRAMES, st.lists(st.integers(0, 2000), max_size=20))
def test_any_cutting_gives_the_same_frames(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(to_bytes(frame) for frame in frames)
    reader = FrameReader(0)
    found = [frame for piece in cut(stream, cuts) for frame in read(reader, piece)]
    assert found == frames


@given(FRAMES)
def test_byte_by_byte(frames: list[Frame]) -> None:
    reader = FrameReader(0)
    stream = b"".join(to_bytes(frame) for frame in frames)
    assert [frame for octet in stream for frame in read(reader, bytes((octet,)))] == frames


def test_a_large_frame_in_crumbs() -> None:
    frame = (1, 7, bytes(range(256)) * 40)
    reader = FrameReader(0)
    found = [each for octet in to_bytes(frame) for each in read(reader, bytes((octet,)))]
    assert found == [frame]


def test_bytes_before_the_first_frame() -> None:
    reader = FrameReader(0)
    reader.feed(b"AMQP")
    assert reader.skip(8) is None
    reader.keep(8)
    reader.feed(b"\x00\x00\x09\x01" + to_bytes((8, 0, b"")))
    assert reader.skip(8) == b"AMQP\x00\x00\x09\x01"
    assert reader.next()
    assert (reader.kind, reader.payload()) == (8, b"")


def test_the_largest_frame_is_let_through() -> None:
    reader = FrameReader(4096)
    assert read(reader, to_bytes((3, 1, bytes(4096 - 8)))) == [(3, 1, bytes(4096 - 8))]


def test_a_frame_too_large_is_refused_by_its_head_alone() -> None:
    reader = FrameReader(4096)
    reader.feed(b"\x03\x00\x01\x00\x00\x10\x01\x00")
    with pytest.raises(FrameError, match=r"^type 3, all octets = <<>>: \{frame_too_large,4097,4088\}$"):
        reader.next()


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b"", "all octets = <<>>"), (bytes(17), f"first 16 octets = <<{','.join('0' * 16)}>>")],
)
def test_a_wrong_end_is_refused(payload: bytes, shown: str) -> None:
    reader = FrameReader(4096)
    reader.feed(to_bytes((1, 0, payload))[:-1] + b"\x00")
    with pytest.raises(FrameError) as caught:
        reader.next()
    assert str(caught.value) == f"type 1, {shown}: {{invalid_frame_end_marker,0}}"


def after_method(content: bytes, frame_max: int = 0) -> FrameReader:
    """A reader that stands on a method frame of channel 0, the content behind it."""
    reader = FrameReader(frame_max)
    reader.feed(to_bytes((1, 0, b"....")) + content)
    assert reader.next()
    return reader


@given(st.integers(0, 6000), st.sampled_from([0, SMALL_BODY_FRAME + 8, 4096]))
def test_whole_content_is_taken_in_one_step(size: int, frame_max: int) -> None:
    content = make_content(b"\x00\x00", bytes(size), frame_max)
    reader = after_method(content + to_bytes((8, 0, b"")))
    assert reader.whole_content() == content
    assert reader.next()
    assert reader.kind == 8


@given(st.binary(max_size=80), st.data())
def test_content_that_is_not_all_there_is_left_alone(body: bytes, data: st.DataObject) -> None:
    content = make_content(b"\x00\x00", body)
    reader = after_method(content[: data.draw(st.integers(0, len(content) - 1))])
    assert reader.whole_content() is None
    expected = content[:22] if reader.next() else b""
    assert not expected or reader.frame() == expected


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(0, 3, id="type of the header"),
        pytest.param(2, 1, id="channel of the header"),
        pytest.param(8, 61, id="class"),
        pytest.param(10, 1, id="weight"),
        pytest.param(11, 0x80, id="negative size"),
        pytest.param(18, 6, id="size above what comes"),
        pytest.param(18, 4, id="size below what comes"),
        pytest.param(21, 0, id="end of the header"),
        pytest.param(22, 2, id="type of the body"),
        pytest.param(24, 1, id="channel of the body"),
        pytest.param(34, 0, id="end of the body"),
    ],
)
def test_odd_content_is_left_to_be_taken_frame_by_frame(place: int, value: int) -> None:
    content = bytearray(make_content(b"\x00\x00", b"hello"))
    assert len(content) == 35
    content[place] = value
    assert after_method(bytes(content)).whole_content() is None


def test_content_in_small_frames_is_left_to_be_put_together() -> None:
    content = make_content(b"\x00\x00", bytes(5000), SMALL_BODY_FRAME + 7)
    assert after_method(content).whole_content() is None


def test_bytes_put_by_come_with_the_next_feed() -> None:
    stream = to_bytes((1, 0, b"abc")) + to_bytes((1, 1, b"d"))
    reader = FrameReader(4096)
    for cut in range(len(stream)):
        reader.feed(stream[:cut])
        while reader.next():
            pass
        reader.rest()
        for octet in stream[cut:]:
            reader.put_by(bytes((octet,)))
        reader.feed(b"")
        count = 0
        while reader.next():
            count += 1
        reader.rest()
        assert count == (2 if cut < 11 else 1)
        assert reader.payload() == b""
        assert reader.channel == 1


def test_content_of_frames_too_large_is_left_to_be_refused() -> None:
    content = make_content(b"\x00\x00", bytes(5000))
    assert after_method(content, 4096).whole_content() is None
    assert after_method(content, 5000).whole_content() == content


@given(FRAMES, st.lists(st.integers(0, 2000), max_size=20))
def test_a_tail_that_is_taken_back_comes_again(frames: list[Frame], cuts: list[int]) -> None:
    stream = b"".join(to_bytes(frame) for frame in frames)
    reader = FrameReader(0)
    found: list[Frame] = []
    at = 0
    for end in [*sorted(place % (len(stream) + 1) for place in cuts), len(stream)]:
        found += read(reader, stream[at:end])
        at = end - int(reader.take_back())
    assert found == frames
    assert at == len(stream)


def test_a_long_tail_is_not_taken_back() -> None:
    reader = FrameReader(0)
    frame = to_bytes((3, 1, bytes(20_000)))
    assert read(reader, frame[:10_000]) == []
    assert reader.take_back() == 0
    assert read(reader, frame[10_000:]) == [(3, 1, bytes(20_000))]
    assert reader.take_back() == 0
