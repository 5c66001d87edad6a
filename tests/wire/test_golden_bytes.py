"""The bytes of the behaviours checklist, section 20.1, written and read."""

from __future__ import annotations

import pytest
from librt.strings import BytesWriter

from leveret.wire.constants import PROTOCOL_HEADER
from leveret.wire.content import make_content, write_content
from leveret.wire.methods import (
    BasicPublish,
    ChannelCloseOk,
    ChannelOpen,
    ChannelOpenOk,
    ConnectionOpen,
    ConnectionOpenOk,
    ConnectionTune,
    Method,
    QueueDeclare,
    QueueDeclareOk,
    decode,
)
from leveret.wire.properties import BasicProperties
from leveret.wire.reader import FrameReader
from leveret.wire.writer import HEARTBEAT, FrameWriter

METHODS: list[tuple[str, int, Method]] = [
    ("01 00 00 00 00 00 0c 00 0a 00 1e 07 ff 00 02 00 00 00 3c ce", 0, ConnectionTune(2047, 131072, 60)),
    ("01 00 00 00 00 00 08 00 0a 00 28 01 2f 00 00 ce", 0, ConnectionOpen("/")),
    ("01 00 00 00 00 00 05 00 0a 00 29 00 ce", 0, ConnectionOpenOk()),
    ("01 00 01 00 00 00 05 00 14 00 0a 00 ce", 1, ChannelOpen()),
    ("01 00 01 00 00 00 08 00 14 00 0b 00 00 00 00 ce", 1, ChannelOpenOk()),
    (
        "01 00 01 00 00 00 0d 00 32 00 0a 00 00 01 71 02 00 00 00 00 ce",
        1,
        QueueDeclare("q", durable=True),
    ),
    ("01 00 01 00 00 00 0e 00 32 00 0b 01 71 00 00 00 00 00 00 00 00 ce", 1, QueueDeclareOk("q", 0, 0)),
    ("01 00 01 00 00 00 0a 00 3c 00 28 00 00 00 01 71 01 ce", 1, BasicPublish("", "q", mandatory=True)),
    ("01 00 01 00 00 00 04 00 14 00 29 ce", 1, ChannelCloseOk()),
]


@pytest.mark.parametrize(("text", "channel", "method"), METHODS)
def test_method(text: str, channel: int, method: Method) -> None:
    golden = bytes.fromhex(text)
    writer = FrameWriter()
    writer.method(channel, method)
    assert writer.size() == len(golden)
    assert writer.take() == golden
    assert writer.take() == b""
    reader = FrameReader(0)
    reader.feed(golden)
    assert reader.next()
    assert (reader.kind, reader.channel, reader.frame()) == (1, channel, golden)
    read = decode(reader.payload())
    assert type(read) is type(method)
    assert read is not None
    writer.method(channel, read)
    assert writer.take() == golden


def test_fixed_bytes() -> None:
    assert bytes.fromhex("41 4d 51 50 00 00 09 01") == PROTOCOL_HEADER
    assert bytes.fromhex("08 00 00 00 00 00 00 ce") == HEARTBEAT


def test_content() -> None:
    properties = BasicProperties()
    properties.delivery_mode = 2
    out = BytesWriter()
    write_content(out, make_content(properties.encode(), b"hello"), 1, 0)
    assert out.getvalue() == bytes.fromhex(
        "02 00 01 00 00 00 0f 00 3c 00 00 00 00 00 00 00 00 00 05 10 00 02 ce03 00 01 00 00 00 05 68 65 6c 6c 6f ce"
    )


def test_confirm() -> None:
    writer = FrameWriter()
    writer.confirm(1, 1, False)
    assert writer.take() == bytes.fromhex("01 00 01 00 00 00 0d 00 3c 00 50 00 00 00 00 00 00 00 01 00 ce")
    writer.confirm(0xFFFE, 1 << 40, True)
    assert writer.take() == bytes.fromhex("01 ff fe 00 00 00 0d 00 3c 00 50 00 00 01 00 00 00 00 00 01 ce")
    writer.refuse(1, 7)
    assert writer.take() == bytes.fromhex("01 00 01 00 00 00 0d 00 3c 00 78 00 00 00 00 00 00 00 07 00 ce")
