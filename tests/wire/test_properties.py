"""BasicProperties: all fourteen come back as they were written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.wire.fields import DecodeError
from leveret.wire.properties import BasicProperties
from tests.wire.test_fields import TABLES

TEXTS = (
    "content_type",
    "content_encoding",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "message_type",
    "user_id",
    "app_id",
    "cluster_id",
)
OCTETS = ("delivery_mode", "priority")
TEXT = st.binary(max_size=30).map(lambda raw: raw.decode("utf-8", "surrogateescape"))


@st.composite
def make_properties(draw: st.DrawFn) -> BasicProperties:
    """Any subset of the properties with any values."""
    result = BasicProperties()
    for name in draw(st.sets(st.sampled_from(TEXTS))):
        setattr(result, name, draw(TEXT))
    for name in draw(st.sets(st.sampled_from(OCTETS))):
        setattr(result, name, draw(st.integers(0, 255)))
    result.timestamp = draw(st.none() | st.integers(0, (1 << 64) - 1))
    result.headers = draw(st.none() | TABLES)
    return result


PROPERTIES = make_properties()


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
