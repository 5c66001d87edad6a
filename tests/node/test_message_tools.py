"""Messages that are looked for and acted on from the command line, from here and from elsewhere."""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.node.cli import remote
from tests.brokers.process import Server, free_port
from tests.clients.command_line import WIDTH, surroundings, uncoloured
from tests.clients.forked import Forked, Outcome
from tests.clients.terminal import answered
from tests.clients.waiting import eventually

COUNT = 20
MANY = 3_000
ODD = "n\x1b[31mü"  # a name
NASTY = f"{ODD}\n"


@dataclass(frozen=True)
class Place:
    """A broker. data: its directory. url: of its API, with a user who may do everything."""

    data: Path
    url: str
    channel: Any

    def at(self, is_far: bool) -> tuple[str, ...]:
        """How the broker is named."""
        return ("--url", self.url) if is_far else ("--data-dir", str(self.data))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """A broker, with users `reader`, who may only read, and `outsider`, who may nothing."""
    data = tmp_path_factory.mktemp("broker") / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "0")
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    channel.confirm_delivery()
    try:
        yield Place(data, server.api.replace("http://", "http://guest:guest@"), channel)
    finally:
        connection.close()
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
    return place.at(request.param == "remote")


@pytest.fixture
def channel(place: Place) -> Any:
    """A channel, and the queues `q` with numbered messages and `other` with none."""
    for name in ("q", "other"):
        place.channel.queue_delete(name)
        place.channel.queue_declare(name, durable=True)
    for number in range(COUNT):
        body = json.dumps({"order": {"id": number, "total": number * 10}, "odd": bool(number % 2)})
        headers = {"x-tenant": "acme" if number < 5 else "other", "n": number, "text": str(number)}
        properties = pika.BasicProperties(delivery_mode=2, message_id=f"m{number}", headers=headers)
        place.channel.basic_publish("", "q", body.encode() + b" " * (number == 19) * 2_000, properties)
    return place.channel


def good(outcome: Outcome, err: str = "") -> str:
    """What a command that went well printed. err: what it said beside that, as a pattern."""
    assert outcome.status == 0, outcome
    assert re.fullmatch(err, outcome.err), outcome
    return outcome.out


def refused(outcome: Outcome, status: int = 1) -> str:
    """The one sentence with which a command ended."""
    assert (outcome.status, outcome.out) == (status, ""), outcome
    assert re.fullmatch(r"leveret: .+\n", outcome.err), outcome.err
    return outcome.err.removeprefix("leveret: ").strip()


def misused(outcome: Outcome) -> str:
    """What a command found wrong with its arguments."""
    assert (outcome.status, outcome.out) == (2, ""), outcome
    return " ".join(uncoloured(outcome.err).replace("│", "").split())


def numbers(run: Forked, queue: str, *options: str) -> list[int]:
    """The messages that a search finds."""
    found = run("messages", "search", queue, "--json", *options)
    assert found.status == 0, found
    return [json.loads(line)["properties"]["headers"]["n"] for line in found.out.splitlines()]


GO_ON = r"Continue with: leveret (.+)\n"


def going_on(outcome: Outcome) -> list[str]:
    """The words of the command with which one goes on."""
    found = re.search(GO_ON, outcome.err)
    assert found is not None, outcome
    return shlex.split(found[1])


# -- looking


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], range(COUNT)),
        (["--where", "headers.x-tenant=acme"], range(5)),
        (["--where", "headers.x-tenant!=acme", "--where", "headers.n < 7"], [5, 6]),
        (["--where", "json:$.order.total>160"], [17, 18, 19]),
        (["--where", "json:$.odd=true", "--where", "headers.n<=3"], [1, 3]),
        (["--where", "headers.text='7'"], [7]),
        (["--where", "headers.text=7"], []),
        (["--where", "headers.x missing", "--where", "headers.n exists", "--where", "message_id=m3"], [3]),
        (["--where", 'body ~ "id": 1[89]\\b'], [18, 19]),
        (["--where", 'body*="id": 12'], [12]),
        (["--body", '"id": 12,'], [12]),
        (["--pattern", '"id": 1[0-2]\\b'], [10, 11, 12]),
        (["--larger", "1k"], [19]),
        (["--smaller", "1k", "--where", "headers.n>=18"], [18]),
        (["--newer", "1h", "--where", "headers.n=1"], [1]),
        (["--older", "1h"], []),
        (["--redelivered"], []),
        (["--newest", "--limit", "2"], [19, 18]),
        (["--died", "rejected"], []),
        (["--died-in", "q"], []),
        (["--state", "unacked", "--state", "delayed"], []),
    ],
)
def test_conditions(options: list[str], expected: list[int], run: Forked, where: tuple[str, ...], channel: Any) -> None:
    assert numbers(run, "q", *options, *where) == list(expected)


def test_messages_are_named_by_their_ids(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    found = [json.loads(line) for line in good(run("messages", "search", "q", "--json", *where)).splitlines()]
    wanted = [each["id"] for each in found][4:6]
    outcome = run("messages", "search", "q", "--json", "--id", wanted[1], "--id", wanted[0], "--id", wanted[0], *where)
    assert [json.loads(line)["id"] for line in good(outcome).splitlines()] == wanted
    assert "is not the id of a message of this queue" in refused(run("messages", "search", "q", "--id", "1-1", *where))


def test_a_line_for_each_message(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    channel.basic_publish("", "other", "a\tb\nü".encode())
    channel.basic_publish("", "other", b"\xff\xfe")
    channel.basic_publish("", "other", b"x" * 500)
    head, *lines = good(run("messages", "search", "other", *where)).splitlines()
    assert head == "id\tage_s\tbytes\trouting_key\tbody"
    cells = [line.split("\t") for line in lines]
    assert [cell[2:] for cell in cells] == [
        ["6", "other", "a\\tb\\nü"],
        ["2", "other", "base64 //4="],
        ["500", "other", "x" * 200 + "…"],
    ]
    assert all(re.fullmatch(r"\d+-\d+", cell[0]) and cell[1].isdecimal() for cell in cells)
    with_state = good(run("messages", "search", "other", "--state", "ready", "--state", "unacked", *where)).splitlines()
    assert with_state[0] == "id\tage_s\tbytes\tstate\trouting_key\tbody"
    assert with_state[1].split("\t")[3] == "ready"
    cut = json.loads(good(run("messages", "search", "other", "--json", "--bytes", "3", *where)).splitlines()[2])
    assert (cut["payload"], cut["is_truncated"], cut["payload_bytes"]) == ("xxx", True, 500)


@pytest.mark.parametrize("colour", [True, False])
def test_lines_at_a_terminal(colour: bool, run: Forked, place: Place, channel: Any) -> None:
    place.channel.queue_declare(ODD)
    place.channel.basic_publish("", ODD, NASTY.encode() * 50, pika.BasicProperties(headers={NASTY: NASTY}))
    env = {} if colour else {"NO_COLOR": "1"}
    for words in (("search", ODD), ("search", "q"), ("peek", "q", "--limit", "1"), ("peek", ODD)):
        shown = run("messages", *words, *place.at(False), stdout="terminal", **env)
        assert shown.status == 0
        assert "Traceback" not in shown.out
        assert "\x1b[31m" not in shown.out
        text = re.sub(r"\x1b\[\??[\d;]*[A-Za-z]", "", shown.out)
        printed = [line.rpartition("\r")[2] for line in text.splitlines()]
        if words[0] == "search":
            assert [line for line in printed if len(line) > WIDTH and "Go on" not in line] == []
        assert (re.search(r"\x1b\[1;36m(id|1\. )", shown.out) is not None) == colour
    place.channel.queue_delete(ODD)


def test_the_limit_tells_how_to_go_on(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    seen: list[int] = []
    words = ["messages", "search", "q", "--json", "--where", "headers.n>=10", "--limit", "4", *where]
    while True:
        outcome = run(*words)
        seen += [json.loads(line)["properties"]["headers"]["n"] for line in outcome.out.splitlines()]
        if "Continue with" not in outcome.err:
            break
        assert "Limit reached: 4 found, searched" in outcome.err
        words = going_on(outcome)
        if "--url" in words:
            assert "guest:guest" not in outcome.err
            words[words.index("--url") + 1] = where[1]
    assert seen == list(range(10, COUNT))


def test_nothing_is_found(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    outcome = run("messages", "search", "q", "--body", "nothing", *where)
    assert good(outcome, r".*\n") == ""
    assert outcome.err == f"None of {COUNT} messages in queue 'q' matches.\n"
    assert run("messages", "peek", "other", *where).err == "Queue 'other' has no ready messages.\n"
    assert run("messages", "peek", "q", "--body", "nothing", *where).err == "No message in queue 'q' matches.\n"
    outcome = run("messages", "peek", "q", "--state", "unacked", "--state", "delayed", *where)
    assert outcome.err == "Queue 'q' has no unacked or delayed messages.\n"
    for verb in ("search", "peek"):
        assert "there is no queue 'nothing' in virtual host '/'" in refused(run("messages", verb, "nothing", *where))
    assert good(run("messages", "search", "other", "--json", *where), r".*\n") == ""


def test_all_there_is_to_say_of_a_message(run: Forked, where: tuple[str, ...], place: Place, channel: Any) -> None:
    arguments = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "other"}
    channel.queue_declare("work", arguments=arguments)
    channel.queue_bind("work", "amq.topic", "a.#")
    properties = pika.BasicProperties(content_type="application/json", priority=3, headers={"k": {"a": 1}})
    channel.basic_publish("amq.topic", "a.b", b'{"a":1.50,"b":[]}', properties)
    eventually(lambda: channel.basic_get("work")[0] is not None)
    connection = pika.BlockingConnection(channel.connection._impl.params)
    other = connection.channel()
    channel.basic_nack(0, multiple=True, requeue=True)
    eventually(
        lambda: (got := other.basic_get("work")[0]) and other.basic_reject(got.delivery_tag, requeue=False) is None
    )
    eventually(lambda: channel.queue_declare("other", passive=True).method.message_count == 1)
    text = good(run("messages", "peek", "other", *where))
    assert re.fullmatch(
        r"1\. \d+-\d+, \d+s old, 17 B\n"
        r"   from: the default exchange → 'other'\n"
        r"   content_type: application/json\n"
        r"   priority: 3\n"
        r"   header k: \{\"a\": 1\}\n"
        r"   died: rejected in 'work' \d+ seconds? ago, published to exchange 'amq.topic' with key 'a\.b'\n"
        r"   body: \{\"a\":1\.50,\"b\":\[\]\}\n",
        text,
    ), text
    at_terminal = run("messages", "peek", "other", *where, stdout="terminal").out
    assert '   body: {\n           "a": 1.50,\n           "b": []\n         }\n' in at_terminal
    other.basic_qos(prefetch_count=1)
    other.basic_consume("other", lambda *_: None, consumer_tag="slow")
    connection.process_data_events(0.1)
    eventually(lambda: "slow" in run("consumers", "list", *where).out)
    assert run("messages", "peek", "other", *where).err == (
        "Queue 'other' has no ready messages; it has 1 message in other states, see --state.\n"
    )
    held = good(run("messages", "peek", "other", "--state", "unacked", *where))
    assert re.search(r"\n   held: by consumer 'slow' of .+, channel 1, for \d+s; delivery tag 2\n", held), held
    assert json.loads(good(run("messages", "peek", "other", "--state", "unacked", "--json", *where)))["held"]
    connection.close()
    channel.queue_delete("work")


def test_the_newest_are_told_first(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    outcome = run("messages", "peek", "q", "--newest", "--limit", "2", "--bytes", "5", *where)
    told = [line for line in outcome.out.splitlines() if "message_id" in line or "body" in line]
    assert told == ["   message_id: m19", '   body: {"ord…', "   message_id: m18", '   body: {"ord…']
    assert re.fullmatch(f"There may be more. {GO_ON}", outcome.err)


# -- searches that end early


def many(channel: Any, body: bytes = b"x" * 400) -> None:
    """Many messages in `q`."""
    channel.queue_purge("q")
    for number in range(MANY):
        channel.basic_publish("", "q", body, pika.BasicProperties(headers={"n": number}))


def started(*words: str) -> subprocess.Popen[bytes]:
    """A command as a process of its own, of which nothing is read ahead."""
    return subprocess.Popen(
        [sys.executable, "-m", "leveret", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        env=surroundings(),
    )


def ended(process: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What it printed, and said beside that, until its end."""
    out, err = process.communicate(timeout=20)
    return out.decode(), err.decode()


@pytest.mark.parametrize("is_far", [False, True])
def test_a_search_prints_as_it_finds_and_stops_at_ctrl_c(is_far: bool, run: Forked, place: Place, channel: Any) -> None:
    many(channel)  # more than fits into a pipe, so that it cannot be over
    searching = started("messages", "search", "q", "--json", *place.at(is_far))
    assert searching.stdout is not None
    first = "".join(searching.stdout.readline().decode() for _ in range(500))
    searching.send_signal(signal.SIGINT)
    out, err = ended(searching)
    assert searching.returncode == 130, err
    outcome = Outcome(130, "", err)
    assert re.fullmatch(rf"Interrupted: [\d,]+ found, searched [\d,]+ of about {MANY:,} messages\. {GO_ON}", err), err
    words = going_on(outcome)
    if is_far:
        words[words.index("--url") + 1] = place.url
    rest = good(run(*words))
    seen = [json.loads(line)["properties"]["headers"]["n"] for line in (first + out + rest).splitlines()]
    assert seen == list(range(MANY))
    assert rest


def test_nobody_reads_what_is_found(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    many(channel)
    for words in (("search", "q"), ("search", "q", "--json"), ("search", "q", "--export", "-"), ("peek", "q")):
        cut = run("messages", *words, *where, stdout="unread")
        assert cut.status == 1
        assert cut.err == ""
    full = run("messages", "search", "q", *where, stdout="full")
    assert (full.status, full.err) == (1, "leveret: cannot write to standard output: No space left on device\n")


@pytest.mark.parametrize("is_far", [False, True])
def test_searches_that_are_broken_off_leave_nothing_behind(
    is_far: bool, run: Forked, place: Place, channel: Any
) -> None:
    many(channel)
    for _ in range(18):  # more than may go on at the same time
        eventually(lambda: run("messages", "search", "q", *place.at(is_far), stdout="unread").err == "")
    assert len(numbers(run, "q", *place.at(is_far))) == MANY


# -- exports


def test_what_is_found_can_be_imported(
    run: Forked, where: tuple[str, ...], place: Place, channel: Any, tmp_path: Path
) -> None:
    here = place.at(False)
    odd = pika.BasicProperties(headers={"n": 5, "raw": b"\xff", "CC": ["other"], "l": ["x", None]}, expiration="600000")
    channel.queue_purge("q")
    channel.basic_publish("", "q", bytes(range(256)) * 1_000, odd)
    channel.queue_purge("other")
    channel.basic_publish("", "q", b"left", pika.BasicProperties(headers={"n": 6}))
    file = tmp_path / "found.jsonl"
    outcome = run("messages", "search", "q", "--where", "headers.n=5", "--export", str(file), *where)
    assert (outcome.status, outcome.out) == (0, "")
    assert outcome.err == f"Exported 1 message from queue 'q' to '{file}'.\n"
    assert file.stat().st_mode & 0o777 == 0o600
    good(run("messages", "import", "other", str(file), *here))
    exported = [run("messages", "export", queue, *here).out.splitlines()[0] for queue in ("q", "other")]
    same = [{**json.loads(line), "arrived_ms": 0} for line in exported]
    assert same[0] == same[1]
    assert file.read_text() == exported[0] + "\n"
    out = run("messages", "search", "q", "--export", "-", *where)
    assert good(out, "Exported 2 messages from queue 'q' to standard output.\n").splitlines()[0] == exported[0]


def test_an_export_that_fails_leaves_the_old_file(
    run: Forked, where: tuple[str, ...], channel: Any, tmp_path: Path
) -> None:
    file = tmp_path / "found.jsonl"
    file.write_text("old")
    assert "no queue 'nothing'" in refused(run("messages", "search", "nothing", "--export", str(file), *where))
    assert "unknown field 'x'" in refused(
        run("messages", "search", "q", "--where", "x=1", "--export", str(file), *where)
    )
    assert file.read_text() == "old"
    nowhere = tmp_path / "no" / "file"
    assert f"cannot write '{nowhere}'" in refused(run("messages", "search", "q", "--export", str(nowhere), *where))
    assert "leave out --json" in misused(run("messages", "search", "q", "--json", "--export", "x", *where))


# -- acting


def test_messages_are_moved(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    move = ("messages", "move", "q", "--where", "headers.x-tenant=acme")
    counted = run(*move, "--to", "other", "--dry-run", *where)
    assert good(counted) == f"5 of {COUNT} messages of queue 'q' would be moved to queue 'other'.\n"
    assert numbers(run, "q", *where) == list(range(COUNT))
    assert good(run(*move, "--to", "other", "--yes", *where)) == "Moved 5 messages of queue 'q' to queue 'other'.\n"
    assert numbers(run, "q", *where) == list(range(5, COUNT))
    assert numbers(run, "other", *where) == list(range(5))
    channel.exchange_declare("x", "direct")
    channel.queue_bind("q", "x", "back")
    back = ("messages", "move", "other", "--to-exchange", "x", "--all", "--yes")
    nowhere = "Moved 0 messages of queue 'other' to exchange 'x'; 5 skipped: it reaches no queue.\n"
    assert good(run(*back, *where)) == nowhere
    moved = run(*back, "--key", "back", "--limit", "2", *where)
    assert good(moved, f"Limit reached. {GO_ON}") == (
        "Moved 2 messages of queue 'other' to exchange 'x' with the key 'back'.\n"
    )
    assert numbers(run, "q", *where) == [*range(5, COUNT), 0, 1]
    channel.exchange_delete("x")


def test_messages_are_copied_deleted_and_requeued(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    copied = run("messages", "copy", "q", "--to", "other", "--where", "headers.n<3", "--yes", *where)
    assert good(copied) == "Copied 3 messages of queue 'q' to queue 'other'.\n"
    assert numbers(run, "q", *where) == list(range(COUNT))
    requeued = run("messages", "requeue", "other", "--all", "--limit", "1", "--yes", *where)
    assert good(requeued, f"Limit reached. {GO_ON}") == "Requeued 1 message of queue 'other' at its end.\n"
    assert numbers(run, "other", *where) == [1, 2, 0]
    first = run("messages", "requeue", "other", "--where", "headers.n=0", "--to-front", "--yes", *where)
    assert good(first) == "Requeued 1 message of queue 'other' at its head.\n"
    assert numbers(run, "other", *where) == [0, 1, 2]
    deleted = run("messages", "delete", "other", "--newest", "--limit", "2", "--all", "--yes", "--json", *where)
    told = json.loads(good(deleted, f"Limit reached. {GO_ON}"))
    assert (told["done"], told["found"], told["is_dry_run"], told["is_interrupted"]) == (2, 2, False, False)
    assert numbers(run, "other", *where) == [0]
    dry = json.loads(good(run("messages", "delete", "other", "--all", "--dry-run", "--json", *where)))
    assert (dry["done"], dry["is_dry_run"]) == (1, True)
    (left,) = [
        json.loads(line)["id"] for line in good(run("messages", "search", "other", "--json", *where)).splitlines()
    ]
    assert (
        good(run("messages", "delete", "other", "--id", left, "--yes", *where))
        == "Deleted 1 message of queue 'other'.\n"
    )
    assert numbers(run, "other", *where) == []


def letters(channel: Any, count: int = 10) -> None:
    """Dead letters of `work` in `other`, and a message that is none."""
    channel.queue_declare("work", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "other"})
    for number in range(count):
        channel.basic_publish("", "work", b"x", pika.BasicProperties(headers={"n": number}))
    for _ in range(count):
        channel.basic_reject(channel.basic_get("work")[0].delivery_tag, requeue=False)
    channel.basic_publish("", "other", b"x", pika.BasicProperties(headers={"n": 99}))
    eventually(lambda: channel.queue_declare("other", passive=True).method.message_count == count + 1)


def test_dead_letters_go_home(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    letters(channel)
    redrive = ("messages", "redrive", "other")
    counted = (
        "10 of 11 messages of queue 'other' would be sent back; "
        "1 skipped: it does not name the queue in which it died.\n"
    )
    assert good(run(*redrive, "--dry-run", *where)) == counted
    some = run(*redrive, "--died-in", "work", "--died", "rejected", "--where", "headers.n<3", "--yes", *where)
    assert good(some) == "Sent 3 messages of queue 'other' back.\n"
    assert good(run(*redrive, "--yes", *where)) == (
        "Sent 7 messages of queue 'other' back; 1 skipped: it does not name the queue in which it died.\n"
    )
    assert numbers(run, "work", *where) == list(range(10))
    assert "   sent back once\n" in good(run("messages", "peek", "work", "--limit", "1", *where), r".*\n")
    channel.basic_reject(channel.basic_get("work")[0].delivery_tag, requeue=False)
    eventually(lambda: numbers(run, "other", *where) == [99, 0])
    again = run(*redrive, "--max-redrives", "1", "--died-in", "work", "--yes", *where)
    assert good(again) == "Sent 0 messages of queue 'other' back; 1 skipped: it was already sent back once.\n"
    channel.queue_delete("work")


def test_messages_are_changed(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    edit = ("messages", "edit", "q", "--where", "headers.n=4", "--yes")
    given = (
        "--set-header",
        "new=[1]",
        "--remove-header",
        "x-tenant",
        "--set-property",
        "priority=5",
        "--set-body",
        "ü",
    )
    assert good(run(*edit, *given, "--remove-property", "message_id", *where)) == (
        "Changed 1 message of queue 'q' and republished at its end.\n"
    )
    newest = json.loads(run("messages", "search", "q", "--newest", "--limit", "1", "--json", *where).out)
    assert newest["payload"] == "ü"
    assert newest["properties"] == {
        "headers": {"n": 4, "text": "4", "new": [1]},
        "priority": 5,
        "delivery_mode": 2,
    }
    moved = run(*edit, "--set-body-file", "/dev/null", "--to", "other", *where)
    assert good(moved) == "Changed 1 message of queue 'q' and republished to queue 'other'.\n"
    assert json.loads(good(run("messages", "search", "other", "--json", *where)))["payload_bytes"] == 0
    assert "give at least one change" in misused(run(*edit, *where))
    assert "'size' is not a property" in misused(run(*edit, "--set-property", "size=1", *where))
    assert "either --set-body or" in misused(run(*edit, "--set-body", "x", "--set-body-file", "y", *where))
    assert "cannot read /nothing" in refused(run(*edit, "--set-body-file", "/nothing", *where))


def test_a_queue_that_is_full_refuses_messages(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    channel.queue_delete("small")
    channel.queue_declare("small", arguments={"x-max-length": 3, "x-overflow": "reject-publish"})
    outcome = run("messages", "move", "q", "--to", "small", "--all", "--yes", *where)
    assert outcome.status == 1
    assert outcome.out == f"Moved 3 messages of queue 'q' to queue 'small'; {COUNT - 3} refused.\n"
    refusal = f"the queue has no room for {COUNT - 3} messages; refused messages were not changed"
    assert outcome.err == f"leveret: {refusal}\n"
    assert numbers(run, "q", *where) == list(range(3, COUNT))
    channel.queue_delete("small")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("move", "q", "--to", "other"), "choose messages with conditions"),
        (("delete", "q"), "choose messages with conditions"),
        (("delete", "q", "--newest", "--limit", "1"), "choose messages with conditions"),
        (("delete", "q", "--all", "--body", "x"), "--all excludes conditions"),
        (("move", "q", "--all"), "give --to QUEUE"),
        (("copy", "q", "--all", "--to", "a", "--to-exchange", "b"), "give either --to or --to-exchange"),
        (("copy", "q", "--all", "--to", "a", "--key", "b"), "--key requires --to-exchange"),
        (("delete", "q", "--all"), "this is not a terminal"),
        (("redrive", "q"), "this is not a terminal"),
        (("delete", "q", "--where", "nonsense"), "'nonsense' is not a condition"),
        (("delete", "q", "--older", "5"), "'5' is not a duration"),
        (("delete", "q", "--larger", "x"), "'x' is not a size"),
        (("search", "q", "--state", "lost"), "lost"),
        (("delete", "q", "--state", "unacked", "--all"), "No such option"),
        (("move", "q", "--to", "other", "--all", "--rate", "0"), "greater than or equal to 1"),
    ],
)
def test_what_makes_no_sense(words: tuple[str, ...], text: str, run: Forked, place: Place, channel: Any) -> None:
    assert text in misused(run("messages", *words, *place.at(False)))
    assert len(numbers(run, "q", *place.at(False))) == COUNT


def test_what_the_broker_refuses(run: Forked, where: tuple[str, ...], channel: Any) -> None:
    def at(*words: str) -> str:
        return refused(run("messages", *words, *where))

    for verb in (("delete",), ("requeue",), ("move", "--to", "other"), ("edit", "--set-body", "x")):
        for more in ("--yes", "--dry-run"):
            told = at(*verb, "nothing", "--all", more)
            assert told.startswith("there is no queue 'nothing' in virtual host '/'"), told
    assert "there is no queue 'nowhere'" in at("move", "q", "--to", "nowhere", "--all", "--yes")
    assert "there is no exchange 'nowhere'" in at("copy", "q", "--to-exchange", "nowhere", "--all", "--yes")
    assert "requeue to put them at its end" in at("move", "q", "--to", "q", "--all", "--yes")
    assert "unknown field 'bodies'" in at("search", "q", "--where", "bodies=1")
    assert "is not a regular expression" in at("search", "q", "--pattern", "(")
    assert "not a place from an earlier answer" in at("delete", "q", "--all", "--from", "x", "--yes")
    assert "a path may have names" in at("search", "q", "--where", "json:$..id exists")


def test_what_a_user_may_not_do(run: Forked, place: Place, channel: Any) -> None:
    here = place.at(False)
    for name, tags, rights in (("reader", ("--tag", "management"), ("", "", ".*")), ("plain", (), (".*", ".*", ".*"))):
        good(run("users", "add", name, "x", *tags, *here))
        good(run("permissions", "set", name, *rights, *here))
    there = ("--url", place.url.replace("guest:guest", "reader:x"))
    assert numbers(run, "q", *there) == list(range(COUNT))
    assert (
        good(run("messages", "delete", "q", "--where", "headers.n=0", "--yes", *there))
        == "Deleted 1 message of queue 'q'.\n"
    )
    for verb in (("move", "--to", "other"), ("copy", "--to", "other"), ("requeue",), ("edit", "--set-body", "x")):
        denied = refused(run("messages", *verb, "q", "--all", "--yes", *there))
        assert denied.startswith("user 'reader' may not do this: "), denied
    assert "may not do this" in refused(run("messages", "redrive", "q", "--yes", *there))
    there = ("--url", place.url.replace("guest:guest", "plain:x"))
    assert refused(run("messages", "search", "q", *there)) == "user 'plain' may not do this: Not management user"
    there = ("--url", place.url.replace("guest:guest", "guest:wrong"))
    for words in (("search", "q"), ("delete", "q", "--all", "--yes")):
        assert "refused the login of user 'guest'" in refused(run("messages", *words, *there))
    for name in ("reader", "plain"):
        good(run("users", "delete", name, *here))


# -- at a terminal


def test_somebody_at_a_terminal_is_asked_about_what_was_counted(run: Forked, place: Place, channel: Any) -> None:
    here = place.at(False)
    words = ("messages", "move", "q", "--to", "other", "--where", "headers.n>=15", *here)
    question = b"Move 5 messages of queue 'q' to queue 'other'? [y/N]: "
    status, shown = answered(question, b"n\n", *words)
    assert status == 1
    assert "5 of 20 messages of queue 'q' would be moved to queue 'other'." in shown
    assert numbers(run, "q", *here) == list(range(COUNT))

    def publish() -> None:
        channel.basic_publish("", "q", b"later", pika.BasicProperties(headers={"n": 100}))

    status, shown = answered(question, b"y\n", *words, before=publish)
    assert status == 0
    assert "Moved 5 messages of queue 'q' to queue 'other'." in shown
    assert numbers(run, "other", *here) == list(range(15, 20))
    assert numbers(run, "q", *here) == [*range(15), 100]
    nothing = ("messages", "delete", "q", "--body", "nothing", *here)
    status, shown = answered(b"0 of 16 messages of queue 'q' would be deleted.", b"", *nothing)
    assert status == 0
    assert "[y/N]" not in shown


# -- actions that end early


def moving(place: Place, is_far: bool, *more: str) -> subprocess.Popen[bytes]:
    """A command that moves messages slowly, and has moved some."""
    words = ("messages", "move", "q", "--to", "other", "--all", "--yes", "--rate", "5", *more)
    process = started(*words, *place.at(is_far))
    eventually(lambda: place.channel.queue_declare("other", passive=True).method.message_count > 0)
    return process


@pytest.mark.parametrize("is_far", [False, True])
def test_an_action_that_is_interrupted_says_how_far_it_came(
    is_far: bool, run: Forked, place: Place, channel: Any
) -> None:
    process = moving(place, is_far)
    process.send_signal(signal.SIGINT)
    out, err = ended(process)
    assert (process.returncode, out) == (130, ""), err
    told = re.fullmatch(
        rf"Interrupted: moved (\d+) messages? of queue 'q' to queue 'other'; the rest was not changed\. {GO_ON}", err
    )
    assert told is not None, err
    here = place.at(False)
    moved = int(told[1])
    assert 0 < moved < COUNT
    assert numbers(run, "other", *here) == list(range(moved))
    assert numbers(run, "q", *here) == list(range(moved, COUNT))
    words = going_on(Outcome(130, "", err))
    if is_far:
        words[words.index("--url") + 1] = place.url
    words[words.index("--rate") + 1] = "1000"
    good(run(*words))
    assert numbers(run, "other", *here) == list(range(COUNT))


def test_an_interrupted_action_as_json(place: Place, channel: Any) -> None:
    process = moving(place, False, "--json")
    process.send_signal(signal.SIGTERM)
    out, err = ended(process)
    assert process.returncode == 143, err
    told = json.loads(out)
    assert told["is_interrupted"]
    assert told["done"] == channel.queue_declare("other", passive=True).method.message_count
    assert told["place"] in err


def test_the_queue_goes_while_it_is_moved_from(run: Forked, place: Place, channel: Any) -> None:
    process = moving(place, False)
    channel.queue_delete("q")
    out, err = ended(process)
    assert (process.returncode, out) == (1, ""), err
    moved = channel.queue_declare("other", passive=True).method.message_count
    found = re.fullmatch(r"leveret: (.+); moved (\d+) messages? of queue 'q' to queue 'other'; .+\n", err)
    assert found is not None, err
    assert int(found[2]) == moved
    assert "deleted" in found[1] or "there is no queue 'q'" in found[1]


@pytest.mark.parametrize("is_far", [False, True])
def test_the_broker_goes_while_it_moves(is_far: bool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    server = Server.start("--data-dir", str(data), "--management-port", "0")
    try:
        connection = pika.BlockingConnection(pika.URLParameters(server.url))
        channel = connection.channel()
        for name in ("q", "other"):
            channel.queue_declare(name, durable=True)
        for _ in range(COUNT):
            channel.basic_publish("", "q", b"x", pika.BasicProperties(delivery_mode=2))
        process = moving(Place(data, server.api.replace("http://", "http://guest:guest@"), channel), is_far)
        server.stop(signal.SIGKILL)
        out, err = ended(process)
    finally:
        server.stop(signal.SIGKILL)
    assert (process.returncode, out) == (1, ""), err
    assert re.fullmatch(
        r"leveret: .+(; moved \d+ messages? of queue 'q' to queue 'other', as far as known; .+\.)?\n", err
    ), err
    server = Server.start("--data-dir", str(data))
    try:
        connection = pika.BlockingConnection(pika.URLParameters(server.url))
        channel = connection.channel()
        left = [channel.queue_declare(name, passive=True).method.message_count for name in ("q", "other")]
        assert sum(left) == COUNT
        connection.close()
    finally:
        server.stop()


def test_a_connection_that_was_left_alone_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    port = str(free_port())
    monkeypatch.setattr(remote, "IDLE_S", -1)
    asker = remote.RemoteBroker(remote.read_url(f"http://guest:guest@127.0.0.1:{port}"))
    for _ in range(2):  # the second one knows nothing of the connection
        server = Server.start("--memory", "--management-port", port)
        try:
            assert asker.ask("PUT", "/vhosts/a").status == 201
        finally:
            server.stop()
    asker.close()
