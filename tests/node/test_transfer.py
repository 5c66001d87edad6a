"""leveret messages export and import, with brokers and commands as real processes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from leveret.store.database import FILE_NAME
from tests.brokers.process import Server
from tests.clients.command_line import Result, leveret, surroundings
from tests.clients.methods import QueueDeclare
from tests.clients.peer import Peer
from tests.node.test_administration_page import PAGE

PERSISTENT = pika.BasicProperties(delivery_mode=2)
MIB = 1 << 20
BLOCK = 1000  # messages in one write
Start = Callable[..., Server]
Run = Callable[..., Result]
Popen = Callable[..., "subprocess.Popen[Any]"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def start(data: Path) -> Iterator[Start]:
    """Starts brokers on one data directory; the last one is stopped in the end."""
    servers: list[Server] = []

    def call(*options: str) -> Server:
        servers.append(Server.start("--data-dir", str(data), *options))
        return servers[-1]

    yield call
    servers[-1].stop()


@pytest.fixture
def run(data: Path) -> Run:
    """Runs a command on the data directory, in this process."""
    return lambda *arguments, **options: leveret(*arguments, "--data-dir", str(data), **options)


@pytest.fixture
def popen(data: Path) -> Iterator[Popen]:
    """Starts a command on the data directory as a process, of which nothing is left at the end."""
    with contextlib.ExitStack() as processes:

        def call(*arguments: str, **options: Any) -> subprocess.Popen[Any]:
            command = [sys.executable, "-m", "leveret", *arguments, "--data-dir", str(data)]
            process = subprocess.Popen(command, **{"stderr": subprocess.PIPE, "env": surroundings(), **options})
            processes.enter_context(process)
            processes.callback(process.kill)
            return process

        yield call


def connect(server: Server) -> pika.BlockingConnection:
    """A client."""
    return pika.BlockingConnection(pika.URLParameters(server.url))


def fill(server: Server, queue: str, count: int, size: int = 0, **arguments: Any) -> None:
    """Make a queue with confirmed persistent messages that begin with their numbers."""
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.call(QueueDeclare(queue=queue, durable=True, arguments=arguments))
    for begin in range(0, count, BLOCK):
        numbers = range(begin, min(begin + BLOCK, count))
        channel.publish(queue, *[(b"%d " % number).ljust(size, b"x") for number in numbers], delivery_mode=2)
    channel.confirm()
    channel.confirmed(queue, b"%d " % count, delivery_mode=2)
    peer.close()


def rows(result: Result) -> list[dict[str, Any]]:
    """The lines of an export."""
    return [json.loads(line) for line in result.stdout.splitlines()]


def numbers(lines: list[dict[str, Any]]) -> list[int]:
    """What fill() gave them."""
    return [int(base64.b64decode(line["body"]).split(b" ")[0]) for line in lines]


def ageless(lines: str) -> str:
    """Lines without the time of arrival: what is imported arrives anew."""
    return re.sub(r'"arrived_ms": \d+, ', "", lines)


def drain(channel: BlockingChannel, queue: str) -> list[tuple[int, bool]]:
    """Take all messages. Returns: number and redelivered flag of each."""
    found: list[tuple[int, bool]] = []
    while True:
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method is None:
            return found
        found.append((int(body.split(b" ")[0]), method.redelivered))


# -- export


def test_an_export_changes_nothing(start: Start, run: Run, data: Path) -> None:
    server = start()
    fill(server, "q", 99)
    connection = connect(server)
    channel = connection.channel()
    held = [channel.basic_get("q")[0] for _ in range(3)]
    first, again = run("messages", "export", "q"), run("messages", "export", "q")
    assert first == again
    assert first.returncode == 0
    assert first.stderr == "Exported 97 messages from queue 'q'; skipped: 3 unacknowledged.\n"
    assert numbers(rows(first)) == list(range(3, 100))
    arrived_ms = rows(first)[0]["arrived_ms"]
    assert abs(arrived_ms / 1000 - time.time()) < 600
    assert rows(first)[0] == {
        "exchange": "",
        "routing_key": "q",
        "arrived_ms": arrived_ms,
        "properties": {"delivery_mode": 2},
        "body": base64.b64encode(b"3 ").decode(),
    }
    channel.basic_nack(held[2].delivery_tag)
    back = run("messages", "export", "q")
    assert numbers(rows(back)) == list(range(2, 100))
    assert [line.get("redelivered") for line in rows(back)][:2] == [True, None]
    connection.close()
    channel = connect(server).channel()
    assert drain(channel, "q") == [(number, number < 3) for number in range(100)]


def test_a_stopped_broker(start: Start, run: Run, data: Path, tmp_path: Path) -> None:
    server = start()
    fill(server, "q", 99)
    fill(server, "other", 9)
    running = run("messages", "export", "q")
    assert server.stop() == 0
    stopped = run("messages", "export", "q", str(tmp_path / "lines"))
    assert (stopped.returncode, stopped.stdout) == (0, "")
    assert stopped.stderr == "Exported 100 messages from queue 'q'.\n"
    assert (tmp_path / "lines").read_text() == running.stdout
    assert (tmp_path / "lines").stat().st_mode & 0o777 == 0o600
    channel = connect(start()).channel()
    assert drain(channel, "q") == [(number, False) for number in range(100)]  # the end was clean, and still is


def test_a_killed_broker(start: Start, run: Run) -> None:
    server = start()
    fill(server, "q", 49)
    connection = connect(server)
    channel = connection.channel()
    channel.basic_ack(channel.basic_get("q")[0].delivery_tag)
    channel.queue_declare("sync", durable=True)  # answered when the ack is on disk
    server.stop(signal.SIGKILL)
    lines = rows(run("messages", "export", "q"))
    assert numbers(lines) == list(range(1, 50))
    assert all(line["redelivered"] for line in lines)
    assert drain(connect(start()).channel(), "q") == [(number, True) for number in range(1, 50)]


def test_a_backlog_at_rest(start: Start, run: Run, data: Path) -> None:
    server = start("--memory-budget", str(2 * MIB))
    fill(server, "q", 29_999, 1000)
    connection = connect(server)
    channel = connection.channel()
    assert [channel.basic_get("q")[2].split()[0] for _ in range(500)] == [b"%d" % number for number in range(500)]
    connection.close()  # 500 come back
    before = _resident(server)
    assert run("messages", "export", "q", str(data / "lines")).stderr == "Exported 30000 messages from queue 'q'.\n"
    assert _resident(server) < before + 16 * MIB
    lines = (data / "lines").read_bytes().splitlines()
    assert numbers([json.loads(line) for line in lines]) == list(range(30_000))
    assert server.stop() == 0
    assert run("messages", "export", "q", str(data / "again")).returncode == 0
    start("--memory-budget", str(2 * MIB))  # nothing of it needs to be in memory after this start
    assert run("messages", "export", "q", str(data / "once more")).returncode == 0
    after = [json.loads(line) for line in (data / "again").read_bytes().splitlines()]
    assert numbers(after) == list(range(30_000))
    assert [line.get("redelivered", False) for line in after] == [number < 500 for number in range(30_000)]
    assert (data / "once more").read_bytes() == (data / "again").read_bytes()


def _resident(server: Server) -> int:
    """Bytes of memory at most since the last call."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    Path(f"/proc/{server.process.pid}/clear_refs").write_text("5")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def test_priorities(start: Start, run: Run) -> None:
    server = start()
    connection = connect(server)
    channel = connection.channel()
    channel.queue_declare("q", durable=True, arguments={"x-max-priority": 9})
    channel.confirm_delivery()
    for number in range(200):
        properties = pika.BasicProperties(delivery_mode=2, priority=number * 7 % 12)
        channel.basic_publish("", "q", b"%d " % number, properties)
    running = run("messages", "export", "q")
    wanted = sorted(range(200), key=lambda number: (-min(number * 7 % 12, 9), number))
    assert numbers(rows(running)) == wanted
    server.stop()
    assert run("messages", "export", "q").stdout == running.stdout


def test_consumers_go_on(start: Start, run: Run, data: Path) -> None:
    server = start("--memory-budget", str(MIB))
    fill(server, "q", 14_999, 500)
    got: list[tuple[int, bool]] = []

    def consume() -> None:
        channel = connect(server).channel()
        channel.basic_qos(prefetch_count=100)
        for method, _, body in channel.consume("q", inactivity_timeout=60):
            if method is None:
                return
            got.append((int(body.split(b" ")[0]), method.redelivered))
            channel.basic_ack(method.delivery_tag)
            if len(got) == 15_000:
                return

    consumer = threading.Thread(target=consume)
    consumer.start()
    exported = 0
    while len(got) < 14_000:
        at_first = len(got)
        result = run("messages", "export", "q")
        found = numbers(rows(result))
        assert found == sorted(set(found))
        assert not found or found[0] >= at_first
        untouched = len(got) + 100  # from here on all were ready until now
        assert [number for number in found if number >= untouched] == list(range(untouched, 15_000))
        exported += 1
    consumer.join()
    assert exported > 1
    assert got == [(number, False) for number in range(15_000)]


def test_what_comes_in_meanwhile_is_not_waited_for(start: Start, popen: Popen) -> None:
    server = start()
    fill(server, "q", 4_999)
    process = popen("messages", "export", "q", stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()  # its pages wait for us now
    fill(server, "q", 0)
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    assert process.wait(60) == 0
    assert numbers([json.loads(line) for line in (first + out).splitlines()]) == list(range(5000))
    assert err == b"Exported 5000 messages from queue 'q'.\n"


def test_expired_and_transient_messages(start: Start, run: Run) -> None:
    server = start()
    channel = connect(server).channel()
    channel.queue_declare("q", durable=True)
    channel.confirm_delivery()
    channel.basic_publish("", "q", b"0 ", PERSISTENT)
    for number in (1, 2, 3):
        channel.basic_publish(
            "", "q", b"%d " % number, pika.BasicProperties(expiration="1", delivery_mode=number % 2 + 1)
        )
    channel.basic_publish("", "q", b"4 ")
    time.sleep(0.1)
    result = run("messages", "export", "q")
    assert numbers(rows(result)) == [0, 4]
    assert result.stderr == "Exported 2 messages from queue 'q'; skipped: 3 expired.\n"
    server.stop()
    stopped = run("messages", "export", "q")
    assert numbers(rows(stopped)) == [0]
    assert stopped.stderr == "Exported 1 message from queue 'q'; skipped: 2 expired.\n"


def test_who_reads_may_have_enough(start: Start, data: Path) -> None:
    fill(start(), "q", 9_999, 200)
    command = f"{sys.executable} -m leveret messages export q --data-dir {data} | head -n 2"
    result = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=True)
    assert numbers([json.loads(line) for line in result.stdout.splitlines()]) == [0, 1]
    assert result.stderr == ""


def test_a_full_disk(start: Start, data: Path) -> None:
    fill(start(), "q", 9_999, 100)
    command = [sys.executable, "-m", "leveret", "messages", "export", "q", "--data-dir", str(data)]
    with open("/dev/full", "wb") as full:
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 1
    text = "cannot write standard output: No space left on device; nothing was exported"
    assert result.stderr == f"leveret: {text}\n"
    named = subprocess.run([*command[:6], "/dev/full", *command[6:]], capture_output=True, text=True, check=False)
    assert named.returncode == 1
    assert named.stderr == "leveret: cannot write /dev/full: No space left on device; nothing was exported\n"


def test_ctrl_c_leaves_whole_lines(start: Start, popen: Popen) -> None:
    fill(start(), "q", 9_999, 1000)
    process = popen("messages", "export", "q", stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    out, err = process.stdout.read(), process.stderr.read()
    assert process.wait(60) == 1
    found = numbers([json.loads(line) for line in (first + out).splitlines()])
    assert out.endswith(b"\n")
    assert found == list(range(len(found)))
    assert 0 < len(found) < 10_000
    assert err.decode().splitlines() == [
        f"Exported {len(found)} messages from queue 'q'.",
        "leveret: interrupted; the rest was not exported",
    ]


def test_a_bar_on_a_terminal(start: Start, popen: Popen, tmp_path: Path) -> None:
    fill(start(), "q", 9_999)
    reader, terminal = os.openpty()
    process = popen("messages", "export", "q", str(tmp_path / "lines"), stderr=terminal, env=surroundings())
    assert process.wait(60) == 0
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while piece := os.read(reader, 100_000):
            text += piece
    os.close(reader)
    assert b"Exporting" in text
    assert b"100%" in text
    assert text.rstrip().endswith(b"Exported 10000 messages from queue 'q'.")


@pytest.mark.parametrize("is_running", [True, False])
def test_what_cannot_be_read(start: Start, run: Run, data: Path, is_running: bool) -> None:
    server = start()
    fill(server, "q", 49, 1_000_000)
    server.stop()
    content = bytearray((data / FILE_NAME).read_bytes())
    at = content.index(b"41 xxxxx")
    content[at + 8] ^= 1
    (data / FILE_NAME).write_bytes(content)
    if is_running:
        server = start("--memory-budget", str(MIB))
    for _ in range(2):
        result = run("messages", "export", "q")
        assert result.returncode == 1
        assert numbers(rows(result)) == [number for number in range(50) if number != 41]
        assert result.stderr.splitlines()[-1] == "leveret: some messages could not be read; all others were exported"
    with contextlib.closing(sqlite3.connect(data / FILE_NAME)) as sql:
        assert sql.execute("SELECT count(*) FROM aside").fetchone() == (0,)  # nobody but a consumer changes that


# -- import


def test_odd_messages_there_and_back(start: Start, run: Run, tmp_path: Path) -> None:
    server = start()
    channel = connect(server).channel()
    for queue in ("q", "copy"):
        channel.queue_declare(queue, durable=True)
    channel.exchange_declare("letters", "topic")
    channel.queue_bind("q", "letters", "#")
    channel.confirm_delivery()
    headers = {
        "text": "Grüße",
        "bytes": b"\x00\xff",
        "integers": [1, -1, 1 << 40, -(1 << 40)],
        "price": Decimal("3.14"),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "nothing": None,
        "yes": True,
        "deep": {"er": {"$long": [{}, []]}},
        "CC": ["copy.to", "another"],
        "BCC": ["hidden"],
    }
    properties = pika.BasicProperties(
        content_type="text/plain",
        content_encoding="utf-8",
        headers=headers,
        delivery_mode=2,
        priority=200,
        correlation_id="1",
        reply_to="back",
        expiration="3600000",
        message_id="2",
        timestamp=1 << 40,
        type="t",
        user_id="guest",
        app_id="a",
        cluster_id="c",
    )
    channel.basic_publish("letters", "eu.de", b"\x00\xff body", properties)
    channel.basic_publish("letters", "eu.fr", b"", PERSISTENT)
    channel.basic_publish("letters", "", "Grüße".encode())
    first = run("messages", "export", "q", str(tmp_path / "lines"))
    assert first.returncode == 0
    result = run("messages", "import", "copy", str(tmp_path / "lines"))
    assert (result.returncode, result.stdout, result.stderr) == (0, "Imported 3 messages into queue 'copy'.\n", "")
    assert ageless(run("messages", "export", "copy").stdout) == ageless((tmp_path / "lines").read_text())
    assert '"cc": ["copy.to", "another"], "bcc": ["hidden"]' in run("messages", "export", "copy").stdout
    by_pipe = run("messages", "import", "copy", stdin=(tmp_path / "lines").read_text())
    assert by_pipe.stdout == "Imported 3 messages into queue 'copy'.\n"
    original, copy = channel.basic_get("q", auto_ack=True), channel.basic_get("copy", auto_ack=True)
    assert (copy[0].exchange, copy[0].routing_key, copy[0].redelivered) == ("letters", "eu.de", False)
    assert copy[2] == original[2] == b"\x00\xff body"
    assert copy[1] == original[1]
    assert copy[1].headers["price"] == Decimal("3.14")
    server.stop()
    channel = connect(start()).channel()
    assert channel.queue_declare("copy", passive=True).method.message_count == 3  # of 5, persistent as they were


def test_large_bodies(start: Start, run: Run, tmp_path: Path) -> None:
    server = start()
    connection = connect(server)
    channel = connection.channel()
    for queue in ("q", "copy"):
        channel.queue_declare(queue, durable=True)
    channel.confirm_delivery()
    bodies = [b"a", os.urandom(16 * MIB), b"b" * 3 * MIB, b"", b"c"]
    for body in bodies:
        channel.basic_publish("", "q", body, PERSISTENT)
    connection.close()
    lines = str(tmp_path / "lines")
    assert run("messages", "export", "q", lines).stderr == "Exported 5 messages from queue 'q'.\n"
    assert run("messages", "import", "copy", lines).stdout == "Imported 5 messages into queue 'copy'.\n"
    server.stop()
    assert run("messages", "export", "copy", str(tmp_path / "copy")).returncode == 0
    assert ageless((tmp_path / "copy").read_text()) == ageless(Path(lines).read_text())
    channel = connect(start("--max-message-size", str(16 * MIB - 1))).channel()
    assert [channel.basic_get("copy")[2] for _ in bodies] == bodies
    result = run("messages", "import", "copy", lines)
    assert (result.returncode, result.stdout) == (1, "")
    text = "line 2: the body has 16777216 bytes; the broker's limit is 16777215; 1 message was imported"
    assert result.stderr == f"leveret: {text}\n"


@pytest.mark.parametrize(("good", "went_in"), [(0, "nothing was"), (1, "1 message was"), (1200, "1200 messages were")])
def test_a_broken_line(start: Start, run: Run, good: int, went_in: str) -> None:
    server = start()
    channel = connect(server).channel()
    channel.queue_declare("q", durable=True)
    lines = '{"body": "SGVsbG8h"}\n' * good + '{"body": "Hello!"}\n{"body": ""}\n'
    result = run("messages", "import", "q", stdin=lines)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == f"leveret: line {good + 1}: body: expected base64; {went_in} imported\n"
    assert channel.queue_declare("q", passive=True).method.message_count == good


def test_lines_by_hand(start: Start, run: Run) -> None:
    channel = connect(start()).channel()
    channel.queue_declare("q")
    result = run(
        "messages", "import", "q", "-", stdin='{"body": "SGVsbG8h"}\n\n   \n{"properties": {"type": "t"}, "body": ""}'
    )
    assert result.stdout == "Imported 2 messages into queue 'q'.\n"
    method, _, body = channel.basic_get("q")
    assert (method.exchange, method.routing_key, body) == ("", "q", b"Hello!")
    assert run("messages", "import", "q", stdin="").stdout == "Imported 0 messages into queue 'q'.\n"


def test_a_full_queue(start: Start, run: Run) -> None:
    channel = connect(start()).channel()
    arguments = {"x-max-length": 700, "x-overflow": "reject-publish"}
    channel.queue_declare("q", durable=True, arguments=arguments)
    result = run("messages", "import", "q", stdin='{"body": ""}\n' * 1000)
    assert result.returncode == 1
    text = "line 701: the queue is full and rejects messages; 700 messages were imported"
    assert result.stderr == f"leveret: {text}\n"
    assert channel.queue_declare("q", passive=True).method.message_count == 700


def test_a_queue_that_takes_each_message_once(start: Start, run: Run, tmp_path: Path) -> None:
    channel = connect(start()).channel()
    channel.queue_declare("q", durable=True, arguments={"x-message-deduplication": True})
    headers = [{"x-deduplication-header": number} for number in range(700)]
    lines = "".join(json.dumps({"properties": {"headers": each}, "body": ""}) + "\n" for each in headers)
    assert run("messages", "import", "q", stdin=lines).stderr == ""
    again = run("messages", "import", "q", stdin=lines + '{"body": ""}')
    assert (again.returncode, again.stdout) == (0, "Imported 701 messages into queue 'q'.\n")
    assert again.stderr == "note: the queue dropped 700 messages of these as duplicates\n"
    assert run("messages", "export", "q").stderr == "Exported 701 messages from queue 'q'.\n"


def test_a_killed_import_can_go_on(start: Start, run: Run, popen: Popen, tmp_path: Path) -> None:
    server = start()
    fill(server, "q", 19_999, 100)
    fill(server, "copy", 0)
    lines = tmp_path / "lines"
    run("messages", "export", "q", str(lines))
    channel = connect(server).channel()
    channel.queue_purge("copy")
    process = popen("messages", "import", "copy", str(lines))
    while not (count := channel.queue_declare("copy", passive=True).method.message_count):
        time.sleep(0.001)
    process.kill()
    process.communicate()
    count = channel.queue_declare("copy", passive=True).method.message_count
    assert 0 < count < 20_000
    rest = "".join(lines.read_text().splitlines(keepends=True)[count:])
    result = run("messages", "import", "copy", stdin=rest)
    assert result.stdout == f"Imported {20_000 - count} messages into queue 'copy'.\n"
    server.stop()
    start()
    assert numbers(rows(run("messages", "export", "copy"))) == list(range(20_000))


def test_a_killed_broker_has_what_was_imported(start: Start, run: Run, popen: Popen, tmp_path: Path) -> None:
    server = start()
    fill(server, "q", 29_999, 100)
    run("messages", "export", "q", str(tmp_path / "lines"))
    channel = connect(server).channel()
    channel.queue_declare("copy", durable=True)
    process = popen("messages", "import", "copy", str(tmp_path / "lines"), text=True)
    while channel.queue_declare("copy", passive=True).method.message_count < 2000:
        time.sleep(0.001)
    server.stop(signal.SIGKILL)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "the broker closed the connection before it answered" in error
    imported = int(error.split("; ")[-1].split()[0])
    start()
    found = numbers(rows(run("messages", "export", "copy")))
    assert found == list(range(len(found)))
    assert 1500 <= imported <= len(found) <= imported + 500


def test_who_waits_can_be_interrupted(start: Start, popen: Popen) -> None:
    server = start()
    fill(server, "q", 0)
    server.stop()
    server = start("--disk-free-limit", str(1 << 60))
    process = popen("messages", "import", "q", stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write('{"body": ""}\n' * 600)
    process.stdin.flush()
    assert process.stderr.readline() == "note: the broker is blocking publishers: low on disk\n"
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "leveret: interrupted; nothing was imported\n"
    assert process.wait(60) == 1


def test_ctrl_c_while_nothing_comes_in(start: Start, run: Run, popen: Popen) -> None:
    fill(start(), "q", 0)
    process = popen("messages", "import", "q", stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write('{"body": "MSA="}\n' * 600)
    process.stdin.flush()
    while len(rows(run("messages", "export", "q"))) < 501:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline() == "leveret: interrupted; 600 messages were imported\n"
    assert process.wait(60) == 1
    assert len(rows(run("messages", "export", "q"))) == 601


# -- the page


def test_the_examples_of_the_page(start: Start, data: Path, tmp_path: Path) -> None:
    channel = connect(start()).channel()
    for queue in ("letters", "copy"):
        channel.queue_declare(queue, durable=True)
    channel.queue_bind("letters", "amq.topic", "#")
    channel.confirm_delivery()
    headers = {"attempt": 3, "to": "Grüße"}
    properties = pika.BasicProperties(content_type="text/plain", headers=headers, delivery_mode=2)
    channel.basic_publish("", "letters", b"held", PERSISTENT)
    channel.basic_publish("amq.topic", "eu.de", "Grüße".encode(), properties)
    channel.basic_publish("", "letters", b"Hello!", PERSISTENT)
    channel.basic_get("letters")
    method, _, _ = channel.basic_get("letters")
    assert method is not None
    channel.basic_nack(method.delivery_tag)
    found = re.search(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = surroundings(LEVERET_DATA_DIR=str(data), PATH=path)
    for example in re.split(r"^\$ ", found[1], flags=re.MULTILINE)[1:]:
        command, _, wanted = example.partition("\n")
        result = subprocess.run(
            ["bash", "-c", f"({command}) 2>&1"],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert sorted(ageless(result.stdout).splitlines()) == sorted(ageless(wanted).splitlines()), command


# -- what is refused


@pytest.mark.parametrize("verb", ["export", "import"])
def test_what_is_refused(start: Start, run: Run, verb: str, tmp_path: Path) -> None:
    server = start()
    channel = connect(server).channel()
    channel.queue_declare("letters", durable=True)
    channel.queue_declare("mine", exclusive=True)

    def refusal(*arguments: str) -> str:
        result = run("messages", verb, *arguments)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr.startswith("leveret: ")
        return result.stderr[9:-1]

    output = tmp_path / "lines"
    assert refusal("leters", str(output)) == "queue 'leters' does not exist; did you mean 'letters'?"
    assert not output.exists()
    assert refusal("mine") == "queue 'mine' is exclusive: it belongs to one connection and is deleted with it"
    assert refusal("letters", "--vhost", "v") == "virtual host 'v' does not exist"
    what = "read" if verb == "import" else "write"
    assert refusal("letters", str(tmp_path / "no" / "f")).startswith(f"cannot {what} {tmp_path / 'no' / 'f'}: No such")
    server.stop()
    if verb == "export":
        assert refusal("leters", str(output)) == "queue 'leters' does not exist; did you mean 'letters'?"
        assert not output.exists()
    else:
        text = "and an import needs one; start it first"
        assert refusal("letters") == f"no broker is running on '{tmp_path / 'data'}', {text}"
    start()


def test_without_data(tmp_path: Path) -> None:
    result = leveret("messages", "export", "q", "--data-dir", str(tmp_path / "nowhere"))
    text = f"there is no data in '{tmp_path / 'nowhere'}'; choose the data directory with --data-dir"
    assert (result.returncode, result.stderr) == (1, f"leveret: {text}\n")
    assert list(tmp_path.iterdir()) == []


def test_a_broker_in_memory(tmp_path: Path) -> None:
    control = str(tmp_path / "sock")
    server = Server.start("--memory", "--control", control)
    try:
        channel = connect(server).channel()
        channel.queue_declare("q")
        assert leveret("messages", "import", "q", "--control", control, stdin='{"body": "MSA="}').returncode == 0
        assert numbers(rows(leveret("messages", "export", "q", "--control", control))) == [1]
    finally:
        server.stop()
