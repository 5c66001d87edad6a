"""From the first byte to connection.open-ok: protocol header, connection.start, tune and open."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from typing import Any

import pytest

from tests.clients.codec import HEARTBEAT, PROTOCOL_HEADER, frame
from tests.clients.methods import (
    ChannelOpen,
    ChannelOpenOk,
    ConnectionClose,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionStart,
    ConnectionTune,
    ConnectionTuneOk,
)
from tests.clients.peer import Peer, start_ok
from tests.marks import differs_from_rabbitmq

FOREIGN = differs_from_rabbitmq("RabbitMQ 4 offers AMQP 1.0, the broker always offers 0-9-1")

OTHER_HEADERS = [
    pytest.param(b"AMQP\x00\x00\x09\x02", id="0-9-2"),
    pytest.param(b"AMQP\x00\x00\x0a\x00", id="0-10-0"),
    pytest.param(b"AMQP\x00\x00\x08\x00", id="0-8-0", marks=FOREIGN),
    pytest.param(b"AMQP\x01\x01\x08\x00", id="old 0-8", marks=FOREIGN),
    pytest.param(b"AMQP\x00\x01\x00\x00", id="1.0", marks=FOREIGN),
    pytest.param(b"AMQP\x03\x01\x00\x00", id="1.0 with SASL", marks=FOREIGN),
    pytest.param(b"AMQP\x02\x01\x00\x00", id="1.0 with TLS", marks=FOREIGN),
    pytest.param(b"GET / HT", id="HTTP", marks=FOREIGN),
    pytest.param(b"\x16\x03\x01\x00\xfb\x01\x00\x00", id="TLS", marks=FOREIGN),
    pytest.param(b"AMQPAMQP", id="letters", marks=FOREIGN),
    pytest.param(b"amqp\x00\x00\x09\x01", id="small letters", marks=FOREIGN),
]

CAPABILITIES = [
    "publisher_confirms",
    "exchange_exchange_bindings",
    "basic.nack",
    "consumer_cancel_notify",
    "connection.blocked",
    "consumer_priorities",
    "authentication_failure_close",
    "per_consumer_qos",
    "direct_reply_to",
]


@pytest.mark.parametrize("header", OTHER_HEADERS)
def test_other_protocols_are_told_ours(dial: Callable[[], Peer], header: bytes) -> None:
    peer = dial()
    peer.link.send_bytes(header)
    peer.link.expect_protocol_header()


def test_header_of_the_0_9_drafts_is_taken_as_0_9_1(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.link.send_bytes(b"AMQP\x01\x01\x00\x09")
    peer.expect(ConnectionStart)


@pytest.mark.parametrize("start", [b"", b"AMQP", b"AMQP\x00\x00\x09"])
def test_a_client_that_leaves_early_gets_nothing(dial: Callable[[], Peer], start: bytes) -> None:
    peer = dial()
    peer.link.send_bytes(start)
    peer.link.socket.shutdown(socket.SHUT_WR)
    peer.link.expect_end()


def test_start_tells_the_version_and_the_mechanisms(dial: Callable[[], Peer]) -> None:
    start = dial().start()
    assert (start.version_major, start.version_minor) == (0, 9)
    mechanisms = start.mechanisms.split(b" ")
    assert {b"PLAIN", b"AMQPLAIN"} <= set(mechanisms)
    assert not {b"RABBIT-CR-DEMO", b"EXTERNAL"} & set(mechanisms)
    assert start.locales == b"en_US"


@differs_from_rabbitmq("RabbitMQ lets in people without a name")
def test_anonymous_is_not_offered(dial: Callable[[], Peer]) -> None:
    assert b"ANONYMOUS" not in dial().start().mechanisms.split(b" ")


def test_server_properties(dial: Callable[[], Peer]) -> None:
    properties = dial().start().server_properties
    assert {"cluster_name", "copyright", "information", "platform", "product", "version"} <= set(properties)
    assert properties["product"] == "RabbitMQ"
    assert re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert list(properties) == sorted(properties)


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_server_capabilities(dial: Callable[[], Peer], capability: str) -> None:
    assert dial().start().server_properties["capabilities"][capability] is True


@differs_from_rabbitmq("it came with RabbitMQ 4.3.7")
def test_the_capability_that_clients_may_answer_a_cancel(dial: Callable[[], Peer]) -> None:
    assert dial().start().server_properties["capabilities"]["accept_consumer_cancel_ok"] is True


def test_tune_and_open(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.start(start_ok())
    assert peer.expect(ConnectionTune) == ConnectionTune(channel_max=2047, frame_max=131072, heartbeat=60)
    peer.send(ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=60))
    assert peer.call(ConnectionOpen(virtual_host="/")) == ConnectionOpenOk(known_hosts="")


def everything_up_to_an_open_channel() -> bytes:
    """Return all that a client says until its first channel is open."""
    methods = [
        start_ok(),
        ConnectionTuneOk(channel_max=2047, frame_max=131072, heartbeat=0),
        ConnectionOpen(virtual_host="/"),
    ]
    said = b"".join(method.frames(0, 0) for method in methods)
    return PROTOCOL_HEADER + said + ChannelOpen().frames(1, 0)


@pytest.mark.parametrize("step", [1, 7, 100_000])
def test_handshake_without_waiting_for_answers(dial: Callable[[], Peer], step: int) -> None:
    peer = dial()
    said = everything_up_to_an_open_channel()
    for at in range(0, len(said), step):
        peer.link.send_bytes(said[at : at + step])
    for kind in (ConnectionStart, ConnectionTune, ConnectionOpenOk):
        peer.expect(kind)
    assert peer.link.read_frame() == (1, 1, ChannelOpenOk().payload())


@pytest.mark.parametrize(
    "asked",
    [
        pytest.param({"frame_max": 4096}, marks=differs_from_rabbitmq("4.1 raised the minimum to 8192")),
        {"frame_max": 8192},
        {"frame_max": 131071},
        {"channel_max": 1},
        {"heartbeat": 600},
        {"heartbeat": 65535},
    ],
    ids=str,
)
def test_tune_ok_within_the_limits(dial: Callable[[], Peer], asked: dict[str, Any]) -> None:
    peer = dial()
    peer.negotiate(**asked)
    peer.send(ConnectionOpen(virtual_host="/"))
    peer.expect(ConnectionOpenOk)


@differs_from_rabbitmq("RabbitMQ goes silent for 3 s and closes the socket")
@pytest.mark.parametrize(
    ("asked", "text"),
    [
        (
            {"frame_max": 4095},
            "negotiated frame_max = 4095 is lower than the minimum allowed value (4096)",
        ),
        (
            {"frame_max": 131073},
            "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
        ),
        (
            {"frame_max": 0},
            "negotiated frame_max = 0 (no limit) is higher than the maximum allowed value (131072)",
        ),
        (
            {"channel_max": 2048},
            "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
        ),
        (
            {"channel_max": 0},
            "negotiated channel_max = 0 (no limit) is higher than the maximum allowed value (2047)",
        ),
    ],
    ids=str,
)
def test_tune_ok_beyond_the_limits(dial: Callable[[], Peer], asked: dict[str, Any], text: str) -> None:
    peer = dial()
    peer.negotiate(**asked)
    peer.expect_closed(530, text, by=ConnectionTuneOk, end=False)


@pytest.mark.parametrize("vhost", ["behaviour-missing", "", "/\r\n"], ids=repr)
def test_open_of_a_missing_virtual_host(dial: Callable[[], Peer], vhost: str) -> None:
    peer = dial()
    peer.negotiate()
    peer.send(ConnectionOpen(virtual_host=vhost))
    peer.expect_closed(530, f"vhost {vhost} not found", by=ConnectionOpen)


def test_reply_text_is_cut_at_255_bytes(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.negotiate()
    peer.send(ConnectionOpen(virtual_host="v" * 255))
    close = peer.expect(ConnectionClose)
    whole = f"NOT_ALLOWED - vhost {'v' * 255} not found"
    assert close.reply_text == whole[:252] + "..."


def test_capabilities_and_insist_of_open_are_ignored(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.negotiate()
    peer.call(ConnectionOpen(virtual_host="/", capabilities="anything", insist=True))


def test_heartbeats_are_allowed_before_the_connection_is_open(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.start()
    peer.link.send_bytes(frame(HEARTBEAT, 0, b""))
    peer.send(start_ok())
    peer.expect(ConnectionTune)


def test_channel_frames_before_open(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.negotiate()
    peer.link.send_bytes(ChannelOpen().frames(1, 0))
    peer.expect_closed(505, "type 1, all octets = <<0,20,0,10,0>>")


def test_close_instead_of_open(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.negotiate()
    peer.send(ConnectionClose(reply_code=200))
    peer.expect_closed(504, "unexpected method in connection state opening", by=ConnectionClose)
