"""Contents: the channel put in, the body cut anew for small frames, properties walked over."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from librt.strings import BytesWriter

from leveret.wire import content as frames
from leveret.wire.content import check_properties, make_content, write_content
from leveret.wire.fields import DecodeError
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import FrameReader
from tests.clients.strategies import PROPERTIES


def written(content: bytes, channel: int, frame_max: int) -> bytes:
    """A content as a receiver gets it, after something else in the buffer."""
    out = BytesWriter()
    out.write(b"before")
    write_content(out, content, channel, frame_max)
    assert out.getvalue()[:6] == b"before"
    return out.getvalue()[6:]


def cut_up(data: bytes) -> list[tuple[int, int, bytes]]:
    """Type, channel and payload of each frame."""
    reader = FrameReader(0)
    reader.feed(data)
    found: list[tuple[int, int, bytes]] = []
    while reader.next():
        found.append((int(reader.kind), int(reader.channel), reader.payload()))
    assert reader.skip(1) is None
    return found


@given(PROPERTIES, st.binary(max_size=500), st.sampled_from([0, 20, 100]), st.integers(0, 0xFFFF))
def test_only_the_channel_is_rewritten(properties: BasicProperties, body: bytes, frame_max: int, channel: int) -> None:
    content = make_content(properties.encode(), body, frame_max)
    before, after = cut_up(content), cut_up(written(content, channel, 0))
    assert [(kind, payload) for kind, _, payload in after] == [(kind, payload) for kind, _, payload in before]
    assert {number for _, number, _ in after} == {channel}
    assert frames.body(content) == body
    assert frames.body_size(content) == len(body)
    assert frames.properties(content) == properties.encode()


@given(st.binary(max_size=500), st.sampled_from([0, 30, 100]), st.integers(20, 200))
def test_no_frame_is_above_the_limit_of_the_receiver(body: bytes, sent_max: int, receiver_max: int) -> None:
    data = written(make_content(b"\x00\x00", body, sent_max), 7, receiver_max)
    found = cut_up(data)
    assert [kind for kind, _, _ in found] == [2] + [3] * (len(found) - 1)
    assert all(number == 7 for _, number, _ in found)
    assert all(len(payload) + 8 <= receiver_max for kind, _, payload in found if kind == 3)
    assert b"".join(payload for kind, _, payload in found if kind == 3) == body
    assert int.from_bytes(found[0][2][4:12], "big") == len(body)


def test_frames_that_fit_are_not_cut_anew() -> None:
    content = make_content(b"\x00\x00", bytes(100), 38)
    assert len(cut_up(written(content, 1, 50))) == len(cut_up(content)) == 5


def test_an_empty_body_has_no_frame() -> None:
    assert cut_up(make_content(b"\x00\x00", b"")) == [(2, 0, b"\x00\x3c" + bytes(12))]


@given(PROPERTIES, st.binary(max_size=20))
def test_well_formed_properties_pass(properties: BasicProperties, body: bytes) -> None:
    assert check_properties(make_content(properties.encode(), body)) == (properties.delivery_mode == 2)


@given(st.binary(min_size=2, max_size=60))
def test_other_bytes_are_refused_with_a_decode_error_only(data: bytes) -> None:
    try:
        check_properties(make_content(data, b"body"))
    except DecodeError:
        return
    assert int.from_bytes(data[:2], "big") & 3 == 0


@given(PROPERTIES, st.data())
def test_cut_or_longer_properties_are_refused(properties: BasicProperties, data: st.DataObject) -> None:
    raw = properties.encode()
    assume(len(raw) > 2)
    short = raw[: data.draw(st.integers(2, len(raw) - 1))]
    with pytest.raises(DecodeError):
        check_properties(make_content(short, b""))
    with pytest.raises(DecodeError):
        check_properties(make_content(raw + b"\x00", b""))


@pytest.mark.parametrize("flags", [b"\x00\x01", b"\x00\x02", b"\x80\x01"])
def test_unknown_flags_are_refused(flags: bytes) -> None:
    with pytest.raises(DecodeError, match="unknown property flags"):
        check_properties(make_content(flags + b"\x00", b""))


@pytest.mark.parametrize("size", [b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\x80\x00\x00\x00"])
def test_a_huge_table_is_refused(size: bytes) -> None:
    with pytest.raises(DecodeError):
        check_properties(make_content(b"\x20\x00" + size, b""))
    with pytest.raises(DecodeError):
        check_properties(make_content(b"\x30\x00" + size + b"\x02", b""))
