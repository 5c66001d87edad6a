"""An export for another broker has only what that takes, and says of everything else that it is not as it was.

What RabbitMQ takes is recorded in a file beside this one; tests/management/test_rabbitmq.py asks a real one again.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leveret.core.broker import Broker
from leveret.core.errors.administration import AdministrationError
from leveret.core.policy.arguments import BY_KEY, CLASSIC, TABLE
from leveret.management.administration import Administration
from leveret.management.arguments import from_json
from leveret.management.targets import BUILT_IN, Target
from tests.clients.socketless import make_broker
from tests.management.everything import FULL, NO_TEXT, PREFIX, VHOST, everything
from tests.management.peer import ARGUMENTS, KEYS
from tests.management.test_definitions import load, save

TAKES = json.loads((Path(__file__).parent / "rabbitmq-4.3.6-takes.json").read_text(encoding="utf-8"))
FOR = "rabbitmq-4.3"


def notes_of(out: dict[str, Any], subject: str) -> list[str]:
    """Reasons of notes whose subject begins so."""
    return [note["reason"] for note in out["notes"] if note["subject"].startswith(subject)]


def names(out: dict[str, Any], section: str) -> set[str]:
    """What is in a section."""
    return {entry["name"] for entry in out[section]}


# -- the table


def test_there_is_a_value_for_all_that_leveret_has() -> None:
    assert set(ARGUMENTS) == {row.name for row in TABLE if row.name}
    assert {row.key for row in TABLE if row.key} < set(KEYS)


def test_the_table_is_what_a_real_one_has_answered() -> None:
    built_in = {kind for kind, plugin in Target.exchange_types.items() if plugin == BUILT_IN}
    assert built_in == {kind for kind, is_taken in TAKES["exchange_types"].items() if is_taken}
    assert set(TAKES["exchange_types"]) <= set(Target.exchange_types)
    for name, kinds in TAKES["arguments"].items():
        assert sorted(Target.arguments[name]) == kinds, name
    assert list(Target.argument_values["x-queue-version"]) == TAKES["queue_versions"]
    assert sorted(key for key, plugin in Target.policy_keys.items() if plugin == BUILT_IN) == TAKES["policy_keys"]
    assert sorted(Target.operator_keys) == TAKES["operator_keys"]
    assert [name for name, plugin in Target.components.items() if plugin == BUILT_IN] == TAKES["components"]
    assert Target.hashes == set(TAKES["hashes"])
    assert not TAKES["argument_null"]
    assert not TAKES["argument_null_inside"]
    assert TAKES["argument_of_nobody"]
    assert TAKES["argument_beyond_63_bits"]
    assert TAKES["global_other"]
    assert not TAKES["global_internal"]


def test_the_policies_that_do_less_for_classic_queues_are_told() -> None:
    here = {key for key, row in BY_KEY.items() if CLASSIC in row.passes_by}
    assert Target.not_for_classic == set(TAKES["not_for"]["classic"]) - here
    assert {key for key in TAKES["policy_keys"] if key.startswith("delayed-retry")} == Target.idle_for_classic


# -- everything


def test_nothing_is_left_that_the_other_broker_does_not_take() -> None:
    out = save(everything(), target=FOR)
    assert out["rabbitmq_version"] == out["rabbit_version"] == "4.3.0"
    assert {entry["type"] for entry in out["exchanges"]} <= {k for k, taken in TAKES["exchange_types"].items() if taken}
    for queue in out["queues"]:
        for name, value in queue["arguments"].items():
            assert queue["type"] in TAKES["arguments"].get(name, ["classic", "quorum"]), name
            assert name != "x-queue-version" or value in TAKES["queue_versions"]
    for policy in out["policies"]:
        assert policy["definition"]
        assert set(policy["definition"]) <= set(TAKES["policy_keys"])
    for parameter in out["parameters"]:
        assert parameter["component"] in TAKES["components"]
        if parameter["component"] == "operator_policy":
            assert parameter["value"]["definition"]
            assert set(parameter["value"]["definition"]) <= set(TAKES["operator_keys"])
    assert {user["hashing_algorithm"] for user in out["users"]} <= set(TAKES["hashes"])
    assert not [entry for entry in out["global_parameters"] if entry["name"].startswith("internal")]
    ends = {(entry["vhost"], "exchange", entry["name"]) for entry in out["exchanges"]}
    ends |= {(entry["vhost"], "queue", entry["name"]) for entry in out["queues"]}
    ends |= {(VHOST, "exchange", f"amq.{kind}") for kind in ("topic", "fanout", "direct", "headers")}
    for binding in out["bindings"]:
        assert (binding["vhost"], "exchange", binding["source"]) in ends
        assert (binding["vhost"], binding["destination_type"], binding["destination"]) in ends
    for permission in out["topic_permissions"]:
        assert not permission["exchange"] or (permission["vhost"], "exchange", permission["exchange"]) in ends
    json.dumps({**out, "notes": []}, ensure_ascii=False).encode()  # all of it is UTF-8
    for section in ("queues", "exchanges", "bindings"):
        assert "null" not in json.dumps([entry["arguments"] for entry in out[section]])


def test_what_is_not_in_the_file_or_otherwise_has_a_note_and_all_else_is_as_it_was() -> None:
    broker = everything()
    before, out = save(broker), save(broker, target=FOR)
    told = {note["subject"] for note in out["notes"]}
    for section in ("exchanges", "queues", "policies", "global_parameters", "users"):
        there = {(entry.get("vhost"), entry["name"]): entry for entry in out[section]}
        for entry in before[section]:
            kept = there.get((entry.get("vhost"), entry["name"]))
            if kept != entry:
                assert [subject for subject in told if f" '{entry['name']}'" in subject], entry
    bindings = [binding for binding in before["bindings"] if binding not in out["bindings"]]
    assert len(bindings) == len(notes_of(out, "binding of"))
    assert save(broker) == before  # an export changes nothing


def test_the_same_of_one_virtual_host() -> None:
    out, one = save(everything(), target=FOR), save(everything(), target=FOR, vhost=VHOST)
    for section in ("queues", "exchanges", "bindings", "policies"):
        assert one[section] == [
            {key: value for key, value in entry.items() if key != "vhost"}
            for entry in out[section]
            if entry["vhost"] == VHOST
        ], section
    here = [note for note in out["notes"] if f"'{VHOST}'" in note["subject"]]
    assert one["notes"] == [note for note in here if not note["subject"].startswith("topic permission")]


def test_what_comes_out_comes_in_here_too() -> None:
    out = save(everything(), target=FOR)
    out.pop("notes")
    again = make_broker()
    answer = load(again, out)
    assert answer["errors"] == []
    assert answer["notes"] == []
    assert save(again, target=FOR)["queues"] == out["queues"]


# -- one by one


def test_a_password_that_cannot_be_checked_there_is_left_out() -> None:
    out = save(everything(), target=FOR)
    (user,) = (user for user in out["users"] if user["name"] == f"{PREFIX}argon2")
    assert user == {
        "name": f"{PREFIX}argon2",
        "password_hash": "",
        "hashing_algorithm": "rabbit_password_hashing_sha256",
        "tags": ["administrator"],
        "limits": {"max-connections": 5, "max-channels": 1 << 62},
    }
    password, tag = notes_of(out, f"user '{PREFIX}argon2'")
    assert "rabbitmqctl change_password" in password
    assert tag == "the tag 'größe' is left out: RabbitMQ 4.3 garbles tags that are not ASCII"
    assert "argon2id" not in json.dumps(out)


def test_arguments_of_classic_queues() -> None:
    out = save(everything(), target=FOR)
    (queue,) = (queue for queue in out["queues"] if queue["name"] == "classic x-consumer-timeout")
    assert queue["arguments"] == {"x-queue-type": "classic"}
    assert notes_of(out, "queue 'classic x-consumer-timeout'") == [
        "x-consumer-timeout is left out: RabbitMQ 4.3 does not support it for queues of type classic"
    ]
    assert notes_of(out, "queue 'quorum x-consumer-timeout'") == []


def test_an_empty_type_of_a_queue_is_the_classic_one() -> None:
    out = save(everything(), target=FOR)
    (queue,) = (queue for queue in out["queues"] if queue["name"] == "empty type")
    assert (queue["type"], queue["arguments"]) == ("classic", {"x-queue-type": "classic"})
    assert len(notes_of(out, "queue 'empty type'")) == 1


def test_a_limit_that_would_lose_queues() -> None:
    out = save(everything(), target=FOR)
    (vhost,) = (vhost for vhost in out["vhosts"] if vhost["name"] == FULL)
    (limits,) = (entry for entry in out["parameters"] if (entry["vhost"], entry["name"]) == (FULL, "limits"))
    assert vhost["limits"] == limits["value"] == {"max-connections": 50}
    lost = [note.split()[0] for note in notes_of(out, "parameter of vhost-limits")]
    assert lost == ["max-bindings", "max-consumers", "max-exchanges", "max-queues"]
    one = save(everything(), target=FOR, vhost=FULL)
    assert one["limits"] == {"max-connections": 50}


def test_a_policy_keeps_what_is_taken_of_it() -> None:
    broker = everything()
    out = save(broker, target=FOR)
    (policy,) = (policy for policy in out["policies"] if policy["name"] == "for quorum_queues\n\x1b")
    assert policy["definition"] == {"max-length": 5}
    assert notes_of(out, "policy 'for quorum_queues") == [
        "federation-upstream-set is left out: RabbitMQ 4.3 supports it only with the plugin rabbitmq_federation",
        "ha-mode is left out: RabbitMQ 4.3 does not support it",
    ]
    assert notes_of(out, "policy 'of ha-mode'") == ["left out: ha-mode: RabbitMQ 4.3 does not support it"]
    assert len(broker.vhosts[VHOST].policies.all["for quorum_queues\n\x1b"].definition) == 3


def test_with_plugins_more_is_taken() -> None:
    broker = everything()
    plain = save(broker, target=FOR)
    out = save(broker, target=FOR, plugins=["rabbitmq_random_exchange", "rabbitmq_shovel", "rabbitmq_federation"])
    assert names(out, "exchanges") - names(plain, "exchanges") == {"x-random"}
    assert {entry["component"] for entry in out["parameters"]} >= {"shovel", "federation-upstream"}
    assert [entry["source"] for entry in out["bindings"]].count("x-random") == 1
    delayed = save(broker, target=FOR, plugins=["rabbitmq_delayed_message_exchange"])
    assert names(delayed, "exchanges") - names(plain, "exchanges") == {"x-delayed-message"}
    assert "type x-random" in notes_of(delayed, "exchange 'delayed random'")[0]
    seen = save(broker, target=FOR, plugins=["rabbitmq_message_deduplication"])
    assert notes_of(seen, "queue 'deduplicating'") == []


def test_names_that_no_json_has() -> None:
    out = save(everything(), target=FOR)
    assert NO_TEXT not in names(out, "queues") | names(out, "exchanges")
    assert len(notes_of(out, f"queue '{NO_TEXT}'")) == len(notes_of(out, f"exchange '{NO_TEXT}'")) == 1


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"target": "rabbitmq-9"}, "unknown target 'rabbitmq-9'; choose from rabbitmq-4.3"),
        (
            {"target": FOR, "plugins": ["rabbitmq_x"]},
            "the plugin 'rabbitmq_x' has no influence on exports; choose from rabbitmq_c",
        ),
        ({"plugins": ["rabbitmq_shovel"]}, "plugins require a target"),
    ],
)
def test_what_cannot_be_asked_for(options: dict[str, object], reason: str) -> None:
    with pytest.raises(AdministrationError, match=reason):
        save(make_broker(), **options)


def test_a_large_export_is_fitted_in_pieces() -> None:
    broker = make_broker()
    for number in range(1000):
        broker.vhosts["/"].declare_queue(f"q{number}", True, False, False, from_json({}), 0)
    steps = 0
    promise: Any = Administration(broker).perform("export_definitions", {"target": FOR})
    while not promise.is_done():
        broker.work()
        steps += 1
    assert steps >= 20
    assert len(promise.result()["queues"]) == 1000


def test_a_plain_export_has_no_notes() -> None:
    broker: Broker = make_broker()
    assert "notes" not in save(broker)
    assert save(broker, target=FOR)["notes"] == []
