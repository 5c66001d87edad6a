"""Compare a declaration with the existing queue or exchange, property by property in RabbitMQ's order.

The client receives the first difference; the log shows all.
Source: rabbit_amqqueue.erl and rabbit_exchange.erl (assert_equivalence), rabbit_misc.erl (assert_args_equivalence).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from leveret.core.errors import diagnostics
from leveret.core.errors.diagnostics import Origin
from leveret.core.errors.refusals import inequivalent, resource
from leveret.core.policy.arguments import argument_names
from leveret.core.policy.erlang_format import erlang_format
from leveret.wire.fields import BINARY, LONGSTR, TIMESTAMP, VOID, Field, Table, longstr

if TYPE_CHECKING:
    from leveret.core.exchange.exchange import Exchange
    from leveret.core.queue.queue import Queue

DEFAULTS: Final[Table] = {"x-queue-type": longstr("classic")}  # implied when absent


class Equivalence:
    """One comparison. what: the queue or exchange as error texts name it; origin: of the existing one."""

    __slots__ = ("_differences", "_first", "_origin", "_what")

    def __init__(self, what: str, origin: Origin) -> None:
        self._what = what
        self._origin = origin
        self._first: tuple[str, str, str] | None = None
        self._differences: list[str] = []

    def flag(self, name: str, received: bool, current: bool) -> None:
        """Compare a boolean property."""
        self.word(name, str(received).lower(), str(current).lower())

    def word(self, name: str, received: str, current: str) -> None:
        """Compare a text property."""
        if received != current:
            self._differ(name, f"'{received}'", f"'{current}'")

    def arguments(self, received: Table, current: Table, names: list[str]) -> None:
        """Compare arguments. names: those to compare."""
        for name in names:
            new, old = received.get(name), current.get(name)
            if _comparable(new) == _comparable(old):
                continue
            if new is not None and old is not None:
                self._differ(name, _value(new), _value(old))
            else:
                self._differ(name, _value_and_type(new), _value_and_type(old))

    def check(self) -> None:
        """Refuse the declaration if it differs. Raises: Refusal UNFIT for the first difference."""
        if self._first is not None:
            name, received, current = self._first
            hint = diagnostics.differs(self._differences, self._origin)
            raise inequivalent(name, self._what, received, current, hint)

    def _differ(self, name: str, received: str, current: str) -> None:
        if self._first is None:
            self._first = (name, received, current)
        self._differences.append(f"{name}, received {received}, current {current}")


def check_same_queue(existing: Queue, durable: bool, auto_delete: bool, arguments: Table) -> None:
    """Refuse the declaration of a queue that differs from the existing one. Raises: Refusal UNFIT."""
    equivalence = Equivalence(resource("queue", existing.name, existing.vhost.name), existing.origin)
    equivalence.flag("durable", durable, existing.durable)
    equivalence.flag("auto_delete", auto_delete, existing.auto_delete)
    received, current = {**DEFAULTS, **arguments}, {**DEFAULTS, **existing.arguments}
    equivalence.arguments(received, current, argument_names(existing.settings.queue_type))
    equivalence.check()


def check_same_exchange(
    existing: Exchange, kind: str, durable: bool, auto_delete: bool, internal: bool, arguments: Table
) -> None:
    """Refuse the declaration of an exchange that differs from the existing one. Raises: Refusal UNFIT."""
    equivalence = Equivalence(resource("exchange", existing.name, existing.vhost.name), existing.origin)
    equivalence.word("type", kind, existing.kind)
    equivalence.flag("durable", durable, existing.durable)
    equivalence.flag("auto_delete", auto_delete, existing.auto_delete)
    equivalence.flag("internal", internal, existing.internal)
    equivalence.arguments(arguments, existing.arguments, [*existing.router.compared, "alternate-exchange"])
    equivalence.check()


def _comparable(field: Field | None) -> object:
    """Equal for fields that RabbitMQ considers equal: it compares values and mostly ignores types."""
    if field is None:
        return None
    return ("number", field.value) if field.kind == TIMESTAMP else field.comparable()


def _value(field: Field) -> str:
    return "none" if field.kind == VOID else f"'{_bare(field)}'"


def _value_and_type(field: Field | None) -> str:
    return "none" if field is None else f"the value '{_bare(field)}' of type '{field.type_name}'"


def _bare(field: Field) -> str:
    return field.text if field.kind in (LONGSTR, BINARY) else erlang_format(field.value)
