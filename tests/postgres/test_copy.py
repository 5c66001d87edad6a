"""A data directory copied into a cluster's database and back: what a broker has on either side is the same."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pika
import pytest

from leveret.cluster import schema
from leveret.cluster.database import connect
from leveret.cluster.joining import join_alone
from leveret.store.chunk_store import ChunkStore
from leveret.store.copying import Copy
from leveret.store.database import FILE_NAME, Database
from leveret.store.rescue.salvage import open_to_read
from leveret.store.unfinished import UNFINISHED
from tests.brokers.process import Server
from tests.clients.command_line import good, leveret, process, refused
from tests.postgres.server import Pair, eventually

MANY = 20_000
KILLS = 5
PRIORITIES = 5
DAY_MS = 86_400_000
QUEUES = ("orders", "copies", "urgent", "dying", "dead", "tried", "later", "transient")
Dump = tuple[list[tuple[str, str, bytes]], dict[int, list[tuple[object, ...]]]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a stopped broker that was used a while."""
    directory = tmp_path_factory.mktemp("original") / "data"
    server = Server.start("--data-dir", str(directory))
    for words in (
        ("users", "add", "shop", "secret", "--tag", "monitoring"),
        ("vhosts", "add", "elsewhere"),
        ("permissions", "set", "shop", "^orders", ".*", "^orders", "--vhost", "elsewhere"),
        ("policies", "set", "short", "^copies$", '{"max-length": 1000000}'),
    ):
        good(leveret(*words, "--data-dir", str(directory)))
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    fill(connection.channel())
    connection.close()
    assert server.stop() == 0
    return directory


def fill(channel: Any) -> None:
    """Declare queues of all kinds, publish to them, and return and reject some of the messages."""
    channel.exchange_declare("shop", "topic", durable=True)
    channel.exchange_declare("everywhere", "fanout", durable=True)
    channel.exchange_bind("everywhere", "shop", "order.#")
    channel.exchange_declare("delayed", "x-delayed-message", durable=True, arguments={"x-delayed-type": "direct"})
    for queue, arguments in (
        ("orders", {}),
        ("copies", {"x-message-ttl": DAY_MS}),
        ("urgent", {"x-max-priority": PRIORITIES}),
        ("dying", {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead"}),
        ("dead", {}),
        ("tried", {"x-queue-type": "quorum", "x-delivery-limit": 50}),
        ("later", {}),
        ("transient", {}),
    ):
        channel.queue_declare(queue, durable=True, arguments=arguments)
    channel.queue_bind("orders", "everywhere")
    channel.queue_bind("copies", "everywhere")
    channel.queue_bind("later", "delayed", "later")
    channel.confirm_delivery()

    def publish(exchange: str, key: str, number: int, mode: int = 2, **more: Any) -> None:
        properties = pika.BasicProperties(delivery_mode=mode, message_id=f"m{number}", **more)
        channel.basic_publish(exchange, key, f"{number} {'x' * (number % 300)}".encode(), properties)

    for number in range(60):
        publish("", "urgent", number, priority=number % (PRIORITIES + 2))
        publish("", "dying", number, expiration=str(DAY_MS), headers={"number": number, "nested": {"a": [1, "b"]}})
        publish("", "tried", number)
        publish("delayed", "later", number, headers={"x-delay": 1 if number % 2 else DAY_MS})
    publish("", "orders", 5_000_000, reply_to="x" * 200)
    for _ in range(20):
        method, _, _ = channel.basic_get("dying")
        channel.basic_reject(method.delivery_tag, requeue=False)
    for rounds in (1, 4, 9):
        got = [channel.basic_get("tried")[0].delivery_tag for _ in range(10)]
        for _ in range(rounds):
            for tag in got:
                channel.basic_nack(tag, requeue=True)
            got = [channel.basic_get("tried")[0].delivery_tag for _ in range(10)]
        for tag in got[:5]:
            channel.basic_ack(tag)
        for tag in got[5:]:
            channel.basic_nack(tag, requeue=True)
    for _ in range(7):
        channel.basic_get("urgent")  # delivered, and returned when the channel ends
    bulk = channel.connection.channel()
    for number in range(MANY):
        properties = pika.BasicProperties(delivery_mode=2, message_id=f"m{number}", headers={"n": number})
        bulk.basic_publish("shop", "order.new", f"{number} {'z' * (number % 200)}".encode(), properties)
    for number in range(10):
        bulk.basic_publish("", "transient", str(number).encode(), pika.BasicProperties(delivery_mode=1))
        bulk.basic_publish("", "transient", str(number).encode(), pika.BasicProperties(delivery_mode=2))
    for queue in ("orders", "copies"):
        for _, (method, _, _) in zip(range(3_000), bulk.consume(queue), strict=False):
            if method.delivery_tag % 3:
                bulk.basic_ack(method.delivery_tag)
        bulk.cancel()
    bulk.queue_declare("transient", passive=True)
    channel.basic_publish("", "orders", b"y" * 3_000_000, pika.BasicProperties(delivery_mode=2))  # confirmed


@pytest.fixture
def url(database_url: str) -> str:
    """The URL of a prepared, empty database."""
    with connect(database_url) as connection:
        schema.create(connection)
    return database_url


def bring(url: str, directory: Path, *options: str) -> str:
    """Copy a directory to a database."""
    return good(process("cluster", "import", url, "--data-dir", str(directory), *options))


def fetch(url: str, directory: Path, *options: str) -> str:
    """Copy a database to a directory."""
    return good(process("cluster", "export", url, "--data-dir", str(directory), *options))


def dump(store: ChunkStore) -> Dump:
    """All that a store contains: definitions, and all about the messages of each queue. Closes it."""
    with contextlib.closing(store):
        definitions, marks, reader = store.definitions(), store.delivered(), store.reader(lambda: None)
        queues: dict[int, list[tuple[object, ...]]] = {}
        with contextlib.closing(reader):
            for chunk in store.chunks():
                labels = [label for label in chunk.head.labels if label.places]
                messages = reader.load(chunk.chunk_id, chunk.head, labels) if labels else None
                for label, message in zip(labels, messages.found if messages else (), strict=True):
                    assert message is not None
                    for place in label.places:
                        again = not store.was_clean or place.position <= marks.get(int(place.queue_id), 0)
                        about = place.position, place.deadline_ms, place.level, place.counts, again
                        what = message.content, message.has_died, message.arrived_ms, message.provenance, message.size
                        way = message.address.encoded, message.address.copies, message.address.hidden
                        queues.setdefault(int(place.queue_id), []).append((*about, *what, *way))
    return definitions, queues


def in_directory(directory: Path) -> Dump:
    """What a directory contains."""
    return dump(open_to_read(directory))


def in_database(url: str) -> Dump:
    """What a database contains."""
    return dump(join_alone(url, "", "looks", print, only_reads=True).store)


def drained(*options: str) -> dict[str, list[tuple[object, ...]]]:
    """What clients get from a broker, from each queue."""
    server = Server.start(*options)
    connection = pika.BlockingConnection(pika.URLParameters(server.url))
    channel = connection.channel()
    found: dict[str, list[tuple[object, ...]]] = {}
    for queue in QUEUES:
        count = channel.queue_declare(queue, passive=True).method.message_count
        messages = found.setdefault(queue, [])
        if count:
            for method, properties, body in channel.consume(queue, auto_ack=True):
                about = sorted(vars(properties).items(), key=lambda item: item[0])
                messages.append((body, method.redelivered, method.exchange, method.routing_key, str(about)))
                if len(messages) == count:
                    break
            channel.cancel()
    assert server.stop() == 0
    return found


def snapshot_of(directory: Path, target: Path) -> Path:
    """A copy of a directory's file, since a broker changes it."""
    target.mkdir(mode=0o700)
    shutil.copy(directory / FILE_NAME, target / FILE_NAME)
    return target


def test_the_original_is_worth_copying(original: Path) -> None:
    definitions, queues = in_directory(original)
    assert len({kind for kind, _, _ in definitions}) >= 9
    places = [place for messages in queues.values() for place in messages]
    assert len(places) > 2 * MANY - 5_000
    _, deadlines, levels, counts, again, _, dead, arrived, *_ = zip(*places, strict=True)
    assert set(levels) >= set(range(PRIORITIES + 1))
    assert len(set(counts)) >= 4
    assert set(again) == {True, False}
    assert set(dead) == {True, False}
    assert any(deadlines)
    assert all(arrived)


def test_there_and_back(original: Path, url: str, tmp_path: Path) -> None:
    before = in_directory(original)
    copied = json.loads(bring(url, original, "--json"))
    definitions, queues = before
    messages = [message for found in queues.values() for message in found]
    assert copied == {
        "queues": sum(kind == "queue" for kind, _, _ in definitions),
        "exchanges": sum(kind == "exchange" for kind, _, _ in definitions),
        "messages": len(messages),
        "bytes": sum(int(str(message[9])) for message in messages),
        "problems": [],
    }
    assert in_directory(original) == before
    assert in_database(url) == before
    back = tmp_path / "new" / "back"
    said = fetch(url, back)
    assert said == (
        f"Copied {copied['queues']} queues, {copied['exchanges']} exchanges, {copied['messages']} messages "
        f"({copied['bytes']} bytes) from {schema_place(url)} to data directory '{back}'.\n"
    )
    assert in_directory(back) == before
    assert in_database(url) == before
    assert good(leveret("check", "--data-dir", str(back))).splitlines()[-1] == f"No damage in '{back}'."
    expected = drained("--data-dir", str(snapshot_of(original, tmp_path / "copy")))
    assert [len(expected[queue]) for queue in ("orders", "dead", "transient")] == [MANY - 2_000 + 2, 20, 10]
    assert drained("--data-dir", str(back)) == expected
    assert drained("--cluster", url) == expected


def schema_place(url: str) -> str:
    """A database, as commands name it."""
    where, _, name = url.partition("@")[2].partition("/")
    return f"database '{name}' at {where}"


def test_an_unclean_end_stays_one(original: Path, url: str, tmp_path: Path) -> None:
    source = snapshot_of(original, tmp_path / "source")
    sql = sqlite3.connect(source / FILE_NAME)
    sql.execute("DELETE FROM meta WHERE key = 'clean'")
    sql.commit()
    sql.close()
    before = in_directory(source)
    assert all(message[4] for found in before[1].values() for message in found)
    bring(url, source)
    assert in_directory(source) == before
    assert in_database(url) == before
    fetch(url, tmp_path / "back")
    assert in_directory(tmp_path / "back") == before


# -- interruptions


def begin(*words: str) -> subprocess.Popen[str]:
    """A command that runs."""
    command = [sys.executable, "-m", "leveret", "cluster", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def killed(
    start: Callable[[], subprocess.Popen[str]], url: str, is_half_way: Callable[[], bool]
) -> Iterator[tuple[int, str]]:
    """Start a command again and again, and kill it: first half-way, then at random moments.

    Yields the exit status and what the command said.
    """
    generator = random.Random(7)
    for attempt in range(KILLS):
        before = newest_node(url)
        command = start()
        assert command.stderr is not None
        if attempt:
            eventually(lambda before=before: newest_node(url) > before, "the command has joined")  # type: ignore[misc]
            with contextlib.suppress(subprocess.TimeoutExpired):
                command.wait(generator.uniform(0, 2.5))
        else:
            eventually(is_half_way, "the copy has begun")
        command.kill()
        text = command.stderr.read()
        command.stderr.close()
        yield command.wait(), text


def newest_node(url: str) -> int:
    """The id of the node that has joined last."""
    with connect(url) as connection:
        found = connection.execute("SELECT coalesce(max(id), 0) FROM nodes").fetchone()
        assert found is not None
        return int(str(found[0]))


def unfinished(definitions: list[tuple[str, str, bytes]]) -> bool:
    """Whether a store is marked as unfinished."""
    return any(kind == UNFINISHED for kind, _, _ in definitions)


def cannot_start(*options: str) -> str:
    """What a broker says that does not start."""
    words = [sys.executable, "-m", "leveret", "serve", "--port", "0", *options]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    return done.stderr


def test_killed_imports(original: Path, url: str) -> None:
    before = in_directory(original)
    partly = 0
    for status, _ in killed(lambda: begin("import", url, "--data-dir", str(original)), url, lambda: is_begun(url)):
        found = in_database(url)
        assert in_directory(original) == before
        if status == 0:
            assert found == before
            break
        assert status == -signal.SIGKILL
        if unfinished(found[0]):
            partly += 1
            text = "the database of the cluster contains an incomplete copy: run `leveret cluster import` again, which "
            assert f"{text}starts it anew\n" in cannot_start("--cluster", url)
        else:
            assert found == ([], {}) or messages_of(found) == messages_of(before)
            if found[1]:
                break
    assert partly
    result = process("cluster", "import", url, "--data-dir", str(original))
    assert result.returncode == 0 or "contains definitions already" in result.stderr
    assert messages_of(in_database(url)) == messages_of(before)


def test_killed_exports(original: Path, url: str, tmp_path: Path) -> None:
    bring(url, original)
    before = in_directory(original)
    target = tmp_path / "target"
    partly = 0
    command = "export", url, "--data-dir", str(target)
    for status, _ in killed(lambda: begin(*command), url, lambda: is_begun_in(target)):
        assert in_database(url) == before
        if not (target / FILE_NAME).exists():
            continue
        found = in_directory(target)
        if unfinished(found[0]):
            partly += 1
            text = "the data directory contains an incomplete copy: run `leveret cluster export` again, which starts it"
            assert text in cannot_start("--data-dir", str(target))
            for words in (("users", "list"), ("users", "add", "x", "y"), ("messages", "export", "orders")):
                assert text in refused(leveret(*words, "--data-dir", str(target)))
            assert leveret("check", "--data-dir", str(target)).returncode == 1
        else:
            assert status in (0, -signal.SIGKILL)
            assert messages_of(found) in ({}, messages_of(before))
            if found[1]:
                break
    assert partly
    result = process("cluster", "export", url, "--data-dir", str(target))
    assert result.returncode == 0 or "contains definitions already" in result.stderr
    assert messages_of(in_directory(target)) == messages_of(before)


def messages_of(found: Dump) -> dict[int, list[tuple[object, ...]]]:
    """Messages without whether they may have been delivered: a kill after the last change makes that unknown."""
    return {queue: [each[:4] + each[5:] for each in messages] for queue, messages in found[1].items()}


def test_interrupted(original: Path, url: str) -> None:
    process_ = begin("import", url, "--data-dir", str(original))
    eventually(lambda: is_begun(url), "the copy has begun")
    process_.send_signal(signal.SIGINT)
    _, text = process_.communicate()
    assert process_.returncode == 1
    assert text == (
        "leveret: interrupted; the copy in the database of the cluster is incomplete: run the command again, "
        "which starts it anew\n"
    )
    bring(url, original)  # without a word about another node: this one has left
    assert in_database(url) == in_directory(original)


def is_begun(url: str) -> bool:
    """Whether something is in a database."""
    with connect(url) as connection:
        return connection.execute("SELECT count(*) > 1 FROM chunks").fetchone() == (True,)


def is_begun_in(directory: Path) -> bool:
    """The same of a directory, while a command writes to it."""
    with contextlib.suppress(sqlite3.Error):
        sql = sqlite3.connect(f"file:{directory / FILE_NAME}?mode=ro", uri=True)
        with contextlib.closing(sql):
            return bool(sql.execute("SELECT count(*) > 1 FROM chunks").fetchone()[0])
    return False


def test_a_lost_connection(original: Path, url: str, postgres: Pair, tmp_path: Path) -> None:
    process_ = begin("import", url, "--data-dir", str(original))
    eventually(lambda: is_begun(url), "the copy has begun")
    postgres.primary.stop("immediate")
    time.sleep(1)
    assert process_.poll() is None
    postgres.recover()
    _, text = process_.communicate()
    assert process_.returncode == 0, text
    assert "warning: the connection to the database is lost: " in text
    assert in_database(url) == in_directory(original)
    process_ = begin("export", url, "--data-dir", str(tmp_path / "back"))
    eventually(lambda: is_begun_in(tmp_path / "back"), "the copy has begun")
    postgres.primary.stop("immediate")
    _, text = process_.communicate()
    postgres.recover()
    assert process_.returncode == 1
    *warnings, last = text.splitlines()
    assert last.startswith("leveret: cannot ")
    assert last.endswith("the copy in the data directory is incomplete: run the command again, which starts it anew")
    assert all(line.startswith("warning: the database ") for line in warnings)
    result = process("cluster", "export", url, "--data-dir", str(tmp_path / "back"))
    assert (result.returncode, result.stderr.count("\n")) == (0, 1)
    assert "is dead" in result.stderr
    assert in_directory(tmp_path / "back") == in_directory(original)


# -- refusals


def test_only_an_empty_database(original: Path, url: str) -> None:
    small = "leveret: the database of the cluster contains definitions already: only an empty one can be copied to\n"
    bring(url, original)
    before = in_database(url)
    again = process("cluster", "import", url, "--data-dir", str(original))
    assert (again.returncode, again.stdout, again.stderr) == (1, "", small)
    assert in_database(url) == before


def test_only_an_empty_directory(original: Path, url: str, tmp_path: Path) -> None:
    target = snapshot_of(original, tmp_path / "target")
    before = in_directory(target)
    text = "the data directory contains definitions already: only an empty one can be copied to"
    assert refused(process("cluster", "export", url, "--data-dir", str(target))) == text
    assert in_directory(target) == before


def test_only_a_prepared_database(original: Path, database_url: str, tmp_path: Path) -> None:
    for verb, directory in (("import", original), ("export", tmp_path / "new")):
        text = refused(process("cluster", verb, database_url, "--data-dir", str(directory)))
        assert text == "the database has no tables of Leveret: create them with `leveret cluster init`"
    assert not (tmp_path / "new").exists()


def test_only_a_stopped_broker(original: Path, url: str, tmp_path: Path) -> None:
    source = snapshot_of(original, tmp_path / "source")
    server = Server.start("--data-dir", str(source))
    for verb in ("import", "export"):
        text = refused(process("cluster", verb, url, "--data-dir", str(source)))
        assert text.startswith(f"data directory {source} is in use by another broker; stop it")
    server.stop()
    server = Server.start("--cluster", url, "--node", "first")
    for verb, directory in (("import", source), ("export", tmp_path / "new")):
        text = refused(process("cluster", verb, url, "--data-dir", str(directory)))
        assert text == "node 'first' uses this database; stop it first: only one node can use it at a time"
    server.stop()
    assert not (tmp_path / "new").exists()


def test_only_with_data(url: str, tmp_path: Path) -> None:
    text = refused(process("cluster", "import", url, "--data-dir", str(tmp_path / "nothing")))
    assert text == f"there is no data in '{tmp_path / 'nothing'}'; say where with --data-dir"
    assert not (tmp_path / "nothing").exists()


def test_not_from_half_a_copy(original: Path, url: str, tmp_path: Path) -> None:
    source = snapshot_of(original, tmp_path / "source")
    marked(source)
    text = refused(process("cluster", "import", url, "--data-dir", str(source)))
    assert text == "the data directory contains an incomplete copy: run `some command` again, which starts it anew"
    assert in_database(url) == ([], {})


def marked(directory: Path) -> None:
    """Mark a directory as unfinished."""
    from leveret.store.group import Group

    store = Database(directory)
    group = Group()
    group.define(UNFINISHED, "", b"some command")
    store.write(group)
    store.close()


def waits(url: str) -> str:
    """What a broker says that waits for another node."""
    command = [sys.executable, "-m", "leveret", "serve", "--port", "0", "--cluster", url]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process_:
        assert process_.stderr is not None
        text = process_.stderr.readline()
        process_.kill()
    return text


def test_no_broker_starts_meanwhile(original: Path, url: str, tmp_path: Path) -> None:
    source = snapshot_of(original, tmp_path / "source")
    refusals: list[str] = []

    def look(done: int, total: int) -> None:
        if not done:
            refusals.extend([waits(url), cannot_start("--data-dir", str(source))])

    with contextlib.ExitStack() as stores:
        read = open_to_read(source)
        stores.callback(read.close)
        written = join_alone(url, "", "import", print).store
        stores.callback(written.close)
        Copy(read, written, "import").run(look)
    assert "node 'import' uses this database: this node waits to take its place" in refusals[0]
    assert "is in use by another broker" in refusals[1]


def test_a_password_is_from_a_file(original: Path, url: str, postgres: Pair, tmp_path: Path) -> None:
    (tmp_path / "wrong").write_text("")
    text = refused(
        process("cluster", "import", url, "--data-dir", str(original), "--password-file", str(tmp_path / "wrong"))
    )
    assert "must contain the password alone" in text


# -- damage


def test_damage_is_told_and_left_out(original: Path, url: str, tmp_path: Path) -> None:
    source = snapshot_of(original, tmp_path / "source")
    before = in_directory(original)
    sql = sqlite3.connect(source / FILE_NAME)
    chunks = [row[0] for row in sql.execute("SELECT id FROM chunks ORDER BY length(head)")]
    headless, torn = sorted(chunks[-2:])
    sql.execute("UPDATE chunks SET head = x'05' WHERE id = ?", (headless,))
    data = bytearray(sql.execute("SELECT data FROM chunks WHERE id = ?", (torn,)).fetchone()[0])
    data[-1] ^= 1
    sql.execute("UPDATE chunks SET data = ? WHERE id = ?", (bytes(data), torn))
    sql.execute("UPDATE definitions SET value = x'00' WHERE kind = 'policy'")
    sql.commit()
    sql.close()
    result = process("cluster", "import", url, "--data-dir", str(source))
    assert result.returncode == 1
    lines = result.stderr.splitlines()
    place = f"data directory '{source}'"
    assert lines[0].startswith(f"{place}: the definition of policy ")
    assert lines[1:3] == [
        f"{place}: chunk {headless}: checksum does not match",
        f"{place}: chunk {torn}: 1 of {lines[2].split(' of ')[-1].split()[0]} messages: checksum does not match",
    ]
    assert lines[3:] == ["leveret: some data is damaged and was not copied; all else was"]
    definitions, queues = in_database(url)
    assert definitions == [each for each in before[0] if each[0] != "policy"]
    lost = sum(map(len, before[1].values())) - sum(map(len, queues.values()))
    assert 0 < lost < 2_000
    for queue, messages in queues.items():
        assert set(messages) <= set(before[1][queue])
        assert messages == sorted(messages, key=lambda message: int(str(message[0])))
    assert drained("--cluster", url)["orders"]


def test_little_memory(original: Path, url: str) -> None:
    process_ = begin("import", url, "--data-dir", str(original))
    eventually(lambda: is_begun(url), "the copy has begun")
    peak = 0
    while process_.poll() is None:
        with contextlib.suppress(FileNotFoundError, StopIteration, ProcessLookupError):
            status = Path(f"/proc/{process_.pid}/status").read_text()
            peak = max(peak, int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]))
        time.sleep(0.02)
    process_.communicate()
    assert 0 < peak < 200_000  # kB, of which Python and its libraries take a third
