"""Broken streams: the right error, that connection closed, nothing left of it."""

from __future__ import annotations

import random
import socket
import struct

import pytest

from tests.clients.codec import BODY, HEADER, METHOD, PROTOCOL_HEADER, Properties, content_header, frame, long_string
from tests.clients.methods import ConnectionClose, ConnectionCloseOk, QueueDeclare
from tests.clients.methods_basic import BasicPublish
from tests.clients.peer import start_ok
from tests.clients.waiting import PATIENCE

from .conftest import Target

PUBLISH = frame(METHOD, 1, BasicPublish(routing_key="nowhere").payload())


def header(size: int) -> bytes:
    """A content header that announces so many bytes."""
    return frame(HEADER, 1, content_header(size, Properties()))


def nested(depth: int, kind: bytes = b"F") -> bytes:
    """A table in a table in a table, without the length in front."""
    head = 7 if kind == b"F" else 5
    key = b"\x01k" if kind == b"F" else b""
    parts = [key + kind + (head * left).to_bytes(4, "big") for left in range(depth - 1, -1, -1)]
    return b"\x01k" + b"".join(parts)[len(key) :]


def declare(table: bytes) -> bytes:
    """A queue.declare with these arguments."""
    return frame(METHOD, 1, QueueDeclare(queue="nested").payload()[:-4] + long_string(table))


ATTACKS = {
    "wrong frame-end": (frame(METHOD, 1, b"abcd")[:-1] + b"\x00", 501, "invalid_frame_end_marker,0"),
    "frame of 2 GiB": (struct.pack(">BHI", METHOD, 1, 2**31), 501, "frame_too_large,2147483648,131064"),
    "frame of 4 GiB": (struct.pack(">BHI", BODY, 1, 2**32 - 1), 501, "frame_too_large,4294967295,131064"),
    "unknown type": (frame(77, 0, b""), 501, "type 77, all octets = <<>>: unknown_frame"),
    "unknown class": (frame(METHOD, 1, struct.pack(">HH", 6666, 1)), 503, "unimplemented method"),
    "tables 10 000 deep": (declare(nested(10_000)), 501, "cannot decode"),
    "arrays 10 000 deep": (declare(nested(10_000, b"A")), 501, "cannot decode"),
    "table larger than its frame": (declare(b"\x01kF\xff\xff\xff\xff"), 501, "cannot decode"),
    "body larger than announced": (
        PUBLISH + header(3) + frame(BODY, 1, b"four"),
        501,
        "content body frame exceeds remaining content size",
    ),
    "body of 2^63": (PUBLISH + header(2**63), 501, f"content body size {2**63} exceeds maximum allowed size 536870912"),
    "body of 2^64-1": (PUBLISH + header(2**64 - 1), 501, "exceeds maximum allowed size 536870912"),
    "body instead of header": (
        PUBLISH + frame(BODY, 1, b"x"),
        505,
        "expected content header for class 60, got non content header frame instead",
    ),
    "publishes without a body": (
        PUBLISH * 20_000,
        505,
        "expected content header for class 60, got non content header frame instead",
    ),
    "frame cut by its neighbour": (PUBLISH[:-1] + PUBLISH, 501, "invalid_frame_end_marker,1"),
}


@pytest.mark.parametrize(("data", "code", "text"), ATTACKS.values(), ids=ATTACKS)
def test_nonsense_ends_its_connection_alone(target: Target, data: bytes, code: int, text: str) -> None:
    def attack(target: Target) -> None:
        for _ in range(4):
            peer = target.connect()
            peer.channel()
            peer.link.send_bytes(data)
            close = peer.expect(ConnectionClose)
            assert close.reply_code == code
            assert text in close.reply_text
            peer.send(ConnectionCloseOk())
            peer.link.close()

    target.withstand(attack)


def flood(target: Target, data: bytes) -> bytes:
    """Send bytes on a connection of their own, close our side, and return what comes back."""
    with socket.create_connection(target.address, PATIENCE) as link:
        try:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            answer = bytearray()
            while part := link.recv(1 << 16):
                answer += part
        except ConnectionError:
            return b""
        return bytes(answer)


def test_random_bytes_before_the_handshake(target: Target) -> None:
    def attack(target: Target) -> None:
        noise = random.Random(1)
        for _ in range(100):
            assert flood(target, noise.randbytes(noise.randrange(8, 20_000))) in (PROTOCOL_HEADER, b"")

    target.withstand(attack)


def test_random_bytes_after_the_handshake(target: Target) -> None:
    def attack(target: Target) -> None:
        noise = random.Random(2)
        for _ in range(30):
            peer = target.connect()
            peer.channel()
            start = bytes((noise.randrange(1, 4),)) + b"\x00\x01\x00\x00"
            peer.link.send_bytes(start + noise.randbytes(70_000))  # the length of the first frame is random, too
            assert peer.expect(ConnectionClose).reply_code in (501, 503, 505)
            peer.link.close()

    target.withstand(attack)


def test_streams_that_end_in_the_middle(target: Target) -> None:
    stream = PUBLISH + header(10) + frame(BODY, 1, b"0123456789")

    def attack(target: Target) -> None:
        for cut in range(0, len(stream), 3):
            peer = target.connect()
            peer.channel()
            peer.link.send_bytes(stream[:cut])
            peer.link.close()

    target.withstand(attack)


@pytest.mark.parametrize(
    "properties",
    [bytes(20_000), nested(200), nested(1000)],
    ids=["larger than a first frame may be", "200 tables deep", "1 000 tables deep"],
)
def test_giant_client_properties_are_met_with_silence(target: Target, properties: bytes) -> None:
    said = start_ok().payload()
    answer = said[:4] + long_string(properties) + said[said.index(b"\x05PLAIN") :]

    def attack(target: Target) -> None:
        links = []
        for _ in range(20):
            link = socket.create_connection(target.address, PATIENCE)
            link.sendall(PROTOCOL_HEADER + frame(METHOD, 0, answer))
            links.append(link)
        for link in links:
            link.settimeout(8)
            assert b"\x00\x0a\x00\x0a" in link.recv(4096)  # connection.start, and then nothing more
            assert link.recv(4096) == b""
            link.close()

    target.withstand(attack, rounds=1)
