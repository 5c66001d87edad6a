"""leveret backup and leveret check, with a broker at work and without."""

from __future__ import annotations

import resource
import sqlite3
from contextlib import closing
from pathlib import Path

import pika
import pytest

from leveret.store.database import FILE_NAME
from leveret.store.schema import PAGE_BYTES
from tests.brokers.process import Server
from tests.clients.command_line import Result, leveret, process

PERSISTENT = pika.BasicProperties(delivery_mode=2)


def run(*arguments: str) -> Result:
    """A command."""
    return leveret(*arguments)


def publish(server: Server, first: int, count: int) -> None:
    """Confirmed messages with the numbers from first on."""
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    for number in range(first, first + count):
        channel.basic_publish("", "q", b"%d" % number, PERSISTENT)
    connection.close()


def bodies(server: Server) -> list[int]:
    """What is in the queue."""
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    found = []
    while (body := channel.basic_get("q", auto_ack=True)[2]) is not None:
        found.append(int(body))
    connection.close()
    return found


@pytest.mark.parametrize("is_running", [True, False])
def test_a_copy_is_of_one_moment(server: Server, tmp_path: Path, is_running: bool) -> None:
    data, copy = str(tmp_path / "data"), str(tmp_path / "copies" / "copy")
    publish(server, 0, 50)
    if not is_running:
        assert server.stop() == 0
    result = run("backup", copy, "--data-dir", data)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"Copied '{data}' to '{copy}': ")
    if is_running:
        publish(server, 50, 10)
    checked = run("check", "--data-dir", copy)
    assert checked.returncode == 0
    assert "50 messages" in checked.stdout
    assert checked.stdout.endswith(f"No damage in '{copy}'.\n")
    other = Server.start("--data-dir", copy)
    try:
        assert bodies(other) == list(range(50))
    finally:
        assert other.stop() == 0
    if is_running:
        assert bodies(server) == list(range(60))


def test_a_copy_replaces_nothing(server: Server, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    assert run("backup", str(tmp_path / "copy"), "--data-dir", data).returncode == 0
    again = run("backup", str(tmp_path / "copy"), "--data-dir", data)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == f"leveret: there is data in '{tmp_path / 'copy'}' already; choose another directory\n"
    (tmp_path / "file").write_text("")
    into_a_file = run("backup", str(tmp_path / "file"), "--data-dir", data)
    assert into_a_file.returncode == 1
    assert into_a_file.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [("backup", "copy"), ("check",)])
def test_without_data(tmp_path: Path, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*command, "--data-dir", "nowhere")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "leveret: there is no data in 'nowhere'; choose the data directory with --data-dir\n"
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "data"
    publish(server, 0, 20)
    server.stop()
    with closing(sqlite3.connect(data / FILE_NAME)) as sql, sql:
        sql.execute("UPDATE chunks SET data = x'00' WHERE id = (SELECT min(id) FROM chunks)")
    result = run("check", "--data-dir", str(data))
    assert result.returncode == 1
    first, last = result.stderr.splitlines()
    assert first.startswith(f"{data}: chunk ")
    assert first.endswith("checksum does not match")
    assert last.startswith("leveret: some data is damaged")
    assert "19 messages" in result.stdout


def test_a_file_that_is_damaged_itself(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "data"
    publish(server, 0, 200)
    server.stop()
    content = bytearray((data / FILE_NAME).read_bytes())
    content[len(content) // 2 :] = bytes(len(content) - len(content) // 2)
    (data / FILE_NAME).write_bytes(content)
    result = run("check", "--data-dir", str(data))
    assert result.returncode == 1
    assert "the file: " in result.stderr
    assert result.stderr.splitlines()[-1].startswith("leveret: the database file is damaged; the next start copies")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("page", [1, 6])  # the first, and the one above all chunks
def test_a_broker_starts_from_what_is_left(server: Server, tmp_path: Path, page: int) -> None:
    data = tmp_path / "data"
    publish(server, 0, 300)
    server.stop()
    with (data / FILE_NAME).open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xff" * PAGE_BYTES)
    checked = run("check", "--data-dir", str(data))
    assert checked.returncode == 1
    assert checked.stderr.splitlines()[-1].startswith("leveret: the database file is damaged; the next start copies")
    assert not list(data.glob(f"{FILE_NAME}.damaged-*"))
    for start in range(2):
        server = Server.start("--data-dir", str(data))
        try:
            assert len(list(data.glob(f"{FILE_NAME}.damaged-*Z"))) == 1
            connection = pika.BlockingConnection(pika.URLParameters(server.url))
            channel = connection.channel()
            got = [channel.basic_get("q", auto_ack=start == 1) for _ in range(300)]
            assert [int(body) for _, _, body in got] == list(range(300))
            assert all(method.redelivered for method, _, _ in got)
            assert channel.basic_get("q")[0] is None
            connection.close()
        finally:
            assert server.stop() == 0
    assert "No damage" in run("check", "--data-dir", str(data)).stdout


def test_no_room_for_what_can_be_read(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "data"
    publish(server, 0, 300)
    server.stop()
    with (data / FILE_NAME).open("r+b") as file:
        file.write(bytes(100))
    before = {path.name: path.read_bytes() for path in data.iterdir()}
    result = process(
        *("serve", "--port", "0", "--data-dir", str(data)),
        prepare=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000)),
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "cannot be copied beside it" in result.stderr.splitlines()[-1]
    assert {path.name: path.read_bytes() for path in data.iterdir()} == before
