"""Kills: a broker under load ends by SIGKILL at a random moment, starts again on its data directory, and is audited."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.brokers.process import Server
from tests.clients.ledger import FOREVER, Finding, Found, Ledger
from tests.clients.peer import Peer
from tests.crash.load import Declarations, Load, audit_declarations, read
from tests.crash.workloads import WORKLOADS, Workload

PATIENCE_S = 20.0  # for messages that are on their way: delayed ones, dead letters
BACKLOG = 3000  # messages from which on an audit takes them all
STILLBORN = 0.1  # share of the kills before which a broker is killed while it starts


def take_stock(
    address: tuple[str, int], workload: Workload, ledger: Ledger, cut: int = FOREVER, drain: bool = False
) -> dict[str, list[Found]]:
    """All messages of a workload's queues; waits a while for those that must be there and may be on their way."""
    deadline = time.monotonic() + (PATIENCE_S if workload.loose else 0)
    while True:
        found = read(address, dict(workload.queues))
        if not ledger.missing(found, cut) or time.monotonic() >= deadline:
            break
        time.sleep(0.1)
    if drain:
        for queue, messages in read(address, dict(workload.queues), drain=True).items():
            for one in messages:
                letter = ledger.see(queue, one.body, one.redelivered)
                if letter is not None:
                    ledger.ack(queue, letter)
    return found


class Victim:
    """A broker that is killed again and again.

    place: becomes its data directory, or is the URL of its database. counts: what happened, by a word. findings: what
    was wrong. between: called while the broker is down; tests damage its data there. during: called under load, with a
    source of chance; it strikes what the broker depends on.
    """

    def __init__(
        self,
        workload: Workload,
        place: Path | str,
        seed: int,
        between: Callable[[Path], None] = lambda _: None,
        during: Callable[[random.Random], None] = lambda _: None,
    ) -> None:
        self.workload = workload
        self.findings: list[Finding] = []
        self._place = place
        self._where = ("--data-dir", str(place)) if isinstance(place, Path) else ("--cluster", place)
        self._chance = random.Random(f"{seed} {workload.name}")
        self._between = between
        self._during = during
        self._ledger = Ledger(loose=workload.loose)
        self._declarations: Declarations | None = None
        self._generation = 0

    @property
    def counts(self) -> Counter[str]:
        """What happened so far."""
        return self._ledger.counts

    def live(self, max_s: float, least: int = 0) -> None:
        """Audit, load, kill: one life of the broker. least: so many messages are confirmed and acked in it."""
        if self._chance.random() < STILLBORN and self._generation:
            self._kill_while_starting()
        server = self._start()
        address = (server.host, server.port)
        try:
            if self._generation:
                self._audit(address)
            self._generation += 1
            peer = Peer(address).login()
            self.workload.declare(peer.channel())
            peer.close()
            load = Load(address, self.workload, self._ledger, self._generation, self._chance)
            self._declarations = load.declarations
            enough = {what: self.counts[what] + least for what in ("confirmed", "acked")}
            load.start()
            time.sleep(0.1 + self._chance.random() * max_s)
            self._during(self._chance)
            deadline = time.monotonic() + PATIENCE_S
            while any(self.counts[what] < count for what, count in enough.items()) and time.monotonic() < deadline:
                time.sleep(0.01)
        finally:
            server.stop(signal.SIGKILL)
        load.join()
        self.counts["kills"] += 1
        self.findings += self._ledger.findings
        self._ledger.findings.clear()
        if isinstance(self._place, Path):
            self._between(self._place)

    def finish(self) -> None:
        """The last audit."""
        server = self._start()
        try:
            self._audit((server.host, server.port))
        finally:
            server.stop()

    def _start(self) -> Server:
        return Server.start("--log-level", "error", *self._where)

    def _audit(self, address: tuple[str, int]) -> None:
        ledger = self._ledger
        found = take_stock(address, self.workload, ledger)
        self.findings += ledger.audit(found)
        ledger.settle(found)
        ledger.findings.clear()  # the audit has seen the same
        total = sum(map(len, found.values()))
        self.counts["audited"] += total
        if total > BACKLOG:
            take_stock(address, self.workload, ledger, drain=True)
        if self._declarations is not None:
            self.findings += audit_declarations(address, self._declarations, FOREVER)
            self.counts["declared"] += len(self._declarations.made) + len(self._declarations.deleted)

    def _kill_while_starting(self) -> None:
        command = [sys.executable, "-m", "leveret", "serve", "--port", "0", *self._where]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            time.sleep(self._chance.random() * 0.4)
            process.kill()
        self.counts["kills"] += 1


def kill(
    names: list[str],
    directory: Path,
    seed: int,
    kills: int,
    max_s: float = 1.0,
    until: float = float("inf"),
    tell: Callable[[Victim], None] = lambda _: None,
    least: int = 0,
) -> list[Victim]:
    """Kill brokers in turn, one for each workload, until there were enough kills in all or time.monotonic() is until.

    max_s: seconds that a load runs, at most. tell: called after each life. least: so many messages are confirmed and
    acked in each, however long that takes.
    """
    victims = [Victim(WORKLOADS[name], directory / name, seed) for name in names]
    while sum(victim.counts["kills"] for victim in victims) < kills and time.monotonic() < until:
        for victim in victims:
            victim.live(max_s, least)
            tell(victim)
    for victim in victims:
        victim.finish()
        tell(victim)
    return victims
