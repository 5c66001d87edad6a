"""Headers: the arguments of the binding against the headers of the message.

x-match says how: all (the default), any; both leave out binding arguments that begin with x-. all-with-x and
any-with-x leave out only x-match itself. A void argument asks for presence alone.
Source: rabbit_exchange_type_headers.erl.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.errors import AmqpError
from leveret.core.routing.router import Router
from leveret.core.terms import term
from leveret.wire.constants import PRECONDITION_FAILED
from leveret.wire.fields import LONGSTR, VOID, Field, Table
from leveret.wire.properties import BasicProperties

if TYPE_CHECKING:
    from leveret.core.exchange import Binding

MODES: Final = ("all", "any", "all-with-x", "any-with-x")


class Pattern:
    """What one binding asks for."""

    __slots__ = ("any_is_enough", "wanted")

    def __init__(self, arguments: Table) -> None:
        mode = arguments["x-match"].text if "x-match" in arguments else "all"
        self.any_is_enough = mode.startswith("any")
        self.wanted: list[tuple[str, Field]] = [
            (key, field)
            for key, field in arguments.items()
            if key != "x-match" and (mode.endswith("-with-x") or not key.startswith("x-"))
        ]

    def matches(self, headers: Table) -> bool:
        """Whether a message with these headers is wanted. Nothing asked for: yes for all, no for any."""
        for key, wanted in self.wanted:
            field = headers.get(key)
            fits = field is not None and (wanted.kind == VOID or wanted.comparable() == field.comparable())
            if fits == self.any_is_enough:
                return fits
        return not self.any_is_enough


class HeadersRouter(Router):
    """All bindings with what they ask for. Cost of a match: every binding is looked at."""

    def __init__(self) -> None:
        super().__init__(varies=True)
        self._patterns: dict[Binding, Pattern] = {}

    def check(self, binding: Binding) -> None:
        """Refuse an x-match that is none. Raises: AmqpError 406."""
        mode = binding.arguments.get("x-match")
        if mode is None:
            return
        if mode.kind != LONGSTR:
            raise AmqpError(
                PRECONDITION_FAILED,
                f"Invalid x-match field type {mode.type_name} (value {term(mode.value)}); expected longstr",
            )
        if mode.text not in MODES:
            raise AmqpError(
                PRECONDITION_FAILED,
                f"Invalid x-match field value {term(mode.value)}; expected all, any, all-with-x, or any-with-x",
            )

    def add(self, binding: Binding) -> None:
        """A new binding."""
        self._patterns[binding] = Pattern(binding.arguments)

    def remove(self, binding: Binding) -> None:
        """The binding is gone."""
        del self._patterns[binding]

    def match(self, key: str, properties: BasicProperties) -> list[Binding]:
        """The bindings that want a message with these headers."""
        headers = properties.headers if properties.headers is not None else {}
        return [binding for binding, pattern in self._patterns.items() if pattern.matches(headers)]
