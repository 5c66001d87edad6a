"""Every verb of administration: what it does to a broker, and what it says when it cannot."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from leveret.auth.passwords import fits
from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.management.administration import VERBS, Administration
from leveret.management.jobs import complete
from tests.clients.socketless import make_broker

Perform = Callable[..., object]


@pytest.fixture
def broker() -> Broker:
    return make_broker()


@pytest.fixture
def perform(broker: Broker) -> Perform:
    administration = Administration(broker)

    def call(verb: str, **arguments: object) -> object:
        answer = complete(broker, administration.perform(verb, json.loads(json.dumps(arguments))))
        return json.loads(json.dumps(answer))

    return call


def refusal(perform: Perform, verb: str, **arguments: object) -> str:
    """The sentence with which a verb is refused."""
    with pytest.raises(AdministrationError) as raised:
        perform(verb, **arguments)
    return str(raised.value)


def named(answer: object, **wanted: object) -> dict[str, object]:
    """The one row of a list that has these values."""
    assert isinstance(answer, list)
    (row,) = [row for row in answer if all(row[key] == value for key, value in wanted.items())]
    assert isinstance(row, dict)
    return row


def test_a_user_from_beginning_to_end(perform: Perform, broker: Broker) -> None:
    perform("add_user", name="alice", password="first", tags=["management", "management"])
    assert named(perform("list_users"), name="alice") == {"name": "alice", "tags": ["management"], "limits": {}}
    assert fits(broker.users.user("alice").credential, "first")
    perform("change_password", name="alice", password="second")
    assert not fits(broker.users.user("alice").credential, "first")
    assert fits(broker.users.user("alice").credential, "second")
    perform("set_user_tags", name="alice", tags="administrator, monitoring")
    assert named(perform("list_users"), name="alice")["tags"] == ["administrator", "monitoring"]
    perform("delete_user", name="alice")
    assert broker.users.get("alice") is None


def test_a_user_with_the_hash_of_a_password(perform: Perform, broker: Broker) -> None:
    hashed = "J4i+Cj1vj7qJFhYZD+PDScK+DbpnSm6OsjRuCdjWq8UGODSJ"  # what RabbitMQ 4.3.6 keeps of guest
    perform("add_user", name="alice", password_hash=hashed)
    assert fits(broker.users.user("alice").credential, "guest")


def test_a_user_without_a_password_cannot_log_in(perform: Perform, broker: Broker) -> None:
    perform("add_user", name="alice")
    assert not fits(broker.users.user("alice").credential, "")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "guest"}, "user 'guest' exists"),
        ({"name": ""}, "needs a name"),
        ({"name": "a", "password": ""}, "must not be empty"),
        ({"name": "a", "password_hash": "?"}, "not base64"),
        ({"name": "a", "password_hash": "AAAA"}, "too short"),
        ({"name": "a", "password_hash": "AAAAAAAA", "hashing_algorithm": "rot13"}, "not a hashing algorithm"),
        ({"name": "a", "password": "b", "hashing_algorithm": "rot13"}, "not a hashing algorithm"),
        ({"name": "a", "password_hash": "AAAAAAAA", "hashing_algorithm": "argon2"}, "must begin with $argon2"),
        ({"name": 5}, "name: expected str, got int"),
        ({"nam": "a"}, "unknown field nam"),
        ({}, "missing required field name"),
    ],
)
def test_users_that_cannot_be_added(perform: Perform, arguments: dict[str, object], words: str) -> None:
    perform("add_user", name="guest")
    assert words in refusal(perform, "add_user", **arguments)


def test_what_is_not_there_is_named_and_something_close_suggested(perform: Perform) -> None:
    perform("add_user", name="alice")
    perform("add_vhost", name="orders")
    of_users: list[tuple[str, dict[str, object]]] = [
        ("delete_user", {"name": "alcie"}),
        ("change_password", {"name": "alcie", "password": "x"}),
        ("set_user_tags", {"name": "alcie", "tags": []}),
        ("set_permissions", {"user": "alcie", "vhost": "orders", "configure": "", "write": "", "read": ""}),
        ("clear_permissions", {"user": "alcie", "vhost": "orders"}),
        ("list_permissions", {"user": "alcie"}),
        ("set_user_limits", {"user": "alcie", "limits": {}}),
    ]
    for verb, arguments in of_users:
        assert refusal(perform, verb, **arguments) == "user 'alcie' does not exist; did you mean 'alice'?"
    of_vhosts: list[tuple[str, dict[str, object]]] = [
        ("delete_vhost", {"name": "order"}),
        ("set_vhost", {"name": "order"}),
        ("set_permissions", {"user": "alice", "vhost": "order", "configure": "", "write": "", "read": ""}),
        ("list_topic_permissions", {"vhost": "order"}),
        ("clear_vhost_limits", {"vhost": "order"}),
        ("list_policies", {"vhost": "order"}),
        ("list_parameters", {"vhost": "order"}),
        ("export_definitions", {"vhost": "order"}),
        ("import_definitions", {"content": {}, "vhost": "order"}),
    ]
    for verb, arguments in of_vhosts:
        assert refusal(perform, verb, **arguments) == "virtual host 'order' does not exist; did you mean 'orders'?"
    assert refusal(perform, "list_user") == "verb 'list_user' does not exist; did you mean 'list_users'?"


def test_a_virtual_host_from_beginning_to_end(perform: Perform, broker: Broker) -> None:
    perform("add_vhost", name="orders", description="Orders", tags=["eu"], default_queue_type="quorum")
    row = named(perform("list_vhosts"), name="orders")
    assert (row["description"], row["tags"], row["default_queue_type"]) == ("Orders", ["eu"], "quorum")
    perform("set_vhost", name="orders", description="Other")
    row = named(perform("list_vhosts"), name="orders")
    assert (row["description"], row["tags"], row["default_queue_type"]) == ("Other", ["eu"], "quorum")
    assert "exists" in refusal(perform, "add_vhost", name="orders")
    assert "not a queue type" in refusal(perform, "add_vhost", name="other", default_queue_type="fast")
    perform("set_parameter", vhost="orders", component="shovel", name="s", value={})
    perform("delete_vhost", name="orders")
    assert "orders" not in broker.vhosts
    assert perform("list_parameters") == []


def test_a_virtual_host_that_is_protected(perform: Perform, broker: Broker) -> None:
    perform("add_vhost", name="orders")
    perform("protect_vhost", name="orders")
    assert named(perform("list_vhosts"), name="orders")["protected_from_deletion"] is True
    assert "because it is protected from deletion" in refusal(perform, "delete_vhost", name="orders")
    perform("protect_vhost", name="orders", on=False)
    perform("delete_vhost", name="orders")
    assert "orders" not in broker.vhosts
    assert "does not exist" in refusal(perform, "protect_vhost", name="orders")


def test_names_that_are_too_long(perform: Perform) -> None:
    for name in ("x" * 256, "\u00e4" * 128):
        for verb in ("add_user", "add_vhost"):
            assert "has 256 bytes; the protocol allows 255" in refusal(perform, verb, name=name)
        content = {"users": [{"name": name}], "vhosts": [{"name": name}]}
        result = perform("import_definitions", content=content)
        assert isinstance(result, dict)
        assert [error["path"] for error in result["errors"]] == ["users[0]", "vhosts[0]"]


def test_permissions(perform: Perform, broker: Broker) -> None:
    perform("add_user", name="alice")
    perform("add_vhost", name="v")
    patterns = {"configure": "^a", "write": ".*", "read": ""}
    perform("set_permissions", user="alice", vhost="v", **patterns)
    perform("set_permissions", user="alice", vhost="/", **patterns)
    assert perform("list_permissions", vhost="v") == [{"user": "alice", "vhost": "v", **patterns}]
    assert perform("list_permissions", user="alice", vhost="/") == [{"user": "alice", "vhost": "/", **patterns}]
    bad = {**patterns, "read": "("}
    assert "'(' is not a regular expression" in refusal(perform, "set_permissions", user="alice", vhost="v", **bad)
    perform("clear_permissions", user="alice", vhost="v")
    assert list(broker.users.user("alice").permissions) == ["/"]
    assert "has no permissions" in refusal(perform, "clear_permissions", user="alice", vhost="v")


def test_topic_permissions(perform: Perform) -> None:
    perform("add_user", name="alice")
    for exchange in ("amq.topic", "amq.rabbitmq.trace"):
        perform("set_topic_permissions", user="alice", vhost="/", exchange=exchange, write="^a", read="^b")
    row = {"user": "alice", "vhost": "/", "exchange": "amq.topic", "write": "^a", "read": "^b"}
    assert row in perform("list_topic_permissions", user="alice")  # type: ignore[operator]
    close = refusal(perform, "set_topic_permissions", user="alice", vhost="/", exchange="amq.topik", write="", read="")
    assert close == "exchange 'amq.topik' does not exist; did you mean 'amq.topic'?"
    perform("clear_topic_permissions", user="alice", vhost="/", exchange="amq.topic")
    assert "amq.topic" in refusal(perform, "clear_topic_permissions", user="alice", vhost="/", exchange="amq.topic")
    perform("clear_topic_permissions", user="alice", vhost="/")
    assert perform("list_topic_permissions") == []


@pytest.mark.parametrize(("kind", "name", "limit"), [("vhost", "/", "max-queues"), ("user", "alice", "max-channels")])
def test_limits(perform: Perform, kind: str, name: str, limit: str) -> None:
    perform("add_user", name="alice")
    perform(f"set_{kind}_limits", **{kind: name}, limits={limit: 5})
    perform(f"set_{kind}_limits", **{kind: name}, limits={"max-connections": 7})
    assert perform(f"list_{kind}_limits") == [{kind: name, "value": {limit: 5, "max-connections": 7}}]
    assert "is not a limit" in refusal(perform, f"set_{kind}_limits", **{kind: name}, limits={"max-messages": 5})
    wrong = refusal(perform, f"set_{kind}_limits", **{kind: name}, limits={limit: "5"})
    assert wrong == "limits[...]: expected int, got str"
    perform(f"clear_{kind}_limits", **{kind: name}, limit=limit)
    assert perform(f"list_{kind}_limits", **{kind: name}) == [{kind: name, "value": {"max-connections": 7}}]
    assert limit in refusal(perform, f"clear_{kind}_limits", **{kind: name}, limit=limit)
    perform(f"clear_{kind}_limits", **{kind: name})
    assert perform(f"list_{kind}_limits") == []


def test_parameters(perform: Perform) -> None:
    value = {"src-uri": "amqp://", "n": [1, None, 2.5]}
    perform("set_parameter", vhost="/", component="shovel", name="move", value=value)
    perform("set_global_parameter", name="g", value=5)
    assert perform("list_parameters", vhost="/") == [
        {"vhost": "/", "component": "shovel", "name": "move", "value": value}
    ]
    assert perform("list_global_parameters") == [{"name": "g", "value": 5}]
    own = refusal(perform, "set_parameter", vhost="/", component="operator_policy", name="p", value={})
    assert "leveret policies set --operator" in own
    assert "did you mean 'move'" in refusal(perform, "clear_parameter", vhost="/", component="shovel", name="moves")
    perform("clear_parameter", vhost="/", component="shovel", name="move")
    perform("clear_global_parameter", name="g")
    assert perform("list_parameters") == perform("list_global_parameters") == []


def test_verbs_that_list_or_export_change_nothing(perform: Perform, broker: Broker) -> None:
    perform("add_user", name="alice")
    before = broker.revision
    for verb in VERBS.values():
        if not verb.changes and verb.name != "export_messages":  # see test_messages.py
            perform(verb.name)
    assert broker.revision == before


@pytest.mark.parametrize("kind", ["policy", "operator_policy"])
def test_policies(perform: Perform, broker: Broker, kind: str) -> None:
    plural = kind.replace("policy", "policies")
    vhost = broker.vhosts["/"]
    queue = vhost.declare_queue("orders", True, False, False, {}, 0)
    given = {"name": "few", "pattern": "^orders", "definition": {"max-length": 5}, "priority": 3, "apply_to": "queues"}
    perform(f"set_{kind}", vhost="/", **given)
    assert queue.settings.max_length == 5
    row = {**given, "vhost": "/", "apply-to": "queues"}
    del row["apply_to"]
    assert perform(f"list_{plural}") == perform(f"list_{plural}", vhost="/") == [row]
    unknown = {**given, "definition": {"maxlength": 5}}
    assert "not recognised policy settings" in refusal(perform, f"set_{kind}", vhost="/", **unknown)
    assert "regular expression" in refusal(perform, f"set_{kind}", vhost="/", **{**given, "pattern": "("})
    assert "did you mean 'few'" in refusal(perform, f"clear_{kind}", vhost="/", name="fwe")
    perform(f"clear_{kind}", vhost="/", name="few")
    assert queue.settings.max_length == -1
    assert perform(f"list_{plural}") == []
