"""Text that cannot be written, wherever a verb takes some: it is refused, and nothing has changed."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest

from leveret.core.access.user import Credential
from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError, InvalidError
from leveret.core.exchange.exchange import Binding
from leveret.core.policy.policy import Policy
from leveret.management.administration import FUNCTIONS, VERBS, Administration
from leveret.management.jobs import complete
from leveret.wire.fields import longstr
from tests.clients.socketless import make_broker

HALF = "\ud800"  # of a character
BYTE = "\udcff"  # as it comes from a command line
LOOKING = ("delete_", "clear_", "list_")
WRONG = [HALF, BYTE, f"x{HALF}y", "\udc00\ud800"]


def perform(broker: Broker, verb: str, arguments: dict[str, object]) -> Any:
    """A verb, as the control socket would take it."""
    return complete(broker, Administration(broker).perform(verb, json.loads(json.dumps(arguments))))


def full_broker() -> Broker:
    """A broker that has what the verbs speak of."""
    broker = make_broker()
    broker.add_vhost("v", "d", ("t",), "classic")
    broker.users.put("u", Credential("", ""), ("t",))
    broker.users.set_permission("u", "v", "", "", "")
    vhost = broker.vhosts["v"]
    vhost.declare_exchange("e", "topic", True, False, False, {})
    vhost.declare_queue("q", True, False, False, {}, 0)
    broker.users.set_topic_permission("u", "v", "e", "", "")
    vhost.set_policy(Policy("p", "", {"max-length": 1}, 0, "all"))
    broker.parameters.put("v", "c", "n", "1")
    broker.parameters.put_global("g", "1")
    return broker


def story(broker: Broker) -> object:
    """Everything that a broker exports."""
    return perform(broker, "export_definitions", {})


GOOD: dict[str, dict[str, Any]] = {
    "add_user": {"name": "new", "password_hash": "AAAAAAAA", "tags": ["x"]},
    "change_password": {"name": "u", "password": "x"},
    "set_user_tags": {"name": "u", "tags": ["x", "y"]},
    "add_vhost": {"name": "new", "description": "x", "tags": ["x"]},
    "set_vhost": {"name": "v", "description": "x", "tags": ["x"]},
    "protect_vhost": {"name": "v"},
    "trace_vhost": {"name": "v"},
    "set_permissions": {"user": "u", "vhost": "v", "configure": "x", "write": "x", "read": "x"},
    "set_topic_permissions": {"user": "u", "vhost": "v", "exchange": "e", "write": "x", "read": "x"},
    "set_policy": {"vhost": "v", "name": "x", "pattern": "x", "definition": {"overflow": "drop-head"}},
    "set_operator_policy": {"vhost": "v", "name": "x", "pattern": "x", "definition": {"max-length": 1}},
    "set_vhost_limits": {"vhost": "v", "limits": {"max-queues": 1}},
    "set_user_limits": {"user": "u", "limits": {"max-channels": 1}},
    "set_parameter": {"vhost": "v", "component": "x", "name": "x", "value": {"x": ["x"]}},
    "set_global_parameter": {"name": "x", "value": ["x", {"x": "x"}]},
    "import_messages": {"queue": "q", "vhost": "v"},
    "set_log_level": {"area": "broker", "level": "default"},
}


def spoiled(value: Any, wrong: str) -> list[tuple[str, Any]]:
    """The value with one text in it replaced, each in turn, and where that is."""
    if isinstance(value, str):
        return [("", wrong)]
    found: list[tuple[str, Any]] = []
    if isinstance(value, list):
        for at, item in enumerate(value):
            found += [(f"[{at}]{path}", [*value[:at], bad, *value[at + 1 :]]) for path, bad in spoiled(item, wrong)]
    elif isinstance(value, dict):
        for key, item in value.items():
            found += [(f".{key}{path}", {**value, key: bad}) for path, bad in spoiled(item, wrong)]
            found.append((f".{wrong}", {**value, wrong: item}))
    return found


def test_every_verb_that_sets_something_is_here() -> None:
    removing = ("delete_", "clear_")
    setting = {verb.name for verb in VERBS.values() if verb.changes and not verb.name.startswith(removing)}
    assert setting - {*GOOD} <= {"import_definitions", "repair_queue"}


@pytest.mark.parametrize("wrong", WRONG, ids=ascii)
@pytest.mark.parametrize("verb", GOOD)
def test_verbs(verb: str, wrong: str) -> None:
    perform(full_broker(), verb, GOOD[verb])
    broker = full_broker()
    before = story(broker)
    for path, arguments in spoiled(GOOD[verb], wrong):
        with pytest.raises(AdministrationError) as raised:
            perform(broker, verb, arguments)
        assert str(raised.value) == f"{path.lstrip('.')}: not UTF-8"
    assert story(broker) == before


@pytest.mark.parametrize("wrong", WRONG, ids=ascii)
@pytest.mark.parametrize("function", [each for each in FUNCTIONS if each.__name__.startswith(LOOKING)])
def test_verbs_that_look_or_take_away_say_that_there_is_no_such_thing(
    function: Callable[..., object], wrong: str
) -> None:
    arguments: dict[str, object] = dict.fromkeys(list(inspect.signature(function).parameters)[1:], wrong)
    if arguments:
        with pytest.raises(AdministrationError, match=r"does not exist|has no"):
            perform(full_broker(), function.__name__, arguments)


def test_what_an_older_version_took_can_be_deleted() -> None:
    broker = make_broker()
    broker.users.put(BYTE, Credential("", ""))
    broker.add_vhost(BYTE)
    broker.users.set_permission(BYTE, BYTE, ".*", ".*", ".*")
    perform(broker, "clear_permissions", {"user": BYTE, "vhost": BYTE})
    perform(broker, "delete_user", {"name": BYTE})
    perform(broker, "delete_vhost", {"name": BYTE})
    assert (list(broker.users), [*broker.vhosts]) == ([], ["/"])


ENTRIES: dict[str, dict[str, Any]] = {
    "users": {"name": "new", "password_hash": "AAAAAAAA", "tags": ["x"], "limits": {"max-channels": 1}},
    "vhosts": {"name": "new", "description": "x", "tags": ["x"], "metadata": {"description": "x"}},
    "permissions": {"user": "u", "vhost": "v", "configure": "x", "write": "x", "read": "x"},
    "topic_permissions": {"user": "u", "vhost": "v", "exchange": "e", "write": "x", "read": "x"},
    "exchanges": {"vhost": "v", "name": "new", "type": "direct", "durable": True},
    "queues": {"vhost": "v", "name": "new", "durable": True},
    "bindings": {"vhost": "v", "source": "e", "destination": "q", "destination_type": "queue", "routing_key": "k"},
    "parameters": {"vhost": "v", "component": "x", "name": "x", "value": {"x": ["x"]}},
    "global_parameters": {"name": "x", "value": "x"},
    "policies": {"vhost": "v", "name": "x", "pattern": "x", "definition": {"overflow": "drop-head"}},
}


@pytest.mark.parametrize("atomic", [False, True])
@pytest.mark.parametrize("wrong", WRONG, ids=ascii)
@pytest.mark.parametrize("section", ENTRIES)
def test_definitions(section: str, wrong: str, atomic: bool) -> None:
    broker = full_broker()
    before = story(broker)
    cases = spoiled(ENTRIES[section], wrong)
    answer = perform(broker, "import_definitions", {"content": {section: [bad for _, bad in cases]}, "atomic": atomic})
    assert answer["errors"] == [
        {"path": f"{section}[{at}]{path}", "reason": "not UTF-8"} for at, (path, _) in enumerate(cases)
    ]
    assert story(broker) == before
    good = perform(broker, "import_definitions", {"content": {section: [ENTRIES[section]]}, "atomic": atomic})
    assert good["errors"] == []


@pytest.mark.parametrize("section", ["exchanges", "queues", "bindings"])
def test_arguments_have_bytes_but_no_halves(section: str) -> None:
    broker = full_broker()
    entry = {**ENTRIES[section], "arguments": {"x-own": {"a": ["b", HALF]}}}
    answer = perform(broker, "import_definitions", {"content": {section: [entry]}})
    assert answer["errors"] == [{"path": f"{section}[0].arguments.x-own.a[1]", "reason": "not UTF-8"}]
    entry["arguments"] = {HALF: "b"}
    answer = perform(broker, "import_definitions", {"content": {section: [entry]}})
    assert answer["errors"] == [{"path": f"{section}[0].arguments.{HALF}", "reason": "not UTF-8"}]
    entry["arguments"] = {f"x-{BYTE}": {"a": ["b", BYTE]}}  # as a client may have sent it
    assert perform(broker, "import_definitions", {"content": {section: [entry]}})["errors"] == []
    exported = story(broker)
    assert isinstance(exported, dict)
    assert {"a": ["b", BYTE]} in [each["arguments"].get(f"x-{BYTE}") for each in exported[section]]


# -- what cannot be written is refused before anything has changed


def refuse(broker: Broker, what: Any) -> None:
    """Do something that cannot be written."""
    before = story(broker)
    revision = broker.revision
    generations = [vhost.generation for vhost in broker.vhosts.values()]
    with pytest.raises((UnicodeEncodeError, ValueError, InvalidError)):
        what(broker)
    assert story(broker) == before
    assert broker.revision == revision
    assert [vhost.generation for vhost in broker.vhosts.values()] == generations


def test_the_core_changes_nothing_that_it_cannot_write() -> None:
    broker = full_broker()
    vhost = broker.vhosts["v"]
    long_name = "x" * 256  # which no short string has
    source = vhost.exchanges["e"]
    for what in (
        lambda broker: broker.add_vhost("new", HALF),
        lambda broker: broker.add_vhost("v", None, (HALF,)),
        lambda broker: broker.users.put("new", Credential("", ""), (HALF,)),
        lambda broker: broker.users.put("u", Credential(HALF, "")),
        lambda broker: broker.users.set_tags("u", (HALF,)),
        lambda broker: broker.users.set_permission("u", "v", HALF, "", ""),
        lambda broker: broker.users.set_topic_permission("u", "v", "e", "", HALF),
        lambda broker: broker.parameters.put("v", "c", "n", HALF),
        lambda broker: broker.parameters.put_global("g", HALF),
        lambda broker: vhost.declare_queue("new", True, False, False, {long_name: longstr("x")}, 0),
        lambda broker: vhost.declare_exchange("new", "topic", True, False, False, {long_name: longstr("x")}),
        lambda broker: vhost.bind(Binding(source, vhost.queues["q"], None, "k", {long_name: longstr("x")})),
    ):
        refuse(broker, what)
    assert broker.timers.next_ms() is None


@pytest.mark.parametrize(
    ("section", "entry"),
    [
        ("users", {"name": "u", "password_hash": "AAAAAAAA", "tags": ["changed"], "limits": {"max-chanels": 1}}),
        ("users", {"name": "new", "password_hash": "AAAAAAAA", "limits": {"max-queues": 1}}),
        ("vhosts", {"name": "v", "metadata": {"description": "changed"}, "limits": {"max-channels": 1}}),
        ("vhosts", {"name": "new", "limits": {"max-chanels": 1}}),
        ("parameters", {"vhost": "v", "component": "vhost-limits", "name": "l", "value": {"max-queues": 1, "x": 1}}),
    ],
)
def test_an_entry_that_is_refused_has_changed_nothing(section: str, entry: dict[str, object]) -> None:
    broker = full_broker()
    before = story(broker)
    answer = perform(broker, "import_definitions", {"content": {section: [entry]}})
    assert len(answer["errors"]) == 1
    assert story(broker) == before
