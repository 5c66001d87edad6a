"""Which bindings are the same, now and after a restart: the order of arguments does not count, their types do."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from leveret.core.definition import form
from leveret.core.vhost import VirtualHost
from leveret.store.database import FILE_NAME
from leveret.store.rows import pack_value
from leveret.wire.fields import (
    BINARY,
    FLOAT32,
    FLOAT64,
    INT8,
    INT16,
    INT64,
    TIMESTAMP,
    Field,
    Table,
    array,
    long,
    longstr,
    table,
    table_bytes,
)
from leveret.wire.methods import ExchangeBind, ExchangeUnbind, QueueBind, QueueUnbind
from tests.brokers.run import START_MS, Run

MATCH: Table = {"x-match": longstr("any"), "a": longstr("1"), "b": long(2)}
REVERSED: Table = dict(reversed(MATCH.items()))
Key = tuple[str, str, str, str]


def started(directory: Path) -> Run:
    """A broker with a queue, or what was left of it."""
    run = Run(directory, 0, START_MS)
    if "q" not in run.broker.vhosts["/"].queues:
        run.queue("q")
    return run


def vhost(run: Run) -> VirtualHost:
    """The virtual host of all."""
    return run.broker.vhosts["/"]


def bound(run: Run, exchange: str = "amq.headers") -> list[Table]:
    """The arguments of all bindings of an exchange."""
    return [binding.arguments for binding in vhost(run).exchanges[exchange].bindings]


def stored(directory: Path) -> list[str]:
    """The keys of all bindings in the file."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql:
        return [row[0] for row in sql.execute("SELECT key FROM definitions WHERE kind = 'binding' ORDER BY key")]


def key(arguments: Table, queue: str = "q") -> str:
    """The key of a binding to a queue, with arguments in the order in which they are given."""
    return json.dumps(["/", "amq.headers", "queue", queue, "k", table_bytes(arguments).hex()])


def put(directory: Path, *keys: str, value: bytes = b"") -> None:
    """Bindings, as an earlier version left them."""
    with closing(sqlite3.connect(directory / FILE_NAME)) as sql, sql:
        for each in keys:
            row = ("binding", each, pack_value("binding", each, value))
            sql.execute("INSERT INTO definitions (kind, key, value) VALUES (?, ?, ?)", row)


def test_the_order_of_arguments_does_not_count(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.peer.send(QueueBind("q", "amq.headers", "k", False, MATCH))
    run.peer.send(QueueBind("q", "amq.headers", "k", False, REVERSED))
    assert len(bound(run)) == 1
    run.end()
    assert len(stored(tmp_path)) == 1
    run = started(tmp_path)
    assert bound(run) == [MATCH]
    run.peer.send(QueueUnbind("q", "amq.headers", "k", REVERSED))
    assert bound(run) == []
    run.end()
    assert stored(tmp_path) == []
    run = started(tmp_path)
    assert bound(run) == []
    run.end()


def test_the_order_of_arguments_between_exchanges_does_not_count(tmp_path: Path) -> None:
    run = started(tmp_path)
    run.peer.send(ExchangeBind("amq.fanout", "amq.headers", "k", False, MATCH))
    run.end()
    run = started(tmp_path)
    run.peer.send(ExchangeUnbind("amq.fanout", "amq.headers", "k", False, REVERSED))
    run.end()
    run = started(tmp_path)
    assert bound(run) == []
    run.end()


def test_a_binding_that_an_earlier_version_left_in_another_order_is_unbound_for_good(tmp_path: Path) -> None:
    started(tmp_path).end()
    put(tmp_path, key(MATCH))
    run = started(tmp_path)
    assert bound(run) == [MATCH]
    run.end()
    assert stored(tmp_path) == [key({name: MATCH[name] for name in ("a", "b", "x-match")})]
    run = started(tmp_path)
    run.peer.send(QueueUnbind("q", "amq.headers", "k", REVERSED))
    run.end()
    assert stored(tmp_path) == []


@pytest.mark.parametrize("order", [MATCH, REVERSED], ids=["as it was bound", "the other way round"])
def test_a_binding_that_is_unbound_before_its_new_key_is_written(tmp_path: Path, order: Table) -> None:
    started(tmp_path).end()
    put(tmp_path, key(MATCH), key(REVERSED))
    run = started(tmp_path)
    assert len(bound(run)) == 1
    run.peer.send(QueueUnbind("q", "amq.headers", "k", order))
    assert bound(run) == []
    run.end()
    assert stored(tmp_path) == []


def test_a_binding_of_an_earlier_version_goes_with_its_queue(tmp_path: Path) -> None:
    started(tmp_path).end()
    put(tmp_path, key(MATCH), key(REVERSED))
    run = started(tmp_path)
    vhost(run).remove_queue(vhost(run).queues["q"])
    run.end()
    assert stored(tmp_path) == []


@pytest.mark.parametrize("verb", ["bind", "unbind"])
def test_a_damaged_binding_in_another_order_is_mended_or_deleted(tmp_path: Path, verb: str) -> None:
    started(tmp_path).end()
    put(tmp_path, key(MATCH))
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql, sql:
        sql.execute("UPDATE definitions SET value = x'00' WHERE kind = 'binding'")
    run = started(tmp_path)
    assert bound(run) == []
    assert len(run.broker.aside) == 1
    if verb == "bind":
        run.peer.send(QueueBind("q", "amq.headers", "k", False, REVERSED))
    else:
        run.peer.send(QueueUnbind("q", "amq.headers", "k", REVERSED))
    assert len(run.broker.aside) == 0
    run.end()
    run = started(tmp_path)
    assert (len(bound(run)), len(run.broker.aside)) == ((1, 0) if verb == "bind" else (0, 0))
    run.end()
    assert len(stored(tmp_path)) == (1 if verb == "bind" else 0)


NUMBERS = [
    Field(INT8, 1),
    Field(INT16, 1),
    Field(INT64, 1),
    Field(FLOAT32, 1.0),
    Field(FLOAT64, 1.0),
    Field(TIMESTAMP, 1),
]
OTHERS = [longstr("1"), Field(BINARY, b"1"), array([long(1)]), table({"a": long(1)})]


def test_arguments_of_different_types_are_different_bindings(tmp_path: Path) -> None:
    kinds = NUMBERS + OTHERS
    run = started(tmp_path)
    for kind in kinds:
        run.peer.send(QueueBind("q", "amq.headers", "k", False, {"a": kind}))
    assert len(bound(run)) == len(kinds)
    run.end()
    left = {(kind.kind, repr(kind.value)) for kind in kinds}
    for kind in kinds:
        run = started(tmp_path)
        assert {(each["a"].kind, repr(each["a"].value)) for each in bound(run)} == left
        run.peer.send(QueueUnbind("q", "amq.headers", "k", {"a": kind}))
        left.remove((kind.kind, repr(kind.value)))
        run.end()
    run = started(tmp_path)
    assert bound(run) == []
    run.end()


def test_the_key_says_all_of_a_binding() -> None:
    names = ["/", "x", "queue", "q", "k", table_bytes(MATCH).hex()]
    ordered = form.binding_names(names)
    assert ordered[:-1] == names[:-1]
    assert list(form.read_table(bytes.fromhex(ordered[-1]))) == ["a", "b", "x-match"]
    assert form.binding_names(ordered) == ordered
