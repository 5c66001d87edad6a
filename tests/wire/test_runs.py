"""FrameReader: the frames of a large body come as one run, and whatever is odd about them ends it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.wire.constants import SMALL_BODY_FRAME
from leveret.wire.reader import FrameError, FrameReader
from tests.wire.test_reader import cut, to_bytes

HEADER = 2
BODY = 3
HEARTBEAT = to_bytes((8, 0, b""))


def take(reader: FrameReader, piece: bytes, left: int) -> tuple[list[bytes], int]:
    """The frames after a piece has arrived, runs as one; and how much of a body is missing then."""
    reader.feed(piece)
    found: list[bytes] = []
    while reader.next():
        if reader.is_run():
            found.append(reader.take_run())
            left -= int(reader.run_size())
        else:
            found.append(reader.frame())
            if reader.kind == HEADER:
                left = int.from_bytes(reader.payload(), "big")
            elif reader.kind == BODY:
                left -= int(reader.stop - reader.start)
        if left:
            reader.channel = 1
            reader.expect_run(left, b"")
    reader.rest()
    return found, left


@given(
    st.lists(st.lists(st.integers(1, 3 * SMALL_BODY_FRAME), max_size=5), min_size=1, max_size=4),
    st.lists(st.integers(0, 30000), max_size=20),
    st.lists(st.booleans(), min_size=20, max_size=20),
)
def test_any_cutting_gives_the_same_bytes(bodies: list[list[int]], cuts: list[int], beats: list[bool]) -> None:
    stream = b""
    beat = iter(beats)
    for number, sizes in enumerate(bodies):
        stream += to_bytes((1, 1, b"method")) + to_bytes((HEADER, 1, sum(sizes).to_bytes(8, "big")))
        for size in sizes:
            stream += to_bytes((BODY, 1, bytes((number,)) * size)) + (HEARTBEAT if next(beat) else b"")
    reader = FrameReader(0)
    left = 0
    found: list[bytes] = []
    for piece in cut(stream, cuts):
        frames, left = take(reader, piece, left)
        found += frames
    assert b"".join(found) == stream
    assert left == 0
    assert reader.run_due() == 0


def in_run(size: int, *pieces: bytes, frame_max: int = 0) -> FrameReader:
    """A reader that expects a body on channel 1 and has been fed."""
    reader = FrameReader(frame_max)
    reader.feed(to_bytes((HEADER, 1, b"")))
    assert reader.next()
    reader.expect_run(size, b"head")
    for piece in pieces:
        assert not reader.next()
        reader.rest()
        reader.feed(piece)
    return reader


def test_a_whole_body_is_one_run_whatever_follows() -> None:
    frames = to_bytes((BODY, 1, bytes(5000))) + to_bytes((BODY, 1, bytes(100)))
    reader = in_run(5100, frames[:4000], frames[4000:] + HEARTBEAT)
    assert reader.run_due() == 1 + 100 + 1007
    assert reader.next()
    assert reader.is_run()
    assert (reader.kind, reader.channel, reader.run_size()) == (BODY, 1, 5100)
    assert reader.take_run() == b"head" + frames
    assert reader.next()
    assert not reader.is_run()
    assert reader.frame() == HEARTBEAT


@pytest.mark.parametrize(
    "odd",
    [
        pytest.param(HEARTBEAT, id="no body frame"),
        pytest.param(to_bytes((BODY, 2, bytes(2000))), id="another channel"),
        pytest.param(to_bytes((BODY, 1, bytes(4001))), id="more than the body"),
        pytest.param(to_bytes((BODY, 1, bytes(10))), id="small"),
        pytest.param(to_bytes((BODY, 1, b"")), id="empty"),
    ],
)
def test_an_odd_frame_ends_the_run_in_front_of_it(odd: bytes) -> None:
    first = to_bytes((BODY, 1, bytes(2000)))
    reader = in_run(6000, first + odd)
    assert reader.next()
    assert (reader.is_run(), reader.run_size()) == (True, 2000)
    assert reader.take_run() == b"head" + first
    assert reader.next()
    assert (reader.is_run(), reader.frame()) == (False, odd)
    alone = in_run(4000, odd)
    assert alone.next()
    assert (alone.is_run(), alone.frame()) == (False, odd)


def test_a_frame_too_large_is_refused() -> None:
    reader = in_run(6000, to_bytes((BODY, 1, bytes(5000))), frame_max=4096)
    with pytest.raises(FrameError, match=r"^type 3, all octets = <<>>: \{frame_too_large,5000,4088\}$"):
        reader.next()


@pytest.mark.parametrize("split", [1, 2, 20, 2007])
def test_a_wrong_end_is_refused_as_soon_as_it_comes(split: int) -> None:
    first = to_bytes((BODY, 1, bytes(2000)))
    second = to_bytes((BODY, 1, bytes(range(200)) * 10))[:-1] + b"\x07"
    reader = in_run(9000, first + second[:split], second[split:])
    with pytest.raises(FrameError) as caught:
        reader.next()
    shown = ",".join(str(octet) for octet in range(16))
    assert str(caught.value) == f"type 3, first 16 octets = <<{shown}>>: {{invalid_frame_end_marker,7}}"
