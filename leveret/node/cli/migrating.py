"""The user interface of a migration: questions, progress and result."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, NoReturn

import platformdirs
import typer

from leveret.node.amqp import AmqpError
from leveret.node.cli.definitions import counted
from leveret.node.cli.output import confirm, progress, refuse
from leveret.node.cli.transfer import Stop
from leveret.node.migration.bringing import Brought, bring
from leveret.node.migration.journal import Journal, JournalError
from leveret.node.migration.letter import AGAIN
from leveret.node.migration.links import Gone, Interrupted, Links
from leveret.node.migration.moving import Mover
from leveret.node.migration.rounds import Outcome, Rounds
from leveret.node.migration.side import Side, SideError
from leveret.node.migration.sink import Lost
from leveret.node.migration.survey import EXCLUSIVE, QueueFacts, differences, survey
from leveret.node.printable import complain, say, say_json

GRACE_S: Final = 10.0  # to wait for messages in flight after a signal
GO_ON: Final = "nothing is lost: run the same command again to resume"


@dataclass
class Options:
    """The options of the command. patterns: of queue names. definitions, messages: whether to move them."""

    vhosts: list[str]
    patterns: list[str]
    window: int
    wait_s: float
    follow: bool
    journal: str | None
    definitions: bool
    messages: bool
    as_json: bool


class Onlooker:
    """Shows the progress and reports whether the user wants to stop."""

    def __init__(self, stop: Stop, tell: Callable[[int, int], None], total: int) -> None:
        self._stop = stop
        self._tell = tell
        self._moved = 0
        self._total = total
        self._wanted_s = 0.0

    def moved(self, count: int) -> None:
        """Add to the number of moved messages."""
        self._moved += count
        self._total = max(self._total, self._moved)
        self._tell(self._moved, self._total)

    def is_wanted_to_end(self) -> bool:
        """Whether to start no further work."""
        return self._stop.is_wanted

    def between(self) -> None:
        """Called repeatedly while waiting. Raises: Interrupted, if the grace period after a signal is over."""
        if self._stop.is_wanted:
            now_s = time.monotonic()
            self._wanted_s = self._wanted_s or now_s
            if now_s - self._wanted_s > GRACE_S:
                raise Interrupted

    def tell(self, text: str) -> None:
        """Print a note."""
        complain("note", text)


@dataclass
class Migrating:
    """One run of the command. totals: moved and duplicated messages of all runs, by virtual host and queue."""

    source: Side
    target: Side
    options: Options
    facts: list[QueueFacts] = field(default_factory=list)
    brought: Brought | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    totals: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    is_stopped: bool = False

    def show_plan(self) -> None:
        """Print what run() would do, and the differences to expect."""
        different: list[tuple[str, str]] = []
        with self._explained():
            self._look()
            if self.options.definitions:
                self.brought = bring(self.source, self.target, self.options.vhosts, is_trial=True)
            if self.options.messages:
                different = list(differences(self.source, self.target, self.facts))
        if self.options.as_json:
            queues = [_planned(each) for each in self.facts]
            say_json({**self._report(), "dry_run": True, "queues": queues, "differences": _pairs(different)})
            return
        say(f"From {self.source.title} to {self.target.title}.")
        if self.brought is not None:
            self._tell_brought(self.brought, "Definitions: would import")
        for about, text in different:
            complain("note", f"{about}: {text}")
        if self.options.messages:
            self._show_queues()

    def run(self, is_sure: bool) -> None:
        """Migrate and print the result. The command ends with status 1 if anything remains to be done."""
        with self._explained():
            self._look()
            if self.options.messages:
                moving = self._moving()
                what = f"{messages(sum(each.ready for each in moving))} of {_queues(len(moving))}"
                confirm(f"Move {what} from {self.source.title} to {self.target.title}", is_sure)
            if self.options.definitions:
                self.brought = bring(self.source, self.target, self.options.vhosts, is_trial=False)
                if not self.options.as_json:
                    self._tell_brought(self.brought, "Definitions: imported")
            if self.options.messages:
                self._move()
        self._tell()

    # -- steps

    def _look(self) -> None:
        """Inspect both brokers, a local one first, as its data directory may not be trustworthy."""
        for side in sorted((self.target, self.source), key=lambda side: side.is_here, reverse=True):
            side.look()
        if self.options.messages:
            self.facts = survey(self.source, self.target, self.options.vhosts, self.options.patterns)

    def _move(self) -> None:
        moving = self._moving()
        if not moving and not self.options.follow:
            return
        with self._journal() as journal, Stop() as stop, progress("Moving") as bar:
            onlooker = Onlooker(stop, bar, sum(each.ready for each in moving))
            links = Links(self.source, self.target, journal, self.options.window, self.options.wait_s, onlooker)
            is_over = False
            try:
                for vhost in dict.fromkeys(each.place.vhost for each in moving):
                    links.check_that_they_differ(vhost)
                    break
                mover = Mover(links, journal, onlooker)
                mover.resume()
                self._go_round(Rounds(mover, self.facts, self.options.window, onlooker))
                is_over = not stop.is_wanted
            finally:
                self.is_stopped = stop.is_wanted
                links.end(is_over)
                self.totals = journal.totals()

    @contextlib.contextmanager
    def _journal(self) -> Iterator[Journal]:
        path = Path(self.options.journal) if self.options.journal else journal_path(self.source, self.target)
        with contextlib.closing(Journal(path, self.source.place, self.target.place)) as journal:
            yield journal

    def _go_round(self, rounds: Rounds) -> None:
        try:
            rounds.run()
            if self.options.follow:
                rounds.follow(self._look_again)
        finally:
            self.outcomes = list(rounds.outcomes.values())

    def _look_again(self) -> list[QueueFacts]:
        """The current queues. Imports definitions first if there are new queues."""
        try:
            found = survey(self.source, self.target, self.options.vhosts, self.options.patterns)
            known = {each.place.key for each in self.facts}
            if self.options.definitions and any(each.place.key not in known for each in found):
                bring(self.source, self.target, self.options.vhosts, is_trial=False)
        except SideError as error:
            if not error.is_gone:
                raise
            return []
        self.facts = found
        return found

    def _moving(self) -> list[QueueFacts]:
        return [each for each in self.facts if not each.obstacle]

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors into one sentence that ends the command."""
        try:
            yield
        except (SideError, JournalError) as error:
            self._fail(str(error))
        except (Gone, AmqpError, Lost) as error:
            self._fail(f"{error}; {GO_ON}")
        except Interrupted:
            self._fail(f"interrupted; {GO_ON}")

    # -- output

    def _show_queues(self) -> None:
        moving = self._moving()
        for each in moving:
            held = f", and {each.unacked} unacknowledged" if each.unacked else ""
            say(f"{_name(each)}: {messages(each.ready)}{held}")
        say(f"Would move {messages(sum(each.ready for each in moving))} of {_queues(len(moving))}.")

    def _tell_brought(self, brought: Brought, what: str) -> None:
        for about, text in brought.notes:
            complain("note", f"{about}: {text}")
        for about, text in brought.errors:
            complain("error", f"{about}: {text}")
        say(f"{what} {counted(brought.applied)}.")

    def _fail(self, text: str) -> NoReturn:
        """End the command early."""
        if self.options.as_json:
            say_json({**self._report(), "error": text})
            raise typer.Exit(1)
        moved = sum(each.moved for each in self.outcomes)
        refuse(f"{text}; {messages(moved)} moved so far" if moved else text)

    def _tell(self) -> None:
        left = self._left_undone()
        if self.options.as_json:
            say_json({**self._report(), **({"error": left} if left else {})})
            if left:
                raise typer.Exit(1)
            return
        if self.options.messages:
            self._tell_messages()
        if left:
            refuse(left)

    def _tell_messages(self) -> None:
        for each in self.outcomes:
            if each.moved:
                say(f"{_name(each.facts)}: {messages(each.moved)}")
            if each.reason:
                complain("note", f"{_name(each.facts)}: not empty: {each.reason}")
            elif each.facts.unacked:
                text = f"it had {messages(each.facts.unacked)} unacknowledged at the start"
                complain("note", f"{_name(each.facts)}: {text}; run this again when the consumers have returned them")
        for facts in self.facts:
            if facts.obstacle and facts.ready:
                complain("note", f"{_name(facts)}: not moved: {facts.obstacle}")
        known = sum(each.known for each in self.outcomes)
        if known:
            complain("note", f"{messages(known)} arrived again and were skipped, as the target already had them")
        again = sum(count for _, count in self.totals.values())
        if again:
            complain("note", f"{messages(again)} may be duplicated; the second copy has the header {AGAIN}")
        moved = [each for each in self.outcomes if each.moved]
        say(f"Moved {messages(sum(each.moved for each in moved))} of {_queues(len(moved))}.")

    def _left_undone(self) -> str:
        """What remains to be done; empty if nothing."""
        wrong = len(self.brought.errors) if self.brought is not None else 0
        stuck = sum(bool(each.reason) for each in self.outcomes)
        stuck += sum(bool(each.ready) and each.obstacle not in ("", EXCLUSIVE) for each in self.facts)
        if self.is_stopped and not self.options.follow:
            return f"interrupted; {GO_ON}"
        parts = []
        if wrong:
            parts.append("1 definition is wrong" if wrong == 1 else f"{wrong} definitions are wrong")
        if stuck:
            parts.append("1 queue is not empty" if stuck == 1 else f"{stuck} queues are not empty")
        return "; ".join(parts)

    def _report(self) -> dict[str, Any]:
        """The result as JSON."""
        return {
            **{
                name: {"product": side.product, "version": side.version, "at": side.shown}
                for name, side in (("from", self.source), ("to", self.target))
            },
            "definitions": None
            if self.brought is None
            else {
                "applied": self.brought.applied,
                "notes": _pairs(self.brought.notes),
                "errors": _pairs(self.brought.errors),
            },
            "queues": [_done(each) for each in self.outcomes],
            "moved": sum(each.moved for each in self.outcomes),
            "again": sum(each.again for each in self.outcomes),
            "known": sum(each.known for each in self.outcomes),
            "all_runs": {
                "moved": sum(moved for moved, _ in self.totals.values()),
                "again": sum(again for _, again in self.totals.values()),
            },
        }


def journal_path(source: Side, target: Side) -> Path:
    """The default path of the journal, one for each pair of brokers."""
    pair = f"{source.place}\n{target.place}".encode("utf-8", "surrogateescape")
    return (
        platformdirs.user_state_path("leveret") / "migrations" / f"{blake2b(pair, digest_size=8).hexdigest()}.journal"
    )


def messages(count: int) -> str:
    """A number of messages in words."""
    return "1 message" if count == 1 else f"{count:,} messages"


def _queues(count: int) -> str:
    return "1 queue" if count == 1 else f"{count:,} queues"


def _name(facts: QueueFacts) -> str:
    return f"queue '{facts.place.name}' in virtual host '{facts.place.vhost}'"


def _planned(facts: QueueFacts) -> dict[str, Any]:
    return {
        "vhost": facts.place.vhost,
        "name": facts.place.name,
        "type": facts.place.kind,
        "ready": facts.ready,
        "unacknowledged": facts.unacked,
        "bytes": facts.size,
        "consumers": facts.consumers,
        "obstacle": facts.obstacle or None,
    }


def _done(outcome: Outcome) -> dict[str, Any]:
    return {
        "vhost": outcome.facts.place.vhost,
        "name": outcome.facts.place.name,
        "moved": outcome.moved,
        "again": outcome.again,
        "known": outcome.known,
        "reason": outcome.reason or None,
    }


def _pairs(found: list[tuple[str, str]]) -> list[dict[str, str]]:
    return [{"subject": about, "reason": text} for about, text in found]
