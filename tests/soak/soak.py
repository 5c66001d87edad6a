"""Soak: start a broker, let all parts use it for some time, measure it, and judge."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench import generator, machine
from bench.brokers import Broker
from tests.brokers.process import Server
from tests.clients.ledger import Finding
from tests.clients.peer import Peer
from tests.soak.book import Book
from tests.soak.field import Field
from tests.soak.flat import LEAST, Verdict, judge
from tests.soak.parts import PARTS, QUEUES, UNORDERED, Part, declare

BUDGET = 16_000_000  # bytes of waiting messages in memory; a backlog is several times as much
BACKLOG = 60_000
BACKLOG_RATE = 5000  # messages per second
BACKLOG_PAUSE_S = 12.0
STREAM_RATE = 400
STREAM_S = 20
SAMPLE_S = 2.0
PATIENCE_S = 60.0  # for what is on its way at the end
SPARE_FILES = 2  # that may be open at rest beside those at the start
REST_DISK = 50.0  # MB that the data directory may take when there are no messages, the reserve included
MB = 1e6

# What may not grow: share and slack of the rule in flat.py.
# The peaks of the disk depend on how a drain meets other writes; what stays is found at rest.
LIMITS = {"memory": (0.1, 5.0), "files": (0.1, 10.0), "threads": (0.0, 1.0), "disk": (0.5, 10.0)}


@dataclass(frozen=True)
class Sample:
    """A look at the broker. when_s: since the load began. memory, disk: MB. cpu_s: used so far. ready: messages."""

    when_s: float
    memory: float
    disk: float
    files: int
    threads: int
    cpu_s: float
    ready: int
    published: int
    delivered: int
    findings: int


@dataclass
class Outcome:
    """Of a run. rest: the last look, when nobody was connected any more. problems: all that is wrong."""

    samples: list[Sample]
    rest: Sample
    verdicts: list[Verdict]
    counts: Counter[str]
    findings: list[Finding]
    problems: list[str]


def _size(directory: Path) -> int:
    """Bytes that the files of a directory take on the disk."""
    total = 0
    for path in directory.iterdir():
        try:
            total += path.stat().st_blocks * 512
        except FileNotFoundError:
            continue  # gone meanwhile
    return total


class Soak:
    """One run on a data directory that is made for it. backlog: messages that are piled up and drained, 0 for none."""

    def __init__(self, directory: Path, seed: int, names: list[str], backlog: int = BACKLOG) -> None:
        self._directory = directory
        self._chance = random.Random(seed)
        self._names = names
        self._backlog = backlog
        self._errors: list[str] = []
        self._began = 0.0

    def run(self, seconds: float, tell: Callable[[Sample], None] = lambda _: None) -> Outcome:
        """The whole run. tell: called after each look."""
        options = ("--log-level", "error", "--memory-budget", str(BUDGET), "--data-dir", str(self._directory))
        generator.build()
        server = Server.start(*options)
        field = Field((server.host, server.port), Book(UNORDERED), server.process.pid)
        try:
            outcome = self._soak(field, seconds, tell)
        finally:
            code = server.stop()
        if code != 0:
            outcome.problems.append(f"the broker ended with status {code}")
        return outcome

    def _soak(self, field: Field, seconds: float, tell: Callable[[Sample], None]) -> Outcome:
        peer, channel = field.channel()
        declare(channel)
        peer.close()
        parts = [part for name in self._names for part in PARTS[name]]
        if self._backlog:
            parts += [self._pile, self._stream]
        threads = [
            threading.Thread(target=self._guard, args=(part, field, random.Random(self._chance.random())))
            for part in parts
        ]
        self._began = time.monotonic()
        before = self._look(field, None)
        field.publishing.set()
        field.listening.set()
        for thread in threads:
            thread.start()
        watcher = Peer(field.address).login()
        samples: list[Sample] = []
        while (time.monotonic() < self._began + seconds or len(samples) < LEAST) and not self._errors:
            time.sleep(SAMPLE_S)
            samples.append(self._look(field, watcher))
            tell(samples[-1])
        self._end(field, threads)
        watcher.close()
        rest = self._rest(field, before)
        return self._judge(field, samples, before, rest)

    def _guard(self, part: Part, field: Field, chance: random.Random) -> None:
        try:
            part(field, chance)
        except BaseException as error:
            self._errors.append(f"{getattr(part, '__qualname__', part)}: {type(error).__name__}: {error}")

    def _end(self, field: Field, threads: list[threading.Thread]) -> None:
        """Publishers end; consumers go on until everything has come."""
        field.publishing.clear()
        deadline = time.monotonic() + PATIENCE_S
        while field.book.waiting() and time.monotonic() < deadline and not self._errors:
            time.sleep(0.1)
        field.listening.clear()
        for thread in threads:
            thread.join(PATIENCE_S)
            if thread.is_alive():
                self._errors.append(f"a part of the load does not end: {thread}")

    def _look(self, field: Field, watcher: Peer | None) -> Sample:
        ready = 0
        if watcher is not None:
            channel = watcher.channel()
            ready = sum(channel.ready(queue) for queue in QUEUES)
            channel.close()
        counts = field.book.counts
        process = machine.PROC / str(field.pid)
        return Sample(
            time.monotonic() - self._began,
            (machine.rss_kib(field.pid) or 0) * 1024 / MB,
            _size(self._directory) / MB,
            sum(1 for _ in (process / "fd").iterdir()),
            sum(1 for _ in (process / "task").iterdir()),
            machine.cpu_seconds(field.pid),
            ready,
            counts["published"],
            counts["delivered"],
            len(field.book.findings),
        )

    def _rest(self, field: Field, before: Sample) -> Sample:
        """A look when all clients have gone; the broker may need a moment to see that and to give space back."""
        deadline = time.monotonic() + 10
        while True:
            rest = self._look(field, None)
            is_small = rest.files <= before.files + SPARE_FILES and rest.disk <= REST_DISK
            if is_small or time.monotonic() >= deadline:
                return rest
            time.sleep(0.2)

    def _judge(self, field: Field, samples: list[Sample], before: Sample, rest: Sample) -> Outcome:
        findings = field.book.close()
        problems = list(self._errors)
        kinds = Counter(finding.kind for finding in findings)
        problems += [f"{count} messages: {kind}" for kind, count in kinds.items()]
        verdicts = []
        for name, (share, slack) in LIMITS.items():
            try:
                verdicts.append(judge(name, [getattr(sample, name) for sample in samples], share, slack))
            except ValueError as error:  # a part of the load failed at once
                problems.append(str(error))
        problems += [str(verdict) for verdict in verdicts if not verdict.is_flat]
        if rest.files > before.files + SPARE_FILES:
            problems.append(f"{rest.files} files are open without clients, {before.files} were at the start")
        if rest.disk > REST_DISK:
            problems.append(f"{rest.disk:.1f} MB on disk without messages")
        return Outcome(samples, rest, verdicts, field.book.counts, findings, problems)

    # -- many messages, by the load generator of the benchmark, which checks them as well

    def _pile(self, field: Field, _chance: random.Random) -> None:
        """Fill a queue far above the memory budget, and drain it."""
        flags = ["--persistent", "--body", "1024", "--count", str(self._backlog), "--prefix", "soak-backlog"]
        while field.publishing.is_set():
            self._generate(field, [*flags, "--publish-only", "--confirm", "500", "--rate", str(BACKLOG_RATE)])
            field.rest(BACKLOG_PAUSE_S)
            self._generate(field, [*flags, "--drain", "--prefetch", "300"])
            field.count("backlogs")
            field.rest(BACKLOG_PAUSE_S)

    def _stream(self, field: Field, _chance: random.Random) -> None:
        """A steady stream through a durable queue."""
        flags = ["--persistent", "--body", "300", "--confirm", "100", "--prefetch", "50", "--prefix", "soak-stream"]
        while field.publishing.is_set():
            self._generate(field, [*flags, "--rate", str(STREAM_RATE)])

    def _generate(self, field: Field, flags: list[str]) -> None:
        broker = Broker("soak", *field.address, None, "")
        raw = generator.run(flags, broker, STREAM_S, None)
        field.count("published", int(raw.get("published", 0)))
        field.count("delivered", int(raw.get("delivered", 0)))
        for kind in generator.FAULTS:
            if raw.get(kind):
                field.wrong(kind, f"{raw[kind]} {kind} by amqpload {' '.join(flags)}")
        for error in raw["errors"]:
            field.wrong("error", f"amqpload {' '.join(flags)}: {error}")
