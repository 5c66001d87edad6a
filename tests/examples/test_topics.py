"""examples/*/topics: patterns, and the length of a key."""

from __future__ import annotations

import pytest

from tests.clients.programs import Programs

KEYS = ["disk.sda.error", "disk", "network.error", "disk.sda.info", "network.eth0.error", "disk.sdb.error"]
PATTERNS = {
    ("*.*.error",): ["disk.sda.error", "network.eth0.error", "disk.sdb.error"],
    ("disk.#",): ["disk.sda.error", "disk", "disk.sda.info", "disk.sdb.error"],
    ("#.error", "disk.#"): KEYS,
    (): KEYS,
}


def test_a_subscriber_gets_exactly_the_keys_that_match(programs: Programs, library: str) -> None:
    subscribers = {patterns: programs.start(f"{library}/topics/receive_logs.py", *patterns) for patterns in PATTERNS}
    for subscriber in subscribers.values():
        subscriber.expect("Waiting for lines with a key like")
    for key in KEYS:
        programs.run(f"{library}/topics/emit_log.py", key, "a", "line")
    for patterns, subscriber in subscribers.items():
        # The last key matches all of them, and a queue keeps its order.
        subscriber.expect(f"Received {KEYS[-1]}: a line")
        assert subscriber.lines[1:] == [f"Received {key}: a line" for key in PATTERNS[patterns]]
    programs.assert_no_traceback()


@pytest.mark.parametrize("key", ["k" * 255, "é" * 127 + "k"], ids=["ascii", "two-byte letters"])
def test_a_key_of_255_bytes_arrives(programs: Programs, library: str, key: str) -> None:
    subscriber = programs.start(f"{library}/topics/receive_logs.py", key)
    subscriber.expect("Waiting for lines")
    programs.run(f"{library}/topics/emit_log.py", key, "just fits")
    subscriber.expect(f"Received {key}: just fits")
    programs.assert_no_traceback()


@pytest.mark.parametrize("key", ["k" * 256, "é" * 128], ids=["ascii", "two-byte letters"])
def test_a_longer_key_is_refused_in_one_sentence(programs: Programs, library: str, key: str) -> None:
    sender = programs.start(f"{library}/topics/emit_log.py", key)
    subscriber = programs.start(f"{library}/topics/receive_logs.py", key)
    assert sender.exit_code() == 1
    assert sender.lines == ["Not sent: the routing key has 256 bytes, and AMQP allows at most 255."]
    assert subscriber.exit_code() == 1
    assert subscriber.lines == ["Not bound: a pattern is a routing key too, and may have at most 255 bytes."]
