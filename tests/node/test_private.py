"""Whatever a broker or a command writes can be read by its owner only, whoever may enter the directory."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest

from tests.brokers.process import Server
from tests.clients.command_line import process

PERSISTENT = pika.BasicProperties(delivery_mode=2)


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """Everything would be readable, and writable, by everybody."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A directory that everybody may enter."""
    tmp_path.chmod(0o755)
    data = tmp_path / "data"
    data.mkdir(mode=0o755)
    return data


def leveret(*arguments: str) -> str:
    """What a command prints."""
    result = process(*arguments)
    assert result.returncode == 0, result
    return result.stdout


def open_to_others(directory: Path) -> list[str]:
    """Files in it, and below, that somebody else may read or write."""
    return [
        f"{path.name} {stat.filemode(mode)}"
        for path in sorted(directory.rglob("*"))
        if not stat.S_ISDIR(mode := path.lstat().st_mode) and mode & 0o077
    ]


def publish(server: Server) -> None:
    """A message that is kept."""
    with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("q", durable=True)
        channel.basic_publish("", "q", b"secret", PERSISTENT)


def test_all_that_is_written(data: Path) -> None:
    work = data.parent
    server = Server.start("--data-dir", str(data), "--record", str(work / "recording"))
    publish(server)
    names = {path.name for path in data.iterdir()}
    assert names >= {"leveret.db", "leveret.db-wal", "leveret.db-shm", "leveret.lock", "space-reserve"}
    assert open_to_others(work) == []
    arguments = ("--data-dir", str(data))
    copy = work / "copy"
    copy.mkdir(mode=0o755)
    (work / "messages").touch(0o666)
    leveret("backup", str(copy), *arguments)
    leveret("definitions", "export", str(work / "definitions"), *arguments)
    leveret("messages", "export", "q", str(work / "messages"), *arguments)
    assert json.loads((work / "definitions").read_text())["users"]
    assert b"q" in (work / "messages").read_bytes()
    assert open_to_others(work) == []
    assert server.stop() == 0
    leveret("users", "add", "alice", "secret", "--data-dir", str(work / "made"))
    assert open_to_others(work) == []


def test_what_an_earlier_version_wrote_is_made_private(data: Path) -> None:
    server = Server.start("--data-dir", str(data))
    publish(server)
    server.stop(signal.SIGKILL)
    (data / "leveret.db.damaged-20260101T000000Z").write_bytes(b"old")
    (data / "somebody-elses").write_bytes(b"other")
    for path in data.iterdir():
        path.chmod(0o644)
    server = Server.start("--data-dir", str(data))
    publish(server)
    assert open_to_others(data) == ["somebody-elses -rw-r--r--"]
    assert server.stop() == 0


def test_what_is_rescued(data: Path) -> None:
    server = Server.start("--data-dir", str(data))
    publish(server)
    assert server.stop() == 0
    content = bytearray((data / "leveret.db").read_bytes())
    content[16 * 1024 : 16 * 1024 + 200] = bytes(200)
    (data / "leveret.db").write_bytes(content)
    (data / "leveret.db").chmod(0o644)
    server = Server.start("--data-dir", str(data))
    assert list(data.glob("leveret.db.damaged-*"))
    assert open_to_others(data) == []
    assert server.stop() == 0


def test_a_long_path_to_the_control_socket(tmp_path: Path) -> None:
    data = tmp_path / ("long" * 25)
    data.mkdir(mode=0o755)
    server = Server.start("--data-dir", str(data))
    assert (data / "control.path").exists()
    assert open_to_others(data) == []
    assert server.stop() == 0
