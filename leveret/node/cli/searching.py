"""Search messages of a queue through the HTTP API, resuming from the last place after a lost connection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from leveret.node.cli.asking import Broker, Refused, path
from leveret.node.cli.choosing import Choice
from leveret.node.cli.output import Bar, refuse
from leveret.node.cli.queues import messages, missing
from leveret.node.cli.remote import Unreachable
from leveret.node.cli.transfer import Stop
from leveret.node.printable import say

BODY_IN_LINE: Final = 200  # body bytes shown in a line
CUT_SHORT: Final = "the broker's answer ended too early; see its log"

Batch = list[dict[str, Any]]


class Search:
    """One search. whole: return complete messages as in an export; else truncate bodies to this many bytes.

    place: where to continue after the batches returned so far; None at the end. looked, found: messages so far, out of
    about total. undecided, missing: as in the API. is_interrupted: the user pressed Ctrl-C.
    """

    def __init__(
        self, broker: Broker, queue: str, vhost: str, choice: Choice, truncate: int, whole: bool = False
    ) -> None:
        self.place = choice.place
        self.looked = 0
        self.found = 0
        self.total = 0
        self.missing = 0
        self.undecided = 0
        self.is_interrupted = False
        self._broker = broker
        self._where = path("leveret", "queues", vhost, queue, "messages", "search")
        self._missing = missing(queue, vhost)
        self._most = choice.most
        self._body: dict[str, Any] = {**choice.request, "truncate": truncate, "whole": whole}

    def batches(self, stop: Stop, bar: Bar) -> Iterator[Batch]:
        """Messages as they are found. An error ends the command."""
        is_over = False
        while not is_over and not stop.is_wanted and not self.is_full:
            before = self.looked
            try:
                for batch, is_over in self._ask(stop, bar):  # noqa: B007
                    yield batch
                    if stop.is_wanted:
                        break
            except KeyboardInterrupt:
                break
            except Refused as error:
                refuse(str(error))
            except Unreachable as error:
                # a slow reader such as a pager may have let the connection time out: resume if there was progress
                if self.looked == before or self.place is None:
                    refuse(str(error))
        self.is_interrupted = stop.is_wanted and not is_over and not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._most is not None and self.found >= self._most

    def _ask(self, stop: Stop, bar: Bar) -> Iterator[tuple[Batch, bool]]:
        """The batches of one request, and whether it is complete. Raises: Refused, Unreachable, KeyboardInterrupt."""
        left = None if self._most is None else self._most - self.found
        looked, found, lost, undecided = self.looked, self.found, self.missing, self.undecided
        batch: Batch = []
        lines = self._broker.lines(self._where, {**self._body, "limit": left, "place": self.place}, self._missing)
        is_over = False
        while (line := next_line(lines, stop)) is not None:
            if "error" in line:
                refuse(line["error"])
            told = line.get("end") or line.get("progress")
            if told is None:
                batch.append(line.get("whole") or line["message"])
                continue
            self.looked, self.found = looked + told["looked"], found + told["found"]
            self.missing, self.undecided = lost + told.get("missing", 0), undecided + told.get("undecided", 0)
            self.total = max(self.total or told["total"], self.looked)
            self.place = told["place"]
            bar(self.looked, self.total)
            is_over = "end" in line
            yield batch, is_over
            batch = []
        if not is_over:
            raise Unreachable(CUT_SHORT)


def next_line(lines: Iterator[dict[str, Any]], stop: Stop) -> dict[str, Any] | None:
    """The next line; None at the end. Raises: Unreachable, KeyboardInterrupt."""
    if stop.is_wanted:
        raise KeyboardInterrupt
    stop.may_raise = True
    try:
        return next(lines, None)
    finally:
        stop.may_raise = False


def say_lost(missing: int, undecided: int, queue: str) -> None:
    """Report on standard error how many messages could not be read or decided."""
    if missing:
        say(f"{messages(missing)} of queue '{queue}' could not be read from disk.", aside=True)
    if undecided:
        where = f"for {messages(undecided)} of queue '{queue}'"
        say(f"The pattern took too many steps {where}; a simpler one may find more.", aside=True)
