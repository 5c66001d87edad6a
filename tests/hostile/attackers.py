"""Attackers: each sends hits on connections of its own, in pieces cut at random, and reads what is answered."""

from __future__ import annotations

import random
import select
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, Generic, Protocol, TypeVar

from tests.clients.codec import FRAME_END, METHOD, PROTOCOL_HEADER, frame
from tests.clients.methods import (
    ChannelClose,
    ChannelOpen,
    ConnectionClose,
    ConnectionCloseOk,
    ConnectionOpen,
    ConnectionTuneOk,
)
from tests.clients.peer import start_ok
from tests.hostile.stream import Hit

AT_ONCE: Final = 40  # hits on one connection
PATIENCE_S: Final = 15.0  # for an answer, on a machine that others use too
HUNG_S: Final = 0.2  # for one that may never come
GIVEN_UP_S: Final = 0.5  # for one while the disk does not work
INTERNAL_ERROR: Final = 541
OPEN: Final = ChannelOpen().payload()
OPEN_OK: Final = (20, 11)

Tell = Callable[[str, str], None]  # kind and text of a finding


def handshake(vhost: str) -> bytes:
    """What a client sends to log in, all of it at once."""
    tune = ConnectionTuneOk(channel_max=2047, frame_max=131_072, heartbeat=0)
    return b"".join(
        (
            PROTOCOL_HEADER,
            *(method.frames(0, 4096) for method in (start_ok(), tune, ConnectionOpen(virtual_host=vhost))),
        )
    )


class Answers:
    """Takes the broker's answers apart. opened: how often channel.open-ok came. closed: the connection was, by whom."""

    def __init__(self, tell: Tell) -> None:
        self.opened = 0
        self.closed = ""
        self.counts: Counter[str] = Counter()
        self._tell = tell
        self._data = b""

    def feed(self, data: bytes) -> None:
        """More of them."""
        self._data += data
        at = 0
        while len(self._data) >= at + 7:
            kind, channel, size = struct.unpack_from(">BHI", self._data, at)
            if self._data[at : at + 4] == b"AMQP":
                self.closed = "protocol header"
                break
            if len(self._data) < at + 8 + size:
                break
            payload = self._data[at + 7 : at + 7 + size]
            if self._data[at + 7 + size : at + 8 + size] != FRAME_END:
                self._tell("framing", f"the broker sent a frame without its end: {self._data[at : at + 40]!r}")
            at += 8 + size
            if kind == METHOD:
                self._method(channel, payload)
        self._data = self._data[at:]

    def _method(self, channel: int, payload: bytes) -> None:
        index = struct.unpack_from(">HH", payload)
        if index == OPEN_OK:
            self.opened += 1
        elif index in (ChannelClose.index, ConnectionClose.index):
            code = struct.unpack_from(">H", payload, 4)[0]
            text = payload[7 : 7 + payload[6]].decode("utf-8", "replace")
            self.counts[f"{code}"] += 1
            if index == ConnectionClose.index:
                self.closed = f"{code} {text}"
            if code == INTERNAL_ERROR:
                self._tell("internal error", f"channel {channel}: {code} {text}")


class Sent(Protocol):
    """What is sent. what: for people. hangs: nobody can know where the next one begins."""

    @property
    def what(self) -> str:
        """For people."""

    @property
    def hangs(self) -> bool:
        """Whether nobody can know where the next one begins."""


class Replies(Protocol):
    """What comes back. opened: of how much that was sent something is known. closed: why there will be no more."""

    opened: int
    closed: str

    def feed(self, data: bytes) -> None:
        """More of it."""


Shot = TypeVar("Shot", bound=Sent)
Item = TypeVar("Item")


class Sender(Generic[Shot]):
    """Sends one thing after the other. done: of how many it is known what came of them.

    patience_s: for an answer that has to come; None when the broker may have reasons not to answer for now.
    """

    def __init__(
        self, address: tuple[str, int], chance: random.Random, tell: Tell, patience_s: float | None = PATIENCE_S
    ) -> None:
        self.done = 0
        self.connections = 0
        self.counts: Counter[str] = Counter()
        self._address = address
        self._chance = chance
        self._tell = tell
        self._patience_s = patience_s
        self._what: Sequence[str] = ()

    def attack(self, vhost: str, hits: Iterator[Shot], until: float = float("inf"), at_once: int = AT_ONCE) -> None:
        """Send all of them, or until it is time. The broker may go away meanwhile."""
        waiting: list[Shot] = []
        while time.monotonic() < until:
            while len(waiting) < at_once and (one := next(hits, None)) is not None:
                waiting.append(one)
                if one.hangs:
                    break
            if not waiting:
                return
            first = next((at for at, one in enumerate(waiting) if one.hangs), len(waiting))
            batch = waiting[: min(first + 1, at_once)]
            try:
                reached = self._send(vhost, batch)
            except OSError:
                return  # the broker is gone
            self.done += reached
            waiting = waiting[max(reached, 1) :]

    def _send(self, vhost: str, batch: list[Shot]) -> int:
        """Send some on a connection of their own. Returns: how many were looked at; the last may have ended it."""
        raise NotImplementedError

    def _say_goodbye(self, link: socket.socket) -> None:
        """The other side has ended it."""

    def _exchange(self, link: socket.socket, answers: Replies, data: bytes, wanted: int, may_hang: bool) -> bool:
        """Send bytes in pieces and read until there are as many channels as wanted, or the connection is closed.

        Returns: whether it was closed before that.
        """
        pieces = self._cut(data)
        link.setblocking(False)
        piece = b""
        heard = time.monotonic()
        is_cut = False
        poll = select.poll()  # there may be more files open than select() knows numbers for
        poll.register(link)
        while answers.opened < wanted:
            if not piece and not is_cut:
                piece = next(pieces, b"")
                is_cut = not piece
            poll.modify(link, select.POLLIN | select.POLLOUT if piece else select.POLLIN)
            events = dict(poll.poll(50)).get(link.fileno(), 0)
            if events & select.POLLOUT:
                try:
                    piece = piece[link.send(piece) :]
                except BlockingIOError:
                    pass
                except OSError:
                    piece, is_cut = b"", True
                heard = time.monotonic()
            if events & ~select.POLLOUT:
                try:
                    received = link.recv(1 << 16)
                except OSError:
                    return True
                if not received:
                    return True
                answers.feed(received)
                heard = time.monotonic()
                if answers.closed:
                    self._say_goodbye(link)
                    return True
            silent_s = time.monotonic() - heard
            if silent_s > (HUNG_S if may_hang else self._patience_s or GIVEN_UP_S):
                if not may_hang and self._patience_s is not None:
                    self._tell("silence", f"no answer for {silent_s:.0f} s to one of {'; '.join(self._what)[-600:]}")
                return False
        return False

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """All at once, or in pieces of any size."""
        chance = self._chance
        largest = chance.choice((len(data), len(data), 4096, 4096, 700, 60))
        at = 0
        if largest * 2000 < len(data):
            largest = len(data) // 2000
        while at < len(data):
            end = at + chance.randint(1, max(largest, 1)) if largest < len(data) else len(data)
            yield data[at:end]
            at = end


class Attacker(Sender[Hit]):
    """Sends hits."""

    def _send(self, vhost: str, batch: list[Hit]) -> int:
        """Send hits on a connection of their own. Returns: how many were looked at; the last one may have ended it."""
        parts = [frame(METHOD, at, OPEN) + one.bytes_on(at) for at, one in enumerate(batch, 1)]
        parts.append(frame(METHOD, len(batch) + 1, OPEN))
        answers = Answers(self._blame)
        self._what = [one.what for one in batch]
        may_hang = batch[-1].hangs
        self.connections += 1
        with socket.create_connection(self._address, PATIENCE_S) as link:
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._exchange(link, answers, handshake(vhost) + b"".join(parts), len(parts), may_hang)
        self.counts += answers.counts
        return min(answers.opened, len(batch))

    def _blame(self, kind: str, text: str) -> None:
        number = int(text.split()[1].rstrip(":")) if text.startswith("channel ") else 0
        what = self._what[number - 1] if 0 < number <= len(self._what) else "one of " + "; ".join(self._what[-3:])
        self._tell(kind, f"{text}; for {what[:300]}")

    def _say_goodbye(self, link: socket.socket) -> None:
        try:
            link.setblocking(True)
            link.settimeout(PATIENCE_S)
            link.sendall(ConnectionCloseOk().frames(0, 4096))
        except OSError:
            pass


class Attack:
    """Attackers in threads of their own. Each takes its own hits."""

    def __init__(self) -> None:
        self.attackers: list[Sender[Any]] = []
        self._threads: list[threading.Thread] = []
        self._errors: list[BaseException] = []

    def add(self, attacker: Sender[Any], work: Callable[[], None]) -> None:
        """Begin."""
        self.attackers.append(attacker)
        thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def call(self, work: Callable[[], None]) -> None:
        """Begin something else beside them."""
        thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def join(self) -> None:
        """Wait until all have sent everything. Raises: what went wrong in a thread."""
        for thread in self._threads:
            thread.join()
        if self._errors:
            raise self._errors[0]

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            self._errors.append(error)

    def __str__(self) -> str:
        hits = sum(attacker.done for attacker in self.attackers)
        connections = sum(attacker.connections for attacker in self.attackers)
        return f"{hits} hits on {connections} connections"


def sample(groups: Iterable[Iterable[Item]], share: float, chance: random.Random) -> Iterator[Item]:
    """Of each group one, and a share of the others."""
    for group in groups:
        items = list(group)
        always = chance.randrange(len(items))
        for number, item in enumerate(items):
            if number == always or chance.random() < share:
                yield item
