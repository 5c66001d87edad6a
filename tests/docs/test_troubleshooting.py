"""docs/troubleshooting.md: each text on the page comes from a broker that is in that trouble."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import psutil
import pytest

from tests.brokers.process import Server, free_port
from tests.clients.command_line import Result, leveret, process
from tests.clients.waiting import eventually
from tests.docs.pages import BLOCK, broken_links, read

PAGE = "troubleshooting.md"
PERSISTENT = pika.BasicProperties(delivery_mode=2)
ANY = "…"


class Scene:
    """A broker, and all that clients, commands and its log say about a trouble. data: where it has its data."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self.data = root / "leveret-data"
        self.seen: list[str] = []
        self.log = root / "log"
        self.server = Server.start("--data-dir", str(self.data), "--management-port", "off", *options, log=self.log)

    def connect(self, login: str = "guest:guest", path: str = "/", **settings: Any) -> Any:
        """A connection with pika."""
        parameters = pika.URLParameters(self.server.url.replace("guest:guest", login).removesuffix("/") + path)
        for name, value in settings.items():
            setattr(parameters, name, value)
        return pika.BlockingConnection(parameters)

    @contextlib.contextmanager
    def fails(self) -> Iterator[None]:
        """What is done meanwhile ends in an error, of which the last line of a traceback is seen."""
        try:
            yield
        except Exception as error:
            kind = type(error)
            self.seen += [f"{kind.__module__}.{kind.__qualname__}: {error}".removesuffix(": "), repr(error)]
        else:
            raise AssertionError("it went well")

    def command(self, *words: str) -> Result:
        """Run a command for this broker."""
        result = leveret(*words, "--data-dir", str(self.data))
        self.seen.append(result.stdout + result.stderr)
        return result

    def serve(self, *options: str) -> None:
        """Try to start another broker."""
        result = process("serve", "--management-port", "off", *options)
        assert result.returncode == 2
        self.seen.append(result.stderr)

    def logs(self, text: str) -> None:
        """Wait until the broker has written something to its log."""
        eventually(lambda: text in self.log.read_text())

    def misses(self, quotes: list[str]) -> list[str]:
        """Those quotes that nothing was seen of."""
        seen = spaced("\n".join([*self.seen, self.log.read_text()]))
        return [quote for quote in quotes if re.search(pattern(quote), seen) is None]


def spaced(text: str) -> str:
    """With one space between words."""
    return re.sub(r"[ \t]+", " ", text)


def pattern(quote: str) -> str:
    """What finds a quote, in which ANY stands for anything in one line."""
    return ".+?".join(re.escape(part) for part in spaced(quote).split(ANY))


def quotes() -> dict[str, list[str]]:
    """The lines of text below each heading of the page."""
    found: dict[str, list[str]] = {}
    for section in re.split(r"^## ", read(PAGE), flags=re.MULTILINE)[1:]:
        title = section.partition("\n")[0]
        lines = [
            line for language, content in BLOCK.findall(section) if language == "text" for line in content.splitlines()
        ]
        if lines:
            found[title] = lines
    return found


Trouble = Callable[[Scene], None]
TROUBLES: dict[str, Trouble] = {}


def trouble(title: str) -> Callable[[Trouble], Trouble]:
    """What makes the trouble that a heading of the page names."""

    def keep(make: Trouble) -> Trouble:
        TROUBLES[title] = make
        return make

    return keep


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A broker that all these troubles can share."""
    scene = Scene(tmp_path_factory.mktemp("shared"), "--host", "0.0.0.0")
    yield scene
    assert scene.server.stop() == 0


@pytest.mark.parametrize("title", sorted(quotes()))
def test_every_trouble(title: str, shared: Scene) -> None:
    shared.seen.clear()
    TROUBLES[title](shared)
    assert shared.misses(quotes()[title]) == []


def test_troubles_are_those_of_the_page() -> None:
    assert set(TROUBLES) == set(quotes())


def test_links() -> None:
    assert broken_links(PAGE) == []


@trouble("There is no data and no broker here")
def elsewhere(scene: Scene) -> None:
    directory = scene.root / "elsewhere"
    directory.mkdir()
    with contextlib.chdir(directory):
        result = leveret("queues", "list")
    assert result.returncode == 1
    scene.seen.append(result.stderr)
    assert scene.command("queues", "list").returncode == 0


@trouble("Connection refused")
def refused(scene: Scene) -> None:
    with scene.fails():
        pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", free_port()))
    before = os.getcwd()
    empty = scene.root / "empty"
    (empty / "leveret-data").mkdir(parents=True)
    os.chdir(empty)
    try:
        scene.seen.append(leveret("ping").stderr)
    finally:
        os.chdir(before)


@trouble("ACCESS_REFUSED at login")
def login(scene: Scene) -> None:
    with scene.fails():
        scene.connect("shop:wrong")
    others = [
        each.address
        for found in psutil.net_if_addrs().values()
        for each in found
        if each.family.name == "AF_INET" and not each.address.startswith("127.")
    ]
    if not others:
        pytest.skip("this machine has no other address")
    with scene.fails():
        pika.BlockingConnection(pika.URLParameters(f"amqp://guest:guest@{others[0]}:{scene.server.port}/"))


@trouble("No access to a virtual host or a queue")
def access(scene: Scene) -> None:
    with scene.fails():
        scene.connect(path="/shop")
    scene.command("users", "add", "shop", "secret")
    with scene.fails():
        scene.connect("shop:secret")
    scene.command("permissions", "set", "shop", "^shop", ".*", ".*")
    with scene.connect("shop:secret") as connection, scene.fails():
        connection.channel().queue_declare("orders")


@trouble("PRECONDITION_FAILED - inequivalent arg")
def inequivalent(scene: Scene) -> None:
    with scene.connect() as connection:
        connection.channel().queue_declare("orders", durable=True, arguments={"x-max-length": 1000})
        with scene.fails():
            connection.channel().queue_declare("orders", durable=True)
        connection.channel().queue_delete("orders")


@trouble("A message arrived nowhere")
def nowhere(scene: Scene) -> None:
    with scene.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("orders")
        channel.confirm_delivery()
        channel.basic_publish("", "ordres", b"")
        scene.command("messages", "refused")
        scene.command("explain", "ordres")
        channel.queue_delete("orders")


@trouble("A queue grows")
def grows(scene: Scene) -> None:
    with scene.connect() as connection:
        fill(connection.channel(), "orders", 5)
        scene.command("queues", "list", "--sort", "ready", "--reverse", "--columns", "name,ready,unacked,consumers")
        connection.channel().queue_delete("orders")


@trouble("Consumers get nothing")
def nothing(scene: Scene) -> None:
    with scene.connect() as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=2)
        for name in ("held", "paused"):
            fill(channel, name, 5)
            if name == "paused":
                assert scene.command("queues", "pause", name).returncode == 0
            channel.basic_consume(name, lambda *_: None)
        single = {"x-single-active-consumer": True}
        channel.queue_declare("single", exclusive=True, arguments=single)
        for tag in ("first", "second"):
            channel.basic_consume("single", lambda *_: None, consumer_tag=tag)
        scene.command("queues", "list", "--columns", "name,ready,unacked,consumers,paused")
        consumers = scene.command("consumers", "list", "--columns", "tag,active").stdout
        assert re.search(r"first\tyes", consumers)
        assert re.search(r"second\tno", consumers)
        channels = scene.command("channels", "list", "--columns", "user,unacked").stdout
        assert "guest\t2" in channels
        scene.command("queues", "resume", "paused")
        eventually(lambda: "paused\t3\t2" in scene.command("queues", "list", "--columns", "name,ready,unacked").stdout)
        for name in ("held", "paused"):
            channel.queue_delete(name)


@trouble("A publisher hangs")
def hangs(scene: Scene) -> None:
    for options, alarm in (
        (("--memory-high-watermark", "0.0001"), "low on memory"),
        (("--disk-free-limit", "1000TB"), "low on disk"),
    ):
        with alone(scene, *options) as other:
            connection = other.connect(blocked_connection_timeout=0.3)
            channel = connection.channel()
            channel.queue_declare("orders")
            channel.confirm_delivery()
            with other.fails():
                for _ in range(2):  # the first may have been read before the alarm
                    channel.basic_publish("", "orders", b"")
            assert alarm in other.command("status").stdout
            assert other.command("health", "alarms").returncode == 1


@trouble("Delivery acknowledgement timed out")
def late(scene: Scene) -> None:
    with scene.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("slow", exclusive=True, arguments={"x-consumer-timeout": 300})
        channel.basic_publish("", "slow", b"")
        with scene.fails():
            channel.basic_consume("slow", lambda *_: None)
            channel.start_consuming()


@trouble("Unknown delivery tag")
def unknown(scene: Scene) -> None:
    with scene.connect() as connection:
        channel = connection.channel()
        channel.basic_ack(7)
        with scene.fails():
            channel.queue_declare("", exclusive=True)


@trouble("The connection breaks during long work")
def long_work(scene: Scene) -> None:
    connection = scene.connect(heartbeat=1)
    scene.logs("missed heartbeats")
    with scene.fails():
        connection.channel()


@trouble("Messages come twice")
def twice(scene: Scene) -> None:
    with scene.connect() as connection:
        careless = connection.channel()
        fill(careless, "twice", 1)
        assert not careless.basic_get("twice")[0].redelivered
        careless.close()
        scene.seen.append(repr(connection.channel().basic_get("twice")[0]))
        connection.channel().queue_delete("twice")


@trouble("It is slow")
def slow(scene: Scene) -> None:
    for _ in range(10):
        scene.server.process.send_signal(signal.SIGSTOP)
        time.sleep(0.3)
        scene.server.process.send_signal(signal.SIGCONT)
        time.sleep(0.1)
        if "the event loop was busy" in scene.log.read_text():
            return


@trouble("The port is taken")
def port(scene: Scene) -> None:
    scene.serve("--memory", "--port", str(scene.server.port))


@trouble("The data directory is in use, or not trusted")
def directory(scene: Scene) -> None:
    scene.serve("--data-dir", str(scene.data), "--port", "0")
    open_to_all = scene.root / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    scene.serve("--data-dir", str(open_to_all), "--port", "0")


@trouble("The disk is full")
def full(scene: Scene) -> None:
    with alone(scene) as other:
        connection = other.connect()
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("orders", durable=True)
        _, hard = resource.prlimit(other.server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(other.server.process.pid, resource.RLIMIT_FSIZE, (3_000_000, hard))
        with other.fails():
            for _ in range(20):
                channel.basic_publish("", "orders", os.urandom(500_000), PERSISTENT)
        resource.prlimit(other.server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        other.logs("works again")


@trouble("Too many open files")
def files(scene: Scene) -> None:
    with alone(scene) as other:
        first = other.connect()
        pid = other.server.process.pid
        _, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (psutil.Process(pid).num_fds(), hard))
        with other.fails():
            other.connect(stack_timeout=0.5)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        assert first.channel().queue_declare("", exclusive=True).method.message_count == 0
        other.connect().close()


def test_a_killed_broker(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    channel = scene.connect().channel()
    channel.confirm_delivery()
    channel.queue_declare("orders", durable=True)
    for _ in range(2):
        channel.basic_publish("", "orders", b"", PERSISTENT)
    assert not channel.basic_get("orders")[0].redelivered
    assert scene.server.stop(signal.SIGKILL) == -signal.SIGKILL
    scene = Scene(tmp_path)
    with scene.connect() as connection:
        channel = connection.channel()
        assert channel.basic_get("orders")[0].redelivered
        assert channel.basic_get("orders")[0] is not None
    assert scene.command("check").returncode == 0
    assert scene.server.stop() == 0


@contextlib.contextmanager
def alone(scene: Scene, *options: str) -> Iterator[Scene]:
    """A broker of its own for a trouble; what is seen of it counts."""
    root = scene.root / f"alone{len(list(scene.root.iterdir()))}"
    root.mkdir()
    other = Scene(root, *options)
    try:
        yield other
        scene.seen += [*other.seen, other.log.read_text()]
    finally:
        other.server.stop(signal.SIGKILL)


def fill(channel: Any, name: str, count: int) -> None:
    """A queue with messages."""
    channel.queue_declare(name)
    channel.confirm_delivery()
    for _ in range(count):
        channel.basic_publish("", name, b"")
