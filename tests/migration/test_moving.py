"""What is moved from one broker to another, and how it arrives; what cannot be moved stays, and is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pika
import pytest

from tests.clients.administration import ManagementApi
from tests.clients.command_line import leveret, refused
from tests.clients.waiting import eventually
from tests.migration.conftest import Pair
from tests.migration.houses import LeveretHouse

PERSISTENT = pika.BasicProperties(delivery_mode=2)
AGAIN = "x-migrated-again"
MIB = 1 << 20
ODD = pika.BasicProperties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers={
        "text": "Grüße",
        "bytes": b"\x00\xff",
        "integers": [1, -1, 1 << 40],
        "price": Decimal("3.14"),
        "when": datetime(2026, 1, 2, tzinfo=UTC),
        "nothing": None,
        "table": {"deep": {"deeper": True}},
    },
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    message_id="m",
    timestamp=1_700_000_000,
    type="t",
    user_id="guest",
    app_id="a",
    cluster_id="x",
)


def bodies(pair: Pair, queue: str) -> list[bytes]:
    """Of all messages of a queue at the target."""
    return [each.body for each in pair.take(queue)]


def fill(pair: Pair, queue: str, count: int, **arguments: Any) -> list[bytes]:
    """A durable queue with so many messages. Returns: their bodies."""
    pair.old.queue_declare(queue, durable=True, arguments=arguments)
    sent = [b"%d" % number for number in range(count)]
    for body in sent:
        pair.old.basic_publish("", queue, body, PERSISTENT)
    return sent


def test_definitions_and_messages_arrive_as_they_were(pair: Pair) -> None:
    pair.old.exchange_declare("events", "topic", durable=True)
    pair.old.queue_declare("q", durable=True, arguments={"x-max-length": 1000})
    pair.old.queue_bind("q", "events", "order.#")
    pair.old.basic_publish("events", "order.new", b"odd", ODD)
    pair.old.basic_publish("events", "order.old", b"", pika.BasicProperties(headers={}))
    pair.old.basic_publish("", "q", b"bare")
    report = pair.report()
    assert [(each["name"], each["moved"], each["reason"]) for each in report["queues"]] == [("q", 3, None)]
    assert (report["moved"], report["again"], report["from"]["product"]) == (3, 0, "Leveret")
    odd, empty, bare = pair.take("q")
    assert (odd.key, odd.body) == ("order.new", b"odd")
    assert vars(odd.properties) == vars(ODD)
    assert (empty.key, empty.body, empty.properties.headers) == ("order.old", b"", {})
    assert (bare.exchange, bare.key, bare.body) == ("", "q", b"bare")
    assert {key: value for key, value in vars(bare.properties).items() if value is not None} == {}
    pair.channel(pair.target).basic_publish("events", "order.x", b"bound", mandatory=True)
    assert bodies(pair, "q") == [b"bound"]
    assert pair.take("q", pair.source) == []


def test_headers_that_lead_to_more_queues_do_not_lead_there_again(pair: Pair) -> None:
    for queue in ("a", "b"):
        pair.old.queue_declare(queue, durable=True)
    properties = pika.BasicProperties(delivery_mode=2, headers={"CC": ["b"]})
    pair.old.basic_publish("", "a", b"both", properties)
    pair.report()
    (one,), (other,) = pair.take("a"), pair.take("b")
    assert one.properties.headers == other.properties.headers == {"CC": ["b"]}
    assert (one.key, other.key) == ("a", "a")


def test_the_order_stays(pair: Pair) -> None:
    sent = fill(pair, "q", 2500)
    assert pair.report("--window", "100")["moved"] == 2500
    assert bodies(pair, "q") == sent


def test_queues_take_turns(pair: Pair) -> None:
    sent = {queue: fill(pair, queue, 300) for queue in ("a", "b", "c")}
    pair.old.queue_declare("empty", durable=True)
    report = pair.report("--window", "3")
    assert {each["name"]: each["moved"] for each in report["queues"]} == {"a": 300, "b": 300, "c": 300, "empty": 0}
    for queue, messages in sent.items():
        assert bodies(pair, queue) == messages


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_priorities_and_kinds(pair: Pair, kind: str) -> None:
    arguments: dict[str, Any] = {"x-queue-type": kind} | ({"x-max-priority": 5} if kind == "classic" else {})
    pair.old.queue_declare("q", durable=True, arguments=arguments)
    for number in range(50):
        pair.old.basic_publish("", "q", b"%d" % number, pika.BasicProperties(delivery_mode=2, priority=number % 3))
    pair.report("--window", "7")
    found = [int(body) for body in bodies(pair, "q")]
    assert found == (sorted(range(50), key=lambda number: -(number % 3)) if kind == "classic" else list(range(50)))


def test_counts_of_a_quorum_queue_are_its_own(pair: Pair) -> None:
    pair.old.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum"})
    pair.old.basic_publish("", "q", b"bare", PERSISTENT)
    pair.old.basic_publish("", "q", b"more", pika.BasicProperties(delivery_mode=2, headers={"a": 1}))
    for _ in range(2):
        method, _, _ = pair.old.basic_get("q")
        pair.old.basic_reject(method.delivery_tag, requeue=True)
    channel = pair.channel(pair.source)
    channel.basic_get("q")
    channel.basic_get("q")
    channel.close()
    pair.report()
    assert [each.properties.headers for each in pair.take("q")] == [None, {"a": 1}]


def test_a_message_that_has_come_too_often_is_taken_alone(pair: Pair) -> None:
    pair.old.queue_declare("q", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 4})
    sent = [b"%d" % number for number in range(20)]
    for body in sent:
        pair.old.basic_publish("", "q", body, PERSISTENT)
    for _ in range(3):
        channel = pair.channel(pair.source)
        for _ in range(5):
            channel.basic_get("q")
        channel.close()
    assert pair.report()["moved"] == 20
    assert bodies(pair, "q") == sent


def test_a_queue_that_would_go_with_its_last_consumer_stays(pair: Pair) -> None:
    pair.old.queue_declare("q", durable=True, auto_delete=True)
    sent = [b"%d" % number for number in range(250)]
    for body in sent:
        pair.old.basic_publish("", "q", body, PERSISTENT)
    assert pair.report()["moved"] == 250
    assert pair.old.queue_declare("q", passive=True).method.message_count == 0
    assert bodies(pair, "q") == sent


def test_large_messages(pair: Pair) -> None:
    pair.old.queue_declare("q", durable=True)
    sizes = [10 * MIB, 1, 15 * MIB, 200_000, 131_064, 131_065, *[MIB] * 20]
    for number, size in enumerate(sizes):
        pair.old.basic_publish("", "q", bytes([number]) * size, PERSISTENT)
    assert pair.report()["moved"] == len(sizes)
    found = bodies(pair, "q")
    assert [len(body) for body in found] == sizes
    assert all(body == bytes([number]) * sizes[number] for number, body in enumerate(found))


# -- what cannot be moved, or not yet


def test_what_consumers_hold_comes_when_they_give_it_back(pair: Pair) -> None:
    fill(pair, "q", 3)
    method, _, _ = pair.old.basic_get("q")
    result = pair.migrate()
    assert result.returncode == 0, result.stderr
    assert "it had 1 message unacknowledged at the start" in result.stderr
    assert bodies(pair, "q") == [b"1", b"2"]
    pair.old.basic_nack(method.delivery_tag, requeue=True)
    assert pair.report()["moved"] == 1
    (taken,) = pair.take("q")
    assert (taken.body, taken.properties.headers) == (b"0", None)


def test_a_queue_with_an_exclusive_consumer(pair: Pair) -> None:
    fill(pair, "q", 2)
    other = fill(pair, "other", 2)
    channel = pair.channel(pair.source)
    channel.basic_qos(prefetch_count=1)
    channel.basic_consume("q", lambda *_: None, exclusive=True)
    result = pair.migrate()
    assert result.returncode == 1
    assert "queue 'q'" in result.stderr
    assert "another consumer has exclusive access" in result.stderr
    assert result.stderr.endswith("leveret: 1 queue is not empty\n")
    assert bodies(pair, "other") == other


def test_exclusive_queues_are_left_to_their_clients(pair: Pair) -> None:
    name = pair.old.queue_declare("", exclusive=True).method.queue
    pair.old.basic_publish("", name, b"mine")
    fill(pair, "q", 1)
    result = pair.migrate()
    assert result.returncode == 0
    assert "not moved: it is exclusive" in result.stderr
    method, _, body = pair.old.basic_get(name)
    assert (method.redelivered, body) == (False, b"mine")


def test_a_queue_that_is_full_at_the_target(pair: Pair) -> None:
    limits: dict[str, Any] = {"x-max-length": 10, "x-overflow": "reject-publish"}
    sent = fill(pair, "q", 10, **limits)
    pair.report()
    more = [b"more %d" % number for number in range(7)]
    for body in more:
        pair.old.basic_publish("", "q", body, PERSISTENT)
    report = pair.report("--messages-only", status=1)
    assert report["error"] == "1 queue is not empty"
    assert "full in the target" in report["queues"][0]["reason"]
    channel = pair.channel(pair.target)
    taken = [channel.basic_get("q", auto_ack=True)[2] for _ in range(4)]
    assert pair.report("--messages-only", status=1)["moved"] == 4
    assert taken + bodies(pair, "q") == sent + more[:4]
    assert pair.report("--messages-only")["moved"] == 3
    assert bodies(pair, "q") == more[4:]


def test_a_queue_that_is_not_at_the_target(pair: Pair) -> None:
    fill(pair, "q", 2)
    pair.new_api.make_vhost(pair.vhost, "")
    pair.new_api.permit("guest", pair.vhost)
    report = pair.report("--messages-only", status=1)
    assert "it does not exist in the target" in report["queues"][0]["reason"]
    assert pair.old.queue_declare("q", passive=True).method.message_count == 2


def test_a_message_that_the_target_does_not_take(pair: Pair, tmp_path: Path) -> None:
    sent = fill(pair, "q", 30)
    pair.old.basic_publish("", "q", bytes(2 * MIB), PERSISTENT)
    fill(pair, "q", 5)
    house = LeveretHouse(tmp_path / "small", "--max-message-size", "1MiB")
    house.start()
    small = Pair.__new__(Pair)
    small.__dict__.update(pair.__dict__ | {"target": house})
    try:
        report = small.report("--journal", str(tmp_path / "small-journal"), status=1)
        assert "message size 2097152 is larger than configured max size 1048576" in report["queues"][0]["reason"]
        assert report["moved"] == 30
        assert [each.body for each in small.take("q", house)] == sent
        assert pair.old.queue_declare("q", passive=True).method.message_count == 6
    finally:
        house.stop()


def test_a_user_who_may_not_speak_for_others(pair: Pair) -> None:
    pair.old.queue_declare("q", durable=True)
    pair.api.make_user("shop", "administrator")
    pair.new_api.make_user("mover", "administrator")
    try:
        pair.api.permit("shop", pair.vhost)
        credentials = pika.PlainCredentials("shop", "secret")
        parameters = pika.ConnectionParameters("127.0.0.1", pair.source.port, pair.vhost, credentials)
        with pika.BlockingConnection(parameters) as connection:
            for body in (b"first", b"second"):
                user = "shop" if body == b"second" else None
                connection.channel().basic_publish("", "q", body, pika.BasicProperties(delivery_mode=2, user_id=user))
        pair.report("--definitions-only")
        report = pair.report("--messages-only", status=1)
        assert "give that user the tag impersonator there" in report["queues"][0]["reason"]
        assert bodies(pair, "q") == [b"first"]
        pair.new_api.make_user("mover", "administrator,impersonator")
        pair.new_api.permit("mover", pair.vhost)
        there = pair.target.api.replace("guest:guest@", "mover:secret@")
        places = ("--from", pair.source.api, "--to", there, "--journal", str(pair.directory / "journal"))
        done = leveret("migrate", *places, "--vhost", pair.vhost, "--messages-only")
        assert (done.returncode, done.stdout) == (
            0,
            f"queue 'q' in virtual host '{pair.vhost}': 1 message\nMoved 1 message of 1 queue.\n",
        )
        assert [each.properties.user_id for each in pair.take("q")] == ["shop"]
    finally:
        pair.api.remove_user("shop")
        for user in ("mover", "shop"):
            pair.new_api.remove_user(user)


# -- the command


def test_a_dry_run_changes_nothing(pair: Pair) -> None:
    fill(pair, "q", 3, **{"x-message-ttl": 600_000})
    pair.old.queue_declare("quick", arguments={"x-expires": 60_000})
    result = pair.migrate("--dry-run")
    assert result.returncode == 0
    assert f"queue 'q' in virtual host '{pair.vhost}': 3 messages\n" in result.stdout
    assert "Definitions: would import 1 vhost, 1 permission, 2 queues.\n" in result.stdout
    assert "Would move 3 messages of 2 queues.\n" in result.stdout
    for text in (
        "expire after 600000 ms, counted anew",
        "deleted after 60000 ms",
        "is not durable",
        "keeps its password",
    ):
        assert text in result.stderr
    assert all(each["name"] != pair.vhost for each in pair.new_api.get("vhosts"))
    method, _, _ = pair.old.basic_get("q")
    assert method.redelivered is False
    report = pair.report("--dry-run")
    assert {each["name"]: each["ready"] for each in report["queues"]} == {"q": 2, "quick": 0}
    assert report["definitions"]["applied"]["queues"] == 2
    assert not (pair.directory / "journal").exists()


def test_only_some_queues(pair: Pair) -> None:
    for queue in ("orders.a", "orders.b", "letters"):
        fill(pair, queue, 2)
    assert {each["name"] for each in pair.report("--queue", "orders.*")["queues"]} == {"orders.a", "orders.b"}
    assert bodies(pair, "letters") == []
    assert pair.report("--queue", "letters")["moved"] == 2


def test_there_and_back(pair: Pair) -> None:
    sent = fill(pair, "q", 5)
    pair.report()
    back = Pair.__new__(Pair)
    directory = pair.directory / "back"
    back.__dict__.update(pair.__dict__ | {"source": pair.target, "target": pair.source, "directory": directory})
    assert back.report()["moved"] == 5
    assert [each.body for each in pair.take("q", pair.source)] == sent


def test_what_differs_at_the_target_is_told(pair: Pair) -> None:
    pair.new_api.make_vhost(pair.vhost, "")
    pair.new_api.permit("guest", pair.vhost)
    pair.channel(pair.target).queue_declare("q", durable=True, arguments={"x-max-priority": 3})
    sent = fill(pair, "q", 2)
    result = pair.migrate()
    assert result.returncode == 0
    assert "queues[0] 'q'" in result.stderr
    assert bodies(pair, "q") == sent


def test_one_broker_is_not_two(pair: Pair) -> None:
    fill(pair, "q", 1)
    other_name = pair.source.api.replace("127.0.0.1", "localhost")
    journal = str(pair.directory / "journal")
    result = leveret(
        "migrate", "--from", pair.source.api, "--to", other_name, "--vhost", pair.vhost, "--journal", journal,
        "--messages-only",
    )  # fmt: skip
    assert refused(result).endswith("are the same broker")


def test_a_journal_is_of_one_migration(pair: Pair) -> None:
    fill(pair, "q", 1)
    pair.report()
    wrong = ("migrate", "--from", pair.target.api, "--to", pair.source.api, "--vhost", pair.vhost)
    result = leveret(*wrong, "--messages-only", "--journal", str(pair.directory / "journal"))
    assert "is the journal of a migration from" in refused(result)
    (pair.directory / "text").write_text("no journal, but a text that is long enough to be looked at" * 20)
    result = leveret(*wrong, "--messages-only", "--journal", str(pair.directory / "text"))
    assert "is not a journal, or is damaged" in refused(result)
    assert os.stat(pair.directory / "journal").st_mode & 0o777 == 0o600


def start(pair: Pair, *options: str) -> subprocess.Popen[str]:
    """The command as a process."""
    places = [*pair.source.options("from"), *pair.target.options("to")]
    journal = ("--journal", str(pair.directory / "journal"))
    return subprocess.Popen(
        [sys.executable, "-m", "leveret", "migrate", *places, "--vhost", pair.vhost, *journal, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_follows_until_it_is_stopped(pair: Pair) -> None:
    fill(pair, "q", 2)
    command = start(pair, "--follow")
    try:
        new = ManagementApi(pair.target.api.replace("guest:guest@", ""))
        eventually(lambda: any(each["name"] == pair.vhost for each in new.get("vhosts")), 60)
        channel = pair.channel(pair.target)
        for number in range(2, 6):
            pair.old.basic_publish("", "q", b"%d" % number, PERSISTENT)
            eventually(lambda: channel.queue_declare("q", durable=True).method.message_count == number + 1)  # noqa: B023
        fill(pair, "late", 3)
        eventually(lambda: {"late"} <= {each["name"] for each in new.get("queues", pair.vhost)}, 60)
        eventually(lambda: channel.queue_declare("late", durable=True).method.message_count == 3)
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=60)
    finally:
        command.kill()
    assert command.returncode == 0, err
    assert "Moved 9 messages of 2 queues.\n" in out
    assert bodies(pair, "q") == [b"%d" % number for number in range(6)]


def test_it_stops_and_goes_on(pair: Pair) -> None:
    sent = fill(pair, "q", 3000)
    command = start(pair, "--window", "1")
    log = pair.directory / "journal-wal"
    eventually(lambda: log.exists() and log.stat().st_size > 100_000, 60)
    command.send_signal(signal.SIGINT)
    _, err = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    report = pair.report()
    assert 0 < report["moved"] < 3000
    assert report["all_runs"] == {"moved": 3000, "again": 0}
    assert bodies(pair, "q") == sent


def test_two_commands_do_not_share_a_journal(pair: Pair) -> None:
    fill(pair, "q", 1)
    command = start(pair, "--follow")
    eventually(lambda: (pair.directory / "journal-wal").exists(), 60)
    result = pair.migrate("--messages-only")
    assert "another `leveret migrate` is using the journal" in refused(result)
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)


def test_where_brokers_are_not(pair: Pair, tmp_path: Path) -> None:
    nowhere = "http://guest:guest@127.0.0.1:1"
    assert "cannot connect to" in refused(leveret("migrate", "--from", nowhere, "--to", pair.target.api))
    wrong = pair.source.api.replace("guest:guest", "guest:wrong")
    assert "refused the login of user 'guest'" in refused(leveret("migrate", "--from", wrong, "--to", pair.target.api))
    away = ("--from-amqp", "amqp://127.0.0.1:1", "--journal", str(tmp_path / "journal"))
    fill(pair, "q", 1)
    result = leveret("migrate", "--from", pair.source.api, "--to", pair.target.api, "--vhost", pair.vhost, *away)
    assert (result.returncode, "cannot connect to the AMQP port 127.0.0.1:1" in result.stderr) == (1, True)
    for options, text in (
        ((), "give the source broker with --from"),
        (("--from", nowhere, "--to", nowhere, "--url", nowhere), "already name both brokers"),
        (("--from", "ftp://x", "--to", nowhere), "not a valid URL"),
        (("--from", nowhere, "--to", nowhere, "--to-amqp", "http://x"), "amqp://USER:PASSWORD@HOST:5672"),
        (("--from", nowhere, "--to", nowhere, "--definitions-only", "--follow"), "it excludes --follow"),
    ):
        result = leveret("migrate", *options)
        assert result.returncode == 2
        assert text in result.words()


def test_publishers_go_on_meanwhile(pair: Pair) -> None:
    sent = fill(pair, "q", 500)
    more = [b"more %d" % number for number in range(300)]
    channel = pair.channel(pair.source)

    def publish() -> None:
        for body in more:
            channel.basic_publish("", "q", body, PERSISTENT)
        channel.connection.process_data_events()

    thread = threading.Thread(target=publish)
    thread.start()
    pair.report("--window", "10")
    thread.join()
    pair.report("--messages-only")
    assert bodies(pair, "q") == sent + more
