"""Searching: asks a broker for messages of a queue, and goes on from the last place where it has to."""

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

BODY_IN_LINE: Final = 200  # bytes of a body that are shown in a line
CUT_SHORT: Final = "the broker ended its answer too early; its log may say why"

Batch = list[dict[str, Any]]


class Search:
    """One search. whole: messages are wanted as lines of an export; else truncate: bytes of bodies.

    place: where to go on behind all batches that were given out; None at the end. looked, found: messages up to now, of
    about total. undecided, missing: as the API has them. is_interrupted: somebody has pressed Ctrl-C.
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
        """Messages as they are found. Whatever goes wrong ends the command."""
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
                # who shows this may have read nothing for a while, as a pager does, and the broker had enough of that
                if self.looked == before or self.place is None:
                    refuse(str(error))
        self.is_interrupted = stop.is_wanted and not is_over and not self.is_full

    @property
    def is_full(self) -> bool:
        """Whether as many are found as were wanted at most."""
        return self._most is not None and self.found >= self._most

    def _ask(self, stop: Stop, bar: Bar) -> Iterator[tuple[Batch, bool]]:
        """What comes to one request, and whether that is all. Raises: Refused, Unreachable, KeyboardInterrupt."""
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
    """The next line, None behind the last one. Raises: Unreachable, KeyboardInterrupt."""
    if stop.is_wanted:
        raise KeyboardInterrupt
    stop.may_raise = True
    try:
        return next(lines, None)
    finally:
        stop.may_raise = False


def say_lost(missing: int, undecided: int, queue: str) -> None:
    """Say on standard error which messages nobody knows anything of."""
    if missing:
        say(f"{messages(missing)} of queue '{queue}' cannot be read from the disk.", aside=True)
    if undecided:
        where = f"in {messages(undecided)} of queue '{queue}'"
        say(f"The pattern takes too many steps {where}; a simpler one may find more.", aside=True)
