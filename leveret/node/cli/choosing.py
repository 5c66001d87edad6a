"""The options that choose messages of a queue."""

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
    """The state of a message."""

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
                text="Condition: FIELD OP VALUE, FIELD exists, or FIELD missing. OP: = != < <= > >= ~ (matches a "
                "pattern) *= (contains). FIELD: headers.NAME, json:PATH, body, routing_key, exchange, size, age, "
                "message_id or another property, death.queue. Repeatable; messages must match all conditions.",
            ),
        ],
        None,
    ),
    "body": (Annotated[str | None, _option("--body", text="The body contains this text.")], None),
    "pattern": (Annotated[str | None, _option("--pattern", text="The body matches this pattern.")], None),
    "ids": (Annotated[list[str] | None, _option("--id", text="The message with this ID. Repeatable.")], None),
    "older": (Annotated[str | None, _option("--older", text="Older than this, such as 30s, 5m, 1h or 2d.")], None),
    "newer": (Annotated[str | None, _option("--newer", text="Newer than this.")], None),
    "larger": (
        Annotated[str | None, _option("--larger", text="The body is larger than this, such as 500, 10k or 2M bytes.")],
        None,
    ),
    "smaller": (Annotated[str | None, _option("--smaller", text="The body is smaller than this.")], None),
    "redelivered": (Annotated[bool, _option("--redelivered", text="Flagged as redelivered.")], False),
    "died": (
        Annotated[
            str | None,
            _option("--died", text="Dead-lettered for this reason: rejected, expired, maxlen or delivery_limit."),
        ],
        None,
    ),
    "died_in": (
        Annotated[str | None, _option("--died-in", text="Last dead-lettered in this queue.", autocompletion=of_queues)],
        None,
    ),
    "newest": (Annotated[bool, _option("--newest", text="Newest messages first.")], False),
}
AtMost = Annotated[int | None, _option("--limit", text="Maximum number of messages.", min=1)]
LIMIT: Final = {"limit": (AtMost, None)}
FIRST: Final = {"limit": (AtMost, 10)}
FROM: Final = {
    "place": (
        Annotated[str | None, _option("--from", text="Continue from the place that an earlier command printed.")],
        None,
    )
}
STATES: Final = {
    "state": (
        Annotated[
            list[State] | None,
            _option(
                "--state",
                text="ready, unacked (delivered to a consumer) or delayed (waiting for redelivery). "
                "Repeatable. Default: ready.",
                metavar="STATE",
            ),
        ],
        None,
    )
}
ALL: Final = {"everything": (Annotated[bool, _option("--all", text="All messages.")], False)}


@dataclass(frozen=True)
class Choice:
    """The chosen messages. where: conditions in the format of the API. place: where to start.

    everything: all messages are chosen explicitly, without conditions.
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
        """Whether there are conditions or IDs."""
        return bool(self.where) or self.ids is not None

    @property
    def most(self) -> int | None:
        """The maximum number of messages: the limit, or the number of IDs if lower."""
        known = [each for each in (self.limit, None if self.ids is None else len(set(self.ids))) if each is not None]
        return min(known, default=None)

    @property
    def request(self) -> dict[str, Any]:
        """The fields of the API request, except limit and place."""
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
    """The choice from the values of the options. Raises: typer.BadParameter."""
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
        raise typer.BadParameter("--all excludes conditions: leave out one of them", param_hint="--all")
    states = tuple(state) if state else (State.READY,)
    return Choice(found, ids or None, states, newest, limit, place, everything)


def _choosing(
    options: dict[str, tuple[Any, Any]],
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return lambda function: grouped(function, "choice", options, make)


to_peek = _choosing({**WHERE, **STATES, **FIRST, **FROM})
"""A command that shows messages; its function receives a Choice as `choice`."""
to_search = _choosing({**WHERE, **STATES, **LIMIT, **FROM})
"""A command that searches messages; its function receives a Choice as `choice`."""
to_act = _choosing({**WHERE, **LIMIT, **FROM, **ALL})
"""A command that acts on messages; its function receives a Choice as `choice`."""
to_redrive = _choosing({**WHERE, **LIMIT, **FROM})
"""The same without --all, as the default is all messages."""
