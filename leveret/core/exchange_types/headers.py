"""Headers: matches the arguments of the binding against the headers of the message.

x-match sets the mode: all (the default) or any, which ignore binding arguments that begin with x-; all-with-x and
any-with-x ignore only x-match itself. A void argument requires only that the header is present.
Source: rabbit_exchange_type_headers.erl.
"""

from __future__ import annotations

from typing import Final

from leveret.core.errors.refusals import UNFIT, Refusal
from leveret.core.exchange.exchange import Binding
from leveret.core.exchange.router import Router
from leveret.core.policy.erlang_format import erlang_format
from leveret.wire.fields import LONGSTR, VOID, Field, Table
from leveret.wire.properties import BasicProperties

MODES: Final = ("all", "any", "all-with-x", "any-with-x")


class Pattern:
    """The headers that one binding requires. places: its index entries, as header and value; None for any value."""

    __slots__ = ("any_is_enough", "binding", "places", "wanted")

    def __init__(self, binding: Binding) -> None:
        arguments = binding.arguments
        mode = arguments["x-match"].text if "x-match" in arguments else "all"
        self.binding = binding
        self.any_is_enough = mode.startswith("any")
        self.wanted: list[tuple[str, Field]] = [
            (key, field)
            for key, field in arguments.items()
            if key != "x-match" and (mode.endswith("-with-x") or not key.startswith("x-"))
        ]
        self.places: list[tuple[str, object]] = []

    def matches(self, headers: Table) -> bool:
        """Whether a message with these headers matches. Without requirements: yes for all, no for any."""
        for key, wanted in self.wanted:
            field = headers.get(key)
            fits = field is not None and (wanted.kind == VOID or wanted.comparable() == field.comparable())
            if fits == self.any_is_enough:
                return fits
        return not self.any_is_enough


class Shelf:
    """Index of the bindings under one header: by its value, or by its presence."""

    __slots__ = ("present", "values")

    def __init__(self) -> None:
        self.present: dict[Binding, Pattern] = {}
        self.values: dict[object, dict[Binding, Pattern]] = {}

    def bucket(self, value: object) -> dict[Binding, Pattern]:
        """Those under a value; None for presence."""
        return self.present if value is None else self.values.setdefault(value, {})

    def remove(self, value: object, binding: Binding) -> None:
        """Remove a binding."""
        bucket = self.bucket(value)
        del bucket[binding]
        if value is not None and not bucket:
            del self.values[value]

    def is_empty(self) -> bool:
        """Whether the index is empty."""
        return not self.present and not self.values


class HeadersRouter(Router):
    """Bindings indexed by required headers: for all, under the rarest one; for any, under each.

    Cost of a match: the message's headers, and the bindings indexed under one of them.
    """

    def __init__(self) -> None:
        super().__init__(varies=True)
        self._patterns: dict[Binding, Pattern] = {}
        self._undemanding: dict[Binding, None] = {}  # all without requirements: match every message
        self._shelves: dict[str, Shelf] = {}  # by header

    def check(self, binding: Binding) -> None:
        """Refuse an invalid x-match. Raises: Refusal UNFIT."""
        mode = binding.arguments.get("x-match")
        if mode is None:
            return
        if mode.kind != LONGSTR:
            raise Refusal(
                UNFIT,
                f"Invalid x-match field type {mode.type_name} (value {erlang_format(mode.value)}); expected longstr",
            )
        if mode.text not in MODES:
            raise Refusal(
                UNFIT,
                f"Invalid x-match field value {erlang_format(mode.value)}; "
                "expected all, any, all-with-x, or any-with-x",
            )

    def add(self, binding: Binding) -> None:
        """Add a binding."""
        pattern = self._patterns[binding] = Pattern(binding)
        if not pattern.wanted:
            if not pattern.any_is_enough:
                self._undemanding[binding] = None
            return
        places = [(key, None if field.kind == VOID else field.comparable()) for key, field in pattern.wanted]
        pattern.places = places if pattern.any_is_enough else [min(places, key=self._load)]
        for key, value in pattern.places:
            self._shelves.setdefault(key, Shelf()).bucket(value)[binding] = pattern

    def _load(self, place: tuple[str, object]) -> int:
        """How many bindings are indexed in a place."""
        shelf = self._shelves.get(place[0])
        if shelf is None:
            return 0
        return len(shelf.present if place[1] is None else shelf.values.get(place[1], {}))

    def remove(self, binding: Binding) -> None:
        """Remove a binding."""
        self._undemanding.pop(binding, None)
        pattern = self._patterns.pop(binding)
        for key, value in pattern.places:
            shelf = self._shelves[key]
            shelf.remove(value, pattern.binding)  # the same object, so no comparison of arguments
            if shelf.is_empty():
                del self._shelves[key]

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings that match a message with these headers."""
        headers = properties.headers if properties.headers is not None else {}
        found = dict(self._undemanding)
        for name, field in headers.items():
            shelf = self._shelves.get(name)
            if shelf is None:
                continue
            for pattern in shelf.present.values():
                if pattern.any_is_enough or pattern.matches(headers):
                    found[pattern.binding] = None
            for pattern in shelf.values.get(field.comparable(), _NONE).values():
                if pattern.any_is_enough or pattern.matches(headers):
                    found[pattern.binding] = None
        return list(found)


_NONE: Final[dict[Binding, Pattern]] = {}
