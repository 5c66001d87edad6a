"""Where the API listens, with TLS and without, and what keeps a broker from starting."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pika
import pytest
import trustme

import leveret
from leveret.node.logs import MOST
from leveret.testing.server import NotRunning
from tests.api.http import Http
from tests.api.raw import wire
from tests.brokers.process import Server, free_port
from tests.clients.waiting import eventually

VERSION = "GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n"


def refused(*options: str) -> str:
    """What a broker says that does not start."""
    command = [sys.executable, "-m", "leveret", "serve", "--memory", "--port", "0", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    return done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--management-tls"], "--management-tls requires a certificate: give it with tls-certificate"),
        (["--management-prefix", "leveret"], "expected the beginning of a path like /leveret, or nothing for none"),
        (["--management-prefix", "/a?b"], "expected the beginning of a path like /leveret, or nothing for none"),
        (["--management-prefix", "/a b"], "expected the beginning of a path like /leveret, or nothing for none"),
        (["--management-port", "0", "--management-host", "nowhere.invalid"], "check --management-host"),
    ],
)
def test_what_keeps_a_broker_from_starting(options: list[str], said: str) -> None:
    text = refused(*options)
    assert said in text
    assert text.count("\n") == 1


def test_a_port_that_was_asked_for_and_is_taken_keeps_a_broker_from_starting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused("--management-port", str(port))
        assert f"port {port} on 127.0.0.1 is in use; stop what uses it or choose another with --management-port" in said


def test_without_its_usual_port_a_broker_serves_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEVERET_MANAGEMENT_PORT")
    with contextlib.ExitStack() as taken:
        with contextlib.suppress(OSError):  # by something else, which is as good
            taken.enter_context(socket.create_server(("127.0.0.1", 15672)))
        server = Server.start("--memory", log=tmp_path / "log")
        assert "no HTTP API: port 15672 on 127.0.0.1 is in use" in (tmp_path / "log").read_text()
        assert server.stop() == 0


def test_a_broker_may_be_reached_by_both_kinds_of_addresses() -> None:
    port = free_port("0.0.0.0")
    server = Server.start("--memory", "--management-host", "::", "--management-port", str(port))
    for host in ("127.0.0.1", "[::1]"):
        assert Http(f"http://{host}:{port}").ask("GET", "overview").status == 200
    server.stop()


def test_a_prefix_stands_before_all_paths() -> None:
    port = free_port()
    server = Server.start("--memory", "--management-prefix", "/leveret/", "--management-port", str(port))
    http = Http(f"http://127.0.0.1:{port}")
    for path in ("/leveret/api/overview", "/api/overview"):
        assert http.ask("GET", path).status == 200
    assert http.ask("GET", "/other/api/overview").status == 404
    found: Any = http.ask("GET", "/leveret/api/openapi.json").json
    assert found["servers"] == [{"url": "/leveret/api"}]
    body = {"username": "guest", "password": "guest"}
    assert "; Path=/leveret;" in http.ask("POST", "leveret/session", body).headers["set-cookie"]
    server.stop()


def test_https_and_another_certificate_without_a_restart(tmp_path: Path) -> None:
    ca, file = trustme.CA(), tmp_path / "broker.pem"
    one, two = (ca.issue_cert("localhost", "127.0.0.1") for _ in range(2))
    one.private_key_and_cert_chain_pem.write_to_path(str(file))
    context = ssl.create_default_context()
    ca.configure_trust(context)
    port = free_port()
    tls = ["--tls-certificate", str(file), "--tls-port", "0"]
    server = Server.start("--memory", *tls, "--management-tls", "--management-port", str(port), log=tmp_path / "log")
    api = f"https://127.0.0.1:{port}"

    def shown() -> bytes:
        with wire(api, context=context) as client:
            assert isinstance(client.socket, ssl.SSLSocket)
            client.send(VERSION)
            assert client.answer()[0] == 200
            return client.socket.getpeercert(binary_form=True) or b""

    first = shown()
    body = b'{"username":"guest","password":"guest"}'
    with wire(api, context=context) as kept, wire(api.replace("https", "http")) as plain:
        kept.ask("POST", "/api/leveret/session", body=body)
        assert "; SameSite=Strict; Secure" in kept.answer()[1]
        plain.send(VERSION)
        assert plain.is_ended()
        two.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "new"))
        shutil.move(tmp_path / "new", file)
        os.kill(server.process.pid, signal.SIGHUP)
        eventually(lambda: shown() != first)
        kept.ask("GET", "/api/version")
        assert kept.answer()[0] == 200
    assert server.stop() == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_probes_need_no_login(tmp_path: Path) -> None:
    port = free_port()
    server = Server.start("--memory", "--max-connections", "1", "--management-port", str(port))
    nobody = Http(f"http://127.0.0.1:{port}", "")
    assert nobody.ask("GET", "leveret/live").expect(200).json == {"status": "ok"}
    assert nobody.ask("GET", "leveret/ready").expect(200).json == {"status": "ok"}
    with pika.BlockingConnection(pika.URLParameters(server.url)):
        assert nobody.ask("GET", "leveret/ready").expect(503).json == {
            "status": "failed",
            "reason": "the limit of 1 connections is reached",
        }
        assert nobody.ask("GET", "leveret/live").status == 200
    server.stop()


def test_what_strangers_have_logged_is_bounded(tmp_path: Path) -> None:
    port = free_port()
    server = Server.start("--memory", "--management-port", str(port), log=tmp_path / "log")
    for _ in range(200):
        with wire(f"http://127.0.0.1:{port}") as client:
            client.send("nonsense\r\n\r\n")
            assert client.is_ended()
    Http(f"http://127.0.0.1:{port}", "no\nbody").ask("GET", "overview").expect(401)
    server.stop()
    lines = (tmp_path / "log").read_text().splitlines()
    told = [line for line in lines if line.endswith(": Invalid HTTP request received")]
    assert len(told) == MOST
    assert " WARNING leveret.api: HTTP client 127.0.0.1:" in told[0]
    assert "HTTP login from 127.0.0.1 refused: user 'no\\nbody' - invalid credentials" in lines[-1]


def test_tests_have_an_api_if_they_want_one() -> None:
    with leveret.Broker() as without, pytest.raises(ValueError, match=r"management=True"):
        _ = without.management_url
    with leveret.Broker(management=True) as broker:
        url = broker.management_url
        assert Http(url).ask("GET", "overview").status == 200
        Http(url).ask("PUT", "queues/%2F/kept", {"durable": True}).expect(201)
        broker.restart()
        assert broker.management_url == url
        assert Http(url).ask("GET", "queues/%2F/kept").status == 200
    with pytest.raises(NotRunning):
        _ = broker.management_url
