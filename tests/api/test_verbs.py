"""Verbs of administration over HTTP: who may do which, and in which virtual hosts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from leveret.management.administration import VERBS
from tests.api.http import Http, Reply
from tests.api.place import Started

PASSWORD = "secret"
OWN, CLOSED = "own", "closed"
"""Virtual hosts where the users have permissions, and where they have none."""

TAGS = ("administrator", "monitoring", "policymaker", "management", "impersonator", "")
EVERYBODY = {"administrator", "monitoring", "policymaker", "management"}
POLICYMAKERS = {"administrator", "policymaker"}
MAY = {
    "list_vhosts": EVERYBODY,
    "list_vhost_limits": EVERYBODY,
    "list_policies": EVERYBODY,
    "list_operator_policies": EVERYBODY,
    "set_policy": POLICYMAKERS,
    "clear_policy": POLICYMAKERS,
    "list_parameters": POLICYMAKERS,
    "set_parameter": POLICYMAKERS,
    "clear_parameter": POLICYMAKERS,
    "list_global_parameters": POLICYMAKERS,
    "show_status": {"administrator", "monitoring"},
}
"""Who may do a verb that is not for administrators alone."""

POLICY = {"name": "short", "pattern": "^mail", "definition": {"max-length": 100}}
PARAMETER = {"component": "shovel", "name": "move", "value": {"src-queue": "a"}}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "list_policies": {},
    "list_operator_policies": {},
    "list_vhost_limits": {},
    "set_policy": POLICY,
    "clear_policy": {"name": "short"},
    "set_operator_policy": POLICY,
    "clear_operator_policy": {"name": "short"},
    "list_parameters": {},
    "set_parameter": PARAMETER,
    "clear_parameter": {"component": "shovel", "name": "move"},
    "set_vhost_limits": {"limits": {"max-queues": 7}},
    "clear_vhost_limits": {"limit": "max-queues"},
}
"""What verbs that name a virtual host need beside."""
NO_JSON = {"export_messages", "import_messages"}


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """A broker with a user for each tag, and a policy, a parameter and a limit in each virtual host."""
    with Started.start() as started:
        api = started.place.api
        http = Http(api)
        for vhost in (OWN, CLOSED):
            http.ask("PUT", f"vhosts/{vhost}").expect(201)
        for tag in TAGS:
            http.ask("PUT", f"users/a-{tag}", {"password": PASSWORD, "tags": tag}).expect(201)
            everything = {"configure": ".*", "write": ".*", "read": ".*"}
            http.ask("PUT", f"permissions/{OWN}/a-{tag}", everything).expect(201)
        yield api


@pytest.fixture
def furnished(api: str) -> str:
    """The same broker, with all of that in place."""
    guest = Http(api)
    for vhost in (OWN, CLOSED):
        for verb in ("set_policy", "set_operator_policy", "set_parameter", "set_vhost_limits"):
            do(guest, verb, vhost=vhost, **ARGUMENTS[verb]).expect(200)
    return api


def someone(api: str, tag: str) -> Http:
    """The user with a tag."""
    return Http(api, f"a-{tag}", PASSWORD)


def do(user: Http, verb: str, **arguments: object) -> Reply:
    """Ask for a verb."""
    return user.ask("POST", f"leveret/verbs/{verb}", arguments)


def what(reply: Reply) -> Any:
    """What a verb has answered."""
    found: Any = reply.expect(200).json
    return found["result"]


@pytest.mark.parametrize("verb", sorted(VERBS.keys() - NO_JSON))
@pytest.mark.parametrize("tag", TAGS)
def test_tags_decide(furnished: str, tag: str, verb: str) -> None:
    arguments = {"vhost": OWN, **ARGUMENTS[verb]} if verb in ARGUMENTS else {}
    reply = do(someone(furnished, tag), verb, **arguments)
    content: Any = reply.json
    if tag in MAY.get(verb, {"administrator"}):
        assert reply.status == 200 or verb not in (*ARGUMENTS, *MAY), content
        assert reply.status != 401
    else:
        assert (reply.status, content["error"]) == (401, "not_authorised"), content


@pytest.mark.parametrize("verb", sorted(ARGUMENTS))
@pytest.mark.parametrize("tag", TAGS)
def test_a_virtual_host_that_is_closed_is_as_if_it_were_not_there(furnished: str, tag: str, verb: str) -> None:
    user = someone(furnished, tag)
    replies = [do(user, verb, vhost=vhost, **ARGUMENTS[verb]) for vhost in (CLOSED, "nowhere")]
    told: list[Any] = [each.json for each in replies]
    if tag not in MAY.get(verb, {"administrator"}):
        assert {each.status for each in replies} == {401}
    elif tag == "administrator" or (tag, verb) == ("monitoring", "list_vhost_limits"):
        assert [each.status for each in replies] == [200, 404]
    else:
        assert {each.status for each in replies} == {404}
        assert told[0] == {"error": "not_found", "reason": told[1]["reason"].replace("nowhere", CLOSED)}
    guest = Http(furnished)
    if tag != "administrator":
        assert [each["name"] for each in what(do(guest, "list_policies", vhost=CLOSED))] == ["short"]
        assert [each["name"] for each in what(do(guest, "list_parameters", vhost=CLOSED))] == ["move"]
        assert what(do(guest, "list_vhost_limits", vhost=CLOSED))[0]["value"] == {"max-queues": 7}


@pytest.mark.parametrize("verb", ["list_policies", "list_operator_policies", "list_parameters", "list_vhost_limits"])
def test_lists_have_what_may_be_entered(furnished: str, verb: str) -> None:
    for tag in MAY[verb]:
        sees_all = tag == "administrator" or (tag, verb) == ("monitoring", "list_vhost_limits")
        rows = what(do(someone(furnished, tag), verb))
        assert {row["vhost"] for row in rows} == ({OWN, CLOSED} if sees_all else {OWN}), tag


def test_virtual_hosts_are_listed_as_elsewhere(furnished: str) -> None:
    for tag in EVERYBODY:
        user = someone(furnished, tag)
        told: Any = user.ask("GET", "vhosts").expect(200).json
        assert [row["name"] for row in what(do(user, "list_vhosts"))] == [each["name"] for each in told], tag


@pytest.mark.parametrize("vhost", [None, 7, ["own"], {"own": "own"}, "\x00", "x" * 70_000])
def test_what_is_no_virtual_host(furnished: str, vhost: object) -> None:
    reply = do(someone(furnished, "policymaker"), "set_policy", vhost=vhost, **POLICY)
    assert reply.status in (400, 404)
    assert len(reply.body) < 500


def test_what_a_policymaker_sets_counts(furnished: str) -> None:
    user, guest = someone(furnished, "policymaker"), Http(furnished)
    guest.ask("PUT", f"queues/{OWN}/mail", {"durable": True}).expect(201, 204)
    do(user, "set_policy", vhost=OWN, **POLICY).expect(200)
    found: Any = guest.ask("GET", f"queues/{OWN}/mail").json
    assert found["effective_policy_definition"]["max-length"] == 100
    reply = do(user, "set_parameter", vhost=OWN, component="operator_policy", name="x", value=POLICY).expect(400)
    assert b"leveret policies set --operator" in reply.body


def test_there_is_no_such_verb(furnished: str) -> None:
    reason: Any = do(Http(furnished), "set_polici").expect(404).json
    assert reason["reason"] == "verb 'set_polici' does not exist; did you mean 'set_policy'?"


def test_a_definitions_file_may_be_large(furnished: str) -> None:
    content = {"vhosts": [{"name": OWN, "description": "x" * (2 << 20)}]}
    told = what(do(Http(furnished), "import_definitions", content=content))
    assert told["applied"]["vhosts"] + len(told["errors"]) == 1
    do(Http(furnished), "set_policy", vhost=OWN, **POLICY, x="x" * (2 << 20)).expect(413)
