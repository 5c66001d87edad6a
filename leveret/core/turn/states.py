"""States: what connection, handshake and channel have in common, each of which has a table of its own.

A state and an event are small numbers. A table has, for each state, the events that can happen in it and where they
lead; a state without events is an end. Only follow() makes one state of another.
"""

from __future__ import annotations

from typing import Final

Transitions = dict[int, dict[int, int]]


class StateTable:
    """Where events lead. of: what is in these states. states, events: what each is called, by its number."""

    def __init__(self, of: str, states: tuple[str, ...], events: tuple[str, ...], transitions: Transitions) -> None:
        self.of: Final = of
        self.states: Final = states
        self.events: Final = events
        self.transitions: Final = transitions

    def follow(self, state: int, event: int) -> int:
        """The state after this event.

        Raises: RuntimeError when it cannot happen in this state. That is a mistake of the broker; whoever called on
        behalf of the client catches it, and the connection of that client is closed with 541.
        """
        after = self.transitions[state].get(event)
        if after is None:
            raise RuntimeError(f"{self.of} cannot be '{self.states[state]}' and meet '{self.events[event]}'")
        return after
