"""docs/deploy.md: its files are those in examples/deploy, and its commands work in order, with other paths."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.docs.machine import CONFIG, NAME, PASSWORD, UNIT, Machine, running
from tests.docs.pages import Command, blocks, broken_links, read, steps

PAGE = "deploy.md"
FIREWALL = UNIT.parent / "firewall.nft"
SET_UP = ("useradd ", "python3 -m venv ", "/opt/leveret/bin/pip ", "ln -s ", "systemctl daemon-reload")


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """A server of its own."""
    with running(tmp_path) as found:
        yield found


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
    assert blocks(PAGE, "text") == [FIREWALL.read_text()]


@pytest.mark.skipif(shutil.which("nft") is None or os.geteuid() != 0, reason="this needs nft and root")
def test_nft_knows_the_rules() -> None:
    subprocess.run(["nft", "--check", "--file", str(FIREWALL)], check=True, timeout=60)


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
    wrong_name = ["openssl", "s_client", "-connect", f"localhost:{machine.ports[5671]}", "-CAfile", "authority.pem"]
    wrong_name += ["-verify_hostname", f"not.{NAME}", "-verify_return_error", "-brief"]
    assert subprocess.run(wrong_name, cwd=machine.root, stdin=subprocess.DEVNULL, check=False).returncode == 1
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
    assert place[1] == machine.config["management-prefix"]
    where = machine.here(target[1]) + place[1]
    status, page = get(f"{where}/")
    assert (status, f'content="{place[1]}"' in page) == (200, True)
    assert get(f"{where}/api/overview")[0] == 401


def test_links() -> None:
    assert broken_links(PAGE) == []
