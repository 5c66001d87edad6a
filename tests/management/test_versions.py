"""Files in the shape of exports of RabbitMQ 3.5 to 4.3: they come in, keep their meaning, and go on to RabbitMQ 4.3."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from leveret.auth.passwords import fits
from leveret.core.policy.policy import effective_definition
from tests.clients.socketless import make_broker
from tests.management.test_definitions import SECTIONS, load, save

VERSIONS = ("3.5.8", "3.8.34", "3.12.14", "4.0.9", "4.3.2")

MANY = "are stored and exported, but have no effect here"


def kept(*parameters: str) -> list[str]:
    """What is said of parameters that nothing here reads. parameters: component and name."""
    return [
        f"parameter '{name}' of {component} is stored and exported, but has no effect here"
        for component, name in (parameter.split() for parameter in parameters)
    ]


NOTES = {
    "3.5.8": [
        *kept(
            "federation-upstream north", "federation-upstream-set all-north", "shovel move", "federation local-nodename"
        ),
        "ha-mode of policy 'ha-all' is stored and exported, but has no effect here",
        f"ha-mode and ha-params and ha-sync-mode of policy 'ha-two' {MANY}",
        f"ha-mode and ha-params and ha-promote-on-shutdown of policy 'nodes' {MANY}",
        "federation-upstream-set of policy 'federate' is stored and exported, but has no effect here",
        "ha-mode of policy 'ttl' is stored and exported, but has no effect here",
        "queue 'amq.gen-PVc0FQBdLBq-bxbFGDAtRA' has a name that the broker generates; left out",
        "no queue 'amq.gen-PVc0FQBdLBq-bxbFGDAtRA' in vhost '/'; left out too",
    ],
    "3.8.34": [
        *kept("federation-upstream north", "federation-upstream-set all-north", "shovel move"),
        "ha-mode and ha-params and ha-promote-on-failure and ha-promote-on-shutdown and ha-sync-batch-size and "
        f"ha-sync-mode of policy 'ha' {MANY}",
        "ha-mode of policy 'lazy' is stored and exported, but has no effect here",
        "federation-upstream of policy 'federate' is stored and exported, but has no effect here",
        f"routing-key and shards-per-node of policy 'shards' {MANY}",
    ],
    "3.12.14": [
        f"ha-mode and ha-params and ha-sync-mode of operator policy 'mirror-all' {MANY}",
        "exchange 'jms.durable.queues' in vhost '/' is of type x-jms-topic, which is not supported here; left out",
        "no exchange 'jms.durable.queues' in vhost '/'; left out too",
        "ha-mode of policy 'mirror' is stored and exported, but has no effect here",
        "queue 'log' in vhost '/' is of type stream, which is not supported here; left out",
        "no queue 'log' in vhost '/'; left out too",
    ],
    "4.0.9": [
        *kept("federation-upstream north", "shovel local"),
        "federation-upstream-pattern of policy 'patterns' is stored and exported, but has no effect here",
        "queue 'stream' in vhost 'quorum' is of type stream, which is not supported here; left out",
        "no queue 'stream' in vhost 'quorum'; left out too",
    ],
    "4.3.2": [
        "queue 'audit' in vhost 'logs' is of type stream, which is not supported here; left out",
        "no queue 'audit' in vhost 'logs'; left out too",
    ],
}
PASSWORDS = {
    "3.5.8": {"monitor": "old-monitor", "guest": "guest", "app": "old-app"},
    "3.8.34": {"guest": "guest", "app": "app38", "from-3.5": "old"},
    "3.12.14": {"guest": "guest", "device": "device312"},
    "4.0.9": {"guest": "guest", "service": "service40"},
    "4.3.2": {"guest": "guest"},
}


def file_of(version: str) -> Path:
    """Where the file of a version is."""
    return Path(__file__).parent / f"rabbitmq-{version}.json"


def read(version: str) -> dict[str, Any]:
    """The file of a version."""
    found = json.loads(file_of(version).read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def prefixed(content: dict[str, Any], prefix: str) -> dict[str, Any]:
    """The same with other names of virtual hosts, users and global parameters: it is alone on a shared broker."""
    found = copy.deepcopy(content)
    for section in SECTIONS:
        for entry in found.get(section, []):
            for key in ("vhost", "user"):
                if key in entry:
                    entry[key] = prefix + entry[key]
            if section in ("users", "vhosts", "global_parameters"):
                entry["name"] = prefix + entry["name"]
    return found


def meaning(section: str, entry: dict[str, Any]) -> dict[str, Any]:
    """An entry without what is said twice, or says nothing."""
    found = {key: value for key, value in entry.items() if key != "internal" or value}
    if section == "users":
        found["tags"] = entry["tags"].split(",") if isinstance(entry["tags"], str) else entry["tags"]
        found["tags"] = [tag for tag in found["tags"] if tag]
        found["limits"] = entry.get("limits") or {}
        found.setdefault("hashing_algorithm", "rabbit_password_hashing_md5")  # in the file of 3.5
    elif section == "vhosts":
        metadata = {"description": "", "tags": [], "default_queue_type": "classic", **entry.get("metadata", {})}
        if metadata["default_queue_type"] == "undefined":
            metadata["default_queue_type"] = "classic"
        if entry["name"] == "/" and not metadata["description"]:
            metadata["description"] = "Default virtual host"  # what a new broker says
        found = {"name": entry["name"], "metadata": metadata, "limits": entry.get("limits") or {}}
    elif section == "queues":
        found["arguments"] = {"x-queue-type": "classic", **entry["arguments"]}
        found["type"] = found["arguments"]["x-queue-type"]
    return found


def meanings(content: dict[str, Any], section: str) -> list[str]:
    """All entries of a section."""
    return sorted(json.dumps(meaning(section, entry), sort_keys=True) for entry in content.get(section, []))


def without_what_notes_say(content: dict[str, Any]) -> dict[str, Any]:
    """A file without that for which there is no place here."""
    gone = {
        (entry["vhost"], entry["name"])
        for section in ("queues", "exchanges")
        for entry in content[section]
        if entry["name"].startswith("amq.")
        or entry["arguments"].get("x-queue-type") == "stream"
        or entry.get("type") == "x-jms-topic"
    }
    found = dict(content)
    for section in ("queues", "exchanges", "bindings", "topic_permissions"):
        found[section] = [
            entry
            for entry in content.get(section, [])
            if not {(entry["vhost"], entry.get(key)) for key in ("name", "destination", "source", "exchange")} & gone
        ]
    found["parameters"] = [  # no limits are no entry
        entry for entry in content["parameters"] if entry["component"] != "vhost-limits" or entry["value"]
    ]
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("atomic", [False, True])
def test_it_comes_in_and_goes_out_with_the_same_meaning(version: str, atomic: bool) -> None:
    broker = make_broker()
    answer = load(broker, read(version), atomic=atomic)
    assert answer["errors"] == []
    assert [note["reason"] for note in answer["notes"]] == NOTES[version]
    out, expected = save(broker), without_what_notes_say(read(version))
    missing = [] if any(vhost["name"] == "/" for vhost in out["vhosts"]) else ["/"]
    assert missing == []
    for section in SECTIONS:
        assert meanings(out, section) == meanings(expected, section), section
    again = make_broker()
    assert load(again, out)["errors"] == []
    assert save(again) == out


@pytest.mark.parametrize("version", VERSIONS)
def test_passwords_fit(version: str) -> None:
    broker = make_broker()
    load(broker, read(version))
    for name, password in PASSWORDS[version].items():
        assert fits(broker.users.user(name).credential, password), name
        assert not fits(broker.users.user(name).credential, "wrong")


@pytest.mark.parametrize("version", VERSIONS)
def test_it_goes_on_to_rabbitmq_43_with_a_note_for_each_difference(version: str) -> None:
    broker = make_broker()
    load(broker, read(version))
    plain, out = save(broker), save(broker, target="rabbitmq-4.3")
    notes = out.pop("notes")
    for section in ("users", "vhosts", "permissions"):
        assert out[section] == plain[section], section
    assert "ha-" not in json.dumps([policy["definition"] for policy in out["policies"]])
    again = make_broker()
    answer = load(again, out)
    assert (answer["errors"], answer["notes"]) == ([], [])
    fewer = sum(len(plain[section]) - len(out[section]) for section in SECTIONS)
    assert fewer <= len(notes)


def test_keys_without_effect_have_none_in_either_policy() -> None:
    broker = make_broker()
    load(broker, read("3.12.14"))
    vhost = broker.vhosts["/"]
    policy, operator = vhost.policies.all["mirror"], vhost.operator_policies.all["mirror-all"]
    assert effective_definition(policy, operator)["ha-mode"] == "exactly"
    assert vhost.queues["mirrored"].settings.max_length == -1
