"""Bytes from strangers: every reader answers or raises its own exception, a connection never fails inside."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leveret.store.chunk import DamagedChunk, parse, trim
from leveret.wire import methods
from leveret.wire.fields import DecodeError, decode_table, table_bytes
from leveret.wire.methods import ChannelClose, ConnectionClose, Method, QueueDeclare, QueueDeclareOk, decode
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import FrameError, FrameReader
from tests.clients.socketless import Parser, Peer, encode

MANY = settings(max_examples=5 * settings().max_examples)
CLASSES: list[type[Method]] = [getattr(methods, name) for name in methods.__all__ if name not in ("Method", "decode")]
IDS = st.sampled_from([encode(0, kind())[7:11] for kind in CLASSES])
NOISE = st.binary(max_size=120)
TABLE_NOISE = st.lists(
    st.sampled_from([b"\x01a", b"F", b"A", b"S", b"V", b"t", b"l", b"\x00\x00\x00", b"\x04", b"\x08"])
    | st.binary(max_size=3),
    max_size=30,
).map(b"".join)


@MANY
@given(IDS | st.binary(max_size=4), NOISE | TABLE_NOISE)
def test_methods(method_id: bytes, arguments: bytes) -> None:
    with contextlib.suppress(DecodeError):
        decode(method_id + arguments)


@MANY
@given(NOISE | TABLE_NOISE)
def test_tables(data: bytes) -> None:
    try:
        content = decode_table(data, 0, len(data))
    except DecodeError:
        return
    raw = table_bytes(content)
    assert table_bytes(decode_table(raw, 0, len(raw))) == raw


@given(NOISE)
def test_properties(data: bytes) -> None:
    try:
        properties = BasicProperties.parse(data)
    except DecodeError:
        return
    properties.encode()


@given(st.lists(NOISE, max_size=10), st.sampled_from([0, 4096]))
def test_frame_reader(pieces: list[bytes], frame_max: int) -> None:
    reader = FrameReader(frame_max)
    with contextlib.suppress(FrameError):
        for piece in pieces:
            reader.feed(piece)
            while reader.next():
                assert reader.frame()[7:-1] == reader.payload()
                reader.whole_content()
            reader.rest()


@MANY
@given(NOISE, st.booleans(), st.integers(0, 3))
def test_chunks(data: bytes, good_sum: bool, count: int) -> None:
    head = data
    if good_sum:
        head = b"\x04" + count.to_bytes(4, "big") + data
        head += zlib.crc32(head).to_bytes(4, "big")
    with contextlib.suppress(DamagedChunk):
        found = parse(head)
        trim(found, data)
        for label in found.labels:
            label.checksum = zlib.crc32(data[: label.length])
            found.message(label, data[: label.length])


@pytest.mark.parametrize("kind", [b"F", b"A"])
def test_tables_nested_ten_thousand_deep(kind: bytes) -> None:
    key = b"\x01k" if kind == b"F" else b""
    depth, head = 10_000, len(key) + 5
    parts = [key + kind + (head * left).to_bytes(4, "big") for left in range(depth - 1, -1, -1)]
    data = b"\x01k" + b"".join(parts)[len(key) :]
    with pytest.raises(DecodeError, match="nested"):
        decode_table(data, 0, len(data))
    peer = Peer()
    raw = encode(1, QueueDeclare("deep"))[7:-5] + len(data).to_bytes(4, "big") + data
    peer.connection.receive(frame(1, 1, raw))
    assert peer.expect(ConnectionClose).reply_code == 501


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame with whatever in it."""
    return bytes((kind,)) + channel.to_bytes(2, "big") + len(payload).to_bytes(4, "big") + payload + b"\xce"


HEADS = st.tuples(
    st.sampled_from([b"\x00\x3c", b"\x00\x3c", b"\x00\x0a"]),
    st.sampled_from([b"\x00\x00", b"\x00\x00", b"\x00\x01"]),
    st.integers(0, 12).map(lambda size: size.to_bytes(8, "big")) | st.binary(min_size=8, max_size=8),
    st.binary(min_size=2, max_size=30) | st.just(b"\x00\x00"),
).map(b"".join)
CHANNELS = st.sampled_from([0, 1, 1, 1, 2])
PLAIN = st.sampled_from([encode(0, kind())[7:-1] for kind in CLASSES])
FRAMES = st.one_of(
    st.builds(frame, st.just(1), CHANNELS, PLAIN),
    st.builds(frame, st.just(1), CHANNELS, st.builds(bytes.__add__, IDS, NOISE | TABLE_NOISE)),
    st.builds(frame, st.just(2), CHANNELS, HEADS),
    st.builds(frame, st.just(3), CHANNELS, st.binary(max_size=12)),
    st.builds(frame, st.integers(0, 255), CHANNELS, NOISE),
)


def check(peer: Peer, pieces: list[bytes]) -> None:
    """Whatever comes, the answer is made of whole frames, and nothing went wrong inside."""
    bystander = Peer(peer.broker)
    for piece in pieces:
        peer.connection.receive(piece)
    for got in Parser().feed(peer.raw()):
        if isinstance(got.method, ConnectionClose | ChannelClose):
            assert got.method.reply_code != 541, got.method.reply_text
    peer.broker.tick(100_000)
    peer.connection.lost()
    assert len(peer.broker.connections) == 1
    assert all(queue.unacked == 0 for queue in peer.broker.queues())
    bystander.call(QueueDeclare("fine"), QueueDeclareOk)


@MANY
@given(st.lists(NOISE, max_size=8))
def test_connection_with_noise(pieces: list[bytes]) -> None:
    check(Peer(), pieces)


@MANY
@given(st.lists(FRAMES, max_size=25), st.booleans())
def test_connection_with_frames(frames: list[bytes], at_once: bool) -> None:
    peer = Peer()
    peer.call(QueueDeclare("q"), QueueDeclareOk)
    check(peer, [b"".join(frames)] if at_once else frames)
