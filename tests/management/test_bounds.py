"""What is too much is answered with one sentence that people can read, and is not looked at any further."""

from __future__ import annotations

import asyncio
import inspect
import io
from pathlib import Path
from typing import Any

import pytest

from leveret.auth.passwords import ARGON2, MEMORY_KIB, argon2, fits, impossible, is_too_dear
from leveret.core.access.user import Credential
from leveret.core.errors.administration import SHOWN_FIRST, SHOWN_LAST, AdministrationError, InvalidError, shortened
from leveret.core.errors.diagnostics import MAX_NAME, nearest
from leveret.core.policy import documents
from leveret.management import importing
from leveret.management.administration import FUNCTIONS, Administration
from leveret.management.arguments import MAX_VALUES, BadArgument, from_json
from leveret.management.errors import unknown
from leveret.management.jobs import complete
from leveret.node import definitions_file
from leveret.server import requests
from tests.clients.socketless import make_broker
from tests.management.test_definitions import load

LONG = 200_000
MOST = SHOWN_FIRST + SHOWN_LAST + 100  # characters of what anybody is told
DEAR = impossible().hash.replace(f"m={MEMORY_KIB},t=2,p=1", "m=1572864,t=1,p=1")  # 1.5 GiB


# -- names that are close


def test_a_long_name_has_no_close_one() -> None:
    name = "a" * MAX_NAME
    assert nearest(name, [name[:-1]]) == name[:-1]
    assert nearest(f"{name}b", [name]) is None
    error = str(unknown("user", "x" * LONG, ["x" * (LONG - 1)]))
    assert error == f"user '{'x' * 40}...' does not exist"


def test_only_so_many_names_are_looked_at() -> None:
    looked = 0

    def names() -> Any:
        nonlocal looked
        while True:
            looked += 1
            yield f"name-{looked:08}"

    assert str(unknown("user", "another", names())) == "user 'another' does not exist"
    assert looked <= 1001


@pytest.mark.parametrize(("name", "meant"), [("alcie", "alice"), ("ALICE", "alice"), ("alicee", "alice"), ("bob", "")])
def test_names_that_are_close(name: str, meant: str) -> None:
    hint = f"; did you mean '{meant}'?" if meant else ""
    assert str(unknown("user", name, ["carol", "alice"])) == f"user '{name}' does not exist{hint}"


# -- verbs

GOOD: dict[str, object] = {
    "vhost": "/",
    "user": "guest",
    "name": "q",
    "pattern": ".*",
    "definition": {"max-length": 1},
    "limits": {},
    "content": {},
    "value": 1,
    "exchange": "amq.topic",
    "tags": "",
}
TEXTS = {"plain": "x" * LONG, "pattern": "(" * LONG, "other": "ä" * LONG, "hash": f"$argon2id$m=8,t=1,p=1${'A' * LONG}"}


def answers(verb: str, arguments: dict[str, object]) -> str:
    """What a verb is refused with; empty if it is not."""
    broker = make_broker()
    Administration(broker).perform("add_user", {"name": "guest", "password_hash": ""})
    try:
        complete(broker, Administration(broker).perform(verb, arguments))
    except AdministrationError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
@pytest.mark.parametrize("verb", [function.__name__ for function in FUNCTIONS])
def test_what_a_verb_is_refused_with_is_short(verb: str, text: str) -> None:
    function = next(function for function in FUNCTIONS if function.__name__ == verb)
    names = list(inspect.signature(function).parameters)[1:]
    good = {name: GOOD.get(name, "x") for name in names if name in GOOD or name in ("component", "configure")}
    for name in names:
        for value in (text, {text: 1}, {"overflow": text}, [text]):
            assert len(answers(verb, {**good, name: value})) <= MOST, name
    assert 0 < len(answers(verb, {text: 1})) <= MOST


def test_a_verb_that_is_too_long() -> None:
    assert answers("x" * LONG, {}) == f"verb '{'x' * 40}...' does not exist"
    assert answers("list_user", {}) == "verb 'list_user' does not exist; did you mean 'list_users'?"


def test_a_long_text_is_shortened_in_the_middle() -> None:
    text = "begin" + "." * 10_000 + "end"
    assert shortened(text) == f"{text[:SHOWN_FIRST]} [8008 characters] {text[-SHOWN_LAST:]}"
    assert shortened("." * (SHOWN_FIRST + SHOWN_LAST)) == "." * (SHOWN_FIRST + SHOWN_LAST)
    assert str(InvalidError(text)) == shortened(text)


@pytest.mark.parametrize(
    "definition", [{"overflow": "x" * LONG}, {"x" * LONG: 1}, {"max-length": ["x"] * LONG}, {"x": {"y": "z" * LONG}}]
)
def test_a_policy_that_is_too_large_to_be_shown(definition: dict[str, object]) -> None:
    given: dict[str, object] = {"vhost": "/", "name": "p", "pattern": "", "definition": definition}
    text = answers("set_policy", given)
    assert "a value that is too large to be shown" in text
    small = answers("set_policy", {**given, "definition": {"overflow": "nothing"}})
    assert small == '<<"nothing">> is not a valid overflow value'


# -- definitions


def entry(number: int) -> dict[str, object]:
    """A queue that cannot be."""
    return {"vhost": "/", "name": str(number), "arguments": {"x-max-length": -1}}


def test_a_file_with_too_many_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_ENTRIES", 10)
    broker = make_broker()
    with pytest.raises(InvalidError) as caught:
        load(broker, {"queues": [entry(n) for n in range(6)], "vhosts": [{"name": f"v{n}"} for n in range(5)]})
    assert str(caught.value) == (
        "there are 11 entries; at most 10 can be imported at once; split the file and import the parts one after "
        "another"
    )
    assert len(broker.vhosts) == 1
    assert load(broker, {"vhosts": [{"name": f"v{n}"} for n in range(10)]}, atomic=True)["applied"] == {"vhosts": 10}
    assert load(broker, {"vhosts": [{"name": f"w{n}"} for n in range(10)]}, atomic=True)["errors"] == []


def test_only_so_many_errors_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_TOLD", 10)
    errors = load(make_broker(), {"queues": [entry(n) for n in range(100)]})["errors"]
    assert len(errors) == 11
    assert errors[-1] == {
        "path": "queues[10].arguments.x-max-length",
        "reason": "this one too; further ones are not listed",
    }


def test_an_error_quotes_only_so_much() -> None:
    content = {
        "policies": [{"vhost": "/", "name": "p", "pattern": "", "definition": {"x" * LONG: "y" * LONG}}],
        "exchanges": [{"vhost": "/", "name": "e", "type": "x" * LONG}],
        "permissions": [{"user": "x" * LONG, "vhost": "/", "configure": "", "write": "", "read": ""}],
        "queues": [{"vhost": "x" * LONG, "name": "q"}, {"vhost": "/", "name": "q", "arguments": {"x" * LONG: 1}}],
        "users": [{"name": "u", "tags": [], "limits": {"x" * LONG: 1}}],
        "y" * LONG: [],
    }
    answer = load(make_broker(), content)
    assert len(answer["errors"]) == 6
    for told in answer["errors"] + answer["notes"]:
        assert len(told["path"]) <= MOST
        assert len(told["reason"]) <= MOST


def test_arguments_that_no_client_could_declare() -> None:
    assert len(from_json({"x": [0] * (MAX_VALUES - 1)})["x"].value) == MAX_VALUES - 1  # type: ignore[arg-type]
    for content in ({"x": [0] * MAX_VALUES}, {"x": [[0] * 1000] * 101}, {str(n): 0 for n in range(MAX_VALUES + 1)}):
        with pytest.raises(BadArgument, match="no client could declare"):
            from_json(content)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0", "{}", "[[]]"])
def test_a_document_with_too_many_values(value: str, tmp_path: Path) -> None:
    reason = "more than 10000000 values; split it into parts, and apply them one by one"
    count = documents.MAX_VALUES // documents.values_in(f"{value},") + 1
    text = f"[{','.join([value] * count)}]"
    for given in (text, text.encode()):
        with pytest.raises(ValueError, match=reason):
            documents.read_json(given)
    file = tmp_path / "definitions.json"
    file.write_text(text)
    with pytest.raises(definitions_file.FileError, match=reason):
        definitions_file.read(file)


def test_values_are_counted() -> None:
    for text, count in (("5", 0), ("[0,0]", 2), ('{"a": {"b": [1, 2]}}', 4), ("[[[]]]", 3)):
        assert documents.values_in(text) == documents.values_in(text.encode()) == count
    assert documents.values_in("[0,0,0]", 2, 4) == 1
    many = {"a": [{"b": 1}, 2]}
    assert not documents.has_more_values(many, 4)
    assert documents.has_more_values(many, 3)


def test_a_request_with_too_many_values(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = ",".join(["0"] * requests.LARGE)
    line = f'{{"verb": "import_definitions", "arguments": {{"content": {{"queues": [{entries}]}}}}}}'.encode()
    monkeypatch.setattr(requests, "MAX_VALUES", requests.LARGE + 4)
    assert len(asyncio.run(requests.read(line)).arguments["content"]["queues"]) == requests.LARGE  # type: ignore[index]
    monkeypatch.setattr(requests, "MAX_VALUES", requests.LARGE)
    with pytest.raises(ValueError, match="more than 10000000 values; split it"):
        asyncio.run(requests.read(line))


def test_a_file_that_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    assert definitions_file.parse(io.BytesIO(b'{"queues": []}'), "-") == {"queues": []}
    monkeypatch.setattr(definitions_file, "MAX_SIZE", 1 << 20)
    with pytest.raises(definitions_file.FileError, match="is larger than 1 MiB; split it"):
        definitions_file.parse(io.BytesIO(b" " * ((1 << 20) + 1)), "-")
    with pytest.raises(definitions_file.FileError, match="is larger than 1 MiB; split it"):
        definitions_file.read(Path("/dev/zero"))


# -- hashes that take too much


def test_a_hash_that_is_too_dear_comes_in_by_no_door() -> None:
    assert is_too_dear(DEAR)
    assert not is_too_dear(argon2("secret").hash)
    broker = make_broker()
    administration = Administration(broker)
    administration.perform("add_user", {"name": "there", "password_hash": ""})
    for verb, name in (("add_user", "new"), ("change_password", "there")):
        with pytest.raises(InvalidError, match="takes too long to check"):
            administration.perform(verb, {"name": name, "password_hash": DEAR, "hashing_algorithm": ARGON2})
    users: list[dict[str, object]] = [
        {"name": "a", "password_hash": DEAR, "hashing_algorithm": ARGON2},
        {"name": "b", "leveret_credential": {"algorithm": ARGON2, "hash": DEAR}},
    ]
    answer = load(broker, {"users": users})
    assert ["takes too long" in error["reason"] for error in answer["errors"]] == [True, True]
    assert [user.name for user in broker.users] == ["there"]


@pytest.mark.parametrize("costs", ["m=262145,t=1,p=1", "m=262144,t=5,p=1", "m=8,t=200000,p=1", "m=8,t=1,p=65"])
def test_the_costs_that_a_hash_may_have(costs: str) -> None:
    assert is_too_dear(impossible().hash.replace(f"m={MEMORY_KIB},t=2,p=1", costs))


@pytest.mark.parametrize("costs", ["m=65536,t=3,p=4", "m=262144,t=4,p=4", "m=8,t=1,p=1"])
def test_usual_costs_are_allowed(costs: str) -> None:
    assert not is_too_dear(impossible().hash.replace(f"m={MEMORY_KIB},t=2,p=1", costs))


def test_a_hash_of_many_characters() -> None:
    long = impossible().hash + "A" * LONG
    assert is_too_dear(long)
    assert "no hash has more than 1024" in answers("add_user", {"name": "u", "password_hash": "A" * 2000})
    assert "at most 65535 are allowed" in answers("add_user", {"name": "u", "password": "A" * 65536})


def test_a_hash_that_is_in_the_data_already_is_not_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    from argon2 import PasswordHasher

    computed: list[str] = []

    def verify(self: PasswordHasher, hash_: str, password: bytes) -> bool:
        computed.append(hash_)
        return False

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    assert not fits(Credential(ARGON2, DEAR), "secret")
    assert [is_too_dear(hash_) for hash_ in computed] == [False]
