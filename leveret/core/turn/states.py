"""State tables: the common part of the state machines of connection, handshake and channel.

States and events are small numbers. A table lists, for each state, the events that can happen and the states that they
lead to; a state without events is final. Only follow() changes a state.
"""

from __future__ import annotations

from typing import Final

Transitions = dict[int, dict[int, int]]


class StateTable:
    """The transitions. of: the object that has these states. states, events: their names, by number."""

    def __init__(self, of: str, states: tuple[str, ...], events: tuple[str, ...], transitions: Transitions) -> None:
        self.of: Final = of
        self.states: Final = states
        self.events: Final = events
        self.transitions: Final = transitions

    def follow(self, state: int, event: int) -> int:
        """The state after this event.

        Raises: RuntimeError when the event is impossible in this state. That is a bug in the broker; the caller that
        acts for the client catches it, and closes the connection of that client with 541.
        """
        after = self.transitions[state].get(event)
        if after is None:
            raise RuntimeError(f"{self.of} cannot handle '{self.events[event]}' in state '{self.states[state]}'")
        return after
