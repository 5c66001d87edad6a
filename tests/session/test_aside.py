"""Definitions in the log that cannot be used: the start goes on without them, and they can be mended or deleted."""

from __future__ import annotations

import contextlib
import itertools
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from leveret.auth.passwords import NOBODY
from leveret.core import definitions
from leveret.core.access.user import Permission, User
from leveret.core.broker import Broker
from leveret.core.definition import form
from leveret.core.definition.form import DEDUPLICATION, GLOBAL_PARAMETER, PARAMETER
from leveret.core.exchange.exchange import Binding
from leveret.core.message.log import Recovered
from leveret.core.policy.policy import Policy
from leveret.core.turn.clock import Clock
from leveret.management.administration import Administration
from leveret.management.jobs import complete
from leveret.store.chunk_log import ChunkLog
from leveret.store.database import FILE_NAME
from leveret.store.memory import Kept, MemoryLog
from leveret.store.rescue.salvage import open_database
from leveret.wire import fields
from leveret.wire.fields import Field, Table, boolean, long, longstr, table, table_bytes
from leveret.wire.methods import BasicPublish, ExchangeDelete, QueueDelete, QueueUnbind
from leveret.wire.properties import BasicProperties
from tests.clients.socketless import Peer, turn

Row = tuple[str, str]  # kind and key

SEEDS = itertools.count()
WALL_MS = 1_700_000_000_000
WRONG = [
    boolean(True),
    long(-1),
    long((1 << 63) - 1),
    fields.timestamp((1 << 64) - 1),
    longstr("x"),
    longstr(b"\xff"),
    fields.array([long(1)]),
    table({}),
    Field(fields.VOID, None),
]
OTHERS: list[object] = [None, True, "", "[", "x", -1, 1 << 63, 10**30, 1.5, [], {}, {"x": 1}, {"expires": 1 << 63}]
NO_TABLES = [b"", b"\xff", b"{", b"\x01a"]


class Life:
    """One life of a broker. told: what the operator heard at its start."""

    def __init__(self, kept: Kept) -> None:
        self.log = MemoryLog(kept=kept)
        self.broker = Broker(self.log, self.log, Clock(0, WALL_MS), seed=next(SEEDS), node="test")
        self.log.listener = self.broker.news
        self.broker.recover()
        self.told = list(self.broker.explanations)
        turn(self.broker)
        self.broker.tick(1000)

    def perform(self, verb: str, **arguments: object) -> Any:
        """A verb."""
        answer = complete(self.broker, Administration(self.broker).perform(verb, arguments))
        turn(self.broker)
        return answer

    def story(self) -> dict[str, list[str]]:
        """Everything that a broker exports, without what makes no difference."""
        content = json.loads(json.dumps(self.perform("export_definitions")))
        return {
            section: sorted(json.dumps(entry, sort_keys=True) for entry in entries)
            for section, entries in content.items()
            if isinstance(entries, list)
        }


def copy(kept: Kept) -> Kept:
    """The same once more."""
    other = Kept()
    other.definitions = dict(kept.definitions)
    other.messages = {queue: dict(messages) for queue, messages in kept.messages.items()}
    return other


def make() -> Kept:
    """What a broker keeps that has something of every kind."""
    kept = Kept()
    life = Life(kept)
    broker = life.broker
    broker.make_defaults("guest", NOBODY)
    perform = life.perform
    perform("add_vhost", name="v", description="one", tags=["a"], default_queue_type="quorum")
    perform("set_vhost_limits", vhost="v", limits={"max-queues": 100})
    perform("add_user", name="u", password_hash="AAAAAAAA", tags=["management"])
    perform("set_permissions", user="u", vhost="v", configure="a", write="b", read="c")
    perform("set_user_limits", user="u", limits={"max-channels": 5})
    vhost = broker.vhosts["v"]
    for name, kind in (("e", "topic"), ("t", "x-delayed-message"), ("d", "x-message-deduplication")):
        arguments: Table = {"x-delayed-type": longstr("fanout")} if name == "t" else {}
        if name == "d":
            arguments = {"x-cache-size": long(5)}
        vhost.declare_exchange(name, kind, True, False, False, arguments)
    perform("set_topic_permissions", user="u", vhost="v", exchange="e", write="a", read="b")
    queue = vhost.declare_queue("q", True, False, False, {"x-max-length": long(9)}, 0)
    vhost.bind(Binding(vhost.exchanges["e"], queue, None, "k", {"a": long(1)}))
    vhost.bind(Binding(vhost.exchanges["e"], None, vhost.exchanges["t"], "#", {}))
    perform("set_policy", vhost="v", name="p", pattern="^q", definition={"max-length": 7}, priority=3)
    perform("set_operator_policy", vhost="v", name="o", pattern="", definition={"expires": 1 << 40})
    perform("set_parameter", vhost="v", component="shovel", name="s", value={"a": [1]})
    perform("set_global_parameter", name="g", value="x")
    broker.keep_time()
    peer = client(broker)
    properties = BasicProperties()
    properties.headers = {"x-deduplication-header": longstr("seen")}
    peer.send(BasicPublish("d", ""), b"", properties)
    peer.send(BasicPublish("", "q"), b"kept")
    assert peer.got() == []
    assert not [text for text in broker.explanations if "aside" in text]
    return kept


def client(broker: Broker) -> Peer:
    """Somebody who may do everything in the virtual host."""
    user = User("client", NOBODY, ())
    user.permissions["v"] = Permission(".*", ".*", ".*", broker.matcher)
    return Peer(broker, user=user, vhost="v")


WHOLE = make()
ROWS = [row for row in WHOLE.definitions if row[0] != form.DEFAULTS]


def damaged_values(row: Row) -> Iterator[bytes]:
    """Values that the row may have instead: none that makes sense, and those with one field missing or wrong."""
    yield from NO_TABLES
    kind = row[0]
    if kind in (DEDUPLICATION, form.BINDING):
        return
    if kind in (PARAMETER, GLOBAL_PARAMETER):
        yield b"[" * 5000
        yield b"9" * 5000
        return
    content = form.read_table(WHOLE.definitions[row])
    for name in content:
        yield table_bytes({key: value for key, value in content.items() if key != name})
        for wrong in WRONG:
            yield table_bytes({**content, name: wrong})
    if "body" in content:
        body = json.loads(content["body"].text)
        for name in body:
            for value in OTHERS:
                yield table_bytes({"body": longstr(json.dumps({**body, name: value}))})


def belongs(row: Row, section: str, entry: dict[str, Any]) -> bool:
    """Whether an exported entry is what a row defines, or is gone while that cannot be used."""
    kind, names = row[0], form.names(row[1])
    if kind == form.VHOST or kind == form.VHOST_LIMIT:
        return (section == "vhosts" and entry["name"] == names[0]) or entry.get("component") == "vhost-limits"
    if kind in (form.USER, form.USER_LIMIT):
        return names[0] in (entry.get("user"), entry.get("name"))
    if kind in (form.PERMISSION, form.TOPIC_PERMISSION):
        return section in ("permissions", "topic_permissions") and entry["user"] == names[0]
    if kind == form.BINDING:
        return section == "bindings" and entry["destination"] == names[3]
    if kind in (form.EXCHANGE, form.QUEUE):
        return names[1] in [entry.get(key) for key in ("name", "source", "destination", "exchange")]
    if kind in (form.POLICY, form.OPERATOR_POLICY):
        return entry.get("name") == names[1] and section in ("policies", "parameters")
    return entry.get("name") == names[-1] if kind in (PARAMETER, GLOBAL_PARAMETER) else False


def is_salvaged(entry: str) -> bool:
    """Whether it is the queue that the messages of an unusable one came into."""
    return '"name": "salvaged.' in entry


BEFORE = Life(copy(WHOLE)).story()
CONTENT = Life(copy(WHOLE)).perform("export_definitions")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row[0]}{row[1]}")
def test_a_start_goes_on_without_it(row: Row) -> None:
    asides = 0
    for value in damaged_values(row):
        kept = copy(WHOLE)
        kept.definitions[row] = value
        life = Life(kept)
        after = life.story()
        for section, entries in BEFORE.items():
            for entry in {*entries} ^ {*after[section]}:
                assert belongs(row, section, json.loads(entry)) or is_salvaged(entry), (value, entry)
        count = sum(len(queue.ready) for queue in life.broker.queues())
        assert count >= 1 or row[0] == form.QUEUE, value
        set_aside = life.broker.aside.entries()
        asides += len(set_aside) > 0
        for each in set_aside:
            assert life.told.count(each.text) == 1
            assert each.text in life.perform("show_status")["set_aside"]
        # To set the same again mends it, whatever else waited for it.
        answer = life.perform("import_definitions", content=CONTENT)
        assert not answer["errors"], (value, answer)
        left = [entry.kind for entry in life.broker.aside.entries()]
        assert {*left} <= {form.CLOCK, DEDUPLICATION}, (value, left)
        mended = Life(kept)
        assert [entry.kind for entry in mended.broker.aside.entries()] == left
        if set_aside:
            found = mended.story()
            assert {section: [each for each in found[section] if not is_salvaged(each)] for section in found} == BEFORE
    assert asides >= len(NO_TABLES) - 1 or row[0] in (form.BINDING, form.VHOST, DEDUPLICATION)


def delete(life: Life, row: Row) -> None:
    """What an administrator or a client does to be rid of something."""
    kind, names = row[0], form.names(row[1])
    vhost, name = names[0], names[-1] if names else ""
    if kind == form.VHOST:
        life.perform("delete_vhost", name=vhost)
    elif kind == form.VHOST_LIMIT:
        life.perform("clear_vhost_limits", vhost=vhost)
    elif kind == form.USER:
        life.perform("delete_user", name=name)
    elif kind == form.USER_LIMIT:
        life.perform("clear_user_limits", user=name)
    elif kind == form.PERMISSION:
        life.perform("clear_permissions", user=names[0], vhost=names[1])
    elif kind == form.TOPIC_PERMISSION:
        life.perform("clear_topic_permissions", user=names[0], vhost=names[1], exchange=names[2])
    elif kind == form.POLICY:
        life.perform("clear_policy", vhost=vhost, name=name)
    elif kind == form.OPERATOR_POLICY:
        life.perform("clear_operator_policy", vhost=vhost, name=name)
    elif kind == PARAMETER:
        life.perform("clear_parameter", vhost=vhost, component=names[1], name=name)
    elif kind == GLOBAL_PARAMETER:
        life.perform("clear_global_parameter", name=name)
    elif kind == form.QUEUE:
        client(life.broker).send(QueueDelete(name))
    elif kind in (form.EXCHANGE, DEDUPLICATION):
        client(life.broker).send(ExchangeDelete(names[1]))


@pytest.mark.parametrize(
    "row", [row for row in ROWS if row[0] not in (form.CLOCK, form.BINDING)], ids=lambda row: f"{row}"
)
def test_it_can_be_deleted(row: Row) -> None:
    kept = copy(WHOLE)
    kept.definitions[row] = b"\xff"
    life = Life(kept)
    assert (row[0] in [entry.kind for entry in life.broker.aside.entries()]) == (row[0] != form.VHOST)
    delete(life, row)
    life.broker.finish()
    assert row not in kept.definitions
    assert life.broker.aside.entries() == []
    assert Life(kept).broker.aside.entries() == []


@pytest.mark.parametrize("row", [*WHOLE.definitions], ids=lambda row: f"{row}")
def test_damage_of_a_row_on_the_disk(row: Row, tmp_path: Path) -> None:
    kept = ChunkLog(open_database(tmp_path), lambda: None)
    for (kind, key), value in WHOLE.definitions.items():
        kept.put(kind, key, value)
    kept.close()
    with contextlib.closing(sqlite3.connect(tmp_path / FILE_NAME)) as sql, sql:
        query = "UPDATE definitions SET value = CAST(value || x'00' AS BLOB) WHERE kind = ? AND key = ?"
        assert sql.execute(query, row).rowcount == 1
    for is_again in (False, True):
        log = ChunkLog(open_database(tmp_path), lambda: None)
        broker = Broker(log, log, Clock(0, WALL_MS), seed=next(SEEDS), node="test")
        broker.recover()
        assert not broker.is_new
        set_aside = [(entry.kind, entry.key) for entry in broker.aside.entries() if entry.needs is None]
        if is_again or row[0] in (form.DEFAULTS, form.VHOST):  # which is made anew with what is in it
            assert set_aside == []
        else:
            assert set_aside == [row]
            (text,) = [entry.text for entry in broker.aside.entries() if entry.needs is None]
            assert text in broker.explanations
            assert "cannot be used and is set aside: checksum does not match" in text
        answer = complete(broker, Administration(broker).perform("import_definitions", {"content": CONTENT}))
        assert isinstance(answer, dict)
        assert answer["errors"] == []
        left = [entry.kind for entry in broker.aside.entries()]
        assert left == ([row[0]] if row[0] in (form.CLOCK, DEDUPLICATION) and not is_again else [])
        for kind in left:
            broker.keep_time()
            if kind == DEDUPLICATION:
                broker.vhosts["v"].delete_exchange("d", False)
        broker.finish()
        log.close()


def test_nothing_but_a_virtual_host_that_cannot_be_used() -> None:
    kept = copy(WHOLE)
    row = (form.VHOST, form.key("alone"))
    kept.definitions[row] = b"\xff"
    life = Life(kept)
    assert "alone" not in life.broker.vhosts
    (entry,) = life.broker.aside.entries()
    assert entry.text == (
        "virtual host 'alone' cannot be used and is set aside: DecodeError: field table is cut short; "
        "add it again, or delete it"
    )
    life.perform("delete_vhost", name="alone")
    assert row not in kept.definitions
    kept.definitions[row] = b"\xff"
    life = Life(kept)
    life.perform("add_vhost", name="alone")
    assert Life(kept).broker.aside.entries() == []
    assert "alone" in Life(kept).broker.vhosts


KEYS = ["", "[]", "[1, 2]", "{}", '["v"]', '["v", "q", "x"]', "null", "\ud800", "[" * 3000]
KINDS = sorted({kind for kind, _ in ROWS} | {"of another version"})


@pytest.mark.parametrize(
    ("kind", "key"), [(kind, key) for kind in KINDS for key in KEYS if (kind, key) not in WHOLE.definitions]
)
def test_a_key_that_makes_no_sense(kind: str, key: str) -> None:
    kept = copy(WHOLE)
    kept.definitions[kind, key] = WHOLE.definitions[next((row for row in ROWS if row[0] == kind), ROWS[0])]
    life = Life(kept)
    after = life.story()
    for section, entries in BEFORE.items():
        assert {*entries} <= {*after[section]}
    assert sum(len(queue.ready) for queue in life.broker.queues()) >= 1


def test_a_binding_can_be_unbound() -> None:
    kept = copy(WHOLE)
    life = Life(kept)
    life.broker.vhosts["v"].declare_exchange("h", "x-consistent-hash", True, False, False, {})
    names = ["v", "h", "queue", "q", "no weight", table_bytes({}).hex()]
    row = (form.BINDING, form.key(*names))
    kept.definitions[row] = b""
    life = Life(kept)
    (entry,) = life.broker.aside.entries()
    assert entry.text == (
        "the binding of queue 'q' to exchange 'h' in virtual host 'v' cannot be used and is set aside: "
        'The binding key must be an integer: <<"no weight">>; bind it again, or unbind it, or delete one of the two'
    )
    assert not life.broker.vhosts["v"].exchanges["h"].bindings
    client(life.broker).send(QueueUnbind("q", "h", "no weight"))
    assert row not in kept.definitions
    kept.definitions[row] = b""
    life = Life(kept)
    client(life.broker).send(QueueDelete("q"))
    assert row not in kept.definitions


def test_what_belongs_to_it_waits_for_it() -> None:
    kept = copy(WHOLE)
    kept.definitions[form.USER, form.key("u")] = b"\xff"
    kept.definitions[form.EXCHANGE, form.key("v", "e")] = b"\xff"
    life = Life(kept)
    waiting = [entry.text for entry in life.broker.aside.entries() if entry.needs is not None]
    assert len(waiting) == 5
    assert (
        "the permission of user 'u' in virtual host 'v' cannot be used and is set aside: user 'u' does not exist; "
        "set it again, or clear it"
    ) in waiting
    life.perform("add_user", name="u", password_hash="AAAAAAAA")
    assert life.broker.users.user("u").permissions["v"].configure == "a"
    assert life.broker.users.user("u").limits == {"max-channels": 5}
    assert "the permission of user 'u' in virtual host 'v' was set aside, and is in use again" in (
        life.broker.explanations
    )
    life.broker.vhosts["v"].declare_exchange("e", "topic", True, False, False, {})
    assert len(life.broker.vhosts["v"].exchanges["e"].bindings) == 2
    assert life.broker.aside.entries() == []


def test_who_is_deleted_does_not_come_back_with_what_waited() -> None:
    kept = copy(WHOLE)
    kept.definitions[form.USER, form.key("u")] = b"\xff"
    life = Life(kept)
    life.perform("delete_user", name="u")
    life.perform("add_user", name="u")
    for each in (life, Life(kept)):
        user = each.broker.users.user("u")
        assert (user.permissions, user.topic_permissions, user.limits) == ({}, {}, {})


def test_messages_of_a_queue_that_cannot_be_used_are_kept() -> None:
    kept = copy(WHOLE)
    row = (form.QUEUE, form.key("v", "q"))
    value = form.read_table(kept.definitions[row])
    whole = kept.definitions[row]
    arguments = {"x-queue-type": longstr("of another version")}
    kept.definitions[row] = table_bytes({**value, "arguments": table(arguments)})
    broker = Life(kept).broker
    name = f"salvaged.{value['id'].integer:016x}"
    assert len(broker.vhosts["/"].queues[name].ready) == 1
    assert "q" not in broker.vhosts["v"].queues
    kept.definitions[row] = whole  # a version that knows it
    broker = Life(kept).broker
    assert len(broker.vhosts["v"].queues["q"].ready) == 1
    (entry,) = broker.aside.entries()
    assert entry.text == (
        f"queue '{name}' in virtual host '/' cannot be used and is set aside: ValueError: its messages belong to "
        "queue 'q' in vhost 'v'; declare it again, or delete it"
    )
    broker.vhosts["/"].delete_queue(name, False, False, 0)
    broker = Life(kept).broker
    assert broker.aside.entries() == []
    assert len(broker.vhosts["v"].queues["q"].ready) == 1


def test_policies_of_older_versions_with_numbers_of_any_size() -> None:
    kept = copy(WHOLE)
    numbers = ("expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit", "consumer-timeout")
    for at, key in enumerate((*numbers, "delayed-retry-min", "target-group-size", "max-in-memory-bytes")):
        for number in ((1 << 63) - 1, 1 << 63, 10**30):
            vhost = f"{key}-{number}"
            kept.definitions[form.VHOST, form.key(vhost)] = form.vhost_value("", (), "", False)
            policy = Policy("p", "", {key: number}, 10**30 * (-1) ** at, "all")
            kept.definitions[form.POLICY, form.key(vhost, "p")] = definitions.policy_value(policy)
    life = Life(kept)
    assert [text for text in life.told if "aside" in text] == []
    for place in life.broker.vhosts.values():
        if place.name in ("/", "v"):
            continue
        for kind in ("classic", "quorum"):
            user = User("client", NOBODY, ())
            user.permissions[place.name] = Permission(".*", ".*", ".*", life.broker.matcher)
            place.declare_queue(kind, True, False, False, {"x-queue-type": longstr(kind)}, 0)
            peer = Peer(life.broker, user=user, vhost=place.name)
            peer.send(BasicPublish("", kind), b"m")
            assert peer.got() == []
            assert len(place.queues[kind].ready) == 1
            assert not place.queues[kind].fault
    life.broker.tick(WALL_MS)  # fifty years later
    assert all(len(queue.ready) for queue in life.broker.queues() if queue.name in ("classic", "quorum"))
    assert sum(queue.name in ("classic", "quorum") for queue in life.broker.queues()) == 2 * 27
    again = Life(kept)
    assert [text for text in again.told if "aside" in text] == []


def test_a_time_that_cannot_be() -> None:
    for drift_ms, wall_ms in ((1 << 62, 0), (-(1 << 62), 5), (0, (1 << 63) - 1), (0, -1)):
        kept = copy(WHOLE)
        value = table_bytes({"drift_ms": long(drift_ms), "wall_ms": long(wall_ms)})
        kept.definitions[form.CLOCK, form.key()] = value
        life = Life(kept)
        assert abs(life.broker.clock.wall_ms - WALL_MS) < 10_000
        assert [text for text in life.told if text.startswith("the time of the last run cannot be used")]
        life.broker.keep_time()
        assert not len(Life(kept).broker.aside)


def test_messages_that_nobody_can_have_keep_no_others_from_coming_back() -> None:
    kept = copy(WHOLE)
    life = Life(kept)
    vhost = life.broker.vhosts["v"]
    queue = vhost.declare_queue("other", True, False, False, {}, 0)
    peer = client(life.broker)
    peer.send(BasicPublish("", "other"), b"here")
    assert peer.got() == []
    message = next(iter(kept.messages[queue.queue_id].values())).message
    kept.messages[0] = {1: Recovered(0, 1, message, False, 0, 0)}  # an id that no queue can have
    life = Life(kept)
    assert (
        next(each for each in life.broker.queues() if each.queue_id == queue.queue_id).ready.first().message.body()
        == b"here"
    )
    assert [fault for fault in life.broker.faults.told if "whose queue is lost" in str(fault)]
    peer = client(life.broker)
    peer.send(BasicPublish("", "q"), b"more")
    assert peer.got() == []
