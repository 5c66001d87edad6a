"""docs/deploy.md: its files are those in examples/deploy, and its commands work in order, with other paths."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import ssl
import subprocess
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
import trustme

from tests.brokers.process import Server, free_port
from tests.clients.command_line import leveret
from tests.clients.waiting import eventually
from tests.docs.pages import ROOT, Command, blocks, broken_links, read, steps

PAGE = "deploy.md"
UNIT = ROOT / "examples" / "deploy" / "leveret.service"
CONFIG = ROOT / "examples" / "deploy" / "leveret.toml"
SET_UP = ("useradd ", "python3 -m venv ", "/opt/leveret/bin/pip ", "ln -s ", "systemctl daemon-reload")
PASSWORD = "correct-horse"
PORTS = ("port", "tls-port", "management-port", "metrics-port")


def of_unit(key: str) -> str:
    """A value in the unit."""
    found = re.search(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None, key
    return found[1]


class Machine:
    """A directory that stands for the server of the page."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server: Server | None = None
        self.env: dict[str, str] = {}
        self.authority = trustme.CA()
        config = tomllib.loads(CONFIG.read_text())
        self.ports = {config[key]: free_port() for key in PORTS}
        (root / "etc").mkdir()
        (root / "etc" / "leveret.toml").write_text(self.here(CONFIG.read_text()))

    def here(self, text: str) -> str:
        """The same with paths and ports of this test."""
        text = text.replace("/var/lib/leveret", str(self.root / "data")).replace("/etc/leveret", str(self.root / "etc"))
        return re.sub(r"\b\d{4,5}\b", lambda found: str(self.ports.get(int(found[0]), found[0])), text)

    def run(self, command: Command) -> None:
        """Run one command of the page, and compare what it prints."""
        words = shlex.split(self.here(command.text))
        if words[0] == "install":
            self.install(words)
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self.env[name] = value
        elif words[0] == "systemctl":
            self.systemctl(words[1])
        else:
            assert words[0] == "leveret"
            if words[1:3] == ["users", "add"]:
                words.insert(4, PASSWORD)  # which the command asks for at a terminal
            result = leveret(*words[1:], **self.env)
            assert result.returncode == 0, (command, result)
            if command.output:
                assert plain(result.stdout) == plain("\n".join(command.output)), command

    def install(self, words: list[str]) -> None:
        """install(1), without owners. The certificate is a new one each time."""
        if "certificate.pem" in words:
            issued = self.authority.issue_cert("localhost")
            issued.cert_chain_pems[0].write_to_path(self.root / "certificate.pem")
            issued.private_key_pem.write_to_path(self.root / "key.pem")
        while "leveret" in words:
            place = words.index("leveret")
            assert words[place - 1] in ("-o", "-g")
            del words[place - 1 : place + 1]
        subprocess.run(words, cwd=self.root, check=True)

    def systemctl(self, verb: str) -> None:
        """What systemd would do, by the unit."""
        if verb == "enable":
            program, action, *options = shlex.split(self.here(of_unit("ExecStart")))
            assert (program, action) == ("/opt/leveret/bin/leveret", "serve")
            port = next(iter(self.ports.values()))
            self.server = Server.start(*options, port=port, log=self.root / "log")
        else:
            assert verb == "reload"
            assert of_unit("ExecReload") == "/bin/kill -HUP $MAINPID"
            assert self.server is not None
            self.server.process.send_signal(signal.SIGHUP)
            eventually(lambda: "read the certificate" in (self.root / "log").read_text())


def plain(text: str) -> list[list[str]]:
    """The words of each line, whatever the columns, numbers and the name of the machine."""
    text = re.sub(r"leveret@\S+", "leveret@host", text)
    return [re.sub(r"\d+\.\d+", "#", line).split() for line in text.splitlines()]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """It is switched off at the end. No variable overrides the configuration file."""
    for name in [each for each in os.environ if each.startswith("LEVERET_")]:
        monkeypatch.delenv(name)
    found = Machine(tmp_path)
    yield found
    if found.server is not None:
        assert found.server.stop(getattr(signal, of_unit("KillSignal"))) == 0


def get(url: str) -> tuple[int, str]:
    """Status and body of an answer."""
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


def test_the_page_shows_the_files() -> None:
    assert blocks(PAGE, "ini") == [UNIT.read_text()]
    assert blocks(PAGE, "toml") == [CONFIG.read_text()]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this needs systemd-analyze")
def test_systemd_knows_the_unit(tmp_path: Path) -> None:
    path = tmp_path / UNIT.name
    path.write_text(UNIT.read_text().replace("/opt/leveret/bin/leveret", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_command(machine: Machine) -> None:
    ran = 0
    for step in steps(PAGE):
        if isinstance(step, Command) and not step.text.startswith(SET_UP):
            machine.run(step)
            ran += 1
    assert ran > 15
    assert machine.server is not None
    clients_get_in_with_tls(machine)
    everything_to_watch_is_there(machine)
    the_proxy_leads_to_the_api(machine)


def clients_get_in_with_tls(machine: Machine) -> None:
    context = ssl.create_default_context()
    machine.authority.configure_trust(context)
    parameters: dict[str, Any] = {"ssl_options": pika.SSLOptions(context, "localhost")}
    login = pika.PlainCredentials("shop", PASSWORD)
    with pika.BlockingConnection(
        pika.ConnectionParameters("localhost", machine.ports[5671], credentials=login, **parameters)
    ) as connection:
        connection.channel().queue_declare("orders")
    served = ssl.get_server_certificate(("localhost", machine.ports[5671]))
    assert served.strip() == (machine.root / "certificate.pem").read_text().strip()


def everything_to_watch_is_there(machine: Machine) -> None:
    text = read(PAGE)
    urls = re.findall(r"`(http://127\S+)`", text)
    assert len(urls) == 3
    answers = [get(machine.here(url)) for url in urls]
    assert [status for status, _ in answers] == [200, 200, 200]
    metrics = re.findall(r"`((?:leveret|rabbitmq)_\w+)`", text)
    assert len(metrics) == 4
    assert [name for name in metrics if name not in answers[2][1]] == []


def the_proxy_leads_to_the_api(machine: Machine) -> None:
    (block,) = blocks(PAGE, "nginx")
    place = re.search(r"location (\S+)/ \{", block)
    target = re.search(r"proxy_pass (\S+);", block)
    assert place is not None
    assert target is not None
    assert place[1] == tomllib.loads(CONFIG.read_text())["management-prefix"]
    where = machine.here(target[1]) + place[1]
    status, page = get(f"{where}/")
    assert (status, f'content="{place[1]}"' in page) == (200, True)
    assert get(f"{where}/api/overview")[0] == 401


def test_links() -> None:
    assert [link for link in broken_links(PAGE) if link not in ("backup.md", "upgrade.md", "troubleshooting.md")] == []
