"""Administration from the command line: on a broker that runs as a process of its own, on a stopped one, and refused.

Most commands run inside the process of the test, which is quicker; some tests start them as a user does.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pika
import pytest
from pika.exceptions import ConnectionClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError

from leveret.store.database import FILE_NAME
from leveret.store.rows import pack_value
from tests.brokers.process import Server
from tests.clients.command_line import Result, good, leveret, login, process, refused, surroundings
from tests.clients.waiting import eventually

FIXTURE = Path(__file__).parent.parent / "management" / "rabbitmq-4.3.6.json"
TRANSIENT = (
    "note: exchanges[0]: it is not durable, so it only exists while a broker runs; import it into a running broker\n"
)

Run = Callable[..., Result]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a broker that has stopped."""
    directory = tmp_path_factory.mktemp("left") / "data"
    assert Server.start("--data-dir", str(directory)).stop() == 0
    return directory


@pytest.fixture(params=["running", "stopped"])
def run(request: pytest.FixtureRequest, data: Path, left: Path) -> Iterator[Run]:
    """Commands on a data directory with a broker, and on one without."""

    def call(*arguments: str, stdin: str = "") -> Result:
        return leveret(*arguments, stdin=stdin, LEVERET_DATA_DIR=str(data))

    shutil.copytree(left, data)
    if request.param == "stopped":
        yield call
        return
    server = Server.start("--data-dir", str(data))
    yield call
    assert server.stop() == 0


def test_every_noun_on_a_running_and_on_a_stopped_broker(run: Run, data: Path) -> None:
    assert good(run("users", "add", "alice", "secret", "--tag", "management")) == "Added user 'alice'.\n"
    assert good(run("users", "add", "bob", "--password-stdin", stdin="word\n")) == "Added user 'bob'.\n"
    good(run("users", "tags", "bob", "monitoring", "policymaker"))
    assert good(run("users", "list")) == (
        "name\ttags\tlimits\nalice\tmanagement\t\nbob\tmonitoring, policymaker\t\nguest\tadministrator\t\n"
    )
    good(run("vhosts", "add", "orders", "--description", "Orders", "--tag", "eu"))
    good(run("vhosts", "set", "orders", "--default-queue-type", "quorum"))
    (row,) = [row for row in json.loads(good(run("vhosts", "list", "--json"))) if row["name"] == "orders"]
    assert (row["description"], row["tags"], row["default_queue_type"]) == ("Orders", ["eu"], "quorum")
    good(run("permissions", "set", "alice", "^a", ".*", "", "--vhost", "orders"))
    good(run("topic-permissions", "set", "alice", "amq.topic", "^a", "^b", "--vhost", "orders"))
    assert good(run("users", "permissions", "alice")) == "vhost\tconfigure\twrite\tread\norders\t^a\t.*\t\n"
    assert json.loads(good(run("topic-permissions", "list", "--json")))[0]["write"] == "^a"
    good(run("limits", "set", "max-queues", "5", "--vhost", "orders"))
    good(run("limits", "set", "max-channels", "7", "--user", "bob"))
    assert good(run("limits", "list")) == (
        "of\tname\tlimit\tvalue\nvhost\torders\tmax-queues\t5\nuser\tbob\tmax-channels\t7\n"
    )
    good(run("policies", "set", "short", "^q", '{"max-length": 3}', "--priority", "2", "--apply-to", "queues"))
    good(run("policies", "set", "ceiling", "", '{"max-length": 9}', "--operator"))
    assert "short\t^q\tqueues\t" in good(run("policies", "list"))
    assert "ceiling\t\tall\t" in good(run("policies", "list", "--operator"))
    good(run("parameters", "set", "shovel", "move", '{"src-queue": "a"}'))
    assert '/\tshovel\tmove\t{"src-queue": "a"}' in good(run("parameters", "list"))

    good(run("parameters", "clear", "shovel", "move"))
    good(run("policies", "clear", "short"))
    good(run("policies", "clear", "ceiling", "--operator"))
    good(run("limits", "clear", "--vhost", "orders"))
    good(run("topic-permissions", "clear", "alice", "--vhost", "orders"))
    good(run("permissions", "clear", "alice", "--vhost", "orders"))
    good(run("users", "delete", "bob"))
    good(run("vhosts", "delete", "orders"))
    for noun in ("permissions", "topic-permissions", "limits", "policies", "parameters"):
        rows = json.loads(good(run(noun, "list", "--json")))
        assert [row for row in rows if "guest" not in row.values()] == [], noun


def test_commands_as_processes(server: Server, data: Path) -> None:
    where = ("--data-dir", str(data))
    good(process("users", "add", "alice", "--password-stdin", *where, stdin="secret\n"))
    assert "alice\tmanagement" not in good(process("users", "list", *where))
    assert refused(process("users", "delete", "alcie", *where)).endswith("did you mean 'alice'?")
    out = good(process("definitions", "export", "--vhost", "/", *where))
    assert good(process("definitions", "import", "-", "--vhost", "/", "--atomic", *where, stdin=out))
    assert process("users", "lst", *where).returncode == 2


def test_refusals_are_one_line_with_status_1(run: Run, tmp_path: Path) -> None:
    good(run("users", "add", "alice", "secret"))
    exists = "user 'alice' exists; change it with `leveret users password` or `leveret users tags`"
    assert refused(run("users", "add", "alice", "x")) == exists
    assert refused(run("users", "delete", "alcie")) == "user 'alcie' does not exist; did you mean 'alice'?"
    assert "'(' is not a regular expression" in refused(run("permissions", "set", "alice", "(", "", ""))
    assert "not recognised policy settings" in refused(run("policies", "set", "p", "", '{"max-lenght": 3}'))
    assert "is not a limit" in refused(run("limits", "set", "max-x", "5", "--user", "alice"))
    missing = str(tmp_path / "missing.json")
    assert refused(run("definitions", "import", missing)) == (
        f"cannot read definitions file {missing}: No such file or directory"
    )
    assert "not valid JSON" in refused(run("definitions", "import", "-", stdin="{"))


def test_what_is_nested_too_deep_or_no_json_is_refused(run: Run, tmp_path: Path) -> None:
    def deep(levels: int) -> str:
        return "[" * levels + "]" * levels

    too_deep = "lists and objects are nested more than 128 deep"
    for levels in (129, 900):
        assert refused(run("parameters", "set", "c", "n", deep(levels))) == f"value: {too_deep}"
        definition = f'{{"max-length": {deep(levels)}}}'
        assert refused(run("policies", "set", "p", "", definition)) == too_deep
    good(run("parameters", "set", "c", "n", deep(128)))
    assert json.loads(good(run("parameters", "list", "--json")))[0]["value"] == json.loads(deep(128))
    for value, words in ((deep(100_000), too_deep), ("NaN", "NaN is not a number"), ("1e999", "too large")):
        result = run("parameters", "set", "c", "n", value)
        assert result.returncode == 2
        assert words in " ".join(result.stderr.replace("\u2502", "").split())
        assert len(result.stderr) < 3000
    file = tmp_path / "definitions.json"
    contents = {
        b"\xff": "is not valid JSON: it is not UTF-8",
        b"[" * 3000: f"is not valid JSON: {too_deep}",
        b'{"users": [{"name": "\xe4"}]}': "is not valid JSON: it is not UTF-8",
        b'{"global_parameters": [{"name": "n", "value": NaN}]}': "is not valid JSON: NaN is not a number in JSON",
        b"[]": "must contain a JSON object, as RabbitMQ exports it",
        b"{": "is not valid JSON: Expecting property name",
    }
    for content, words in contents.items():
        file.write_bytes(content)
        assert words in refused(run("definitions", "import", str(file)))
    file.write_bytes(b"\n")
    assert good(run("definitions", "import", str(file))) == "Imported nothing.\n"
    entry = '{"vhost": "/", "component": "c", "name": "m", "value": ' + deep(980) + "}"
    file.write_text(f'{{"parameters": [{entry}]}}')
    assert "nested" in run("definitions", "import", str(file)).stderr
    assert len(json.loads(good(run("parameters", "list", "--json")))) == 1


def test_a_virtual_host_that_is_protected_from_deletion(run: Run) -> None:
    good(run("vhosts", "add", "precious"))
    assert good(run("vhosts", "protect", "precious")) == "Virtual host 'precious' is protected from deletion.\n"
    assert "because it is protected from deletion" in refused(run("vhosts", "delete", "precious"))
    text = "Virtual host 'precious' is no longer protected from deletion.\n"
    assert good(run("vhosts", "protect", "precious", "--off")) == text
    good(run("vhosts", "delete", "precious"))


def test_a_terminal_that_cannot_show_a_name(data: Path) -> None:
    result = process("vhosts", "add", "\u00fcber", "--data-dir", str(data), PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stdout) == (0, "Added virtual host '\\xfcber'.\n")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["users", "dlete", "x"], "Did you mean 'delete'?"),
        (["user", "list"], "Did you mean 'users'"),
        (["users", "list", "--data-dri", "x"], "--data-dir"),
        (["users", "add", "x"], "no password: give it as an argument or with --password-stdin"),
        (["users", "add", "x", ""], "the password is empty"),
        (["users", "add", "x", "y", "--password-stdin"], "give only one of: the password"),
        (["limits", "set", "max-queues", "5"], "either --vhost NAME or --user NAME"),
        (["limits", "set", "max-queues", "many", "--vhost", "/"], "integer"),
        (["policies", "set", "p", "x", "{"], "not valid JSON"),
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], words: str, data: Path) -> None:
    result = leveret(*arguments, LEVERET_DATA_DIR=str(data))
    assert (result.returncode, result.stdout) == (2, "")
    assert words in result.words()
    assert not data.exists()


def test_definitions_of_rabbitmq_come_in_and_go_out(run: Run, data: Path, tmp_path: Path) -> None:
    result = run("definitions", "import", str(FIXTURE))
    assert result.returncode == 0
    assert result.stderr in ("", TRANSIENT)
    assert result.stdout == (
        "Imported 3 users, 2 vhosts, 2 permissions, 2 parameters, 3 exchanges, 1 topic permission, 1 global parameter, "
        "2 policies, 4 queues, 5 bindings.\n"
    )
    file = tmp_path / "out.json"
    assert good(run("definitions", "export", str(file))).startswith("Exported ")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    out = json.loads(file.read_text())
    assert {queue["name"] for queue in out["queues"]} == {"orders.eu", "priority", "votes", "Größe 1"}
    assert json.loads(good(run("definitions", "export"))) == out
    assert "vhost" not in json.loads(good(run("definitions", "export", "--vhost", "shop")))["queues"][0]


def test_everything_survives_a_restart(tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    result = leveret("definitions", "import", str(FIXTURE), "--data-dir", data)
    assert (result.returncode, result.stderr) == (0, TRANSIENT)
    stopped = json.loads(good(leveret("definitions", "export", "--data-dir", data)))
    for number in (signal.SIGTERM, signal.SIGKILL):
        server = Server.start("--data-dir", data)
        try:
            running = json.loads(good(leveret("definitions", "export", "--data-dir", data)))
            good(leveret("vhosts", "set", "shop", "--description", str(number), "--data-dir", data))
        finally:
            server.stop(number)  # what a command has answered to is on the disk, whatever happens then
        for vhost in stopped["vhosts"]:
            if vhost["name"] == "shop":
                vhost["metadata"]["description"] = str(number)
        assert [queue["name"] for queue in running["queues"] if queue["durable"]] == [
            queue["name"] for queue in stopped["queues"] if queue["durable"]
        ]
        after = json.loads(good(leveret("definitions", "export", "--data-dir", data)))
        for section in ("users", "vhosts", "permissions", "topic_permissions", "policies", "parameters"):
            assert after[section] == stopped[section], section


def test_wrong_entries_are_reported_with_their_path(run: Run, tmp_path: Path) -> None:
    queue = {"vhost": "/", "name": "q", "durable": True, "auto_delete": False, "arguments": {}}
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"queues": [queue, {**queue, "name": "r", "arguments": {"x-max-length": -1}}]}))
    result = run("definitions", "import", str(file), "--atomic")
    wrong = "error: queues[1].arguments.x-max-length: invalid arg 'x-max-length' for queue 'r' in vhost '/': "
    assert result.returncode == 1
    assert result.stdout == "Imported nothing.\n"
    assert result.stderr.splitlines()[0].startswith(wrong)
    assert result.stderr.splitlines()[1] == "leveret: 1 entry is wrong; nothing was applied"
    assert json.loads(good(run("definitions", "export")))["queues"] == []
    result = run("definitions", "import", str(file))
    assert (result.returncode, result.stdout) == (1, "Imported 1 queue.\n")
    assert result.stderr.splitlines()[1] == "leveret: 1 entry is wrong; all others were applied"
    result = run("definitions", "import", str(file), "--json")
    assert json.loads(result.stdout)["errors"][0]["path"] == "queues[1].arguments.x-max-length"
    file.write_text(json.dumps({"queues": [{**queue, "durable": False}]}))
    result = run("definitions", "import", str(file))
    assert (result.returncode, result.stdout) == (0, "Imported nothing.\n")
    assert result.stderr.startswith("note: queues[0]: it already exists and is not changed: inequivalent arg 'durable'")


def test_users_of_the_command_line_can_log_in(server: Server, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    for hashing in ("argon2", "rabbitmq"):
        good(leveret("users", "add", hashing, "secret", "--hashing", hashing, "--data-dir", data))
        good(leveret("permissions", "set", hashing, ".*", ".*", ".*", "--data-dir", data))
        login(server, hashing, "secret").close()
        good(leveret("users", "password", hashing, "other", "--hashing", hashing, "--data-dir", data))
        with pytest.raises(ProbableAuthenticationError):
            login(server, hashing, "secret")
        connection = login(server, hashing, "other")
        good(leveret("users", "delete", hashing, "--data-dir", data))
        with pytest.raises(ConnectionClosedByBroker):
            connection.process_data_events(time_limit=10)


def test_a_policy_of_the_command_line_applies_at_once(server: Server, tmp_path: Path) -> None:
    connection = login(server, "guest", "guest")
    channel = connection.channel()
    channel.queue_declare("q", durable=True)
    for _ in range(5):
        channel.basic_publish("", "q", b"x")
    channel.queue_declare("q", passive=True)
    definition = json.dumps({"max-length": 2})
    good(leveret("policies", "set", "short", "^q$", definition, "--data-dir", str(tmp_path / "data")))
    assert channel.queue_declare("q", passive=True).method.message_count == 2
    connection.close()


def test_tracing_is_for_a_running_broker(server: Server, data: Path) -> None:
    def trace(*options: str) -> Result:
        return leveret("vhosts", "trace", "/", *options, LEVERET_DATA_DIR=str(data))

    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.queue_bind(queue, "amq.rabbitmq.trace", "publish.#")
    channel.confirm_delivery()
    assert trace().stdout == "Virtual host '/' is traced.\n"
    channel.basic_publish("amq.fanout", "", b"1")
    assert trace("--off").stdout == "Virtual host '/' is no longer traced.\n"
    channel.basic_publish("amq.fanout", "", b"2")
    assert channel.basic_get(queue, auto_ack=True)[2] == b"1"
    assert channel.basic_get(queue, auto_ack=True)[2] is None
    connection.close()
    server.stop()
    refused = trace()
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.endswith("and this command needs one; start it first\n")


def test_an_export_says_which_passwords_rabbitmq_cannot_read(server: Server, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    good(leveret("users", "add", "alice", "secret", "--data-dir", data))
    result = leveret("definitions", "export", "--data-dir", data)
    assert result.returncode == 0
    assert result.stderr.startswith("note: user 'alice': the password is an Argon2 hash")
    assert "alice" in result.stdout


def test_reading_what_is_not_there_makes_nothing(data: Path) -> None:
    text = refused(leveret("users", "list", "--data-dir", str(data)))
    assert text == f"there is no data in '{data}' and no broker there; name the directory with --data-dir"
    assert not data.exists()


@pytest.mark.parametrize("arguments", [("users", "add", "bob", "secret"), ("vhosts", "add", "v"), ("users", "list")])
def test_no_data_is_made_where_nobody_has_named_a_place(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    text = refused(process(*arguments, prepare=lambda: os.chdir(tmp_path)))
    assert text == (
        "there is no data and no broker in 'leveret-data' here; name a broker with --data-dir, --control or --url, or "
        "start one with `leveret serve`. A broker without a data directory (--memory, --cluster) needs --url, or "
        "--control if it was started with --control"
    )
    assert list(tmp_path.iterdir()) == []
    if arguments[1] == "add":
        good(process(*arguments, "--data-dir", "leveret-data", prepare=lambda: os.chdir(tmp_path)))
        refused(process(*arguments, prepare=lambda: os.chdir(tmp_path)))  # it is there already


def test_a_change_before_the_first_start_is_there_at_the_start(data: Path) -> None:
    good(leveret("users", "delete", "guest", "--data-dir", str(data)))
    good(leveret("users", "add", "alice", "secret", "--data-dir", str(data)))
    good(leveret("permissions", "set", "alice", ".*", ".*", ".*", "--data-dir", str(data)))
    assert stat.S_IMODE(data.stat().st_mode) == 0o700
    server = Server.start("--data-dir", str(data))
    try:
        login(server, "alice", "secret").close()
        with pytest.raises(ProbableAuthenticationError):
            login(server, "guest", "guest")
    finally:
        server.stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_command_on_a_stopped_broker_leaves_messages_and_their_marks_alone(data: Path, number: int) -> None:
    server = Server.start("--data-dir", str(data))
    connection = login(server, "guest", "guest")
    channel = connection.channel()
    channel.confirm_delivery()
    for name in ("kept", "gone"):
        channel.queue_declare(name, durable=True)
        for body in (b"1", b"2"):
            channel.basic_publish("", name, body, pika.BasicProperties(delivery_mode=2))
    server.stop(number)

    good(leveret("vhosts", "add", "other", "--data-dir", str(data)))
    database = sqlite3.connect(data / "leveret.db")
    is_clean = database.execute("SELECT value FROM meta WHERE key = 'clean'").fetchone() is not None
    database.close()
    assert is_clean == (number == signal.SIGTERM)

    server = Server.start("--data-dir", str(data))
    try:
        channel = login(server, "guest", "guest").channel()
        found = [channel.basic_get("kept", auto_ack=True) for _ in range(3)]
        assert [body for _, _, body in found] == [b"1", b"2", None]
        redelivered = number == signal.SIGKILL  # nobody knows what consumers had seen
        assert all(method.redelivered == redelivered for method, _, _ in found[:2])
    finally:
        server.stop()


def test_messages_of_a_virtual_host_that_is_deleted_while_stopped_stay_away(data: Path) -> None:
    server = Server.start("--data-dir", str(data))
    good(leveret("vhosts", "add", "other", "--data-dir", str(data)))
    good(leveret("permissions", "set", "guest", ".*", ".*", ".*", "--vhost", "other", "--data-dir", str(data)))
    channel = login(server, "guest", "guest", "other").channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"1", pika.BasicProperties(delivery_mode=2))
    server.stop()
    good(leveret("vhosts", "delete", "other", "--data-dir", str(data)))
    server = Server.start("--data-dir", str(data))
    try:
        found = json.loads(good(leveret("definitions", "export", "-", "--data-dir", str(data))))
        assert found["queues"] == []
    finally:
        server.stop()
    assert "0 messages" in good(leveret("check", "--data-dir", str(data)))


def test_a_policy_set_while_stopped_applies_from_the_start(data: Path) -> None:
    server = Server.start("--data-dir", str(data))
    channel = login(server, "guest", "guest").channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    for body in (b"1", b"2", b"3"):
        channel.basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2))
    server.stop()
    good(leveret("policies", "set", "short", "q", '{"max-length": 2}', "--data-dir", str(data)))
    server = Server.start("--data-dir", str(data))
    try:
        channel = login(server, "guest", "guest").channel()
        assert channel.queue_declare("q", passive=True).method.message_count == 2
        assert channel.basic_get("q", auto_ack=True)[2] == b"2"
    finally:
        server.stop()


def test_a_virtual_host_deleted_while_stopped_takes_its_messages_along(data: Path) -> None:
    good(leveret("vhosts", "add", "v", "--data-dir", str(data)))
    good(leveret("permissions", "set", "guest", ".*", ".*", ".*", "--vhost", "v", "--data-dir", str(data)))
    server = Server.start("--data-dir", str(data))
    channel = login(server, "guest", "guest", "v").channel()
    channel.confirm_delivery()
    channel.queue_declare("q", durable=True)
    channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
    server.stop()
    good(leveret("vhosts", "delete", "v", "--data-dir", str(data)))
    server = Server.start("--data-dir", str(data))
    assert server.stop() == 0
    database = sqlite3.connect(data / "leveret.db")
    assert database.execute("SELECT count(*) FROM chunks").fetchone() == (0,)
    database.close()


def test_a_list_on_a_terminal_is_a_table(data: Path) -> None:
    good(leveret("users", "add", "alice", "secret", "--data-dir", str(data)))
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "leveret", "users", "list", "--data-dir", str(data)]
    subprocess.run(command, stdout=terminal, timeout=60, check=True, env=surroundings())
    text = os.read(reader, 10000).decode()
    os.close(reader)
    os.close(terminal)
    assert "───" in text
    assert "alice" in text
    assert "\t" not in text


def asked(data: Path, answer: bytes, *arguments: str) -> tuple[int, str]:
    """A command at a terminal, at which somebody gives this answer. Returns: its status, and what it showed."""
    reader, terminal = os.openpty()
    command = [sys.executable, "-m", "leveret", *arguments, "--data-dir", str(data)]
    os.write(reader, answer)
    status = subprocess.run(
        command, stdin=terminal, stdout=terminal, stderr=terminal, timeout=60, check=False, env=surroundings()
    ).returncode
    text = os.read(reader, 10000).decode()
    os.close(reader)
    os.close(terminal)
    return status, text


@pytest.mark.parametrize("noun", ["users", "vhosts"])
def test_what_cannot_come_back_is_asked_for_at_a_terminal(data: Path, noun: str) -> None:
    password = ("secret",) if noun == "users" else ()
    good(leveret(noun, "add", "a", *password, "--data-dir", str(data)))
    what = "user 'a'" if noun == "users" else "virtual host 'a' with 0 queues and everything else in it"
    status, text = asked(data, b"n\n", noun, "delete", "a")
    assert (status, f"Delete {what}? [y/N]: " in text, "Aborted" in text) == (1, True, True)
    assert "\ta\t" in f"\t{good(leveret(noun, 'list', '--data-dir', str(data)))}".replace("\n", "\n\t")
    assert asked(data, b"y\n", noun, "delete", "a")[0] == 0
    good(leveret(noun, "add", "a", *password, "--data-dir", str(data)))
    assert "?" not in asked(data, b"", noun, "delete", "a", "--yes")[1]
    good(leveret(noun, "add", "a", *password, "--data-dir", str(data)))
    good(leveret(noun, "delete", "a", "--data-dir", str(data)))  # no terminal: nobody to ask


# -- the control socket


def test_only_the_owner_may_connect(server: Server, tmp_path: Path) -> None:
    found = (tmp_path / "data" / "control.sock").stat()
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o600


def test_a_socket_that_a_killed_broker_left_is_replaced(data: Path) -> None:
    Server.start("--data-dir", str(data)).stop(signal.SIGKILL)
    assert (data / "control.sock").exists()
    good(leveret("users", "list", "--data-dir", str(data)))
    server = Server.start("--data-dir", str(data))
    good(leveret("users", "list", "--data-dir", str(data)))
    assert server.stop() == 0
    assert not (data / "control.sock").exists()


@pytest.fixture
def runtime() -> Iterator[Path]:
    """A directory with a short name."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_data_directory_with_a_path_too_long_for_a_socket(tmp_path: Path, runtime: Path) -> None:
    data = tmp_path / ("d" * 60) / ("e" * 60)
    server = Server.start("--data-dir", str(data), env={"XDG_RUNTIME_DIR": str(runtime)})
    try:
        (place,) = runtime.iterdir()
        assert (data / "control.path").read_text() == f"{place}\n"
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        good(leveret("users", "add", "alice", "secret", "--data-dir", str(data)))
    finally:
        assert server.stop() == 0
    assert list(runtime.iterdir()) == []
    assert not (data / "control.path").exists()
    assert "alice" in good(leveret("users", "list", "--data-dir", str(data)))


def test_a_broker_in_memory_has_a_control_socket_when_asked(tmp_path: Path) -> None:
    place = str(tmp_path / "c.sock")
    missing = refused(leveret("users", "list", "--control", place))
    assert missing == f"no broker is listening on {place}; start one with `leveret serve --control {place}`"
    server = Server.start("--memory", "--control", place)
    try:
        good(leveret("users", "add", "alice", "secret", "--control", place))
        assert "alice" in good(leveret("users", "list", LEVERET_CONTROL=place))
        second = process("serve", "--memory", "--port", "0", "--control", place)
        assert second.returncode == 2
        assert second.stderr == f"leveret: another broker is listening on {place}; choose another path with --control\n"
    finally:
        assert server.stop() == 0
    assert not Path(place).exists()


def test_a_file_in_the_place_of_the_socket_is_not_touched(tmp_path: Path) -> None:
    place = tmp_path / "precious"
    place.write_text("words")
    result = process("serve", "--memory", "--port", "0", "--control", str(place))
    assert result.returncode == 2
    assert "is not a socket" in result.stderr
    assert place.read_text() == "words"


def test_a_directory_in_use_by_somebody_who_does_not_answer(server: Server, tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "control.sock").unlink()
    text = refused(leveret("users", "list", "--data-dir", str(data)))
    assert f"data directory '{data}' is in use, but no broker answers there" in text


def test_requests_that_are_none(server: Server, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
        client.connect(str(tmp_path / "data" / "control.sock"))
        for line in (
            b"hello\n",
            b"[]\n",
            b'{"arguments": {}}\n',
            b'{"verb": "list_users", "arguments": 5}\n',
            b"\xff\n",
        ):
            client.sendall(line)
            assert json.loads(answers.readline())["error"].startswith("a request is one line of JSON")
        client.sendall(b'{"verb": "list_usrs"}\n{"verb": "list_users"}\n')
        assert "did you mean 'list_users'" in json.loads(answers.readline())["error"]
        assert json.loads(answers.readline())["result"][0]["name"] == "guest"


def test_data_with_a_request(server: Server, tmp_path: Path) -> None:
    place = str(tmp_path / "data" / "control.sock")
    with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
        client.connect(place)
        client.sendall(b'{"verb": "list_users", "bytes": 3}\n{}\n{"verb": "list_users"}\n')
        assert json.loads(answers.readline()) == {"error": "object contains unknown field data"}
        assert json.loads(answers.readline())["result"][0]["name"] == "guest"
    for size in (-1, 1 << 40):  # nobody knows where the next request would begin
        with socket.socket(socket.AF_UNIX) as client, client.makefile("rb") as answers:
            client.connect(place)
            client.sendall(b'{"verb": "list_users", "bytes": %d}\n{"verb": "list_users"}\n' % size)
            assert f"bytes of data, not {size}" in json.loads(answers.readline())["error"]
            assert answers.readline() == b""
    with socket.socket(socket.AF_UNIX) as client:  # one who goes away in the middle
        client.connect(place)
        client.sendall(b'{"verb": "import_messages", "arguments": {"queue": "q"}, "bytes": 10}\n1234')
    good(leveret("users", "list", "--data-dir", str(tmp_path / "data")))


# -- definitions at the start


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 3000, b'{"users": [{"name": NaN}]}', b"5"])
def test_a_file_at_the_start_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "definitions.json"
    file.write_bytes(content)
    result = process("serve", "--memory", "--port", "0", "--definitions", str(file))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"leveret: definitions file {file} ")


@pytest.mark.parametrize("content", [b"\xff\xfe", b"port = " + b"[" * 3000])
def test_a_configuration_that_is_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "leveret.toml"
    file.write_bytes(content)
    result = process("serve", "--config", str(file))
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith(f"leveret: {file} is not valid TOML: ")


def test_definitions_at_the_start() -> None:
    server = Server.start("--memory", "--definitions", str(FIXTURE))
    try:
        connection = login(server, "sha512", "secret512", "quorum")
        assert connection.channel().queue_declare("votes", passive=True).method.queue == "votes"
        connection.close()
        with pytest.raises(ProbableAuthenticationError):  # the users of the file stand in place of guest
            login(server, "guest", "guest")
    finally:
        server.stop()


def test_definitions_without_users_leave_guest_alone(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"queues": [{"vhost": "/", "name": "q", "durable": True}]}))
    server = Server.start("--memory", "--definitions", str(file))
    try:
        connection = login(server, "guest", "guest")
        connection.channel().queue_declare("q", passive=True)
        connection.close()
    finally:
        server.stop()


def test_definitions_at_a_later_start_leave_what_there_is_alone(server: Server, tmp_path: Path) -> None:
    data = str(tmp_path / "data")
    server.stop()
    server = Server.start("--data-dir", data, "--definitions", str(FIXTURE))
    try:
        login(server, "guest", "guest").close()
        assert "shop" in good(leveret("vhosts", "list", "--data-dir", data))
    finally:
        server.stop()


def test_a_broker_does_not_start_with_definitions_that_are_wrong(tmp_path: Path) -> None:
    file = tmp_path / "definitions.json"
    file.write_text(json.dumps({"queues": [{"name": "q"}, {"vhost": "/"}], "vhosts": [{"name": "v"}]}))
    data = tmp_path / "data"
    result = process("serve", "--port", "0", "--definitions", str(file), "--data-dir", str(data))
    assert result.returncode == 2
    assert result.stderr == (
        f"leveret: definitions file {file}: queues[0]: the entry names no virtual host; if the file is for a single "
        "one, give it with --vhost (and 1 more); correct it or start without --definitions\n"
    )
    assert "\nv\t" not in good(leveret("vhosts", "list", "--data-dir", str(data)))


BYTE = "\udcff"  # a byte on a command line that is no UTF-8


def test_what_is_no_text_is_refused_on_a_running_and_on_a_stopped_broker(run: Run) -> None:
    for arguments, where in (
        (["users", "add", BYTE, "x"], "name"),
        (["users", "tags", "guest", f"a{BYTE}"], "tags[0]"),
        (["vhosts", "add", BYTE], "name"),
        (["vhosts", "set", "/", "--description", BYTE], "description"),
        (["permissions", "set", "guest", BYTE, "", ""], "configure"),
        (["policies", "set", BYTE, "x", '{"max-length": 1}'], "name"),
        (["policies", "set", "p", "x", '{"overflow": "\\ud800"}'], "definition.overflow"),
        (["parameters", "set", "shovel", "s", '["\\ud800"]'], "value[0]"),
        (["parameters", "set", BYTE, "s", "1"], "component"),
    ):
        assert refused(run(*arguments)) == f"{where}: not UTF-8"
    assert refused(run("users", "delete", BYTE)) == "user '\\udcff' does not exist"
    assert refused(run("policies", "clear", BYTE)) == "policy '\\udcff' does not exist"
    for arguments in (["users", "add", "a", BYTE], ["users", "password", "guest", BYTE]):
        result = run(*arguments)
        assert result.returncode == 2
        assert "the password is not UTF-8" in result.stderr
    content = {"queues": [{"name": "\ud800", "vhost": "/"}, {"name": "q", "vhost": "/", "durable": True}]}
    result = run("definitions", "import", "-", stdin=json.dumps(content))
    assert result.stderr.splitlines() == [
        "error: queues[0].name: not UTF-8",
        "leveret: 1 entry is wrong; all others were applied",
    ]
    exported = json.loads(good(run("definitions", "export")))
    assert [queue["name"] for queue in exported["queues"]] == ["q"]
    assert (exported["policies"], exported["parameters"], len(exported["users"])) == ([], [], 1)


def test_limits_of_any_size_on_a_running_and_on_a_stopped_broker(run: Run) -> None:
    for value, kept in ((1 << 63, (1 << 63) - 1), (10**30, (1 << 63) - 1), (7, 7)):
        good(run("limits", "set", "max-queues", str(value), "--vhost", "/"))
        good(run("limits", "set", "max-channels", str(value), "--user", "guest"))
        assert good(run("limits", "list")) == (
            f"of\tname\tlimit\tvalue\nvhost\t/\tmax-queues\t{kept}\nuser\tguest\tmax-channels\t{kept}\n"
        )


@pytest.mark.parametrize("arguments", [("max-queues", "-1", "--vhost", "/"), ("--vhost", "/", "max-queues", "-1")])
def test_a_limit_that_is_none(run: Run, arguments: tuple[str, ...]) -> None:
    good(run("limits", "set", "max-queues", "5", "--vhost", "/"))
    assert good(run("limits", "set", *arguments)) == "Set max-queues of vhost '/' to -1.\n"
    assert good(run("limits", "list")) == "of\tname\tlimit\tvalue\nvhost\t/\tmax-queues\t-1\n"
    assert "should be greater than or equal to -1" in run("limits", "set", "max-queues", "-2", "--vhost", "/").words()
    assert "No such option: -x" in run("limits", "set", "max-queues", "-x", "--vhost", "/").words()


def test_policies_of_any_size_and_a_damaged_permission_do_not_keep_the_broker_from_starting(data: Path) -> None:
    queues = [f"{key}-{at}" for key in ("expires", "message-ttl", "max-length", "max-length-bytes") for at in range(2)]
    for queue in queues:
        key, _, at = queue.rpartition("-")
        definition = json.dumps({key: 10**30 if at == "1" else (1 << 63) - 1})
        good(leveret("policies", "set", queue, f"^{queue}$", definition, LEVERET_DATA_DIR=str(data)))
    with contextlib.closing(sqlite3.connect(data / FILE_NAME)) as sql, sql:
        key = '["guest", "/"]'
        row = (pack_value("permission", key, b"\xff"), key)
        sql.execute("UPDATE definitions SET value = ? WHERE kind = 'permission' AND key = ?", row)
    log = data.parent / "log"
    server = Server.start("--data-dir", str(data), log=log)
    told = "the permission of user 'guest' in virtual host '/' cannot be used and is set aside: "
    eventually(lambda: told in log.read_text())  # which is told as soon as the broker is ready
    status = json.loads(good(leveret("status", "--json", LEVERET_DATA_DIR=str(data))))
    assert [text.startswith(told) for text in status["set_aside"]] == [True]
    with pytest.raises(ProbableAccessDeniedError):
        login(server, "guest", "guest")
    good(leveret("permissions", "set", "guest", ".*", ".*", ".*", LEVERET_DATA_DIR=str(data)))
    connection = login(server, "guest", "guest")
    channel = connection.channel()
    channel.confirm_delivery()
    for queue in queues:
        channel.queue_declare(queue, durable=True)
        channel.basic_publish("", queue, b"m", pika.BasicProperties(delivery_mode=2))
        method, _, body = channel.basic_get(queue, auto_ack=False)
        assert body == b"m"
        channel.basic_nack(method.delivery_tag, requeue=True)
    connection.close()
    assert server.stop() == 0
    server = Server.start("--data-dir", str(data), log=log)
    assert "aside" not in log.read_text()
    connection = login(server, "guest", "guest")
    channel = connection.channel()
    assert [channel.queue_declare(queue, passive=True).method.message_count for queue in queues] == [1] * len(queues)
    connection.close()
    assert server.stop() == 0


def test_names_that_the_terminal_cannot_show(data: Path) -> None:
    result = process("vhosts", "add", "\u00fc", LEVERET_DATA_DIR=str(data), PYTHONIOENCODING="ascii")
    assert (result.returncode, result.stdout) == (0, "Added virtual host '\\xfc'.\n")
