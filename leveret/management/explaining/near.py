"""Suggest similar bindings and names for an unroutable message."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from leveret.core.errors.diagnostics import MAX_NAME, is_similar
from leveret.core.exchange.exchange import Binding, Exchange
from leveret.core.exchange_types.topic import split
from leveret.management.explaining.reasons import header_fits, headers_wanted, shortened, topic_parts, type_of, value_of
from leveret.wire.properties import BasicProperties

MOST: Final = 5  # hints of one kind
MOST_LOOKED: Final = 100_000  # bindings or names
PIECE: Final = 10  # of them per step
SEPARATORS: Final = str.maketrans("/:-_ ", ".....")

Hint = tuple[int, str]  # distance, 0 for the nearest, and a sentence


class Hints:
    """The nearest hints found so far."""

    def __init__(self) -> None:
        self._found: list[Hint] = []

    def add(self, hint: Hint | None) -> None:
        """Add a hint."""
        if hint is not None and hint not in self._found:
            self._found = sorted([*self._found, hint], key=lambda each: each[0])[:MOST]

    @property
    def is_enough(self) -> bool:
        """Whether no further hint could be nearer."""
        return len(self._found) == MOST and self._found[-1][0] == 0

    @property
    def texts(self) -> list[str]:
        """The hints as sentences."""
        return [text for _, text in self._found]


def look(exchange: Exchange, keys: list[str], properties: BasicProperties, hints: Hints) -> Iterator[None]:
    """Search the bindings of an exchange, none of which matched, in steps."""
    nearness = KINDS.get(type_of(exchange))
    if nearness is None:
        return
    for at, binding in enumerate(list(exchange.bindings)):
        if at >= MOST_LOOKED or hints.is_enough:
            return
        hints.add(nearness(binding, keys, properties))
        if at % PIECE == PIECE - 1:
            yield


def names(kind: str, name: str, known: Iterable[str], hints: Hints) -> Iterator[None]:
    """Search for a similar name, in steps. kind: queue or exchange."""
    if len(name) > MAX_NAME:
        return
    for at, other in enumerate(known):
        if at >= MOST_LOOKED or hints.is_enough:
            return
        how = _likeness(name, other) if other else None
        if how is not None:
            hints.add((how[0], f"there is {kind} '{other}', which {how[1]}"))
        if at % PIECE == PIECE - 1:
            yield


def _likeness(one: str, other: str) -> Hint | None:
    if one.strip() == other.strip():
        return (0, "differs in spaces")
    if one.casefold() == other.casefold():
        return (0, "differs in upper and lower case")
    if is_similar(one, other):
        return (2, "differs in a few characters")
    return None


def _where(binding: Binding) -> str:
    return f"the binding '{binding.key}' to {binding.kind} '{binding.destination}'"


def _direct(binding: Binding, keys: list[str], properties: BasicProperties) -> Hint | None:
    for key in keys:
        if ("*" in binding.key or "#" in binding.key) and topic_parts(binding.key, key) is not None:
            return (0, f"{_where(binding)} has wildcards, which only work in a topic exchange; this one is direct")
        how = _likeness(key, binding.key)
        if how is not None:
            return (how[0], f"{_where(binding)} {how[1]}")
    return None


def _topic(binding: Binding, keys: list[str], properties: BasicProperties) -> Hint | None:
    pattern = binding.key
    for key in keys:
        if topic_parts(pattern.casefold(), key.casefold()) is not None:
            return (0, f"{_where(binding)} differs in upper and lower case")
        if topic_parts(pattern.casefold(), key.casefold().translate(SEPARATORS)) is not None:
            return (1, f"{_where(binding)} would match if the words of the routing key were separated by dots")
        if "*" in pattern and topic_parts(pattern.replace("*", "#"), key) is not None:
            return (1, f"{_where(binding)} does not match: '*' stands for exactly one word, '#' for any number")
        wanted, words = split(pattern), split(key)
        if len(wanted) == len(words):
            others = [pair for pair in zip(wanted, words, strict=True) if pair[0] not in ("*", "#", pair[1])]
            if len(others) == 1 and is_similar(*others[0]):
                return (2, f"{_where(binding)} has the word '{others[0][0]}' instead of '{others[0][1]}'")
    return None


def _headers(binding: Binding, keys: list[str], properties: BasicProperties) -> Hint | None:
    headers = properties.headers or {}
    mode, wanted = headers_wanted(binding)
    missing = [(name, field) for name, field in wanted if not header_fits(field, headers.get(name))]
    if mode.startswith("all") and len(missing) != 1:
        return None
    to = f"the binding to {binding.kind} '{binding.destination}'"
    for name, field in missing:
        found = headers.get(name)
        if found is not None:
            has, wants = value_of(found), value_of(field)
            if has.strip("'") == wants.strip("'"):
                return (0, f"{to} expects header '{shortened(name)}' as a {field.type_name}, not {found.type_name}")
            if mode.startswith("all") or has.casefold() == wants.casefold():
                return (1, f"{to} expects header '{shortened(name)}' to be {wants}, not {has}")
        like = next((other for other in headers if name.casefold() == other.casefold() and name != other), None)
        if like is not None:
            return (0, f"{to} expects header '{shortened(name)}', which differs from '{shortened(like)}'")
        if found is None and mode.startswith("all"):
            return (2, f"{to} expects header '{shortened(name)}', which the message does not have")
    return None


KINDS: Final[dict[str, Callable[[Binding, list[str], BasicProperties], Hint | None]]] = {
    "direct": _direct,
    "topic": _topic,
    "headers": _headers,
}
