"""The ledger finds whatever a broker may do wrong."""

from __future__ import annotations

import pytest

from tests.clients.ledger import Found, Ledger, Letter


def letter(ledger: Ledger, number: int, *queues: str, batch: int = 0, priority: int = 0) -> Letter:
    """A confirmed letter that has to be in each of the queues."""
    new = Letter((1, number), tuple((queue,) for queue in queues), priority, batch)
    ledger.send(new)
    ledger.confirm(new)
    return new


def there(*letters: Letter, redelivered: bool = True) -> list[Found]:
    """Letters, as they are found in a queue."""
    return [Found(one.body(10), redelivered) for one in letters]


def kinds(ledger: Ledger, found: dict[str, list[Found]], cut: int = 1 << 62) -> list[str]:
    """What an audit finds."""
    return [finding.kind for finding in ledger.audit(found, cut)]


def test_nothing_wrong() -> None:
    ledger = Ledger()
    one, two = letter(ledger, 1, "a", "b"), letter(ledger, 2, "a")
    ledger.ack("b", one)
    assert kinds(ledger, {"a": there(one, two), "b": []}) == []


def test_lost() -> None:
    ledger = Ledger()
    one = letter(ledger, 1, "a", "b")
    assert kinds(ledger, {"a": there(one), "b": []}) == ["lost"]


def test_one_of_several_queues_is_enough() -> None:
    ledger = Ledger(loose=["b"])
    one = Letter((1, 1), (("a", "b"),))
    ledger.send(one)
    ledger.confirm(one)
    assert kinds(ledger, {"a": [], "b": there(one, one)}) == []
    assert kinds(ledger, {"a": [], "b": []}) == ["lost"]


def test_confirmed_after_the_cut_may_be_missing() -> None:
    now = 0
    ledger = Ledger(lambda: now)
    now = 5
    one = letter(ledger, 1, "a")
    now = 9
    ledger.ack("a", one)
    assert kinds(ledger, {"a": []}, 4) == []
    assert kinds(ledger, {"a": []}, 5) == ["lost"]
    assert kinds(ledger, {"a": []}, 9) == []


def test_duplicated_and_disordered_and_unknown() -> None:
    ledger = Ledger()
    one, two = letter(ledger, 1, "a"), letter(ledger, 2, "a")
    assert kinds(ledger, {"a": there(one, one, two)}) == ["duplicated"]
    assert kinds(ledger, {"a": there(two, one)}) == ["disordered"]
    assert kinds(ledger, {"a": there(one, two, Letter((7, 7), ()))}) == ["unknown"]
    assert kinds(ledger, {"a": there(one, two), "b": there(one)}) == ["unknown"]


def test_lower_priority_in_front() -> None:
    ledger = Ledger()
    one, two = letter(ledger, 1, "a", priority=1), letter(ledger, 2, "a", priority=2)
    assert kinds(ledger, {"a": there(two, one)}) == []
    assert kinds(ledger, {"a": there(one, two)}) == ["disordered"]


@pytest.mark.parametrize("damage", [lambda body: body[:-1], lambda body: body[:8] + b"!" + body[9:], lambda _: b""])
def test_corrupt(damage: object) -> None:
    assert callable(damage)
    ledger = Ledger()
    body = damage(letter(ledger, 1, "a").body(10))
    assert kinds(ledger, {"a": [Found(body, True)]}) == ["lost", "corrupt"]


def test_seen_and_not_flagged() -> None:
    ledger = Ledger()
    one = letter(ledger, 1, "a")
    assert ledger.see("a", one.body(10), False) is one
    assert kinds(ledger, {"a": there(one, redelivered=False)}) == ["unflagged"]
    ledger.see("a", one.body(10), False)
    assert [finding.kind for finding in ledger.findings] == ["unflagged"]


def test_part_of_a_transaction() -> None:
    ledger = Ledger()
    one, two = letter(ledger, 1, "a", batch=1), letter(ledger, 2, "b", batch=1)
    one.confirmed = two.confirmed = None
    assert kinds(ledger, {"a": there(one), "b": []}) == ["torn"]
    assert kinds(ledger, {"a": [], "b": []}) == []
    ledger.ack("b", two)
    assert kinds(ledger, {"a": there(one), "b": []}) == []


def test_what_was_settled_stays_or_has_gone() -> None:
    ledger = Ledger()
    unconfirmed, gone, acked = letter(ledger, 1, "a"), letter(ledger, 2, "a"), letter(ledger, 3, "a")
    unconfirmed.confirmed = gone.confirmed = None
    ledger.ack("a", acked)
    ledger.settle({"a": there(unconfirmed, acked)})
    assert ledger.counts["came back"] == 1
    assert kinds(ledger, {"a": []}) == ["lost", "lost"]
    assert kinds(ledger, {"a": there(unconfirmed, gone, acked)}) == ["returned"]
