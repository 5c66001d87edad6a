"""Definitions of Leveret in a real RabbitMQ and back: runs when LEVERET_TEST_MANAGEMENT says where its HTTP API is.

LEVERET_TEST_MANAGEMENT=http://127.0.0.1:15672 python -m pytest tests/management/test_rabbitmq.py
"""

from __future__ import annotations

import base64
import json
import os
import urllib.request
from typing import Any
from urllib.parse import quote

import pytest

from leveret.management.administration import Administration
from tests.clients.socketless import make_broker
from tests.management.test_definitions import RABBITMQ, SECTIONS, entries, load, save

URL = os.environ.get("LEVERET_TEST_MANAGEMENT")
pytestmark = pytest.mark.skipif(URL is None, reason="LEVERET_TEST_MANAGEMENT does not say where RabbitMQ's API is")
PREFIX = "leveret-test-"


def call(method: str, path: str, body: object = None) -> Any:
    """One request to RabbitMQ."""
    request = urllib.request.Request(
        f"{URL}/api/{path}",
        None if body is None else json.dumps(body).encode(),
        {"Authorization": f"Basic {base64.b64encode(b'guest:guest').decode()}", "Content-Type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request, timeout=20) as answer:
        content = answer.read()
    return json.loads(content) if content else None


def ours(content: dict[str, Any]) -> dict[str, Any]:
    """A file with only what a test has made there: on a shared broker there is more."""
    found = dict(content)
    for section in SECTIONS:
        found[section] = [
            entry
            for entry in content[section]
            if PREFIX in json.dumps(entry) and entry.get("user") != "guest" and not entry.get("internal")
        ]
    return found


def test_an_export_goes_into_rabbitmq_and_comes_back_the_same() -> None:
    text = json.dumps(RABBITMQ, ensure_ascii=False)
    for kind, names in {"vhost": ["shop", "quorum"], "user": ["sha256", "sha512", "nopass"]}.items():
        for name in names:
            text = text.replace(f'"{kind}": "{name}"', f'"{kind}": "{PREFIX}{name}"')
            text = text.replace(f'"name": "{name}"', f'"name": "{PREFIX}{name}"')
    text = text.replace('"name": "note"', f'"name": "{PREFIX}note"')
    broker = make_broker()
    assert load(broker, json.loads(text))["errors"] == []
    Administration(broker).perform("add_user", {"name": f"{PREFIX}argon2", "password": "secret"})
    out = save(broker)
    try:
        call("POST", "definitions", out)
        back = ours(call("GET", "definitions"))
        for user in out["users"]:
            user.pop("leveret_credential", None)
        for section in SECTIONS:
            assert entries(back, section) == entries(ours(out), section), section
        again = make_broker()
        assert load(again, back)["errors"] == []
        for section in SECTIONS:
            assert entries(ours(save(again)), section) == entries(back, section), section
        one = call("GET", f"definitions/{PREFIX}shop")
        call("POST", f"definitions/{PREFIX}quorum", save(broker, vhost=f"{PREFIX}shop"))
        two = call("GET", f"definitions/{PREFIX}quorum")
        assert entries(one, "exchanges") == entries(two, "exchanges")
        assert entries(one, "policies") == entries(two, "policies")
    finally:
        for vhost in ("shop", "quorum"):
            call("DELETE", f"vhosts/{PREFIX}{vhost}")
        for user in ("sha256", "sha512", "nopass", "argon2"):
            call("DELETE", f"users/{PREFIX}{user}")
        call("DELETE", f"global-parameters/{quote(PREFIX + 'note')}")
