"""Topic exchanges against the plain definition of `*` and `#`, with bindings that come and go."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from leveret.core.exchange.exchange import NO_PROPERTIES, Binding, Exchange
from leveret.core.vhost import VirtualHost
from tests.clients.socketless import make_broker

PATTERNS = (
    st.lists(st.sampled_from(["a", "b", "", "*", "#"]), max_size=6)
    .map(".".join)
    .filter(
        lambda pattern: pattern.count("#") <= 2  # more are refused
    )
)
KEYS = st.lists(st.sampled_from(["a", "b", "c", ""]), max_size=7).map(".".join)


def words(key: str) -> list[str]:
    """The words of a key; an empty key has none."""
    return key.split(".") if key else []


def matches(pattern: list[str], key: list[str]) -> bool:
    """The definition, word by word."""
    if not pattern:
        return not key
    if pattern[0] == "#":
        return matches(pattern[1:], key) or (bool(key) and matches(pattern, key[1:]))
    return bool(key) and pattern[0] in ("*", key[0]) and matches(pattern[1:], key[1:])


def topic() -> tuple[VirtualHost, Exchange]:
    """A topic exchange of its own."""
    vhost = make_broker().vhosts["/"]
    return vhost, vhost.declare_exchange("t", "topic", False, False, False, {})


@given(st.lists(PATTERNS, max_size=12), st.data(), st.lists(KEYS, min_size=1, max_size=12))
def test_against_the_definition(patterns: list[str], data: st.DataObject, keys: list[str]) -> None:
    vhost, exchange = topic()
    bindings: list[Binding] = []
    for number, pattern in enumerate(patterns):
        queue = vhost.make_queue(f"q{number}", False, 0, False, {})
        bindings.append(Binding(exchange, queue, None, pattern, {}))
        vhost.bind(bindings[-1])
        vhost.bind(Binding(exchange, queue, None, pattern, {}))  # once more: no effect
    kept = list(bindings)
    for _ in range(2):
        for key in keys:
            expected = [each.destination for each in kept if matches(words(each.key), words(key))]
            found = [binding.destination for binding in exchange.router.match(key, NO_PROPERTIES)]
            assert sorted(found) == sorted(expected)
            assert sorted(queue.name for queue in exchange.route([key]).queues) == sorted(expected)
        if bindings:
            for gone in data.draw(st.lists(st.sampled_from(bindings), unique_by=id)):
                vhost.unbind(gone)
                vhost.unbind(gone)  # once more: no effect
                kept = [binding for binding in kept if binding is not gone]


@pytest.mark.parametrize(
    ("pattern", "key", "expected"),
    [
        ("#", "", True),
        ("*", "", False),
        ("", "", True),
        ("a.*", "a.", True),
        ("a.#", "a", True),
        ("#.#", "a", True),
        ("#.a.#.a", "a.b.a", True),
        ("#.a.#.a", "a", False),
        ("*.#.*", "a", False),
    ],
)
def test_examples(pattern: str, key: str, expected: bool) -> None:
    vhost, exchange = topic()
    queue = vhost.make_queue("q", False, 0, False, {})
    vhost.bind(Binding(exchange, queue, None, pattern, {}))
    assert exchange.route([key]).queues == ([queue] if expected else [])
    assert matches(words(pattern), words(key)) is expected
