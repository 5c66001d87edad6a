"""ParentWatch: stops an ephemeral broker when the process that started it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import stat
from collections.abc import Callable
from typing import Final

LOOK_S: Final = 0.25
PIECE: Final = 4096

log = logging.getLogger("leveret.node")


class ParentWatch:
    """Calls on_end() when the parent process ends, or closes standard input if that is a pipe or socket.

    Create it early: it cannot notice a parent that ended before.
    """

    def __init__(self, on_end: Callable[[], None]) -> None:
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._parent = os.getppid()
        self._timer: asyncio.TimerHandle | None = None
        self._reads = _is_pipe(0)
        self._was_closed = self._reads and _is_at_end(0)

    def start(self) -> None:
        """Start watching."""
        if self._was_closed:
            log.warning("standard input is a closed pipe, so this broker stops; use </dev/null")
        if self._reads:
            self._loop.add_reader(0, self._read)
        self._look()

    def stop(self) -> None:
        """Stop watching."""
        if self._timer is not None:
            self._timer.cancel()
        self._read_no_more()

    def _look(self) -> None:
        if os.getppid() != self._parent:
            self._on_end()
        else:
            self._timer = self._loop.call_later(LOOK_S, self._look)

    def _read(self) -> None:
        """Discard input, and stop at its end."""
        try:
            data = os.read(0, PIECE)
        except OSError:
            data = b""
        if not data:
            self._read_no_more()
            self._on_end()

    def _read_no_more(self) -> None:
        if self._reads:
            self._reads = False
            self._loop.remove_reader(0)


def _is_pipe(descriptor: int) -> bool:
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _is_at_end(descriptor: int) -> bool:
    """Whether a pipe is empty and has no writers."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return any(event & select.POLLHUP and not event & select.POLLIN for _, event in poll.poll(0))
