"""Users, virtual hosts and permissions over restarts, a kill -9 included, and logins on a real socket."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from leveret.node.loading import ConfigError, load
from leveret.wire.constants import FRAME_MAX, PROTOCOL_HEADER
from leveret.wire.methods import ChannelOpen, ChannelOpenOk, ConnectionOpen, ConnectionStartOk, ConnectionTuneOk
from tests.brokers.process import Server
from tests.clients.socketless import encode

PROGRAM = """
import asyncio, sys
from leveret.auth.passwords import argon2, salted
from leveret.node.config import Config
from leveret.node.node import Node

async def main():
    node = Node(Config(port=0, data_dir=sys.argv[1]))
    await node.start()
    broker = node.broker
    broker.add_vhost("gone")
    broker.add_vhost("v", "a description")
    broker.users.put("slow", argon2("secret"), ("management",))
    broker.users.put("quick", salted("secret"))
    for name in ("slow", "quick"):
        broker.users.set_permission(name, "v", "^mine", ".*", ".*")
    broker.users.set_topic_permission("quick", "v", "amq.topic", "^a", ".*")
    broker.users.set_limits("quick", {"max-connections": 1})
    broker.set_vhost_limits("v", {"max-queues": 1})
    broker.users.delete("guest")
    broker.delete_vhost("gone")
    broker.log.flush()
    while broker.durable_revision < broker.revision:
        await asyncio.sleep(0.01)
    print("done", flush=True)
    await asyncio.sleep(100)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A broker on the data directory of one that was killed right after it had made users and virtual hosts."""
    data = str(tmp_path_factory.mktemp("users") / "data")
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, data], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "done\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    server = Server.start("--data-dir", data)
    yield server
    server.stop()


def connect(server: Server, user: str, password: str = "secret", vhost: str = "v") -> pika.BlockingConnection:
    """Log in."""
    credentials = pika.PlainCredentials(user, password)
    return pika.BlockingConnection(pika.ConnectionParameters(server.host, server.port, vhost, credentials))


def test_users_survive(settled: Server) -> None:
    connection = connect(settled, "slow")
    channel = connection.channel()
    with pytest.raises(ChannelClosedByBroker, match="configure access to queue 'other' in vhost 'v' refused"):
        channel.queue_declare("other")
    channel = connection.channel()
    channel.queue_declare("mine", exclusive=True)
    with pytest.raises(ChannelClosedByBroker, match=r"queue limit in vhost 'v' \(1\) is reached"):
        channel.queue_declare("mine too", exclusive=True)
    again = [connect(settled, "slow") for _ in range(5)]
    for each in (connection, *again):
        each.close()


@pytest.mark.parametrize(("user", "password"), [("slow", "wrong"), ("quick", "wrong"), ("guest", "guest")])
def test_wrong_passwords_and_deleted_users(settled: Server, user: str, password: str) -> None:
    with pytest.raises(ProbableAuthenticationError, match="Login was refused using authentication mechanism PLAIN"):
        connect(settled, user, password)


def test_topic_permissions_and_limits_survive(settled: Server) -> None:
    connection = connect(settled, "quick")
    with pytest.raises(ProbableAccessDeniedError, match=r"user connection limit \(1\) is reached"):
        connect(settled, "quick")
    channel = connection.channel()
    channel.confirm_delivery()
    channel.basic_publish("amq.topic", "a.b", b"")
    with pytest.raises(ChannelClosedByBroker, match=r"write access to topic 'b' in exchange 'amq\.topic'"):
        channel.basic_publish("amq.topic", "b", b"")
    connection.close()


@pytest.mark.parametrize(("vhost", "text"), [("gone", "vhost gone not found"), ("/", "access to vhost '/' refused")])
def test_virtual_hosts_without_access(settled: Server, vhost: str, text: str) -> None:
    with pytest.raises(ProbableAccessDeniedError, match=text):
        connect(settled, "slow", vhost=vhost)


def test_a_client_that_does_not_wait_for_its_login(settled: Server) -> None:
    said = [
        PROTOCOL_HEADER,
        encode(0, ConnectionStartOk({}, "PLAIN", b"\x00slow\x00secret", "en_US")),
        encode(0, ConnectionTuneOk(2047, FRAME_MAX, 0)),
        encode(0, ConnectionOpen("v")),
        encode(1, ChannelOpen()),
    ]
    for cuts in (1, len(said)):  # in one piece, and in five
        with socket.create_connection((settled.host, settled.port), 10) as client:
            for at in range(cuts):
                client.sendall(b"".join(said[at * len(said) // cuts : (at + 1) * len(said) // cuts]))
                time.sleep(0.005)
            received = b""
            while not received.endswith(encode(1, ChannelOpenOk())):
                piece = client.recv(65536)
                assert piece, received
                received += piece


# -- settings


def test_loopback_users_is_a_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load({}).loopback_users == ("guest",)
    file = tmp_path / "leveret.toml"
    file.write_text('loopback-users = ["guest", "admin"]\n')
    assert load({"config": str(file)}).loopback_users == ("guest", "admin")
    monkeypatch.setenv("LEVERET_LOOPBACK_USERS", "a,b")
    assert load({"config": str(file)}).loopback_users == ("a", "b")
    assert load({"config": str(file), "loopback-users": "c"}).loopback_users == ("c",)
    monkeypatch.setenv("LEVERET_LOOPBACK_USERS", "")
    assert load({"config": str(file)}).loopback_users == ()


def test_loopback_users_has_to_be_a_list(tmp_path: Path) -> None:
    file = tmp_path / "leveret.toml"
    file.write_text('loopback-users = "guest"\n')
    with pytest.raises(ConfigError, match="loopback-users"):
        load({"config": str(file)})
