"""docs/backup.md: each command is run, in order, and prints what the page shows; what it promises is in the copy."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.clients.command_line import leveret
from tests.docs.machine import PASSWORD, Machine, running
from tests.docs.pages import ROOT, Command, blocks, broken_links, steps

PAGE = "backup.md"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A server with a broker at work, with an administrator and three orders."""
    with running(tmp_path) as found:
        data = str(tmp_path / "data")
        for words in (
            ("users", "add", "admin", PASSWORD, "--tag", "administrator"),
            ("permissions", "set", "admin", ".*", ".*", ".*"),
        ):
            assert leveret(*words, "--data-dir", data).returncode == 0
        found.start()
        yield found


def connect(machine: Machine) -> Any:
    """A connection as guest."""
    return pika.BlockingConnection(pika.URLParameters(machine.url))


def test_every_command(machine: Machine) -> None:
    connection = connect(machine)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("orders", durable=True)
    channel.queue_declare("passing")
    for number in range(3):
        channel.basic_publish("", "orders", b"order %d" % number, PERSISTENT)
    channel.basic_publish("", "passing", b"lost", PERSISTENT)
    channel.basic_publish("", "orders", b"transient")
    assert channel.basic_get("orders")[2] == b"order 0"  # unacknowledged

    ran = starts = 0
    for step in steps(PAGE):
        assert isinstance(step, Command)
        if step.text == "systemctl stop leveret" and connection.is_open:
            channel.basic_publish("", "orders", b"newer", PERSISTENT)
            connection.close()
        if step.text == "install -d /etc/leveret":
            a_new_machine_takes_over(machine)
        machine.run(step)
        ran += 1
        if step.text in ("systemctl start leveret", "systemctl enable --now leveret"):
            starts += 1
            the_copy_is_back(machine)
    assert ran > 20
    assert starts == 2
    old = leveret("messages", "export", "orders", "--data-dir", str(machine.root / "data.old"))
    assert '"body": "bmV3ZXI="' in old.stdout, old
    for name in ("definitions.json", "leveret-monday.tar.gz"):
        assert (machine.root / "root" / name).exists()
    assert (machine.root / "root" / "definitions.json").stat().st_mode & 0o077 == 0
    assert (machine.root / "backups" / "monday").stat().st_mode & 0o077 == 0


def a_new_machine_takes_over(machine: Machine) -> None:
    machine.stop()
    for name in ("data", "etc"):
        (machine.root / name).rename(machine.root / f"{name}.of-the-first")


def the_copy_is_back(machine: Machine) -> None:
    connection = connect(machine)
    channel = connection.channel()
    found = [channel.basic_get("orders") for _ in range(4)]
    assert [body for _, _, body in found] == [b"order 0", b"order 1", b"order 2", None]
    assert all(method.redelivered for method, _, body in found if body is not None)
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'passing'"):
        channel.queue_declare("passing", passive=True)
    connection.close()


def test_every_night(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    assert leveret("users", "delete", "guest", "--data-dir", str(tmp_path / "data")).returncode == 0
    (block,) = blocks(PAGE, "sh")
    found = re.fullmatch(r"PATH=/usr/local/bin:/usr/bin:/bin\n30 3 \* \* \* root (.*)\n", block)
    assert found is not None
    line = machine.here(found[1]).replace("\\%", "%")
    line = line.replace("leveret backup", f"{sys.executable} -m leveret backup", 1)
    backups = machine.root / "backups"
    for age in (13, 15):
        (backups / f"{age} days").mkdir(parents=True)
        os.utime(backups / f"{age} days", (time.time() - age * 86400 - 7200,) * 2)
    subprocess.run(line, shell=True, check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
    today = datetime.now(UTC).astimezone().strftime("%Y-%m-%d")
    assert sorted(path.name for path in backups.iterdir()) == sorted(["13 days", today])


def test_links() -> None:
    assert broken_links(PAGE) == []
