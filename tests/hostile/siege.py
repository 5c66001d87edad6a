"""Siege: attackers, canaries, restarts and bad disks in turn, on one broker, and what is judged after each phase."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.clients.methods import QueueDelete
from tests.hostile import disks, http_scenarios, stream, verbs
from tests.hostile.attackers import PATIENCE_S, Attack, Attacker, sample
from tests.hostile.disks import Disk
from tests.hostile.http_attackers import Visitor
from tests.hostile.process import Process, Size, blamed
from tests.hostile.scenarios import SCENARIOS, Ring
from tests.hostile.verbs import VHOST, Administrator

SETTLE_S: Final = 20.0
OPTIONS: Final = ("--disk-free-limit", "0", "--memory-budget", str(64 << 20))
SHORT_SHARE: Final = 0.004
SHORT_FLOOD_S: Final = 60.0  # which is never reached
CHUNK: Final = 40  # consecutive requests of which one is sent in any case
SHORT_CHUNK: Final = 160
MOST_OF_A_KIND: Final = 8  # findings of one kind and phase that are kept


@dataclass(frozen=True)
class Finding:
    """Something that a broker did wrong. phase: in which it was found."""

    kind: str
    text: str
    seed: int
    phase: str

    def again(self) -> str:
        """How to see it again."""
        only = f" --only {self.phase}" if self.phase in SCENARIOS else ""
        return f'make hostile ARGS="--seed {self.seed} --seeds 1{only}"'

    def __str__(self) -> str:
        return f"{self.kind} [{self.phase}]: {self.text}\n    again: {self.again()}"


class Canaries:
    """The process with the canaries."""

    def __init__(self, address: tuple[str, int]) -> None:
        command = [sys.executable, "-m", "tests.hostile.canaries", *map(str, address)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=stream.ROOT
        )

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Give a command, and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


def _by_subject(hits: Iterable[stream.Hit]) -> Iterator[list[stream.Hit]]:
    for _, group in itertools.groupby(hits, lambda one: one.what.rpartition(" ")[0]):
        yield list(group)


def _in_chunks(lines: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    left = iter(lines)
    while chunk := list(itertools.islice(left, size)):
        yield chunk


class Siege:
    """One broker under attack. findings: what was wrong. say: takes a line for each phase.

    only: scenarios, and nothing else is done. share: of all hits and requests there are.
    """

    def __init__(
        self,
        directory: Path,
        say: Callable[[str], None],
        *,
        is_short: bool = False,
        only: Iterable[str] = (),
        share: float = 1.0,
        flood_s: float = 120.0,
    ) -> None:
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.longest_s = 0.0
        self._directory = directory
        self._say = say
        self._is_short = is_short
        self._only = list(only)
        self._share = SHORT_SHARE if is_short else share
        self._flood_s = SHORT_FLOOD_S if is_short else flood_s
        self._seed = 0
        self._phase = "start"
        self._disk = Disk(directory / "disk")
        environment = self._disk.environment
        place = self._disk.place / "data"
        self._process = Process(place, directory, self.tell, *OPTIONS, env=environment, has_api=True)
        self._canaries = Canaries(self._process.address)
        self._api_user = Visitor(self._process.api, "127.0.0.1", self.tell)
        self._size: Size | None = None
        self._told: Counter[tuple[str, str]] = Counter()

    # -- findings

    def tell(self, kind: str, text: str) -> None:
        """Note a finding, unless there are many of its kind in this phase."""
        self._told[kind, self._phase] += 1
        if self._told[kind, self._phase] <= MOST_OF_A_KIND:
            self.findings.append(Finding(kind, text, self._seed, self._phase))

    @contextlib.contextmanager
    def _in_phase(self, name: str, heeds_waits: bool = True) -> Iterator[list[str]]:
        """A phase; afterwards canaries and log are heard. Yields: a list for what is to be said of it."""
        self._phase = name
        began, before = time.monotonic(), len(self.findings)
        said: list[str] = []
        self._canaries.ask("look", heeds_waits=heeds_waits)
        with blamed(self.tell, name):
            yield said
        looked = self._canaries.ask("look", heeds_waits=heeds_waits)
        for kind, text in looked["findings"]:
            self.tell(kind, text)
        self.longest_s = max(self.longest_s, looked["longest_s"] if heeds_waits else 0.0)
        self._process.look_at_log()
        found = len(self.findings) - before
        said.append(f"canaries waited {looked['longest_s']:.2f} s" + ("" if heeds_waits else " (disk)"))
        self.counts["phases"] += 1
        took = time.monotonic() - began
        self._say(f"{took:7.1f} s  seed {self._seed}  {name:24} {found or 'no':>3} findings  {', '.join(said)}")
        for finding in self.findings[before:]:
            self._say(f"{'':27}{finding.kind}: {finding.text[:200]}")

    # -- the whole

    def begin(self) -> None:
        """Start the broker, and the canaries."""
        self._process.start()
        for vhost in ("canary", VHOST):
            self._add_vhost(vhost)
        self._canaries.ask("begin", pid=self._process.pid)
        self._size = self._measure()

    def run(self, seed: int) -> None:
        """Attack with one seed."""
        self._seed = seed
        chance = random.Random(f"siege {seed}")
        if not self._only:
            self._flood(seed)
        self._direct(seed)
        if not self._only:
            self._restart("clean restart", seed)
            self._be_killed(seed, chance)
            self._fill_disk(seed)
            self._run_out_of_files(seed)
            self._fail_calls(seed, chance)
            self._refuse_start()
        with self._in_phase("drained"):
            self._canaries.ask("drain")

    def end(self) -> None:
        """The last restart, and the end."""
        self._restart("last restart", self._seed)
        self.close()

    def close(self) -> None:
        """Leave nothing behind."""
        self._canaries.close()
        self._process.close()
        self._disk.close()

    # -- phases

    def _flood(self, seed: int) -> None:
        """Attackers of every kind at once; then all that they made goes, and what they took has to be free again."""
        with self._in_phase("flood") as said:
            attack = self._attack(f"flood {seed}", self._share, self._flood_s)
            attack.join()
            said.append(str(attack))
            self._look_at_status()
        with self._in_phase("flood is over") as said:
            self._clean_up()
            assert self._size is not None
            said.append(self._size.look())

    def _attack(self, name: str, share: float, duration_s: float, patience_s: float | None = PATIENCE_S) -> Attack:
        """Let attackers begin. patience_s: as that of an Attacker."""
        attack = Attack()
        for vhost in ("/", VHOST):
            first = Attacker(self._process.address, random.Random(vhost), self.tell, patience_s)
            first.attack(vhost, iter(stream.setup()))
        until = time.monotonic() + duration_s

        def begin(number: int, vhost: str, groups: Callable[[random.Random], Iterator[stream.Hit]]) -> None:
            chance = random.Random(f"{name} {number}")
            attacker = Attacker(self._process.address, chance, self.tell, patience_s)
            hits = sample(_by_subject(groups(chance)), share, chance)
            attack.add(attacker, lambda: attacker.attack(vhost, hits, until))

        begin(0, "/", lambda chance: itertools.chain(stream.every_argument(chance), stream.every_nonsense(chance)))
        begin(1, VHOST, stream.every_field)
        begin(2, "/", stream.every_property)
        chance = random.Random(f"{name} stories")
        teller = Attacker(self._process.address, chance, self.tell, patience_s)
        told = itertools.islice(stream.stories(chance), max(int(4000 * share), 25))
        attack.add(teller, lambda: teller.attack(VHOST, told, until, 5))
        http_scenarios.add_to(attack, self._process.api, name, share, until, self.tell, patience_s)
        attack.call(lambda: self._administrate(name, share, until, patience_s))
        return attack

    def _attack_meanwhile(self, name: str) -> str:
        """Attack for a moment while something does not work. Returns: what was done."""
        attack = self._attack(name, self._share / 20, 0.4 if self._is_short else 2.0, None)
        attack.join()
        return str(attack)

    def _administrate(self, name: str, share: float, until: float, patience_s: float | None) -> None:
        chance = random.Random(f"{name} verbs")
        administrator = Administrator(self._process.control, self.tell, patience_s)
        kinds = (verbs.every_nonsense, verbs.every_policy, verbs.every_limit, verbs.every_definition, verbs.every_verb)
        for kind in kinds:
            size = SHORT_CHUNK if self._is_short else CHUNK
            requests = sample(_in_chunks(kind(chance), size), share, chance)
            administrator.ask(itertools.takewhile(lambda _: time.monotonic() < until, requests))
        self.counts["requests"] += administrator.counts["requests"]

    def _direct(self, seed: int) -> None:
        """The scenarios, and the restarts between their parts."""
        chosen = self._only or list(SCENARIOS)
        going_on: list[tuple[str, Iterator[None]]] = []
        for name in chosen:
            scenario = SCENARIOS[name]
            work = self._directory / f"{seed}-{list(SCENARIOS).index(name)}"  # short: a socket is in it
            work.mkdir()
            ring = Ring(self._process, work, random.Random(f"{name} {seed}"), self.tell, self._is_short)
            with self._in_phase(name), http_scenarios.beside(self._process.api, name, seed, self.tell):
                parts = scenario.function(ring)
                if parts is not None and next(parts, StopIteration) is None:
                    going_on.append((name, parts))
            self.counts["scenarios"] += 1
        while going_on:
            self._restart("restart", seed)
            left, going_on = going_on, []
            for name, parts in left:
                with self._in_phase(name), http_scenarios.beside(self._process.api, name, seed, self.tell):
                    if next(parts, StopIteration) is None:
                        going_on.append((name, parts))

    def _restart(self, name: str, seed: int) -> None:
        """Stop and start: definitions are the same."""
        self._phase = name
        with blamed(self.tell, name):
            before = self._process.definitions()
            self._bounce(True)
            after = self._process.definitions()
            for section in before:
                for text in sorted(set(before[section]) ^ set(after[section]))[:3]:
                    what = "is gone after" if text in before[section] else "has come with"
                    self.tell("definitions", f"{section}: {text[:400]} {what} a clean restart")
        with self._in_phase(name):
            time.sleep(0.3)
            self._look_at_status()

    def _be_killed(self, seed: int, chance: random.Random) -> None:
        """Kill the broker while it is attacked."""
        with self._in_phase("kill") as said:
            attack = self._attack(f"kill {seed}", self._share / 4, 2.0 if self._is_short else self._flood_s / 4)
            time.sleep((0.2 if self._is_short else 2.0) + chance.random())
            self._bounce(False)
            attack.join()
            said.append(str(attack))
        with self._in_phase("after the kill"):
            time.sleep(0.2)
            self._look_at_status()
            self._clean_up()

    def _bounce(self, is_clean: bool) -> None:
        """End the broker, and start it again."""
        self._canaries.ask("end")
        if is_clean:
            self._process.stop()
        else:
            self._process.kill()
        self._canaries.ask("join", is_clean=is_clean)
        self._process.start()
        self.counts["restarts"] += 1
        self._canaries.ask("begin", pid=self._process.pid)
        self._size = self._measure()

    def _fill_disk(self, seed: int) -> None:
        """No space, then space again; and a kill while there is none."""
        for is_killed in (False, True):
            with self._in_phase("disk full, kill" if is_killed else "disk full", heeds_waits=False) as said:
                with self._disk.full(self._process.pid):
                    said.append(self._attack_meanwhile(f"full {seed} {is_killed}"))
                    if is_killed:
                        self._canaries.ask("end")
                        self._process.kill()
                        self._canaries.ask("join", is_clean=False)
                if is_killed:
                    self._process.start()
                    self._canaries.ask("begin", pid=self._process.pid)
                    self._size = self._measure()
                self._wait_for_disk()
        with self._in_phase("disk has space"):
            time.sleep(0.2)
            self._look_at_status()
            self._clean_up()

    def _wait_for_disk(self) -> None:
        """Until the broker has noticed that its disk works."""
        deadline = time.monotonic() + SETTLE_S
        while self._process.verb("show_status")["alarm"]:
            if time.monotonic() > deadline:
                self.tell("alarm", "the alarm is still on, although the disk works")
                return
            time.sleep(0.1)
        channel = self._process.channel()
        channel.queue("h.written", exclusive=False, durable=True)
        channel.confirm()
        channel.confirmed("h.written", b"", delivery_mode=2)  # behind everything that waited
        channel.call(QueueDelete(queue="h.written"))

    def _run_out_of_files(self, seed: int) -> None:
        """No descriptors are left, and many clients come."""
        with self._in_phase("no files left", heeds_waits=False) as said, disks.few_files(self._process.pid, 3):
            said.append(self._attack_meanwhile(f"files {seed}"))
        with self._in_phase("files again"):
            time.sleep(0.2)
            self._look_at_status()
            self._clean_up()

    def _fail_calls(self, seed: int, chance: random.Random) -> None:
        """Calls that write to the data directory fail, from the n-th on, for a while."""
        if self._disk.orders is None:
            return
        for error in disks.ERRORS:
            after, count = chance.randrange(60), chance.choice((1, 2, 5, 40))
            with self._in_phase(f"call {after} fails", heeds_waits=False) as said:
                with self._disk.failing(after, count, error):
                    self._attack_meanwhile(f"call {seed} {error}")
                    said.append(f"{self._disk.failed()} calls failed with {error}")
                self._wait_for_disk()
        self._restart("restart after failures", seed)
        with self._in_phase("calls work again"):
            self._clean_up()

    def _refuse_start(self) -> None:
        """On a directory that cannot be written, a broker says so in a sentence, and ends."""
        with self._in_phase("read-only directory", heeds_waits=False):
            place = self._directory / "readonly"
            place.mkdir(exist_ok=True)
            with disks.read_only(place) as is_done:
                command = [sys.executable, "-m", "leveret", "serve", "--port", "0", "--data-dir", str(place / "data")]
                if is_done:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
                    if done.returncode != 2 or done.stderr.count("\n") != 1:
                        text = f"exit code {done.returncode}: {done.stderr[-500:]}"
                        self.tell("start", f"on a directory that cannot be written: {text}")

    # -- judging

    def _look_at_status(self) -> None:
        status = self._process.verb("show_status")
        for text in status["faulty_queues"]:
            self.tell("faulty queue", text)
        for text in status["set_aside"]:
            self.tell("set aside", text)

    def _measure(self) -> Size:
        """What it holds, once the code of its API is loaded, and a password was checked, which takes memory."""
        for _ in Visitor.PATHS:
            self._api_user.ask()
        self._api_user.fail_to_log_in()
        return Size(self._process, self.tell)

    def _add_vhost(self, name: str) -> None:
        self._process.verb("add_vhost", name=name)
        self._process.verb("set_permissions", user="guest", vhost=name, configure=".*", write=".*", read=".*")

    def _clean_up(self) -> None:
        """Take away what attackers have made."""
        process = self._process
        for vhost in process.verb("list_vhosts"):
            if vhost["name"] not in ("/", "canary"):
                process.try_verb("protect_vhost", name=vhost["name"], on=False)
                process.try_verb("delete_vhost", name=vhost["name"])
        for user in process.verb("list_users"):
            if user["name"] != "guest":
                process.try_verb("delete_user", name=user["name"])
        for what in ("policies", "operator_policies"):
            for policy in process.verb(f"list_{what}", vhost="/"):
                verb = f"clear_{what.replace('policies', 'policy')}"
                process.try_verb(verb, vhost="/", name=policy["name"])
        for each in process.verb("list_parameters", vhost="/"):
            process.try_verb("clear_parameter", vhost="/", component=each["component"], name=each["name"])
        for each in process.verb("list_global_parameters"):
            process.try_verb("clear_global_parameter", name=each["name"])
        Attacker(process.address, random.Random(0), self.tell).attack("/", iter(stream.teardown()))
        self._add_vhost(VHOST)
