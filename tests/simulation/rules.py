"""Rules: the four rules of the design, each of which a simulation can switch off, to see that it is needed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Rules:
    """one_statement: a commit is one statement, so that no lock waits for a node.

    session: only the latest connection of a node can commit. own_beats: a node counts its own beats, not seconds, to
    find out which others are dead. warning: what has returned with a warning is not certain yet.
    """

    one_statement: bool = True
    session: bool = True
    own_beats: bool = True
    warning: bool = True


ALL: Final = Rules()
WITHOUT: Final = {
    "one-statement": Rules(one_statement=False),
    "session": Rules(session=False),
    "own-beats": Rules(own_beats=False),
    "warning": Rules(warning=False),
}
"""By name, all rules without one of them."""
