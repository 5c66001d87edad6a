"""Exact bytes, both ways, of what every client says first; no encoder of the tests stands in between."""

from __future__ import annotations

from collections.abc import Callable

from tests.clients.codec import PROTOCOL_HEADER, Properties, Reader, Typed, encode_table
from tests.clients.methods import ConnectionStart
from tests.clients.methods_basic import BasicPublish
from tests.clients.peer import Peer, start_ok

TUNE = bytes.fromhex("01 0000 0000000c 000a 001e 07ff 00020000 003c ce")
TUNE_OK = bytes.fromhex("01 0000 0000000c 000a 001f 07ff 00020000 0000 ce")
OPEN = bytes.fromhex("01 0000 00000008 000a 0028 01 2f 00 00 ce")
OPEN_OK = bytes.fromhex("01 0000 00000005 000a 0029 00 ce")
CHANNEL_OPEN = bytes.fromhex("01 0001 00000005 0014 000a 00 ce")
CHANNEL_OPEN_OK = bytes.fromhex("01 0001 00000008 0014 000b 00000000 ce")
CONFIRM_SELECT = bytes.fromhex("01 0001 00000005 0055 000a 00 ce")
CONFIRM_SELECT_OK = bytes.fromhex("01 0001 00000004 0055 000b ce")
ACK_1 = bytes.fromhex("01 0001 0000000d 003c 0050 0000000000000001 00 ce")
CHANNEL_CLOSE = bytes.fromhex("01 0001 0000000b 0014 0028 00c8 00 0000 0000 ce")
CHANNEL_CLOSE_OK = bytes.fromhex("01 0001 00000004 0014 0029 ce")
CLOSE = bytes.fromhex("01 0000 0000000b 000a 0032 00c8 00 0000 0000 ce")
CLOSE_OK = bytes.fromhex("01 0000 00000004 000a 0033 ce")
HEADER = bytes.fromhex("02 0001 0000000f 003c 0000 0000000000000005 1000 02 ce")
BODY = bytes.fromhex("03 0001 00000005 68656c6c6f ce")


def shorthand(queue: bytes) -> bytes:
    """Return a name as a short string."""
    return bytes([len(queue)]) + queue


def method(payload: bytes) -> bytes:
    """Return a method frame on channel 1."""
    return b"\x01\x00\x01" + len(payload).to_bytes(4, "big") + payload + b"\xce"


def test_a_whole_conversation(dial: Callable[[], Peer]) -> None:
    peer = dial()

    def say(data: bytes, answer: bytes) -> None:
        peer.link.send_bytes(data)
        assert peer.link.receive_bytes(len(answer)) == answer

    peer.link.send_bytes(PROTOCOL_HEADER)
    peer.expect(ConnectionStart)
    say(start_ok().frames(0, 0), TUNE)
    say(TUNE_OK + OPEN, OPEN_OK)
    say(CHANNEL_OPEN, CHANNEL_OPEN_OK)
    name = shorthand(b"behaviour-golden")
    counts = bytes(8)
    declare = bytes.fromhex("0032 000a 0000") + name + bytes.fromhex("04 00000000")
    say(method(declare), method(bytes.fromhex("0032 000b") + name + counts))
    say(CONFIRM_SELECT, CONFIRM_SELECT_OK)
    publish = bytes.fromhex("003c 0028 0000 00") + name + b"\x01"
    say(method(publish) + HEADER + BODY, ACK_1)
    get_ok = bytes.fromhex("003c 0047 0000000000000001 00 00") + name + bytes(4)
    say(method(bytes.fromhex("003c 0046 0000") + name + b"\x01"), method(get_ok) + HEADER + BODY)
    say(CHANNEL_CLOSE, CHANNEL_CLOSE_OK)
    say(CLOSE, CLOSE_OK)


def test_tables_and_properties_of_the_test_client() -> None:
    table = {"a": True, "b": -1, "c": "x", "d": Typed("l", 5), "e": None}
    golden = bytes.fromhex(
        "00000021 01 61 74 01 01 62 49 ffffffff 01 63 53 00000001 78 01 64 6c 0000000000000005 01 65 56"
    )
    assert encode_table(table) == golden
    assert Reader(golden).table() == {"a": True, "b": -1, "c": "x", "d": 5, "e": None}
    publish = BasicPublish(routing_key="q", mandatory=True, body=b"hello", properties=Properties(delivery_mode=2))
    golden = bytes.fromhex("01 0001 0000000a 003c 0028 0000 00 01 71 01 ce") + HEADER + BODY
    assert publish.frames(1, 4096) == golden


def test_start_is_0_9_with_a_table_and_two_long_strings(dial: Callable[[], Peer]) -> None:
    peer = dial()
    peer.link.send_bytes(PROTOCOL_HEADER)
    found = peer.link.read_frame()
    assert (found.type, found.channel, found.payload[:6]) == (1, 0, bytes.fromhex("000a 000a 00 09"))
    reader = Reader(found.payload[6:], typed=True)
    properties = reader.table()
    assert {value.tag for value in properties.values()} == {"F", "S"}
    assert {value.tag for value in properties["capabilities"].value.values()} == {"t"}
    assert {b"PLAIN", b"AMQPLAIN"} <= set(reader.long_string().split())
    assert (reader.long_string(), reader.left) == (b"en_US", 0)
