"""Server: the database of a cluster, as its nodes see it over their connections, and everything that may fail there.

A statement travels to the server, waits there for its locks, happens at one moment, and its answer travels back. One
whose connection breaks may have happened, or happen later, or never. A statement that writes is answered once the
standby has it; if that wait is cancelled, it comes with a warning.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from tests.simulation.agenda import Action, Agenda
from tests.simulation.tables import Tables

NETWORK_MS: Final = 2  # one way, at most
DISK_MS: Final = 3  # of a commit, at most
BACKLOG_MS: Final = 300  # after the server has hung, at most
LATE_MS: Final = 15_000  # a statement may arrive after that time, though its connection is broken
BREAKS: Final = 0.05  # of the statements, when connections break easily
NOTICED_MS: Final = 2_000  # at most, until a client notices that its connection is broken

NEVER_MS: Final = -(1 << 62)

Lock = tuple[str, int, bool]
"""Kind of row, its number, and whether nobody else may hold it."""


class Refusal(Exception):
    """The server refuses a statement; nothing has changed."""


@dataclass(frozen=True)
class Statement:
    """What a client asks the server.

    run: what happens, with the answer. locks: held from the start until it has happened.
    fence: called with the locks held; an answer instead of what would happen, or None.
    writes: otherwise it only reads. is_large: whether a full disk refuses it.
    patience_ms: how long it waits for its locks; 0 for no limit.
    is_open: whether it is a transaction of several statements: after the first one the client has to say more.
    """

    name: str
    run: Callable[[Tables], Any]
    locks: tuple[Lock, ...] = ()
    fence: Callable[[Tables], Any] | None = None
    writes: bool = True
    is_large: bool = False
    patience_ms: int = 0
    is_open: bool = False


@dataclass(frozen=True)
class Done:
    """A statement has happened. has_warned: nobody knows whether the standby has it."""

    value: Any
    has_warned: bool = False


@dataclass(frozen=True)
class Refused:
    """The server has refused a statement."""

    text: str


@dataclass(frozen=True)
class Broken:
    """The connection is broken, and nobody knows what has happened to the statement."""


Outcome = Done | Refused | Broken


class Site:
    """Where a client of the server is. is_cut: whether nothing comes through now.

    hurt_ms: until then, it suffers from something that others do not suffer from.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_cut = False
        self.hurt_ms = NEVER_MS

    def post(self, action: Action) -> None:
        """Something arrives there."""
        raise NotImplementedError


class Call:
    """A statement on its way. epoch: of the server that got it. state: where it is."""

    SENT, WAITING, OPEN, RUNNING, UNSYNCED, ENDED = range(6)

    def __init__(self, connection: Connection, statement: Statement, then: Callable[[Outcome], None]) -> None:
        self.connection = connection
        self.statement = statement
        self.then = then
        self.epoch = connection.epoch
        self.state = Call.SENT


class Connection:
    """A connection of a site. epoch: of the server that it leads to."""

    def __init__(self, server: Server, site: Site) -> None:
        self.server = server
        self.site = site
        self.is_open = True
        self.epoch = server.epoch
        self._call: Call | None = None

    def ask(self, statement: Statement, then: Callable[[Outcome], None]) -> None:
        """Send a statement. One at a time."""
        assert self._call is None
        if not self.is_open:
            self.site.post(lambda: then(Broken()))
            return
        self._call = Call(self, statement, then)
        self.server.send(self._call)

    def answered(self, call: Call, outcome: Outcome) -> None:
        """The answer has arrived."""
        if self._call is call:
            self._call = None
            self.site.post(lambda: call.then(outcome))

    def close(self) -> None:
        """The client needs it no more."""
        self.server.forget(self)
        self.cut(0)

    def cut(self, notice_ms: int) -> None:
        """It breaks, which its client notices after some time."""
        self.is_open = False
        call, self._call = self._call, None
        if call is not None:
            self.server.orphan(call)
            agenda = self.server.agenda
            agenda.after(notice_ms, lambda: self.site.post(lambda: call.then(Broken())))


class Server:
    """The database. rows: what everybody sees. on_change: called after each change of definitions.

    trouble_ms: when it has last been in trouble. epoch: changes with each start of a server.
    """

    def __init__(self, agenda: Agenda) -> None:
        self.agenda = agenda
        self.rows = Tables()
        self.epoch = 1
        self.on_change: dict[object, Callable[[], None]] = {}
        self._standby = self.rows.copy()
        self._connections: dict[Connection, None] = {}
        self._held: list[tuple[Lock, Call]] = []
        self._waiting: list[Call] = []
        self._unsynced: list[Call] = []
        self._down_until_ms = 0
        self._hangs_until_ms = 0
        self._slow_until_ms = 0
        self._full_until_ms = 0
        self._flaky_until_ms = 0
        self._standby_away_until_ms = 0
        self.trouble_ms = 0

    # -- clients

    def connect(self, site: Site, then: Callable[[Connection | None], None]) -> None:
        """Open a connection. then: gets it, or None."""
        self.agenda.after(self._travel_ms(), lambda: self._accept(site, then))

    def _accept(self, site: Site, then: Callable[[Connection | None], None]) -> None:
        now_ms = self.agenda.now_ms
        if now_ms < self._hangs_until_ms and not site.is_cut:
            self.agenda.after(self._after_hang_ms(), lambda: self._accept(site, then))
        elif site.is_cut or now_ms < self._down_until_ms:
            self.agenda.after(self._travel_ms(), lambda: site.post(lambda: then(None)))
        else:
            connection = Connection(self, site)
            self._connections[connection] = None
            self.agenda.after(self._travel_ms(), lambda: site.post(lambda: then(connection)))

    def forget(self, connection: Connection) -> None:
        """A connection ends."""
        self._connections.pop(connection, None)

    def send(self, call: Call) -> None:
        """A statement is sent."""
        self.agenda.after(self._travel_ms(), lambda: self._arrive(call, False))
        if self.agenda.now_ms < self._flaky_until_ms and self.agenda.chance(BREAKS):
            self.break_connection(call.connection)

    def orphan(self, call: Call) -> None:
        """The connection of a statement is broken."""
        if call.state == Call.SENT and self.agenda.chance(0.5):
            self.agenda.after(self.agenda.some_ms(0, LATE_MS), lambda: self._arrive(call, True))
        elif call.state == Call.OPEN:
            self.agenda.after(self._travel_ms(), lambda: self._end(call))

    def _travel_ms(self) -> int:
        slow = self.agenda.now_ms < self._slow_until_ms
        return self.agenda.some_ms(0, 150 if slow else NETWORK_MS)

    def _after_hang_ms(self) -> int:
        """How long something takes now that the server hangs: not all that waits goes on at once."""
        return self._hangs_until_ms - self.agenda.now_ms + self.agenda.some_ms(0, BACKLOG_MS)

    # -- statements

    def _arrive(self, call: Call, is_late: bool) -> None:
        if call.epoch != self.epoch or call.state != Call.SENT or call.connection.is_open == is_late:
            return
        if self.agenda.now_ms < self._hangs_until_ms:
            self.agenda.after(self._after_hang_ms(), lambda: self._arrive(call, is_late))
            return
        if is_late:
            self.agenda.note(f"{call.connection.site.name}: late {call.statement.name}")
        call.state = Call.WAITING
        self._waiting.append(call)
        self._grant()
        if call.statement.patience_ms:
            self.agenda.after(call.statement.patience_ms, lambda: self._give_up(call))

    def _give_up(self, call: Call) -> None:
        """A statement has waited for its locks for too long."""
        if call.state == Call.WAITING and call.epoch == self.epoch:
            self._waiting.remove(call)
            self._answer(call, Refused("a row is locked"))

    def _grant(self) -> None:
        """Begin the statements whose locks are free."""
        for call in list(self._waiting):
            if call.state == Call.WAITING and all(self._is_free(lock) for lock in call.statement.locks):
                self._waiting.remove(call)
                self._begin(call)

    def _is_free(self, wanted: Lock) -> bool:
        kind, number, is_exclusive = wanted
        return not any((kind, number) == lock[:2] and (is_exclusive or lock[2]) for lock, _ in self._held)

    def _begin(self, call: Call) -> None:
        statement = call.statement
        instead = statement.fence(self.rows) if statement.fence is not None else None
        if instead is not None:
            self._answer(call, Done(instead))
            return
        self._held += [(lock, call) for lock in statement.locks]
        if statement.is_open:
            call.state = Call.OPEN
            self.agenda.after(self._travel_ms(), lambda: call.connection.site.post(lambda: self._say_more(call)))
            return
        call.state = Call.RUNNING
        self._run_later(call)

    def _say_more(self, call: Call) -> None:
        """The client has the answer to the first statement of a transaction, and sends the rest of it."""
        if call.connection.is_open and call.state == Call.OPEN:
            call.state = Call.RUNNING
            self.agenda.after(self._travel_ms(), lambda: self._run_later(call))

    def _run_later(self, call: Call) -> None:
        reads = not call.statement.writes
        self.agenda.after(0 if reads else self.agenda.some_ms(1, DISK_MS), lambda: self._run(call))

    def _run(self, call: Call) -> None:
        if call.epoch != self.epoch or call.state != Call.RUNNING:
            return
        now_ms = self.agenda.now_ms
        if now_ms < self._hangs_until_ms:
            self.agenda.after(self._after_hang_ms(), lambda: self._run(call))
        elif call.statement.is_large and now_ms < self._full_until_ms:
            self._end(call)
            self._answer(call, Refused("the disk is full"))
        elif call.statement.writes and now_ms < self._standby_away_until_ms:
            call.state = Call.UNSYNCED
            self._unsynced.append(call)
        else:
            self._happen(call, False)

    def _happen(self, call: Call, has_warned: bool) -> None:
        changes = len(self.rows.changes)
        try:
            outcome: Outcome = Done(call.statement.run(self.rows), has_warned)
        except Refusal as refusal:
            outcome = Refused(str(refusal))
        has_news = any(table == "definitions" for table, _, _ in self.rows.changes[changes:])
        if call.statement.writes and not has_warned:
            self._replicate()
        self._end(call)
        self._answer(call, outcome)
        if has_news:
            for tell in list(self.on_change.values()):
                self.agenda.after(self._travel_ms(), tell)

    def _replicate(self) -> None:
        self._standby.apply(self.rows.changes)
        self.rows.changes.clear()

    def _end(self, call: Call) -> None:
        """It holds no locks any more."""
        if call.epoch == self.epoch:
            call.state = Call.ENDED
            self._held = [each for each in self._held if each[1] is not call]
            self._grant()

    def _answer(self, call: Call, outcome: Outcome) -> None:
        call.state = Call.ENDED
        self.agenda.after(self._travel_ms(), lambda: self._deliver(call, outcome))

    def _deliver(self, call: Call, outcome: Outcome) -> None:
        if self.agenda.now_ms < self._hangs_until_ms:
            self.agenda.after(self._after_hang_ms(), lambda: self._deliver(call, outcome))
        elif call.connection.is_open:
            call.connection.answered(call, outcome)

    def is_committing(self, site: Site) -> bool:
        """Whether a commit of a site holds locks now; in a transaction of several statements, between two of them."""
        return any(
            call.connection.site is site
            and call.statement.is_large
            and (call.state == Call.OPEN or not call.statement.is_open)
            for _, call in self._held
        )

    # -- what may fail

    def _is_in_trouble(self, duration_ms: int) -> None:
        self.trouble_ms = max(self.trouble_ms, self.agenda.now_ms + duration_ms)

    def hang(self, duration_ms: int) -> None:
        """Nothing answers; then everything goes on."""
        self._hangs_until_ms = max(self._hangs_until_ms, self.agenda.now_ms + duration_ms)
        self._is_in_trouble(duration_ms)

    def be_slow(self, duration_ms: int) -> None:
        """Everything takes longer."""
        self._slow_until_ms = self.agenda.now_ms + duration_ms
        self._is_in_trouble(duration_ms)

    def be_full(self, duration_ms: int) -> None:
        """The disk is full."""
        self._full_until_ms = self.agenda.now_ms + duration_ms
        self._is_in_trouble(duration_ms)

    def be_flaky(self, duration_ms: int) -> None:
        """Connections break while statements are on their way."""
        self._flaky_until_ms = self.agenda.now_ms + duration_ms
        self._is_in_trouble(duration_ms)

    def restart(self, duration_ms: int) -> None:
        """The server crashes, and starts again. What it has committed locally is there."""
        for call in self._unsynced:
            with contextlib.suppress(Refusal):
                call.statement.run(self.rows)
        self._stop(duration_ms)
        self._replicate()

    def fail_over(self, duration_ms: int) -> None:
        """The standby takes the place of the server, and gets a standby of its own."""
        self.rows = self._standby
        self._standby = self.rows.copy()
        self._stop(duration_ms)

    def _stop(self, duration_ms: int) -> None:
        self.epoch += 1
        self._held.clear()
        self._waiting.clear()
        self._unsynced.clear()
        self._hangs_until_ms = self._standby_away_until_ms = 0
        self._down_until_ms = self.agenda.now_ms + duration_ms
        self._is_in_trouble(duration_ms)
        self.break_connections(None)

    def break_connections(self, site: Site | None) -> None:
        """Break the connections of a site, or all."""
        for connection in [each for each in self._connections if site in (None, each.site)]:
            self.break_connection(connection)

    def break_connection(self, connection: Connection) -> None:
        """Break a connection. Its client notices it sooner or later."""
        self.forget(connection)
        notice_ms = self.agenda.some_ms(0, 50 if self.agenda.chance(0.8) else NOTICED_MS)
        connection.site.hurt_ms = max(connection.site.hurt_ms, self.agenda.now_ms + notice_ms)
        connection.cut(notice_ms)

    def lose_standby(self, duration_ms: int) -> None:
        """The standby is away: commits wait for it."""
        self._standby_away_until_ms = self.agenda.now_ms + duration_ms
        self._is_in_trouble(duration_ms)
        epoch = self.epoch
        self.agenda.after(duration_ms, lambda: self._regain_standby(epoch))

    def _regain_standby(self, epoch: int) -> None:
        if self.epoch == epoch and self.agenda.now_ms >= self._standby_away_until_ms:
            self._replicate()
            for call in self._take_unsynced():
                self._happen(call, False)

    def cancel_waits(self) -> None:
        """Somebody cancels the waits for the standby."""
        for call in self._take_unsynced():
            self._happen(call, True)

    def _take_unsynced(self) -> list[Call]:
        calls, self._unsynced = self._unsynced, []
        return calls
