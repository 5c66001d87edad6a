"""Frames that are broken, too large, unexpected or badly assembled: all end the connection."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests.clients.codec import BODY, HEADER, HEARTBEAT, METHOD, Properties, content_header, frame, long_string
from tests.clients.method import Method
from tests.clients.methods import (
    AccessRequestOk,
    ChannelClose,
    ChannelCloseOk,
    ChannelFlowOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionStart,
    ExchangeDeclare,
    QueueBind,
    QueueDeclare,
    QueueDeclareOk,
)
from tests.clients.methods_basic import BasicConsume, BasicDeliver, BasicGetOk, BasicPublish, BasicQosOk, BasicReturn
from tests.clients.peer import SOON, Channel, Peer
from tests.marks import differs_from_rabbitmq

PUBLISH = frame(METHOD, 1, BasicPublish(routing_key="behaviour-nowhere").payload())
SHORT_HEADER = frame(HEADER, 1, b"\x00\x3c\x00\x00")
DECLARE = QueueDeclare(queue="abc", exclusive=True).payload()


def header(size: int, *, channel: int = 1, class_id: int = 60, weight: int = 0) -> bytes:
    """Return a content header frame without properties."""
    return frame(HEADER, channel, content_header(size, Properties(), class_id, weight))


def method(said: Method, channel: int = 1) -> bytes:
    """Return the method frame alone, without content."""
    return frame(METHOD, channel, said.payload())


def head(type_: int, channel: int, size: int) -> bytes:
    """Return the first seven bytes of a frame."""
    return struct.pack(">BHI", type_, channel, size)


@dataclass
class Broken:
    """What is sent with frame_max 8192 and channel 1 open, and the connection.close it causes."""

    label: str
    data: bytes
    code: int
    text: str
    by: type[Method] | None = None
    reads_on: bool = True
    """Whether the broker still reads our close-ok; else it closes the socket after a while."""


FRAMES = [
    Broken("type 0", frame(0, 1, b""), 501, "type 0, all octets = <<>>: unknown_frame"),
    Broken("type 4", frame(4, 1, b"abc"), 501, 'type 4, all octets = <<"abc">>: unknown_frame'),
    Broken("binary", frame(4, 1, b"\x00\xff"), 501, "type 4, all octets = <<0,255>>: unknown_frame"),
    Broken(
        "16 octets",
        frame(4, 1, b"abcdefghijklmnop"),
        501,
        'type 4, all octets = <<"abcdefghijklmnop">>: unknown_frame',
    ),
    Broken(
        "17 octets",
        frame(4, 1, b"abcdefghijklmnopq"),
        501,
        'type 4, first 16 octets = <<"abcdefghijklmnop">>: unknown_frame',
    ),
    Broken("empty method", frame(METHOD, 1, b""), 501, "type 1, all octets = <<>>: unknown_frame"),
    Broken(
        "short method",
        frame(METHOD, 1, b"\x00\x32\x00"),
        501,
        "type 1, all octets = <<0,50,0>>: unknown_frame",
    ),
    Broken(
        "short method on channel 0",
        frame(METHOD, 0, b"\x00\x0a\x00"),
        501,
        "type 1, all octets = <<0,10,0>>: unknown_frame",
    ),
    Broken(
        "short header",
        PUBLISH + SHORT_HEADER,
        501,
        "type 2, all octets = <<0,60,0,0>>: unknown_frame",
    ),
    Broken(
        "heartbeat with payload",
        frame(HEARTBEAT, 0, b"x"),
        501,
        'type 8, all octets = <<"x">>: unknown_frame',
    ),
    Broken("short header without a method", SHORT_HEADER, 501, "type 2, all octets = <<0,60,0,0>>: unknown_frame"),
    Broken(
        "short header instead of body",
        PUBLISH + frame(HEADER, 1, content_header(5, Properties())) + SHORT_HEADER,
        501,
        "type 2, all octets = <<0,60,0,0>>: unknown_frame",
    ),
    Broken(
        "short header on a closed channel",
        frame(HEADER, 7, b"\x00\x3c\x00\x00"),
        501,
        "type 2, all octets = <<0,60,0,0>>: unknown_frame",
    ),
    Broken(
        "short header on channel 0",
        frame(HEADER, 0, b"\x00\x3c\x00\x00"),
        501,
        "type 2, all octets = <<0,60,0,0>>: unknown_frame",
    ),
    Broken(
        "heartbeat with payload on channel 1",
        frame(HEARTBEAT, 1, b"x"),
        501,
        'type 8, all octets = <<"x">>: unknown_frame',
    ),
    Broken("heartbeat on channel 1", frame(HEARTBEAT, 1, b""), 505, "type 8, all octets = <<>>"),
    Broken(
        "header on channel 0",
        header(0, channel=0),
        505,
        "type 2, all octets = <<0,60,0,0,0,0,0,0,0,0,0,0,0,0>>",
    ),
    Broken("body on channel 0", frame(BODY, 0, b"x"), 505, 'type 3, all octets = <<"x">>'),
    Broken(
        "wrong frame end",
        frame(METHOD, 1, b"\x00\x32\x00\x0a")[:-1] + b"\xcd",
        501,
        "type 1, all octets = <<0,50,0,10>>: {invalid_frame_end_marker,205}",
        reads_on=False,
    ),
    Broken(
        "too large",
        frame(BODY, 1, b"x" * 8193),
        501,
        "type 3, all octets = <<>>: {frame_too_large,8193,8184}",
        reads_on=False,
    ),
    Broken(
        "too large, judged by its head",
        head(METHOD, 1, 1 << 31),
        501,
        "type 1, all octets = <<>>: {frame_too_large,2147483648,8184}",
        reads_on=False,
    ),
    Broken(
        "too large on channel 0",
        head(METHOD, 0, 8193),
        501,
        "type 1, all octets = <<>>: {frame_too_large,8193,8184}",
        reads_on=False,
    ),
    Broken(
        "protocol header once more",
        b"AMQP\x00\x00\x09\x01",
        501,
        "type 65, all octets = <<>>: {frame_too_large,1342177289,8184}",
        reads_on=False,
    ),
]

NO_METHOD = "expected method frame, got non method frame instead"
NO_HEADER = "expected content header for class 60, got non content header frame instead"
NO_BODY = "expected content body, got non content body frame instead"
TOO_MUCH = "content body frame exceeds remaining content size"

CONTENT = [
    Broken("header first", header(1), 505, NO_METHOD),
    Broken("body first", frame(BODY, 1, b"x"), 505, NO_METHOD),
    Broken("header on a closed channel", header(0, channel=7), 505, NO_METHOD),
    Broken("body on a closed channel", frame(BODY, 7, b"x"), 505, NO_METHOD),
    Broken(
        "header of another class",
        PUBLISH + header(1, class_id=50),
        505,
        "expected content header for class 60, got one for class 50 instead",
        BasicPublish,
    ),
    Broken("header with a weight", PUBLISH + header(1, weight=1), 505, NO_HEADER, BasicPublish),
    Broken("method instead of header", PUBLISH + PUBLISH, 505, NO_HEADER, BasicPublish),
    Broken("body instead of header", PUBLISH + frame(BODY, 1, b"x"), 505, NO_HEADER, BasicPublish),
    Broken("header instead of body", PUBLISH + header(5) + header(5), 505, NO_BODY, BasicPublish),
    Broken("method instead of body", PUBLISH + header(5) + method(ChannelClose()), 505, NO_BODY, BasicPublish),
    Broken("too much body", PUBLISH + header(5) + frame(BODY, 1, b"123456"), 501, TOO_MUCH, BasicPublish),
    Broken(
        "too much body in the second frame",
        PUBLISH + header(5) + frame(BODY, 1, b"123") + frame(BODY, 1, b"456"),
        501,
        TOO_MUCH,
        BasicPublish,
    ),
    Broken("body after an empty body", PUBLISH + header(0) + frame(BODY, 1, b""), 505, NO_METHOD),
    Broken(
        "body larger than 512 MiB",
        PUBLISH + header(536870913),
        501,
        "content body size 536870913 exceeds maximum allowed size 536870912",
        BasicPublish,
    ),
    Broken(
        "body size of 64 bits",
        PUBLISH + header(1 << 63),
        501,
        "content body size 9223372036854775808 exceeds maximum allowed size 536870912",
        BasicPublish,
    ),
]

UTF8 = "Malformed UTF-8 in shortstr"

FIELDS = [
    Broken(
        "arguments cut short",
        frame(METHOD, 1, DECLARE[:-3]),
        501,
        "cannot decode <<0,0,3,97,98,99,4,0>>",
        QueueDeclare,
    ),
    Broken(
        "arguments too long",
        frame(METHOD, 1, DECLARE + b"zz"),
        501,
        "cannot decode <<0,0,3,97,98,99,4,0,0,0,0,122,122>>",
        QueueDeclare,
    ),
    Broken(
        "string beyond the frame",
        frame(METHOD, 1, b"\x00\x32\x00\x0a\x00\x00\xffabc"),
        501,
        "cannot decode <<0,0,255,97,98,99>>",
        QueueDeclare,
    ),
    Broken("queue name not UTF-8", method(QueueDeclare(queue="\udcff")), 501, UTF8),
    Broken("exchange name not UTF-8", method(ExchangeDeclare(exchange="a\udcc3")), 501, UTF8),
    Broken("binding key not UTF-8", method(QueueBind(exchange="amq.direct", routing_key="\udcff")), 501, UTF8),
    Broken("consumer tag not UTF-8", method(BasicConsume(consumer_tag="\udcff")), 501, UTF8),
]


def not_for_servers(said: Method, data: bytes = b"") -> Broken:
    """Return the case of a method that only a server may send."""
    label = type(said).__name__
    return Broken(label, (data or method(said)), 503, "unimplemented method", type(said))


METHODS = [
    not_for_servers(BasicQosOk()),
    not_for_servers(QueueDeclareOk()),
    not_for_servers(ChannelOpenOk()),
    not_for_servers(ChannelFlowOk(active=True)),
    not_for_servers(ChannelCloseOk()),
    not_for_servers(AccessRequestOk()),
    not_for_servers(BasicDeliver(), BasicDeliver().frames(1, 8192)),
    not_for_servers(BasicGetOk(), BasicGetOk().frames(1, 8192)),
    not_for_servers(BasicReturn(), BasicReturn().frames(1, 8192)),
    not_for_servers(ConnectionStart()),
    not_for_servers(ConnectionClose()),
    not_for_servers(ConnectionCloseOk()),
]


def cases(table: list[Broken]) -> pytest.MarkDecorator:
    """Parametrize a test with a table."""
    return pytest.mark.parametrize("broken", table, ids=lambda case: case.label)


@cases(FRAMES + CONTENT + FIELDS + METHODS)
def test_broken_frames(connect: Callable[..., Peer], broken: Broken) -> None:
    peer = connect(frame_max=8192)
    peer.channel()
    peer.link.send_bytes(broken.data)
    peer.expect_closed(broken.code, broken.text, broken.by, end=broken.reads_on)


@differs_from_rabbitmq("RabbitMQ closes the socket without a frame")
@pytest.mark.parametrize("channel_number", [0, 1])
@pytest.mark.parametrize(("class_id", "method_id"), [(99, 10), (50, 99), (0, 0)])
def test_unknown_methods(peer: Peer, channel_number: int, class_id: int, method_id: int) -> None:
    peer.channel()
    peer.link.send_bytes(frame(METHOD, channel_number, struct.pack(">HH", class_id, method_id)))
    close = peer.expect(ConnectionClose)
    assert (close.reply_code, close.reply_text) == (503, "COMMAND_INVALID - unimplemented method")
    peer.send(ConnectionCloseOk())
    peer.expect_end()


@differs_from_rabbitmq("RabbitMQ closes the socket without a frame")
def test_unknown_field_type(peer: Peer) -> None:
    peer.channel()
    peer.link.send_bytes(frame(METHOD, 1, DECLARE[:-4] + long_string(b"\x01aU\x00\x01")))
    assert peer.expect(ConnectionClose).reply_code in (501, 502)


@differs_from_rabbitmq("RabbitMQ closes the socket without a frame")
@pytest.mark.parametrize(
    "bits", ["7ff8000000000000", "7ff0000000000000", "fff0000000000000"], ids=["nan", "inf", "-inf"]
)
def test_arguments_that_are_no_numbers(peer: Peer, bits: str) -> None:
    peer.channel()
    peer.link.send_bytes(frame(METHOD, 1, DECLARE[:-4] + long_string(b"\x01ad" + bytes.fromhex(bits))))
    assert peer.expect(ConnectionClose).reply_code in (501, 502)


def test_socket_is_closed_after_a_frame_error_even_if_the_client_waits(peer: Peer) -> None:
    peer.link.send_bytes(frame(HEARTBEAT, 0, b"")[:-1] + b"\x00")
    peer.expect(ConnectionClose)
    peer.expect_end(3 + SOON)


def test_empty_body_frames_are_allowed_while_body_is_missing(channel: Channel, queue: str) -> None:
    publish = frame(METHOD, 1, BasicPublish(routing_key=queue).payload())
    pieces = [b"", b"12", b"", b"345"]
    channel.link.send_bytes(publish + header(5) + b"".join(frame(BODY, 1, piece) for piece in pieces))
    assert channel.bodies(queue) == [b"12345"]


def test_frames_may_be_eight_bytes_too_large(connect: Callable[..., Peer]) -> None:
    peer = connect(frame_max=8192)
    channel = peer.channel()
    queue = channel.queue()
    publish = frame(METHOD, 1, BasicPublish(routing_key=queue).payload())
    peer.link.send_bytes(publish + header(8192) + frame(BODY, 1, b"x" * 8192))
    assert channel.bodies(queue) == [b"x" * 8192]


def test_reserved_bits_are_ignored(channel: Channel, queue: str) -> None:
    payload = BasicPublish(routing_key=queue).payload()
    channel.link.send_bytes(frame(METHOD, 1, payload[:-1] + b"\xfc") + header(0))
    assert channel.bodies(queue) == [b""]


def test_routing_keys_need_not_be_utf8(channel: Channel) -> None:
    channel.publish("\udcff\udcfe", b"x", mandatory=True)
    assert channel.expect(BasicReturn).routing_key == "\udcff\udcfe"


def test_contents_of_two_channels_may_interleave(peer: Peer) -> None:
    first, second = peer.channel(1), peer.channel(2)
    queues = [first.queue(), first.queue()]
    for number, queue in enumerate(queues, 1):
        peer.link.send_bytes(method(BasicPublish(routing_key=queue), number))
    for number in (2, 1):
        peer.link.send_bytes(header(4, channel=number))
    for number, piece in [(1, b"ab"), (2, b"12"), (1, b"cd"), (2, b"34")]:
        peer.link.send_bytes(frame(BODY, number, piece))
    assert first.bodies(queues[0]) == [b"abcd"]
    assert second.bodies(queues[1]) == [b"1234"]


def test_methods_byte_by_byte(peer: Peer) -> None:
    for byte in ChannelOpen().frames(3, 0):
        peer.link.send_bytes(bytes([byte]))
    assert peer.link.read_frame() == (1, 3, ChannelOpenOk().payload())
