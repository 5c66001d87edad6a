"""Topic exchanges: which binding keys match which routing keys."""

from __future__ import annotations

import pytest

from tests.clients.methods import QueueBind, QueueUnbind
from tests.clients.peer import Channel

from .conftest import Names

# Binding key: routing keys that match, routing keys that do not.
TOPICS: dict[str, tuple[list[str], list[str]]] = {
    "": ([""], ["a", ".", "a."]),
    "a": (["a"], ["", "A", "a.", ".a", "a.a", "aa"]),
    "*": (["a", "é"], ["", "a.b", "a.", "."]),
    "#": (["", ".", "a", "a.", "a.b.c"], []),
    "a.*": (["a.b", "a."], ["a", "a.b.c", "b.a", "", ".b"]),
    "*.a": (["b.a", ".a"], ["a", "c.b.a", "a.b"]),
    "*.*": (["a.b", ".", "a.", ".b"], ["", "a", "a.b.c", ".."]),
    "a.#": (["a", "a.b", "a.b.c", "a."], ["", "b", "b.a", "aa", ".a"]),
    "#.a": (["a", "b.a", "c.b.a", ".a"], ["", "a.b", "aa", "a."]),
    "*.#": (["a", "a.b", "a.b.c", "."], [""]),
    "#.*": (["a", "a.b", "a.b.c", "."], [""]),
    "#.a.#": (["a", "b.a", "a.b", "b.a.b", "a.a", ".a."], ["", "b", "aa", "b.b"]),
    "a.#.b": (["a.b", "a.c.b", "a.c.d.b", "a.b.b", "a..b"], ["a", "b", "a.c", "", "a.b.c"]),
    "a.*.#": (["a.b", "a.b.c", "a."], ["a", "b.a", ""]),
    "*.a.*": (["b.a.c", ".a."], ["a", "b.a", "a.b", "b.c.a"]),
    "a.*.b.#": (["a.c.b", "a.c.b.d.e"], ["a.b", "a.c", "a.c.c.b"]),
    "#.#": (["", "a", "a.b"], []),
    "a.": (["a."], ["a", "a.b", ""]),
    "a*": (["a*"], ["a", "ab"]),
    "a.#b": (["a.#b"], ["a.b", "a.xb"]),
    "a.b.c": (["a.b.c"], ["a.b", "a.b.c.d", "a.b.d"]),
}


@pytest.mark.parametrize("binding_key", TOPICS)
def test_topics(channel: Channel, names: Names, binding_key: str) -> None:
    match, other = TOPICS[binding_key]
    exchange = channel.exchange(names.exchange(), "topic")
    queue = channel.queue()
    channel.bind(queue, exchange, binding_key)
    for key in [*match, *other]:
        channel.publish(key, b"x", exchange=exchange)
    assert [message.routing_key for message in channel.drain(queue)] == match


def test_one_copy_for_many_bindings(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "topic")
    queue = channel.queue()
    for key in ("#", "a.*", "*.b", "a.b", "a.#"):
        channel.bind(queue, exchange, key)
    channel.publish("a.b", b"x", exchange=exchange)
    assert channel.bodies(queue) == [b"x"]


def test_unbind_leaves_other_bindings(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "topic")
    queue = channel.queue()
    for key in ("a.*", "a.#", "a.b.c"):
        channel.bind(queue, exchange, key)
    channel.call(QueueUnbind(queue=queue, exchange=exchange, routing_key="a.#"))
    for key in ("a", "a.b", "a.b.c"):
        channel.publish(key, b"x", exchange=exchange)
    assert [message.routing_key for message in channel.drain(queue)] == ["a.b", "a.b.c"]
    channel.call(QueueUnbind(queue=queue, exchange=exchange, routing_key="a.*"))
    channel.publish("a.b", b"x", exchange=exchange)
    assert channel.bodies(queue) == []


def test_many_queues_and_topics(channel: Channel, names: Names) -> None:
    exchange = channel.exchange(names.exchange(), "topic")
    queues = {key: channel.queue() for key in ("stock.*", "stock.#", "*.eur", "#.eur", "stock.usd", "#")}
    for key, queue in queues.items():
        channel.bind(queue, exchange, key)
    channel.publish("stock.eur", b"x", exchange=exchange)
    reached = {key for key, queue in queues.items() if channel.bodies(queue)}
    assert reached == {"stock.*", "stock.#", "*.eur", "#.eur", "#"}


def test_two_hashes_are_allowed(channel: Channel, queue: str) -> None:
    channel.bind(queue, "amq.topic", f"#.{queue}.#")


def test_three_hashes_are_refused(channel: Channel, queue: str) -> None:
    key = f"#.{queue}.#.{queue}.#"
    text = f"Topic binding key '{key}' uses 3 '#' wildcards, at most 2 are allowed"
    channel.expect_refused(QueueBind(queue=queue, exchange="amq.topic", routing_key=key), 406, text)
