"""docs/testing/languages.md and ci.md: what they show is run, as far as its languages and libraries are installed.

`LEVERET_TEST_NODE_PATH` is a `node_modules` with amqplib, for Node that does not find it by itself.
`LEVERET_TEST_CLASSPATH` has the jars of RabbitMQ's Java client and of JUnit 5 with its console launcher,
`LEVERET_TEST_GOPATH` the sources of amqp091-go; without them, those of Debian's packages are taken.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from leveret.node.cli import app
from tests.brokers.process import free_port
from tests.clients.waiting import eventually

from .support import connect, is_listening

PAGES = Path(__file__).parents[2] / "docs" / "testing"
BLOCK = re.compile(r"^```(?:js|java|go)\n// (\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

DEADLINE_S = 100.0

GREETING_NODE = """
import { connect } from 'node:net';
import { startBroker } from './broker.mjs';

const broker = await startBroker();
console.log(JSON.stringify(broker));
const socket = connect(broker.port, broker.host, () => socket.write('AMQP\\0\\0\\x09\\x01'));
socket.once('data', async (data) => {
  console.log(data.subarray(0, 3).toString('hex'), data.readUInt32BE(7).toString(16));
  socket.destroy();
  console.log(await broker.stop());
});
"""

GREETING_JAVA = """
import java.io.DataInputStream;
import java.net.Socket;
import java.net.URI;

class Greeting {
    public static void main(String[] options) throws Exception {
        try (LeveretBroker broker = new LeveretBroker(options)) {
            System.out.println(broker.url);
            URI url = new URI(broker.url);
            try (Socket socket = new Socket(url.getHost(), url.getPort())) {
                socket.getOutputStream().write(new byte[] {'A', 'M', 'Q', 'P', 0, 0, 9, 1});
                DataInputStream input = new DataInputStream(socket.getInputStream());
                System.out.printf("%02x%04x ", input.readByte(), input.readShort());
                input.readInt();
                System.out.printf("%x%n", input.readInt());
            }
        }
        System.out.println("closed");
    }
}
"""

GREETING = "010000 a000a"  # a method on channel 0: connection.start


def files(folder: Path, *suffixes: str) -> None:
    """Write files of the page."""
    found = {
        name: code for name, code in BLOCK.findall((PAGES / "languages.md").read_text()) if name.endswith(suffixes)
    }
    assert len(found) == 2
    for name, code in found.items():
        (folder / name).write_text(code)


def surroundings(**more: str) -> dict[str, str]:
    """The environment, in which `leveret` is the one of these tests."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "NO_COLOR": "1", **more}


def run(folder: Path, *command: str, code: int = 0, environment: dict[str, str] | None = None) -> str:
    """Run a program there, and return what it prints."""
    done = subprocess.run(
        command,
        cwd=folder,
        env=surroundings(**(environment or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == code, done.stdout
    return done.stdout


def needs(program: str, *version: str, least: int) -> str:
    """Where a program is. Skips the test where there is none, or only an older one."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program}")
    said = subprocess.run([found, *version], capture_output=True, text=True, check=True).stdout
    number = re.search(r"\d+", said)
    if number is None or int(number[0]) < least:
        pytest.skip(f"{program} is too old: {said.strip()}")
    return found


# -- Node


@pytest.fixture
def node() -> str:
    return needs("node", "--version", least=18)


def test_node(node: str, tmp_path: Path) -> None:
    files(tmp_path, ".mjs")
    (tmp_path / "greeting.mjs").write_text(GREETING_NODE)
    line, greeting, code = run(tmp_path, node, "greeting.mjs").splitlines()
    told = json.loads(line)
    assert told["url"] == f"amqp://guest:guest@127.0.0.1:{told['port']}"
    assert (greeting, code) == (GREETING, "0")
    assert not is_listening(told["port"])


def test_node_ends_without_stop(node: str, tmp_path: Path) -> None:
    files(tmp_path, ".mjs")
    script = "import { startBroker } from './broker.mjs'; console.log((await startBroker()).port); process.exit()"
    port = int(run(tmp_path, node, "--input-type=module", "-e", script))
    eventually(lambda: not is_listening(port))


def test_node_with_a_wrong_option(node: str, tmp_path: Path) -> None:
    files(tmp_path, ".mjs")
    script = "import { startBroker } from './broker.mjs'; await startBroker('--port', '70000')"
    said = run(tmp_path, node, "--input-type=module", "-e", script, code=1)
    assert 'leveret: --port cannot be "70000"' in said
    assert "Error: leveret has not started: exit code 2" in said


def test_node_without_leveret(node: str, tmp_path: Path) -> None:
    files(tmp_path, ".mjs")
    script = "import { startBroker } from './broker.mjs'; await startBroker()"
    said = run(tmp_path, node, "--input-type=module", "-e", script, code=1, environment={"PATH": str(tmp_path)})
    assert "spawn leveret ENOENT" in said


def test_node_recipe(node: str, tmp_path: Path) -> None:
    modules = os.environ.get("LEVERET_TEST_NODE_PATH", "")
    environment = {**os.environ, "NODE_PATH": os.pathsep.join(filter(None, [modules, os.environ.get("NODE_PATH", "")]))}
    code = "console.log(require.resolve('amqplib'))"
    found = subprocess.run([node, "-e", code], env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        pytest.skip("Node finds no amqplib; LEVERET_TEST_NODE_PATH may say where one is")
    files(tmp_path, ".mjs")
    (tmp_path / "node_modules").symlink_to(f"{found.stdout.rpartition('/node_modules/')[0]}/node_modules")
    said = run(tmp_path, node, "--test")
    assert re.search(r"^. pass 1$", said, re.MULTILINE), said
    assert re.search(r"^. fail 0$", said, re.MULTILINE), said


# -- Java


@pytest.fixture
def java() -> str:
    needs("javac", "--version", least=17)
    return needs("java", "--version", least=17)


def jars() -> str:
    """The class path for the recipe. Skips the test where there is none."""
    given = os.environ.get("LEVERET_TEST_CLASSPATH")
    if given:
        return given
    names = (
        *("amqp-client", "slf4j-api", "slf4j-nop", "junit-jupiter-api", "junit-jupiter-engine", "opentest4j"),
        *(f"junit-platform-{name}" for name in ("commons", "engine", "launcher", "console", "reporting")),
        *("apiguardian-api", "picocli", "univocity-parsers"),
    )
    found = [Path(f"/usr/share/java/{name}.jar") for name in names]
    if not all(jar.exists() for jar in found):
        pytest.skip("no RabbitMQ client for Java, or no JUnit; LEVERET_TEST_CLASSPATH may say where their jars are")
    return os.pathsep.join(map(str, found))


def test_java(java: str, tmp_path: Path) -> None:
    files(tmp_path, ".java")
    (tmp_path / "Greeting.java").write_text(GREETING_JAVA)
    run(tmp_path, "javac", "Greeting.java")
    url, greeting, closed = run(tmp_path, java, "-Xshare:auto", "-cp", ".", "Greeting").splitlines()
    assert (greeting, closed) == (GREETING, "closed")
    assert not is_listening(urlsplit(url).port or 0)
    said = run(tmp_path, java, "-Xshare:auto", "-cp", ".", "Greeting", "--port", "70000", code=1)
    assert 'leveret: --port cannot be "70000"' in said
    assert "java.io.IOException: leveret has not started" in said


def test_java_recipe(java: str, tmp_path: Path) -> None:
    classpath = os.pathsep.join([".", jars()])
    files(tmp_path, ".java")
    run(tmp_path, "javac", "-cp", classpath, "LeveretBroker.java", "OrdersTest.java")
    launcher = "org.junit.platform.console.ConsoleLauncher"
    said = run(tmp_path, java, "-cp", classpath, launcher, "--select-class", "OrdersTest", "--details", "summary")
    assert re.search(r"\[ +1 tests successful +\]", said), said


# -- Go


def test_go_recipe(tmp_path: Path) -> None:
    go = needs("go", "version", least=1)
    path = os.environ.get("LEVERET_TEST_GOPATH", "/usr/share/gocode")
    if not Path(path, "src/github.com/rabbitmq/amqp091-go").is_dir():
        pytest.skip("no amqp091-go; LEVERET_TEST_GOPATH may say where its sources are")
    folder = tmp_path / "src" / "orders"
    folder.mkdir(parents=True)
    files(folder, ".go")
    places = {"GOPATH": f"{tmp_path}{os.pathsep}{path}", "GOCACHE": os.environ.get("GOCACHE", str(tmp_path / "cache"))}
    settings = {"GO111MODULE": "off", "GOFLAGS": "", "CGO_ENABLED": "0", **places}
    assert run(folder, str(Path(go).with_name("gofmt")), "-l", ".") == ""
    said = run(folder, go, "test", "-v", ".", environment=settings)
    assert "--- PASS: TestAnOrderArrives" in said


# -- what the page says of the line and the options


def test_the_line_of_the_page() -> None:
    text = (PAGES / "languages.md").read_text()
    shown = json.loads(re.search(r"^    (\{.*\})$", text, re.MULTILINE)[1])  # type: ignore[index]
    command = [sys.executable, "-m", "leveret", "serve", "--ephemeral", "--json"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=DEADLINE_S, check=True)
    told = json.loads(done.stdout)
    assert list(told) == list(shown)
    assert {key: type(value) for key, value in told.items()} == {key: type(value) for key, value in shown.items()}
    table = text[: text.index("\n## ")]
    assert all(f"`{key}`" in table for key in (*told, "tls_url", "tls_port", "management_url"))


def test_the_options_of_the_pages() -> None:
    commands = [each.callback for each in app.registered_commands if each.callback is not None]
    (serve,) = (each for each in commands if each.__name__ == "serve")
    known = {name.replace("_", "-") for name in serve.__annotations__}
    for page in ("languages.md", "ci.md", "recording.md"):
        text = (PAGES / page).read_text()
        shown = re.findall(r"leveret serve ([^`\n]*)", text) + re.findall(r"^\| `(--.*?)` \|", text, re.MULTILINE)
        for command in shown:
            assert set(re.findall(r"--([\w-]+)", command)) <= known, command


# -- ci.md

SCRIPT = """
import os

import pika

with pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])) as connection:
    connection.channel().queue_declare("ci")
"""
STEP = re.compile(
    r"^      - name: (.+)\n(?:        if: .*\n)?        run: (?:\|\n((?:          .*\n)+)|(.+)\n)", re.MULTILINE
)


@pytest.fixture
def port() -> int:
    """A port that stands in place of 5672."""
    return free_port()


@pytest.fixture
def page(port: int) -> str:
    """With another port, and with more time than a machine needs that does nothing else."""
    return (PAGES / "ci.md").read_text().replace("5672", str(port)).replace("timeout 10 ", "timeout 60 ")


def url(page: str) -> str:
    """What the tests are told."""
    (found,) = set(re.findall(r" AMQP_URL: (\S+)", page))
    return str(found)


class Runner:
    """Runs scripts as a CI does: in a folder, one after the other, each in a shell of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self._groups: list[int] = []
        programs = folder / "bin"
        programs.mkdir()
        for name, code in {"pip": "", "npm": SCRIPT, "pytest": SCRIPT}.items():
            program = programs / name
            program.write_text(f"#!{sys.executable}\n{code}\n")
            program.chmod(0o755)
        self.environment = surroundings(LEVERET_PORT=str(port))  # for a broker that is not told another
        self.environment["PATH"] = f"{programs}{os.pathsep}{self.environment['PATH']}"

    def run(self, script: str, *shell: str, stdin: str | None = None, **environment: str) -> int:
        """Run a script, and return its exit code; what it leaves in the background goes on."""
        file = self.folder / "script.sh"
        file.write_text(script)
        with (self.folder / "output").open("a") as output:
            process = subprocess.Popen(
                shell or ["bash", "-e", str(file)],
                cwd=self.folder,
                env={**self.environment, **environment},
                stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self._groups.append(process.pid)
        process.communicate(stdin, DEADLINE_S)
        return process.returncode

    def end(self) -> None:
        """End what goes on."""
        for group in self._groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


@pytest.fixture
def runner(tmp_path: Path, port: int) -> Iterator[Runner]:
    if shutil.which("bash") is None:
        pytest.skip("no bash")
    runner = Runner(tmp_path, port)
    yield runner
    runner.end()


def steps(page: str) -> list[tuple[str, str]]:
    """The scripts of the page, by their names."""
    return [(name, re.sub("^ {10}", "", block, flags=re.MULTILINE) or line) for name, block, line in STEP.findall(page)]


def test_steps(page: str, runner: Runner, port: int) -> None:
    (_, start), (_, test), (_, show), _ = steps(page)
    assert runner.run(start) == 0
    assert runner.run(test, AMQP_URL=url(page)) == 0  # the broker goes on in the next step
    assert runner.run(test, AMQP_URL=url(page)) == 0
    with connect(url(page)) as connection:
        connection.channel().basic_publish("", "ci", b"Hello!")
        connection.channel().queue_delete("ci")
    assert runner.run(show) == 0
    assert f"ready on amqp://127.0.0.1:{port}" in (runner.folder / "output").read_text()
    assert "'' 'ci' -> ci: 'Hello!'" in (runner.folder / "output").read_text()
    assert runner.run(test, AMQP_URL=f"amqp://127.0.0.1:{free_port()}") != 0  # it would fail


def test_the_step_fails_without_its_port(page: str, runner: Runner, port: int) -> None:
    start = steps(page)[0][1].replace("timeout 60 ", "timeout 6 ")
    with socket.create_server(("127.0.0.1", port)):
        assert runner.run(start) == 1
    assert f"leveret: port {port} on 127.0.0.1 is in use" in (runner.folder / "output").read_text()


def test_a_step_with_a_free_port(page: str, runner: Runner, port: int) -> None:
    *_, (_, start) = steps(page)
    file = runner.folder / "environment"
    assert runner.run(start, GITHUB_ENV=str(file)) == 0
    name, _, value = file.read_text().strip().partition("=")
    assert name == "AMQP_URL"
    assert urlsplit(value).port != port
    assert runner.run("npm test", AMQP_URL=value) == 0


def test_gitlab(page: str, runner: Runner, port: int) -> None:
    block = page[page.index("# .gitlab-ci.yml") :].partition("```")[0]
    lines = re.findall(r"^    - (.*)$", block, re.MULTILINE)
    assert [line.split()[0] for line in lines] == ["pip", "leveret", "timeout", "pytest"]
    script = "\n".join([*lines, "cat leveret.log"])
    shell = f"set -eo pipefail\n: | eval {shlex.quote(script)}\nexit 0\n"  # as its runner does, on standard input
    assert runner.run("", "bash", stdin=shell, AMQP_URL=url(page)) == 0
    assert f"ready on amqp://127.0.0.1:{port}" in (runner.folder / "output").read_text()
    eventually(lambda: not is_listening(port))  # with the shell of the job


def test_other_containers(page: str, runner: Runner) -> None:
    command = re.search(r"^    (leveret serve .*)$", page, re.MULTILINE)
    assert command is not None
    wait = "timeout 60 sh -c 'until grep -q url told; do sleep 0.1; done'"
    script = f"{command[1]} --port 0 --json >told 2>log &\n{wait}"
    assert runner.run(script) == 0
    told = json.loads((runner.folder / "told").read_text())
    assert told["host"] == "127.0.0.1"  # where a client on the same machine reaches it
    with connect(f"amqp://guest:guest@127.0.0.1:{told['port']}") as connection:
        assert connection.is_open
