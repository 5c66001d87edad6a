"""The commands that ask a running broker: through its control socket, and over HTTP, on terminals and elsewhere."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from leveret.node.cli.asking import connect
from leveret.node.cli.target import Target
from tests.brokers.process import Server, free_port
from tests.clients.command_line import WIDTH, surroundings, uncoloured
from tests.clients.forked import Forked, Outcome
from tests.clients.terminal import answered

MANY = 1_200  # queues, more than two pages of the API
LONG = "q" * 120
NASTY = "n\x1b[31m\nü"
COLOURED = re.compile(r"\x1b\[")


@dataclass(frozen=True)
class Place:
    """A broker. data: its directory. url: of its API."""

    data: Path
    url: str

    def broker(self) -> Any:
        """Asks it."""
        return connect(Target(data_dir=str(self.data)))


def api_port(data: Path) -> int:
    """Where the API of a broker is."""
    broker = connect(Target(data_dir=str(data)))
    listeners = broker.get("/overview", {"columns": "listeners"})["listeners"]
    broker.close()
    return int(next(each["port"] for each in listeners if each["protocol"].startswith("http")))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker with a user `watcher` who may look, and a user `nobody` who may nothing."""
    data = tmp_path_factory.mktemp("broker") / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "0")
    try:
        yield Place(data, f"http://guest:guest@127.0.0.1:{api_port(data)}")
    finally:
        server.stop()


@pytest.fixture(scope="module")
def run() -> Iterator[Forked]:
    """Runs commands."""
    forked = Forked()
    yield forked
    assert forked.close() == ""


@pytest.fixture(params=["local", "remote"])
def where(request: pytest.FixtureRequest, place: Place) -> tuple[str, ...]:
    """How the broker is named."""
    return ("--data-dir", str(place.data)) if request.param == "local" else ("--url", place.url)


def good(outcome: Outcome) -> str:
    """What a command that went well printed."""
    assert (outcome.status, outcome.err) == (0, ""), outcome
    return outcome.out


def refused(outcome: Outcome, status: int = 1) -> str:
    """The one sentence with which a command ended."""
    assert (outcome.status, outcome.out) == (status, ""), outcome
    assert re.fullmatch(r"leveret: .+\n", outcome.err), outcome.err
    return outcome.err.removeprefix("leveret: ").strip()


def rows(text: str) -> list[dict[str, str]]:
    """A list that went to a pipe."""
    head, *lines = text.splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


# -- one thing after the other


def test_a_queue_from_its_declaration_to_its_end(run: Forked, where: tuple[str, ...]) -> None:
    def at(*words: str) -> Outcome:
        return run(*words, *where)

    assert good(at("queues", "declare", "life", "-a", "x-max-length=5")) == "Declared queue 'life'.\n"
    assert (
        good(at("queues", "declare", "life", "-a", "x-max-length=5"))
        == "Queue 'life' already exists with these properties.\n"
    )
    assert "inequivalent arg 'x-max-length'" in refused(at("queues", "declare", "life", "-a", "x-max-length=6"))
    assert good(at("exchanges", "declare", "events", "--type", "topic")) == "Declared exchange 'events'.\n"
    bound = "Bound exchange 'events' to queue 'life' with the key 'a.*'.\n"
    assert good(at("bindings", "add", "events", "life", "--key", "a.*")) == bound
    assert good(at("messages", "publish", "life", "--body", "one")) == "Published to queue 'life'.\n"
    given = ("--exchange", "events", "--key", "a.b", "--body", "two", "--header", "n=2")
    assert good(at("messages", "publish", *given)) == "Published to exchange 'events'.\n"
    assert "no binding of exchange 'events' matches the key 'b'" in refused(
        at("messages", "publish", "--exchange", "events", "--key", "b", "--body", "x")
    )
    assert rows(good(at("queues", "list", "--name", "LIF", "--columns", "name,ready")))[0] == {
        "name": "life",
        "ready": "2",
    }
    assert [row["routing_key"] for row in rows(good(at("queues", "bindings", "life")))] == ["life", "a.*"]
    found = [json.loads(line) for line in good(at("messages", "get", "life", "--count", "9", "--json")).splitlines()]
    assert [each["payload"] for each in found] == ["one", "two"]
    assert found[1]["properties"] == {"headers": {"n": 2}, "delivery_mode": 2}
    shown = good(at("messages", "get", "life", "--ack"))
    assert shown.startswith("1. the default exchange, key 'life', 3 B, redelivered\n")
    assert shown.endswith("   body: one\n")
    assert "ready\t1\n" in good(at("queues", "show", "life"))
    assert good(at("queues", "purge", "life")) == "Purged queue 'life', which had 1 message ready.\n"
    good(at("bindings", "remove", "events", "life", "--key", "a.*"))
    assert "there is no binding of exchange 'events'" in refused(at("bindings", "remove", "events", "life"))
    good(at("exchanges", "delete", "events"))
    assert "there is no exchange 'events'" in refused(at("exchanges", "show", "events"))
    assert good(at("queues", "delete", "life")) == "Deleted queue 'life', which had 0 messages.\n"
    for words in (("show",), ("delete",), ("purge",), ("bindings",)):
        assert "there is no queue 'life' in virtual host '/'" in refused(at("queues", *words, "life"))
    assert "there is no queue 'life'" in refused(at("messages", "get", "life"))
    assert "there is no queue 'life'" in refused(at("messages", "publish", "life", "--body", "x"))


LISTS = [
    ("queues", "list"), ("exchanges", "list"), ("bindings", "list"), ("connections", "list"), ("channels", "list"),
    ("consumers", "list"), ("users", "list"), ("vhosts", "list"), ("permissions", "list"), ("policies", "list"),
    ("limits", "list"), ("parameters", "list"), ("topic-permissions", "list"),
]  # fmt: skip


@pytest.mark.parametrize("words", LISTS, ids=" ".join)
def test_a_list_is_the_same_from_here_and_from_elsewhere(words: tuple[str, ...], run: Forked, place: Place) -> None:
    here, there = ("--data-dir", str(place.data)), ("--url", place.url)
    for more in ((), ("--json",)):
        assert good(run(*words, *more, *here)) == good(run(*words, *more, *there))
    assert isinstance(json.loads(good(run(*words, "--json", *here))), list)


def test_how_a_broker_is(run: Forked, where: tuple[str, ...]) -> None:
    assert re.fullmatch(r"leveret@\S+ answers in [\d.]+ ms\.\n", good(run("ping", *where)))
    assert good(run("version", *where)).startswith("Leveret 0")
    assert "ok      alarms\n" in good(run("health", *where))
    assert json.loads(good(run("status", "--json", *where)))["alarm"] == ""
    failed = run("health", "port-listener/1", *where)
    assert (failed.status, failed.err) == (1, "leveret: not healthy: port-listener/1\n")
    assert failed.out.startswith("failed  port-listener/1: No active listener; missing 1; ports ")
    assert "there is no check 'nonsense'" in refused(run("health", "nonsense", *where))
    shown = good(run("top", "--once", *where))
    assert re.search(r"^messages +\d+ ready", shown, re.MULTILINE)
    assert re.search(r"^objects .*\d+ queues$", shown, re.MULTILINE)


def test_verbs_go_over_http(run: Forked, place: Place) -> None:
    def at(*words: str) -> Outcome:
        return run(*words, "--url", place.url)

    assert good(at("users", "add", "far", "secret", "--tag", "monitoring")) == "Added user 'far'.\n"
    assert "user 'far' exists" in refused(at("users", "add", "far", "secret"))
    assert "did you mean 'far'?" in refused(at("users", "delete", "fra"))
    good(at("policies", "set", "short", "^s", '{"max-length": 1}'))
    assert rows(good(at("policies", "list")))[0]["name"] == "short"
    good(at("policies", "clear", "short"))
    assert {"queues", "users"} <= json.loads(at("definitions", "export").out).keys()
    good(at("users", "delete", "far"))
    assert "queue 'far' does not exist" in refused(at("messages", "export", "far"))


# -- clients


def wait_for(what: str, run: Forked, *words: str) -> str:
    """What a command prints once it prints this."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = good(run(*words))
        if what in found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{' '.join(words)} does not say {what}: {found}")


def consumer(place: Place, queue: str, *more: str) -> subprocess.Popen[str]:
    """A process that prints what comes."""
    return subprocess.Popen(
        [sys.executable, "-m", "leveret", "messages", "consume", queue, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(),
    )


@pytest.mark.parametrize("far", [False, True])
def test_clients_are_listed_and_closed(far: bool, run: Forked, place: Place) -> None:
    where = ("--url", place.url) if far else ("--data-dir", str(place.data))
    here = ("--data-dir", str(place.data))
    good(run("queues", "declare", "work", *here))
    consuming = consumer(place, "work", "--json", *where)
    try:
        found = rows(wait_for("work", run, "consumers", "list", *here))[0]
        assert (found["queue"], found["acks"], found["prefetch"]) == ("work", "yes", "20")
        user = "guest" if far else "(control socket)"
        name = rows(good(run("connections", "list", *here)))[0]["name"]
        assert f"user\t{user}\n" in good(run("connections", "show", name, *here))
        assert f"name\t{name} (1)\n" in good(run("channels", "show", f"{name} (1)", *here))
        assert "there is no channel 'x'" in refused(run("channels", "show", "x", *here))
        assert good(run("connections", "close", "--user", "none", *here)) == "Closed 0 connections of user 'none'.\n"
        assert (
            good(run("connections", "close", "--all", "--reason", "genug für heute", *where))
            == "Closed 1 connection.\n"
        )
        assert "there is no connection" in refused(run("connections", "close", name, *here))
        out, err = consuming.communicate(timeout=20)
        assert (consuming.returncode, out) == (1, "")
        assert err == "leveret: 320 CONNECTION_FORCED - genug für heute\n"
    finally:
        consuming.kill()
        good(run("queues", "delete", "work", *here))


def test_what_a_consumer_has_not_printed_stays(run: Forked, place: Place) -> None:
    here = ("--data-dir", str(place.data))
    good(run("queues", "declare", "jobs", *here))
    for number in range(3):
        good(run("messages", "publish", "jobs", "--body", f"job {number}", *here))
    assert [
        json.loads(line)["payload"]
        for line in run("messages", "consume", "jobs", "--count", "2", "--json", *here).out.splitlines()
    ] == ["job 0", "job 1"]
    unread = run("messages", "consume", "jobs", "--count", "1", *here, stdout="unread")
    assert (unread.status, unread.err) == (1, "")
    assert rows(good(run("queues", "list", "--name", "jobs", *here)))[0]["ready"] == "1"
    consuming = consumer(place, "jobs", *here)
    assert consuming.stdout is not None
    assert consuming.stdout.readline() == "1. the default exchange, key 'jobs', 5 B, redelivered\n"
    consuming.send_signal(signal.SIGINT)
    _, err = consuming.communicate(timeout=20)
    assert (consuming.returncode, err) == (0, "Consumed 1 message from queue 'jobs'.\n")
    assert good(run("queues", "delete", "jobs", *here)) == "Deleted queue 'jobs', which had 0 messages.\n"


def test_the_measurement_leaves_nothing_behind(run: Forked, where: tuple[str, ...]) -> None:
    found = json.loads(good(run("bench", "--messages", "300", "--json", *where)))
    assert found["messages"] == 300
    assert found["published_per_s"] > 0
    assert 0 < found["latency_p50_ms"] <= found["latency_p99_ms"]
    assert "latency, one at a time" in good(run("bench", "--messages", "20", "--durable", "--type", "quorum", *where))
    assert "bench" not in good(run("queues", "list", *where))


# -- sentences


def test_a_policymaker_elsewhere(run: Forked, place: Place) -> None:
    here = ("--data-dir", str(place.data))
    good(run("users", "add", "maker", "x", "--tag", "policymaker", *here))
    good(run("vhosts", "add", "hers", *here))
    good(run("permissions", "set", "maker", ".*", ".*", ".*", "--vhost", "hers", *here))
    elsewhere = ("--url", place.url.replace("guest:guest@", "maker:x@"))
    policy = ("policies", "set", "short", "^mail", '{"max-length": 5}')
    good(run(*policy, "--vhost", "hers", *elsewhere))
    assert rows(good(run("policies", "list", *elsewhere)))[0]["vhost"] == "hers"
    denied = refused(run(*policy, *elsewhere))
    assert denied == "virtual host '/' does not exist, or user 'maker' may not access it"
    denied = refused(run(*policy, "--operator", "--vhost", "hers", *elsewhere))
    assert denied == "user 'maker' may not do this: Not administrator user"
    good(run("parameters", "set", "shovel", "move", '{"src-queue": "a"}', "--vhost", "hers", *elsewhere))
    good(run("policies", "clear", "short", "--vhost", "hers", *elsewhere))
    good(run("vhosts", "delete", "hers", "--yes", *here))
    good(run("users", "delete", "maker", *here))


def test_why_a_broker_elsewhere_cannot_be_asked(run: Forked, place: Place) -> None:
    here = ("--data-dir", str(place.data))
    good(run("users", "add", "nobody", "x", *here))
    good(run("users", "add", "watcher", "x", "--tag", "monitoring", *here))
    bare = place.url.replace("guest:guest@", "")

    def at(url: str, *words: str) -> str:
        return refused(run(*(words or ("queues", "list")), "--url", url))

    wrong = at(bare.replace("//", "//guest:wrong@"))
    assert wrong.startswith(f"{bare} refused the login of user 'guest': wrong name or password")
    assert at(bare.replace("//", "//nobody:x@")) == "user 'nobody' may not do this: Not management user"
    for words in (("users", "list"), ("queues", "repair", "q")):
        denied = at(bare.replace("//", "//watcher:x@"), *words)
        assert denied == "user 'watcher' may not do this: Not administrator user"
    good(run("status", "--url", bare.replace("//", "//watcher:x@")))
    assert "there is no password for user 'watcher'" in at(bare.replace("//", "//watcher@"))
    closed = free_port()
    text = f"cannot connect to http://127.0.0.1:{closed}: Connection refused"
    assert at(f"http://127.0.0.1:{closed}").startswith(text)
    assert "unknown host 'nowhere.invalid'" in at("http://nowhere.invalid")
    assert "does not speak TLS" in at(bare.replace("http://", "https://"))
    broker = place.broker()
    listeners = broker.get("/overview")["listeners"]
    broker.close()
    amqp = next(each["port"] for each in listeners if each["protocol"] == "amqp")
    assert at(f"http://127.0.0.1:{amqp}").endswith("does not speak HTTP; the API is at port 15672, not 5672")
    for user in ("nobody", "watcher"):
        good(run("users", "delete", user, *here))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--url", "ftp://host"), "not a valid URL: expected http://USER:PASSWORD@HOST:15672"),
        (("--url", "http://host:x"), "not a valid URL: expected http://USER:PASSWORD@HOST:15672"),
        (("--url", "http://host", "--data-dir", "x"), "--data-dir and --url name different brokers"),
        (("--url", "http://host", "--profile", "x"), "--url and --profile name different brokers"),
        (("--ca-file", "x", "--control", "x"), "--ca-file requires --url or --profile"),
        (("--name", "a", "--regex", "b"), "give either --name or --regex"),
        (("--limit", "0"), "should be greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense(options: tuple[str, ...], expected: str, run: Forked, place: Place) -> None:
    given = options if options[0].startswith(("--url", "--ca")) else (*options, "--data-dir", str(place.data))
    outcome = run("queues", "list", *given)
    assert (outcome.status, outcome.out) == (2, "")
    assert expected in " ".join(uncoloured(outcome.err).replace("│", "").split())


def test_tls(run: Forked, tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    ca, other = trustme.CA(), trustme.CA()
    certificate = ca.issue_cert("127.0.0.1")
    for name, each in (("ca", ca), ("other", other)):
        (tmp_path / f"{name}.pem").write_bytes(each.cert_pem.bytes())
    (tmp_path / "broker.pem").write_bytes(certificate.private_key_and_cert_chain_pem.bytes())
    options = ("--tls-certificate", str(tmp_path / "broker.pem"), "--tls-port", "0", "--management-tls")
    data = tmp_path / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "0", *options)
    try:
        url = f"https://guest:guest@127.0.0.1:{api_port(data)}"
        good(run("ping", "--url", url, "--ca-file", str(tmp_path / "ca.pem")))
        good(run("ping", LEVERET_URL=url, SSL_CERT_FILE=str(tmp_path / "ca.pem")))
        good(run("bench", "--messages", "20", "--url", url, "--ca-file", str(tmp_path / "ca.pem")))
        for more in ((), ("--ca-file", str(tmp_path / "other.pem"))):
            assert "its certificate is not trusted" in refused(run("ping", "--url", url, *more))
        assert "cannot read" in refused(run("ping", "--url", url, "--ca-file", str(tmp_path / "nothing")))
        (tmp_path / "empty.pem").touch()
        assert "no PEM certificate" in refused(run("ping", "--url", url, "--ca-file", str(tmp_path / "empty.pem")))
        plan = ("migrate", "--from", url, "--ca-file", str(tmp_path / "ca.pem"), "--data-dir", str(data), "--dry-run")
        assert "Would move 0 messages of 0 queues." in run(*plan).out
        good(run("queues", "declare", "q", "--data-dir", str(data)))
        same = run(*plan[:-1], "--messages-only", XDG_STATE_HOME=str(tmp_path))
        assert refused(same).endswith("are the same broker")
        plain = refused(run("ping", "--url", url.replace("https", "http")))
        assert "closed the connection again before it answered" in plain or "does not speak HTTP" in plain
    finally:
        server.stop()


def test_a_broker_without_ports_of_the_api(run: Forked, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "off")
    try:
        good(run("queues", "declare", "q", "--data-dir", str(data)))
        good(run("messages", "publish", "q", "--body", "x", "--data-dir", str(data)))
        assert "1 queues" in good(run("top", "--once", "--data-dir", str(data)))
        assert rows(good(run("queues", "list", LEVERET_DATA_DIR=str(data))))[0]["ready"] == "1"
    finally:
        server.stop()
    text = f"no broker is running on '{data}', and this command needs one; start it with `leveret serve`"
    assert refused(run("queues", "list", "--data-dir", str(data))).startswith(text)
    assert "start one with `leveret serve`" in refused(run("queues", "list", cwd=tmp_path))


# -- profiles


def test_profiles(run: Forked, place: Place, tmp_path: Path) -> None:
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    file = tmp_path / "config" / "leveret" / "profiles.toml"
    bare = place.url.replace("guest:guest@", "")
    assert good(run("profiles", "list", **config)) == "name\turl\tuser\tpassword\tca_file\n"
    assert (
        good(run("profiles", "add", 'sh"op', place.url, **config))
        == f"Added profile 'sh\"op': {bare} as user 'guest'.\n"
    )
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    good(run("ping", "--profile", 'sh"op', **config))
    good(run("profiles", "add", "ask", place.url, "--ask", **config))
    assert "there is no password for user 'guest'" in refused(run("ping", "--profile", "ask", **config))
    found = rows(good(run("profiles", "list", **config)))
    assert [(row["name"], row["password"]) for row in found] == [("ask", "no"), ('sh"op', "yes")]
    assert "guest:guest" not in good(run("profiles", "list", **config))
    assert "no check" not in refused(run("profiles", "add", "x", bare.replace("//", "//guest:no@"), **config))
    good(run("profiles", "add", "x", "http://ops:a%40b@nowhere.invalid:80/mq", "--no-check", **config))
    assert "unknown host 'nowhere.invalid'" in refused(run("ping", "--profile", "x", **config))
    assert 'known profiles: ask, sh"op, x' in refused(run("ping", "--profile", "y", **config))
    good(run("profiles", "remove", "x", **config))
    assert "there is no profile 'x'" in refused(run("profiles", "remove", "x", **config))
    file.write_text("[shop\n")
    assert "is not valid TOML" in refused(run("profiles", "list", **config))


# -- terminals


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory, run: Forked) -> Iterator[str]:
    """The data directory of a broker with many queues, some of them with names that nobody expects."""
    data = tmp_path_factory.mktemp("crowded") / "data"
    queues = [f"q{number:04}" for number in range(MANY)] + [LONG, NASTY]
    content = {
        "queues": [
            {"name": name, "vhost": "/", "durable": True, "auto_delete": False, "arguments": {}} for name in queues
        ]
    }
    (data.parent / "definitions.json").write_text(json.dumps(content))
    options = ("--management-port", "off", "--definitions", str(data.parent / "definitions.json"))
    server = Server.start("--data-dir", str(data), *options)
    try:
        good(run("messages", "publish", "q0500", "--body", "x", "--data-dir", str(data)))
        yield str(data)
    finally:
        server.stop()


@pytest.mark.parametrize(
    "words",
    [*LISTS[:3], ("queues", "show", LONG), ("queues", "show", NASTY), ("top", "--once"), ("doctor",)],
    ids=lambda words: " ".join(words)[:20],
)
@pytest.mark.parametrize("colour", [True, False])
def test_nothing_is_wider_than_the_terminal(words: tuple[str, ...], colour: bool, run: Forked, crowded: str) -> None:
    env = {} if colour else {"NO_COLOR": "1"}
    shown = run(*words, stdout="terminal", LEVERET_DATA_DIR=crowded, **env)
    assert "Traceback" not in shown.out
    assert [line for line in uncoloured(shown.out).splitlines() if len(line) > WIDTH] == []
    assert "\x1b[31m\n" not in shown.out
    assert (re.search(r"\x1b\[[0-9;]*3[2-6]", shown.out) is not None) == colour


def test_long_lists(run: Forked, crowded: str) -> None:
    def at(*more: str) -> list[dict[str, str]]:
        return rows(good(run("queues", "list", *more, LEVERET_DATA_DIR=crowded)))

    assert len(at()) == MANY + 2
    assert len(at("--name", "q")) == MANY + 1
    assert len(at("--regex", "^q0[12]")) == 200
    assert [row["name"] for row in at("--sort", "ready", "--reverse", "--limit", "1")] == ["q0500"]
    assert [row["name"] for row in at("--limit", "2", "--name", "q1")] == ["q1000", "q1001"]
    assert at("--columns", "name,policy", "--limit", "1", "--name", "q0000") == [{"name": "q0000", "policy": ""}]
    assert len(json.loads(good(run("queues", "list", "--json", LEVERET_DATA_DIR=crowded)))) == MANY + 2
    cut = run("queues", "list", stdout="unread", LEVERET_DATA_DIR=crowded)
    assert (cut.status, cut.err) == (1, "")


def test_top_ends_with_a_key(crowded: str) -> None:
    status, shown = answered(b"q quits", b"q", "top", "--interval", "0.2", "--data-dir", crowded)
    assert status == 0
    assert "q0500" in shown


def test_what_cannot_come_back_is_asked_before(run: Forked, crowded: str) -> None:
    here = ("--data-dir", crowded)
    question = b"Delete 1 message from queue 'q0500'? [y/N]: "
    for keys, expected in ((b"n\n", 1), (b"y\n", 0)):
        status, _ = answered(question, keys, "queues", "purge", "q0500", *here)
        assert status == expected
        assert rows(good(run("queues", "list", "--name", "q0500", *here)))[0]["ready"] == str(expected)
    question = b"Delete queue 'q0501' with 0 messages? [y/N]: "
    assert answered(question, b"y\n", "queues", "delete", "q0501", *here)[0] == 0
    assert "there is no queue 'q0501'" in refused(run("queues", "show", "q0501", *here))
    good(run("queues", "declare", "q0501", *here))
    good(run("messages", "publish", "q0500", "--body", "x", *here))


def test_a_password_is_asked_for(place: Place) -> None:
    url = place.url.replace("guest:guest@", "guest@")
    status, shown = answered(b"Password of user 'guest'", b"guest\n", "ping", "--url", url)
    assert (status, "answers in" in shown, "guest\n" in shown) == (0, True, False)


# -- doctor


def test_the_doctor(run: Forked, tmp_path: Path, crowded: str) -> None:
    data = tmp_path / "data"
    ports = {"LEVERET_PORT": str(free_port()), "LEVERET_MANAGEMENT_PORT": "off"}
    fine = run("doctor", "--json", "--data-dir", str(data), **ports)
    found = {each["check"]: each for each in json.loads(fine.out)}
    assert (fine.status, found["data directory"]["status"]) == (0, "ok")
    assert found[f"port {ports['LEVERET_PORT']}"]["text"] == "free on 127.0.0.1, for the setting port"
    assert not data.exists()
    running = good(run("doctor", "--data-dir", crowded))
    assert re.search(r"^ok       port \d+: the broker answers for amqp$", running, re.MULTILINE)
    assert "guest can log in with the password guest, from this machine only" in running
    exposed = {**ports, "LEVERET_HOST": "0.0.0.0", "LEVERET_LOOPBACK_USERS": ""}
    bad = run("doctor", "--data-dir", str(data), **exposed)
    assert (bad.status, bad.err) == (1, "")
    assert "problem  guest: guest can log in with the password guest, from anywhere" in bad.out
    data.mkdir()
    data.chmod(0o777)
    bad = run("doctor", "--data-dir", str(data), **ports)
    assert bad.status == 1
    assert f"problem  data directory: any user can write to '{data}'" in bad.out
    with_broker = {**ports, "LEVERET_PORT": str(port_of(crowded))}
    taken = run("doctor", "--data-dir", str(tmp_path / "other"), **with_broker)
    assert (taken.status, "is in use" in taken.out) == (1, True)


def port_of(data: str) -> int:
    """The AMQP port of a broker."""
    broker = connect(Target(data_dir=data))
    found: int = broker.get("/overview", {"columns": "listeners"})["listeners"][0]["port"]
    broker.close()
    return found


# -- completion


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("leveret queues show q050", [f"q050{digit}" for digit in range(10)]),
        ("leveret users delete gu", ["guest"]),
        ("leveret exchanges list --vhost ", ["/"]),
        ("leveret health al", ["alarms"]),
        ("leveret exch", ["exchanges"]),
        ("leveret queues show --data-dir /nowhere q", []),
    ],
)
def test_completion(line: str, expected: list[str], run: Forked, crowded: str) -> None:
    words = line.split(" ")
    env = {
        "_LEVERET_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
        "LEVERET_DATA_DIR": crowded,
    }
    outcome = run(stdout="file", **env)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.split() == expected
