"""The states of a queue and their transitions.

RUNNING    takes and delivers messages
FAULTY     an internal operation has failed: it takes and delivers no messages, and reports why, until an operator
           repairs it; unfinished operations wait for the repair, and persistent messages are in the log
LOST       another node has its log, and so the queue with its messages
DELETED    deleted
"""

from __future__ import annotations

from typing import Final

from leveret.core.turn.states import StateTable

RUNNING: Final = 0
FAULTY: Final = 1
LOST: Final = 2
DELETED: Final = 3

FAILED: Final = 0  # events
REPAIRED: Final = 1
TAKEN: Final = 2  # by another node
REMOVED: Final = 3

LIFE: Final = StateTable(
    "a queue",
    ("running", "faulty", "lost", "deleted"),
    ("a fault", "its repair", "the loss of its log", "its end"),
    {
        RUNNING: {FAILED: FAULTY, REPAIRED: RUNNING, TAKEN: LOST, REMOVED: DELETED},
        FAULTY: {REPAIRED: RUNNING, TAKEN: LOST, REMOVED: DELETED},
        LOST: {REMOVED: DELETED},
        DELETED: {},
    },
)
