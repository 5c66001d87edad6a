"""Debian's amqp-tools: command lines in C, over librabbitmq."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from .conftest import BIG

COMMANDS = ("amqp-publish", "amqp-get", "amqp-consume", "amqp-declare-queue", "amqp-delete-queue")
MISSING = [command for command in COMMANDS if shutil.which(command) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)} (Debian: amqp-tools)")


class Tools:
    """Runs the commands against one broker."""

    def __init__(self, url: str) -> None:
        self.url = url.removesuffix("/")  # behind which it would look for a nameless virtual host

    def run(self, command: str, *options: str, said: bytes = b"", code: int = 0) -> bytes:
        """Run a command to its end. Returns: what it printed."""
        words = [f"amqp-{command}", f"--url={self.url}", *options]
        done = subprocess.run(words, input=said, capture_output=True, timeout=60)
        assert done.returncode == code, (done.returncode, done.stderr)
        return done.stderr if code else done.stdout


@pytest.fixture
def tools(amqp_url: str) -> Tools:
    """The commands."""
    return Tools(amqp_url)


@pytest.fixture
def queue(tools: Tools, name: str) -> Iterator[str]:
    """A durable queue, declared and deleted by the commands."""
    assert tools.run("declare-queue", "-q", name, "-d") == name.encode() + b"\n"
    yield name
    tools.run("delete-queue", "-q", name)


def test_publish_and_get(tools: Tools, queue: str) -> None:
    tools.run("publish", "-r", queue, "-p", "-b", "hello")
    tools.run("publish", "-r", queue, said=BIG)
    assert tools.run("get", "-q", queue) == b"hello"
    assert tools.run("get", "-q", queue) == BIG
    tools.run("get", "-q", queue, code=2)  # its way to say that there is nothing


def test_headers_and_properties(tools: Tools, queue: str, amqp_url: str) -> None:
    options = ["-C", "text/plain", "-E", "utf-8", "-t", "back", "-H", "k: v", "-H", "n: 1"]
    tools.run("publish", "-r", queue, "-p", *options, "-b", "x")
    connection: Any = pika.BlockingConnection(pika.URLParameters(amqp_url))
    got = connection.channel().basic_get(queue, auto_ack=True)[1]
    connection.close()
    assert (got.content_type, got.content_encoding, got.reply_to, got.delivery_mode) == (
        "text/plain",
        "utf-8",
        "back",
        2,
    )
    assert {key: value.strip() for key, value in got.headers.items()} == {"k": "v", "n": "1"}


def test_lines_to_a_command_for_each(tools: Tools, queue: str) -> None:
    lines = b"".join(b"line %d\n" % number for number in range(50))
    tools.run("publish", "-r", queue, "-l", said=lines)
    assert tools.run("consume", "-q", queue, "-c", "50", "-p", "5", "cat") == lines
    tools.run("get", "-q", queue, code=2)


def test_a_command_that_fails_leaves_its_message(tools: Tools, queue: str) -> None:
    tools.run("publish", "-r", queue, "-b", "again")
    words = ["amqp-consume", f"--url={tools.url}", "-q", queue, "-c", "1", "false"]
    subprocess.run(words, capture_output=True, timeout=60)
    assert tools.run("get", "-q", queue) in (b"again", b"")


def test_an_exclusive_queue_on_an_exchange(tools: Tools) -> None:
    words = ["amqp-consume", f"--url={tools.url}", "-x", "-e", "amq.topic", "-r", "interop.#", "-c", "1", "cat"]
    consumer = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        for _ in range(100):
            tools.run("publish", "-e", "amq.topic", "-r", "interop.tools", "-b", "there")
            if consumer.poll() is not None:
                break
        assert consumer.communicate(timeout=60)[0] == b"there"
    finally:
        consumer.kill()


def test_a_server_named_queue(tools: Tools) -> None:
    found = tools.run("declare-queue", "-q", "").decode().strip()
    assert found.startswith("amq.gen-")
    tools.run("delete-queue", "-q", found)


def test_refusals(tools: Tools, queue: str) -> None:
    tools.run("publish", "-r", queue, "-b", "x")
    assert b"not empty" in tools.run("delete-queue", "-q", queue, "-e", code=1)
    assert b"server channel error 404" in tools.run("consume", "-q", f"{queue}-missing", "cat", code=1)
    assert b"ACCESS_REFUSED" in Tools(tools.url.replace("guest:guest", "guest:wrong")).run("get", "-q", queue, code=1)
