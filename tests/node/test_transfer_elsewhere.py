"""leveret messages export and import over HTTP, also where connections break: nothing is lost or doubled unsaid."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leveret.node.cli import asking, remote
from tests.api.http import Http
from tests.brokers.process import Server
from tests.clients.command_line import Result, leveret, surroundings
from tests.clients.methods import QueueDeclare
from tests.clients.peer import Peer
from tests.node.test_transfer import ageless, fill, numbers, rows

MIB = 1 << 20
LINE = re.compile(r"leveret: .*; (nothing|\d+ messages?) (?:was|were) (?:im|ex)ported\n")
Run = Callable[..., Result]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker with an HTTP API and little memory for messages."""
    data = tmp_path_factory.mktemp("broker") / "data"
    options = ("--management-port", "0", "--memory-budget", str(20 * MIB))
    server = Server.start("--data-dir", str(data), *options)
    yield server
    server.stop()


@pytest.fixture
def http(server: Server) -> Http:
    """Its administrator."""
    return Http(server.api)


@pytest.fixture
def copy(http: Http) -> str:
    """A queue that is empty."""
    http.ask("DELETE", "queues/%2F/copy").expect(204, 404)
    http.ask("PUT", "queues/%2F/copy", {"durable": True}).expect(201)
    return "copy"


def url(server: Server, login: str = "guest:guest", port: int | None = None) -> str:
    """As it is given to --url. port: of somebody in between."""
    where = urlsplit(server.api)
    return f"http://{login}@{where.hostname}:{port or where.port}"


@pytest.fixture
def run(server: Server) -> Run:
    """Runs a command over HTTP, in this process."""
    return lambda *words, **options: leveret("messages", *words, "--url", url(server), **options)


def count(http: Http, queue: str = "copy") -> int:
    """How many messages are ready."""
    found = http.ask("GET", f"queues/%2F/{queue}").expect(200).json
    assert isinstance(found, dict)
    return int(found["messages_ready"])


class Between:
    """A proxy that cuts connections, each after so many bytes of what goes up or down; None for never.

    accepts: how many connections it takes before it listens no more; None for any number.
    """

    def __init__(self, server: Server) -> None:
        self.up: int | None = None
        self.down: int | None = None
        self.accepts: int | None = None
        self.taken = 0
        where = urlsplit(server.api)
        self._target = (str(where.hostname), int(where.port or 0))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while self.accepts is None or self.taken < self.accepts:
                client, _ = self._listener.accept()
                self.taken += 1
                broker = socket.create_connection(self._target)
                both = (client, broker)
                for source, sink, most in ((client, broker, self.up), (broker, client, self.down)):
                    threading.Thread(target=self._pass, args=(source, sink, most, both), daemon=True).start()
        self._listener.close()

    def _pass(
        self, source: socket.socket, sink: socket.socket, most: int | None, both: tuple[socket.socket, ...]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if most is not None and len(data) >= most:
                    sink.sendall(data[:most])
                    break
                sink.sendall(data)
                most = None if most is None else most - len(data)
        for each in both:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def close(self) -> None:
        """Listen no more."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


@pytest.fixture
def between(server: Server) -> Iterator[Between]:
    """Somebody between the command and the broker."""
    made = Between(server)
    yield made
    made.close()


@pytest.fixture
def across(server: Server, between: Between) -> Run:
    """Runs a command through that."""
    return lambda *words, **options: leveret("messages", *words, "--url", url(server, port=between.port), **options)


def told(result: Result) -> int:
    """How many messages a command that failed says that it has moved."""
    assert result.returncode == 1
    found = LINE.fullmatch(result.stderr)
    assert found, result.stderr
    return 0 if found[1] == "nothing" else int(found[1].split()[0])


@pytest.fixture(scope="module")
def many(server: Server) -> str:
    """A queue with 3000 messages, of half a megabyte for each page."""
    fill(server, "many", 2_999, 1_000)
    return "many"


@pytest.fixture(scope="module")
def lines(server: Server, many: str) -> str:
    """What an export of it has, made on the machine of the broker."""
    result = leveret("messages", "export", many, "--url", url(server))
    assert result.returncode == 0
    return result.stdout


# -- there and back


def test_the_same_as_on_the_machine(server: Server, run: Run, many: str, tmp_path: Path, copy: str, http: Http) -> None:
    exported = run("export", many, str(tmp_path / "lines"))
    assert (exported.returncode, exported.stdout) == (0, "")
    assert exported.stderr == f"Exported 3000 messages from queue '{many}'.\n"
    text = (tmp_path / "lines").read_text()
    assert numbers([json.loads(line) for line in text.splitlines()]) == list(range(3_000))
    assert (tmp_path / "lines").stat().st_mode & 0o777 == 0o600
    assert run("export", many).stdout == text
    imported = run("import", copy, str(tmp_path / "lines"))
    assert (imported.returncode, imported.stdout, imported.stderr) == (
        0,
        "Imported 3000 messages into queue 'copy'.\n",
        "",
    )
    assert ageless(run("export", copy).stdout) == ageless(text)
    assert count(http, many) == 3_000


def test_by_profile_and_variable(server: Server, many: str, lines: str, tmp_path: Path) -> None:
    place = {"XDG_CONFIG_HOME": str(tmp_path)}
    assert leveret("profiles", "add", "there", url(server), **place).returncode == 0
    assert leveret("messages", "export", many, "--profile", "there", **place).stdout == lines
    assert leveret("messages", "export", many, LEVERET_URL=url(server)).stdout == lines
    assert leveret("messages", "export", many, "--url", url(server)).stdout == lines


def test_large_bodies(server: Server, run: Run, copy: str, tmp_path: Path, http: Http) -> None:
    http.ask("PUT", "queues/%2F/large", {"durable": True}).expect(201)
    bodies = [b"", os.urandom(16 * MIB), b"b" * 3 * MIB, b"c"]
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.confirm()
    channel.confirmed("large", *bodies, delivery_mode=2)
    peer.close()
    assert run("export", "large", str(tmp_path / "lines")).returncode == 0
    assert run("import", copy, str(tmp_path / "lines")).stdout == "Imported 4 messages into queue 'copy'.\n"
    peer = Peer((server.host, server.port)).login()
    assert [each.body for each in peer.channel().drain(copy)] == bodies
    peer.close()
    http.ask("DELETE", "queues/%2F/large").expect(204)


@pytest.mark.parametrize("words", [("export", "many", "-"), ("import", "copy", "{lines}")])
def test_a_bar_on_a_terminal(server: Server, lines: str, copy: str, tmp_path: Path, words: tuple[str, ...]) -> None:
    (tmp_path / "lines").write_text(lines)
    given = [word.format(lines=tmp_path / "lines") for word in words]
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "leveret", "messages", *given, "--url", url(server)]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=terminal, env=surroundings(), check=True, timeout=60)
    os.close(terminal)
    text = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while piece := os.read(reader, 100_000):
            text += piece
    os.close(reader)
    assert (b"Exporting" if words[0] == "export" else b"Importing") in text
    assert b"100%" in text


# -- what is refused


def test_what_is_wrong_with_a_line(run: Run, copy: str, http: Http) -> None:
    good = '{"body": "SGVsbG8h"}\n'
    result = run("import", copy, stdin=good * 700 + '{"body": "Hello!"}\n')
    assert result.stderr == "leveret: line 701: body: expected base64; 700 messages were imported\n"
    assert count(http) == 700


def test_a_line_that_its_user_may_not_import(server: Server, copy: str, http: Http) -> None:
    http.ask("PUT", "users/mover", {"password": "x", "tags": "management"}).expect(201, 204)
    http.ask("PUT", "permissions/%2F/mover", {"configure": "", "write": "amq.default", "read": ""}).expect(201, 204)
    lines = ['{"body": ""}'] * 1_100
    lines[700] = '{"exchange": "amq.topic", "routing_key": "a", "body": ""}'
    where = ("--url", url(server, "mover:x"))
    result = leveret("messages", "import", copy, *where, stdin="\n".join(lines))
    reason = "write access to exchange 'amq.topic' in vhost '/' refused for user 'mover'"
    assert result.stderr == f"leveret: line 701: {reason}; 500 messages were imported\n"
    assert count(http) == 500
    denied = leveret("messages", "export", copy, *where)
    assert denied.stderr.startswith(
        "leveret: user 'mover' may not do this: read access to queue 'copy' in vhost '/' ref"
    )
    http.ask("DELETE", "users/mover").expect(204)


def test_a_full_queue(run: Run, http: Http) -> None:
    arguments = {"x-max-length": 700, "x-overflow": "reject-publish"}
    http.ask("PUT", "queues/%2F/tight", {"durable": True, "arguments": arguments}).expect(201)
    result = run("import", "tight", stdin='{"body": ""}\n' * 1000)
    assert result.stderr == "leveret: line 701: the queue is full and rejects messages; 700 messages were imported\n"
    assert count(http, "tight") == 700
    http.ask("DELETE", "queues/%2F/tight").expect(204)


def test_what_is_not_there(server: Server, run: Run) -> None:
    for verb in ("export", "import"):
        assert run(verb, "coppy").stderr.startswith("leveret: queue 'coppy' does not exist")
        assert run(verb, "q", "--vhost", "v").stderr.startswith("leveret: virtual host 'v' does not exist, or user 'gu")
        wrong = leveret("messages", verb, "q", "--url", url(server, "guest:wrong"))
        assert "refused the login of user 'guest': wrong name or password" in wrong.stderr


def test_publishers_have_to_wait() -> None:
    server = Server.start("--memory", "--management-port", "0", "--memory-high-watermark", "0.0001")
    try:
        Http(server.api).ask("PUT", "queues/%2F/q", {}).expect(201)
        command = [sys.executable, "-m", "leveret", "messages", "import", "q", "--url", url(server)]
        pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, env=surroundings(), **pipes) as process:  # type: ignore[call-overload]
            process.stdin.write('{"body": ""}\n' * 600)
            process.stdin.flush()
            assert process.stderr.readline().startswith("note: the broker is blocking publishers: low on memory")
            process.send_signal(signal.SIGINT)
            assert process.stderr.readline() == "leveret: interrupted; nothing was imported\n"
            assert process.wait(60) == 1
    finally:
        server.stop()


# -- connections that break


def test_an_export_goes_on_over_another_connection(between: Between, across: Run, many: str, lines: str) -> None:
    between.down = 1_500_000  # a bit more than two pages
    result = across("export", many)
    assert (result.returncode, result.stderr) == (0, f"Exported 3000 messages from queue '{many}'.\n")
    assert result.stdout == lines
    assert between.taken > 1


@pytest.mark.parametrize("accepts", [1, 2])
def test_an_export_that_breaks_says_what_it_has(
    between: Between, across: Run, many: str, tmp_path: Path, accepts: int
) -> None:
    between.down, between.accepts = 1_500_000, accepts
    result = across("export", many)
    exported = told(result)
    assert numbers(rows(result)) == list(range(exported))
    assert 0 < exported < 3_000


def test_a_file_is_whole_or_as_it_was(between: Between, across: Run, many: str, tmp_path: Path) -> None:
    between.down, between.accepts = 1_500_000, 1
    result = across("export", many, str(tmp_path / "new"))
    assert result.returncode == 1
    assert "exported" not in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["up", "down"])
def test_an_import_that_cannot_begin(between: Between, across: Run, copy: str, http: Http, way: str) -> None:
    setattr(between, way, 50)
    result = across("import", copy, stdin='{"body": ""}')
    assert (result.returncode, result.stdout) == (1, "")
    assert "closed the connection before it" in result.stderr
    assert count(http) == 0


@pytest.mark.parametrize(
    ("way", "size"),
    [("up", 100_000), ("up", 1_000_000), ("up", 1_700_000), ("down", 500), ("down", 900), ("down", 1_500)],
)
def test_an_import_that_breaks_says_what_it_has(
    between: Between, across: Run, run: Run, lines: str, copy: str, http: Http, way: str, size: int
) -> None:
    setattr(between, way, size)
    result = across("import", copy, stdin=lines)
    imported, there = told(result), count(http)
    assert f"some of lines {imported + 1} to {imported + 500} may have been imported" in result.stderr
    assert there in (imported, imported + 500)
    assert 0 <= imported < 3_000
    rest = "".join(lines.splitlines(keepends=True)[there:])
    assert run("import", copy, stdin=rest).returncode == 0
    assert numbers(rows(run("export", copy))) == list(range(3_000))


def test_an_import_never_sends_a_batch_twice(
    between: Between, across: Run, lines: str, copy: str, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "IDLE_S", -1.0)  # a connection for each batch
    between.accepts = 4
    result = across("import", copy, stdin=lines)
    imported = told(result)
    assert "Connection refused" in result.stderr
    assert "may have gone in" not in result.stderr
    assert imported == count(http) == 1_500


def test_a_connection_that_was_idle_is_not_used_again(
    between: Between, across: Run, lines: str, copy: str, http: Http, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "IDLE_S", -1.0)
    assert across("import", copy, stdin=lines).stdout == "Imported 3000 messages into queue 'copy'.\n"
    assert between.taken == 7
    assert count(http) == 3_000


class Answering:
    """Something that answers every request in one way, and is no broker."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://guest:guest@127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                with client:
                    client.settimeout(5)
                    head = b""
                    while b"\r\n\r\n" not in head:
                        head += client.recv(65_536)
                    client.sendall(b"HTTP/1.1 %s\r\n\r\n" % self._answer)

    def close(self) -> None:
        """End it."""
        self._listener.close()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"502 Bad Gateway\r\nContent-Length: 4\r\n\r\noops", "answered with status 502 and without a reason"),
        (b"404 Not Found\r\nContent-Length: 2\r\n\r\n{}", "this command needs a Leveret broker"),
        (b"200 OK\r\nContent-Length: 2\r\n\r\n[]", "this command needs a Leveret broker"),
        (b"200 OK\r\nContent-Length: 2\r\n\r\n\n\n", "this command needs a Leveret broker"),
        (b"200 OK\r\nContent-Length: 9\r\n\r\n{}", " closed the connection "),
    ],
)
def test_what_is_no_broker(answer: bytes, text: str) -> None:
    there = Answering(answer)
    for verb in ("export", "import"):
        result = leveret("messages", verb, "q", "--url", there.url)
        assert (result.returncode, result.stdout) == (1, "")
        assert text in result.stderr
        assert result.stderr.count("\n") == 1
    there.close()


def test_a_page_that_is_cut_short_is_noticed() -> None:
    head = b'{"count":2,"next":null,"ready":2,"unacked":0,"waiting":0,"expired":0,"missing":0}\n'
    one = b"\0\0\0\0\0\0\0\0\0\0\2\0\0\0\0\0\1x"
    for data in (head + one, head + one + one[:-1]):
        there = Answering(b"200 OK\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        result = leveret("messages", "export", "q", "--url", there.url)
        assert (result.returncode, result.stdout) == (1, "")
        assert result.stderr == "leveret: the broker sent an incomplete page of messages\n"
        there.close()


def test_who_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "BUSY_S", 0.01)
    body = b'{"error":"busy","reason":"too much at once"}'
    there = Answering(b"503 Busy\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    result = leveret("messages", "export", "q", "--url", there.url)
    assert result.stderr == "leveret: the broker cannot do this now: too much at once\n"
    there.close()


# -- memory


def test_neither_side_needs_more_for_more(server: Server, http: Http, copy: str, tmp_path: Path) -> None:
    http.ask("PUT", "queues/%2F/bulk", {"durable": True}).expect(201)
    peer = Peer((server.host, server.port)).login()
    channel = peer.channel()
    channel.call(QueueDeclare(queue="bulk", durable=True))
    channel.confirm()
    body = os.urandom(MIB)
    for _ in range(100):
        channel.confirmed("bulk", body, delivery_mode=2)
    peer.close()

    def most(*words: str) -> int:
        """Bytes that a command needs at most."""
        command = [sys.executable, "-m", "leveret", "messages", *words, "--url", url(server)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=surroundings())
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0
        return usage.ru_maxrss << 10

    place = Path(f"/proc/{server.process.pid}")

    def resident(key: str) -> int:
        found = next(line for line in (place / "status").read_text().splitlines() if line.startswith(key))
        return int(found.split()[1]) << 10

    small = most("export", "copy", str(tmp_path / "small"))
    (place / "clear_refs").write_text("5")
    before = resident("VmRSS")
    assert most("export", "bulk", str(tmp_path / "lines")) < small + 30 * MIB
    assert most("import", "copy", str(tmp_path / "lines")) < small + 30 * MIB
    assert resident("VmHWM") - before < 60 * MIB  # of which 20 are its budget
    assert count(http) == 100
    http.ask("DELETE", "queues/%2F/bulk").expect(204)
