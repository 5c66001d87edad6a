"""docs/cluster.md: its commands work in order, on a PostgreSQL with a standby."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pika

from tests.brokers.process import Server
from tests.docs.pages import Command, broken_links, steps

PAGE = "cluster.md"
URL = "postgresql://leveret@db.example/leveret"
SET_UP = ("pip ", "createuser ", "createdb ")


def send(server: Server) -> Server:
    """Publish a message that survives."""
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
    return server


def test_every_command(database_url: str, tmp_path: Path) -> None:
    ran = []
    running = send(Server.start("--data-dir", str(tmp_path / "leveret"), "--management-port", "off"))
    for step in steps(PAGE):
        assert isinstance(step, Command)
        if step.text.startswith(SET_UP):
            continue
        words = shlex.split(step.text.replace(URL, database_url).replace("/var/lib", str(tmp_path)))
        ran.append(words[2] if words[1] == "cluster" else words[1])
        if ran[-1] in ("import", "export"):
            assert running.stop() == 0
        if words[1] == "serve":
            running = send(Server.start(*words[2:], "--management-port", "off"))
        else:
            done = subprocess.run(
                [sys.executable, "-m", *words], capture_output=True, text=True, timeout=60, check=False
            )
            assert (done.returncode, "error" in done.stdout) == (0, False), done.stdout + done.stderr
    assert ran == ["init", "check", "import", "serve", "status", "drain", "undrain", "export"]
    back = Server.start("--data-dir", str(tmp_path / "leveret-back"), "--management-port", "off")
    with pika.BlockingConnection(pika.URLParameters(back.url)) as connection:
        assert connection.channel().queue_declare("q", passive=True).method.message_count == 2
    assert back.stop() == 0


def test_links() -> None:
    assert broken_links(PAGE) == []
