"""Confirms: which publishes of a channel are settled, and how to say so in few frames.

An ack with `multiple` covers everything up to its tag, so it may go no further than the lowest tag that is still
open or was refused. Source: rabbit_channel.erl send_confirms_and_nacks, rabbit_confirms.erl.
"""

from __future__ import annotations

from mypy_extensions import i64

from leveret.wire.writer import FrameWriter


class Confirms:
    """Publish tags of one channel in confirm mode; the first publish has tag 1."""

    __slots__ = ("_open", "_paid", "_refused", "published")

    def __init__(self) -> None:
        self.published: i64 = 0
        self._open: dict[int, None] = {}
        self._paid: list[int] = []
        self._refused: list[int] = []

    def __len__(self) -> int:
        return len(self._open)

    def next(self) -> i64:
        """The tag of the publish that comes in now."""
        self.published += 1
        self._open[int(self.published)] = None
        return self.published

    def confirmed(self, tag: i64) -> None:
        """The message is safe."""
        del self._open[int(tag)]
        self._paid.append(int(tag))

    def refused(self, tag: i64) -> None:
        """The message was not taken."""
        del self._open[int(tag)]
        self._refused.append(int(tag))

    def flush(self, writer: FrameWriter, channel: int) -> None:
        """Write acks and nacks for all that was settled since the last time."""
        if self._paid:
            bound = int(self.published) + 1
            for open_tag in self._open:
                bound = open_tag
                break
            if self._refused:
                bound = min(bound, min(self._refused))
            highest = 0
            covered = 0
            beyond: list[int] = []
            for tag in self._paid:
                if tag < bound:
                    covered += 1
                    highest = max(highest, tag)
                else:
                    beyond.append(tag)
            if covered:
                writer.confirm(channel, highest, covered > 1)
            for tag in beyond:
                writer.confirm(channel, tag, False)
            self._paid = []
        for tag in self._refused:
            writer.refuse(channel, tag)
        self._refused = []
