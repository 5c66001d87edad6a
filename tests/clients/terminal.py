"""A command at a terminal, where somebody presses keys when it shows something."""

from __future__ import annotations

import os
import pty
import select
import signal
import sys
import time
from collections.abc import Callable

PATIENCE_S = 20


def answered(
    question: bytes, keys: bytes, *words: str, before: Callable[[], object] | None = None, **env: str
) -> tuple[int, str]:
    """The status of a command, and what it showed. before: what happens between the question and the keys."""
    child, terminal = pty.fork()
    if child == 0:
        os.execve(
            sys.executable,
            [sys.executable, "-m", "leveret", *words],
            {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24", **env},
        )
    shown = b""
    is_asked = False
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            if is_asked:  # keys that come before echo is off are thrown away with it
                os.write(terminal, keys)
            continue
        try:
            shown += os.read(terminal, 65536)
        except OSError:  # which is how a terminal ends
            break
        if question in shown and not is_asked:
            is_asked = True
            if before is not None:
                before()
            os.write(terminal, keys)
    else:
        os.kill(child, signal.SIGKILL)
    assert is_asked, shown
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    os.close(terminal)
    return status, shown.decode()
