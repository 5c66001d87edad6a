"""Explain why a binding matches, by the type of its exchange. The exchange's router decides whether it matches."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Final

from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange_types.consistent_hash import weight_of
from leveret.core.exchange_types.kinds import routing_type
from leveret.core.exchange_types.topic import split
from leveret.wire.fields import VOID, Field, Table
from leveret.wire.properties import BasicProperties

SHOWN: Final = 60  # characters of a value
RANDOM: Final = ("x-random", "x-local-random")  # types that choose one binding at random
NAMED: Final = 5  # headers

Reason = Callable[[Exchange, Binding, list[str], BasicProperties], str]


def type_of(exchange: Exchange) -> str:
    """The type that determines its routing."""
    return routing_type(exchange.kind, exchange.arguments)


def why(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    """Why a binding matches a message with these keys and properties."""
    reason = REASONS.get(type_of(exchange))
    return "it matches every message" if reason is None else reason(exchange, binding, keys, properties)


def _direct(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    return "the keys are equal" if binding.key == keys[0] else f"it is equal to '{binding.key}' of CC or BCC"


def _topic(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    for key in keys:
        parts = topic_parts(binding.key, key)
        if parts is not None:
            wild = [f"'{word}' stands for {_words(found)}" for word, found in parts if word in ("*", "#")]
            of = "" if key == keys[0] else f" of the key '{key}' of CC or BCC"
            return (", ".join(wild) or "the keys are equal") + of
    return "the pattern matches"


def _words(words: list[str]) -> str:
    return f"'{'.'.join(words)}'" if words else "no word"


def topic_parts(pattern: str, key: str) -> list[tuple[str, list[str]]] | None:
    """The words of a key that each word of a pattern matches; None if the pattern does not match.

    Words between two `#` are searched from the left; those after the last `#` must be at the end.
    """
    words = split(key)
    first, *others = _runs(split(pattern))
    if not others:
        return _laid(first, words) if len(first) == len(words) else None
    last = others.pop()
    if len(first) + len(last) > len(words):
        return None
    found, at, end = _laid(first, words), len(first), len(words) - len(last)
    for run in others:
        start = next((place for place in range(at, end - len(run) + 1) if _laid(run, words[place:])), None)
        if not run:
            start = at
        if start is None or found is None:
            return None
        found += [("#", words[at:start]), *(_laid(run, words[start:]) or [])]
        at = start + len(run)
    ending = _laid(last, words[end:])
    return None if found is None or ending is None else [*found, ("#", words[at:end]), *ending]


def _runs(wanted: list[str]) -> list[list[str]]:
    """The words of a pattern, split at each `#`."""
    runs: list[list[str]] = [[]]
    for word in wanted:
        if word == "#":
            runs.append([])
        else:
            runs[-1].append(word)
    return runs


def _laid(wanted: list[str], words: list[str]) -> list[tuple[str, list[str]]] | None:
    """Match words of a pattern with the same number of words of a key; None if they differ."""
    if any(pattern not in ("*", word) for pattern, word in zip(wanted, words, strict=False)):
        return None
    return [(pattern, [word]) for pattern, word in zip(wanted, words, strict=False)]


def _headers(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    headers = properties.headers or {}
    mode, wanted = headers_wanted(binding)
    fitting = [name for name, field in wanted if header_fits(field, headers.get(name))]
    if mode.startswith("any"):
        return f"x-match is {mode}, and {_named(fitting, wanted)}"
    if not wanted:
        return "it requires no headers"
    return f"x-match is {mode}, and {_named(fitting, wanted)}"


def headers_wanted(binding: Binding) -> tuple[str, list[tuple[str, Field]]]:
    """The match mode of a headers binding, and its expected headers."""
    arguments = binding.arguments
    mode = arguments["x-match"].text if "x-match" in arguments else "all"
    return mode, [
        (name, field)
        for name, field in arguments.items()
        if name != "x-match" and (mode.endswith("-with-x") or not name.startswith("x-"))
    ]


def header_fits(wanted: Field, field: Field | None) -> bool:
    """Whether a header matches the value of a binding."""
    return field is not None and (wanted.kind == VOID or wanted.comparable() == field.comparable())


def _named(names: list[str], wanted: list[tuple[str, Field]]) -> str:
    fields = dict(wanted)
    shown = [
        f"{shortened(name)} is present"
        if fields[name].kind == VOID
        else f"{shortened(name)} is {value_of(fields[name])}"
        for name in names[:NAMED]
    ]
    more = len(names) - NAMED
    return " and ".join(shown) + (f" and {more} more" if more > 0 else "")


def value_of(field: Field) -> str:
    """A readable form of a header's value."""
    value = field.value
    if isinstance(value, bytes):
        return f"'{shortened(value.decode('utf-8', 'surrogateescape'))}'"
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, list | dict):
        return f"a {field.type_name}"
    return shortened(str(value))


def shortened(text: str) -> str:
    """A text, cut if long."""
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _consistent_hash(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    others = {(each.kind, each.destination) for each in itertools.islice(exchange.bindings, 10_000)}
    of = f"of {len(others)} destinations" if len(exchange.bindings) <= 10_000 else "of all destinations"
    return f"{of}, the hash of {_hashed(exchange.arguments)} chooses this one, whose weight is {weight_of(binding.key)}"


def _hashed(arguments: Table) -> str:
    for name, what in (("hash-header", "header"), ("hash-property", "property")):
        if name in arguments:
            return f"the {what} '{shortened(arguments[name].text)}'"
    return "the routing key"


def _modulus_hash(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    return f"of {len(exchange.bindings)} bindings, the hash of the routing key chooses this one"


def _random(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    return f"of {len(exchange.bindings)} bindings, one is chosen at random"


def _federation(exchange: Exchange, binding: Binding, keys: list[str], properties: BasicProperties) -> str:
    return "the message may be forwarded to the downstream"


REASONS: Final[dict[str, Reason]] = {
    "direct": _direct,
    "topic": _topic,
    "headers": _headers,
    "x-consistent-hash": _consistent_hash,
    "x-modulus-hash": _modulus_hash,
    "x-random": _random,
    "x-local-random": _random,
    "x-federation-upstream": _federation,
}
