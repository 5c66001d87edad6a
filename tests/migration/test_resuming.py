"""A migration ends at the worst moments, or a connection does, and goes on: nothing is lost, and what is not known to
be there once is marked and counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pika
import pytest

from leveret.node.amqp import AmqpClient, AmqpError
from leveret.node.migration import journal as journals
from leveret.node.migration.journal import Journal
from leveret.node.migration.letter import AGAIN
from leveret.node.migration.sink import Sink
from leveret.node.migration.source import Source
from tests.migration.conftest import Pair

COUNT = 50
WINDOW = 10
PERSISTENT = pika.BasicProperties(delivery_mode=2)
KINDS = pytest.mark.parametrize("is_same", [False, True], ids=["each its own", "all the same"])
WAYS = pytest.mark.parametrize("is_exact", [True, False], ids=["marker", "confirms"])


class Killed(BaseException):
    """The command was killed here."""


def die(
    patch: pytest.MonkeyPatch, owner: type[Any], name: str, at: int = 3, error: BaseException | None = None
) -> None:
    """Let a method fail once, the so-manieth time that it is called, before it does anything."""
    die_behind(patch, owner, name, at, error, is_done=False)


def die_behind(
    patch: pytest.MonkeyPatch,
    owner: type[Any],
    name: str,
    at: int = 3,
    error: BaseException | None = None,
    is_done: bool = True,
) -> None:
    """Let a method fail once, when it has done what it does."""
    real: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, 1 << 30))

    def call(*given: Any, **more: Any) -> Any:
        is_time = next(calls) == at
        if is_time and not is_done:
            raise error or Killed
        result = real(*given, **more)
        if is_time:
            raise error or Killed
        return result

    patch.setattr(owner, name, call)


def fill(pair: Pair, is_same: bool) -> Counter[bytes]:
    """A queue with messages."""
    pair.old.queue_declare("q", durable=True)
    sent = [b"tick" if is_same else b"%d" % number for number in range(COUNT)]
    for body in sent:
        pair.old.basic_publish("", "q", body, PERSISTENT)
    return Counter(sent)


def killed(pair: Pair) -> None:
    """Run the command until it is killed."""
    with pytest.raises(Killed):
        pair.migrate("--window", str(WINDOW))


def arrived(pair: Pair) -> tuple[Counter[bytes], Counter[bytes]]:
    """What is at the target: how many of each without the mark, and how many with it."""
    plain: Counter[bytes] = Counter()
    marked: Counter[bytes] = Counter()
    for each in pair.take("q"):
        (marked if (each.properties.headers or {}).get(AGAIN) is True else plain)[each.body] += 1
    return plain, marked


def check(pair: Pair, sent: Counter[bytes], again: int, marked_alone: int = 0) -> int:
    """All that was sent is there, and so much of it twice, with a mark. Returns: how many are marked.

    marked_alone: that are marked and not there twice. Letters that are the same as others may be marked as well: what
    comes again of them cannot be told from what was sent.
    """
    plain, marked = arrived(pair)
    assert (plain + marked).total() == COUNT + again
    assert set(plain + marked) == set(sent)
    if len(sent) > 1:
        assert max(plain.values()) == 1
        assert marked.total() == again + marked_alone
    else:
        assert marked.total() >= again + marked_alone
    return marked.total()


def use(patch: pytest.MonkeyPatch, is_exact: bool) -> None:
    """Let the target be one that knows of each batch whether it has it, or one that does not."""
    if not is_exact:
        patch.setattr(Sink, "is_exact", property(lambda self: False))


@KINDS
@WAYS
def test_killed_before_anything_is_sent(
    pair: Pair, is_same: bool, is_exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, is_exact)
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die(patch, Sink, "store")
        killed(pair)
    report = pair.report("--window", str(WINDOW))
    marked = check(pair, sent, 0, marked_alone=0 if is_exact else WINDOW)
    assert (report["known"], report["again"], report["all_runs"]["moved"]) == (0, marked, COUNT)


@KINDS
@WAYS
def test_killed_when_it_is_there_and_before_that_is_known(
    pair: Pair, is_same: bool, is_exact: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, is_exact)
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die_behind(patch, Sink, "store")
        killed(pair)
    report = pair.report("--window", str(WINDOW))
    assert check(pair, sent, 0 if is_exact else WINDOW) == report["all_runs"]["again"]
    assert report["known"] == (WINDOW if is_exact else 0)
    if is_exact:
        assert report["all_runs"]["moved"] == COUNT


@KINDS
def test_killed_before_it_is_acknowledged(pair: Pair, is_same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die(patch, Source, "acknowledge")
        killed(pair)
    report = pair.report("--window", str(WINDOW))
    assert check(pair, sent, WINDOW) == report["again"]


@KINDS
def test_killed_when_it_is_acknowledged(pair: Pair, is_same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die_behind(patch, Source, "acknowledge")
        killed(pair)
    pair.report("--window", str(WINDOW))
    check(pair, sent, 0)


@KINDS
@WAYS
@pytest.mark.parametrize("is_done", [True, False])
def test_the_target_goes_away(
    pair: Pair, is_same: bool, is_exact: bool, is_done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, is_exact)
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        if is_exact:
            die_behind(patch, Sink, "_commit", error=AmqpError("gone"), is_done=is_done)
        else:
            die_behind(patch, Sink, "_confirmed", error=AmqpError("gone"), is_done=is_done)
        result = pair.migrate("--window", str(WINDOW))
        assert result.returncode == 0, result.stderr
        assert ": gone; waiting for it" in result.stderr
    check(pair, sent, 0 if is_exact or is_done else WINDOW)


@KINDS
def test_the_source_goes_away_before_it_hears_that_all_is_stored(
    pair: Pair, is_same: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die(patch, AmqpClient, "check", error=AmqpError("gone"))
        report = pair.report("--window", str(WINDOW))
    assert (report["moved"], report["known"]) == (COUNT, WINDOW)
    assert check(pair, sent, 0) == report["again"]


@KINDS
def test_the_source_goes_away_and_may_have_heard_it(pair: Pair, is_same: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fill(pair, is_same)
    with monkeypatch.context() as patch:
        die(patch, Source, "acknowledge", error=AmqpError("gone"))
        report = pair.report("--window", str(WINDOW))
    assert check(pair, sent, WINDOW) == report["again"]


def test_killed_twice_at_one_place(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fill(pair, False)
    for at in (3, 2):
        with monkeypatch.context() as patch:
            die_behind(patch, Sink, "store", at)
            killed(pair)
    report = pair.report("--window", str(WINDOW))
    plain, marked = arrived(pair)
    assert plain == sent
    assert marked.total() == report["all_runs"]["again"] <= WINDOW


def test_without_its_marker_a_batch_is_taken_for_one_that_may_be_there(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = fill(pair, False)
    with monkeypatch.context() as patch:
        die_behind(patch, Sink, "store")
        killed(pair)
    (name,) = [
        each["name"] for each in pair.new_api.get("queues", pair.vhost) if each["name"].startswith("leveret.migrate.")
    ]
    pair.channel(pair.target).queue_purge(name)
    report = pair.report("--window", str(WINDOW))
    plain, marked = arrived(pair)
    assert (plain, marked.total()) == (sent, report["again"])
    assert (marked.total(), report["known"]) == (WINDOW, 0)


def test_nothing_of_the_migration_stays_at_the_target(pair: Pair) -> None:
    pair.old.exchange_declare("x", "fanout", durable=True)
    pair.old.queue_declare("q", durable=True)
    pair.old.queue_bind("q", "x")
    pair.old.basic_publish("x", "key", b"1", PERSISTENT)
    pair.report()
    for section in ("queues", "exchanges"):
        names = [each["name"] for each in pair.new_api.get(section, pair.vhost)]
        assert not any(name.startswith("leveret.migrate.") for name in names)


def test_an_old_journal_beside_a_newer_marker(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = fill(pair, False)
    with monkeypatch.context() as patch:
        die(patch, Sink, "store", at=2)
        killed(pair)
    kept = (pair.directory / "journal").read_bytes()
    with monkeypatch.context() as patch:
        die(patch, Sink, "store", at=3)
        killed(pair)
    (pair.directory / "journal").write_bytes(kept)
    for _ in range(3):  # numbers of batches that were never sent meet the marker
        with monkeypatch.context() as patch:
            die(patch, Sink, "store", at=1)
            killed(pair)
    pair.report("--window", str(WINDOW))
    plain, marked = arrived(pair)
    assert set(plain + marked) == set(sent)
    assert (plain + marked).total() >= COUNT


def test_the_journal_keeps_what_is_recent(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "HISTORY", 25)
    fill(pair, False)
    pair.report("--window", str(WINDOW))
    places = (pair.source.side().place, pair.target.side().place)
    found = Journal(pair.directory / "journal", *places)
    assert found.prints(pair.vhost, "q").total() <= 25
    assert found.totals() == {(pair.vhost, "q"): (COUNT, 0)}
    found.close()
