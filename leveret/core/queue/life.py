"""The life of a queue: its states, and what leads from one to another.

RUNNING    it takes and gives messages
FAULTY     something that it did for itself has failed: it takes and gives no message, and says why, until somebody
           has it repaired; what it could not finish with waits for that, and persistent messages are in the log
LOST       its log is not its own any more: another node has the queue, with its messages
DELETED    it is gone
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
