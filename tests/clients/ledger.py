"""Ledger: what publishers and consumers know about every message, and the audit of what a broker still has.

Times are numbers that only grow. Killed processes lose nothing that they wrote, so that for them time stands still;
for a power cut the time is the length of the record of what was written (record.c), and the audit asks what was
known by then.
"""

from __future__ import annotations

import random
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

Key: TypeAlias = tuple[int, int]  # publisher and number

FOREVER = 1 << 62
_HEAD = struct.Struct(">QQ")


class Finding(NamedTuple):
    """Something that a broker did wrong. kind: one word."""

    kind: str
    text: str


class Found(NamedTuple):
    """A message that a broker still has."""

    body: bytes
    redelivered: bool


@dataclass(slots=True)
class Letter:
    """One message.

    places: it has to be in each of them; a place is a queue, or several of which one is enough.
    batch: of letters that were committed together; 0 for none.
    confirmed: when the confirm came. seen, acked: by queue, when it first came and when its ack was sent.
    """

    key: Key
    places: tuple[tuple[str, ...], ...]
    priority: int = 0
    batch: int = 0
    confirmed: int | None = None
    seen: dict[str, int] = field(default_factory=dict)
    acked: dict[str, int] = field(default_factory=dict)

    def body(self, size: int) -> bytes:
        """The body, of at least so many bytes; it can be checked."""
        content = _HEAD.pack(*self.key) + random.Random(self.key[1]).randbytes(size)
        return content + struct.pack(">I", zlib.crc32(content))


def key_of(body: bytes) -> Key | None:
    """Which message a body belongs to; None when it is corrupt."""
    if len(body) < _HEAD.size + 4 or zlib.crc32(body[:-4]) != struct.unpack(">I", body[-4:])[0]:
        return None
    publisher, number = _HEAD.unpack_from(body)
    return publisher, number


class Ledger:
    """All letters of one broker. Threads may write at once, each about its own letters.

    now: what time it is. loose: queues where a message may come again as a new one, because something that is done
    at least once puts it there. gone: by queue, letters that must never come again.
    """

    def __init__(self, now: Callable[[], int] = lambda: 0, loose: Iterable[str] = ()) -> None:
        self.now = now
        self.loose = frozenset(loose)
        self.letters: dict[Key, Letter] = {}
        self.gone: dict[str, set[Key]] = {}
        self.findings: list[Finding] = []
        self.counts: Counter[str] = Counter()

    # -- what clients tell

    def send(self, letter: Letter) -> None:
        """A letter is about to be published."""
        self.letters[letter.key] = letter
        self.counts["published"] += 1

    def confirm(self, letter: Letter) -> None:
        """The confirm of a letter came."""
        letter.confirmed = self.now()
        self.counts["confirmed"] += 1

    def see(self, queue: str, body: bytes, redelivered: bool) -> Letter | None:
        """A letter came from a queue. Returns: None when it makes no sense, which is a finding."""
        key = key_of(body)
        if key is None:
            self.findings.append(Finding("corrupt", f"{len(body)} bytes in {queue}"))
            return None
        letter = self.letters.get(key)
        if queue not in self.loose and key in self.gone.get(queue, ()):
            self.findings.append(Finding("returned", f"{key} came from {queue} again, after it was gone"))
        elif letter is None and queue not in self.loose:
            self.findings.append(Finding("unknown", f"{key} in {queue}"))
        if letter is None:
            return None
        if queue in letter.seen and not redelivered and queue not in self.loose:
            self.findings.append(Finding("unflagged", f"{key} came from {queue} again, not flagged as redelivered"))
        letter.seen.setdefault(queue, self.now())
        return letter

    def ack(self, queue: str, letter: Letter) -> None:
        """The ack of a letter is about to be sent."""
        letter.acked.setdefault(queue, self.now())
        self.counts["acked"] += 1

    # -- audit

    def missing(self, found: dict[str, list[Found]], cut: int = FOREVER) -> list[Letter]:
        """Letters that were confirmed by the time of the cut and not acked then, but are not in one of their places."""
        there = {queue: {key_of(one.body) for one in messages} for queue, messages in found.items()}
        return [
            letter
            for letter in list(self.letters.values())
            if letter.confirmed is not None and letter.confirmed <= cut and self._lacks(letter, there, cut)
        ]

    @staticmethod
    def _lacks(letter: Letter, there: dict[str, set[Key | None]], cut: int) -> bool:
        for place in letter.places:
            if any(letter.acked.get(queue, FOREVER + 1) <= cut for queue in place):
                continue
            if not any(letter.key in there[queue] for queue in place):
                return True
        return False

    def audit(self, found: dict[str, list[Found]], cut: int = FOREVER) -> list[Finding]:
        """Compare what a broker has with what it must have and may have. Changes nothing.

        found: by queue, all of its messages in order.
        """
        findings = [
            Finding("lost", f"{letter.key}, confirmed, missing in one of {letter.places}")
            for letter in self.missing(found, cut)
        ]
        for queue, messages in found.items():
            findings += self._audit_queue(queue, messages, cut)
        return findings + self._torn_batches(found, cut)

    def _audit_queue(self, queue: str, messages: list[Found], cut: int) -> list[Finding]:
        findings: list[Finding] = []
        met: set[Key] = set()
        last: dict[tuple[int, int], int] = {}  # number by publisher and priority
        priority = 255
        for body, redelivered in messages:
            key = key_of(body)
            if key is None:
                findings.append(Finding("corrupt", f"{len(body)} bytes in {queue}"))
                continue
            if queue in self.loose:
                continue
            letter = self.letters.get(key)
            if key in met:
                findings.append(Finding("duplicated", f"{key} in {queue}"))
            elif key in self.gone.get(queue, ()):
                findings.append(Finding("returned", f"{key} is in {queue} again, after it was gone"))
            elif letter is None or not any(queue in place for place in letter.places):
                findings.append(Finding("unknown", f"{key} in {queue}"))
            else:
                if letter.seen.get(queue, FOREVER + 1) <= cut and not redelivered:
                    findings.append(Finding("unflagged", f"{key} in {queue} is not flagged as redelivered"))
                line = (key[0], letter.priority)
                if last.get(line, -1) > key[1] or letter.priority > priority:
                    findings.append(Finding("disordered", f"{key} in {queue} comes too late"))
                last[line] = key[1]
                priority = letter.priority
            met.add(key)
        return findings

    def _torn_batches(self, found: dict[str, list[Found]], cut: int) -> list[Finding]:
        """Of a batch that was committed together, all letters are there or none, as far as nobody took any."""
        there = {queue: {key_of(one.body) for one in messages} for queue, messages in found.items()}
        batches: dict[int, set[bool]] = {}
        for letter in self.letters.values():
            if letter.batch:
                for (queue,) in letter.places:
                    if queue not in letter.acked:
                        batches.setdefault(letter.batch, set()).add(letter.key in there[queue])
        torn = [batch for batch, kinds in batches.items() if len(kinds) > 1]
        return [Finding("torn", f"transaction {batch} is there in part") for batch in torn]

    def settle(self, found: dict[str, list[Found]]) -> None:
        """After the audit of a killed broker: what is there is on the disk and has to stay; the rest has gone."""
        there: dict[str, set[Key]] = {}
        for queue, messages in found.items():
            keys = there[queue] = set()
            for one in messages:
                letter = self.see(queue, one.body, one.redelivered)
                if letter is not None:
                    keys.add(letter.key)
                    if queue in letter.acked:
                        del letter.acked[queue]
                        self.counts["came back"] += 1
        for letter in list(self.letters.values()):
            letter.batch = 0  # from now on some of it may be acked
            for place in letter.places:
                for queue in place:
                    if letter.key not in there[queue]:
                        self.gone.setdefault(queue, set()).add(letter.key)
            letter.places = tuple(
                place for place in letter.places if any(letter.key in there[queue] for queue in place)
            )
            if not letter.places:
                del self.letters[letter.key]
            elif letter.confirmed is None:
                letter.confirmed = self.now()
