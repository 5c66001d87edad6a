"""Bodies cut into frames, in both directions and between clients that agreed on different sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.clients.codec import BODY, HEADER, METHOD
from tests.clients.methods_basic import BasicDeliver, BasicGet, BasicPublish
from tests.clients.peer import Channel, Peer
from tests.marks import differs_from_rabbitmq

from .conftest import Names

FRAME_MAX = [
    pytest.param(4096, marks=differs_from_rabbitmq("4.1 raised the minimum to 8192")),
    8192,
    131072,
]

LENGTHS: dict[str, Callable[[int], int]] = {
    "empty": lambda step: 0,
    "one byte": lambda step: 1,
    "one less than a frame": lambda step: step - 1,
    "one frame": lambda step: step,
    "one more than a frame": lambda step: step + 1,
    "two frames": lambda step: 2 * step,
    "many frames": lambda step: 20 * step + 7,
}


def body_of(length: int) -> bytes:
    """Return a body in which every piece can be told from the others."""
    return (bytes(range(251)) * (length // 251 + 1))[:length]


def frames_of_get(channel: Channel, queue: str) -> list[bytes]:
    """Get a message frame by frame and return the payloads of the body frames."""
    channel.send(BasicGet(queue=queue, no_ack=True))
    assert channel.link.read_frame().type == METHOD
    header = channel.link.read_frame()
    assert header.type == HEADER
    left = int.from_bytes(header.payload[4:12], "big")
    pieces = []
    while left:
        piece = channel.link.read_frame()
        assert piece.type == BODY
        pieces.append(piece.payload)
        left -= len(piece.payload)
    return pieces


@pytest.mark.parametrize("frame_max", FRAME_MAX)
@pytest.mark.parametrize("length", LENGTHS)
def test_bodies_come_in_full_frames(connect: Callable[..., Peer], frame_max: int, length: str) -> None:
    step = frame_max - 8
    body = body_of(LENGTHS[length](step))
    channel = connect(frame_max=frame_max).channel()
    queue = channel.queue()
    channel.publish(queue, body)
    channel.expect_ready(queue, 1)
    assert frames_of_get(channel, queue) == [body[i : i + step] for i in range(0, len(body), step)]


@pytest.mark.parametrize("frame_max", FRAME_MAX)
def test_every_client_gets_its_own_size(
    connect: Callable[..., Peer], channel: Channel, names: Names, frame_max: int
) -> None:
    queue = channel.queue(names.queue(), exclusive=False)
    small = connect(frame_max=frame_max).channel()
    body = body_of(300_000)
    channel.publish(queue, body)
    small.consume(queue, no_ack=True)
    assert small.expect(BasicDeliver).body == body
    small.publish(queue, body)
    assert small.expect(BasicDeliver).body == body


def test_small_frames_make_one_message(channel: Channel, queue: str) -> None:
    whole_size, channel.link.frame_max = channel.link.frame_max, 8 + 10
    channel.publish(queue, b"0123456789" * 50)
    channel.link.frame_max = whole_size
    assert channel.bodies(queue) == [b"0123456789" * 50]


def test_returns_are_cut_too(connect: Callable[..., Peer]) -> None:
    channel = connect(frame_max=8192).channel()
    channel.send(BasicPublish(routing_key="behaviour-nowhere", mandatory=True, body=bytes(8192 * 2)))
    sizes = [len(channel.link.read_frame().payload) for _ in range(5)]
    assert sizes[2:] == [8184, 8184, 16]
