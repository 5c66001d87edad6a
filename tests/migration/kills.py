"""Kills: a migration under load, in which now the command, now one of the brokers ends by SIGKILL."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.migration.audit import Verdict, drain, judge
from tests.migration.houses import House
from tests.migration.load import LINES, Line, Publisher, declare

VICTIMS = ("command", "source", "target")
END_S = 300.0


@dataclass
class Move:
    """One migration. journal: a directory for it. window: messages in flight."""

    source: House
    target: House
    directory: Path
    window: int = 1000
    lines: tuple[Line, ...] = LINES
    kills: Counter[str] = field(default_factory=Counter)
    reports: list[dict[str, Any]] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None
    _began_s: float = 0.0

    def command(self, *more: str) -> list[str]:
        """The command line."""
        places = [*self.source.options("from"), *self.target.options("to")]
        return [
            *(sys.executable, "-m", "leveret", "migrate", *places),
            *("--window", str(self.window), "--journal", str(self.directory / "journal"), *more),
        ]

    def begin(self, *more: str) -> None:
        """Start the command."""
        self._began_s = time.time()
        with (self.directory / "told").open("a") as told:
            self._process = subprocess.Popen(
                self.command("--json", "--wait", "120", *more), stdout=subprocess.PIPE, stderr=told, text=True
            )

    def wait_until_it_moves(self) -> None:
        """Wait until the command has reached both brokers: it has written something down."""
        log = self.directory / "journal-wal"
        deadline = time.monotonic() + END_S
        while self.is_running and not (log.exists() and log.stat().st_mtime > self._began_s):
            assert time.monotonic() < deadline, "nothing moves"
            time.sleep(0.02)

    def kill(self) -> None:
        """End the command with SIGKILL."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def end(self, sig: int | None = None) -> int:
        """Let it end. Returns: its status."""
        assert self._process is not None
        if sig is not None:
            self._process.send_signal(sig)
        out, _ = self._process.communicate(timeout=END_S)
        self.reports.append(json.loads(out))
        return self._process.returncode

    def last_words(self) -> str:
        """What it said in the end."""
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout.read()[-2000:]

    @property
    def is_running(self) -> bool:
        """Whether the command runs."""
        return self._process is not None and self._process.poll() is None


def move_under_kills(
    move: Move,
    kills: int,
    seed: int,
    backlog: int,
    per_s: int,
    tell: Callable[[str], None] = lambda _: None,
    victims: tuple[str, ...] = VICTIMS,
    pause_s: tuple[float, float] = (0.5, 2.5),
) -> dict[str, Verdict]:
    """Fill the source, publish on, and move it while there are so many kills; then let it come to its end.

    backlog: messages of each queue in the beginning. per_s: that are published to each queue. Returns: by queue.
    """
    chance = random.Random(seed)
    order = [victims[at % len(victims)] for at in range(kills)]
    chance.shuffle(order)
    client = move.source.client()
    declare(client, move.lines)
    client.close()
    publishers = {line.name: Publisher(move.source, line, per_s=per_s) for line in move.lines}
    for publisher in publishers.values():
        publisher.publish(backlog)
    tell(f"{backlog * len(publishers)} messages are there")
    for publisher in publishers.values():
        publisher.start()
    try:
        move.begin("--follow")
        for number, victim in enumerate(order, 1):
            if victim != "command":
                move.wait_until_it_moves()
            time.sleep(chance.uniform(*pause_s))
            assert move.is_running, f"the command has ended by itself: {move.last_words()}"
            _kill(move, victim)
            move.kills[victim] += 1
            tell(f"kill {number}: {victim}")
        time.sleep(pause_s[1])
    finally:
        for publisher in publishers.values():
            publisher.stop()
    move.wait_until_it_moves()
    assert move.end(signal.SIGINT) == 0
    move.begin("--messages-only")
    assert move.end() == 0
    return audit(move, publishers)


def _kill(move: Move, victim: str) -> None:
    if victim == "command":
        move.kill()
        move.begin("--follow")
        return
    house = move.source if victim == "source" else move.target
    house.kill()
    house.start()


def audit(move: Move, publishers: dict[str, Publisher]) -> dict[str, Verdict]:
    """What is at the target; the source has to be empty."""
    verdicts: dict[str, Verdict] = {}
    source, target = move.source.client(), move.target.client()
    for line in move.lines:
        left = drain(source, line)
        verdict = verdicts[line.name] = judge(line, publishers[line.name], drain(target, line))
        if left.numbers:
            verdict.wrong.append(f"{line.name}: {len(left.numbers)} are at the source still")
    source.close()
    target.close()
    return verdicts


def environment(directory: Path) -> dict[str, str]:
    """Of commands whose journals stay in a directory."""
    return {**os.environ, "XDG_STATE_HOME": str(directory)}
