"""BasicProperties: all fourteen come back as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.wire.fields import DecodeError
from leveret.wire.properties import BasicProperties
from tests.clients.strategies import OCTETS, PROPERTIES, TEXTS


@given(PROPERTIES)
def test_round_trip(properties: BasicProperties) -> None:
    raw = properties.encode()
    again = BasicProperties.parse(raw)
    for name in (*TEXTS, *OCTETS, "timestamp", "headers"):
        assert getattr(again, name) == getattr(properties, name), name
    assert again.encode() == raw


def test_golden() -> None:
    properties = BasicProperties()
    properties.content_type = "a/b"
    properties.headers = {}
    properties.delivery_mode = 2
    properties.priority = 9
    properties.timestamp = 1
    properties.cluster_id = "c"
    assert properties.encode() == bytes.fromhex("b844 03612f62 00000000 02 09 0000000000000001 0163".replace(" ", ""))


@given(PROPERTIES, st.data())
def test_cut_short(properties: BasicProperties, data: st.DataObject) -> None:
    raw = properties.encode()
    with pytest.raises(DecodeError):
        BasicProperties.parse(raw[: data.draw(st.integers(0, len(raw) - 1))])


def test_more_flags_than_properties() -> None:
    with pytest.raises(DecodeError):
        BasicProperties.parse(b"\x00\x01\x00\x00")


def test_a_text_that_is_too_long_is_not_written() -> None:
    properties = BasicProperties()
    properties.message_id = "x" * 256
    with pytest.raises(ValueError, match="256"):
        properties.encode()
