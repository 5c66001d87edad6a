"""Confirms: tracks the settled publishes of a channel, and writes confirms in few frames.

An ack with `multiple` covers all tags up to its own, so it must stay below the lowest tag that is still open or was
refused. Source: rabbit_channel.erl send_confirms_and_nacks, rabbit_confirms.erl.
"""

from __future__ import annotations

from mypy_extensions import i64

from leveret.core.counting.counters import ClientCounters
from leveret.wire.writer import FrameWriter


class Confirms:
    """Publish tags of one channel in confirm mode; the first publish has tag 1."""

    __slots__ = ("_beyond", "_first_open", "_paid", "_refused")

    def __init__(self) -> None:
        self._first_open: i64 = 1  # every tag below is settled
        self._beyond: set[int] = set()  # tags above it that are settled too
        self._paid: list[int] = []  # since the last flush
        self._refused: list[int] = []

    @property
    def settled(self) -> int:
        """The number of publishes that are confirmed or refused."""
        return int(self._first_open) - 1 + len(self._beyond)

    def confirmed(self, tag: i64) -> None:
        """The message is safe."""
        self._paid.append(int(tag))
        self._settle(tag)

    def refused(self, tag: i64) -> None:
        """The message was refused."""
        self._refused.append(int(tag))
        self._settle(tag)

    def _settle(self, tag: i64) -> None:
        if tag != self._first_open:
            self._beyond.add(int(tag))
            return
        self._first_open += 1
        if self._beyond:
            while int(self._first_open) in self._beyond:
                self._beyond.discard(int(self._first_open))
                self._first_open += 1

    def flush(self, writer: FrameWriter, channel: int, counters: ClientCounters) -> None:
        """Write acks and nacks for all publishes settled since the last call, and count them."""
        counters.confirmed += len(self._paid)
        counters.nacked += len(self._refused)
        if self._paid:
            bound: i64 = self._first_open
            for tag in self._refused:
                bound = min(bound, i64(tag))
            highest: i64 = 0
            covered: i64 = 0
            beyond: list[int] = []
            for paid in self._paid:
                tag_paid: i64 = paid
                if tag_paid < bound:
                    covered += 1
                    highest = max(highest, tag_paid)
                else:
                    beyond.append(paid)
            if covered:
                writer.confirm(channel, int(highest), covered > 1)
            for tag in beyond:
                writer.confirm(channel, tag, False)
            self._paid = []
        for tag in self._refused:
            writer.refuse(channel, tag)
        self._refused = []
