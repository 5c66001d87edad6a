"""An action on messages of a queue, done in slices so that it can stop between them with an exact count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from leveret.node.cli.asking import Broker, Refused, path
from leveret.node.cli.choosing import Choice
from leveret.node.cli.output import Bar
from leveret.node.cli.queues import missing
from leveret.node.cli.remote import Unreachable
from leveret.node.cli.searching import CUT_SHORT, next_line
from leveret.node.cli.transfer import Stop

COUNTS: Final = ("done", "gone", "refused", "unsafe", "looked", "found", "missing", "undecided")
SLICE_S: Final = 1.0  # of work per request


@dataclass
class Account:
    """The result of an action; the counts have the names of the API. error: why it stopped early, or empty.

    is_sure: whether the counts are complete. They may not be if the connection to the broker was lost.
    """

    done: int = 0
    gone: int = 0
    refused: int = 0
    unsafe: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    looked: int = 0
    found: int = 0
    total: int = 0
    missing: int = 0
    undecided: int = 0
    place: str | None = None
    begin: str | None = None
    is_interrupted: bool = False
    is_sure: bool = True
    error: str = ""

    def add(self, told: dict[str, Any]) -> None:
        """Add the counts of a slice."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + told.get(name, 0))
        self.skipped.update(told["skipped"])
        self.total = max(self.total or told["total"], self.looked)
        self.place = told["place"]
        self.begin = self.begin or told["begin"]

    def as_json(self, is_dry_run: bool) -> dict[str, object]:
        """The counts as JSON."""
        found: dict[str, object] = {name: getattr(self, name) for name in (*COUNTS, "total", "place", "is_interrupted")}
        found |= {"skipped": dict(self.skipped), "is_dry_run": is_dry_run}
        return {**found, "error": self.error} if self.error else found


class Work:
    """One action. request: the fields of the API request besides the choice of messages."""

    def __init__(self, broker: Broker, queue: str, vhost: str, choice: Choice, request: dict[str, Any]) -> None:
        self._broker = broker
        self._where = path("leveret", "queues", vhost, queue, "messages", "act")
        self._missing = missing(queue, vhost)
        self._most = choice.most
        self._place = choice.place
        self._body: dict[str, Any] = {**choice.request, "all": choice.everything, **request}

    def count(self, stop: Stop, bar: Bar) -> Account:
        """Count what do() would do. Messages that arrive after this call are excluded from do()."""
        account = self._slice(Account(), {"dry_run": True, "limit": self._most, "place": self._place}, stop, bar, True)
        self._place = account.begin
        return account

    def do(self, stop: Stop, bar: Bar) -> Account:
        """Do the action. After Ctrl-C the account contains what was done so far."""
        account = Account(place=self._place)
        while True:
            left = None if self._most is None else self._most - account.found
            asked = {"seconds": SLICE_S, "limit": left, "place": account.place}
            self._slice(account, asked, stop, bar, False)
            if account.error or account.place is None or (self._most is not None and account.found >= self._most):
                return account
            if stop.is_wanted:
                account.is_interrupted = True
                return account

    def _slice(self, account: Account, asked: dict[str, Any], stop: Stop, bar: Bar, may_raise: bool) -> Account:
        """Request one slice and add its result to the account. may_raise: whether Ctrl-C ends it at once."""
        told: dict[str, Any] = {}
        looked, total = account.looked, account.total
        is_over = False
        try:
            for line in self._lines(asked, stop, may_raise):
                if "error" in line:
                    account.error = line["error"]
                    continue
                told = line.get("end") or line["progress"]
                is_over = "end" in line
                bar(looked + told["looked"], total or told["total"])
            if not is_over and not account.error:
                raise Unreachable(CUT_SHORT)
        except Refused as error:
            account.error = str(error)
        except Unreachable as error:
            account.error, account.is_sure = str(error), False
        except KeyboardInterrupt:
            account.is_interrupted = True
        if told:
            account.add(told)
        return account

    def _lines(self, asked: dict[str, Any], stop: Stop, may_raise: bool) -> Iterator[dict[str, Any]]:
        lines = self._broker.lines(self._where, {**self._body, **asked}, self._missing)
        while (line := next_line(lines, stop) if may_raise else next(lines, None)) is not None:
            yield line
