"""Choosing: the options that say which messages of a queue are meant."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, Final

import typer

from leveret.node.cli.conditions import condition, parse, seconds, size
from leveret.node.cli.names import of_queues
from leveret.node.cli.option_groups import grouped

PANEL: Final = "Which messages"


class State(StrEnum):
    """Where a message is."""

    READY = "ready"
    UNACKED = "unacked"
    DELAYED = "delayed"


def _option(*names: str, text: str, **more: Any) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=PANEL, **more)


WHERE: Final[dict[str, tuple[Any, Any]]] = {
    "where": (
        Annotated[
            list[str] | None,
            _option(
                "--where",
                text="FIELD OP VALUE, or FIELD exists, FIELD missing. OP: = != < <= > >= ~ (matches a pattern) *= "
                "(contains). FIELD: headers.NAME, json:PATH, body, routing_key, exchange, size, age, message_id or "
                "another property, death.queue. Repeatable; all have to hold.",
            ),
        ],
        None,
    ),
    "body": (Annotated[str | None, _option("--body", text="The body contains this text.")], None),
    "pattern": (Annotated[str | None, _option("--pattern", text="The body matches this pattern.")], None),
    "ids": (Annotated[list[str] | None, _option("--id", text="The message with this id. Repeatable.")], None),
    "older": (Annotated[str | None, _option("--older", text="Older than this, as 30s, 5m, 1h or 2d.")], None),
    "newer": (Annotated[str | None, _option("--newer", text="Not as old as this.")], None),
    "larger": (Annotated[str | None, _option("--larger", text="The body has more bytes, as 500, 10k or 2M.")], None),
    "smaller": (Annotated[str | None, _option("--smaller", text="The body has fewer bytes.")], None),
    "redelivered": (Annotated[bool, _option("--redelivered", text="It may have been delivered before.")], False),
    "died": (
        Annotated[str | None, _option("--died", text="Why it died: rejected, expired, maxlen or delivery_limit.")],
        None,
    ),
    "died_in": (
        Annotated[str | None, _option("--died-in", text="The queue in which it died last.", autocompletion=of_queues)],
        None,
    ),
    "newest": (Annotated[bool, _option("--newest", text="The newest first.")], False),
}
AtMost = Annotated[int | None, _option("--limit", text="At most so many.", min=1)]
LIMIT: Final = {"limit": (AtMost, None)}
FIRST: Final = {"limit": (AtMost, 10)}
FROM: Final = {"place": (Annotated[str | None, _option("--from", text="Go on at the place that was told.")], None)}
STATES: Final = {
    "state": (
        Annotated[
            list[State] | None,
            _option(
                "--state",
                text="ready; unacked, which consumers have; or delayed, which wait to be delivered again. "
                "Repeatable. Default: ready.",
                metavar="STATE",
            ),
        ],
        None,
    )
}
ALL: Final = {"everything": (Annotated[bool, _option("--all", text="All messages, without a condition.")], False)}


@dataclass(frozen=True)
class Choice:
    """Which messages are meant. where: conditions as the API takes them. place: where to begin.

    everything: that all are meant, where no condition says which.
    """

    where: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] | None = None
    states: tuple[State, ...] = (State.READY,)
    newest: bool = False
    limit: int | None = None
    place: str | None = None
    everything: bool = False

    @property
    def is_narrow(self) -> bool:
        """Whether a condition says which."""
        return bool(self.where) or self.ids is not None

    @property
    def most(self) -> int | None:
        """So many at most; no more are looked for when all ids are found."""
        known = [each for each in (self.limit, None if self.ids is None else len(set(self.ids))) if each is not None]
        return min(known, default=None)

    @property
    def request(self) -> dict[str, Any]:
        """What the API is asked for, but for limit and place."""
        found: dict[str, Any] = {
            "where": self.where,
            "states": [state.value for state in self.states],
            "newest_first": self.newest,
        }
        return found if self.ids is None else {**found, "ids": self.ids}


def make(
    where: list[str] | None = None,
    body: str | None = None,
    pattern: str | None = None,
    ids: list[str] | None = None,
    older: str | None = None,
    newer: str | None = None,
    larger: str | None = None,
    smaller: str | None = None,
    redelivered: bool = False,
    died: str | None = None,
    died_in: str | None = None,
    newest: bool = False,
    limit: int | None = None,
    place: str | None = None,
    state: list[State] | None = None,
    everything: bool = False,
) -> Choice:
    """What the options say. Raises: typer.BadParameter."""
    found = [parse(text) for text in where or []]
    given: tuple[tuple[str, str, object], ...] = (
        ("body", "contains", body),
        ("body", "matches", pattern),
        ("age", ">", None if older is None else seconds(older, "--older")),
        ("age", "<", None if newer is None else seconds(newer, "--newer")),
        ("size", ">", None if larger is None else size(larger, "--larger")),
        ("size", "<", None if smaller is None else size(smaller, "--smaller")),
        ("redelivered", "=", redelivered or None),
        ("death.reason", "=", died),
        ("death.queue", "=", died_in),
    )
    found += [condition(name, op, value) for name, op, value in given if value is not None]
    if everything and (found or ids):
        raise typer.BadParameter(
            "--all is for all messages, and conditions say which: leave out one of them", param_hint="--all"
        )
    states = tuple(state) if state else (State.READY,)
    return Choice(found, ids or None, states, newest, limit, place, everything)


def _choosing(
    options: dict[str, tuple[Any, Any]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return lambda function: grouped(function, "choice", options, make)


to_peek = _choosing({**WHERE, **STATES, **FIRST, **FROM})
"""A command that shows some messages; its function gets them as `choice`."""
to_search = _choosing({**WHERE, **STATES, **LIMIT, **FROM})
"""A command that looks for messages; its function gets them as `choice`."""
to_act = _choosing({**WHERE, **LIMIT, **FROM, **ALL})
"""A command that does something with messages; its function gets them as `choice`."""
to_redrive = _choosing({**WHERE, **LIMIT, **FROM})
"""The same, where all are meant without a condition."""
