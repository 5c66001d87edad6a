"""Definitions files: what RabbitMQ wrote comes in, what goes out comes in again, and what is wrong is named."""

from __future__ import annotations

import base64
import gc
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.auth.passwords import NOBODY, fits
from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.exchange.exchange import Exchange
from leveret.core.queue.queue import Queue
from leveret.core.vhost import VirtualHost
from leveret.management.administration import Administration
from leveret.management.jobs import complete
from leveret.wire import fields
from leveret.wire.fields import Field
from tests.clients.socketless import make_broker

RABBITMQ = json.loads((Path(__file__).parent / "rabbitmq-4.3.6.json").read_text(encoding="utf-8"))
SECTIONS = (
    "users",
    "vhosts",
    "permissions",
    "topic_permissions",
    "parameters",
    "global_parameters",
    "policies",
    "queues",
    "exchanges",
    "bindings",
)


def load(broker: Broker, content: dict[str, Any], **options: object) -> dict[str, Any]:
    """Import."""
    arguments = {"content": content, **options}
    answer = complete(broker, Administration(broker).perform("import_definitions", arguments))
    assert isinstance(answer, dict)
    return answer


def save(broker: Broker, **options: object) -> dict[str, Any]:
    """Export, as it looks after a way through a file."""
    answer = complete(broker, Administration(broker).perform("export_definitions", options))
    found = json.loads(json.dumps(answer))
    assert isinstance(found, dict)
    return found


def entries(content: dict[str, Any], section: str) -> list[str]:
    """The entries of a section in an order of no meaning, without those that every broker has."""
    return sorted(json.dumps(entry, sort_keys=True) for entry in content[section] if entry.get("name") != "/")


def wrong(section: str, *raw: object, **options: object) -> list[tuple[str, str]]:
    """Paths and reasons of what cannot be imported of some entries."""
    answer = load(make_broker(), {section: list(raw)}, **options)
    return [(error["path"], error["reason"]) for error in answer["errors"]]


def test_what_rabbitmq_exports_is_imported_and_exported_the_same() -> None:
    broker = make_broker()
    answer = load(broker, RABBITMQ)
    assert answer["errors"] == answer["notes"] == []
    assert answer["applied"] == {section: len(RABBITMQ[section]) for section in SECTIONS}
    out = save(broker)
    for section in SECTIONS:
        assert entries(out, section) == entries(RABBITMQ, section), section
    assert load(broker, RABBITMQ)["errors"] == []
    assert save(broker) == out


def test_passwords_of_rabbitmq_fit() -> None:
    broker = make_broker()
    load(broker, RABBITMQ)
    assert fits(broker.users.user("sha256").credential, "secret256")
    assert fits(broker.users.user("sha512").credential, "secret512")
    assert not fits(broker.users.user("nopass").credential, "")


def test_imported_definitions_work() -> None:
    broker = make_broker()
    load(broker, RABBITMQ)
    vhost = broker.vhosts["shop"]
    routing = vhost.exchanges["orders"].route(["eu.books"])
    assert [queue.name for queue in routing.queues] == ["orders.eu", "priority"]  # by a policy's alternate exchange
    assert vhost.queues["orders.eu"].settings.max_length == 500  # the policy's, below the queue's own
    assert vhost.limits == {"max-connections": 30, "max-queues": 100}
    assert broker.vhosts["quorum"].default_queue_type == "quorum"
    assert broker.users.user("sha256").limits == {"max-connections": 50, "max-channels": 200}


def test_one_virtual_host_into_another() -> None:
    broker = make_broker()
    load(broker, RABBITMQ)
    out = save(broker, vhost="shop")
    assert "users" not in out
    assert all("vhost" not in entry for section in ("queues", "parameters", "policies") for entry in out[section])
    other = make_broker()
    missing = load(other, out)["errors"]
    assert (
        missing[0]["reason"] == "the entry names no virtual host; if the file is for a single one, give it with --vhost"
    )
    other.add_vhost("copy")
    assert load(other, out, vhost="copy")["errors"] == []
    assert save(other, vhost="copy")["queues"] == out["queues"]
    assert save(other, vhost="copy")["parameters"] == out["parameters"]


def test_a_hash_that_rabbitmq_cannot_read_goes_in_a_key_that_it_ignores() -> None:
    broker = make_broker()
    Administration(broker).perform("add_user", {"name": "alice", "password": "secret"})
    out = save(broker)
    (user,) = out["users"]
    assert (user["password_hash"], user["hashing_algorithm"]) == ("", "rabbit_password_hashing_sha256")
    other = make_broker()
    load(other, out)
    assert fits(other.users.user("alice").credential, "secret")


Q = {"vhost": "/", "name": "q", "durable": True, "auto_delete": False, "arguments": {}}
E = {"vhost": "/", "name": "e", "type": "direct", "durable": True, "auto_delete": False, "arguments": {}}
B = {"vhost": "/", "source": "amq.direct", "destination": "q", "destination_type": "queue", "routing_key": ""}
P = {"vhost": "/", "name": "p", "pattern": ".*", "definition": {"max-length": 5}, "priority": 0, "apply-to": "all"}
U = {"name": "u", "password_hash": "", "tags": []}
OPERATOR = {"vhost": "/", "component": "operator_policy", "name": "o"}
LIMITS = {"vhost": "/", "component": "vhost-limits", "name": "limits"}


@pytest.mark.parametrize(
    ("section", "entry", "path", "reason"),
    [
        ("queues", 5, "", "expected object, got int"),
        ("queues", {"vhost": "/"}, "", "missing required field name"),
        ("queues", {**Q, "durable": "yes"}, ".durable", "expected bool, got str"),
        ("queues", {**Q, "arguments": "x"}, ".arguments", "expected object | array, got str"),
        ("queues", {**Q, "arguments": ["x"]}, "", "arguments: expected object, got array"),
        ("queues", {**Q, "vhost": "nowhere"}, "", "virtual host 'nowhere' does not exist"),
        ("queues", {**Q, "name": ""}, "", "a queue needs a name"),
        ("queues", {**Q, "name": "ä" * 128}, "", "has 256 bytes; the protocol allows 255"),
        ("queues", {**Q, "arguments": {"n": 1 << 64}}, ".arguments.n", "does not fit into 64 bits"),
        ("queues", {**Q, "arguments": {"n": [{"m": 1 << 64}]}}, ".arguments.n[0].m", "does not fit into 64 bits"),
        ("queues", {**Q, "arguments": {"k" * 256: 1}}, f".arguments.{'k' * 20}...", "at most 255 bytes"),
        ("exchanges", {**E, "type": "square"}, ".type", "exchange type 'square'"),
        ("exchanges", {**E, "type": "x-delayed-message"}, ".arguments.x-delayed-type", "existing exchange type"),
        ("bindings", {**B, "destination_type": "topic"}, "", "must be queue or exchange"),
        ("bindings", B, "", "no queue 'q' in vhost '/'"),
        ("bindings", {**B, "source": "e"}, "", "no exchange 'e' in vhost '/'"),
        ("users", {**U, "password_hash": "?"}, "", "not base64"),
        ("users", {**U, "limits": {"max-x": 1}}, "", "'max-x' is not a limit"),
        ("users", {**U, "tags": 5}, ".tags", "expected str | array, got int"),
        ("vhosts", {"name": "v", "limits": {"max-x": 1}}, "", "'max-x' is not a limit"),
        ("vhosts", {"name": "v", "metadata": {"tags": [5]}}, ".metadata.tags[0]", "expected str, got int"),
        ("permissions", {"user": "u", "vhost": "/", "configure": "", "write": "", "read": ""}, "", "user 'u'"),
        ("policies", {**P, "pattern": "("}, ".pattern", "pattern should be regular expression"),
        ("policies", {**P, "definition": {"a": 1, "max-length": 1}}, ".definition.a", "not recognised policy settings"),
        ("policies", {**P, "definition": {"max-length": "x"}}, ".definition.max-length", "not a valid maximum length"),
        ("policies", {**P, "apply-to": "bags"}, ".apply-to", "apply-to 'bags' unrecognised"),
        ("policies", {**P, "priority": "high"}, ".priority", "expected int | float, got str"),
        ("parameters", {**OPERATOR, "value": {"pattern": 5}}, "", "value.pattern: expected str, got int"),
        (
            "parameters",
            {**OPERATOR, "value": {"pattern": "", "definition": {"max-length": "x"}}},
            ".value.definition.max-length",
            "not a valid maximum length",
        ),
        ("parameters", {**LIMITS, "value": {"max-x": 1}}, "", "'max-x' is not a limit"),
        ("parameters", {**LIMITS, "vhost": "nowhere", "value": {}}, "", "virtual host 'nowhere' does not exist"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(section: str, entry: object, path: str, reason: str) -> None:
    good = {**Q, "name": "good"} if section == "queues" else None
    raw = [entry] if good is None else [good, entry]
    ((found, text),) = wrong(section, *raw)
    assert found == f"{section}[{len(raw) - 1}]{path}"
    assert reason in text


@pytest.mark.parametrize("key", ["rabbit_version", "rabbitmq_version"])
def test_bindings_in_the_air_are_left_out_of_what_rabbitmq_has_exported(key: str) -> None:
    content = {key: "4.3.6", "queues": [Q], "bindings": [{**B, "source": "e"}, {**B, "destination": "x"}, B]}
    broker = make_broker()
    answer = load(broker, content, atomic=True)
    assert (answer["errors"], answer["applied"]) == ([], {"queues": 1, "bindings": 1})
    why = "RabbitMQ exports bindings of exclusive queues and internal exchanges, but not these themselves"
    assert answer["notes"] == [
        {"path": "bindings[0]", "reason": f"no exchange 'e' in vhost '/'; left out: {why}"},
        {"path": "bindings[1]", "reason": f"no queue 'x' in vhost '/'; left out: {why}"},
    ]


def test_an_argument_that_is_wrong_is_named_and_the_text_is_rabbitmqs() -> None:
    assert wrong("queues", Q, {**Q, "name": "r", "arguments": {"x-message-ttl": "5"}}) == [
        (
            "queues[1].arguments.x-message-ttl",
            "invalid arg 'x-message-ttl' for queue 'r' in vhost '/': \"expected integer, got longstr\"",
        )
    ]


def test_a_section_that_is_none() -> None:
    answer = load(make_broker(), {"queues": {}, "queus": [], "rabbit_version": "3.8.0"})
    assert answer["errors"] == [{"path": "queues", "reason": "expected array"}]
    assert answer["notes"] == [{"path": "queus", "reason": "not a section of a definitions file; ignored"}]


def test_the_rest_is_applied_or_with_atomic_nothing_is() -> None:
    content = {"queues": [Q, {**Q, "name": "r", "arguments": {"x-max-length": -1}}], "vhosts": [{"name": "v"}]}
    broker = make_broker()
    before = save(broker)
    revision = broker.revision
    answer = load(broker, content, atomic=True)
    assert [error["path"] for error in answer["errors"]] == ["queues[1].arguments.x-max-length"]
    assert answer["applied"] == {}
    assert (save(broker), broker.revision) == (before, revision)
    answer = load(broker, content)
    assert len(answer["errors"]) == 1
    assert answer["applied"] == {"vhosts": 1, "queues": 1}
    assert list(broker.vhosts["/"].queues) == ["q"]


def test_a_dry_run_tells_everything_and_applies_nothing() -> None:
    broker = make_broker()
    before = save(broker)
    content = {
        "vhosts": [{"name": "v"}],
        "queues": [{**Q, "name": "q"}, {**Q, "name": "", "arguments": {"x-expires": 0}}],
    }
    content |= {"nonsense": []}
    trial = load(broker, content, dry_run=True)
    assert save(broker) == before
    assert trial["applied"]
    assert trial["notes"]
    assert trial["errors"]
    assert load(broker, content) == trial


def test_atomic_sees_what_is_there_already() -> None:
    broker = make_broker()
    load(broker, {"queues": [Q], "exchanges": [E]})
    answer = load(broker, {"bindings": [{**B, "source": "e"}]}, atomic=True)
    assert (answer["applied"], answer["errors"]) == ({"bindings": 1}, [])
    assert len(broker.vhosts["/"].bindings_to(broker.vhosts["/"].queues["q"])) == 1


def test_atomic_with_more_than_a_limit_allows() -> None:
    broker = make_broker()
    content = {"queues": [Q, {**Q, "name": "r"}], "bindings": [B]}
    load(broker, content)
    load(broker, {"vhosts": [{"name": "/", "limits": {"max-queues": 1}}]})
    assert load(broker, content, atomic=True)["errors"] == []
    ((path, reason),) = [
        (error["path"], error["reason"])
        for error in load(broker, {"queues": [{**Q, "name": "new"}]}, atomic=True)["errors"]
    ]
    assert path == "queues[0]"
    assert "queue limit in vhost '/' (1) is reached" in reason


BEYOND = {"max-queues": 1, "max-exchanges": 0, "max-bindings": 1}


@pytest.mark.parametrize("atomic", [False, True])
def test_a_file_brings_back_what_is_beyond_the_limits_in_it(atomic: bool) -> None:
    broker, again = make_broker(), make_broker()
    bindings = [{**B, "source": "e"}, {**B, "source": "e", "destination": "r"}]
    load(broker, {"queues": [Q, {**Q, "name": "r"}], "exchanges": [E], "bindings": bindings})
    load(broker, {"parameters": [{**LIMITS, "value": BEYOND}]})
    file = save(broker)
    assert load(again, file, atomic=atomic)["errors"] == []
    assert save(again) == file
    assert again.vhosts["/"].limits == BEYOND
    new = {
        "queues": [{**Q, "name": "new"}],
        "exchanges": [{**E, "name": "new"}],
        "bindings": [{**B, "source": "e", "routing_key": "new"}],
    }
    errors = load(again, new, atomic=atomic)["errors"]
    assert [error["path"] for error in errors] == ["exchanges[0]", "queues[0]", "bindings[0]"]
    assert all(re.search(r"limit in vhost '/' \(\d\) is reached", error["reason"]) for error in errors)


@pytest.mark.parametrize("atomic", [False, True])
def test_a_limit_that_a_file_lifts_counts_for_what_is_in_it(atomic: bool) -> None:
    broker = make_broker()
    load(broker, {"vhosts": [{"name": "/", "limits": {"max-queues": 0, "max-exchanges": 0}}]})
    content = {"queues": [Q], "exchanges": [E], "parameters": [{**LIMITS, "value": {"max-queues": 1}}]}
    assert load(broker, content, atomic=atomic)["errors"] == []
    assert broker.vhosts["/"].limits == {"max-queues": 1}
    content = {"queues": [{**Q, "name": "r"}], "vhosts": [{"name": "/", "limits": {"max-queues": 2}}]}
    assert load(broker, content, atomic=atomic)["errors"] == []
    assert broker.vhosts["/"].limits == {"max-queues": 2}


@pytest.mark.parametrize(
    "content",
    [
        {"queues": [Q], "exchanges": [E], "bindings": [{**B, "source": "e"}], "users": [], "vhosts": [{"name": "v"}]},
        {"queues": [{**Q, "arguments": {"x-max-length": -1}}], "exchanges": [E]},
        {"queues": [{**Q, "name": "x" * 300}], "policies": [{}]},
    ],
    ids=["good", "wrong", "worse"],
)
def test_what_was_rehearsed_leaves_nothing_for_the_garbage_collector(content: dict[str, Any]) -> None:
    broker = make_broker()
    load(broker, {"queues": [Q], "vhosts": [{"name": "w"}]})
    load(broker, content, atomic=True)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            load(broker, content, atomic=True)
        kinds = (Broker, VirtualHost, Exchange, Queue)
        found = [sum(type(each) is kind for each in gc.get_objects()) for kind in kinds]
        gc.collect()
        assert found == [sum(type(each) is kind for each in gc.get_objects()) for kind in kinds]
    finally:
        gc.enable()


def test_what_federation_has_declared_comes_back() -> None:
    broker, again = make_broker(), make_broker()
    arguments = {"x-max-hops": fields.long(1), "x-downstream-name": fields.longstr("down")}
    kind = "x-federation-upstream"
    broker.vhosts["/"].declare_exchange("federation: e", kind, True, True, True, arguments)
    assert load(again, save(broker))["errors"] == []
    assert again.vhosts["/"].exchanges["federation: e"].arguments == arguments


def test_what_exists_and_differs_is_kept_and_noted() -> None:
    broker = make_broker()
    load(broker, {"queues": [Q], "exchanges": [E]})
    answer = load(broker, {"queues": [{**Q, "durable": False}], "exchanges": [{**E, "type": "fanout"}]})
    assert answer["errors"] == []
    assert {note["path"] for note in answer["notes"]} == {"queues[0]", "exchanges[0]"}
    assert all("inequivalent arg" in note["reason"] for note in answer["notes"])
    assert broker.vhosts["/"].queues["q"].durable
    assert broker.vhosts["/"].exchanges["e"].kind == "direct"


def test_names_of_the_brokers_own_are_left_out_with_a_note() -> None:
    own = {**Q, "name": "amq.gen-x"}
    content = {
        "exchanges": [{**E, "name": "amq.rabbitmq.log"}],
        "queues": [own, Q],
        "bindings": [{**B, "source": "amq.rabbitmq.log"}, {**B, "destination": "amq.gen-x"}, {**B, "source": ""}],
    }
    broker = make_broker()
    answer = load(broker, content)
    assert answer["errors"] == []
    assert [note["path"] for note in answer["notes"]] == ["exchanges[0]", "queues[0]", "bindings[0]", "bindings[1]"]


def test_an_import_changes_users_policies_and_virtual_hosts_that_exist() -> None:
    broker = make_broker()
    load(broker, {"users": [{**U, "password": "one", "tags": "management"}], "policies": [P]})
    load(broker, {"users": [{**U, "password": "two", "tags": []}], "policies": [{**P, "priority": 7}]})
    assert fits(broker.users.user("u").credential, "two")
    assert broker.users.user("u").tags == ()
    assert save(broker)["policies"][0]["priority"] == 7
    load(broker, {"vhosts": [{"name": "v", "description": "old way", "tags": "a,b"}]})
    assert (broker.vhosts["v"].description, broker.vhosts["v"].tags) == ("old way", ("a", "b"))


def test_limits_in_a_file_replace_those_that_are_set() -> None:
    broker = make_broker()
    load(broker, {"vhosts": [{"name": "/", "limits": {"max-queues": 5}}]})
    load(broker, {"parameters": [{**LIMITS, "value": {"max-connections": 3}}]})
    assert broker.vhosts["/"].limits == {"max-connections": 3}


def test_what_belongs_to_a_connection_is_not_exported() -> None:
    broker = make_broker()
    vhost = broker.vhosts["/"]
    vhost.declare_queue("mine", False, True, False, {}, 7)
    assert save(broker)["queues"] == []


def test_the_latest_time_survives() -> None:
    broker, again = make_broker(), make_broker()
    last = fields.timestamp((1 << 64) - 1)
    broker.vhosts["/"].declare_queue("q", True, False, False, {"y-last": last}, 0)
    assert load(again, save(broker))["errors"] == []
    assert again.vhosts["/"].queues["q"].arguments["y-last"] == last


def test_what_earlier_versions_took_is_exported() -> None:
    broker = make_broker()
    value = fields.long(1)
    expected: object = 1
    for level in range(450):
        value = fields.table({"k": value}) if level % 2 else fields.array([value])
        expected = {"k": expected} if level % 2 else [expected]
    infinite = Field(fields.FLOAT64, float("inf"))
    broker.vhosts["/"].make_queue("q", True, 0, False, {"y-deep": value, "y-infinite": infinite})
    broker.parameters.put("/", "c", "n", "[NaN]")
    exported = complete(broker, Administration(broker).perform("export_definitions", {}))
    assert isinstance(exported, dict)
    (queue,) = exported["queues"]
    assert queue["arguments"]["y-deep"] == expected
    assert queue["arguments"]["y-infinite"] is None
    assert exported["parameters"][0]["value"] == [None]


def test_protection_from_deletion_is_in_the_file() -> None:
    broker, again = make_broker(), make_broker()
    broker.add_vhost("v")
    assert "protected_from_deletion" not in json.dumps(save(broker))
    broker.protect_vhost("v", True)
    assert load(again, save(broker))["errors"] == []
    assert (again.vhosts["v"].protected, again.vhosts["/"].protected) == (True, False)
    load(again, {"vhosts": [{"name": "v", "metadata": {"protected_from_deletion": False}}]})
    assert not again.vhosts["v"].protected


def test_a_topic_permission_without_its_exchange_is_not_in_the_file() -> None:
    broker, again = make_broker(), make_broker()
    broker.users.put("u", NOBODY)
    for exchange in ("amq.topic", "gone with a restart"):
        broker.users.set_topic_permission("u", "/", exchange, "a", "b")
    assert [entry["exchange"] for entry in save(broker)["topic_permissions"]] == ["amq.topic"]
    assert load(again, save(broker))["errors"] == []


@pytest.mark.parametrize("levels", [128, 129, 150])
def test_depth_of_what_a_file_has(levels: int) -> None:
    deep: object = "x"
    for _ in range(levels):
        deep = [deep]
    content: dict[str, list[dict[str, Any]]] = {
        "queues": [{**Q, "arguments": {"y": deep}}],
        "exchanges": [{**E, "arguments": {"y": deep}}],
        "bindings": [{**B, "source": "amq.topic", "arguments": {"y": deep}}],
        "parameters": [{"vhost": "/", "component": "c", "name": "n", "value": deep}],
        "global_parameters": [{"name": "n", "value": deep}],
        "policies": [{**P, "definition": {"max-length": deep}}],
    }
    broker = make_broker()
    broker.vhosts["/"].declare_queue("other", True, False, False, {}, 0)
    content["bindings"][0]["destination"] = "other"
    errors = {error["path"]: error["reason"] for error in load(broker, content)["errors"]}
    if levels > 128:
        reasons = [reason for reason in errors.values() if "nested more than 128 deep" in reason]
        assert len(reasons) == len(errors) == len(content)
    else:
        assert list(errors) == ["policies[0].definition.max-length"]


def test_the_argument_has_to_be_an_object() -> None:
    with pytest.raises(AdministrationError, match="content: expected object, got array"):
        Administration(make_broker()).perform("import_definitions", {"content": []})


NAMES = st.text("abcä. /{}'\"", min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=5,
)
ARGUMENTS = st.dictionaries(NAMES.map(lambda name: f"y-{name}"), VALUES, max_size=3)


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    """A file with everything in it, whose entries are all good."""
    vhosts = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    users = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    vhost = st.sampled_from(vhosts)
    queues = draw(st.lists(st.tuples(vhost, NAMES), max_size=4, unique=True))
    exchanges = draw(st.lists(st.tuples(vhost, NAMES), max_size=4, unique=True))
    pairs = [(queue, exchange) for queue in queues for exchange in exchanges if queue[0] == exchange[0]]
    allowed = draw(st.lists(st.tuples(st.sampled_from(users), vhost), max_size=3, unique=True))
    return {
        "users": [
            {"name": name, "password_hash": "AAAAAAAA", "tags": draw(st.lists(st.sampled_from("abc"), unique=True))}
            for name in users
        ],
        "vhosts": [
            {"name": name, "metadata": {"description": draw(st.text(max_size=5)), "tags": ["x"]}} for name in vhosts
        ],
        "permissions": [
            {"user": user, "vhost": name, "configure": "", "write": draw(st.sampled_from(["a", ".*"])), "read": "^x"}
            for user, name in allowed
        ],
        "queues": [
            {
                "vhost": owner,
                "name": name,
                "durable": draw(st.booleans()),
                "auto_delete": draw(st.booleans()),
                "arguments": {**draw(ARGUMENTS), "x-max-length": draw(st.integers(0, 1 << 40))},
            }
            for owner, name in queues
        ],
        "exchanges": [
            {
                "vhost": owner,
                "name": name,
                "type": draw(st.sampled_from(["direct", "fanout", "topic", "headers"])),
                "durable": draw(st.booleans()),
                "auto_delete": False,
                "internal": draw(st.booleans()),
                "arguments": draw(ARGUMENTS),
            }
            for owner, name in exchanges
        ],
        "bindings": [
            {
                "vhost": queue[0],
                "source": exchange[1],
                "destination": queue[1],
                "destination_type": "queue",
                "routing_key": draw(NAMES),
                "arguments": draw(ARGUMENTS),
            }
            for queue, exchange in (draw(st.lists(st.sampled_from(pairs), max_size=4)) if pairs else [])
        ],
        "global_parameters": [{"name": "g", "value": draw(VALUES)}],
        "parameters": [{"vhost": vhosts[0], "component": "shovel", "name": "s", "value": draw(VALUES)}],
    }


@given(definitions())
def test_what_goes_out_comes_in_again(content: dict[str, Any]) -> None:
    first = make_broker()
    assert load(first, content)["errors"] == []
    out = save(first)
    for section in ("users", "queues", "exchanges", "permissions", "global_parameters", "parameters"):
        assert len(out[section]) == len(content[section]), section
    second = make_broker()
    answer = load(second, out, atomic=True)
    assert answer["errors"] == []
    assert answer["notes"] == [
        {
            "path": "parameters[0]",
            "reason": "parameter 's' of shovel is stored and exported, but has no effect here",
        }
    ]
    assert save(second) == out


# -- what files of other versions, and those that people write, look like


def test_what_does_not_say_whether_it_is_durable_is() -> None:
    broker = make_broker()
    answer = load(
        broker,
        {
            "queues": [{"vhost": "/", "name": "q"}, {"vhost": "/", "name": "t", "durable": False}],
            "exchanges": [
                {"vhost": "/", "name": "e", "type": "fanout"},
                {"vhost": "/", "name": "i", "type": "fanout", "internal": None},
            ],
        },
    )
    assert answer["errors"] == []
    queues, exchanges = broker.vhosts["/"].queues, broker.vhosts["/"].exchanges
    assert (queues["q"].durable, queues["t"].durable, exchanges["e"].durable) == (True, False, True)
    assert exchanges["i"].internal is False


HASH = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"  # of test12, with SHA-256


def md5(password: str) -> str:
    """As RabbitMQ before 3.6 kept a password."""
    return base64.b64encode(b"salt" + hashlib.md5(b"salt" + password.encode()).digest()).decode()


@pytest.mark.parametrize("key", ["rabbit_version", "rabbitmq_version"])
@pytest.mark.parametrize(
    ("version", "hash_", "password"),
    [
        ("3.5.8", md5("old"), "old"),
        ("3.0.0", md5("old"), "old"),
        ("3.6.0", HASH, "test12"),
        ("3.13.7", HASH, "test12"),
        ("4.3.6", HASH, "test12"),
        (None, HASH, "test12"),
        (5, HASH, "test12"),
    ],
)
def test_hashes_of_which_nobody_says_how_they_were_made(key: str, version: object, hash_: str, password: str) -> None:
    broker = make_broker()
    content = {"users": [{"name": "u", "password_hash": hash_, "tags": ""}]}
    assert load(broker, content if version is None else {key: version, **content})["errors"] == []
    assert fits(broker.users.user("u").credential, password)


def test_an_empty_password_is_none() -> None:
    broker = make_broker()
    assert load(broker, {"users": [{"name": "u", "password": "", "tags": "administrator"}]})["errors"] == []
    assert not fits(broker.users.user("u").credential, "")


def test_virtual_hosts_of_which_little_is_said() -> None:
    broker = make_broker()
    vhosts: list[dict[str, object]] = [
        {"name": "a", "metadata": None, "limits": None},
        {"name": "b", "default_queue_type": "rabbit_quorum_queue"},
        {"name": "c", "metadata": {"default_queue_type": "rabbit_classic_queue", "protected_from_deletion": True}},
    ]
    assert load(broker, {"vhosts": vhosts})["errors"] == []
    kinds = [broker.vhosts[name].default_queue_type for name in "abc"]
    assert kinds == [broker.vhosts["/"].default_queue_type, "quorum", "classic"]
    assert [broker.vhosts[name].protected for name in "abc"] == [False, False, True]
    assert wrong("vhosts", {"name": "d", "default_queue_type": "rabbit_some_queue"}) != []


def test_policies_as_others_write_them() -> None:
    broker = make_broker()
    federated = {**P, "name": "f", "definition": {"federation-upstream-set": "all", "max-length": 7}}
    answer = load(broker, {"policies": [{**P, "priority": 1.0}, federated], "queues": [Q]})
    assert answer["errors"] == []
    assert answer["applied"]["policies"] == 2
    assert answer["notes"] == [
        {
            "path": "policies[1]",
            "reason": "federation-upstream-set of policy 'f' is stored and exported, but has no effect here",
        }
    ]
    policies = broker.vhosts["/"].policies.all
    assert policies["p"].priority == 1
    assert policies["f"].definition == federated["definition"]
    assert [entry["definition"] for entry in save(broker)["policies"] if entry["name"] == "f"] == [
        federated["definition"]
    ]
    assert wrong("policies", {**P, "priority": 1.5}) == [("policies[0].priority", "1.5 is not a whole number")]
    own = {
        "vhost": "/",
        "component": "operator_policy",
        "name": "o",
        "value": {**P, "definition": {"federation-upstream": "x"}},
    }
    assert "not recognised" in wrong("parameters", own)[0][1]
