"""docs/upgrade.md: each command is run, in order; its texts are those of a broker; its worker outlives a restart."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.store.schema import COUNTS, FORMAT, OLDEST_FORMAT, version_of
from tests.clients.command_line import leveret, process
from tests.docs.machine import Machine, running
from tests.docs.pages import Command, File, blocks, broken_links, steps

PAGE = "upgrade.md"
PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A server with a broker that runs."""
    with running(tmp_path) as found:
        found.start()
        yield found


def connect(machine: Machine) -> Any:
    """A connection as guest."""
    return pika.BlockingConnection(pika.URLParameters(machine.url))


def publish(machine: Machine, count: int) -> None:
    """Orders with a number, each confirmed."""
    with connect(machine) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("orders", durable=True)
        for number in range(count):
            channel.basic_publish("", "orders", b"order %d" % number, PERSISTENT)


def set_format(machine: Machine, number: int) -> None:
    """Let the data of a stopped broker look like that of another version."""
    sql = sqlite3.connect(machine.root / "data" / "leveret.db")
    if number < FORMAT:
        assert COUNTS.startswith("CREATE TABLE counts ")
        sql.execute("DROP TABLE counts")
    sql.execute(f"PRAGMA user_version={number}")
    sql.commit()
    sql.close()


def read_format(machine: Machine) -> int:
    """Whose data it looks like."""
    sql = sqlite3.connect(machine.root / "data" / "leveret.db")
    try:
        return version_of(sql)
    finally:
        sql.close()


def rows(machine: Machine) -> list[str]:
    """All that is in the data."""
    sql = sqlite3.connect(machine.root / "data" / "leveret.db")
    try:
        return list(sql.iterdump())
    finally:
        sql.close()


def test_every_command(machine: Machine) -> None:
    publish(machine, 3)
    (machine.root / "root" / "shop.json").write_text(blocks(PAGE, "json")[0])
    ran = 0
    for step in steps(PAGE):
        if isinstance(step, Command) and "pip install" not in step.text:
            machine.run(step)
            ran += 1
    assert ran > 14
    with connect(machine) as connection:
        assert connection.channel().queue_declare("late", durable=True, passive=True).method.message_count == 0
    policies = leveret("queues", "list", "--columns", "name,policy", "--data-dir", str(machine.root / "data"))
    assert "orders\tshort" in policies.stdout


def test_data_of_other_versions(machine: Machine) -> None:
    publish(machine, 1)
    machine.stop()
    data = str(machine.root / "data")
    set_format(machine, OLDEST_FORMAT)
    assert leveret("check", "--data-dir", data).returncode == 0
    assert leveret("backup", "--data-dir", data, str(machine.root / "copy")).returncode == 0
    assert read_format(machine) == OLDEST_FORMAT
    machine.start()
    with connect(machine) as connection:
        assert connection.channel().basic_get("orders")[2] == b"order 0"
    machine.stop()
    assert read_format(machine) == FORMAT

    set_format(machine, FORMAT + 1)
    before = rows(machine)
    refused = process("serve", "--data-dir", data, "--port", "0", "--management-port", "off")
    assert refused.returncode == 2
    assert refused.stderr == machine.here(blocks(PAGE, "text")[0])
    assert (rows(machine), read_format(machine)) == (before, FORMAT + 1)


def test_a_worker_outlives_a_restart(machine: Machine) -> None:
    (program,) = (step for step in steps(PAGE) if isinstance(step, File))
    path = machine.root / program.name
    path.write_text(machine.here(program.content))
    worker = subprocess.Popen([sys.executable, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert worker.stdout is not None
        for is_last in (False, True):
            publish(machine, 2)
            assert [worker.stdout.readline() for _ in range(2)] == ["order 0\n", "order 1\n"]
            if not is_last:
                machine.systemctl("restart")
    finally:
        worker.kill()
        complaints = worker.communicate()[1]
    assert complaints == ""


def test_what_clients_see(machine: Machine) -> None:
    connection = connect(machine)
    url = machine.url
    assert machine.server is not None
    machine.server.process.terminate()
    with pytest.raises(pika.exceptions.ConnectionClosedByBroker) as closed:
        connection.process_data_events(5)
    assert f"{closed.value!r}\n" == blocks(PAGE, "text")[1]
    machine.server.process.wait(30)
    with pytest.raises(pika.exceptions.AMQPConnectionError) as refused:
        pika.BlockingConnection(pika.URLParameters(url))
    assert "ConnectionRefusedError" in repr(refused.value)


def test_links() -> None:
    assert broken_links(PAGE) == []
