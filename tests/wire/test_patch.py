"""Patches of headers, with tables that come from clients of all kinds."""

from __future__ import annotations

import pytest

from leveret.wire import patch
from leveret.wire.content import body, make_content, properties
from leveret.wire.fields import DecodeError, Field, long, longstr, signedint, table, table_bytes
from leveret.wire.properties import BasicProperties

NEW = patch.text_value(b"new")


def changed(pairs: bytes, **changes: bytes) -> bytes:
    """The pairs with these changes."""
    return patch.changed(pairs, 0, len(pairs), {name.encode(): value for name, value in changes.items()})


@pytest.mark.parametrize(
    ("names", "change", "expected"),
    [
        ("", "b", "b"),
        ("ac", "b", "abc"),
        ("ca", "b", "abc"),
        ("abc", "b", "abc"),
        ("b", "b", "b"),
        ("bc", "a", "abc"),
        ("ab", "c", "abc"),
        ("cbaabc", "b", "abc"),
    ],
)
def test_a_value_gets_its_place_among_the_names(names: str, change: str, expected: str) -> None:
    pairs = b"".join([table_bytes({name: long(at)}) for at, name in enumerate(names)])
    old = {name: long(names.index(name)) for name in names}
    new = {name: longstr("new") if name == change else old[name] for name in expected}
    assert changed(pairs, **{change: NEW}) == table_bytes(new)
    without = {name: old[name] for name in sorted(set(names)) if name != change}
    assert changed(pairs, **{change: b""}) == table_bytes(without)


def test_a_long_of_another_name_is_sent_as_a_long() -> None:
    pairs = b"\x01aL" + bytes(7) + b"\x05"
    assert changed(pairs, b=NEW) == table_bytes({"a": long(5), "b": longstr("new")})


@pytest.mark.parametrize(
    "pairs",
    [
        b"\x01a",
        b"\x01a?",
        b"\x05a",
        b"\x01aS\0\0",
        b"\x01aS\0\0\0\x01",
        b"\x01aS\xff\xff\xff\xff",
        b"\x01al\0",
        b"\x01b" + b"V" + b"\x01a?",
    ],
)
def test_what_is_no_table_is_refused(pairs: bytes) -> None:
    for each in (pairs, table_bytes({"z": long(1)}) + pairs):
        with pytest.raises((DecodeError, IndexError)):
            changed(each, b=NEW)


def test_one_header_is_found_among_others() -> None:
    inner = table({"x": longstr("in another")})
    headers = {"t": inner, "xx": longstr("longer"), "x": signedint(7), "y": Field(0x56, None)}
    found = BasicProperties()
    found.headers = headers
    content = make_content(found.encode(), b"")
    assert [patch.header(content, name.encode()) for name in headers] == list(headers.values())
    assert patch.header(content, b"z") is None
    assert patch.header(make_content(BasicProperties().encode(), b""), b"x") is None


def test_properties_beside_the_headers_stay() -> None:
    wanted = BasicProperties()
    wanted.content_type, wanted.content_encoding, wanted.correlation_id = "text/plain", "gzip", "c"
    wanted.delivery_mode, wanted.priority, wanted.timestamp, wanted.cluster_id = 2, 9, 1 << 40, "cluster"
    wanted.expiration, wanted.message_id, wanted.reply_to = "60000", "m", "r"
    content = make_content(wanted.encode(), b"x" * 100, 64)
    assert (patch.expiration(content), patch.priority(content)) == (b"60000", 9)
    for headers in ({}, {"a": long(1), "b": longstr("text")}):
        wanted.headers = headers
        wanted.expiration = "60000"
        kept = patch.with_headers(content, table_bytes(headers), True)
        assert (properties(kept), body(kept)) == (wanted.encode(), b"x" * 100)
        wanted.expiration = None
        lost = patch.with_headers(kept, table_bytes(headers), False)
        assert (properties(lost), body(lost)) == (wanted.encode(), b"x" * 100)
        assert patch.expiration(lost) is None
