"""How long tests wait, and for what."""

from __future__ import annotations

import time
from collections.abc import Callable

PATIENCE = 20.0
"""Seconds to wait for something that must come, on a machine however busy."""


def eventually(holds: Callable[[], object], within: float = PATIENCE) -> None:
    """Ask again and again until it holds, for what nobody tells. within: seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.005)
