"""Which letters count as ones that come again."""

from __future__ import annotations

from collections import Counter

from leveret.node.migration.known import Known
from leveret.node.migration.letter import NEW, SENT, THERE, Letter
from leveret.wire.properties import BasicProperties
from tests.migration.test_letter import letter


def some(*bodies: bytes, redelivered: bool = True) -> list[Letter]:
    """Letters."""
    return [letter(BasicProperties(), body, redelivered) for body in bodies]


def claims(known: Known, letters: list[Letter]) -> list[int]:
    """What they are taken for."""
    known.claim(letters)
    return [each.claim for each in letters]


def counted(*bodies: bytes) -> Counter[bytes]:
    """By what they are known again."""
    return Counter(each.print for each in some(*bodies))


def test_each_that_was_sent_comes_again_once() -> None:
    known = Known(counted(b"a", b"b", b"same", b"same"), Counter())
    assert claims(known, some(b"a", b"c", b"same", b"b")) == [SENT, NEW, SENT, SENT]
    assert claims(known, some(b"a", b"same", b"same")) == [NEW, SENT, NEW]


def test_what_is_there_for_certain_goes_first() -> None:
    known = Known(counted(b"same", b"same", b"same", b"b"), counted(b"same"))
    assert claims(known, some(b"same", b"same", b"b", b"same", b"same")) == [THERE, SENT, SENT, SENT, NEW]


def test_what_was_never_delivered_was_never_sent() -> None:
    known = Known(counted(b"same"), counted(b"same"))
    assert claims(known, some(b"same", redelivered=False)) == [NEW]
    assert claims(known, some(b"same")) == [THERE]


def test_what_is_given_back_comes_once_more() -> None:
    known = Known(counted(b"a", b"b"), counted(b"a"))
    letters = some(b"a", b"b", b"c")
    known.claim(letters)
    known.give_back(letters)
    assert [each.claim for each in letters] == [NEW, NEW, NEW]
    assert claims(known, some(b"a", b"b", b"a")) == [THERE, SENT, NEW]
