"""`rabbitmqadmin`, the script in Python that RabbitMQ had with it until 4.2, of Debian's rabbitmq-server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.api.clients import installed
from tests.api.place import Place

VHOST, USER = "clients.v1", "clients.v1.user"


class Script:
    """Runs the script."""

    def __init__(self, root: Path, place: Place) -> None:
        where = urlsplit(place.api)
        script = next(root.glob("usr/lib/rabbitmq/lib/*/plugins/rabbitmq_management-*/priv/www/cli/rabbitmqadmin"))
        self._words = [sys.executable, str(script), "-H", str(where.hostname), "-P", str(where.port)]

    def run(self, *words: str, code: int = 0, vhost: str = VHOST, password: str = "guest") -> str:
        """Run it, and return what it prints."""
        options = ["-u", "guest", "-p", password, *(["-V", vhost] if vhost else [])]
        done = subprocess.run([*self._words, *options, *words], capture_output=True, text=True, timeout=60)
        assert done.returncode == code, (words, done.stdout + done.stderr)
        return done.stdout

    def table(self, *words: str, vhost: str = VHOST) -> list[list[str]]:
        """The rows that it prints."""
        lines = self.run("-f", "tsv", *words, vhost=vhost).splitlines()
        return [line.split("\t") for line in lines[1:]]


@pytest.fixture
def script(place: Place) -> Script:
    """The script."""
    return Script(installed.debian("rabbitmqadmin", "rabbitmq-server"), place)


def test_all_it_can_do(script: Script, tmp_path: Path) -> None:
    assert len(script.table("show", "overview", vhost="")) == 1
    script.run("declare", "vhost", f"name={VHOST}", vhost="")
    assert [VHOST] in script.table("list", "vhosts", "name", vhost="")
    script.run("declare", "permission", f"vhost={VHOST}", "user=guest", "configure=.*", "write=.*", "read=.*", vhost="")
    assert [VHOST] in script.table("list", "permissions", "vhost", vhost="")
    script.run("declare", "exchange", "name=x", "type=topic")
    assert ["x", "topic"] in script.table("list", "exchanges", "name", "type")
    script.run("declare", "queue", "name=q", "durable=true", 'arguments={"x-max-length":10}')
    assert script.table("list", "queues", "name", "durable", "auto_delete") == [["q", "True", "False"]]
    script.run("declare", "binding", "source=x", "destination=q", "routing_key=a.#")
    assert ["x", "a.#"] in script.table("list", "bindings", "source", "routing_key")

    said = script.run("publish", "exchange=x", "routing_key=a.b", "payload=hello there")
    assert said.strip() == "Message published"
    assert "NOT routed" in script.run("publish", "exchange=x", "routing_key=zzz", "payload=x")
    got: Any = json.loads(script.run("-f", "raw_json", "get", "queue=q", "ackmode=ack_requeue_true"))
    assert got[0]["payload"] == "hello there"
    file = tmp_path / "payload"
    script.run("get", "queue=q", "ackmode=ack_requeue_false", f"payload_file={file}")
    assert file.read_text() == "hello there"
    script.run("purge", "queue", "name=q")

    script.run("declare", "policy", "name=p", "pattern=^q", 'definition={"max-length":5}', "apply-to=queues")
    assert script.table("list", "policies", "name", "apply-to") == [["p", "queues"]]
    script.run("declare", "operator_policy", "name=o", "pattern=^q", 'definition={"expires":900000}')
    assert script.table("list", "operator_policies", "name") == [["o"]]
    script.run("declare", "vhost_limit", f"vhost={VHOST}", "name=max-queues", "value=9", vhost="")
    assert len(script.table("list", "vhost_limits", vhost="")) == 1
    script.run("declare", "user", f"name={USER}", "password=s3cret", "tags=monitoring", vhost="")
    assert [USER, "monitoring"] in script.table("list", "users", "name", "tags", vhost="")

    file = tmp_path / "definitions.json"
    script.run("export", str(file), vhost="")
    exported = json.loads(file.read_text())
    assert ("q", VHOST) in [(queue["name"], queue["vhost"]) for queue in exported["queues"]]
    script.run("delete", "queue", "name=q")
    assert script.table("list", "queues", "name") == []
    script.run("import", str(file), vhost="")
    assert script.table("list", "queues", "name") == [["q"]]

    for kind in ("connections", "channels", "consumers", "nodes", "parameters"):
        script.run("list", kind)
    script.run("delete", "queue", "name=nowhere", code=1)
    script.run("list", "queues", password="wrong", code=1)
    script.run("delete", "policy", "name=p")
    script.run("delete", "operator_policy", "name=o")
    script.run("delete", "exchange", "name=x")
    script.run("delete", "user", f"name={USER}", vhost="")
    script.run("delete", "vhost", f"name={VHOST}", vhost="")
    assert [VHOST] not in script.table("list", "vhosts", "name", vhost="")
