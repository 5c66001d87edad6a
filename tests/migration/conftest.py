"""Two brokers, and a virtual host of each test in the one that messages are taken from."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from tests.clients.administration import ManagementApi
from tests.clients.command_line import Result, leveret
from tests.migration.houses import House, LeveretHouse

_numbers = itertools.count(1)


class Taken(NamedTuple):
    """A message."""

    exchange: str
    key: str
    properties: pika.BasicProperties
    body: bytes


@dataclass
class Pair:
    """Two brokers. vhost: of this test, and known only to the source at first. old: a channel there, with confirms.

    api, new_api: of the source and the target.
    """

    source: House
    target: House
    directory: Path
    vhost: str

    def __post_init__(self) -> None:
        self._connections: list[pika.BlockingConnection] = []
        self.api, self.new_api = (ManagementApi(each.api.replace("guest:guest@", "")) for each in self._houses)
        self.api.make_vhost(self.vhost, "")
        self.api.permit("guest", self.vhost)
        self.old = self.channel(self.source)
        self.old.confirm_delivery()

    @property
    def _houses(self) -> tuple[House, House]:
        return self.source, self.target

    def channel(self, house: House) -> BlockingChannel:
        """A channel to the virtual host."""
        credentials = pika.PlainCredentials("guest", "guest")
        parameters = pika.ConnectionParameters("127.0.0.1", house.port, self.vhost, credentials)
        self._connections.append(pika.BlockingConnection(parameters))
        return self._connections[-1].channel()

    def take(self, queue: str, at: House | None = None) -> list[Taken]:
        """All messages of a queue at the target, or elsewhere, which are gone then."""
        channel = self.channel(at or self.target)
        found: list[Taken] = []
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append(Taken(method.exchange, method.routing_key, properties, body))

    def migrate(self, *options: str) -> Result:
        """Run the command for the virtual host."""
        places = [*self.source.options("from"), *self.target.options("to")]
        journal = ("--journal", str(self.directory / "journal"))
        return leveret("migrate", *places, "--vhost", self.vhost, *journal, *options)

    def report(self, *options: str, status: int = 0) -> dict[str, Any]:
        """What it reports."""
        result = self.migrate("--json", *options)
        assert result.returncode == status, (result.stdout, result.stderr)
        found = json.loads(result.stdout)
        assert isinstance(found, dict)
        return found

    def close(self) -> None:
        """Let go of it."""
        for connection in self._connections:
            with contextlib.suppress(AMQPError):
                connection.close()
        for api in (self.api, self.new_api):
            if any(each["name"] == self.vhost for each in api.get("vhosts")):
                api.remove_vhost(self.vhost)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[House, House]]:
    """Two brokers that run."""
    directory = tmp_path_factory.mktemp("houses")
    found = (LeveretHouse(directory / "old"), LeveretHouse(directory / "new"))
    for house in found:
        house.start()
        house.wait()
    yield found
    for house in found:
        house.stop()


@pytest.fixture
def pair(houses: tuple[House, House], tmp_path: Path) -> Iterator[Pair]:
    """Them, with a virtual host."""
    found = Pair(*houses, tmp_path, f"move-{os.getpid():x}-{next(_numbers)}")
    yield found
    found.close()
