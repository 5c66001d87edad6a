"""The pytest plugin, in sessions of pytest of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.brokers.process import free_port

DEADLINE_S = 100.0


QUICK = ["-p", "leveret.pytest_plugin", "-p", "pytest_timeout", "-p", "xdist", "-p", "anyio"]  # and no other plugins


def session(
    folder: Path, files: dict[str, str], *options: str, start: str = ".", installed: bool = False
) -> tuple[int, str]:
    """Run pytest on these files. start: the folder below where it is started. installed: with all plugins that are.

    Returns: its exit code, and what it says.
    """
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    if "pytest.ini" not in files and "pyproject.toml" not in files:
        (folder / "pytest.ini").write_text("[pytest]\n")
    # With CI, pytest shows each failure twice: whole, and whole again in its summary.
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST_") and key != "CI"}
    if not installed:
        environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        options = (*QUICK, *options)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--color=no", "--timeout=60", *options]
    done = subprocess.run(
        command,
        cwd=folder / start,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=DEADLINE_S,
    )
    return done.returncode, done.stdout


def passes(folder: Path, files: dict[str, str], *options: str, start: str = ".") -> str:
    """Run pytest on files all of whose tests have to pass."""
    code, output = session(folder, files, *options, start=start)
    assert code == 0, output
    wanted = sum(len(re.findall(r"^ *(?:async )?def test_", content, re.MULTILINE)) for content in files.values())
    assert re.search(rf"^{wanted} passed in", output, re.MULTILINE), output
    return output


def section(output: str, test: str) -> str:
    """What the report of a failed test says of its broker."""
    of_test = re.split(rf"^_+ {test} _+$", output, flags=re.MULTILINE)[1]
    of_test = re.split(r"^_+ \w+ _+$|^=+ ", of_test, flags=re.MULTILINE)[0]
    found = re.split(r"^-+ Leveret .*-+$", of_test, flags=re.MULTILINE)
    assert len(found) == 2, output
    return re.split(r"^-+ ", found[1], flags=re.MULTILINE)[0]


CONNECT = """
import pika

def connect(url, name="client"):
    parameters = pika.URLParameters(url)
    parameters.client_properties = {"connection_name": name}
    parameters.socket_timeout = parameters.blocked_connection_timeout = 30
    return pika.BlockingConnection(parameters)
"""


def test_each_test_has_a_broker_of_its_own(tmp_path: Path) -> None:
    checks = """
import pytest
from connect import connect

seen = []

@pytest.mark.parametrize("number", range(3))
def test_alike(leveret, leveret_server, number):
    assert leveret.queues == leveret.connections == leveret.published() == []
    connection = connect(leveret.url)
    connection.channel().queue_declare("q", durable=True)
    leveret.publish("x", "q", delivery_mode=2)
    assert leveret.queue("q").ready == 1
    seen.append((leveret.name, leveret.port, leveret_server.port))
    # The connection stays open.

def test_they_were_on_one_broker(leveret_server):
    assert len({name for name, _, _ in seen}) == 3
    assert len({port for _, *ports in seen for port in ports}) == 1
    assert leveret_server.queues == []

def test_url(leveret, amqp_url):
    assert amqp_url == leveret.url
    assert leveret.url.endswith("/" + leveret.name)

def test_a_whole_broker(leveret_broker, leveret):
    assert leveret_broker.port != leveret.port
    leveret_broker.declare_queue("q")
    leveret_broker.restart(keep_data=False)
    assert leveret_broker.queues == []
    leveret_broker.stop()

def test_the_next_whole_broker(leveret_broker):
    assert leveret_broker.queues == []
"""
    code, output = session(tmp_path, {"connect.py": CONNECT, "test_isolation.py": checks})
    assert code == 0, output
    assert "7 passed" in output


def test_nothing_of_a_test_reaches_the_next(tmp_path: Path) -> None:
    checks = """
import time
from connect import connect

def test_that_leaves_everything_behind(leveret):
    leveret.declare_queue("q")
    connection = connect(leveret.url)
    leveret.reply_to("rpc", lambda message: "x")
    leveret.clock.auto()
    leveret.faults.nack(count=None)
    leveret.faults.hold_confirms()
    leveret.faults.slow(1)
    leveret.faults.block()
    leveret.faults.refuse_logins()
    leveret.faults.refuse_connections()
    leveret.faults.freeze()

def test_that_finds_nothing_of_it(leveret, caplog):
    began = leveret.clock.now()
    connection = connect(leveret.url)
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare("q", arguments={"x-message-ttl": 60_000})
    channel.basic_publish("", "q", b"x", mandatory=True)
    leveret.wait_until_idle()
    time.sleep(0.05)
    assert leveret.queue("q").ready == 1
    assert leveret.clock.now() - began < 60
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []

def test_that_leaves_a_broker_of_its_own(leveret_broker):
    leveret_broker.faults.freeze()
    leveret_broker.faults.refuse_connections()
    leveret_broker.reply_to("rpc", lambda message: "x")
    leveret_broker.clock.auto()
"""
    passes(tmp_path, {"connect.py": CONNECT, "test_isolation.py": checks})


FAILURES = """
import pytest
from connect import connect

def test_fails(leveret):
    connection = connect(leveret.url, "shop")
    channel = connection.channel()
    channel.queue_declare("orders")
    channel.basic_publish("", "orders", b"first")
    channel.basic_publish("", "ordrs", b"typo")
    channel.basic_get("orders")
    assert leveret.queue("orders").ready == 1

def test_fails_with_a_url_only(amqp_url):
    connect(amqp_url).channel().basic_publish("", "nowhere", b"lost")
    connect(amqp_url)
    assert False

def test_fails_with_its_own(leveret_broker):
    leveret_broker.declare_queue("mine")
    assert False

def test_fails_after_the_end(leveret_broker):
    leveret_broker.stop()
    assert False

def test_fails_without():
    assert False

def test_passes(leveret):
    leveret.declare_queue("unseen")

@pytest.mark.anyio
async def test_fails_in_a_loop(leveret_async):
    leveret_async.declare_queue("looped")
    await leveret_async.wait_for("looped", timeout=0.1)
"""
BACKEND = """
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_what_a_failure_shows(tmp_path: Path, options: tuple[str, ...]) -> None:
    files = {"connect.py": CONNECT, "conftest.py": BACKEND, "test_failures.py": FAILURES}
    code, output = session(tmp_path, files, *options)
    assert code == 1, output
    assert "6 failed, 1 passed" in output
    assert section(output, "test_fails").strip().splitlines() == [
        "queues:",
        "  orders: 0 ready, 1 unacked, 0 consumers",
        "connections:",
        "  shop: 1 channels",
        "published: 2, the last of them:",
        "  Published('first', routing_key='orders', queues=('orders',), outcome='routed', connection='shop')",
        "  Published('typo', routing_key='ordrs', outcome='unroutable', connection='shop')",
        "nacked, refused, returned or unroutable:",
        "  Published('typo', routing_key='ordrs', outcome='unroutable', connection='shop')",
        "not acknowledged:",
        "  orders: Message('first', routing_key='orders'), held by shop",
    ]
    assert re.search(r"^-+ Leveret \(amqp://guest:guest@127\.0\.0\.1:\d+/test-\d+\) -+$", output, re.MULTILINE)
    assert "Published('lost', routing_key='nowhere'" in section(output, "test_fails_with_a_url_only")
    assert "mine: 0 ready" in section(output, "test_fails_with_its_own")
    assert output.count("looped: 0 ready") == 1  # in the text of the WaitTimeout
    assert "leveret/testing" not in re.split(r"_ test_fails_in_a_loop", output)[1].partition("short test summary")[0]
    ended = re.split(r"_ test_fails_after_the_end _", output)[1]
    assert re.search(r"^-+ Leveret -+$\n^the broker is not running", ended, re.MULTILINE)
    assert len(re.findall(r"^-+ Leveret ", output, re.MULTILINE)) == 4
    assert "unseen" not in output


def test_what_the_failure_of_a_fixture_shows(tmp_path: Path) -> None:
    checks = """
import pytest

@pytest.fixture
def shop(leveret):
    leveret.declare_queue("orders")
    assert leveret.queue("ordrs").ready == 0

def test_shop(shop):
    pass
"""
    code, output = session(tmp_path, {"test_fixture.py": checks})
    assert code == 1
    assert re.search(r"^-+ Leveret \(", output, re.MULTILINE), output
    assert "orders: 0 ready" in output


DEFINITIONS = {
    "queues": [
        {"name": "orders", "vhost": "/", "durable": True, "arguments": {"x-max-length": 3}},
        {"name": "elsewhere", "vhost": "other", "durable": True},
    ],
    "exchanges": [{"name": "shop", "vhost": "/", "type": "fanout", "durable": True}],
    "bindings": [
        {"source": "shop", "vhost": "/", "destination": "orders", "destination_type": "queue", "routing_key": ""}
    ],
}
SETTINGS = """
import ssl
import pika
from connect import connect

def check(host):
    assert [queue.name for queue in host.queues] == ["orders"]
    assert host.publish("x", exchange="shop").queues == ("orders",)
    assert host.url.startswith("amqp://shop:pa:ss@") or host.url.startswith("amqp://shop:pa%3Ass@")
    connect(host.url).close()
    parameters = pika.URLParameters(host.tls_url)
    parameters.ssl_options = pika.SSLOptions(ssl.create_default_context(cafile=str(host.ca_file)), "localhost")
    with pika.BlockingConnection(parameters) as connection:
        names.append(connection.channel().queue_declare("", exclusive=True).method.queue)
    parameters = pika.URLParameters(host.url)
    parameters.credentials = pika.PlainCredentials("till", "5")
    pika.BlockingConnection(parameters).close()

names = []

def test_one(leveret):
    check(leveret)

def test_two(leveret):
    check(leveret)

def test_whole(leveret_broker):
    check(leveret_broker)
    leveret_broker.restart()
    check(leveret_broker)

def test_names():
    assert names[0] == names[2]  # the first ones of two brokers with the same seed
    assert names[0] != names[1]
"""


@pytest.mark.parametrize("start", [".", "tests/deep"])
def test_settings(tmp_path: Path, start: str) -> None:
    files = {
        "pytest.ini": """[pytest]
leveret_definitions = config/definitions.json
leveret_users =
    shop:pa:ss
    till : 5
leveret_seed = 7
leveret_tls = true
pythonpath = .
""",
        "config/definitions.json": json.dumps(DEFINITIONS),
        "connect.py": CONNECT,
        "tests/deep/test_settings.py": SETTINGS,
    }
    passes(tmp_path, files, start=start)


def test_definitions_after_a_restart_without_data(tmp_path: Path) -> None:
    files = {
        "pytest.ini": "[pytest]\nleveret_definitions = definitions.json\n",
        "definitions.json": json.dumps(DEFINITIONS),
        "test_it.py": """
def test_it(leveret_broker):
    leveret_broker.restart(keep_data=False)
    assert [queue.name for queue in leveret_broker.queues] == ["orders"]
""",
    }
    passes(tmp_path, files)


def test_settings_in_pyproject(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": """
[tool.pytest.ini_options]
leveret_definitions = "definitions.json"
leveret_users = ["shop:secret"]
leveret_seed = "7"
leveret_tls = false
""",
        "definitions.json": json.dumps(DEFINITIONS),
        "test_settings.py": """
def test_settings(leveret):
    assert [queue.name for queue in leveret.queues] == ["orders"]
    assert leveret.url.startswith("amqp://shop:secret@")
    assert leveret.ca_file is None
""",
    }
    passes(tmp_path, files)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("leveret_definitions = nofile.json", r"leveret_definitions: cannot read definitions file \S*nofile\.json"),
        ("leveret_definitions = bad.json", r"leveret_definitions: queues\[0\]: "),
    ],
)
def test_wrong_definitions(tmp_path: Path, setting: str, said: str) -> None:
    files = {
        "pytest.ini": f"[pytest]\n{setting}\n",
        "bad.json": json.dumps({"queues": [{"durable": True}]}),
        "test_it.py": "def test_it(leveret): pass\ndef test_other(): pass\n",
    }
    code, output = session(tmp_path, files)
    assert code == 1
    assert "1 passed, 1 error" in output
    assert re.search(rf"^E +pytest\.UsageError: {said}", output, re.MULTILINE), output


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("leveret_users = nopassword", "leveret_users: 'nopassword' is not name:password"),
        ("leveret_seed = seven", "leveret_seed: must be a number, not 'seven'"),
        ("leveret_port = any", "leveret_port: must be a number, not 'any'"),
        ("leveret_max_message_size = much", "leveret_max_message_size: must be a number, not 'much'"),
    ],
)
def test_wrong_settings(tmp_path: Path, setting: str, said: str) -> None:
    code, output = session(tmp_path, {"pytest.ini": f"[pytest]\n{setting}\n", "test_it.py": "def test_it(): pass\n"})
    assert (code, output.strip()) == (4, f"ERROR: {said}")


def test_definitions_of_the_wrong_shape(tmp_path: Path) -> None:
    files = {
        "pytest.ini": "[pytest]\nleveret_definitions = bad.json\n",
        "bad.json": '{"queues": {"name": "orders"}}',
        "test_it.py": "def test_it(leveret): pass\n",
    }
    code, output = session(tmp_path, files)
    assert code == 1
    assert "leveret_definitions: " in output


def test_several_workers(tmp_path: Path) -> None:
    checks = """
import os
import pytest
from pathlib import Path
from connect import connect

@pytest.mark.parametrize("number", range(20))
def test_it(leveret, number):
    assert leveret.queues == []
    with connect(leveret.url) as connection:
        connection.channel().queue_declare("q")
    leveret.publish(str(number), "q")
    assert [message.text for message in leveret.wait_for("q")] == [str(number)]
    Path(__file__).with_name(f"port-{os.environ['PYTEST_XDIST_WORKER']}").write_text(str(leveret.port))
"""
    code, output = session(tmp_path, {"connect.py": CONNECT, "test_it.py": checks}, "-n", "2")
    assert code == 0, output
    assert "20 passed" in output
    ports = {path.read_text() for path in tmp_path.glob("port-*")}
    assert len(ports) == len(list(tmp_path.glob("port-*"))) == 2


def test_tests_in_an_event_loop(tmp_path: Path) -> None:
    checks = """
import asyncio
import aio_pika
import pytest

pytestmark = pytest.mark.anyio

@pytest.fixture
async def channel(leveret_async):
    async with await aio_pika.connect(leveret_async.url) as connection:
        yield await connection.channel()

async def test_messages(leveret_async, channel):
    queue = await channel.declare_queue("q")
    wait = asyncio.create_task(leveret_async.wait_for("q", 2))
    for body in (b"1", b"2"):
        await channel.default_exchange.publish(aio_pika.Message(body), "q")
    assert [message.body for message in await wait] == [b"1", b"2"]
    assert (await queue.get()).body == b"1"
    with pytest.raises(TimeoutError, match="1 ready, 1 unacked"):
        await leveret_async.wait_until_idle(timeout=0.1)

async def test_requests(leveret_async, leveret, channel):
    home = asyncio.get_running_loop()

    async def answer(request):
        assert asyncio.get_running_loop() is home
        return request.text.upper()

    leveret_async.reply_to("rpc", answer)
    replies = await channel.declare_queue("replies")
    message = aio_pika.Message(b"hello", reply_to="replies")
    await channel.default_exchange.publish(message, "rpc")
    await leveret_async.wait_for("replies")
    assert (await replies.get(no_ack=True)).body == b"HELLO"
    assert leveret.name == leveret_async.name

async def test_faults_and_time(leveret_async, channel):
    leveret_async.declare_queue("q", arguments={"x-message-ttl": 60_000})
    leveret_async.publish("x", "q")
    leveret_async.clock.advance(60)
    assert leveret_async.queue("q").ready == 0
    with leveret_async.faults.freeze(), pytest.raises(TimeoutError):
        await asyncio.wait_for(channel.declare_queue("late"), 0.1)
"""
    passes(tmp_path, {"conftest.py": BACKEND, "test_it.py": checks})


def test_a_plugin_that_nobody_uses_imports_nothing(tmp_path: Path) -> None:
    checks = """
import sys

def test_it(request):
    assert request.config.pluginmanager.has_plugin("leveret")
    assert [name for name in sys.modules if name.startswith("leveret.")] == ["leveret.pytest_plugin"]

def test_fails():
    assert False
"""
    code, output = session(tmp_path, {"test_it.py": checks}, installed=True)
    assert code == 1
    assert "1 failed, 1 passed" in output
    assert "Leveret (" not in output


def test_fixtures_are_explained(tmp_path: Path) -> None:
    _, output = session(tmp_path, {"test_it.py": ""}, "--fixtures")
    for name in ("leveret", "leveret_async", "leveret_broker", "leveret_server", "amqp_url"):
        found = re.search(
            rf"^{name}(?: \[session scope\])? -- \S*pytest_plugin\.py:\d+\n    \S.+$", output, re.MULTILINE
        )
        assert found, output


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_port_and_the_size_of_messages(tmp_path: Path, options: tuple[str, ...]) -> None:
    port = free_port()
    settings = f"[pytest]\npythonpath = .\nleveret_port = {port}\nleveret_max_message_size = 5\n"
    checks = f"""
import pytest
from connect import connect

@pytest.mark.parametrize("number", range(4))
def test_it(leveret, number):
    port = int(leveret.url.rpartition(":")[2].partition("/")[0])
    assert port in ({port}, {port} + 1)
    channel = connect(leveret.url).channel()
    channel.queue_declare("q")
    channel.basic_publish("", "q", b"12345")
    with pytest.raises(Exception, match="message size 6 is larger than configured max size 5"):
        channel.basic_publish("", "q", b"123456")
        channel.queue_declare("q", passive=True)
"""
    code, output = session(tmp_path, {"connect.py": CONNECT, "pytest.ini": settings, "test_it.py": checks}, *options)
    assert (code, "4 passed" in output) == (0, True), output
