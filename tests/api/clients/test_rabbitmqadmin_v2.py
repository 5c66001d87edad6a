"""`rabbitmqadmin` 2, RabbitMQ's command line over HTTP, as Debian has it: every command it has."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import pika
import pytest

from tests.api.clients import installed
from tests.api.clients import rabbitmqadmin_commands as commands
from tests.api.clients.rabbitmqadmin_commands import CLIENT, VHOST, Command
from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually

OF_ITSELF = {"config_file", "shell", "tanzu"}
"""Commands that ask no broker, or only one that RabbitMQ's owners sell."""
SECTION = re.compile(r"^Commands:\n(.*?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)


class Client:
    """Runs commands. It has the C library of its own release with it."""

    def __init__(self, root: Path) -> None:
        libraries = next(root.glob("usr/lib/*-linux-gnu"))
        loader = next(libraries.glob("ld-linux*"))
        self._words = [str(loader), "--library-path", str(libraries), str(root / "usr/bin/rabbitmqadmin")]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one, to its end."""
        return subprocess.run([*self._words, *words], capture_output=True, text=True, timeout=60)

    def all_commands(self, *path: str) -> Iterator[str]:
        """Those that it says it has."""
        section = SECTION.search(self.run(*path, "--help").stdout)
        if section is None:
            yield " ".join(path)
            return
        for name in re.findall(r"^  (\w+)", section[1], re.MULTILINE):
            if name != "help" and name not in OF_ITSELF:
                yield from self.all_commands(*path, name)


@pytest.fixture(scope="module")
def client() -> Client:
    """The client."""
    packages = ("rabbitmqadmin-ng", "libc6", "libgcc-s1", "libmimalloc3")
    return Client(installed.debian("rabbitmqadmin-ng", *packages, suite="sid"))


class Session:
    """Runs commands against one broker, and writes down what is not as it should be."""

    def __init__(self, client: Client, api: str, names: Mapping[str, object]) -> None:
        where = urlsplit(api)
        self._client = client
        self._options = ["-H", str(where.hostname), "-P", str(where.port), "-u", "guest", "-p", "guest"]
        self._names = names
        self.passed = 0
        self.faults: list[str] = []

    def run(self, *groups: list[Command], **names: str) -> None:
        """Run them, one after the other."""
        known = {**self._names, **names}
        for command in (command for group in groups for command in group):
            words = shlex.split(command.words.format(**known))
            done = self._client.run(*self._options, "--vhost", command.vhost, *words)
            said = done.stdout + done.stderr
            shows = [text.format(**known) for text in command.shows]
            is_right = (
                bool(done.returncode) == bool(command.code)
                and all(text in said for text in shows)
                and not any(text in said for text in command.lacks)
            )
            self.passed += is_right
            if not is_right:
                self.faults.append(f"{command.words}: {done.returncode}, {said.strip()[-600:]}")


def test_every_command_does_what_it_says(client: Client, place: Place, http: Http, tmp_path: Path) -> None:
    node = cast(dict[str, Any], http.ask("GET", "overview").json)["node"]
    session = Session(client, place.api, {"node": node, "port": place.port, "folder": tmp_path})
    session.run(commands.MAKING, commands.MESSAGES)
    parameters = pika.ConnectionParameters(place.host, place.port, VHOST, client_properties={"connection_name": CLIENT})
    connection = pika.BlockingConnection(parameters)  # which the client will close
    connection.channel().basic_consume("classic", lambda *_: None, consumer_tag="of-clients-v2")
    eventually(lambda: name_of_client(http))
    session.run(commands.CLIENTS, connection=name_of_client(http))
    session.run(commands.POLICIES, commands.PARAMETERS, commands.SHOVELS)
    session.run(commands.LOOKING, commands.DEFINITIONS, commands.DELETING)
    assert session.faults == []
    assert session.passed > 200


def name_of_client(http: Http) -> str:
    """What the broker calls the connection of the client; nothing as long as that is not to be seen."""
    found = cast(list[dict[str, Any]], http.ask("GET", "connections").json)
    return next((each["name"] for each in found if each["client_properties"].get("connection_name") == CLIENT), "")


def test_no_command_is_left_out(client: Client) -> None:
    groups = (
        *(commands.MAKING, commands.MESSAGES, commands.CLIENTS, commands.POLICIES, commands.PARAMETERS),
        *(commands.SHOVELS, commands.LOOKING, commands.DEFINITIONS, commands.DELETING),
    )
    told = {" ".join(command.words.split()[:2]) for group in groups for command in group}
    assert set(client.all_commands()) - told == set()
