"""Machine: a directory that stands for the server on which the commands of a page are run."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import trustme

from tests.brokers.process import Server, free_port
from tests.clients.command_line import leveret
from tests.clients.waiting import eventually
from tests.docs.pages import ROOT, Command

UNIT = ROOT / "examples" / "deploy" / "leveret.service"
CONFIG = ROOT / "examples" / "deploy" / "leveret.toml"
PASSWORD = "correct-horse"
NAME = "mq.example.com"  # of the server on the pages
PORTS = ("port", "tls-port", "management-port", "metrics-port")
PLACES = {
    "/var/lib/leveret": "data",
    "/etc/leveret": "etc",
    "/var/backups/leveret": "backups",
    "/root/": "root/",
}
FILES = ("cp", "find", "install", "mv", "openssl", "tar")  # commands that are run as they are
NOT_HERE = ("chown", "nft")  # which would change more than the directory of a test


def of_unit(key: str) -> str:
    """A value in the unit."""
    found = re.search(rf"^{key}=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert found is not None, key
    return found[1]


class Machine:
    """Paths and ports of a page are replaced by its own. server: the broker that `systemctl start` has started."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server: Server | None = None
        self.env: dict[str, str] = {}
        self.authority = trustme.CA()
        self.config = tomllib.loads(CONFIG.read_text())
        self.ports = {self.config[key]: free_port() for key in PORTS}
        for name in ("etc", "root"):
            (root / name).mkdir()
        (root / "etc" / "leveret.toml").write_text(self.here(CONFIG.read_text()))

    def here(self, text: str) -> str:
        """The same with paths and ports of this machine."""
        for place, name in PLACES.items():
            text = text.replace(place, f"{self.root}/{name}")
        return re.sub(r"\b\d{4,5}\b", lambda found: str(self.ports.get(int(found[0]), found[0])), text)

    def run(self, command: Command) -> None:
        """Run one command of a page, and compare what it prints with what the page shows."""
        text = self.here(command.text)
        words = shlex.split(text)
        if words[0] == "leveret":
            if words[1:3] == ["users", "add"]:
                words.insert(4, PASSWORD)  # which the command asks for at a terminal
            result = leveret(*words[1:], **self.env)
            assert result.returncode == 0, (command, result)
            if command.output:
                printed = result.stdout + result.stderr
                assert plain(printed) == plain(self.here("\n".join(command.output))), command
        elif words[0] == "export":
            name, _, value = words[1].partition("=")
            self.env[name] = value
        elif words[0] == "systemctl":
            self.systemctl(words[1])
        elif words[0] not in NOT_HERE:
            assert words[0] in FILES, text
            self.new_certificate(words)
            text = re.sub(r" -[og] leveret\b", "", text)
            text = text.replace(f"{NAME}:", "localhost:").replace("-CAfile certificate.pem", "-CAfile authority.pem")
            subprocess.run(text, shell=True, cwd=self.root, check=True)

    def new_certificate(self, words: list[str]) -> None:
        """Somebody has brought a new certificate, if one is to be installed."""
        if words[0] == "install" and "certificate.pem" in words:
            issued = self.authority.issue_cert("localhost", NAME)
            self.authority.cert_pem.write_to_path(self.root / "authority.pem")
            issued.cert_chain_pems[0].write_to_path(self.root / "certificate.pem")
            issued.private_key_pem.write_to_path(self.root / "key.pem")

    def systemctl(self, verb: str) -> None:
        """What systemd would do, by the unit."""
        if verb in ("restart", "stop"):
            self.stop()
        if verb in ("enable", "start", "restart"):
            self.start()
        elif verb == "reload":
            assert of_unit("ExecReload") == "/bin/kill -HUP $MAINPID"
            assert self.server is not None
            self.server.process.send_signal(signal.SIGHUP)
            eventually(lambda: "reloaded the certificate" in (self.root / "log").read_text())
        else:
            assert verb in ("daemon-reload", "stop")

    def start(self) -> None:
        """Start the broker with the command of the unit."""
        if not (self.root / "etc" / "key.pem").exists():
            self.new_certificate(["install", "certificate.pem"])
            for name in ("certificate.pem", "key.pem"):
                (self.root / "etc" / name).write_bytes((self.root / name).read_bytes())
        program, action, *options = shlex.split(self.here(of_unit("ExecStart")))
        assert (program, action) == ("/opt/leveret/bin/leveret", "serve")
        self.server = Server.start(*options, port=self.ports[self.config["port"]], log=self.root / "log")

    def stop(self) -> None:
        """Stop the broker with the signal of the unit."""
        if self.server is not None:
            server, self.server = self.server, None
            assert server.stop(getattr(signal, of_unit("KillSignal"))) == 0

    @property
    def url(self) -> str:
        """Where the broker is, for the user guest."""
        assert self.server is not None
        return self.server.url


@contextmanager
def running(root: Path) -> Iterator[Machine]:
    """A machine that is switched off at the end. No variable of this process changes its settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LEVERET_")}
    with patch.dict(os.environ, kept, clear=True):
        machine = Machine(root)
        try:
            yield machine
        finally:
            machine.stop()


def plain(text: str) -> list[list[str]]:
    """The words of each line, whatever the columns, the numbers and the name of the machine."""
    text = re.sub(r"leveret@\S+", "leveret@host", text)
    return [re.sub(r"\d+[\d.]*", "#", line).split() for line in text.splitlines()]
