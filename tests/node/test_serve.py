"""leveret serve as a user meets it: the ready line, wrong settings, signals, restarts."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pika
import pytest
from pika.exceptions import (
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from leveret.node import control_path
from leveret.node.api import Api
from leveret.node.config import Config
from leveret.node.monitors.disk import DiskMonitor
from leveret.node.monitors.loop_lag import LagMonitor
from leveret.node.node import Node
from leveret.server.control_socket import ControlSocket
from leveret.server.driver import Driver
from leveret.server.listener import Listener
from leveret.store.rescue.salvage import open_database
from tests.brokers.process import Server, free_port
from tests.clients.command_line import process
from tests.clients.waiting import eventually


def test_ready_line_names_address_build_and_time(server: Server) -> None:
    line = r"Leveret \d+\.\d+\.\d+ \((compiled|interpreted)\) ready on amqp://127\.0\.0\.1:\d+ in \d+ ms"
    assert re.fullmatch(line + r"(; HTTP API on \S+)?\n", server.ready_line)


@pytest.mark.parametrize(("host", "reached"), [("0.0.0.0", ["127.0.0.1"]), ("::", ["127.0.0.1", "::1"])])
def test_all_addresses(host: str, reached: list[str], tmp_path: Path) -> None:
    port = free_port()
    server = Server.start("--memory", "--host", host, port=port)
    try:
        where = "127.0.0.1" if host == "0.0.0.0" else "[::1]"
        assert f"ready on amqp://{where}:{port} (on all addresses) in" in server.ready_line
        for address in reached:
            socket.create_connection((address, port), 10).close()
    finally:
        assert server.stop() == 0


@pytest.mark.parametrize(
    ("users", "credentials"),
    [
        ([{"name": "admin", "password": "x", "tags": "administrator"}], ""),
        ([{"name": "guest", "password": "x", "tags": "administrator"}], ""),
        ([{"name": "guest", "password": "guest", "tags": "administrator"}], "guest:guest@"),
        ([], "guest:guest@"),
    ],
)
def test_the_line_for_programs_has_no_user_that_cannot_log_in(
    users: list[dict[str, str]], credentials: str, tmp_path: Path
) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"users": users, "vhosts": [{"name": "/"}]}))
    port = free_port()
    command = ["serve", "--memory", "--host", "0.0.0.0", "--port", str(port), "--definitions", str(file), "--json"]
    with subprocess.Popen([sys.executable, "-m", "leveret", *command], stdout=subprocess.PIPE, text=True) as broker:
        assert broker.stdout is not None
        told = json.loads(broker.stdout.readline())
        broker.terminate()
    assert (told["url"], told["host"]) == (f"amqp://{credentials}127.0.0.1:{port}", "127.0.0.1")


def test_version_names_the_build() -> None:
    assert re.fullmatch(r"leveret \d+\.\d+\.\d+ \((compiled|interpreted)\)\n", process("--version").stdout)


def test_port_in_use() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = process("serve", "--memory", "--port", port)
    assert result.returncode == 2
    assert result.stderr == (
        f"leveret: port {port} on 127.0.0.1 is in use; stop what uses it or choose another with --port\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--port", "many"], ["--port cannot be", "many", "a whole number"]),
        (["--data-dir", ""], ["--data-dir cannot be empty", "directory"]),
        (["--memory", "--data-dir", "x"], ["--memory and --data-dir exclude each other"]),
        (["--prot", "5672"], ["--prot", "did you mean --port?"]),
        (["--port"], ["--port requires a value", "65535"]),
        (["--config", "/nowhere/leveret.toml"], ["/nowhere/leveret.toml"]),
        (["--data-dir", "/dev/null/data"], ["/dev/null/data", "--data-dir"]),
    ],
)
def test_bad_settings(arguments: list[str], words: list[str]) -> None:
    result = process("serve", "--port", "0", *arguments)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.stderr
    assert all(word in result.stderr for word in words)


def test_unknown_setting_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text("json = true\n\nprot = 5672\n")
    result = process("serve", "--config", str(file))
    assert result.returncode == 2
    assert result.stderr == f'leveret: "prot" in line 3 of {file} is not a setting; did you mean port?\n'


def test_second_broker_on_one_data_directory(server: Server, tmp_path: Path) -> None:
    result = process("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 2
    assert "in use by another broker" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGXCPU])
def test_signal_closes_connections_and_ends(server: Server, number: signal.Signals) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    server.process.send_signal(number)
    with pytest.raises(ConnectionClosedByBroker) as raised:
        connection.process_data_events(time_limit=10)
    assert raised.value.reply_code == 320
    assert raised.value.reply_text == "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'"
    assert server.process.wait(60) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_durable_things_survive_the_end(tmp_path: Path, number: signal.Signals) -> None:
    data = str(tmp_path / "data")
    server = Server.start("--data-dir", data)
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.exchange_declare("kept", "topic", durable=True)
    channel.queue_declare("kept", durable=True)
    channel.queue_declare("lost", durable=False)
    channel.queue_bind("kept", "kept", "a.*")
    persistent = pika.BasicProperties(delivery_mode=2)
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("kept", "a.b", body, persistent)
    channel.basic_publish("kept", "a.b", b"transient")
    method, _, _ = channel.basic_get("kept")
    channel.basic_ack(method.delivery_tag)
    channel.queue_declare("kept", durable=True, passive=True)  # the ack has been handled
    server.stop(number)

    server = Server.start("--data-dir", data)
    try:
        connection = pika.BlockingConnection(pika.URLParameters(server.url))
        channel = connection.channel()
        channel.exchange_declare("kept", "topic", durable=True)
        bodies = [channel.basic_get("kept", auto_ack=True) for _ in range(4)]
        found = [(body, method.redelivered) for method, _, body in bodies if method is not None]
        if number == signal.SIGTERM:
            assert found == [(b"2", False), (b"3", False)]
        else:  # the ack may not have reached the disk; then its message is flagged
            assert [body for body, _ in found][-2:] == [b"2", b"3"]
            assert all(redelivered for _, redelivered in found)
        channel.basic_publish("kept", "a.b", b"new")
        assert channel.queue_declare("kept", passive=True).method.message_count == 1
        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no queue 'lost'"):
            channel.queue_declare("lost", passive=True)
        connection.close()
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGPROF])
def test_signals_that_end_nothing(number: signal.Signals, tmp_path: Path) -> None:
    server = Server.start("--memory", log=tmp_path / "log")
    try:
        with pika.BlockingConnection(pika.URLParameters(server.url)) as connection:
            server.process.send_signal(number)
            eventually(lambda: "SIGTERM stops" in (tmp_path / "log").read_text())
            assert connection.channel().queue_declare("").method.queue
    finally:
        assert server.stop() == 0


def test_max_connections() -> None:
    server = Server.start("--memory", "--max-connections", "2")
    try:
        first, second = (pika.BlockingConnection(pika.URLParameters(server.url)) for _ in range(2))
        said = r"\(530\) 'NOT_ALLOWED - connection refused: node connection limit \(2\) is reached'"
        with pytest.raises(ProbableAccessDeniedError, match=said):
            pika.BlockingConnection(pika.URLParameters(server.url))
        second.close()
        pika.BlockingConnection(pika.URLParameters(server.url)).close()
        first.close()
    finally:
        server.stop()


def test_max_channels() -> None:
    server = Server.start("--memory", "--max-channels", "3")
    try:
        first, second = (pika.BlockingConnection(pika.URLParameters(server.url)) for _ in range(2))
        one, _, _ = first.channel(), first.channel(), second.channel()
        said = "number of channels opened on node 'leveret@.*' has reached the maximum allowed limit of 3"
        with pytest.raises(ConnectionClosedByBroker, match=f"NOT_ALLOWED - {said}") as refused:
            second.channel()
        assert refused.value.reply_code == 530
        again = pika.BlockingConnection(pika.URLParameters(server.url))
        again.channel()  # the place of the one that went with its connection
        one.close()
        again.channel()
        first.close()
        again.close()
    finally:
        server.stop()


def test_max_consumers_per_channel() -> None:
    server = Server.start("--memory", "--max-consumers-per-channel", "2")
    try:
        connection = pika.BlockingConnection(pika.URLParameters(server.url))
        channel, other = connection.channel(), connection.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        first, _ = (channel.basic_consume(queue, print) for _ in range(2))
        other.basic_consume(queue, print)
        channel.basic_cancel(first)
        channel.basic_consume(queue, print)
        said = r"NOT_ALLOWED - reached maximum \(2\) of consumers per channel"
        with pytest.raises(ConnectionClosedByBroker, match=said) as told:
            channel.basic_consume(queue, print)
        assert told.value.reply_code == 530
    finally:
        server.stop()


def test_max_message_size() -> None:
    server = Server.start("--memory", "--max-message-size", "100")
    try:
        connection = pika.BlockingConnection(pika.URLParameters(server.url))
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_publish("", "nowhere", bytes(100))
        with pytest.raises(ChannelClosedByBroker) as raised:
            channel.basic_publish("", "nowhere", bytes(101))
        text = "PRECONDITION_FAILED - message size 101 is larger than configured max size 100"
        assert (raised.value.reply_code, raised.value.reply_text) == (406, text)
        connection.close()
    finally:
        server.stop()


def test_a_log_entry_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    server = Server.start("--memory")
    try:
        credentials = pika.PlainCredentials("guest\n2026-01-01 ERROR forged\x1b[31m", "guest")
        with pytest.raises(ProbableAuthenticationError):
            pika.BlockingConnection(pika.ConnectionParameters(server.host, server.port, credentials=credentials))
    finally:
        server.stop()
    lines = [line for line in capfd.readouterr().err.splitlines() if "forged" in line]
    assert len(lines) == 1
    assert r"guest\n2026-01-01 ERROR forged\x1b[31m" in lines[0]


@pytest.mark.parametrize("failure", [PermissionError(13, "Permission denied"), RuntimeError(), ValueError("wrong")])
def test_a_failure_while_stopping_keeps_nothing_else_from_being_closed(
    failure: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    steps = [(ControlSocket, "close"), (Api, "close"), (Listener, "close"), (DiskMonitor, "stop"), (LagMonitor, "stop")]

    async def live() -> None:
        node = Node(Config(port=0, management_port=0, data_dir=str(tmp_path / "data")))
        await node.start()
        for owner, name in steps:
            monkeypatch.setattr(owner, name, failing(getattr(owner, name)))
        monkeypatch.setattr(Driver, "shut_down", shut_down)
        monkeypatch.setattr(control_path, "unbind", failing(control_path.unbind))
        await node.stop()

    async def shut_down(*_: object) -> None:
        raise failure

    def failing(step: Callable[..., object]) -> Callable[..., object]:
        def fail(*arguments: object) -> None:
            step(*arguments)
            raise failure

        return fail

    asyncio.run(live())
    told = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(told) == 8  # it stops listening twice
    assert not any(record.exc_info for record in caplog.records)
    for line in told:
        assert line.startswith("while stopping, cannot ")
        assert line.endswith(f": {failure}" if str(failure) else ": RuntimeError")
    store = open_database(tmp_path / "data")
    was_clean = store.was_clean
    store.close(None)
    assert was_clean
