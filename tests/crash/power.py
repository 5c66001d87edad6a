"""Power cuts: what a broker under load does to its disk is recorded, disks as a power cut may leave them are made of
the record, and a broker has to start on each of them with everything that was confirmed by then."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.brokers.process import Server
from tests.clients.ledger import FOREVER, Finding, Ledger
from tests.clients.peer import Peer
from tests.crash.disk import SYNC, Disk, Entry, Image, Whim, entries
from tests.crash.kill import take_stock
from tests.crash.load import Declarations, Load, audit_declarations
from tests.crash.workloads import Workload

COMPILER = shutil.which("cc") or shutil.which("gcc")
SYNC_US = 2000  # a sync takes so much longer, so that a confirm that does not wait for it comes before it
SOURCE = Path(__file__).with_name("record.c")
DATA = "data"  # below the recorded directory
LIARS = ("", "leveret.db-wal")  # ends of names: of all files, of the log


def build_recorder(directory: Path) -> Path:
    """Compile record.c. Returns: the library to preload."""
    assert COMPILER is not None, "power cuts need a C compiler"
    library = directory / "record.so"
    subprocess.run([COMPILER, "-O2", "-shared", "-fPIC", "-o", library, SOURCE, "-pthread"], check=True)
    return library


@dataclass
class Recording:
    """What one broker did. directory: where its files are, as they were in the end."""

    workload: Workload
    directory: Path
    ledger: Ledger
    declarations: list[Declarations] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list, repr=False)

    def cuts(self, count: int, chance: random.Random) -> list[int]:
        """Moments for a power cut, ascending: just after confirms of what nobody had acked, about syncs, and any."""
        confirms = [
            letter.confirmed
            for letter in self.ledger.letters.values()
            if letter.confirmed is not None and min(letter.acked.values(), default=FOREVER) > letter.confirmed
        ]
        syncs = [number for number, entry in enumerate(self.entries) if entry.kind == SYNC]
        found = []
        for number in range(count):
            if number % 3 == 0:
                found.append(chance.choice(confirms))
            else:
                at = chance.choice(syncs) - 1 if number % 3 == 1 else chance.randrange(len(self.entries))
                found.append(self.entries[at].end)
        return sorted(found)

    def images(
        self, cuts: list[int], seed: str, honest: Callable[[str], bool] | None = None
    ) -> Iterator[tuple[int, Image, Whim]]:
        """A disk for each of the cuts, which ascend. honest: see cut_power()."""
        disk = Disk(honest or everything)
        position = 0
        for number, cut in enumerate(cuts):
            while position < len(self.entries) and self.entries[position].end <= cut:
                disk.replay(self.entries[position])
                position += 1
            whim = Whim(f"{seed} {number}") if honest is None else Whim.keeping(0.0)
            yield cut, disk.cut(whim), whim


def record(
    workload: Workload, directory: Path, library: Path, seed: int, lives: int = 2, load_s: float = 0.5
) -> Recording:
    """Run a broker under load. Between its lives it is killed, or ends as it should."""
    disk, log = directory / "disk", directory / "record"
    disk.mkdir(parents=True)
    log.touch()
    chance = random.Random(f"{seed} {workload.name}")
    ledger = Ledger(lambda: log.stat().st_size, workload.loose)
    recording = Recording(workload, disk, ledger)
    env = {
        "LD_PRELOAD": str(library),
        "RECORD_DIRECTORY": str(disk.resolve()),
        "RECORD_FILE": str(log),
        "RECORD_SYNC_US": str(SYNC_US),
    }
    for life in range(1, lives + 1):
        server = Server.start("--log-level", "error", "--data-dir", str(disk.resolve() / DATA), env=env)
        address = (server.host, server.port)
        try:
            peer = Peer(address).login()
            workload.declare(peer.channel())
            peer.close()
            load = Load(address, workload, ledger, life, chance)
            load.start()
            time.sleep(load_s)
            load.stop()
            time.sleep(0.1)  # acks are written when nobody waits for them any more
        finally:
            server.stop(chance.choice((signal.SIGKILL, signal.SIGTERM)) if life < lives else signal.SIGKILL)
        recording.declarations.append(load.declarations)
    recording.entries = entries(log.read_bytes())
    log.unlink()
    return recording


def everything(_: str) -> bool:
    """A disk that syncs what it is told to."""
    return True


def cut_power(
    recording: Recording,
    directory: Path,
    seed: int,
    count: int,
    honest: Callable[[str], bool] | None = None,
) -> tuple[list[Finding], Counter[str]]:
    """Start a broker on so many disks, and audit it.

    honest: of which paths a sync counts, on a disk that keeps nothing else; by default of all, on disks that keep
    anything.
    Returns: what was wrong, and counts.
    """
    findings = list(recording.ledger.findings)
    counts = Counter(confirmed=recording.ledger.counts["confirmed"], writes=len(recording.entries))
    counts["syncs"] = sum(entry.kind == SYNC for entry in recording.entries)
    cuts = recording.cuts(count, random.Random(f"{seed} cuts"))
    for number, (cut, image, whim) in enumerate(recording.images(cuts, f"{seed} {recording.workload.name}", honest)):
        place = directory / str(number)
        image.write(place)
        wrong = audit(recording, place, cut, counts)
        findings += [Finding(one.kind, f"{one.text}; cut {number} at {cut}, {whim}, {place}") for one in wrong]
        counts["cuts"] += 1
        if not wrong:
            shutil.rmtree(place)
    return findings, counts


def control(
    recording: Recording, directory: Path, seed: int, count: int, liar: str
) -> tuple[list[Finding], Counter[str]]:
    """The same with a disk on which syncs of files whose names end so do nothing. It has to be found out."""
    return cut_power(recording, directory, seed, count, lambda path: not path.endswith(liar))


def audit(recording: Recording, place: Path, cut: int, counts: Counter[str]) -> list[Finding]:
    """What is wrong with a broker that starts on a disk as the power cut has left it."""
    try:
        server = Server.start("--log-level", "error", "--data-dir", str(place / DATA))
    except RuntimeError as error:
        return [Finding("unstartable", str(error))]
    address = (server.host, server.port)
    try:
        found = take_stock(address, recording.workload, recording.ledger, cut)
        counts["audited"] += sum(map(len, found.values()))
        findings = recording.ledger.audit(found, cut)
        for told in recording.declarations:
            findings += audit_declarations(address, told, cut)
    finally:
        server.stop(signal.SIGKILL)
    return findings
