"""By what a letter is known again, and how it is marked."""

from __future__ import annotations

import pytest
from hypothesis import given

from leveret.node.amqp import Got
from leveret.node.migration.letter import AGAIN, Letter, marked
from leveret.wire.constants import FRAME_MAX
from leveret.wire.content import body, make_content, properties
from leveret.wire.fields import Table, boolean, long, longstr
from leveret.wire.methods import BasicDeliver
from leveret.wire.properties import BasicProperties
from tests.clients.strategies import PROPERTIES


def letter(
    found: BasicProperties,
    content: bytes = b"body",
    redelivered: bool = False,
    has_counts: bool = False,
    key: str = "k",
) -> Letter:
    """A letter that was delivered."""
    method = BasicDeliver("tag", 1, redelivered, "x", key)
    return Letter(Got(method, make_content(found.encode(), content, FRAME_MAX)), has_counts)


def with_headers(headers: Table | None) -> BasicProperties:
    """Properties."""
    found = BasicProperties()
    found.headers = headers
    found.message_id = "m"
    return found


@given(PROPERTIES)
def test_a_mark_is_one_header_more(found: BasicProperties) -> None:
    raw = found.encode()
    again = BasicProperties.parse(marked(raw))
    assert again.headers is not None
    assert again.headers.pop(AGAIN).value is True
    if not found.headers:
        again.headers = found.headers
    assert again.encode() == raw
    assert marked(marked(raw)) == marked(raw)


def test_a_mark_leaves_the_body() -> None:
    one = letter(with_headers({"a": long(1)}), bytes(300_000))
    one.mark()
    assert body(one.content) == bytes(300_000)
    assert BasicProperties.parse(properties(one.content)).headers == {"a": long(1), AGAIN: boolean(True)}


def test_there_may_be_no_room_for_a_mark() -> None:
    one = letter(with_headers({"a": longstr(bytes(FRAME_MAX - 50))}))
    one.mark()
    assert BasicProperties.parse(properties(one.content)).headers is not None
    assert AGAIN.encode() not in one.content


def test_what_makes_a_letter_another_one() -> None:
    prints = {
        letter(with_headers({})).print,
        letter(with_headers({"a": long(1)})).print,
        letter(with_headers({}), b"other").print,
        letter(with_headers({}), key="other").print,
        letter(BasicProperties()).print,
    }
    assert len(prints) == 5
    assert letter(with_headers({})).print == letter(with_headers(None)).print
    large = bytes(300_000)
    one, other = letter(with_headers({}), large), letter(with_headers({}), large)
    other.content = make_content(with_headers({}).encode(), large, 4096)
    assert one.print == letter(with_headers({}), large).print


@pytest.mark.parametrize("headers", [None, {"a": long(1)}, {"x-delivery-count": longstr(b"mine")}])
def test_counts_of_a_quorum_queue(headers: Table | None) -> None:
    counted: Table = {**(headers or {}), "x-delivery-count": long(2), "x-acquired-count": long(3)}
    again = letter(with_headers(counted), redelivered=True, has_counts=True)
    assert again.deliveries == 2
    kept = {name: field for name, field in (headers or {}).items() if name == "a"}
    assert again.print == letter(with_headers(kept)).print
    assert letter(with_headers(counted), redelivered=True).deliveries == 0
    first = letter(with_headers(counted), has_counts=True)
    assert first.deliveries == 0
    assert BasicProperties.parse(properties(first.content)).headers == counted
