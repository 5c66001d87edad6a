"""The port for TLS, with real clients: messages, certificates, those who speak something else, and ends."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aio_pika
import kombu
import pika
import pytest
import trustme
import uvloop

from leveret.auth.internal import InternalAuthenticator
from leveret.node.config import Config
from leveret.node.tls import make_context
from leveret.server import guests
from leveret.server.driver import Driver
from leveret.server.listener import Listener
from leveret.server.openings import OPENINGS
from leveret.server.transport import ClientProtocol
from tests.brokers.process import Server
from tests.clients.codec import PROTOCOL_HEADER
from tests.clients.command_line import process
from tests.clients.link import Link
from tests.clients.methods import ConnectionBlocked, QueueDeclare, QueueDeclareOk
from tests.clients.methods_basic import BasicConsume
from tests.clients.peer import Peer
from tests.clients.socketless import make_broker
from tests.clients.waiting import eventually

HELLO = b"\x16\x03\x01\x00\xfb\x01\x00\x00"  # the beginning of what a client says first


class Files:
    """Throw-away certificates: a CA, what it has issued to the broker and to a client, and what nobody knows."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.authority = trustme.CA()
        self.stranger = trustme.CA()
        self.ca = self._write("ca.pem", self.authority.cert_pem)
        self.server = self.issue("server.pem")

    def _write(self, name: str, *blobs: trustme.Blob) -> str:
        path = self.directory / name
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)

    def issue(self, name: str, authority: trustme.CA | None = None) -> str:
        """A file with a key and a certificate."""
        issued = (authority or self.authority).issue_cert("localhost", "127.0.0.1")
        return self._write(name, issued.private_key_pem, *issued.cert_chain_pems)

    def apart(self, name: str) -> tuple[str, str]:
        """A certificate and its key, in a file each."""
        issued = self.authority.issue_cert("localhost")
        return self._write(f"{name}.crt", *issued.cert_chain_pems), self._write(f"{name}.key", issued.private_key_pem)

    def client(self, certificate: str = "") -> ssl.SSLContext:
        """What a client needs that checks the broker's certificate and shows this one."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(certificate)
        return context


@dataclass
class Node:
    """A broker process with a port for TLS."""

    server: Server
    files: Files
    log_file: Path

    @property
    def address(self) -> tuple[str, int]:
        """Where it speaks TLS."""
        found = re.search(r"amqps://([^:]+):(\d+)", self.server.ready_line)
        assert found is not None
        return found[1], int(found[2])

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self.log_file.read_text()

    def sockets(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.server.process.pid}/fd"))

    def pika(self, context: ssl.SSLContext | None = None) -> pika.BlockingConnection:
        """A connection of pika."""
        options = pika.SSLOptions(context or self.files.client(), "localhost")
        return pika.BlockingConnection(pika.ConnectionParameters(*self.address, ssl_options=options))

    def connect(self, context: ssl.SSLContext | None = None) -> ssl.SSLSocket:
        """A socket that speaks TLS."""
        raw = socket.create_connection(self.address, 10)
        return (context or self.files.client()).wrap_socket(raw, server_hostname="localhost")

    def peer(self) -> Peer:
        """An open connection of the client that shows every frame."""
        peer = Peer(self.address)
        peer.link.socket = self.files.client().wrap_socket(peer.link.socket, server_hostname="localhost")
        return peer.login()


@contextlib.contextmanager
def running(files: Files, *options: str) -> Iterator[Node]:
    """A broker that shows the certificate server.pem."""
    number = len(list(files.directory.glob("log-*.txt")))
    log_file = files.directory / f"log-{number}.txt"
    words = ["--memory", "--log-level", "info", "--tls-port", "0", "--tls-certificate", files.server, *options]
    node = Node(Server.start(*words, log=log_file), files, log_file)
    try:
        yield node
        assert node.server.stop() == 0
        assert "Traceback" not in node.log
    finally:
        node.server.stop()


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """Certificates that no test changes."""
    return Files(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def node(files: Files) -> Iterator[Node]:
    """A broker that several tests use."""
    with running(files) as node:
        yield node


def test_the_ready_line_names_both_addresses(node: Node) -> None:
    addresses = r"amqp://127\.0\.0\.1:\d+ and amqps://127\.0\.0\.1:\d+"
    assert re.fullmatch(rf"Leveret \S+ \(\w+\) ready on {addresses} in \d+ ms\n", node.server.ready_line)


def test_pika(node: Node) -> None:
    large = os.urandom(1 << 20) * 16
    with node.pika() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, large)
        assert channel.basic_get(queue, auto_ack=True)[2] == large
        small = [b"%d" % number for number in range(2000)]
        for body in small:
            channel.basic_publish("", queue, body)
        got = []
        for method, _, body in channel.consume(queue, inactivity_timeout=60):
            assert method is not None
            channel.basic_ack(method.delivery_tag)
            got.append(body)
            if len(got) == len(small):
                break
        assert got == small


def test_aio_pika(node: Node) -> None:
    host, port = node.address

    async def scenario() -> None:
        url = f"amqps://guest:guest@{host}:{port}/"
        async with await aio_pika.connect(url, ssl_context=node.files.client()) as connection:
            channel = await connection.channel()
            queue = await channel.declare_queue(exclusive=True)
            bodies = [b"%d" % number for number in range(1000)]
            messages = [aio_pika.Message(body) for body in bodies]
            await asyncio.gather(*[channel.default_exchange.publish(message, queue.name) for message in messages])
            got = []
            async with queue.iterator(no_ack=True, timeout=60) as iterator:
                async for message in iterator:
                    got.append(message.body)
                    if len(got) == len(bodies):
                        break
            assert got == bodies

    asyncio.run(scenario())


def test_kombu(node: Node) -> None:
    host, port = node.address
    options: Any = {"ca_certs": node.files.ca, "cert_reqs": ssl.CERT_REQUIRED, "server_hostname": "localhost"}
    with kombu.Connection(f"amqp://guest:guest@{host}:{port}//", ssl=options) as connection:
        queue: Any = connection.SimpleQueue("tls-kombu")
        queue.put({"some": "thing"})
        assert queue.get(timeout=60).payload == {"some": "thing"}
        queue.close()
        queue.queue.delete()


def test_the_protocol_version_is_logged(node: Node) -> None:
    context = node.files.client()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with node.connect(context) as client:
        assert client.version() == "TLSv1.2"
        own = shown(client.getsockname())
    eventually(lambda: f"connection {own} -> " in node.log)
    assert re.search(rf"connection {re.escape(own)} -> \S+: TLSv1\.2, ECDHE-", node.log) is not None


def shown(address: tuple[str, int]) -> str:
    """An address as the log has it."""
    return f"{address[0]}:{address[1]}"


def test_versions_below_are_refused(files: Files) -> None:
    context = make_context(Config(tls_certificate=files.server))
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2


def test_half_of_a_connection_is_no_connection(node: Node) -> None:
    """Who says that it sends no more gets the answers to what it has sent, and the end."""
    peer = node.peer()
    channel = peer.channel()
    channel.call(QueueDeclare(queue="tls-half", durable=False))
    for number in range(100):
        channel.publish("tls-half", b"%d" % number)
    client = peer.link.socket
    assert isinstance(client, ssl.SSLSocket)
    client.unwrap()
    other = node.peer().channel()
    eventually(lambda: declared(other, "tls-half").message_count == 100)


def declared(channel: Any, queue: str) -> QueueDeclareOk:
    """What there is in a queue."""
    answer = channel.call(QueueDeclare(queue=queue, passive=True))
    assert isinstance(answer, QueueDeclareOk)
    return answer


def test_who_does_not_read_gets_no_more_than_fits_into_sockets(node: Node) -> None:
    body = bytes(1 << 20)
    with node.pika() as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("tls-unread")
        for _ in range(64):
            channel.basic_publish("", "tls-unread", body)
        sleeper = node.peer()
        sleeper.channel().call(BasicConsume(queue="tls-unread", no_ack=True))
        for _ in range(20):
            channel.basic_publish("", "nowhere", body)  # it has time
        assert channel.queue_declare("tls-unread", passive=True).method.message_count > 32
        sleeper.link.socket.close()
        channel.queue_delete("tls-unread")


def test_what_came_before_the_end_counts_though_reading_was_paused(files: Files) -> None:
    """A blocked publisher that goes away: uvloop would drop what it had not handed over."""
    with running(files, "--memory-high-watermark", "0.000001") as node:
        peer = node.peer()
        channel = peer.channel()
        channel.call(QueueDeclare(queue="q", durable=False))
        other = node.peer().channel()
        channel.publish("q", b"0")
        peer.expect(ConnectionBlocked)
        for number in range(1, 1000):
            channel.publish("q", b"%d" % number)
        peer.link.socket.close()
        eventually(lambda: declared(other, "q").message_count == 1000)
        other.link.socket.close()


# -- certificates of clients


@pytest.mark.parametrize("is_required", [False, True])
def test_certificates_of_clients(files: Files, is_required: bool) -> None:
    options = ["--tls-ca", files.ca, *(["--tls-require-client-certificate"] if is_required else [])]
    with running(files, *options) as node:
        known = files.client(files.issue("client.pem"))
        with node.pika(known) as connection:
            connection.channel()
        unknown = files.client(files.issue("stranger.pem", files.stranger))
        refuses(node, unknown, "certificate refused: unable to get local issuer certificate")
        if is_required:
            refuses(node, files.client(), "peer did not return a certificate")
        else:
            with node.pika() as connection:
                connection.channel()


def refuses(node: Node, context: ssl.SSLContext, why: str) -> None:
    """Nobody gets in with this; the log warns of it."""
    with pytest.raises((pika.exceptions.AMQPError, OSError)):
        node.pika(context)
    wanted = rf"WARNING leveret\.connection: connection \S+ -> \S+: TLS handshake failed: {why}\n"
    eventually(lambda: re.search(wanted, node.log) is not None)


def test_nobody_is_asked_for_a_certificate_without_a_ca(node: Node) -> None:
    with node.pika(node.files.client(node.files.issue("own.pem", node.files.stranger))) as connection:
        connection.channel()


# -- who speaks something else, or not at all


def test_a_client_without_tls_on_the_port_with_tls(node: Node) -> None:
    before = node.sockets()
    link = Link(node.address)
    link.send_bytes(PROTOCOL_HEADER)
    with contextlib.suppress(ConnectionResetError):
        assert b"AMQP" not in link.socket.recv(100)
    wanted = r"INFO leveret\.connection: connection \S+ -> \S+: TLS handshake failed: the client did not speak TLS"
    eventually(lambda: re.search(wanted, node.log) is not None)
    eventually(lambda: node.sockets() <= before)


def test_a_client_with_tls_on_the_port_without_tls(node: Node) -> None:
    raw = socket.create_connection((node.server.host, node.server.port), 10)
    with pytest.raises(ssl.SSLError):
        node.files.client().wrap_socket(raw, server_hostname="localhost")
    eventually(lambda: "TLS on a port without TLS" in node.log)


def test_sockets_closed_amid_the_handshake(node: Node) -> None:
    before = node.sockets()
    said = "TLS handshake failed: the client closed the socket\n"
    noted = node.log.count(said)
    for sent in (b"", HELLO[:3], HELLO):
        for reset in (False, True):
            raw = socket.create_connection(node.address, 10)
            raw.sendall(sent)
            if reset:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            raw.close()
    eventually(lambda: node.log.count(said) == noted + 6)
    eventually(lambda: node.sockets() <= before)


def test_a_handshake_does_not_hold_up_the_end(files: Files) -> None:
    with running(files) as node:
        link = Link(node.address)
        link.send_bytes(HELLO)
        connection = node.pika()
        node.server.process.terminate()
        with pytest.raises(pika.exceptions.ConnectionClosedByBroker, match="CONNECTION_FORCED"):
            connection.process_data_events(time_limit=10)
        assert node.server.process.wait(60) == 0
        assert link.socket.recv(100) == b""


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_on_both_event_loops(
    files: Files, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, new_loop: Any
) -> None:
    """A handshake has five seconds, here half a one; nothing is delayed, and nothing stays."""
    assert guests.TLS_S == 5
    monkeypatch.setattr(guests, "TLS_S", 0.5)
    caplog.set_level("INFO")

    async def scenario() -> None:
        loop = asyncio.get_running_loop()
        driver = Driver(make_broker(), loop)
        made: list[ClientProtocol] = []

        def accept() -> ClientProtocol:
            made.append(ClientProtocol(driver, InternalAuthenticator(driver.broker.users, ()), OPENINGS))
            return made[-1]

        everybody = guests.Guests(accept, 10, 10)
        listener = Listener(everybody, make_context(Config(tls_certificate=files.server)))
        listener.listen("127.0.0.1", 0, 10)
        address = listener.address
        before = own_sockets()
        reader, writer = await asyncio.open_connection(*address)
        assert await reader.read() == b""
        await asyncio.sleep(0)  # so that the task that has failed can tell
        await asyncio.sleep(0)
        assert "TLS handshake failed: it took more than 0.5 s" in caplog.text
        writer.close()
        reader, writer = await asyncio.open_connection(*address, ssl=files.client(), server_hostname="localhost")
        writer.write(PROTOCOL_HEADER)
        assert b"RabbitMQ" in await reader.readuntil(b"en_US\xce")
        raw = made[-1].transport.get_extra_info("socket")
        assert raw.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert len(driver.protocols) == 1
        made[-1].abort()
        with contextlib.suppress(OSError):
            assert await reader.read() == b""
        writer.close()
        assert not driver.protocols
        assert (everybody.sockets, everybody.places.taken, everybody.tls_places.taken) == (0, 0, 0)
        listener.close()
        deadline = loop.time() + 5
        while own_sockets() >= before and loop.time() < deadline:
            await asyncio.sleep(0.01)
        assert own_sockets() < before

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())


def own_sockets() -> int:
    """How many sockets this process has open."""
    found = 0
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # it was open to look at the others
            found += os.readlink(each).startswith("socket:")
    return found


# -- renewed certificates, and bad ones


def test_a_renewed_certificate_is_taken_and_a_bad_one_is_not(tmp_path: Path) -> None:
    files = Files(tmp_path)
    with running(files) as node, node.pika() as open_before:
        files.authority = files.stranger
        Path(files.issue("server.pem"))
        (tmp_path / "ca.pem").write_bytes(files.stranger.cert_pem.bytes())
        node.server.process.send_signal(1)
        eventually(lambda: "reloaded the certificate" in node.log)
        with node.pika() as connection:  # trusts the new CA only
            connection.channel()
        open_before.channel()
        other = files.authority.issue_cert("localhost")
        content = Path(files.server).read_bytes()
        certificate = content[content.index(b"-----BEGIN CERTIFICATE") :]
        Path(files.server).write_bytes(other.private_key_pem.bytes() + certificate)
        node.server.process.send_signal(1)
        eventually(lambda: "ERROR leveret.node: " in node.log)
        assert "does not belong to the first certificate" in node.log
        assert "the old certificate stays in use" in node.log
        with node.pika() as connection:
            connection.channel()


def test_bad_settings(files: Files) -> None:
    """Each in one line that says what to do."""
    certificate, key = files.apart("one")
    _, other = files.apart("two")
    locked = files.directory / "locked.key"
    command = ["openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:secret", "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True)
    text = files.directory / "text.pem"
    text.write_text("nothing of use\n")
    broken = files.directory / "broken.pem"
    broken.write_bytes(Path(files.server).read_bytes().replace(b"CERTIFICATE-----\nMI", b"CERTIFICATE-----\nXX"))
    for words, said in (
        (f"--tls-certificate {files.directory}/nowhere", "cannot read {0}/nowhere: No such file or directory"),
        (f"--tls-certificate {files.directory}", "cannot read {0}: Is a directory; check --tls-certificate"),
        (f"--tls-certificate {text}", "there is no PEM certificate in {0}/text.pem; check --tls-certificate"),
        (
            f"--tls-certificate {certificate}",
            "no PEM private key in {0}/one.crt; give its file",
        ),
        (f"--tls-certificate {certificate} --tls-key {text}", "no PEM private key in {0}/text.pem; check --tls-key"),
        (f"--tls-certificate {certificate} --tls-key {files.directory}/no", "cannot read {0}/no: No such file"),
        (
            f"--tls-certificate {certificate} --tls-key {other}",
            "in {0}/two.key does not belong to the first",
        ),
        (f"--tls-certificate {certificate} --tls-key {locked}", "{0}/locked.key is encrypted; remove its passphrase"),
        (f"--tls-certificate {broken}", "cannot use the certificate in {0}/broken.pem"),
        (f"--tls-certificate {files.server} --tls-ca {files.directory}/no", "cannot read {0}/no: No such file"),
        (f"--tls-certificate {files.server} --tls-ca {text}", "cannot use the CAs in {0}/text.pem: no certificate"),
        (f"--tls-certificate {files.server} --tls-port 70000", '--tls-port cannot be "70000": expected a whole number'),
        (f"--tls-certificate {files.server} --tls-require-client-certificate", "give them with tls-ca"),
        ("--tls-port 5671", "tls-port requires a certificate: give it with tls-certificate"),
        (f"--tls-key {key}", "tls-key requires a certificate"),
        (f"--tls-ca {files.ca}", "tls-ca requires a certificate"),
    ):
        assert said.format(files.directory) in complaint(*words.split()), words


def complaint(*options: str) -> str:
    """The one line with which a broker does not start."""
    result = process("serve", "--memory", "--port", "0", *options)
    assert result.returncode == 2
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_port_is_in_use(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = complaint("--tls-certificate", files.server, "--tls-port", port)
    assert said == (
        f"leveret: port {port} on 127.0.0.1 is in use; stop what uses it or choose another with --tls-port\n"
    )


def test_settings_from_several_places_go_together(files: Files, tmp_path: Path) -> None:
    """A port in a variable, the certificate in a file."""
    file = tmp_path / "leveret.toml"
    file.write_text(f'tls-certificate = "{files.server}"\n')
    server = Server.start("--memory", "--config", str(file), env={"LEVERET_TLS_PORT": "0"})
    try:
        assert "amqps://" in server.ready_line
    finally:
        server.stop()
