"""Definitions of Leveret in a real RabbitMQ and back: runs when LEVERET_TEST_MANAGEMENT says where its HTTP API is.

LEVERET_TEST_MANAGEMENT=http://127.0.0.1:15672 python -m pytest tests/management/test_rabbitmq.py
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from leveret.core.broker import Broker
from leveret.management.administration import Administration
from tests.clients.socketless import make_broker
from tests.management.everything import FULL, PREFIX, VHOST, everything
from tests.management.peer import RabbitMQ, ask
from tests.management.test_definitions import RABBITMQ, SECTIONS, entries, load, save
from tests.management.test_fitting import TAKES
from tests.management.test_versions import VERSIONS, prefixed, read

URL = os.environ.get("LEVERET_TEST_MANAGEMENT", "")
pytestmark = pytest.mark.skipif(not URL, reason="LEVERET_TEST_MANAGEMENT does not say where RabbitMQ's API is")


@pytest.fixture
def peer() -> Iterator[RabbitMQ]:
    """RabbitMQ, in which nothing stays whose name begins with PREFIX."""
    found = RabbitMQ(URL)
    _clean(found)
    yield found
    _clean(found)


def _clean(peer: RabbitMQ) -> None:
    for vhost in peer.call("GET", "vhosts"):
        if vhost["name"].startswith(PREFIX):
            peer.delete("vhosts", vhost["name"], "deletion", "protection")
            peer.delete("vhosts", vhost["name"])
    for kind, section in (("users", "users"), ("global-parameters", "global-parameters")):
        for entry in peer.call("GET", section):
            if str(entry["name"]).startswith(PREFIX):
                peer.delete(kind, entry["name"])


def ours(content: dict[str, Any]) -> dict[str, Any]:
    """A file with only what a test has made there: on a shared broker there is more."""
    found = dict(content)
    for section in SECTIONS:
        found[section] = [
            _plain(entry)
            for entry in content[section]
            if str(entry.get("vhost", entry.get("name", ""))).startswith(PREFIX)
            and entry.get("user") != "guest"
            and not entry.get("internal")
        ]
    return found


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """An entry as RabbitMQ exports it: the value of a parameter that is empty is a list there, whatever it was."""
    return {**entry, "value": entry["value"] or []} if "value" in entry else entry


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Two files mean the same."""
    for section in SECTIONS:
        assert entries(ours(one), section) == entries(ours(other), section), section


def there_and_back(peer: RabbitMQ, broker: Broker) -> None:
    """What is exported for RabbitMQ comes in there, and is the same when it comes out and is in a broker again."""
    out = save(broker, target="rabbitmq-4.3")
    out.pop("notes")
    peer.call("POST", "definitions", out)
    back = peer.call("GET", "definitions")
    same(back, out)
    again = make_broker()
    found = ours(back)
    found["exchanges"] += [entry for entry in out["exchanges"] if entry.get("internal")]  # which it does not export
    answer = load(again, found)
    assert (answer["errors"], answer["notes"]) == ([], [])
    same(save(again), back)


def test_the_recorded_list_is_what_it_takes(peer: RabbitMQ) -> None:
    found = json.loads(json.dumps(ask(peer)))
    assert {**found, "version": ""} == {**TAKES, "version": ""}


def test_everything_goes_in_and_comes_back_the_same(peer: RabbitMQ) -> None:
    there_and_back(peer, everything())


def test_everything_of_one_virtual_host(peer: RabbitMQ) -> None:
    broker = everything()
    for vhost in (VHOST, FULL):
        peer.call("PUT", f"vhosts/{vhost}", {})
        out = save(broker, target="rabbitmq-4.3", vhost=vhost)
        out.pop("notes")
        peer.call("POST", f"definitions/{vhost}", out)
        back = peer.call("GET", f"definitions/{vhost}")
        for section in ("queues", "bindings", "policies", "parameters"):
            assert entries(back, section) == entries(out, section), section


@pytest.mark.parametrize("version", VERSIONS)
def test_files_of_other_versions(peer: RabbitMQ, version: str) -> None:
    broker = make_broker()
    assert load(broker, prefixed(read(version), PREFIX))["errors"] == []
    there_and_back(peer, broker)


def test_an_export_goes_into_rabbitmq_and_comes_back_the_same(peer: RabbitMQ) -> None:
    broker = make_broker()
    assert load(broker, prefixed(RABBITMQ, PREFIX))["errors"] == []
    Administration(broker).perform("add_user", {"name": f"{PREFIX}argon2", "password": "secret"})
    out = save(broker)
    peer.call("POST", "definitions", out)
    back = peer.call("GET", "definitions")
    for user in out["users"]:
        user.pop("leveret_credential", None)
    same(back, out)
    again = make_broker()
    assert load(again, ours(back))["errors"] == []
    same(save(again), back)
