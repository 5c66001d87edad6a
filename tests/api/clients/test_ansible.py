"""Ansible's community.rabbitmq: its modules that use the HTTP API. The others run rabbitmqctl on the machine."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pytest

from tests.api.clients import installed
from tests.api.http import Http
from tests.api.place import Place

VHOST = "clients.ansible"
CHANGED, SAME = True, False


class Ansible:
    """Runs modules on this machine."""

    def __init__(self, commands: Path, place: Place, home: Path) -> None:
        where = urlsplit(place.api)
        self._commands = commands
        self._home = home
        self._place = {"login_host": where.hostname, "login_port": str(where.port), "vhost": VHOST}

    def run(self, module: str, **options: object) -> bool:
        """Run one, and return whether it says that it has changed something."""
        done = subprocess.run(
            [
                *(self._commands / "ansible", "localhost", "-m", f"community.rabbitmq.rabbitmq_{module}"),
                *("-a", json.dumps({**self._place, **options})),
            ],
            env={
                **os.environ,
                "ANSIBLE_HOME": str(self._home),
                "ANSIBLE_STDOUT_CALLBACK": "ansible.builtin.oneline",
                "ANSIBLE_PYTHON_INTERPRETER": str(self._commands / "python"),
                "LC_ALL": "C.UTF-8",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return "CHANGED" in done.stdout


@pytest.fixture
def ansible(place: Place, tmp_path: Path) -> Ansible:
    """The collection, with what it needs."""
    return Ansible(installed.virtual_environment("ansible", "ansible", "requests"), place, tmp_path)


def test_queues_exchanges_and_bindings(ansible: Ansible, http: Http) -> None:
    http.ask("PUT", f"vhosts/{VHOST}", {}).expect(201)
    http.ask("PUT", f"permissions/{VHOST}/guest", {"configure": ".*", "write": ".*", "read": ".*"}).expect(201, 204)
    queue: dict[str, Any] = {"name": "q/1", "max_length": 10, "message_ttl": 60000, "arguments": {"x-max-priority": 3}}
    assert ansible.run("queue", **queue) is CHANGED
    assert ansible.run("queue", **queue) is SAME
    made = cast(dict[str, Any], http.ask("GET", f"queues/{VHOST}/q%2F1").json)
    assert {**made["arguments"], "x-queue-type": ""} == {
        "x-max-length": 10,
        "x-message-ttl": 60000,
        "x-max-priority": 3,
        "x-queue-type": "",
    }
    for exchange in ({"name": "x", "type": "topic"}, {"name": "inner", "type": "fanout", "internal": True}):
        assert ansible.run("exchange", **exchange) is CHANGED
        assert ansible.run("exchange", **exchange) is SAME
    to_queue = {"name": "x", "destination": "q/1", "destination_type": "queue", "routing_key": "a.#"}
    to_exchange = {"name": "x", "destination": "inner", "destination_type": "exchange", "routing_key": "b/c"}
    for binding in (to_queue, to_exchange):
        assert ansible.run("binding", **binding) is CHANGED
        assert ansible.run("binding", **binding) is SAME
        assert ansible.run("binding", state="absent", **binding) is CHANGED
        assert ansible.run("binding", state="absent", **binding) is SAME
    for module, name in (("exchange", "x"), ("queue", "q/1")):
        assert ansible.run(module, name=name, state="absent") is CHANGED
        assert ansible.run(module, name=name, state="absent") is SAME
    http.ask("DELETE", f"vhosts/{VHOST}").expect(204)
