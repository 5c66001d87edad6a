"""What all monitors have in common."""

from __future__ import annotations

from typing import Protocol


class Monitor(Protocol):
    """Looks at something now and then."""

    def start(self) -> None:
        """Begin to look."""

    def stop(self) -> None:
        """Look no more; something that was never begun is fine."""
