"""Debian's nagios-plugins-rabbitmq: checks in Perl. They keep credentials for RabbitMQ's realm, and for no other."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pika
import pytest

from tests.api.clients import installed
from tests.api.http import Http
from tests.api.place import Place
from tests.clients.waiting import eventually

OK, WARNING, CRITICAL, UNKNOWN = 0, 1, 2, 3
QUEUE = "clients.nagios"


class Checks:
    """Runs the checks."""

    def __init__(self, root: Path, place: Place) -> None:
        self._root = root
        self._libraries = [str(root / "usr/share/perl5"), *map(str, root.glob("usr/lib/*-linux-gnu/perl5/*"))]
        where = urlsplit(place.api)
        self._options = ["-H", str(where.hostname), f"--port={where.port}"]

    def run(self, name: str, *options: str) -> tuple[int, str]:
        """The status of one, and what it prints."""
        command = self._root / "usr/bin" / f"check_rabbitmq_{name}"
        done = subprocess.run(
            ["perl", str(command), *self._options, *options],
            env={**os.environ, "PERL5LIB": os.pathsep.join(self._libraries)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def checks(place: Place, http: Http) -> Iterator[Checks]:
    """The checks, and a queue with two messages."""
    root = installed.debian("nagios-plugins-rabbitmq", "nagios-plugins-rabbitmq", with_needs=True)
    http.ask("PUT", f"queues/%2F/{QUEUE}", {"durable": True}).expect(201)
    body = {"properties": {}, "routing_key": QUEUE, "payload": "x", "payload_encoding": "string"}
    for _ in range(2):
        http.ask("POST", "exchanges/%2F/amq.default/publish", body).expect(200)
    yield Checks(root, place)
    http.ask("DELETE", f"queues/%2F/{QUEUE}").expect(204)


def expect(found: tuple[int, str], status: int, *texts: str) -> None:
    """Fail unless a check has said that."""
    assert found[0] == status, found
    for text in texts:
        assert text in found[1], found


def test_the_node(checks: Checks, place: Place) -> None:
    with pika.BlockingConnection(pika.ConnectionParameters(place.host, place.port)):  # it wants one socket
        limits = "80,80,80,80"
        expect(checks.run("server", "--node=localhost", "-w", limits, "-c", limits), OK, "Memory", "FD", "Sockets")
    expect(checks.run("watermark", "--node=localhost"), OK)
    expect(checks.run("partition", "--node=localhost"), OK)
    expect(checks.run("server", "--node=elsewhere", "-w", "99,99,99,99", "-c", "99,99,99,99"), UNKNOWN, "Not found")


def test_totals(checks: Checks) -> None:
    eventually(lambda: "messages=2" in checks.run("overview")[1])  # it has what the last sample had
    expect(checks.run("overview"), OK, "messages_ready=2")
    expect(checks.run("overview", "-w", "1,1,1", "-c", "1,1,1"), CRITICAL)
    expect(checks.run("objects"), OK, "queue=0", "exchange=6")  # it counts one too few
    expect(checks.run("connections"), OK)
    expect(checks.run("aliveness"), OK, "OK")


def test_a_queue(checks: Checks) -> None:
    expect(checks.run("queue", f"--queue={QUEUE}"), OK, "messages=2")
    expect(checks.run("queue", f"--queue={QUEUE}", "-w", "1", "-c", "1"), CRITICAL)
    expect(checks.run("queue", "--queue=nowhere"), CRITICAL)


def test_a_wrong_password(checks: Checks) -> None:
    expect(checks.run("overview", "-p", "wrong"), CRITICAL, "Access Refused")
