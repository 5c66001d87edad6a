"""docs/cluster.md: its commands work in order, on a PostgreSQL with a standby."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pika

from tests.brokers.process import Server
from tests.docs.pages import Command, broken_links, steps

PAGE = "cluster.md"
URL = "postgresql://leveret@db.example/leveret"
SET_UP = ("pip ", "createuser ", "createdb ")


def test_every_command(database_url: str) -> None:
    ran = []
    for step in steps(PAGE):
        assert isinstance(step, Command)
        if step.text.startswith(SET_UP):
            continue
        words = shlex.split(step.text.replace(URL, database_url))
        ran.append(words[1])
        if words[1] == "serve":
            server = Server.start(*words[2:], "--management-port", "off")
            channel = pika.BlockingConnection(pika.URLParameters(server.url)).channel()
            channel.confirm_delivery()
            channel.queue_declare("q", durable=True)
            channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
            assert server.stop() == 0
        else:
            done = subprocess.run(
                [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, check=False
            )
            assert (done.returncode, "error" in done.stdout) == (0, False), done.stdout + done.stderr
    assert ran == ["cluster", "cluster", "serve"]


def test_links() -> None:
    assert broken_links(PAGE) == []
