"""leveret explain, messages refused and messages trace: at the broker's machine and over HTTP."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.brokers.process import Server
from tests.clients.command_line import surroundings, uncoloured
from tests.clients.forked import Forked
from tests.node.test_operate import Place, api_port, good, refused, rows


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker with a topology: order.* of events goes to orders and audit, what dies in orders to dead."""
    data = tmp_path_factory.mktemp("broker") / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "0")
    try:
        yield Place(data, f"http://guest:guest@127.0.0.1:{api_port(data)}")
    finally:
        server.stop()


@pytest.fixture(scope="module")
def run(place: Place) -> Iterator[Forked]:
    """Runs commands."""
    forked = Forked()
    here = ("--data-dir", str(place.data))
    for words in (
        ("exchanges", "declare", "events", "--type", "topic"),
        ("exchanges", "declare", "audit", "--type", "fanout"),
        ("queues", "declare", "dead"),
        ("queues", "declare", "log"),
        ("queues", "declare", "orders", "-a", "x-dead-letter-exchange=", "-a", "x-dead-letter-routing-key=dead"),
        ("queues", "declare", "full", "-a", "x-max-length=0", "-a", "x-overflow=reject-publish"),
        ("bindings", "add", "events", "orders", "--key", "order.*"),
        ("bindings", "add", "events", "audit", "--key", "order.#", "--to-exchange"),
        ("bindings", "add", "audit", "log"),
        ("policies", "set", "short", "^orders$", '{"message-ttl": 60000}'),
    ):
        good(forked(*words, *here))
    yield forked
    assert forked.close() == ""


@pytest.fixture(params=["local", "remote"])
def where(request: pytest.FixtureRequest, place: Place) -> tuple[str, ...]:
    """How the broker is named."""
    return ("--data-dir", str(place.data)) if request.param == "local" else ("--url", place.url)


# -- explain


def test_the_way_of_a_message(run: Forked, where: tuple[str, ...]) -> None:
    shown = good(run("explain", "--exchange", "events", "--key", "order.new", "--user", "guest", *where))
    assert shown.splitlines() == [
        "2 queues get it.",
        "",
        "ok: user 'guest' may write to exchange 'events', because the pattern matches its name (pattern '.*')",
        "exchange 'events' (topic): 2 of its 2 bindings match",
        "  'order.*' -> queue 'orders': '*' stands for 'new'",
        "  'order.#' -> exchange 'audit': '#' stands for 'new'",
        "    exchange 'audit' (fanout): its only binding matches",
        "      '' -> queue 'log': it matches every message",
        "queue 'orders' (classic, 0 ready, 0 consumers, policy 'short'): it takes the message",
        "  it expires after 60000 ms (policy 'short')",
        "  it has no consumers: the message waits",
        "  if it is rejected or expired: to the default exchange (argument x-dead-letter-exchange) with key 'dead': "
        "route 1",
        "queue 'log' (classic, 0 ready, 0 consumers): it takes the message",
        "  it has no consumers: the message waits",
        "",
        "Route 1, of dead letters with key 'dead':",
        "the default exchange (direct): there is a queue 'dead'",
        "  'dead' -> queue 'dead': the routing key is its name",
        "queue 'dead' (classic, 0 ready, 0 consumers): it takes the message",
        "  it has no consumers: the message waits",
    ]


def test_what_finds_nothing(run: Forked, where: tuple[str, ...]) -> None:
    shown = good(run("explain", "--exchange", "events", "--key", "Order.new", *where)).splitlines()
    assert shown[0].startswith("No queue gets it: exchange 'events' has no binding for the routing key 'Order.new'.")
    assert shown[1] == "Hint: The binding 'order.*' to queue 'orders' differs in upper and lower case."
    assert good(run("explain", "Orders", *where)).splitlines()[1] == (
        "Hint: There is queue 'orders', which differs in upper and lower case."
    )
    assert "refused: there is no exchange 'event'" in good(run("explain", "--exchange", "event", *where))


def test_explanations_as_json(run: Forked, where: tuple[str, ...]) -> None:
    found = json.loads(good(run("explain", "orders", "--property", "expiration=5", "--json", *where)))
    assert (found["outcome"], found["queues"]) == ("routed", ["orders"])
    assert found["paths"][0]["queues"][0]["ttl_ms"] == 5
    found = json.loads(good(run("explain", "orders", "--size", str(1 << 40), "--json", *where)))
    assert found["outcome"] == "refused"
    found = json.loads(good(run("explain", "--exchange", "amq.headers", "--header", "n=1", "--json", *where)))
    assert found["outcome"] == "unroutable"


def test_what_cannot_be_explained(run: Forked, where: tuple[str, ...]) -> None:
    assert "there is no virtual host 'none'" in refused(run("explain", "q", "--vhost", "none", *where))
    assert "no user 'none'" in refused(run("explain", "q", "--user", "none", *where))
    for words in ((), ("q", "--exchange", "x"), ("q", "--key", "k"), ("q", "--property", "x=y"), ("q", "--size", "-1")):
        outcome = run("explain", *words, *where)
        assert (outcome.status, outcome.out) == (2, ""), words


def test_names_cannot_speak_to_the_terminal(run: Forked, where: tuple[str, ...], place: Place) -> None:
    name = "n\x1b[31m\nü"
    good(run("queues", "declare", name, "--data-dir", str(place.data)))
    shown = good(run("explain", name, *where))
    assert "\x1b" not in shown
    assert "n\\x1b[31m\\nü" in shown


# -- refused


def test_refused_publishes(run: Forked, where: tuple[str, ...]) -> None:
    for words in (("--exchange", "events", "--key", "nobody"), ("full",), ("--exchange", "missing", "--key", "k")):
        run("messages", "publish", *words, "--body", "12345", "--property", "message_id=m1", *where)
    found = rows(good(run("messages", "refused", "--limit", "3", *where)))
    assert [(row["kind"], row["exchange"], row["key"], row["size"]) for row in found] == [
        ("no_exchange", "missing", "k", "5"),
        ("queue_full", "", "full", "5"),
        ("returned", "events", "nobody", "5"),
    ]
    assert {row["id"] for row in found} == {"m1"}
    assert found[0]["user"] == ("guest" if where[0] == "--url" else "(control socket)")
    listed = json.loads(good(run("messages", "refused", "--vhost", "/", "--limit", "1", "--json", *where)))
    assert [each["reason"] for each in listed] == ["no exchange 'missing' in vhost '/'"]
    assert "there is no virtual host 'none'" in refused(run("messages", "refused", "--vhost", "none", *where))
    narrow = run("messages", "refused", *where, stdout="terminal")
    assert all(len(uncoloured(line)) <= 80 for line in narrow.out.splitlines())


# -- trace


def tracing(*words: str) -> subprocess.Popen[str]:
    """A trace that has begun."""
    found = subprocess.Popen(
        [sys.executable, "-m", "leveret", "messages", "trace", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=surroundings(),
    )
    assert found.stderr is not None
    assert found.stderr.readline() == "Following messages in virtual host '/'; Ctrl-C ends it.\n"
    return found


def lines(process: subprocess.Popen[str], count: int) -> list[str]:
    """Lines that come."""
    assert process.stdout is not None
    return [process.stdout.readline() for _ in range(count)]


def test_messages_are_followed(run: Forked, where: tuple[str, ...]) -> None:
    trace = tracing("--key", "order.#", *where)
    for key in ("other", "order.new"):
        run("messages", "publish", "--exchange", "events", "--key", key, "--body", "hi", *where)
    run("messages", "get", "orders", "--ack", *where)
    found = [re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", line) for line in lines(trace, 3)]
    trace.send_signal(signal.SIGINT)
    out, err = trace.communicate(timeout=20)
    who = "guest" if where[0] == "--url" else "(control socket)"
    assert found == [
        f"publish     #1    user '{who}': exchange 'events', key 'order.new' -> 'orders', 'log' (2 B)\n",
        f"deliver     #1    queue 'orders' to user '{who}' (2 B)\n",
        f"ack         #1    queue 'orders' by user '{who}' (2 B)\n",
    ]
    assert (trace.returncode, out, err) == (0, "", "Saw 3 events: interrupted.\n")


def test_a_trace_ends_by_itself(run: Forked, where: tuple[str, ...]) -> None:
    trace = tracing("--queue", "log", "--events", "1", "--json", *where)
    run("messages", "publish", "log", "--body", "", "--property", "message_id=m1", *where)
    out, err = trace.communicate(timeout=20)
    event: dict[str, Any] = json.loads(out)
    assert (event["event"], event["message_id"], event["queues"]) == ("publish", "m1", ["log"])
    assert (trace.returncode, err) == (0, "Saw 1 event: the requested number of events is reached.\n")
    short = tracing("--seconds", "0.1", *where)
    out, err = short.communicate(timeout=20)
    assert (short.returncode, out, err) == (0, "", "Saw 0 events: the time limit is reached.\n")


def test_dead_letters_are_followed(run: Forked, place: Place) -> None:
    here = ("--data-dir", str(place.data))
    good(run("queues", "declare", "dying", "-a", "x-message-ttl=1", "-a", "x-dead-letter-exchange=audit", *here))
    trace = tracing("--queue", "dying", "--events", "2", *here)
    run("messages", "publish", "dying", "--body", "hi", *here)
    assert lines(trace, 2)[1].endswith("queue 'dying': expired -> exchange 'audit', key 'dying' (2 B)\n")
    trace.communicate(timeout=20)


def test_what_cannot_be_followed(run: Forked, where: tuple[str, ...], tmp_path: Path) -> None:
    assert "there is no virtual host 'none'" in refused(run("messages", "trace", "--vhost", "none", *where))
    assert "at most 2 '#'" in refused(run("messages", "trace", "--key", "#.#.#", *where))
    assert run("messages", "trace", "--events", "0", *where).status == 2


def test_the_broker_may_go_meanwhile(run: Forked, tmp_path: Path) -> None:
    server = Server.start("--data-dir", str(tmp_path / "data"), "--management-port", "0")
    near = tracing("--data-dir", str(tmp_path / "data"))
    far = tracing("--url", f"http://guest:guest@127.0.0.1:{api_port(tmp_path / 'data')}")
    server.stop()
    for trace in (near, far):
        out, err = trace.communicate(timeout=20)
        assert (trace.returncode, out) == (1, "")
        assert re.fullmatch(r"leveret: .+\n", err), err


def test_only_administrators_may(run: Forked, place: Place) -> None:
    here = ("--data-dir", str(place.data))
    good(run("users", "add", "watcher", "x", "--tag", "monitoring", *here))
    url = place.url.replace("guest:guest@", "watcher:x@")
    assert refused(run("messages", "trace", "--url", url)) == "user 'watcher' may not do this: Not administrator user"
    wrong = place.url.replace("guest:guest@", "watcher:wrong@")
    assert "refused the login of user 'watcher'" in refused(run("messages", "trace", "--url", wrong))
    good(run("users", "delete", "watcher", *here))
