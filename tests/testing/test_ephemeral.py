"""leveret serve --ephemeral --json: a broker for tests in any language, from its one line to its end."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
import trustme

from tests.brokers.process import free_port
from tests.clients.waiting import eventually

from .support import PATIENCE_S, connect, is_listening, raw

SERVE = [sys.executable, "-m", "leveret", "serve"]
EPHEMERAL = [*SERVE, "--ephemeral", "--json"]

# A parent that starts a broker, passes its line on, and waits to be killed.
PARENT = f"""
import subprocess, sys
broker = subprocess.Popen({EPHEMERAL!r}, stdin=subprocess.INPUT, stdout=subprocess.PIPE, text=True)
print(broker.stdout.readline(), end="", flush=True)
sys.stdin.read()
"""


class Process:
    """A broker as a process, and what its line says."""

    def __init__(
        self, *options: str, stdin: int = subprocess.PIPE, command: list[str] = EPHEMERAL, **more: Any
    ) -> None:
        self.popen = subprocess.Popen([*command, *options], stdin=stdin, stdout=subprocess.PIPE, text=True, **more)
        assert self.popen.stdout is not None
        self.line = self.popen.stdout.readline()

    @property
    def told(self) -> dict[str, Any]:
        """What is in the line."""
        found = json.loads(self.line)
        assert isinstance(found, dict)
        return found

    def close_stdin(self) -> None:
        """Let go of the pipe."""
        assert self.popen.stdin is not None
        self.popen.stdin.close()

    def wait(self) -> int:
        """Wait for the end; all that it printed was the line. Returns: the exit code."""
        code = self.popen.wait(PATIENCE_S)
        assert self.popen.stdout is not None
        assert self.popen.stdout.read() == ""
        return code

    def kill(self) -> None:
        """Leave nothing of it."""
        self.popen.kill()
        self.popen.wait(PATIENCE_S)
        for file in (self.popen.stdin, self.popen.stdout):
            if file is not None:
                file.close()


@contextlib.contextmanager
def broker(*options: str, **more: Any) -> Iterator[Process]:
    """A broker for a block."""
    process = Process(*options, **more)
    try:
        yield process
    finally:
        process.kill()


def is_alive(pid: int) -> bool:
    """Whether there is such a process that has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def greet(url: str) -> None:
    """Use a broker as a client does."""
    with connect(url) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("hello")
        channel.basic_publish("", "hello", b"Hello!", mandatory=True)
        assert channel.basic_get("hello", auto_ack=True)[2] == b"Hello!"


# -- the line


def test_the_line() -> None:
    with broker() as process:
        told = process.told
        assert told == {
            "url": f"amqp://guest:guest@127.0.0.1:{told['port']}",
            "host": "127.0.0.1",
            "port": told["port"],
            "pid": process.popen.pid,
            "version": told["version"],
            "build": told["build"],
            "start_ms": told["start_ms"],
        }
        assert told["port"] not in (0, 5672)
        assert re.fullmatch(r"\d+\.\d+\.\d+", told["version"])
        assert told["build"] in ("compiled", "interpreted")
        assert 0 < told["start_ms"] < 1000 * PATIENCE_S
        greet(told["url"])
        process.close_stdin()
        assert process.wait() == 0


def test_url_has_no_path() -> None:
    # By RabbitMQ's URI specification, and for its Java client, a slash at the end means a virtual host without a name.
    with broker() as process:
        assert not process.told["url"].endswith("/")


def test_a_given_port() -> None:
    port = free_port()
    with broker("--port", str(port)) as process:
        assert process.told["port"] == port
        greet(f"amqp://guest:guest@127.0.0.1:{port}/%2F")


def test_ipv6() -> None:
    with broker("--host", "::1") as process:
        told = process.told
        assert (told["host"], told["url"]) == ("::1", f"amqp://guest:guest@[::1]:{told['port']}")
        assert is_listening(told["port"], "::1")


def test_tls(tmp_path: Path) -> None:
    ca = trustme.CA()
    file, ca_file = tmp_path / "broker.pem", tmp_path / "ca.pem"
    ca.issue_cert("localhost", "127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(file))
    ca.cert_pem.write_to_path(str(ca_file))
    with broker("--tls-certificate", str(file), "--tls-port", "0") as process:
        told = process.told
        assert told["tls_url"] == f"amqps://guest:guest@127.0.0.1:{told['tls_port']}"
        assert told["tls_port"] not in (0, 5671, told["port"])
        greet(told["url"])
        context = ssl.create_default_context(cafile=str(ca_file))
        parameters = pika.URLParameters(told["tls_url"])
        parameters.ssl_options = pika.SSLOptions(context, "localhost")
        with pika.BlockingConnection(parameters) as connection:
            assert connection.channel().queue_declare("hello", passive=True).method.message_count == 0


def test_a_broker_that_cannot_start_prints_no_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with broker("--port", port, stderr=subprocess.PIPE) as process:
            assert process.line == ""
            assert process.wait() == 2
            assert process.popen.stderr is not None
            with process.popen.stderr as errors:
                assert errors.read().startswith(f"leveret: port {port} on 127.0.0.1 is in use;")


def test_json_for_a_broker_that_stays(tmp_path: Path) -> None:
    with broker("--json", "--memory", "--port", "0", command=SERVE) as process:
        process.close_stdin()
        greet(process.told["url"])  # what is closed is not the end
        process.popen.terminate()
        assert process.wait() == 0


# -- the end


def test_it_ends_when_its_pipe_is_closed() -> None:
    with broker() as process, connect(process.told["url"]) as connection:
        process.close_stdin()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="320"):
            connection.process_data_events(PATIENCE_S)
        assert process.wait() == 0
        assert not is_listening(process.told["port"])


def test_what_is_written_to_its_pipe_means_nothing() -> None:
    with broker() as process:
        assert process.popen.stdin is not None
        for _ in range(100):
            process.popen.stdin.write("quit\n" * 10_000)  # it is read, or this would wait for ever
        process.popen.stdin.flush()
        greet(process.told["url"])
        process.close_stdin()
        assert process.wait() == 0


def test_it_ends_when_its_socket_is_closed() -> None:
    here, there = socket.socketpair()  # as Node makes them
    with here, there, broker(stdin=there.fileno()) as process:
        there.close()
        greet(process.told["url"])
        here.close()
        assert process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("stdin", [subprocess.PIPE, subprocess.DEVNULL], ids=["pipe", "null"])
def test_a_signal_ends_it(number: signal.Signals, stdin: int) -> None:
    with broker(stdin=stdin) as process:
        process.popen.send_signal(number)
        assert process.wait() == 0


def test_a_signal_after_its_pipe_is_closed_changes_nothing() -> None:
    with broker() as process, contextlib.closing(raw("127.0.0.1", process.told["port"]).link):  # which keeps it waiting
        process.close_stdin()
        eventually(lambda: not is_listening(process.told["port"]))
        assert process.popen.poll() is None
        process.popen.terminate()
        assert process.wait() == 0


def test_no_pipe_is_no_end(tmp_path: Path) -> None:
    """Files and /dev/null are at their end from the beginning; that means nothing."""
    empty = tmp_path / "empty"
    empty.touch()
    for path in (empty, Path(os.devnull)):
        with path.open() as file, broker(stdin=file.fileno()) as process:
            greet(process.told["url"])
            greet(process.told["url"])
            assert process.popen.poll() is None


@pytest.mark.parametrize("stdin", ["PIPE", "DEVNULL"])
def test_it_ends_with_its_parent(stdin: str) -> None:
    with broker(command=[sys.executable, "-c", PARENT.replace("INPUT", stdin)]) as parent:
        told = parent.told
        assert told["pid"] != parent.popen.pid
        greet(told["url"])  # it stays for as long as its parent does
        greet(told["url"])
        parent.popen.kill()
        parent.popen.wait(PATIENCE_S)
        eventually(lambda: not is_alive(told["pid"]))
        assert not is_listening(told["port"])


def test_it_ends_with_the_shell_of_a_step() -> None:
    command = f"{' '.join(EPHEMERAL)} & read line"  # standard input is /dev/null there
    with broker(command=["sh", "-c", command]) as shell:
        greet(shell.told["url"])
        shell.close_stdin()  # of the shell, which ends
        shell.popen.wait(PATIENCE_S)
        eventually(lambda: not is_alive(shell.told["pid"]))


def test_whoever_holds_the_pipe_counts_not_the_parent() -> None:
    """A shell in between may stay; what is at the other end of the pipe is gone."""
    command = f"{' '.join(EPHEMERAL)}; echo $? >&2"
    with broker(command=["sh", "-c", command], stderr=subprocess.PIPE) as shell:
        assert shell.told["pid"] != shell.popen.pid
        greet(shell.told["url"])
        shell.close_stdin()
        assert shell.wait() == 0
        assert shell.popen.stderr is not None
        with shell.popen.stderr as errors:
            assert errors.read() == "0\n"


def test_a_pipe_that_was_closed_before() -> None:
    """As the standard input of a shell in CI may be: it ends, and says why."""
    reading, writing = os.pipe()
    os.close(writing)
    with broker(stdin=reading, stderr=subprocess.PIPE) as process:
        os.close(reading)
        assert process.wait() == 0
        assert process.popen.stderr is not None
        with process.popen.stderr as errors:
            assert "standard input is a closed pipe" in errors.read()


def test_it_says_nothing_of_a_pipe_that_is_closed_later() -> None:
    with broker(stderr=subprocess.PIPE) as process:
        process.close_stdin()
        assert process.wait() == 0
        assert process.popen.stderr is not None
        with process.popen.stderr as errors:
            assert errors.read() == ""


# -- what it leaves, and its settings


def test_it_leaves_nothing_on_the_disk(tmp_path: Path) -> None:
    places = {
        name: tmp_path / name for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME")
    }
    for place in places.values():
        place.mkdir()
    here = tmp_path / "here"
    here.mkdir()
    environment = {**os.environ, **{name: str(place) for name, place in places.items()}}
    with broker(cwd=here, env=environment) as process:
        with connect(process.told["url"]) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            channel.queue_declare("kept", durable=True)
            channel.basic_publish("", "kept", b"Hello!", pika.BasicProperties(delivery_mode=2))
        open_files = []
        for path in Path(f"/proc/{process.popen.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                open_files.append(os.readlink(path))
        assert not [path for path in open_files if path.startswith(str(tmp_path))]
        assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == []
        process.close_stdin()
        assert process.wait() == 0
    assert set(tmp_path.rglob("*")) == {here, *places.values()}


def test_the_environment() -> None:
    environment = {**os.environ, "LEVERET_EPHEMERAL": "true", "LEVERET_JSON": "true"}
    with broker(command=SERVE, env=environment) as process:
        greet(process.told["url"])
        process.close_stdin()
        assert process.wait() == 0


def test_a_file(tmp_path: Path) -> None:
    port = free_port()
    file = tmp_path / "leveret.toml"
    file.write_text(f"ephemeral = true\njson = true\nport = {port}\n")
    with broker("--config", str(file), command=SERVE, cwd=tmp_path) as process:
        assert process.told["port"] == port
        process.close_stdin()
        assert process.wait() == 0
    assert list(tmp_path.iterdir()) == [file]


def test_a_variable_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text("ephemeral = true\njson = true\nmemory = true\nport = 0\n")
    with broker("--config", str(file), command=SERVE, env={**os.environ, "LEVERET_EPHEMERAL": "false"}) as process:
        process.close_stdin()
        greet(process.told["url"])
        assert process.popen.poll() is None


def test_a_data_directory_is_used(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for count in (0, 1):
        with broker("--data-dir", str(data)) as process:
            with connect(process.told["url"]) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                assert channel.queue_declare("kept", durable=True).method.message_count == count
                channel.basic_publish("", "kept", b"Hello!", pika.BasicProperties(delivery_mode=2))
            process.close_stdin()
            assert process.wait() == 0
