"""A broker under attack: a `leveret serve` process, what it says of itself, and what can be seen of it from outside."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests.brokers.process import Server, free_port
from tests.clients.link import EndOfStream
from tests.clients.peer import Channel, Peer
from tests.hostile.attackers import INTERNAL_ERROR, Tell
from tests.hostile.canaries import starved_s
from tests.hostile.conftest import GIVES_BACK

RSS_SLACK: Final = 64 << 20
"""Bytes that a broker may hold beyond what it held before, when all attackers have gone: caches, and what is free."""

FILES_SLACK: Final = 8
"""Files and sockets that it may have open beyond those of before: the database is opened once more to read."""

MEMORY_S: Final = 135.0  # until memory is back: the collector looks every minute, and one has to be quiet
"""Seconds in which memory has to come back: the broker looks for cycles of garbage once a minute."""

START_S: Final = 20.0
"""Seconds in which a broker has to be up, without what the machine gives to others."""

STOP_S: Final = 30.0
"""Seconds in which it has to end."""

TRACES: Final = (
    "Traceback (most recent call last)",
    "Exception in callback",
    "Exception ignored in",
    "Fatal Python error",
)
MISTAKE: Final = re.compile(r" ERROR leveret\.api:| ERROR asyncio:|internal error| failed\b")
"""In a line of the log that says that the broker itself has made a mistake, whatever a client has sent."""

PATIENCE_S: Final = 20.0


class RefusedError(Exception):
    """A verb was refused."""


class Process:
    """A broker on a data directory. tell: takes findings. beside: where its log and its control socket are.

    port: the same after each start; api_port: that of the HTTP API, 0 without it.
    """

    def __init__(
        self,
        directory: Path,
        beside: Path,
        tell: Tell,
        *options: str,
        env: dict[str, str] | None = None,
        has_api: bool = False,
    ) -> None:
        self.directory = directory
        self.port = free_port()
        self.api_port = free_port() if has_api else 0
        self.log = beside / f"{directory.name}.log"
        self.control = beside / f"{directory.name}.sock"
        self.server: Server | None = None
        self._peers: list[Peer] = []
        self._options = options
        self._environment = env or {}
        self._tell = tell

    # -- its life

    def start(self, *options: str) -> Process:
        """Start it, which has to work in time."""
        began = time.monotonic()
        places = ("--data-dir", str(self.directory), "--control", str(self.control))
        fixed = (*places, "--management-port", str(self.api_port or "off"), "--log-level", "error")
        env = {**GIVES_BACK, **self._environment}
        before = os.umask(0o022)  # as most have it, so that files are only private if that is asked for
        try:
            self.server = Server.start(*fixed, *self._options, *options, port=self.port, env=env, log=self.log)
        except RuntimeError:
            lines = self.log.read_text(errors="replace").splitlines()
            self._tell("start", f"the broker did not start: {lines[-1] if lines else 'it said nothing'}")
            self.look_at_log()
            raise
        finally:
            os.umask(before)
        took = time.monotonic() - began - starved_s(self.pid)
        if took > START_S:
            self._tell("start", f"the broker took {took:.1f} s to be up")
        return self

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.port

    @property
    def api(self) -> tuple[str, int]:
        """Where its HTTP API is."""
        assert self.api_port
        return "127.0.0.1", self.api_port

    @property
    def pid(self) -> int:
        """Its number."""
        assert self.server is not None
        return self.server.process.pid

    @property
    def is_up(self) -> bool:
        """Whether it has been started, and not ended."""
        return self.server is not None and self.server.process.poll() is None

    def stop(self) -> None:
        """End it politely, and look at what it leaves."""
        assert self.server is not None
        if not self.is_up:
            self._tell("died", f"the broker ended by itself, with {self.server.process.returncode}")
        self._hang_up()
        began = time.monotonic()
        code = self.server.stop()
        took = time.monotonic() - began
        if code != 0:
            self._tell("stop", f"the broker ended with {code}")
        if took > STOP_S:
            self._tell("stop", f"the broker took {took:.1f} s to end")
        self.look_at_log()
        self.look_at_files()

    def kill(self) -> None:
        """End it at once."""
        assert self.server is not None
        if not self.is_up:
            self._tell("died", f"the broker ended by itself, with {self.server.process.returncode}")
        self.server.stop(signal.SIGKILL)
        self._hang_up()
        self.look_at_log()

    def close(self) -> None:
        """Kill it if it runs; nobody looks any more."""
        if self.server is not None and self.server.process.poll() is None:
            self.server.stop(signal.SIGKILL)

    def _hang_up(self) -> None:
        """Close what clients have left open: they would not answer when the broker ends."""
        for peer in self._peers:
            peer.link.close()
        self._peers.clear()

    # -- what can be seen

    def look_at_log(self) -> None:
        """What went wrong inside, as it says itself; then its log is empty again."""
        text = self.log.read_text(errors="replace")
        for trace in TRACES:
            if trace in text:
                at = text.index(trace)
                before = text[:at].splitlines()
                body = text[at:].splitlines()
                end = next((line for line in body[1:] if line and not line.startswith((" ", "+", "|"))), "")
                self._tell("traceback", f"{before[-1] if before else ''} ... {end}"[:600])
        for line in text.splitlines():
            if MISTAKE.search(line):
                self._tell("log", line[:600])
        os.truncate(self.log, 0)

    def look_at_files(self) -> None:
        """Nobody else may read what it leaves."""
        for path in self.directory.rglob("*"):
            found = path.lstat()
            if stat.S_ISREG(found.st_mode) and found.st_mode & 0o077 and path.name != "ballast":
                self._tell("readable", f"{path.name} has mode {found.st_mode & 0o777:o}")

    def memory(self) -> int:
        """Bytes of resident memory."""
        return int(Path(f"/proc/{self.pid}/statm").read_text().split()[1]) * 4096

    def files(self) -> int:
        """How many files and sockets are open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    # -- administration

    def verb(self, verb: str, /, **arguments: Any) -> Any:
        """Ask the control socket. Raises: RefusedError, AssertionError when there is no answer."""
        with socket.socket(socket.AF_UNIX) as control:
            control.settimeout(PATIENCE_S)
            control.connect(str(self.control))
            control.sendall(json.dumps({"verb": verb, "arguments": arguments}).encode() + b"\n")
            with control.makefile("rb") as answers:
                answer = json.loads(answers.readline() or b"{}")
        if "error" in answer:
            raise RefusedError(answer["error"])
        return answer["result"]

    def try_verb(self, verb: str, /, **arguments: Any) -> bool:
        """The same, for what may be refused. Returns: whether it was done."""
        try:
            self.verb(verb, **arguments)
        except RefusedError:
            return False
        return True

    def definitions(self) -> dict[str, list[str]]:
        """What it exports, by section, in order and without what ends by itself or with the broker."""
        exported = self.verb("export_definitions")
        ending = {
            (section, each["vhost"], each["name"])
            for section in ("queues", "exchanges")
            for each in exported[section]
            if _may_end(each)
        }
        found: dict[str, list[str]] = {}
        for section, entries in exported.items():
            if isinstance(entries, list):
                kept = [each for each in entries if not ending & set(_concerned(section, each))]
                found[section] = sorted(json.dumps(each, sort_keys=True) for each in kept)
        return found

    # -- clients

    def peer(self, vhost: str = "/") -> Peer:
        """A connection, until the broker ends."""
        peer = Peer(self.address)
        self._peers.append(peer)
        return peer.login(vhost=vhost)

    def channel(self, vhost: str = "/") -> Channel:
        """A channel on a connection of its own."""
        return self.peer(vhost).channel()


class Size:
    """What a broker holds at a moment. tell: takes findings."""

    def __init__(self, process: Process, tell: Tell) -> None:
        self._process = process
        self._tell = tell
        self._memory = process.memory()
        self._files = process.files()

    def look(self) -> str:
        """Wait until it is near that again, which has to come. Returns: how near, for people."""
        deadline = time.monotonic() + MEMORY_S
        while True:
            memory = self._process.memory() - self._memory
            files = self._process.files() - self._files
            if (memory <= RSS_SLACK and files <= FILES_SLACK) or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        if memory > RSS_SLACK:
            self._tell("memory", f"{memory >> 20} MiB more than before, with all attackers gone")
        if files > FILES_SLACK:
            self._tell("files", f"{files} more are open than before, with all attackers gone")
        return f"{memory / 1e6:+.0f} MB, {files:+d} files"


def _concerned(section: str, entry: dict[str, Any]) -> list[tuple[str, str, str]]:
    """The queues and exchanges that an entry is about."""
    if section == "topic_permissions":
        return [("exchanges", entry["vhost"], entry["exchange"])]
    if section != "bindings":
        return [(section, entry.get("vhost", ""), entry.get("name", ""))]
    vhost = entry["vhost"]
    return [("exchanges", vhost, entry["source"]), (f"{entry['destination_type']}s", vhost, entry["destination"])]


def _may_end(declared: dict[str, Any]) -> bool:
    return "x-expires" in declared["arguments"] or bool(declared["auto_delete"]) or not declared["durable"]


@contextlib.contextmanager
def blamed(tell: Tell, what: str) -> Iterator[None]:
    """Findings of what cannot go on."""
    try:
        yield
    except (AssertionError, EndOfStream, OSError, RefusedError, RuntimeError) as error:
        text = str(error)
        kind = "internal error" if f"reply_code={INTERNAL_ERROR}" in text else "scenario"
        tell(kind, f"{what}: {type(error).__name__}: {text[:500]}")
