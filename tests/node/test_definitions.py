"""Definitions files with the command line and at the start: those of other versions, and those for another broker."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from pathlib import Path

import pytest

from leveret.auth.passwords import ARGON2, impossible
from leveret.core.access.user import Credential
from leveret.node.config import Config
from leveret.node.node import Node
from tests.brokers.process import Server
from tests.clients.command_line import good, leveret, login, process, refused
from tests.management.test_definitions import SECTIONS
from tests.management.test_versions import NOTES, VERSIONS, file_of, meanings, read, without_what_notes_say

FOR = ("--for", "rabbitmq-4.3")


@pytest.fixture
def data(tmp_path: Path) -> str:
    return str(tmp_path / "data")


def reasons(lines: list[str]) -> list[str]:
    """What notes say, without where."""
    return [line.removeprefix("note: ").partition(": ")[2] for line in lines]


def check_same(version: str, *where: str) -> None:
    """A broker has what is in the file of a version."""
    out = json.loads(good(leveret("definitions", "export", *where)))
    expected = without_what_notes_say(read(version))
    for section in SECTIONS:
        assert meanings(out, section) == meanings(expected, section), section


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_another_version_with_the_command_line(version: str, data: str, tmp_path: Path) -> None:
    where = ("--data-dir", data)
    server = Server.start(*where)
    try:
        before = good(leveret("definitions", "export", *where))
        trial = leveret("definitions", "import", str(file_of(version)), "--dry-run", *where)
        assert good(leveret("definitions", "export", *where)) == before
        result = leveret("definitions", "import", str(file_of(version)), "--atomic", *where)
        assert (result.returncode, result.stdout[:9]) == (0, "Imported ")
        assert trial.stdout == result.stdout.replace("Imported", "Would import")
        assert trial.stderr == result.stderr
        assert reasons(result.stderr.splitlines()) == NOTES[version]
        check_same(version, *where)
        file = tmp_path / "out.json"
        result = leveret("definitions", "export", str(file), *FOR, *where)
        assert result.returncode == 0
        *notes, count = result.stderr.splitlines()
        assert [line for line in notes if not line.startswith("note: ")] == []
        differences = f"{len(notes) or 'no'} difference{'' if len(notes) == 1 else 's'}"
        assert count == f"leveret: {differences} between the file and this broker"
        assert "notes" not in json.loads(file.read_text())
        again = leveret("definitions", "import", str(file), "--data-dir", f"{data}-2")
        assert again.returncode == 0
        assert [line for line in again.stderr.splitlines() if "it is not durable" not in line] == []
    finally:
        server.stop()


@pytest.mark.parametrize("atomic", [(), ("--atomic",)])
def test_a_file_for_a_broker_that_does_not_run(data: str, atomic: tuple[str, ...]) -> None:
    where = ("--data-dir", data)
    result = leveret("definitions", "import", str(file_of("3.8.34")), *atomic, *where)
    assert result.returncode == 0
    transient = "it is not durable, so it only exists while a broker runs; import it into a running broker"
    assert reasons(result.stderr.splitlines()) == [*NOTES["3.8.34"], transient, transient]
    out = json.loads(good(leveret("definitions", "export", *where)))
    assert {queue["name"] for queue in out["queues"]} == {"votes", "lazy.big", "app.in", "balanced"}
    assert len(out["bindings"]) == len(read("3.8.34")["bindings"])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_file_of_another_version_at_the_start(version: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    control = str(tmp_path / "control")
    server = Server.start("--memory", "--control", control, "--definitions", str(file_of(version)), log=log)
    try:
        login(server, "guest", "guest").close()
        check_same(version, "--control", control)
    finally:
        server.stop()
    told = [line for line in log.read_text(encoding="utf-8").splitlines() if "definitions file" in line]
    assert reasons([line.partition(".json: ")[2] for line in told]) == NOTES[version]


def test_an_export_for_another_broker(data: str) -> None:
    where = ("--data-dir", data)
    good(leveret("users", "add", "alice", "secret", *where))
    queue = {"vhost": "/", "name": "q\n\x1b", "arguments": {"x-delivery-limit": 5}}
    exchange = {"vhost": "/", "name": "random", "type": "x-random"}
    binding = {"vhost": "/", "source": "random", "destination": "q\n\x1b", "destination_type": "queue"}
    content = {"queues": [queue], "exchanges": [exchange], "bindings": [{**binding, "routing_key": "k"}]}
    good(process("definitions", "import", "-", *where, stdin=json.dumps(content)))
    result = leveret("definitions", "export", *FOR, *where)
    out = json.loads(result.stdout)
    assert (out["exchanges"], out["bindings"]) == ([], [])
    assert "leveret_credential" not in result.stdout
    assert result.stderr.splitlines() == [
        "note: user 'alice': the password is left out: RabbitMQ 4.3 cannot check a hash of argon2; the user cannot log "
        "in there until you set a new one with `rabbitmqctl change_password`",
        "note: exchange 'random' in virtual host '/': left out: it is of type x-random; RabbitMQ 4.3 supports "
        "it only with the plugin rabbitmq_random_exchange",
        "note: queue 'q\\n\\x1b' in virtual host '/': x-delivery-limit is left out: RabbitMQ 4.3 does not support it "
        "for queues of type classic",
        "note: binding of exchange 'random' to queue 'q\\n\\x1b' with key 'k' in virtual host '/': left out: exchange "
        "'random' is left out as well",
        "leveret: 4 differences between the file and this broker",
    ]
    result = leveret("definitions", "export", *FOR, "--plugin", "rabbitmq_random_exchange", *where)
    assert len(json.loads(result.stdout)["bindings"]) == 1
    assert result.stderr.splitlines()[-1] == "leveret: 2 differences between the file and this broker"
    assert refused(leveret("definitions", "export", "--for", "rabbitmq-1", *where)) == (
        "unknown target 'rabbitmq-1'; choose from rabbitmq-4.3"
    )
    assert leveret("definitions", "export", "--plugin", "x", *where).returncode == 2


def test_a_policy_of_which_nothing_has_an_effect(data: str) -> None:
    result = leveret("policies", "set", "ha", ".*", '{"ha-mode": "all", "max-length": 5}', "--data-dir", data)
    assert (result.returncode, result.stdout) == (0, "Set policy 'ha' in virtual host '/'.\n")
    assert result.stderr == "note: ha-mode is stored and exported, but has no effect here\n"


def test_a_long_verb_at_the_control_socket_is_answered_in_short(tmp_path: Path) -> None:
    control = str(tmp_path / "control")
    server = Server.start("--memory", "--control", control)
    try:
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
            client.connect(control)
            for name in ("verb", "arguments"):
                value = "x" * 20_000_000 if name == "verb" else {"x" * 20_000_000: 1}
                request = {"verb": "list_users", name: value}
                client.sendall(json.dumps(request).encode() + b"\n")
                line = answers.readline()
                assert len(line) < 3000
                assert "did you mean" not in json.loads(line)["error"]
    finally:
        server.stop()


def test_a_password_that_is_too_dear_is_told_at_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async def start() -> None:
        node = Node(Config(memory=True, port=0))
        dear = impossible().hash.replace("m=19456", "m=1572864")
        node.broker.users.put("alice", Credential(ARGON2, dear))
        node.broker.users.put("bob", impossible())
        await node.start()
        await node.stop()

    with caplog.at_level(logging.WARNING, "leveret.node"):
        asyncio.run(start())
    told = [record.getMessage() for record in caplog.records if "password" in record.getMessage()]
    assert told == [
        "user 'alice': its password hash takes too much time or memory to check, so the user cannot log in; "
        "set a new password with `leveret users password`"
    ]


def test_a_configuration_with_many_mistakes_is_answered_with_some(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text("".join(f"key{number} = 1\n" for number in range(1000)))
    result = process("serve", "--config", str(file))
    assert result.returncode == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 21
    assert lines[-1] == f"leveret: there may be more problems in {file}"
    assert len(process("serve", *(f"--option{number}" for number in range(1000))).stderr.splitlines()) == 20
