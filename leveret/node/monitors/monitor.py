"""The interface of all monitors."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """Checks something periodically."""

    def start(self) -> None:
        """Start monitoring."""

    def stop(self) -> None:
        """Stop monitoring. Has no effect if it was not started."""
